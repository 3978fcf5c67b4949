"""The partner's two lists for a command: under the fleet's limit and with its token, as a worker asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from producers.backfill.preflight import Missing, PartnerLists
from worker.domain.outcome import AccountEntry, NotDone, RegisteredNumber, Unanswered
from worker.domain.states import Lane
from worker.execution.attempt import shows_health
from worker.limits import Closed, Limits, TokenStore
from worker.main import build_partner
from worker.partner import PartnerClient
from worker.settings import Settings

#: How long a slot is waited for; a fleet that is paused for longer is told of at once.
PATIENCE_S = 30.0
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


async def _ask(
    partner: PartnerClient, limits: Limits, call: Callable[[], Awaitable[list[_Row] | NotDone | Unanswered]]
) -> list[_Row] | Missing:
    answer = await _ask_once(partner, limits, call)
    if isinstance(answer, Missing) and answer.reason == _STALE_TOKEN:
        # The fleet's token had ended early. It was dropped, and nothing was done at the partner.
        return await _ask_once(partner, limits, call)
    return answer


async def _ask_once(
    partner: PartnerClient, limits: Limits, call: Callable[[], Awaitable[list[_Row] | NotDone | Unanswered]]
) -> list[_Row] | Missing:
    token = await partner.token()
    if isinstance(token, NotDone):
        return Missing(reason=token.reason, detail=token.detail)
    slot = await limits.acquire(Lane.LIVE, give_up_s=PATIENCE_S)
    if isinstance(slot, Closed):
        return Missing(reason=slot.reason.value)
    answer = await call()
    # A long list takes its time: that says nothing about how fast the partner answers creates.
    await limits.note(shows_health(answer), 0.0)
    if isinstance(answer, NotDone | Unanswered):
        return Missing(reason=answer.reason, detail=answer.detail)
    return answer
