"""The filters that list and bulk commands share, and how people write them."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.frame import USAGE, CommandError

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
Source = Annotated[str | None, typer.Option("--source", help="Only this source: `api`, `cli` or `csv`.")]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", help="Only older than, such as `30m`, `2h` or `3d`.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on where the last page ended (its `next`).")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show numbers and contacts whole.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept in each job's history.")]


def job_filter(**wanted: Any) -> JobFilter:
    """Return the ledger's filter for what was asked; raises CommandError (2) for a word it does not know."""
    from worker.domain.reasons import ReasonClass
    from worker.domain.states import JobState
    from worker.domain.states import Lane as LaneName
    from worker.ledger import JobFilter

    older_than = wanted.pop("older_than", None)
    fields: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    for name, kind in (("state", JobState), ("lane", LaneName), ("reason_class", ReasonClass)):
        if name in fields:
            option = "--class" if name == "reason_class" else f"--{name}"
            fields[name] = choice(kind, fields[name], option)
    if fields.get("stage", "link") not in {"link", "delivery"}:
        message = f"--stage {fields['stage']}: say `link` or `delivery`."
        raise CommandError(message, exit_code=USAGE)
    if older_than is not None:
        fields["older_than_s"] = seconds(older_than, "--older-than")
    return JobFilter(**fields)


async def require_known(session: Session, *, reason: str | None, batch: str | None) -> None:
    """Refuse a filter that nothing can match; raises CommandError (2), LedgerUnavailable."""
    if reason is not None and not await _is_reason(session, reason):
        message = f"--reason {reason}: there is no such reason. `linkferry reasons list` names them."
        raise CommandError(message, exit_code=USAGE)
    if batch is not None and await session.ledger.batches.get(batch) is None:
        message = f"--batch {batch}: there is no such batch. `linkferry batch list` shows what there is."
        raise CommandError(message, exit_code=USAGE)


async def _is_reason(session: Session, name: str) -> bool:
    if _PARTNERS_CODE.fullmatch(name) or any(name == each.name for each in session.catalogue.all()):
        return True
    # An operator's file may have named it once, and no longer does.
    return any(name == group.reason for group in await session.ledger.queries.groups())


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
    try:
        return kind(word.strip().lower())
    except ValueError:
        words = ", ".join(member.value for member in kind)
        message = f"{option} {word}: say one of {words}."
        raise CommandError(message, exit_code=USAGE) from None


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
