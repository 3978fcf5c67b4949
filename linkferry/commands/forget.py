"""`linkferry forget`: erase a customer who asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.commands.bulk import require_consent
from linkferry.commands.story import say_wrapped
from linkferry.frame import DONE, FAILED, USAGE, CommandError, command, complain, flags
from linkferry.notices import sandbox_beside
from linkferry.output import ask, emit, instant, say
from linkferry.tables import Column, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ops.forgetting import Block, Forgetting, Found

Who = Annotated[
    str, typer.Argument(metavar="WHO", help="A number, an e-mail address, or the id of one of the jobs.")
]
All = Annotated[bool, typer.Option("--all", help="Erase all customers that fit, where several do.")]
Revoke = Annotated[
    bool, typer.Option("--revoke", help="Have open links deleted at the partner first, and wait for that.")
]
Stop = Annotated[
    bool,
    typer.Option("--stop", help="Keep a fingerprint on the stop list: nobody writes to this customer again."),
]
Look = Annotated[bool, typer.Option("--dry-run", help="Only show what is held.")]
Rewrite = Annotated[
    bool, typer.Option("--rewrite", help="Then have Redis write its append-only file anew, without it.")
]
Wait = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for the partner.")
]
Document = dict[str, Any]
_JOBS = ("job", "state", Column("product", rank=2), Column("number", rank=1), when("changed", rank=3))
_CANDIDATES = ("a job", Column("number", rank=1), Column("jobs", rank=2), when("latest", rank=3))
_KINDS = {
    "jobs": "jobs, with their requests, links and histories",
    "messages": "messages",
    "events": "events that came in",
    "trail": "entries of the trail that name the customer: they stay, without what is personal",
    "acts": "bulk acts that name the customer: they stay, without what is personal",
    "stop_list": "contacts on the stop list: a fingerprint of each stays, so that it goes on",
}
_GONE = {"jobs": "job", "messages": "message", "events": "event"}
_LOOK_EVERY_S = 0.5
_SHOWN = 50  #: jobs in a table


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "forget")
    async def forget(
        session: Session,
        who: Who,
        *,
        why: filters.Why = "",
        is_sure: filters.Yes = False,
        is_all: All = False,
        is_revoking: Revoke = False,
        is_stopped: Stop = False,
        is_only_look: Look = False,
        is_rewriting: Rewrite = False,
        wait_s: Wait = 60.0,
    ) -> int:
        """Erase a customer who asks for it: jobs, links, messages, and what else names the customer in Redis.

        What would go is shown and asked about first; it can't be undone. Counts and totals stay right, and the trail
        keeps that somebody was erased, when, by whom and why, but not who it was. A link that can still be opened is to be
        revoked first (--revoke). Saying it again does no harm; broken off, it finishes then. What stays in files and backups:
        docs/privacy.md.

        Example: `linkferry forget 050-123-4567 --why "asked by letter of 3 May" --revoke --stop`
        """
        from worker.ops.forgetting import Forgetting

        eraser = Forgetting(session.scene)
        found = await _look(eraser, who, is_all=is_all)
        if is_only_look or not found.is_anything:
            emit(found.document(), lambda: print_found(found.document()))
            if not found.is_anything and (elsewhere := sandbox_beside(session.settings)):
                complain(elsewhere)
            return _refuse_several(found) if found.candidates else DONE
        if not flags().is_json:
            print_found(found.document())
        _require_way(found, is_revoking=is_revoking)
        if not is_sure:
            require_consent("Erase all of the above? It can't be undone.")
        why = _reason(why, found, is_sure=is_sure)
        if found.blocks:
            await _revoke(session, found, why=why, wait_s=wait_s)
            found = await _look(eraser, who, is_all=is_all)
        gone, blocks = await _erase(eraser, found, why=why, is_stopped=is_stopped)
        is_rewritten = is_rewriting and not blocks and await session.ledger.forgetting.rewrite_log()
        return _report(found, gone, blocks, is_rewritten=is_rewritten if is_rewriting else None)


async def _look(eraser: Forgetting, who: str, *, is_all: bool) -> Found:
    from worker.ops.forgetting import ForgetRefusedError

    try:
        return await eraser.look(who, is_all=is_all)
    except ForgetRefusedError as exc:
        raise CommandError(str(exc), exit_code=USAGE) from None


async def _erase(
    eraser: Forgetting, found: Found, *, why: str, is_stopped: bool
) -> tuple[dict[str, int], list[Block]]:
    """Erase all that was shown, however much; whatever breaks it off, how to finish is said."""
    from linkferry.progress import erasing_progress

    told = [0]
    try:
        with erasing_progress() as show:

            def tell(erased: int, total: int) -> None:
                told[0] = erased
                show(erased, total)

            return await eraser.erase(
                found, by=filters.operator(), why=why, is_stopped=is_stopped, on_progress=tell
            )
    except BaseException:
        complain(
            f"Broken off: {told[0]:,} of {len(found.jobs):,} jobs are erased. Say the same again, and it finishes."
        )
        raise


def _refuse_several(found: Found) -> int:
    count = len(found.candidates)
    complain(
        f"{count} customers fit. Say a job's id for one of them, or --all to erase all {count}. Nothing is erased."
    )
    return USAGE


def _require_way(found: Found, *, is_revoking: bool) -> None:
    """Refuse what can't be erased now, before anybody is asked."""
    in_the_way = [each for each in found.blocks if not (is_revoking and each.needs_revoke)]
    if not in_the_way:
        return
    emit(found.document(), lambda: None)
    if any(each.needs_revoke for each in in_the_way):
        message = "Nothing is erased. Add --revoke to have open links deleted at the partner first."
    else:
        message = "Nothing is erased. Say it again when that is over."
    raise CommandError(message)


def _reason(why: str, found: Found, *, is_sure: bool) -> str:
    from worker.ops.words import said

    words = why.strip() or ("" if is_sure else ask("Why?"))
    if not words:
        message = 'Nothing is erased. Say why with --why "…", without a name; it is kept in the trail.'
        raise CommandError(message, exit_code=USAGE)
    if found.person.is_named_in(words):
        raise CommandError(said("forget_why_names")["text"], exit_code=USAGE)
    return words


async def _revoke(session: Session, found: Found, *, why: str, wait_s: float) -> None:
    """Have the links deleted that stand, and wait until that is settled or the time is up."""
    from linkferry.notices import tell_what_is_missing
    from worker.domain.states import ENDED_STATES

    wanted = [each.job_id for each in found.blocks]
    for job_id in wanted:
        await session.commands.revoke(job_id, by=filters.operator(), why=why)
    await tell_what_is_missing(session)
    until = asyncio.get_running_loop().time() + wait_s
    while asyncio.get_running_loop().time() < until:
        jobs = await session.ledger.queries.jobs(wanted)
        if all(job.state in ENDED_STATES for job in jobs):
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _report(found: Found, gone: dict[str, int], blocks: list[Block], *, is_rewritten: bool | None) -> int:
    document = found.document() | {
        "done": not blocks,
        "gone": gone,
        "blocked": [each.document() for each in blocks],
        "is_rewritten": is_rewritten,
    }
    emit(document, lambda: _print_report(document))
    return FAILED if blocks else DONE


def _print_report(document: Document) -> None:
    gone, blocked = document["gone"], document["blocked"]
    if gone:
        parts = (_counted(gone[kind], one) for kind, one in _GONE.items())
        say(f"Erased: {', '.join(parts)}.")
    for each in blocked:
        complain(f"{each['job_id']}  {each['text']}")
    if blocked:
        complain("What is left: say the same again then.")
        return
    if document["is_rewritten"]:
        say("Redis writes its append-only file anew now; until that is done the old one holds it.")
    elif document["is_rewritten"] is False:
        complain("Redis does not let us rewrite its append-only file: see docs/privacy.md.")
    say("Who, when and why: linkferry audit --act forget")


def print_found(document: Document) -> None:
    """Print what is held of a customer, for people."""
    if document["candidates"]:
        candidates = document["candidates"]
        rows = [(each["job_id"], each["number"], each["jobs"], _changed(each)) for each in candidates]
        print_table(_CANDIDATES, rows)
    elif document["found"]:
        _print_held(document)
    else:
        say("Nothing is held that leads to that: neither jobs nor anything else.")


def _print_held(document: Document) -> None:
    if document["jobs"]:
        jobs = document["jobs"]
        rows = [
            (each["job_id"], each["state"], each["product"], each["number"], _changed(each))
            for each in jobs[:_SHOWN]
        ]
        print_table(_JOBS, rows)
        if (others := len(jobs) - _SHOWN) > 0:
            say(f"and {others:,} more jobs; with --json all of them")
    say("What would go")
    for kind, words in _KINDS.items():
        if document["counts"][kind]:
            say_wrapped(f"{document['counts'][kind]:>5}  {words}", indent="  ", hanging="         ")
    if document["blocked"]:
        say("What stands in the way")
        for each in document["blocked"]:
            say_wrapped(f"{each['job_id']}  {each['text']}".strip(), indent="  ", hanging="    ")
    say("What stays elsewhere")
    for each in document["notes"]:
        say_wrapped(each["text"], indent="  ", hanging="    ")


def _counted(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _changed(row: Document) -> str:
    return instant(row["changed_at"])
