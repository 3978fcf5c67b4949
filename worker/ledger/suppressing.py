"""The stop list: contacts that get no message, whoever asks for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worker.domain.stop_list import Suppressed, fingerprint_of
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.records import Page
from worker.ledger.scripts import Scripts, text

#: Contacts per script: each that is new leaves an entry in the trail.
_AT_ONCE = 50
_SCANNED_AT_ONCE = 1_000
MOST_SHOWN = 1_000


class Suppressing:
    """The stop list of one namespace. Contacts are as `stop_list.read_contact` returns them."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def add(self, *contacts: str, by: str, why: str = "") -> int:
        """Put *contacts* on the list; return how many were not there yet. One that stands there stays as it is.

        Raises LedgerUnavailable, LedgerFull: some may stand there; saying it again does no harm.
        """
        return sum(await self._run("suppress_add", list(dict.fromkeys(contacts)), by, why))

    async def remove(self, *contacts: str, by: str, why: str = "") -> int:
        """Take *contacts* off the list; return how many stood there. Raises LedgerUnavailable: see `add`.

        One of whom only a fingerprint stands there, since he was erased, counts as standing there.
        """
        both = [each for contact in dict.fromkeys(contacts) for each in (contact, fingerprint_of(contact))]
        flags = await self._run("suppress_remove", both, by, why)
        return sum(map(max, flags[::2], flags[1::2]))

    async def holds(self, contacts: Sequence[str]) -> dict[str, Suppressed]:
        """Return those of *contacts* that are on the list; raises LedgerUnavailable."""
        if not contacts:
            return {}
        fingerprints = [fingerprint_of(contact) for contact in contacts]
        with translated():
            values = await self._scripts.redis.hmget(self._keys.suppressed, [*contacts, *fingerprints])
        rows = zip([*contacts, *contacts], values, strict=True)
        return {contact: _entry(contact, text(value)) for contact, value in rows if value is not None}

    async def named(self, contacts: Sequence[str]) -> Sequence[str]:
        """Return those of *contacts* that stand on the list as they are, not by a fingerprint; raises LedgerUnavailable."""
        if not contacts:
            return []
        with translated():
            values = await self._scripts.redis.hmget(self._keys.suppressed, list(contacts))
        return [contact for contact, value in zip(contacts, values, strict=True) if value is not None]

    async def list(self, *, limit: int = MOST_SHOWN) -> Page[Suppressed]:
        """Return the list, the latest first, up to *limit* of it; raises LedgerUnavailable."""
        with translated():
            # Bit by bit: a list of many thousands is not to keep the server from its work.
            found = self._scripts.redis.hscan_iter(self._keys.suppressed, count=_SCANNED_AT_ONCE)
            rows = {text(contact): text(value) async for contact, value in found}
        entries = [_entry(contact, value) for contact, value in rows.items()]
        entries.sort(key=lambda each: (-each.at_ms, each.contact))
        return Page(items=tuple(entries[:limit]), next=None, total=len(entries), is_total_exact=True)

    async def _run(self, verb: str, contacts: Sequence[str], by: str, why: str) -> Sequence[int]:
        """Return for each contact whether the verb changed it."""
        replies = [await self._scripts.run(verb, by, why, *some) for some in _pieces(contacts)]
        return [int(flag) for flags in replies for flag in flags]


def _pieces(contacts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(contacts), _AT_ONCE):
        yield contacts[start : start + _AT_ONCE]


def _entry(contact: str, fact: str) -> Suppressed:
    at_ms, by, why = fact.split(UNIT_SEPARATOR, 2)
    return Suppressed(contact=contact, at_ms=int(at_ms), by=by, why=why)
