"""The filters that list and bulk commands share, and how people write them."""

from __future__ import annotations

import functools
import getpass
import inspect
import os
import re
import shlex
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.frame import USAGE, Body, CommandError, complain, resolved
from linkferry.output import span

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.domain.states import JobState
    from worker.ledger import JobFilter

_PARTNERS_CODE = re.compile(r"unknown_(-?\d+|none|other)")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_SPAN_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

State = Annotated[str | None, typer.Option("--state", help="Only jobs in this state, such as `failed`.")]
Stage = Annotated[str | None, typer.Option("--stage", help="`link` (making it) or `delivery` (sending it).")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Only this reason; `linkferry reasons list` names them.")
]
ReasonClass = Annotated[
    str | None, typer.Option("--class", help="Only reasons of this class, such as `bad_data`.")
]
Lane = Annotated[str | None, typer.Option("--lane", help="`live` or `bulk`.")]
Batch = Annotated[str | None, typer.Option("--batch", help="Only this batch (a backfill's RUN).")]
Source = Annotated[
    str | None,
    typer.Option("--source", help="Only this source: `api`, `cli`, `csv`, or a CRM such as `crm:hubspot`."),
]
Number = Annotated[
    str | None, typer.Option("--number", help="Only this number, however written: its own, or its contact's.")
]
Email = Annotated[str | None, typer.Option("--email", help="Only customers with this e-mail address.")]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Only this business: words of its name, or their beginnings."),
]
ExternalId = Annotated[str | None, typer.Option("--external-id", help="Only this id in your CRM.")]
Reference = Annotated[str | None, typer.Option("--reference", help="Only this reference of yours.")]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", help="Only older than, such as `30m`, `2h` or `3d`.")
]
NewerThan = Annotated[
    str | None, typer.Option("--newer-than", help="Only changed since then, such as `30m`, `2h` or `3d` ago.")
]
MinAttempts = Annotated[
    int | None, typer.Option("--min-attempts", min=1, help="Only jobs attempted so often, or more.")
]
MinRequeues = Annotated[
    int | None,
    typer.Option("--min-requeues", min=1, help="Only jobs requeued so often, or more: failed again."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on where the last page ended (its `next`).")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show numbers and contacts whole.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept in the trail, see `linkferry audit`.")]
WhyOfMany = Annotated[
    str,
    typer.Option("--why", help="Why; kept in the trail. One job may go without, more than one may not."),
]
_SOURCES = ("api", "cli", "csv")
_BATCHES_COMPARED, _BATCHES_NAMED = 200, 3  #: the latest, with what may be the name of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The filters that a command was given, as they were typed."""

    state: str | None = None
    stage: str | None = None
    reason: str | None = None
    reason_class: str | None = None
    lane: str | None = None
    batch: str | None = None
    source: str | None = None
    number: str | None = None
    email: str | None = None
    name: str | None = None
    external_id: str | None = None
    reference: str | None = None
    older_than: str | None = None
    newer_than: str | None = None
    min_attempts: int | None = None
    min_requeues: int | None = None

    @property
    def is_any(self) -> bool:
        """Tell whether there is any."""
        return any(getattr(self, each.name) is not None for each in fields(self))

    def typed(self, *, without: Collection[str] = (), **changes: str) -> str:
        """Return the filters as they are typed, for another command; those of *changes* first, *without* some."""
        words = {name: getattr(self, name) for name in _OPTIONS if name not in {*without, *changes}}
        given = {name: value for name, value in (changes | words).items() if value is not None}
        return shlex.join(part for name, value in given.items() for part in (option_of(name), str(value)))

    def require_only(self, *names: str) -> None:
        """Refuse filters other than those named, which would be passed over; raises CommandError (2)."""
        others = [each for each in _OPTIONS if each not in names and getattr(self, each) is not None]
        if others:
            named = ", ".join(map(option_of, others))
            message = f"Messages in doubt can't be filtered further: leave out {named}."
            raise CommandError(message, exit_code=USAGE)

    async def read(self, session: Session, **changes: str | None) -> JobFilter:
        """Return the ledger's filter, with some words changed (None: dropped).

        Raises CommandError (2) for a word that nothing can match, LedgerUnavailable.
        """
        words = {each.name: getattr(self, each.name) for each in fields(self)} | changes
        if words["number"] is not None:
            words["number"] = _digits(words["number"], session.settings.default_region)
        wanted = job_filter(**words)
        await require_known(session, reason=self.reason, batch=self.batch)
        await _note_earlier_name(session, self.reason)
        _note_source(session, self.source)
        return wanted


_OPTIONS: dict[str, Any] = {
    "state": State,
    "stage": Stage,
    "reason": Reason,
    "reason_class": ReasonClass,
    "lane": Lane,
    "batch": Batch,
    "source": Source,
    "number": Number,
    "email": Email,
    "name": Name,
    "external_id": ExternalId,
    "reference": Reference,
    "older_than": OlderThan,
    "newer_than": NewerThan,
    "min_attempts": MinAttempts,
    "min_requeues": MinRequeues,
}


def filtered(*without: str) -> Callable[[Body], Body]:
    """Give a command the options of all filters but those named; it takes them as one argument, `chosen`."""
    options = {name: option for name, option in _OPTIONS.items() if name not in without}

    def widen(function: Body) -> Body:
        @functools.wraps(function)
        async def run(*args: Any, **words: Any) -> Any:
            chosen = Chosen(**{name: words.pop(name) for name in options})
            return await function(*args, chosen=chosen, **words)

        run.__signature__ = _widened(function, options)  # type: ignore[attr-defined]
        return run

    return widen


def _widened(function: Body, options: dict[str, Any]) -> inspect.Signature:
    """Return a command's signature with *options* in place of `chosen`."""
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "chosen":
            parameters += [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
                for name, option in options.items()
            ]
        elif parameter.name == "session":
            parameters.append(parameter)  # no option: what it names is known to type checkers only
        else:
            parameters.append(parameter.replace(annotation=resolved(parameter.annotation, function)))
    return inspect.Signature(parameters)


def job_filter(**wanted: Any) -> JobFilter:
    """Return the ledger's filter for what was asked; raises CommandError (2) for a word it does not know."""
    from worker.domain.reasons import ReasonClass
    from worker.domain.states import JobState
    from worker.domain.states import Lane as LaneName
    from worker.ledger import JobFilter

    ages = {"older_than": wanted.pop("older_than", None), "newer_than": wanted.pop("newer_than", None)}
    words: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    for name, kind in (("state", JobState), ("lane", LaneName), ("reason_class", ReasonClass)):
        if name in words:
            words[name] = choice(kind, words[name], option_of(name))
    if words.get("stage", "link") not in {"link", "delivery"}:
        near = did_you_mean(words["stage"], ("link", "delivery"))
        message = f"--stage {words['stage']}: say `link` or `delivery`.{near}"
        raise CommandError(message, exit_code=USAGE)
    for name, age in ages.items():
        if age is not None:
            words[f"{name}_s"] = seconds(age, option_of(name))
    for name in ("email", "name", "external_id", "reference"):
        if name in words:
            words[name] = _whole(words[name], option_of(name))
    return JobFilter(**words)


def _whole(text: str, option: str) -> str:
    if not text.strip():
        message = f"{option}: say what to look for."
        raise CommandError(message, exit_code=USAGE)
    if option == "--email" and "@" not in text:
        message = f"--email {text}: that is no e-mail address. For names there is --name."
        raise CommandError(message, exit_code=USAGE)
    return text.strip()


def _digits(number: str, region: str) -> str:
    from worker.domain.phone import PhoneNumber, normalise_number

    found = normalise_number(number, region=region)
    if isinstance(found, PhoneNumber):
        return found.digits
    message = f"--number {number}: it {found.message}."
    raise CommandError(message, exit_code=USAGE)


async def require_known(session: Session, *, reason: str | None, batch: str | None) -> None:
    """Refuse a filter that nothing can match; raises CommandError (2), LedgerUnavailable."""
    if reason is not None:
        await require_reason(session, reason, "--reason")
    if batch is not None and await session.ledger.batches.get(batch) is None:
        message = f"--batch {batch}: there is no such batch.{await batches_like(session, batch)}"
        raise CommandError(message, exit_code=USAGE)


async def require_reason(session: Session, reason: str, option: str) -> None:
    """Refuse a reason that nothing can have failed with; raises CommandError (2), LedgerUnavailable."""
    if not await _is_reason(session, reason):
        near = _meant_by_code(reason) or did_you_mean(reason, await _reasons_like(session, reason))
        message = f"{option} {reason}: there is no such reason.{near} `linkferry reasons list` names them."
        raise CommandError(message, exit_code=USAGE)


def _meant_by_code(reason: str) -> str:
    """Return what a code that was typed by its number is called until somebody teaches it; nothing for another word."""
    from worker.domain.reasons import is_code

    return f" Did you mean unknown_{int(reason)}?" if is_code(reason) else ""


async def batches_like(session: Session, typed: str) -> str:
    """Return a sentence, a blank before it, that tells which batches *typed* may mean: by id or file name."""
    word = typed.strip().casefold()
    known = await session.ledger.batches.all(_BATCHES_COMPARED)
    near = [each for each in known if word and (each.id.startswith(word) or word in each.name.casefold())]
    if not near:
        return " `linkferry batch list` shows what there is."
    named = ", ".join(f"{each.id} ({each.name})" for each in near[:_BATCHES_NAMED])
    more = f", or one of {len(near) - _BATCHES_NAMED:,} more" if len(near) > _BATCHES_NAMED else ""
    return f" Did you mean {named}{more}?"


async def _is_reason(session: Session, name: str) -> bool:
    if _PARTNERS_CODE.fullmatch(name) or any(name == each.name for each in session.catalogue.all()):
        return True
    # An operator's file may have named it once, and no longer does.
    return any(name == group.reason for group in await session.ledger.queries.groups())


async def _reasons_like(session: Session, word: str) -> list[str]:
    """Return the names that *word* may have been meant to be, those of codes that nobody taught included."""
    names = [each.name for each in session.catalogue.all()]
    names += [group.reason for group in await session.ledger.queries.groups()]
    code = re.search(r"-?\d+$", word)
    return [*names, f"unknown_{code[0]}"] if code else names


async def _note_earlier_name(session: Session, reason: str | None) -> None:
    """Say where jobs that failed before their code was taught this name still stand: under its old one."""
    names = {each.stood_as for each in session.catalogue.lessons if each.name == reason} - {reason}
    if not names:
        return
    for group in await session.ledger.queries.groups():
        if group.reason in names:
            stand = "job stands" if group.count == 1 else "jobs stand"
            complain(
                f"{group.count:,} failed {stand} under {group.reason}, from before it was taught: "
                f"--reason {group.reason}"
            )


def _note_source(session: Session, source: str | None) -> None:
    """Say where no producer is called so; whoever brought jobs in under that name once is still found."""
    if source is None:
        return
    from linkferry.crms import sources

    known = [*_SOURCES, *sources(session.settings)]
    if source not in known:
        near = did_you_mean(source, known) or f" Known: {', '.join(known)}."
        complain(f"--source {source}: no source is called so.{near}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence, a blank before it, that names the one of *known* that is nearest; nothing where none is."""
    from worker.domain.fields import nearest

    near = nearest(word, known)
    return f" Did you mean {near}?" if near else ""


def in_words(wanted: Mapping[str, Any]) -> str:
    """Return a filter's document as people say it: `failed, reason partner_timeout, older than 2 h`."""
    states = wanted.get("states") or [wanted[name] for name in ("state",) if name in wanted]
    stands = " or ".join(states)
    said = [
        _SAID[name].format(span(float(value)) if name.endswith("_s") else value)
        for name, value in wanted.items()
        if name in _SAID
    ]
    return ", ".join(filter(None, [stands, *said])) if said else f"all {stands}".strip()


#: Names in a filter's document → how they are said.
_SAID = {
    "stage": "stage {}",
    "reason": "reason {}",
    "reason_class": "class {}",
    "lane": "lane {}",
    "batch": "batch {}",
    "source": "source {}",
    "number": "number {}",
    "email": "e-mail {}",
    "name": "name {}",
    "external_id": "external id {}",
    "reference": "reference {}",
    "older_than_s": "unchanged for {}",
    "newer_than_s": "changed within {}",
    "min_attempts": "attempted {} times or more",
    "min_requeues": "requeued {} times or more",
}


async def page(answer: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Return a page that was asked for; raises CommandError (2) where the cursor is none of ours."""
    try:
        return await answer
    except ValueError:
        message = "--cursor: that is not the `next` of a page."
        raise CommandError(message, exit_code=USAGE) from None


def failed_states(state: str | None) -> list[JobState]:
    """Return the states that `failed …` commands look at; raises CommandError (2) for another."""
    from worker.domain.states import JobState

    if state is None:
        return [JobState.FAILED]
    if state not in {"failed", "dead"}:
        message = f"--state {state}: the failed queue holds `failed` and `dead`; for others see `linkferry job list`."
        raise CommandError(message, exit_code=USAGE)
    return [JobState(state)]


def choice(kind: Any, word: str, option: str) -> Any:
    """Return *word* as a member of the enum *kind*; raises CommandError (2)."""
    typed = word.strip().lower()
    members = {member.value: member for member in kind}
    if (found := members.get(typed) or members.get(typed.replace("-", "_"))) is not None:
        return found
    message = f"{option} {word}: say one of {', '.join(members)}.{did_you_mean(word, members)}"
    raise CommandError(message, exit_code=USAGE)


def option_of(name: str) -> str:
    """Return the option that sets a filter."""
    return "--class" if name == "reason_class" else f"--{name.replace('_', '-')}"


def seconds(text: str, option: str) -> float:
    """Return a length of time such as `30m` in seconds; raises CommandError (2)."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        message = f"{option} {text}: say a length of time such as 30m, 2h or 3d."
        raise CommandError(message, exit_code=USAGE)
    return float(match[1]) * _SPAN_S[match[2]]


def operator() -> str:
    """Return who acts, for the history."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return f"cli:{os.getuid()}"
