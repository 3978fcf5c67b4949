"""A bulk act on the command line: previewed, asked about, started, watched, and told of."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import bulk, filters
from linkferry.frame import DONE, DONE_WITH_BAD_ROWS, FAILED, USAGE, CommandError, complain
from linkferry.output import emit, say, span
from linkferry.patience import Patience
from linkferry.progress import acting_progress, looking_progress

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ledger import JobFilter
    from worker.ops.acts import Act

Detach = Annotated[bool, typer.Option("--detach", help="Start it and return; the workers see to it.")]
NoCanary = Annotated[
    bool,
    typer.Option("--no-canary", help="Let all go at once: do not try five first, do not stop by itself."),
]
Document = dict[str, Any]
PAST = {
    "requeue": "requeued",
    "discard": "discarded",
    "restore": "back in the failed queue",
    "cancel": "cancelled",
    "replace": "being replaced",
    "revoke": "being deleted at the partner",
}
#: Acts whose jobs then go to the partner, and come to ends of their own.
CALLING = frozenset({"requeue", "replace", "revoke"})
#: Between two steps of an act that this process drives, and between two looks at one that waits.
_PAUSE_S = 0.01
_LOOK_EVERY_S = 0.25
#: A server that is away is asked again this often.
_AGAIN_S = 1.0
_RETRY = "act_waits_retry"
_GONE_AFTER_S = 30.0  #: what an act waited for has gone when it was not seen for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a person wants it done."""

    why: str = ""
    is_sure: bool = False  #: is not asked
    is_canary: bool = True
    is_detached: bool = False  #: does not wait for what comes of it


async def on_one(session: Session, act: Act, subject_id: str, manner: Manner) -> int:
    """Do *act* to one job or message, at once; return the exit code."""
    from worker.ops.acts import WHY_NOT

    verb = getattr(session.commands, act.value)
    document: Document = await verb(subject_id, by=filters.operator(), why=manner.why)
    is_done = bool(document["done"])
    refused = {} if is_done else {document["refusal"]: 1}
    emit(
        {**document, "done": int(is_done), "refused": refused, "not_eligible": {}},
        lambda: say(bulk.report(int(is_done), PAST[act.value], refused, WHY_NOT)),
    )
    return DONE if is_done else FAILED


async def on_ids(
    session: Session, act: Act, ids: Sequence[str], manner: Manner, *, is_asked: bool = False
) -> int:
    """Preview *act* on these jobs and messages, and carry it out; return the exit code.

    Who names them is not asked, unless *is_asked* and they are many: of one the caller has asked.
    """
    wanted = list(dict.fromkeys(each.strip() for each in ids))
    if len(wanted) == 1:
        return await on_one(session, act, wanted[0], manner)
    preview = await session.acts.preview_ids(act, wanted, by=filters.operator())
    return await carry_out(session, preview, manner, is_asked=is_asked, is_nothing_wrong=False)


async def on_filter(
    session: Session, act: Act, wanted: JobFilter, states: Sequence[Any], manner: Manner
) -> int:
    """Preview *act* on all that match, ask, and carry it out; return the exit code."""
    with refusals(), looking_progress() as show:
        preview = await session.acts.preview(
            act, wanted, states=states, by=filters.operator(), on_progress=show
        )
    return await carry_out(session, preview, manner, is_asked=not manner.is_sure, is_nothing_wrong=True)


async def carry_out(
    session: Session, preview: Document, manner: Manner, *, is_asked: bool, is_nothing_wrong: bool
) -> int:
    """Start a previewed act, drive and watch it; return the exit code.

    *is_nothing_wrong*: that nothing fits is a good end.
    """
    from worker.ops.acts import WHY_NOT

    verb = preview["act"]
    if not preview["total"]:
        words = [f"Nothing to {verb}.", bulk.left_out(preview["not_eligible"], WHY_NOT)]
        emit(preview, lambda: say(" ".join(filter(None, words))))
        return DONE if is_nothing_wrong else FAILED
    if is_asked:
        bulk.announce(_title(preview), preview["by_reason"], preview["not_eligible"], WHY_NOT)
        for line in _expectation(preview, is_canary=manner.is_canary):
            say(line)
        bulk.require_consent(f"{verb.capitalize()} these {preview['total']:,}?")
    why = bulk.reason_for(manner.why, preview["total"], is_asked=not manner.is_sure)
    act_id = preview["act_id"]
    with refusals():
        document = await session.acts.start(
            act_id, by=filters.operator(), why=why, is_canary=manner.is_canary
        )
    if manner.is_detached:
        started = f"Started: {act_id}. The workers see to it; look: linkferry act watch {act_id}"
        emit(document, lambda: say_left(started, document))
        return DONE
    return await follow(session, act_id, is_driver=True)


def say_left(sentence: str, document: Document) -> None:
    """Say that an act is left to the workers, and what it waits for if they can't go on with it now."""
    say(sentence)
    if document["waits_for"]:
        say(document["waits_for"]["text"])


async def follow(session: Session, act_id: str, *, is_driver: bool) -> int:
    """Watch an act until it has ended, or nothing more can be done here, or Ctrl-C; return the exit code.

    *is_driver*: steps it as well, so that it goes on with no worker running. Where nobody could say Ctrl-C, a server
    that stays away ends it, too.
    """
    waits, document, is_given_up = _Waits(), None, False
    patience = Patience(subject=f"Act {act_id}", again=f"linkferry act watch {act_id}")
    with _interrupts() as stopped, acting_progress() as show:
        while not stopped.is_set():
            seen = await _look(session, act_id, is_driver=is_driver)
            if isinstance(seen, str):
                waits = _Waits()
                if is_given_up := patience.is_over(seen):
                    break
                await _wait(stopped, _AGAIN_S)
                continue
            document = seen
            patience.answered()
            show(document)
            if is_over(document) or (is_driver and _is_left(document)):
                break
            waits.tell(document)
            await _wait(stopped, _PAUSE_S if document.get("taken") else _LOOK_EVERY_S)
    if document is not None:
        emit(document, partial(tell, document))
    if is_given_up:
        return patience.give_up()
    if document is None or (stopped.is_set() and not is_over(document)):
        complain(f"Stopped watching; act {act_id} goes on. Look again: linkferry act watch {act_id}")
        return FAILED
    return exit_code(document)


async def _look(session: Session, act_id: str, *, is_driver: bool) -> Document | str:
    """Return how the act stands, stepped by the *driver*, or why nobody can say just now; raises CommandError (gone)."""
    from worker.ledger import LedgerUnavailable
    from worker.limits import LimitsUnavailable

    try:
        document: Document | None = await (
            session.acts.step(act_id) if is_driver else session.acts.get(act_id)
        )
    except (LedgerUnavailable, LimitsUnavailable) as exc:
        return str(exc)
    if document is None:
        message = f"There is no act {act_id}. `linkferry act list` shows what there is."
        raise CommandError(message)
    return document


def is_over(document: Document) -> bool:
    """Tell whether the act has come to an end, or was stopped."""
    return document["state"] not in {"running", "previewing"}


def exit_code(document: Document) -> int:
    """Return what a command that watched the act ends with."""
    if document["state"] in {"stopped", "expired"}:
        return FAILED
    if document["failed_again"]:
        return DONE_WITH_BAD_ROWS
    return DONE if document["done"] or not is_over(document) else FAILED


def tell(document: Document) -> None:
    """Print what came of an act so far, and what to type next."""
    from worker.ops.acts import WHY_NOT

    act_id = document["act_id"]
    say(bulk.report(document["done"], PAST[document["act"]], document["refused"], WHY_NOT))
    if left_out := bulk.left_out(document.get("not_eligible", {}), WHY_NOT):
        say(left_out)
    for line in _ends(document):
        say(line)
    if document["state"] == "stopped":
        say(f"Stopped: {document['stopped_because']['text']}; {document['waiting']:,} were not touched.")
        if document["undone_by"] is None:
            say(f"When that is mended: linkferry act continue {act_id}")
    if document["state"] == "running" and document["waits_for"]:
        say(document["waits_for"]["text"])
    if document["failed_again"]:
        say(f"Which: linkferry act show {act_id} --outcome failed_again")
    if document["can_undo"]:
        say(f"Take it back: linkferry act undo {act_id}")


def _ends(document: Document) -> Iterator[str]:
    if document["act"] not in CALLING:
        return
    counts = {
        "linked": document["linked"],
        "sent": document["sent"],
        "revoked": document["revoked"],
        "failed again": document["failed_again"],
        "ended otherwise": document["ended_otherwise"],
        "under way": document["in_flight"],
        "still to come": 0 if is_over(document) else document["waiting"],
    }
    known = [f"{count:,} {name}" for name, count in counts.items() if count]
    if known:
        yield "Of these " + ", ".join(known) + "."
    for reason, count in document["failed_by_reason"].items():
        yield f"  {count:>7,}  {reason}"


def _title(preview: Document) -> str:
    messages = preview["messages"]
    jobs = preview["total"] - messages
    parts = [f"{jobs:,} jobs" if jobs else "", f"{messages:,} messages" if messages else ""]
    return " and ".join(part for part in parts if part) + f" to {preview['act']}"


def _expectation(preview: Document, *, is_canary: bool) -> Iterator[str]:
    from worker.domain.ramp import CANARY

    calls, rate = preview["calls_needed"], preview["rate"]
    if calls and preview["seconds_at_rate"] is not None:
        yield f"{calls:,} calls to the partner: at least {span(preview['seconds_at_rate'])} at {rate:g}/s."
    if preview["act"] in CALLING and is_canary and preview["total"] > CANARY:
        yield f"The first {CANARY} go alone, then more and more; it stops by itself where they fail again."
    if preview["waits_for"]:
        yield preview["waits_for"]["text"]


def _is_left(document: Document) -> bool:
    """Tell whether only workers could go on with it, and none runs. What needs no call a command does by itself."""
    waits = document["waits_for"]
    if document["act"] not in CALLING:
        return False
    return not document["taken"] and waits is not None and waits["code"] == "act_waits_no_worker"


class _Waits:
    """Says what an act waits for, once until that changes: it comes and goes with each job that has its turn."""

    def __init__(self) -> None:
        self._told: str | None = None
        self._seen_s = 0.0

    def tell(self, document: Document) -> None:
        """Say what *document* waits for, unless that was said, and seen again a moment ago."""
        waits: Document | None = document["waits_for"]
        if waits is None or document.get("taken"):
            return
        # The time of the next try is another one at each look.
        about: str = _RETRY if waits["code"] == _RETRY else waits["text"]
        now_s = time.monotonic()
        if about != self._told or now_s - self._seen_s > _GONE_AFTER_S:
            complain(waits["text"])
        self._told, self._seen_s = about, now_s


async def _wait(stopped: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopped.wait(), seconds)
    except TimeoutError:
        return


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """Yield an event that Ctrl-C sets instead of breaking off what is being done."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what an act refuses into one line and its exit code."""
    from worker.ops.acts import ActRefused

    try:
        yield
    except ActRefused as exc:
        if exc.code == "gone" and (act_id := exc.said["params"]["act_id"]):
            message = f"There is no act {act_id}. `linkferry act list` shows what there is."
            raise CommandError(message) from None
        code = USAGE if exc.code in {"why_missing", "too_many"} else FAILED
        raise CommandError(str(exc), exit_code=code) from None
