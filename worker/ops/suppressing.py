"""The stop list for the command line and the console alike: read, shown masked, explained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.request import OnboardingRequest
from worker.domain.stop_list import Suppressed, contacts_of, is_fingerprint, read_contact, shown_contact
from worker.ledger import Ledger
from worker.ops.views import iso

DEFAULT_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What a list of lines held: contacts, and the lines that are none with what is wrong with them."""

    contacts: tuple[str, ...]
    problems: tuple[tuple[int, str], ...]  #: number of the line from 1, and why it can't be taken


def read_lines(lines: Iterable[str], *, region: str) -> Typed:
    """Return the contacts of *lines*, one a line; empty ones and those that begin with `#` are passed over."""
    contacts: list[str] = []
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        written = line.strip().lstrip("\ufeff")
        if not written or written.startswith("#"):
            continue
        try:
            contacts.append(read_contact(written, region=region))
        except ValueError as error:
            problems.append((number, str(error)))
    return Typed(contacts=tuple(dict.fromkeys(contacts)), problems=tuple(problems))


class StopList:
    """Who gets no message, as operators see and change it."""

    def __init__(self, ledger: Ledger) -> None:
        """Read and change the stop list of *ledger*."""
        self._list = ledger.suppressing

    async def add(self, contacts: Sequence[str], *, by: str, why: str) -> dict[str, Any]:
        """Put contacts on the list: `{"added", "known"}`, how many; raises LedgerUnavailable, LedgerFull."""
        added = await self._list.add(*contacts, by=by, why=why)
        return {"added": added, "known": len(set(contacts)) - added}

    async def remove(self, contacts: Sequence[str], *, by: str, why: str) -> dict[str, Any]:
        """Take contacts off the list: `{"removed", "unknown"}`, how many; raises LedgerUnavailable."""
        removed = await self._list.remove(*contacts, by=by, why=why)
        return {"removed": removed, "unknown": len(set(contacts)) - removed}

    async def all(self, *, limit: int = DEFAULT_LIMIT, is_revealed: bool = False) -> dict[str, Any]:
        """Return the list, the latest first: `{"items", "next", "total"}`; raises LedgerUnavailable."""
        page = await self._list.list(limit=limit)
        items = [stop_view(each, is_revealed=is_revealed) for each in page.items]
        return {"items": items, "next": None, "total": page.total}

    async def of(
        self, requests: Iterable[OnboardingRequest], *, is_revealed: bool = False
    ) -> list[dict[str, Any]]:
        """Return what of these requests' contacts is on the list; raises LedgerUnavailable."""
        contacts = list(dict.fromkeys(each for request in requests for each in contacts_of(request)))
        found = await self._list.holds(contacts)
        return [stop_view(each, is_revealed=is_revealed) for each in found.values()]


def stop_view(entry: Suppressed, *, is_revealed: bool) -> dict[str, Any]:
    """Return one contact of the stop list, ready for JSON."""
    return {
        "contact": shown_contact(entry.contact, is_revealed=is_revealed),
        "kind": _kind(entry.contact),
        "since": iso(entry.at_ms),
        "by": entry.by,
        "why": entry.why,
    }


def _kind(contact: str) -> str:
    if is_fingerprint(contact):
        return "erased"
    return "email" if "@" in contact else "number"
