"""`linkferry doctor --live` and `--send-test`: asking the real partner and the real mail and SMS providers."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from linkferry.doctor import Finding, bad, ok
from worker.dispatch import Preview, RecipientAllowlist, preview_invitation, sample_request
from worker.domain.outcome import DeliveryOutcome, NotDone, Sent, Skipped, Unanswered
from worker.domain.phone import PhoneNumber, normalise_number
from worker.domain.request import OnboardingRequest
from worker.domain.states import Channel
from worker.execution.shop import Dispatcher
from worker.ledger import open_redis
from worker.limits import Limits, TokenStore
from worker.main import build_dispatchers, build_partner, build_sender
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
    channel = Channel.EMAIL if "@" in address else Channel.SMS
    if not RecipientAllowlist(settings.recipient_allowlist).allows(address):
        return bad(
            "test", "RECIPIENT_ALLOWLIST does not allow this recipient.", "Add it there, or use another."
        )
    request = _addressed(sample_request(settings.default_locale), address, channel, settings)
    if request is None:
        return bad("test", "That is no address and no number.", "Write dana@example.com or 0501234567.")
    sender = build_sender(settings)
    dispatchers = build_dispatchers(settings, sender, settings.load_catalogue())
    dispatcher = dispatchers.get(channel)
    if dispatcher is None:
        return bad("test", f"No {channel.value} is set up.", "See the findings above for what to set.")
    preview = preview_invitation(request, sender=sender, templates_dir=settings.templates_dir)
    try:
        return _test_finding(channel, await _dispatch(dispatcher, preview, channel))
    finally:
        for each in dispatchers.values():
            await each.aclose()


async def _dispatch(dispatcher: Dispatcher, preview: Preview, channel: Channel) -> DeliveryOutcome:
    async def go_on() -> bool:
        return True

    # A mark of its own: mailboxes drop a second mail with the same Message-ID.
    mark = f"test-{secrets.token_hex(6)}"
    if channel is Channel.EMAIL:
        mail = replace(preview.mail, delivery_id=mark, dated_at=datetime.now(UTC))
        return await dispatcher.dispatch(mail, before_data=go_on)
    return await dispatcher.dispatch(replace(preview.sms, delivery_id=mark), before_data=go_on)


def _test_finding(channel: Channel, outcome: DeliveryOutcome) -> Finding:
    if isinstance(outcome, Sent):
        return ok("test", f"One sample {channel.value} was taken by the provider; its links lead nowhere.")
    why = (
        outcome.reason
        if isinstance(outcome, Skipped)
        else f"{outcome.fail.reason} {outcome.fail.detail}".strip()
    )
    return bad("test", f"The sample {channel.value} was not sent: {why}", _WHAT_IT_MEANS)


def _addressed(
    request: OnboardingRequest, address: str, channel: Channel, settings: Settings
) -> OnboardingRequest | None:
    if channel is Channel.EMAIL:
        return replace(request, contact=replace(request.contact, email=address.strip()))
    found = normalise_number(address, region=settings.default_region)
    if not isinstance(found, PhoneNumber):
        return None
    return replace(request, contact=replace(request.contact, phone=found.digits))
