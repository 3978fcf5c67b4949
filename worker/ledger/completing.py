"""What becomes of a link after it was made: finished, gone at the partner, or its number near the end of its time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.domain.ids import invitation_of
from worker.domain.search import number_term
from worker.domain.states import JobState
from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.paging import MergedStream
from worker.ledger.scripts import Scripts, text

#: How a completion is known: the partner's list holds it as finished, or (Facebook) its webhook said so.
How = Literal["list", "webhook"]
VANISHED = "link_vanished"
#: Registered numbers kept of one look: as many as can wait at the partner.
MOST_NUMBERS = 500
_AT_ONCE = 50  #: scripts sent in one go: other processes' claims get their turn
_PER_SCRIPT = 100
_PAGE = 1_000
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringNumber:
    """A registered number whose 90 days at the partner end soon."""

    number: str
    expires_at_ms: int
    job_id: str | None = None  #: our WhatsApp job that stands on it
    is_linked: bool = False  #: the partner shows a link for it, ours or another's


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerView:
    """What was last seen of the partner; every instant in ms since 1970, None where it never was."""

    polled_at_ms: int | None = None  #: the last turn of the poll, whether or not it needed a list
    listed_at_ms: int | None = None  #: the last list of links that was read
    listed: int = 0  #: links in it
    registered_at_ms: int | None = None
    suspicious_since_ms: int | None = None  #: since then so many links are missing that none is believed gone
    missing: int = 0  #: of our links, in the last list
    hinted_at_ms: int | None = None  #: the last report that came by the webhook
    refused_at_ms: int | None = None  #: the last one that came from a foreign address
    refused_from: str | None = None  #: that address
    numbers: tuple[ExpiringNumber, ...] = field(default=())


class Completing:
    """The verbs of a link's life, and what the poll needs to know."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def complete(
        self, job_id: str, *, number: str | None = None, how: How, link: str | None = None
    ) -> JobState | None:
        """Write down that the customer has finished; return ONBOARDED, or None where there was nothing to complete.

        Only a job whose link stands is completed, and once: a linked one, one whose link seemed to have vanished or was
        to be changed (nothing is, then). *number* is the final one
        (coexistence); None leaves what is known, and so does *link*. Raises LedgerUnavailable: say the same again.
        """
        terms = await self._terms(job_id, number) if number else ("", "")
        reply = await self._scripts.run("complete", job_id, how, number or "", link or "", *terms)
        return JobState.ONBOARDED if int(reply[0]) == 1 else None

    async def _terms(self, job_id: str, number: str) -> tuple[str, str]:
        """Return the search term of a job's final number, and of the one that it was found by until now."""
        invitation_id = invitation_of(job_id)
        with translated():
            before = await self._scripts.redis.hget(self._keys.extra + job_id, "number")
        return number_term(number, invitation_id), number_term(
            text(before) if before else None, invitation_id
        )

    async def vanish(
        self, job_id: str, list_began_ms: int, *, grace_s: float = 60.0, apart_s: float = 60.0
    ) -> JobState | None:
        """Write down that a complete list, begun at *list_began_ms*, does not hold the job's link.

        The second such list lets it fail by `link_vanished`; return its state then, or None when it is not linked. A
        list begun within *grace_s* seconds after the link was made, or *apart_s* after the first, counts for nothing.
        Raises LedgerUnavailable: say the same again.
        """
        [state] = await self.vanish_all([job_id], list_began_ms, grace_s=grace_s, apart_s=apart_s)
        return state

    async def vanish_all(
        self, job_ids: Sequence[str], list_began_ms: int, *, grace_s: float, apart_s: float
    ) -> list[JobState | None]:
        """Do `vanish` for each of the jobs, in order; raises LedgerUnavailable (some may have been done)."""
        states: list[JobState | None] = []
        for start in range(0, len(job_ids), _AT_ONCE):
            calls = [
                ("vanish", job_id, list_began_ms, ms(grace_s), ms(apart_s))
                for job_id in job_ids[start : start + _AT_ONCE]
            ]
            replies = await self._scripts.run_all(calls)
            states += [JobState(text(reply[0])) if reply else None for reply in replies]
        return states

    async def absent(self, limit: int) -> list[str]:
        """Return up to *limit* jobs whose links were missing from a list, longest first; raises LedgerUnavailable."""
        with translated():
            rows = await self._scripts.redis.zrange(self._keys.absent, 0, limit - 1)
        return [text(row) for row in rows]

    async def reappear(self, job_ids: Sequence[str]) -> None:
        """Forget that the jobs' links were missing; raises LedgerUnavailable (some may be forgotten)."""
        for start in range(0, len(job_ids), _PER_SCRIPT):
            await self._scripts.run("reappear", *job_ids[start : start + _PER_SCRIPT])

    async def linked(self, *, has_vanished: bool = False) -> AsyncIterator[list[tuple[str, int]]]:
        """Yield the linked jobs (or those failed by `link_vanished`) a page at a time, each with since when, in ms.

        Plain reads of some thousand rows: whatever their number, they are never all here at once, and no script runs.
        Raises LedgerUnavailable.
        """
        key = self._keys.failed + VANISHED if has_vanished else self._keys.state + JobState.LINKED
        stream = MergedStream(self._scripts, {key: None}, (), None)
        while page := await stream.take(_PAGE):
            yield [(job_id, int(float(mark.partition(":")[0]))) for mark, job_id in page]

    async def note(self, **facts: Any) -> None:
        """Write down what was seen of the partner, by the names of `PartnerView`; raises LedgerUnavailable, LedgerFull.

        None forgets a fact; texts are cut short.
        """
        flat: list[str] = []
        for name, value in facts.items():
            flat += (name, _word(name, value))
        await self._scripts.run("partner_note", *flat)

    async def view(self) -> PartnerView:
        """Return what was last seen of the partner; raises LedgerUnavailable."""
        with translated():
            row = await self._scripts.redis.hgetall(self._keys.partner_view)
        return _view({text(name): text(value) for name, value in row.items()})

    async def expiring(self) -> tuple[ExpiringNumber, ...]:
        """Return the registered numbers near the end of their 90 days, as of the last look; raises LedgerUnavailable."""
        return (await self.view()).numbers


def _word(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "numbers":
        rows = [
            (each.number, each.expires_at_ms, each.job_id, each.is_linked) for each in value[:MOST_NUMBERS]
        ]
        return json.dumps(rows, separators=(",", ":"))
    return str(value)[:_MOST_TEXT]


def _view(row: Mapping[str, str]) -> PartnerView:
    def ms_of(name: str) -> int | None:
        return int(row[name]) if row.get(name) else None

    return PartnerView(
        polled_at_ms=ms_of("polled_at_ms"),
        listed_at_ms=ms_of("listed_at_ms"),
        listed=ms_of("listed") or 0,
        registered_at_ms=ms_of("registered_at_ms"),
        suspicious_since_ms=ms_of("suspicious_since_ms"),
        missing=ms_of("missing") or 0,
        hinted_at_ms=ms_of("hinted_at_ms"),
        refused_at_ms=ms_of("refused_at_ms"),
        refused_from=row.get("refused_from") or None,
        numbers=tuple(
            ExpiringNumber(number=number, expires_at_ms=at_ms, job_id=job_id, is_linked=is_linked)
            for number, at_ms, job_id, is_linked in json.loads(row.get("numbers") or "[]")
        ),
    )
