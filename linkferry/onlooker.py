"""The ledger, the limits and the partner's lists, to be asked by a command that must change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from linkferry.partner_lists import ask_lists
from linkferry.session import on_some_redis
from producers.backfill.forecast import Forecast, forecast, lane_stop, waiting_ahead
from producers.backfill.preflight import Missing, PartnerLists
from worker.domain.brand import LiveBrands
from worker.ledger import Known, Ledger, LedgerUnavailable, SchemaMismatch, open_redis
from worker.ledger.keys import OLDEST_KNOWN, SCHEMA_VERSION
from worker.limits import Limits, LimitsUnavailable, TokenStore
from worker.ops.queries import Queries
from worker.settings import Settings, SettingsError


@contextmanager
def on_known_redis(settings: Settings, *, is_calling: bool) -> Iterator[Settings]:
    """Yield settings that name a server to ask, or none where nothing can have been recorded yet.

    A ledger that does not exist is not made just to be asked. *is_calling*, with credentials, makes its server all
    the same: the partner is called under the fleet's limit only.

    Raises:
        EmbeddedError: the embedded server would not start.
    """
    is_new = settings.redis_url is None and not (settings.data_dir / "valkey").is_dir()
    if is_new and not (is_calling and settings.has_credentials):
        yield settings
        return
    with on_some_redis(settings) as on_redis:
        yield on_redis


@asynccontextmanager
async def open_onlooker(settings: Settings) -> AsyncIterator[Onlooker | Nobody]:
    """Yield who is to be asked: nobody where *settings* name no server, for then nothing was ever recorded.

    Raises:
        SchemaMismatch: the ledger was written by another version.
    """
    if settings.redis_url is None:
        yield Nobody(settings)
        return
    redis = open_redis(settings.redis_url_required)
    try:
        onlooker = Onlooker(
            settings=settings,
            ledger=Ledger(redis, namespace=settings.namespace),
            limits=Limits(
                redis, namespace=settings.namespace, name="partner", ceiling=settings.provider_rate
            ),
            tokens=TokenStore(redis, namespace=settings.namespace),
        )
        await onlooker.require_schema()
        yield onlooker
    finally:
        await redis.aclose()


@dataclass(frozen=True, kw_only=True)
class Onlooker:
    """Asks. The ledger is not opened: that would write its schema into a new one."""

    settings: Settings
    ledger: Ledger
    limits: Limits
    tokens: TokenStore

    async def known(self, claims: Sequence[str]) -> list[Known | None]:
        """Return who stands on each claim; raises LedgerUnavailable."""
        return await self.ledger.queries.known(claims)

    async def require_schema(self) -> None:
        """Make sure that what is read means what it seems to; a server that is away is none of this one's business.

        Raises:
            SchemaMismatch: the ledger was written by another version.
        """
        try:
            found = await self.ledger.queries.schema()
        except LedgerUnavailable:
            return
        if found is not None and not OLDEST_KNOWN <= found <= SCHEMA_VERSION:
            message = f"the ledger has schema {found}, this version knows {SCHEMA_VERSION}"
            raise SchemaMismatch(message)

    async def brands(self) -> LiveBrands:
        """Return the brands that rows may name; any where the ledger cannot be asked."""
        brands = LiveBrands()
        with suppress(LedgerUnavailable):
            await self.ledger.brands.refresh(brands)
        return brands

    async def lists(self) -> PartnerLists:
        """Return the partner's lists, or why there are none."""
        if not self.settings.has_credentials:
            return _no_lists(NO_CREDENTIALS)
        try:
            return await ask_lists(self.settings, self.limits, self.tokens)
        except SettingsError as exc:
            return _no_lists(Missing(reason="partner_unreachable", detail=str(exc)))
        except LimitsUnavailable:
            return _no_lists(NO_REDIS)

    async def ours(self, job_ids: Sequence[str]) -> set[str]:
        """Return which of the ids are jobs of the ledger; all of them where it cannot be asked."""
        try:
            return {job.id for job in await self.ledger.queries.jobs(job_ids)}
        except LedgerUnavailable:
            return set(job_ids)

    async def expect(self, calls: int) -> Forecast:
        """Return how long so many creates take; by the configured rate where Redis does not answer."""
        ceiling = self.settings.provider_rate
        try:
            status, now_ms = await self.limits.status(), await self.ledger.now_ms()
            document = await Queries(self.ledger, self.limits, self.settings.load_catalogue()).status()
        except (LedgerUnavailable, LimitsUnavailable):
            return Forecast(calls=calls, rate=ceiling, ceiling=ceiling, waiting_ahead=None)
        return forecast(
            calls, status, waiting_ahead=waiting_ahead(document), now_ms=now_ms, stopped=lane_stop(document)
        )


@dataclass(frozen=True)
class Nobody:
    """Answers where no ledger was ever made: nothing is known, nothing waits, and nobody is called."""

    settings: Settings

    async def known(self, claims: Sequence[str]) -> list[Known | None]:
        """Return that nobody stands on any claim."""
        return [None] * len(claims)

    async def brands(self) -> LiveBrands:
        """Return that there are none."""
        brands = LiveBrands()
        brands.take([], default=None, version=0)
        return brands

    async def lists(self) -> PartnerLists:
        """Return why there are none: with credentials there would be a ledger to call by."""
        return _no_lists(NO_CREDENTIALS)

    async def ours(self, _job_ids: Sequence[str]) -> set[str]:
        """Return that none is ours."""
        return set()

    async def expect(self, calls: int) -> Forecast:
        """Return how long so many creates take by the configured rate."""
        rate = self.settings.provider_rate
        return Forecast(calls=calls, rate=rate, ceiling=rate, waiting_ahead=0)


def _no_lists(missing: Missing) -> PartnerLists:
    return PartnerLists(registered=missing, accounts=missing)


NO_CREDENTIALS = Missing(
    reason="credentials_missing",
    detail="Set LINKFERRY_PROVIDER_CLIENT_ID and LINKFERRY_PROVIDER_CLIENT_SECRET, or try it with --sandbox.",
)
NO_REDIS = Missing(
    reason="token_unavailable",
    detail="Redis does not answer, and the partner is called under its limit only.",
)
