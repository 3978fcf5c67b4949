"""Bulk acts for operators: previewed first, on a set that is frozen then, started once, watched, stopped and undone.

The CLI and the console work with the same documents; whoever runs a worker drives what was started.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from worker.domain.act import CALLING_ACTS, Act, ActOutcome, ActState, unfit_for
from worker.domain.canonical import mask_field
from worker.domain.reasons import Catalogue
from worker.domain.states import JobState
from worker.ledger import JobFilter, Ledger
from worker.ledger.act_records import ActChange, ActRecord
from worker.ledger.acts import MOST_IDS
from worker.ledger.finding_messages import concerns_messages
from worker.limits import Limits
from worker.ops.act_waits import act_wait
from worker.ops.names import names_of
from worker.ops.views import iso
from worker.ops.words import WORDS, Said, said

__all__ = ["Act", "ActRefused", "ActState", "Acts"]

DEFAULT_LIMIT = 50
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_WEIGHED_AT_ONCE = 500
_WHY_NOT = "why_not."
#: Word → what it says of why a job was left alone.
WHY_NOT = {
    code.removeprefix(_WHY_NOT): sentence for code, sentence in WORDS.items() if code.startswith(_WHY_NOT)
}
#: Names of a filter that are personal → the canonical field whose mask is theirs.
_PERSONAL = {"number": "whatsapp", "email": "email", "name": "name"}


class ActRefused(Exception):  # noqa: N818 - reads as what happened
    """An act was not started, stopped, continued or undone; `code` says why in a word, the text in a sentence."""

    def __init__(self, code: str, act_id: str = "") -> None:
        """Refuse for *code*: `act_refused_<code>` is among `WORDS`."""
        self.said = said(f"act_refused_{code}", act_id=act_id, most=MOST_IDS)
        super().__init__(self.said["text"])
        self.code = code


class Acts:
    """Bulk acts on the ledger within the limits."""

    def __init__(self, ledger: Ledger, limits: Limits, catalogue: Catalogue) -> None:
        """Act on *ledger*; *limits* tell the rate, *catalogue* the classes of messages' reasons."""
        self._ledger = ledger
        self._limits = limits
        self._catalogue = catalogue

    # --- preview ---------------------------------------------------------------------------------------------

    async def preview(
        self,
        act: Act,
        wanted: JobFilter,
        *,
        states: Sequence[JobState],
        by: str,
        on_progress: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """Freeze what *act* on all of *wanted* in any of *states* would touch, and return the act's document.

        Raises:
            ActRefused: too_many.
            LedgerUnavailable, LedgerFull: nothing is frozen.
        """
        act_id = await self.begin_preview(act, wanted, states=states, by=by)
        return await self.carry_preview(act_id, on_progress=on_progress)

    async def preview_ids(self, act: Act, ids: Sequence[str], *, by: str) -> dict[str, Any]:
        """Freeze what *act* on these jobs and messages would touch; raises as `preview`."""
        act_id = await self._open(act, by=by)
        return await self._freeze(act_id, _in_pieces(list(dict.fromkeys(ids))))

    async def begin_preview(self, act: Act, wanted: JobFilter, *, states: Sequence[JobState], by: str) -> str:
        """Open an act whose set `carry_preview` is to freeze; return its id. Raises LedgerUnavailable, LedgerFull."""
        document = wanted.document() | {"states": [state.value for state in states]}
        return await self._open(act, by=by, filter_document=document)

    async def carry_preview(
        self, act_id: str, *, on_progress: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Freeze the set of an act that `begin_preview` opened; *on_progress* hears how many were looked at.

        Raises:
            ActRefused: gone, taken (somebody else does it), too_many.
            LedgerUnavailable, LedgerFull: it is left unfinished, and forgotten within an hour.
        """
        record = await self._ledger.acts.get(act_id)
        if record is None:
            raise ActRefused("gone", act_id)
        return await self._freeze(
            act_id, self._matches(record), on_progress, left=partial(self._left, record)
        )

    async def give_up(self, act_id: str) -> None:
        """Note on an act whose set is being frozen that something broke it; raises LedgerUnavailable."""
        await self._ledger.acts.give_up(act_id, "broken")

    async def _open(self, act: Act, *, by: str, **more: Any) -> str:
        at = datetime.fromtimestamp(await self._ledger.now_ms() / 1000, UTC)
        act_id = f"a{at:%y%m%d}-" + "".join(secrets.choice(_LETTERS) for _ in range(6))
        await self._ledger.acts.open(act_id, act, by=by, **more)
        return act_id

    async def _freeze(
        self,
        act_id: str,
        pieces: AsyncIterator[list[str]],
        on_progress: Callable[[int], None] | None = None,
        *,
        left: Callable[[], Awaitable[dict[str, int]]] | None = None,
    ) -> dict[str, Any]:
        """Weigh what *pieces* yield; *left* counts what was not looked at, by why it is not fit."""
        fit: set[str] = set()
        seen = 0
        async for piece in pieces:
            # A job may change its state while it is looked for, and be found in both.
            new = [each for each in dict.fromkeys(piece) if each not in fit]
            weighed = await self._ledger.acts.add(act_id, new, seen=seen)
            if weighed is None:
                raise ActRefused("taken", act_id)
            seen = weighed.seen
            fit.update(weighed.fit)
            if len(fit) > MOST_IDS:
                await self._ledger.acts.give_up(act_id, "too_many")
                raise ActRefused("too_many", act_id)
            if on_progress is not None:
                on_progress(seen)
        counted = {} if left is None else await left()
        if not await self._ledger.acts.freeze(act_id, seen=seen, counted=counted):
            raise ActRefused("taken", act_id)
        return await self._document(act_id)

    async def _left(self, record: ActRecord) -> dict[str, int]:
        """Count what matches in states in which nothing is fit."""
        wanted, states = _wanted_of(record)
        found: dict[str, int] = {}
        for state in states:
            why = unfit_for(record.act, state)
            if why is not None and (count := await self._ledger.acts.count(wanted, state)):
                found[why] = found.get(why, 0) + count
        return found

    async def _matches(self, record: ActRecord) -> AsyncIterator[list[str]]:
        wanted, states = _wanted_of(record)
        if wanted.stage != "delivery":
            fit = [state for state in states if unfit_for(record.act, state) is None]
            async for ids in self._ledger.acts.matches(wanted, fit):
                yield ids
        is_about_messages = record.act is Act.REQUEUE or wanted.stage == "delivery"
        if is_about_messages and JobState.FAILED in states and concerns_messages(wanted):
            async for ids in self._ledger.deliveries.failed_ids(wanted):
                yield ids

    # --- course ----------------------------------------------------------------------------------------------

    async def start(self, act_id: str, *, by: str, why: str, is_canary: bool = True) -> dict[str, Any]:
        """Let a previewed act run, once; more than one job needs a *why*. Return its document.

        Raises:
            ActRefused: gone, previewing, expired, already_started, nothing_eligible, why_missing.
            LedgerUnavailable, LedgerFull: it may have been started.
        """
        change = await self._ledger.acts.start(act_id, by=by, why=why.strip(), is_canary=is_canary)
        return await self._after(act_id, change)

    async def step(self, act_id: str) -> dict[str, Any] | None:
        """Drive a running act by one bounded step; None: there is no such act. Workers do the same beside it.

        Raises LedgerUnavailable, LedgerFull.
        """
        step = await self._ledger.acts.step(act_id, rate=(await self._limits.status()).rate)
        return None if step.record is None else await self._view(step.record) | {"taken": step.taken}

    async def stop(self, act_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Take no more of a running act's set; what it requeued goes on.

        Raises ActRefused (gone, not_running), LedgerUnavailable.
        """
        return await self._after(act_id, await self._ledger.acts.stop(act_id, by=by, why=why))

    async def go_on(self, act_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Let a stopped act go on, with its canary anew.

        Raises ActRefused (gone, not_stopped, taken_back), LedgerUnavailable.
        """
        return await self._after(act_id, await self._ledger.acts.go_on(act_id, by=by, why=why))

    async def undo(self, act_id: str, *, by: str) -> dict[str, Any]:
        """Preview the restoring of what a discard act discarded and still stands as it left it; start it like any other.

        Raises ActRefused (gone, not_undoable), LedgerUnavailable, LedgerFull.
        """
        record = await self._ledger.acts.get(act_id)
        if record is None:
            raise ActRefused("gone", act_id)
        if not _can_undo(record):
            raise ActRefused("not_undoable", act_id)
        undo_id = await self._open(Act.RESTORE, by=by, undo_of=act_id)
        return await self._freeze(undo_id, self._ledger.acts.done_ids(act_id))

    async def _after(self, act_id: str, change: ActChange) -> dict[str, Any]:
        if not change.done:
            raise ActRefused(change.refusal or "gone", act_id)
        return await self._document(act_id)

    # --- reading ---------------------------------------------------------------------------------------------

    async def get(self, act_id: str) -> dict[str, Any] | None:
        """Return an act's document, or None; raises LedgerUnavailable."""
        record = await self._ledger.acts.get(act_id)
        return None if record is None else await self._view(record)

    async def list(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> dict[str, Any]:
        """Return a page of the acts that were started, latest first; raises LedgerUnavailable, ValueError (cursor)."""
        page = await self._ledger.acts.find(cursor=cursor, limit=limit)
        rate = (await self._limits.status()).rate
        items = [act_view(record, rate=rate) for record in page.items]
        return {"items": items, "next": page.next, "total": page.total}

    async def items(
        self,
        act_id: str,
        *,
        outcome: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        is_revealed: bool = False,
    ) -> dict[str, Any]:
        """Return a page of an act's set in its order: `{"job_id", "name", "outcome", "refusal"}` each.

        Raises LedgerUnavailable, ValueError (cursor, or no such outcome).
        """
        wanted = None if outcome is None else ActOutcome(outcome)
        found, following = await self._ledger.acts.items(act_id, outcome=wanted, cursor=cursor, limit=limit)
        names = await names_of(self._ledger, [each.id for each in found], is_revealed=is_revealed)
        items = [
            {
                "job_id": each.id,
                "name": names[each.id],
                "outcome": each.outcome.value,
                "refusal": each.refusal,
            }
            for each in found
        ]
        record = await self._ledger.acts.get(act_id)
        return {"items": items, "next": following, "total": _count_of(record, wanted)}

    async def _document(self, act_id: str) -> dict[str, Any]:
        document = await self.get(act_id)
        if document is None:
            raise ActRefused("gone", act_id)
        return document

    async def _view(self, record: ActRecord) -> dict[str, Any]:
        status = await self._limits.status()
        document = act_view(record, rate=status.rate)
        document["waits_for"] = await act_wait(self._ledger, self._catalogue, record, status.closed_reason)
        return document


def act_view(record: ActRecord, *, rate: float) -> dict[str, Any]:
    """Return an act as a document ready for JSON; the partner allows *rate* calls/s."""
    calls = _calls_needed(record)
    return {
        "act_id": record.id,
        "act": record.act.value,
        "state": record.state.value,
        "by": record.by,
        "why": record.why,
        "filter": None if record.filter is None else _masked(record.filter),
        "created_at": iso(record.created_at_ms),
        "started_at": iso(record.started_at_ms),
        "ended_at": iso(record.ended_at_ms),
        "seen": record.seen,
        "total": record.total,
        "messages": record.messages,
        "by_reason": dict(record.by_reason),
        "not_eligible": dict(record.not_eligible),
        "calls_needed": calls,
        "seconds_at_rate": round(calls / rate, 1) if rate > 0 else None,
        "rate": rate,
        "is_canary": record.is_canary,
        "done": record.done,
        "refused": dict(record.refused),
        "waiting": record.waiting,
        "in_flight": record.in_flight,
        "linked": record.linked,
        "sent": record.sent,
        "revoked": record.revoked,
        "failed_again": record.failed_again,
        "ended_otherwise": record.ended_otherwise,
        "failed_by_reason": dict(record.failed_by_reason),
        "stopped_because": _stopped_because(record),
        "can_undo": _can_undo(record),
        "undo_of": record.undo_of,
        "undone_by": record.undone_by,
        "undone": record.undone,
        "given_up": None if record.given_up is None else _given_up(record.given_up),
    }


def _calls_needed(record: ActRecord) -> int:
    """Return how many calls are still to be made: each job is one, a message none; a delete before a create is one more."""
    if record.act not in CALLING_ACTS:
        return 0
    jobs = record.total - record.messages
    left = min(jobs, record.waiting + record.in_flight)
    # Of those under way nobody counts which have their delete behind them: as many as of the whole are taken to.
    return left + (round(record.deletes * left / jobs) if jobs else 0)


def _masked(words: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: mask_field(_PERSONAL[name], str(value)) if name in _PERSONAL else value
        for name, value in words.items()
    }


def _stopped_because(record: ActRecord) -> dict[str, Any] | None:
    """Return why an act stands still: `reason`, `failed` and `ended` where it stopped by itself, and a sentence."""
    why = record.stopped_because
    if why is None:
        return None
    sentence: Said
    if why["reason"] == "failed_again":
        sentence = said("act_stop_failed_again", failed=why["failed"], ended=why["ended"])
    else:
        sentence = said("act_stop_by_person_why" if why["why"] else "act_stop_by_person", **why)
    return {"reason": why["reason"], "failed": why.get("failed"), "ended": why.get("ended"), **sentence}


def _can_undo(record: ActRecord) -> bool:
    is_at_rest = record.state in {ActState.DONE, ActState.STOPPED}
    return record.act is Act.DISCARD and is_at_rest and record.done > record.undone


def _given_up(why: str) -> Said:
    return said(f"act_refused_{why}", act_id="", most=MOST_IDS)


def _wanted_of(record: ActRecord) -> tuple[JobFilter, list[JobState]]:
    """Return the filter of an act, and the states in which it looks."""
    words = dict(record.filter or {})
    states = [JobState(word) for word in words.pop("states", [])]
    return JobFilter.from_document(words), states


def _count_of(record: ActRecord | None, outcome: ActOutcome | None) -> int:
    if record is None:
        return 0
    counts = {
        None: record.total,
        ActOutcome.WAITING: record.waiting,
        ActOutcome.DONE: record.in_flight if record.act in CALLING_ACTS else record.done,
        ActOutcome.LINKED: record.linked,
        ActOutcome.SENT: record.sent,
        ActOutcome.REVOKED: record.revoked,
        ActOutcome.FAILED_AGAIN: record.failed_again,
        ActOutcome.ENDED_OTHERWISE: record.ended_otherwise,
        ActOutcome.REFUSED: sum(record.refused.values()),
    }
    return counts[outcome]


async def _in_pieces(ids: Sequence[str]) -> AsyncIterator[list[str]]:
    for start in range(0, len(ids), _WEIGHED_AT_ONCE):
        yield list(ids[start : start + _WEIGHED_AT_ONCE])
