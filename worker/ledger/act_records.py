"""What the ledger holds of bulk acts, as Python reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.act import CALLING_ACTS, OUTCOME_OF, REFUSALS, Act, ActOutcome, ActState
from worker.domain.ramp import Ramp


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRecord:
    """All that the ledger holds of one bulk act, but its set."""

    id: str
    act: Act
    state: ActState
    by: str
    why: str
    filter: Mapping[str, Any] | None  #: None: ids were given
    created_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None  #: when it was done, or stopped
    seen: int  #: ids looked at for the preview
    total: int  #: ids that were fit
    messages: int  #: of those
    at: int  #: ids taken so far
    done: int
    is_canary: bool
    by_reason: Mapping[str, int]
    not_eligible: Mapping[str, int]
    refused: Mapping[str, int]
    linked: int
    sent: int
    failed_again: int
    ended_otherwise: int
    failed_by_reason: Mapping[str, int]
    stopped_because: Mapping[str, Any] | None
    undo_of: str | None
    undone_by: str | None  #: the latest act that was to take it back
    undone: int  #: taken back by such acts
    given_up: str | None  #: why its set was never whole, in a word
    latest: str = ""  #: letters of the latest ends, see `OUTCOME_OF`
    base_done: int = 0  #: done when its canary began
    base_ended: int = 0
    turn: int = 0  #: how often it was let go on
    released_at_ms: int | None = None  #: when ids were last taken
    revoked: int = 0
    deletes: int = 0  #: of those that it replaces, how many take a delete before the create

    @property
    def ended(self) -> int:
        """Return how many of what it requeued came to an end."""
        return self.linked + self.sent + self.revoked + self.failed_again + self.ended_otherwise

    @property
    def in_flight(self) -> int:
        """Return how many of what it requeued are still on their way."""
        return self.done - self.ended if self.act in CALLING_ACTS else 0

    @property
    def waiting(self) -> int:
        """Return how many have not been taken."""
        return self.total - self.at

    def ramp(self, *, now_ms: int) -> Ramp:
        """Return how far it has come, for the rules of `worker.domain.ramp`."""
        since_ms = now_ms - (self.released_at_ms or now_ms)
        return Ramp(
            released=self.done - self.base_done,
            ended=self.ended - self.base_ended,
            in_flight=self.in_flight,
            latest=tuple(letter == "a" for letter in self.latest),
            waited_s=max(0, since_ms) / 1000,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActChange:
    """What came of starting, stopping or continuing an act."""

    done: bool
    state: ActState | None  #: where it stands; None: there is no such act
    #: gone, expired, already_started, nothing_eligible, not_running, not_stopped, …
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What came of weighing some ids for a set."""

    seen: int  #: ids looked at by now
    fit: tuple[str, ...]  #: of those given, what was kept


@dataclass(frozen=True, slots=True, kw_only=True)
class ActItem:
    """One id of an act's set, with what became of it."""

    id: str
    outcome: ActOutcome
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of an act came to."""

    record: ActRecord | None  #: as it stands after it; None: there is no such act
    taken: int = 0  #: ids; 0: it waits for ends, or is not running
    is_at_rest: bool = False  #: it ran before this step, and runs no more


def record_of(act_id: str, row: Mapping[str, str]) -> ActRecord:
    """Return an act as its hash holds it."""

    def number(name: str) -> int:
        return int(float(row.get(name) or 0))

    def instant(name: str) -> int | None:
        return number(name) or None

    return ActRecord(
        id=act_id,
        act=Act(row["act"]),
        state=ActState(row["state"]),
        by=row["by"],
        why=row["why"],
        filter=json.loads(row["filter"]) if row["filter"] else None,
        created_at_ms=number("created"),
        started_at_ms=instant("started"),
        ended_at_ms=instant("ended"),
        seen=number("seen"),
        total=number("total"),
        messages=number("messages"),
        at=number("at"),
        done=number("done"),
        is_canary=row.get("canary") == "1",
        by_reason=_counts(row, "why:"),
        not_eligible=_counts(row, "not:"),
        refused=_counts(row, "refused:"),
        linked=number("linked"),
        sent=number("sent"),
        failed_again=number("again"),
        ended_otherwise=number("other"),
        failed_by_reason=_counts(row, "again:"),
        stopped_because=json.loads(row["stop"]) if row.get("stop") else None,
        undo_of=row.get("undo_of"),
        undone_by=row.get("undone_by"),
        undone=number("undone"),
        given_up=row.get("given_up"),
        latest=row.get("latest", ""),
        base_done=number("base_done"),
        base_ended=number("base_ended"),
        turn=number("turn"),
        released_at_ms=instant("released"),
        revoked=number("revoked"),
        deletes=number("deletes"),
    )


def _counts(row: Mapping[str, str], prefix: str) -> dict[str, int]:
    found = {name.removeprefix(prefix): int(value) for name, value in row.items() if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def item_of(subject_id: str, letter: str) -> ActItem:
    """Return one id with what its mark says."""
    if letter in REFUSALS:
        return ActItem(id=subject_id, outcome=ActOutcome.REFUSED, refusal=REFUSALS[letter])
    # A newer process may have refused it for what we don't know yet.
    return ActItem(id=subject_id, outcome=OUTCOME_OF.get(letter, ActOutcome.REFUSED))
