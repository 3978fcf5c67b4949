"""Where the partner reports completions: `POST /provider/webhook/{secret}`. Recorded as it came, then acked.

The partner signs nothing. So three things stand between a stranger and a change: a path that nobody guesses, the address
that the request comes from, and that a report is no more than a hint, which a worker looks up (`worker.execution.
completion`). Nothing is parsed here.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol

from aiohttp import web

from producers.bodies import BODY_DEADLINE_S, BadBodyError, read_body
from producers.crm.signing import is_same
from producers.problems import full, not_found
from worker.clock import Clock, SystemClock
from worker.domain.event import EventReceipt, EventVerdict, NewEvent
from worker.domain.ids import new_event_id
from worker.domain.report import FORWARD_SOURCE, WEBHOOK_SOURCE, packed
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.telemetry import Stats, log

#: The partner's own reports have some hundred bytes.
MAX_REPORT_BYTES = 64 * 1024
REPORTS_IN = "provider_reports_in"  #: the counter, by outcome and reason
#: The same body again within a minute is the same report: whoever sends it over and over causes no more work.
_SAME_WITHIN_MS = 60_000
_REFUSED_NOTED_EVERY_S = 10.0
_LONGEST_TYPE = 100
_CHANCE_BITS = 50
_REFUSED_BODIES = {400: "cut_off", 408: "too_slow", 413: "too_large", 415: "compressed"}

_Address = IPv4Address | IPv6Address


class Recorder(Protocol):
    """What is needed of the ledger's incoming events."""

    async def record(
        self, events: Sequence[NewEvent], *, max_waiting: int, durable: bool = True
    ) -> list[EventReceipt]:
        """Record events durably; raises LedgerUnavailable or LedgerFull."""
        ...


class Notebook(Protocol):
    """Where a refusal is left for `linkferry doctor`."""

    async def note(self, **facts: object) -> None:
        """Write down facts; raises LedgerUnavailable or LedgerFull."""
        ...


class Senders:
    """The addresses that reports may come from.

    Where we have been told of our proxies, the address is what they say, and it has to be one of these. Where we have
    not, a public peer is the sender himself and is judged alike; a private one may be a proxy that nobody told us of,
    behind which no address can be known: then the path alone has to do. No header is ever believed for it.
    """

    def __init__(self, allowed: Sequence[str], *, has_proxies: bool) -> None:
        self._networks = [ip_network(each, strict=False) for each in allowed]
        self._has_proxies = has_proxies

    def allow(self, address: str) -> bool:
        """Tell whether a report may come from *address*, as far as our own proxies can be believed."""
        parsed = _parsed(address)
        if parsed is not None and any(parsed in network for network in self._networks):
            return True
        return not self._has_proxies and (parsed is None or not parsed.is_global)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeps:
    """What the webhook works with."""

    secret: str | None  #: the unguessable last part of the path; None: not listened to
    senders: Senders
    address_of: Callable[[web.Request], str]
    intake: Recorder
    notebook: Notebook
    stats: Stats
    max_waiting: int
    is_forwarding: bool = False
    clock: Clock = field(default_factory=SystemClock)
    body_deadline_s: float = BODY_DEADLINE_S


def provider_routes(deps: WebhookDeps) -> list[web.RouteDef]:
    """Return the route. Errors become documents in `producers.problems.problem_middleware`."""
    return [web.post("/provider/webhook/{secret}", ReportReceiver(deps).receive)]


class ReportReceiver:
    """Takes the partner's reports in."""

    def __init__(self, deps: WebhookDeps) -> None:
        self._deps = deps
        self._draw = random.SystemRandom().getrandbits
        self._quiet_until_s = 0.0  #: by the clock's monotonic seconds

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Take one report in."""
        # Compared even where nothing is listened to: the time taken does not tell.
        if not is_same(request.match_info["secret"], self._deps.secret or "") or not self._deps.secret:
            return self._nothing_here("wrong_path")
        address = self._deps.address_of(request)
        if not self._deps.senders.allow(address):
            await self._note_stranger(address)
            return self._nothing_here("foreign_address")
        try:
            body = await read_body(request, max_bytes=MAX_REPORT_BYTES, deadline_s=self._deps.body_deadline_s)
        except BadBodyError as error:
            self._refuse(_REFUSED_BODIES[error.response.status])
            return error.response
        return await self._record(body, request.headers.get("Content-Type", "")[:_LONGEST_TYPE])

    async def _record(self, body: bytes, content_type: str) -> web.StreamResponse:
        try:
            receipts = await self._deps.intake.record(
                self._events(body, content_type), max_waiting=self._deps.max_waiting
            )
        except (LedgerUnavailable, LedgerFull):
            self._refuse("ledger_away")
            raise
        verdict = receipts[0].verdict
        if verdict is EventVerdict.FULL:
            self._refuse("ledger_full")
            return full()
        self._deps.stats.count(REPORTS_IN, outcome=verdict.value)
        return web.json_response({"status": "OK"})

    def _events(self, body: bytes, content_type: str) -> list[NewEvent]:
        now_ms = self._deps.clock.now_ms()
        digest = hashlib.sha256(body).hexdigest()
        record = _recorded(body, content_type)
        sources = [WEBHOOK_SOURCE, *([FORWARD_SOURCE] if self._deps.is_forwarding else [])]
        return [
            NewEvent(
                id=new_event_id(now_ms=now_ms, chance=self._draw(_CHANCE_BITS)),
                source=source,
                key=f"{digest[:32]}:{now_ms // _SAME_WITHIN_MS}",
                digest=digest,
                body=record,
            )
            for source in sources
        ]

    async def _note_stranger(self, address: str) -> None:
        """Leave the address of one who knows the path: most likely the partner has moved."""
        log.warning("report_refused", reason="foreign_address", remedy="linkferry doctor")
        now_s = self._deps.clock.monotonic()
        if now_s < self._quiet_until_s:
            return
        self._quiet_until_s = now_s + _REFUSED_NOTED_EVERY_S
        try:
            await self._deps.notebook.note(refused_at_ms=self._deps.clock.now_ms(), refused_from=address)
        except (LedgerUnavailable, LedgerFull) as error:
            log.warning("refusal_not_noted", error=type(error).__name__)

    def _nothing_here(self, reason: str) -> web.Response:
        self._deps.stats.count(REPORTS_IN, outcome="refused", reason=reason)
        response = not_found("There is nothing at this path.")
        response.force_close()  # whatever else a stranger sends is not read
        return response

    def _refuse(self, reason: str) -> None:
        self._deps.stats.count(REPORTS_IN, outcome="refused", reason=reason)
        log.warning("report_refused", reason=reason)


def _recorded(body: bytes, content_type: str) -> str:
    plain_type = content_type.encode("utf-8", "replace").decode()
    try:
        return packed(body.decode(), content_type=plain_type)
    except UnicodeDecodeError:
        return packed(base64.b64encode(body).decode(), content_type=plain_type, is_base64=True)


def _parsed(address: str) -> _Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
