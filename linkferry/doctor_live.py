"""`linkferry doctor --live` and `--send-test`: asking the real partner and the real mail and SMS providers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from linkferry import doctor_webhook
from linkferry.doctor import Finding, bad, ok
from worker.dispatch.preview import FIXTURES
from worker.domain.brand import Brand, LiveBrands
from worker.domain.outcome import NotDone, Unanswered
from worker.ledger import Ledger, LedgerUnavailable, open_redis
from worker.limits import Limits, TokenStore
from worker.main import build_partner, own_brand
from worker.settings import Settings

_WHAT_IT_MEANS = "linkferry reasons list says what it means."


async def examine_live(settings: Settings) -> list[Finding]:
    """Make the partner's read-only calls: a token and both lists. Creates nothing."""
    if not settings.has_credentials:
        return [bad("live", "No credentials to call the partner with.", "Set them first, see above.")]
    redis = open_redis(settings.redis_url_required)
    try:
        limits = Limits(redis, namespace=settings.namespace, name="partner", ceiling=settings.provider_rate)
        tokens = TokenStore(redis, namespace=settings.namespace)
        async with build_partner(settings, limits, tokens) as partner:
            token = await partner.token()
            if not isinstance(token, str):
                return [_not_done("access token", token)]
            registered = "registered numbers wait for a link"
            return [
                ok("live", "The partner gave an access token."),
                await _list_finding("getAccounts", "links", partner.get_accounts),
                await _list_finding("getRegisteredNumbers", registered, partner.get_registered),
                *await doctor_webhook.look_at_partner(settings, limits),
            ]
    finally:
        await redis.aclose()


async def _list_finding(
    call: str, what: str, ask: Callable[[], Awaitable[Sequence[object] | NotDone | Unanswered]]
) -> Finding:
    answer = await ask()
    if isinstance(answer, (NotDone, Unanswered)):
        return _not_done(call, answer)
    return ok("live", f"{call}: {len(answer)} {what}.")


def _not_done(call: str, ending: NotDone | Unanswered) -> Finding:
    detail = f" ({ending.detail})" if ending.detail else ""
    return bad("live", f"{call}: {ending.reason}{detail}", _WHAT_IT_MEANS)


async def send_test(settings: Settings, address: str) -> Finding:
    """Send one sample invitation to *address*, an e-mail address or a number. Its links lead nowhere."""
    from linkferry.commands.preview_send import send_to

    delivery = FIXTURES["several"].delivery(settings.default_locale)
    return await send_to(settings, address, delivery, await _default_brand(settings))


async def _default_brand(settings: Settings) -> Brand:
    brands = LiveBrands(partial(own_brand, settings))
    redis = open_redis(settings.redis_url_required)
    try:
        with suppress(LedgerUnavailable):
            await Ledger(redis, namespace=settings.namespace).brands.refresh(brands)
    finally:
        await redis.aclose()
    return brands.chosen(None)
