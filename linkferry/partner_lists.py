"""The partner's two lists for a command: under the fleet's limit and with its token, as a worker asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from producers.backfill.preflight import Missing, PartnerLists
from worker.domain.outcome import AccountEntry, NotDone, RegisteredNumber, Unanswered
from worker.domain.states import Lane
from worker.execution.attempt import shows_health
from worker.limits import Closed, Limits, LimitsUnavailable, TokenStore
from worker.main import build_partner
from worker.ops import partner_view
from worker.partner import PartnerClient
from worker.settings import Settings, SettingsError

#: How long a slot is waited for; a fleet that is paused for longer is told of at once.
PATIENCE_S = 30.0
#: A person on the telephone waits no longer than this, for a slot and both lists.
BRIEFLY_S = 8.0
_BRIEF_PATIENCE_S = 3.0
_UNREACHABLE = "partner_unreachable"
_STALE_TOKEN = "token_expired"  # noqa: S105 - a reason, not a secret
_Row = TypeVar("_Row", AccountEntry, RegisteredNumber)


async def ask_lists(settings: Settings, limits: Limits, tokens: TokenStore) -> PartnerLists:
    """Make one `getRegisteredNumbers` and one `getAccounts`; what cannot be had is told, never raised.

    Raises:
        LimitsUnavailable: Redis did not answer.
        SettingsError: in the sandbox, and none runs.
    """
    async with build_partner(settings, limits, tokens) as partner:
        return PartnerLists(
            registered=await _ask(partner, limits, partner.get_registered),
            accounts=await _ask(partner, limits, partner.get_accounts),
        )


async def ask_briefly(settings: Settings, limits: Limits, tokens: TokenStore) -> partner_view.PartnerLists:
    """Ask for both lists as `ask_lists` does, for eight seconds at most; raises nothing."""
    try:
        async with asyncio.timeout(BRIEFLY_S), build_partner(settings, limits, tokens) as partner:
            accounts = await _ask(partner, limits, partner.get_accounts, patience_s=_BRIEF_PATIENCE_S)
            if isinstance(accounts, Missing):
                return partner_view.PartnerLists(reason=accounts.reason)
            registered = await _ask(partner, limits, partner.get_registered, patience_s=_BRIEF_PATIENCE_S)
    except TimeoutError:
        return partner_view.PartnerLists(reason="partner_timeout")
    except (LimitsUnavailable, SettingsError):
        return partner_view.PartnerLists(reason=_UNREACHABLE)
    known = None if isinstance(registered, Missing) else registered
    return partner_view.PartnerLists(accounts=accounts, registered=known)


async def _ask(
    partner: PartnerClient,
    limits: Limits,
    call: Callable[[], Awaitable[list[_Row] | NotDone | Unanswered]],
    *,
    patience_s: float = PATIENCE_S,
) -> list[_Row] | Missing:
    answer = await _ask_once(partner, limits, call, patience_s)
    if isinstance(answer, Missing) and answer.reason == _STALE_TOKEN:
        # The fleet's token had ended early. It was dropped, and nothing was done at the partner.
        return await _ask_once(partner, limits, call, patience_s)
    return answer


async def _ask_once(
    partner: PartnerClient,
    limits: Limits,
    call: Callable[[], Awaitable[list[_Row] | NotDone | Unanswered]],
    patience_s: float,
) -> list[_Row] | Missing:
    token = await partner.token()
    if isinstance(token, NotDone):
        return Missing(reason=token.reason, detail=token.detail)
    slot = await limits.acquire(Lane.LIVE, give_up_s=patience_s)
    if isinstance(slot, Closed):
        return Missing(reason=slot.reason.value)
    answer = await call()
    # A long list takes its time: that says nothing about how fast the partner answers creates.
    await limits.note(shows_health(answer), 0.0)
    if isinstance(answer, NotDone | Unanswered):
        return Missing(reason=answer.reason, detail=answer.detail)
    return answer
