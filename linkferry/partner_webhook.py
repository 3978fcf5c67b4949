"""The partner's webhook seen from here: where it is set to lead, where it should, and setting it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from linkferry.listening import webhook_address
from worker.domain.outcome import Answered, Ending, NotDone, Unanswered
from worker.domain.states import Lane
from worker.execution.attempt import shows_health
from worker.ledger import open_redis
from worker.limits import Closed, Limits, TokenStore
from worker.main import build_partner
from worker.partner import PartnerClient
from worker.settings import Settings

LONGEST_URL = 512  #: documented by the partner
_PATIENCE_S = 10.0
_DEEPEST = 4
_URL_NAMES = frozenset({"url", "webhook", "webhook_url"})


class WebhookUnknownError(Exception):
    """The partner could not be asked, or did not answer so that it could be understood; the text is a reason's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leads:
    """Where the partner's webhook leads."""

    url: str | None  #: None: nowhere


async def read_webhook(settings: Settings, limits: Limits) -> Leads:
    """Ask the partner where its webhook leads.

    Raises:
        WebhookUnknownError: it can't be known now.
        LimitsUnavailable, SettingsError.
    """
    ending = await _ask(settings, limits, lambda partner: partner.get_webhook())
    if not isinstance(ending, Answered):
        raise WebhookUnknownError(ending.reason)
    found = [*_urls(ending.body, 0)]
    if found:
        return Leads(url=found[0])
    if ending.is_ok:
        return Leads(url=None)
    raise WebhookUnknownError(f"code {ending.code}")


async def set_webhook(settings: Settings, limits: Limits, url: str) -> Ending:
    """Let the partner's webhook lead to *url*, whatever it leads to; raises LimitsUnavailable, SettingsError."""
    return await _ask(settings, limits, lambda partner: partner.set_webhook(url))


def is_of_ours(url: str, settings: Settings) -> bool:
    """Tell whether an address is this installation's webhook, by the present secret or by an earlier one."""
    ours = webhook_address(settings)
    return ours is not None and url.rpartition("/")[0] == ours.rpartition("/")[0]


def bears_our_secret(url: str, settings: Settings) -> bool:
    """Tell whether an address holds the present secret: it leads here, if by another name of this machine."""
    secret = settings.provider_webhook_secret
    return secret is not None and secret.get_secret_value() in url


def masked(url: str | None, settings: Settings) -> str | None:
    """Return an address without our secret, the present one or an earlier one; another's is shown as it is."""
    if url is not None and is_of_ours(url, settings):
        return f"{url.rpartition('/')[0]}/…"
    secret = settings.provider_webhook_secret
    return url if url is None or secret is None else url.replace(secret.get_secret_value(), "…")


def for_the_trail(url: str | None, settings: Settings) -> str | None:
    """Return an address as it may be kept for years: another system's key, in its query, is left out too."""
    shown = masked(url, settings)
    if shown is None:
        return None
    path, mark, _ = shown.partition("?")
    return f"{path}{mark}…" if mark else path


async def _ask(
    settings: Settings, limits: Limits, call: Callable[[PartnerClient], Awaitable[Ending]]
) -> Ending:
    redis = open_redis(settings.redis_url_required)
    try:
        tokens = TokenStore(redis, namespace=settings.namespace)
        async with build_partner(settings, limits, tokens) as partner:
            token = await partner.token()
            if isinstance(token, NotDone):
                return token
            slot = await limits.acquire(Lane.LIVE, give_up_s=_PATIENCE_S)
            if isinstance(slot, Closed):
                return NotDone(reason=slot.reason.value)
            ending = await call(partner)
            await limits.note(shows_health(ending), 0.0)
            return ending
    finally:
        await redis.aclose()


def why_not(ending: Ending) -> str:
    """Return why an ending is none that was wished for: a reason's name, or the partner's code."""
    if isinstance(ending, NotDone | Unanswered):
        return ending.reason
    return f"code {ending.code}"


def _urls(node: Any, depth: int, name: str = "") -> Iterator[str]:
    """Yield the web addresses in an answer whose shape is not documented.

    What stands under `url` is one however it is written: a listener that was overlooked would be replaced unasked.
    """
    if isinstance(node, str):
        word = node.strip()
        if word.lower().startswith(("https://", "http://")) or (word and name in _URL_NAMES):
            yield word
    elif isinstance(node, dict) and depth < _DEEPEST:
        for key, value in node.items():
            yield from _urls(value, depth + 1, str(key).strip().lower())
    elif isinstance(node, list) and depth < _DEEPEST:
        for each in node:
            yield from _urls(each, depth + 1, name)
