"""One command's session: settings, the ledger (on Redis or the embedded Valkey) and what is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from worker.domain.brand import Brand, LiveBrands
from worker.domain.states import Channel
from worker.ledger import Ledger, open_redis
from worker.limits import Limits
from worker.ops.desk import Desk
from worker.settings import Settings

if TYPE_CHECKING:
    from producers.enqueue import Door
    from worker.broker import BrokerBell
    from worker.domain.parse import ParseRules
    from worker.ops.change import Changing
    from worker.ops.edit import Editing
    from worker.ops.holds import Holds
    from worker.ops.partner_view import PartnerLists
    from worker.ops.teach import Teaching
    from worker.ops.trail import AuditTrail


@dataclass(kw_only=True)
class Session(Desk):
    """What a command works with."""

    is_embedded: bool = False  #: its server is the one that comes with the package
    _bell: BrokerBell | None = field(default=None, init=False)

    @cached_property
    def trail(self) -> AuditTrail:
        """Return what operators did."""
        from worker.ops.trail import AuditTrail

        return AuditTrail(self.ledger)

    @cached_property
    def holds(self) -> Holds:
        """Return what is held, and why."""
        from worker.ops.holds import Holds

        return Holds(self.ledger, self.limits, self.catalogue)

    @cached_property
    def teaching(self) -> Teaching:
        """Return what takes operators' lessons about reasons."""
        from worker.ops.teach import Teaching

        return Teaching(self.ledger, self.catalogue)

    async def ask_partner(self) -> PartnerLists:
        """Return the partner's lists as they are right now, within seconds, or why there are none; raises nothing."""
        from linkferry.partner_lists import ask_briefly
        from worker.limits import TokenStore

        redis = open_redis(self.settings.redis_url_required)
        try:
            return await ask_briefly(
                self.settings, self.limits, TokenStore(redis, namespace=self.settings.namespace)
            )
        finally:
            await redis.aclose()

    @cached_property
    def brands(self) -> LiveBrands:
        """Return the brands that requests may name, as they were when the session began."""

        def own() -> Brand:
            from worker.main import own_brand

            return own_brand(self.settings)

        return LiveBrands(own)

    @cached_property
    def editing(self) -> Editing:
        """Return what edits failed jobs' requests, by the rules of the door."""
        from worker.ops.edit import Editing

        return Editing(self.ledger, self._rules())

    @cached_property
    def changing(self) -> Changing:
        """Return what has links replaced, by the rules of the door."""
        from worker.ops.change import Changing

        return Changing(self.ledger, self._rules())

    def _rules(self) -> ParseRules:
        from worker.domain.parse import ParseRules

        return ParseRules(
            region=self.settings.default_region, locale=self.settings.default_locale, brands=self.brands
        )

    @property
    def bell(self) -> BrokerBell:
        """Return the bell that wakes the workers."""
        if self._bell is None:
            from worker.broker import BrokerBell, make_broker

            broker = make_broker(self.settings.broker_url_effective, namespace=self.settings.namespace)
            self._bell = BrokerBell(broker)
        return self._bell

    def door(self, *, accept_names: bool = False) -> Door:
        """Return the door through which requests come in."""
        return build_door(
            self.settings, self.ledger, self.bell, brands=self.brands, accept_names=accept_names
        )

    async def aclose(self) -> None:
        """Ring what is still to be rung."""
        if self._bell is not None:
            await self._bell.aclose()


def build_door(
    settings: Settings, ledger: Ledger, bell: BrokerBell, *, brands: LiveBrands, accept_names: bool = False
) -> Door:
    """Return the door through which requests come in, as the settings want it."""
    from producers.enqueue import Door
    from worker.domain.parse import ParseRules

    rules = ParseRules(
        region=settings.default_region,
        locale=settings.default_locale,
        accept_names=accept_names,
        brands=brands,
    )
    return Door(
        ledger,
        bell,
        rules=rules,
        channels=settings.channels,
        switched_off=() if settings.sms_provider != "none" else (Channel.SMS,),
        channel_policy=settings.channel_policy,
        max_waiting=settings.max_waiting,
    )


@contextmanager
def on_some_redis(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with a server: REDIS_URL's, or the embedded Valkey for as long as the block lasts.

    Raises:
        EmbeddedError: no server is named and the embedded one would not start.
    """
    if settings.redis_url is not None:
        yield settings
        return
    from linkferry import embedded

    with embedded.entered(settings.data_dir) as url:
        yield settings.with_redis(url)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[Session]:
    """Connect by *settings*, which name a server; raises LedgerUnavailable and SchemaMismatch."""
    redis = open_redis(settings.redis_url_required)
    session: Session | None = None
    try:
        session = Session(
            settings=settings,
            ledger=Ledger(redis, namespace=settings.namespace),
            limits=Limits(
                redis, namespace=settings.namespace, name="partner", ceiling=settings.provider_rate
            ),
            catalogue=settings.load_catalogue(),
        )
        await session.ledger.open()
        await session.ledger.taught.refresh(session.catalogue)
        await session.ledger.brands.refresh(session.brands)
        yield session
    finally:
        if session is not None:
            await session.aclose()
        await redis.aclose()


def run_session(settings: Settings, body: Callable[[Session], Coroutine[Any, Any, int | None]]) -> int | None:
    """Run *body* in a session of its own and return its exit code."""
    quiet_logs()

    async def run(on_redis: Settings) -> int | None:
        async with open_session(on_redis) as session:
            session.is_embedded = settings.redis_url is None
            return await body(session)

    with on_some_redis(settings) as on_redis:
        return asyncio.run(run(on_redis))


def quiet_logs() -> None:
    """Let a command print its own words only; warnings and worse still come through, on standard error."""
    import logging

    from worker.telemetry import configure_logging

    configure_logging("console", level=logging.WARNING)
