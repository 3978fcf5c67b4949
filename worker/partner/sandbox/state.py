"""The sandbox's truth: every link ever made, every number, every call. What tests check the rest against."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

CALLS_KEPT = 100_000
WEBHOOKS_KEPT = 1_000
REGISTRATION_DAYS = 90  #: documented: so long a registered number waits


@dataclass(kw_only=True)
class Link:
    """One onboarding link, from its making to its end."""

    code: str
    kind: str  #: `whatsapp` or `facebook`
    url: str
    reference: str | None
    created_at: float  #: unix seconds, as all times here
    number: str | None = None
    type: int | None = None
    landing_page: str | None = None
    is_coexistence: bool = False
    sent: dict[str, Any] = field(default_factory=dict)  #: the create's body
    deleted_at: float | None = None
    finished_at: float | None = None

    @property
    def is_live(self) -> bool:
        """Tell whether the link has not been deleted."""
        return self.deleted_at is None


@dataclass(kw_only=True)
class Tally:
    """What has been asked of one number."""

    creates: int = 0
    refused_second: int = 0  #: creates while a link stood
    live_max: int = 0  #: the most links that ever stood at once


class SandboxState:
    """All that the sandbox knows. Changes of links are kept in a journal where *journal* names a file."""

    def __init__(self, journal: Path | None = None) -> None:
        self.usual_webhook_url: str | None = None  #: of whoever runs the sandbox; a reset does not forget it
        self.clear()
        self._journal: IO[str] | None = None
        if journal is not None:
            self._replay(journal)
            self._journal = journal.open("a", encoding="utf-8")

    def clear(self) -> None:
        """Forget everything."""
        self.links: dict[str, Link] = {}
        self.by_number: dict[str, list[Link]] = {}
        self.by_reference: dict[str, list[Link]] = {}
        self.tallies: dict[str, Tally] = {}
        self.registered: dict[str, float] = {}
        self.unregistered: set[str] = set()
        self.asked: dict[str, None] = {}  # numbers that a create named, in order
        self.webhook_url: str | None = None
        self.business: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.call_log: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        self.suffered: Counter[str] = Counter()
        self.refused_429 = 0
        self.token_calls = 0
        self.token_refusals = 0
        self.webhooks: deque[dict[str, Any]] = deque(maxlen=WEBHOOKS_KEPT)

    def reset(self) -> None:
        """Forget everything, the journal's content included."""
        self.clear()
        if self._journal is not None:
            self._journal.truncate(0)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # --- changes that survive a restart ---

    def add_link(self, link: Link) -> None:
        """Record a link that was made."""
        self._write({"event": "link", **asdict(link)})
        self._index(link)

    def delete(self, link: Link) -> None:
        """Record that *link* was deleted."""
        link.deleted_at = time.time()
        self._write({"event": "deleted", "code": link.code, "at": link.deleted_at})

    def finish(self, link: Link, *, final_number: str | None = None) -> None:
        """Record that the customer finished; a coexistence link has his own number from then on."""
        link.finished_at = time.time()
        self._write({"event": "finished", "code": link.code, "at": link.finished_at, "number": final_number})
        self._move(link, final_number)

    def _move(self, link: Link, number: str | None) -> None:
        if number is None or link.number is None:
            return
        self.by_number[link.number].remove(link)
        link.number = number
        self.by_number.setdefault(number, []).append(link)

    def register(self, number: str, expires_at: float | None = None) -> None:
        """Record that *number* is registered and verified."""
        at = time.time() + REGISTRATION_DAYS * 86_400 if expires_at is None else expires_at
        self.registered[number] = at
        self.unregistered.discard(number)
        self._write({"event": "registered", "number": number, "at": at})

    def unregister(self, number: str) -> None:
        """Record that *number* is not registered."""
        self.registered.pop(number, None)
        self.unregistered.add(number)
        self._write({"event": "unregistered", "number": number})

    def set_webhook(self, url: str) -> None:
        """Record where completions are announced."""
        self.webhook_url = url
        self._write({"event": "webhook", "url": url})

    # --- reading ---

    @property
    def announced_to(self) -> str | None:
        """Return where completions are announced: where a caller said, else where they usually are."""
        return self.webhook_url or self.usual_webhook_url

    def live_link(self, number: str) -> Link | None:
        """Return the link that stands for *number*."""
        return next((link for link in reversed(self.by_number.get(number, [])) if link.is_live), None)

    def new_code(self) -> str:
        """Return a code that no link has."""
        while (code := secrets.token_urlsafe(9)) in self.links:
            pass
        return code

    def new_temporary_number(self) -> str:
        """Return a number for a coexistence link: documented to begin with 97257."""
        while (number := f"97257{secrets.randbelow(10**7):07d}") in self.by_number:
            pass
        return number

    def tally(self, number: str) -> Tally:
        """Return the count of what was asked of *number*."""
        return self.tallies.setdefault(number, Tally())

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON."""
        times = [call["at"] for call in self.call_log if call["http"] != 429]
        return {
            "numbers": {
                number: self._number(number) for number in self.by_number.keys() | self.tallies.keys()
            },
            "facebook": _by_reference(self.links.values()),
            "coexistence": {
                link.reference or link.code: link.number
                for link in self.links.values()
                if link.is_coexistence
            },
            "registered": sorted(self.registered),
            "webhook_url": self.announced_to,
            "webhooks": list(self.webhooks),
            "calls": dict(self.calls),
            "calls_total": sum(self.calls.values()),
            "refused_429": self.refused_429,
            "token_calls": self.token_calls,
            "token_refusals": self.token_refusals,
            "faults_suffered": dict(self.suffered),
            "first_call_at": times[0] if times else None,
            "last_call_at": times[-1] if times else None,
            "live_max": max((tally.live_max for tally in self.tallies.values()), default=0),
        }

    def _number(self, number: str) -> dict[str, Any]:
        links = self.by_number.get(number, [])
        return {
            "links": [_told(link) for link in links],
            "live": sum(link.is_live for link in links),
            **asdict(self.tally(number)),
        }

    # --- the journal ---

    def _index(self, link: Link) -> None:
        self.links[link.code] = link
        if link.reference:
            self.by_reference.setdefault(link.reference, []).append(link)
        if link.number is None:
            return
        same = self.by_number.setdefault(link.number, [])
        same.append(link)
        tally = self.tally(link.number)
        tally.live_max = max(tally.live_max, sum(other.is_live for other in same))

    def _write(self, event: Mapping[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._journal.flush()

    def _replay(self, journal: Path) -> None:
        journal.parent.mkdir(parents=True, exist_ok=True)
        if not journal.exists():
            return
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:  # the last line of a process that was killed
                continue
            self._apply(event)

    def _apply(self, event: dict[str, Any]) -> None:
        match event.pop("event", None):
            case "link":
                self._index(Link(**event))
            case "deleted" if event["code"] in self.links:
                self.links[event["code"]].deleted_at = event["at"]
            case "finished" if event["code"] in self.links:
                self.links[event["code"]].finished_at = event["at"]
                self._move(self.links[event["code"]], event.get("number"))
            case "registered":
                self.register(event["number"], event["at"])
            case "unregistered":
                self.unregister(event["number"])
            case "webhook":
                self.webhook_url = event["url"]


def _told(link: Link) -> dict[str, Any]:
    return {
        "link": link.url,
        "reference": link.reference,
        "created_at": link.created_at,
        "deleted_at": link.deleted_at,
        "finished_at": link.finished_at,
    }


def _by_reference(links: Any) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {}
    for link in links:
        if link.kind == "facebook":
            told.setdefault(link.reference or "", []).append({**_told(link), "type": link.type})
    return told
