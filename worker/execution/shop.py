"""The shop: everything an attempt works with, built once per process by `worker.main`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.broker import BrokerBell
from worker.clock import Clock
from worker.dispatch import Composer
from worker.dispatch.alerts import AlertSink
from worker.domain.brand import LiveBrands
from worker.domain.lessons import LiveCatalogue
from worker.domain.outcome import DeliveryOutcome
from worker.domain.send_window import ALWAYS_OPEN, ClosedTimes, SendWindow, closed_times
from worker.domain.states import Channel, Lane
from worker.execution.heartbeat import Heartbeat
from worker.ledger import Ledger
from worker.limits import Limits
from worker.partner import PartnerClient
from worker.telemetry import Stats

#: Of a message's lease, how much sending it may take.
_SEND_SHARE = 0.75


class Dispatcher(Protocol):
    """Hands one composed message of its channel to a provider."""

    async def dispatch(
        self, message: Any, *, before_data: Callable[[], Awaitable[bool]], deadline_s: float | None = None
    ) -> DeliveryOutcome:
        """Send *message* unless `before_data()` says no; return what came of it."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class Places:
    """How many of each kind this process works on at once, so that none can take the room of another.

    Never more than *creates* of both lanes together. Some of them are `live`'s alone: a backfill that fills the rest
    never makes a single customer wait.
    """

    def __init__(self, *, creates: int, live_only: int, mails: int, texts: int) -> None:
        self.bulk_creates = max(1, creates - live_only)
        all_creates = asyncio.Semaphore(creates)
        self._rooms = {
            Lane.LIVE.value: (all_creates,),
            # Its own share first: a bulk job that waits for that keeps no place from a live one.
            Lane.BULK.value: (asyncio.Semaphore(self.bulk_creates), all_creates),
            Channel.EMAIL.value: (asyncio.Semaphore(mails),),
            Channel.SMS.value: (asyncio.Semaphore(texts),),
        }

    @asynccontextmanager
    async def one(self, kind: Lane | Channel, *, patience_s: float = 1.0) -> AsyncIterator[bool]:
        """Hold a place for the block; yields False when none came free within *patience_s* seconds."""
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(patience_s):
                    for room in self._rooms[kind.value]:
                        await places.enter_async_context(room)
            except TimeoutError:
                await places.aclose()
                yield False
                return
            yield True


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What the handlers need. Nothing in it knows which engine calls them."""

    worker_id: str
    ledger: Ledger
    limits: Limits
    channel_limits: Mapping[Channel, Limits]
    partner: PartnerClient
    catalogue: LiveCatalogue
    composer: Composer
    dispatchers: Mapping[Channel, Dispatcher]  #: the channels that can send; messages for others wait
    bell: BrokerBell
    stats: Stats
    clock: Clock
    places: Places
    heartbeat: Heartbeat
    lease_s: float
    call_timeout_s: float
    resend_after_s: float  #: a mail in doubt is sent once more after this long
    doubt_grace_s: float = 60.0  #: a call whose answer was lost may still be done so long after
    alert_sinks: Sequence[AlertSink] = ()  #: who hears of what is wrong
    brands: LiveBrands = field(default_factory=LiveBrands)  #: who messages are from
    window: SendWindow | None = None  #: when messages may go out; None: always
    is_live_exempt: bool = False  #: single customers' invitations do not wait for it
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def send_within_s(self) -> float:
        """Return how long a send may take up to the message's last byte. The answer may come later."""
        return self.lease_s * _SEND_SHARE

    def closed_times(self) -> ClosedTimes:
        """Return when no message may begin to go out: early enough that its last byte is out when the window closes."""
        if self.window is None:
            return ALWAYS_OPEN
        hour = self.clock.now().replace(minute=0, second=0, microsecond=0)
        return closed_times(self.window, hour, early_s=self.send_within_s, is_live_exempt=self.is_live_exempt)
