"""Looking customers up in the search index, and comparing what it says with their requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.request import OnboardingRequest
from worker.domain.search import SearchKeys, Sought, moments
from worker.ledger.codec import split_record
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.records import JobFilter
from worker.ledger.scripts import Scripts, text

#: Invitations that are read from the index at most; what more of them share is common enough to be met on the way
#: through the jobs themselves.
MOST_HITS = 20_000
_FEW = 200  #: hits that are compared one by one rather than narrowed down further
#: What a script may spend on the buckets, about in nanoseconds of a server at rest: well below the 5 ms for which a script
#: may keep others waiting on a busy one. Each has a round trip of its own: the server takes what comes in one without
#: turning to anybody else.
_COST_PER_SCRIPT = 1_000_000
_LEAST_MOMENTS = 64  #: asked for in one script
_RECORDS_AT_ONCE = 200
_WHATSAPP = "w"


def keys_of(wanted: JobFilter) -> SearchKeys:
    """Return by what *wanted* looks customers up."""
    return SearchKeys(
        number=wanted.number,
        email=wanted.email,
        name=wanted.name,
        external_id=wanted.external_id,
        reference=wanted.reference,
    )


@dataclass(frozen=True, slots=True)
class _Spread:
    """How many invitations have one of the things looked for, and in which moments' buckets they stand."""

    where: Sought
    moments: tuple[str, ...]
    total: int


class SearchIndex:
    """Finds invitations by what their requests say."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def hits(self, asked: SearchKeys, *, most: int | None = MOST_HITS) -> list[str] | None:
        """Return the ids of invitations among which are all that fit *asked*, newest first.

        None: the rarest thing asked for is shared by more than *most*. What is returned is to be compared (`fitting`).
        Raises LedgerUnavailable.
        """
        sought = asked.sought
        if not sought or asked.is_impossible:
            return []
        spreads = sorted([await self._spread(each) for each in sought], key=lambda spread: spread.total)
        if most is not None and spreads[0].total > most:
            return None
        found: set[str] | None = None
        for spread in spreads:
            if found is not None and (len(found) <= _FEW or spread.total > MOST_HITS):
                break
            its = await self._read(spread)
            found = its if found is None else found & its
        return sorted(found or (), reverse=True)

    async def fitting(self, invitations: Sequence[str], asked: SearchKeys) -> dict[str, str]:
        """Return those whose requests fit *asked*, each with the product codes of its jobs; raises LedgerUnavailable."""
        fit: dict[str, str] = {}
        for start in range(0, len(invitations), _RECORDS_AT_ONCE):
            chunk = invitations[start : start + _RECORDS_AT_ONCE]
            with translated():
                records = await self._scripts.redis.mget([self._keys.invitation + each for each in chunk])
            unsure: dict[str, tuple[str, OnboardingRequest]] = {}
            for invitation, record in zip(chunk, records, strict=True):
                if record is None:
                    continue
                header, body = split_record(record)
                request = OnboardingRequest.decode(body)
                if asked.match(request):
                    fit[invitation] = header["products"]
                elif asked.number is not None:
                    unsure[invitation] = header["products"], request
            if unsure:
                fit |= await self._by_allotted(unsure, asked)
        return fit

    async def _by_allotted(
        self, unsure: dict[str, tuple[str, OnboardingRequest]], asked: SearchKeys
    ) -> dict[str, str]:
        """Return those that fit by the number that their links brought."""
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for invitation in unsure:
                    pipe.hget(f"{self._keys.extra}{invitation}{_WHATSAPP}", "number")
                numbers = await pipe.execute()
        return {
            invitation: codes
            for (invitation, (codes, request)), number in zip(unsure.items(), numbers, strict=True)
            if number is not None and asked.match(request, allotted=text(number))
        }

    async def _spread(self, where: Sought) -> _Spread:
        names, counts = moments(), list[int]()
        most = len(names)
        while len(counts) < len(names):
            start = len(counts)
            reply = await self._ask("search_count", where, names[start : start + most])
            counts += map(int, reply)
            most = max(_LEAST_MOMENTS, 2 * len(reply))
        stand = tuple(name for name, count in zip(names, counts, strict=True) if count)
        return _Spread(where, stand, sum(counts))

    async def _read(self, spread: _Spread) -> set[str]:
        found, start = set[str](), 0
        most = len(spread.moments)
        while start < len(spread.moments):
            done, *ids = await self._ask("search_read", spread.where, spread.moments[start : start + most])
            found.update(map(text, ids))
            start += int(done)
            most = max(_LEAST_MOMENTS, 2 * int(done))
        return found

    async def _ask(self, verb: str, where: Sought, names: Sequence[str]) -> list[Any]:
        """Call a script on as many of the moments as it can afford, from the first one on."""
        reply: list[Any] = await self._scripts.run(
            verb, where.bucket, where.beginning, _COST_PER_SCRIPT, *names
        )
        return reply


class HitsStream:
    """The jobs of invitations that were found, newest first; a mark is a job's id."""

    def __init__(self, index: SearchIndex, asked: SearchKeys, hits: Sequence[str], mark: str | None) -> None:
        """Give the jobs of *hits*, which run from the newest to the oldest, that fit *asked*."""
        self._index = index
        self._asked = asked
        self._mark = mark
        self._hits = hits if mark is None else [hit for hit in hits if hit <= mark[:-1]]
        self._held: list[str] = []

    async def take(self, count: int) -> list[tuple[str, str]]:
        """See `paging.Stream`."""
        while len(self._held) < count and self._hits:
            chunk, self._hits = self._hits[:count], self._hits[count:]
            fit = await self._index.fitting(chunk, self._asked)
            jobs = [hit + code for hit in chunk for code in sorted(fit.get(hit, ""), reverse=True)]
            self._held += [job for job in jobs if self._mark is None or job < self._mark]
        taken, self._held = self._held[:count], self._held[count:]
        return [(job, job) for job in taken]
