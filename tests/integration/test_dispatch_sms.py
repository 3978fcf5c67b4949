"""SMS over real HTTP: at most once, whatever the provider answers or fails to answer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.partner_fakes import leap
from worker.dispatch import SmsDispatcher, SmsMessage, SmsProvider, make_provider
from worker.domain.outcome import ChannelDown, DeliveryDoubt, DeliveryRetry, Sent, Undelivered

_MESSAGE = SmsMessage(
    delivery_id="d1", to="972501234567", text="שלום\nhttps://onboarding.example/1", segments=2
)

Misbehaviour = Callable[["Provider", web.Request], Awaitable[None]]


@dataclass
class Provider:
    """A provider's HTTP server: what it was sent, and what it is to answer."""

    url: str = ""
    status: int = 200
    answer: str = '{"status": "OK", "reason": 1, "unique": "u-1"}'
    headers: dict[str, str] = field(default_factory=dict)
    misbehave: Misbehaviour | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Note the call and answer as told."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.calls.append({"path": request.path, "form": form, "headers": dict(request.headers)})
        if self.misbehave is not None:
            await self.misbehave(self, request)
        return web.Response(status=self.status, text=self.answer, headers=self.headers)


@asynccontextmanager
async def a_provider() -> AsyncIterator[Provider]:
    """Run a provider on a free port."""
    provider = Provider()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", provider.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        provider.over.set()
        await runner.cleanup()


def _99digital(url: str) -> SmsProvider:
    return make_provider("99digital", api_key="k", sender="Acme", url=url)


def _twilio(url: str) -> SmsProvider:
    return make_provider("twilio", api_key="token", sender="+15005550006", account="AC1", url=url)


async def yes() -> bool:
    """Let it go out."""
    return True


async def test_99digital_gets_a_form_with_a_local_number() -> None:
    """And its id of the message is kept."""
    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=yes)

    assert outcome == Sent(provider_id="u-1", segments=2)
    assert provider.calls[0]["path"] == "/sms/sendMessage"
    assert provider.calls[0]["form"] == {
        "apiKey": "k",
        "from": "Acme",
        "to": "0501234567",
        "text": _MESSAGE.text,
    }


async def test_99digital_is_not_asked_for_numbers_abroad() -> None:
    """It serves Israeli numbers; no call is spent."""
    abroad = SmsMessage(delivery_id="d", to="447911123456", text="x", segments=1)
    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        outcome = await dispatcher.dispatch(abroad, before_data=yes)

    assert isinstance(outcome, Undelivered)
    assert outcome.fail.reason == "sms_number_invalid"
    assert not provider.calls


async def test_twilio_gets_a_form_with_an_international_number() -> None:
    """Basic authentication, the account in the path, the segments as Twilio counts them."""
    async with a_provider() as provider, SmsDispatcher(_twilio(provider.url)) as dispatcher:
        provider.status, provider.answer = 201, '{"sid": "SM1", "num_segments": "3"}'
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=yes)

    assert outcome == Sent(provider_id="SM1", segments=3)
    call = provider.calls[0]
    assert call["path"] == "/2010-04-01/Accounts/AC1/Messages.json"
    assert call["form"] == {"To": "+972501234567", "From": "+15005550006", "Body": _MESSAGE.text}
    assert call["headers"]["Authorization"] == "Basic " + base64.b64encode(b"AC1:token").decode()


def test_a_twilio_messaging_service_is_named_as_one() -> None:
    """`MG…` is no number."""
    provider = make_provider("twilio", api_key="t", sender="MG1", account="AC1")
    request = provider.request(_MESSAGE)

    assert not isinstance(request, Undelivered)
    assert request.form["MessagingServiceSid"] == "MG1"
    assert "From" not in request.form


_ANSWERS = [
    # provider, status, answer, kind, reason
    ("99digital", 200, '{"status":"ok","reason":"1"}', Sent, ""),
    ("99digital", 200, '{"status":"FAIL","reason":2}', ChannelDown, "sms_sender_invalid"),
    ("99digital", 200, '{"status":"fail","reason":3}', ChannelDown, "sms_sender_not_verified"),
    ("99digital", 200, '{"status":"FAIL","reason":4}', Undelivered, "sms_text_too_long"),
    ("99digital", 200, '{"status":"FAIL","reason":5}', Undelivered, "sms_unknown_error"),
    ("99digital", 200, '{"status":"FAIL","reason":6}', ChannelDown, "sms_auth_refused"),
    ("99digital", 200, '{"status":"FAIL","reason":7}', Undelivered, "sms_number_invalid"),
    ("99digital", 200, '{"status":"FAIL","reason":77}', Undelivered, "unknown_77"),
    ("99digital", 200, "<html>hello</html>", DeliveryDoubt, "sms_in_doubt"),
    ("99digital", 200, "", DeliveryDoubt, "sms_in_doubt"),
    ("99digital", 200, '["OK"]', DeliveryDoubt, "sms_in_doubt"),
    ("99digital", 200, '{"status":"OK","reason":true}', Sent, ""),
    ("99digital", 500, "oops", DeliveryDoubt, "sms_in_doubt"),
    ("99digital", 502, "bad gateway", DeliveryDoubt, "sms_in_doubt"),
    ("99digital", 503, "busy", DeliveryRetry, "sms_provider_error"),
    ("99digital", 429, "slow down", DeliveryRetry, "sms_throttled"),
    ("99digital", 401, "who?", ChannelDown, "sms_auth_refused"),
    ("99digital", 404, "nothing here", ChannelDown, "sms_unreachable"),
    ("99digital", 302, "", ChannelDown, "sms_unreachable"),
    ("99digital", 400, "no", Undelivered, "unknown_http_400"),
    ("twilio", 401, '{"code":20003,"message":"Authenticate"}', ChannelDown, "sms_auth_refused"),
    ("twilio", 404, '{"code":20404,"message":"not found"}', ChannelDown, "sms_unreachable"),
    ("twilio", 429, '{"code":20429}', DeliveryRetry, "sms_throttled"),
    ("twilio", 400, '{"code":21211,"message":"bad To"}', Undelivered, "sms_number_invalid"),
    ("twilio", 400, '{"code":21606}', ChannelDown, "sms_sender_not_verified"),
    ("twilio", 400, '{"code":21610}', Undelivered, "sms_recipient_refused"),
    ("twilio", 400, '{"code":99999}', Undelivered, "unknown_99999"),
    ("twilio", 500, '{"code":20500}', DeliveryDoubt, "sms_in_doubt"),
    ("twilio", 200, "{}", DeliveryDoubt, "sms_in_doubt"),
]


@pytest.mark.parametrize(("name", "status", "answer", "kind", "reason"), _ANSWERS)
async def test_an_answer_means(name: str, status: int, answer: str, kind: type, reason: str) -> None:
    """Refused in its own words: not sent. Unreadable: in doubt, never sent again by itself."""
    make = _twilio if name == "twilio" else _99digital
    async with a_provider() as provider, SmsDispatcher(make(provider.url)) as dispatcher:
        provider.status, provider.answer = status, answer
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=yes)

    assert isinstance(outcome, kind)
    assert getattr(getattr(outcome, "fail", None), "reason", "") == reason
    assert len(provider.calls) == 1


async def test_what_is_kept_of_an_answer_names_nobody() -> None:
    """99digital repeats the text; neither it nor a number may lie in the history."""
    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        provider.answer = (
            '{"status":"FAIL","reason":7,"text":"Dana, https://o.example/1","message":"bad 0501234567"}'
        )
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=yes)

    assert isinstance(outcome, Undelivered)
    assert "Dana" not in outcome.fail.raw
    assert "0501234567" not in outcome.fail.raw
    assert outcome.fail.code == 7


async def test_retry_after_is_obeyed() -> None:
    """In seconds, up to an hour."""
    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        provider.status, provider.answer, provider.headers = 429, "", {"Retry-After": "7"}
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=yes)

    assert isinstance(outcome, DeliveryRetry)
    assert outcome.delay_s == 7


async def _drop(_: Provider, request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


async def _stall(provider: Provider, _: web.Request) -> None:
    leap(60.0)
    await provider.over.wait()


@pytest.mark.parametrize("misbehave", [_drop, _stall])
async def test_a_lost_answer_is_a_doubt(misbehave: Misbehaviour) -> None:
    """It may have been sent: one call, and an operator decides."""
    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        provider.misbehave = misbehave
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=yes)

    assert isinstance(outcome, DeliveryDoubt)
    assert outcome.fail.reason == "sms_in_doubt"
    assert len(provider.calls) == 1


async def test_an_endless_answer_is_cut_off() -> None:
    """No provider's answer is that long; it does not say OK."""
    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        provider.answer = "x" * 1_000_000
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=yes)

    assert isinstance(outcome, DeliveryDoubt)
    assert len(outcome.fail.raw) <= 500


async def test_nobody_there_means_nothing_was_sent() -> None:
    """The channel is down; the ledger was not told that a send began."""
    asked: list[bool] = []

    async def ask() -> bool:
        asked.append(True)
        return True

    async with a_provider() as provider:
        url = provider.url
    async with SmsDispatcher(_99digital(url)) as dispatcher:
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=ask)

    assert isinstance(outcome, ChannelDown)
    assert outcome.fail.reason == "sms_unreachable"
    assert not asked


async def test_a_lost_lease_sends_nothing() -> None:
    """Asked on the open connection, before the first byte."""

    async def no() -> bool:
        return False

    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=no)

    assert isinstance(outcome, DeliveryRetry)
    assert outcome.fail.reason == "lease_lost"
    assert not provider.calls


async def test_a_process_stopped_and_continued_sends_nothing_late() -> None:
    """The ledger said yes, then the lease ran out."""
    loop = asyncio.get_running_loop()

    async def stand_still() -> bool:
        ends_at = loop.time() + 0.1
        while loop.time() < ends_at:
            pass
        return True

    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        outcome = await dispatcher.dispatch(_MESSAGE, before_data=stand_still, deadline_s=0.05)

    assert isinstance(outcome, DeliveryRetry)
    assert not provider.calls


async def test_texts_sent_at_once_each_ask_their_own_lease() -> None:
    """One lease lost among many stops one text."""

    async def dispatch(nth: int) -> object:
        async def own() -> bool:
            await asyncio.sleep(0)
            return nth != 3

        message = SmsMessage(delivery_id=f"{nth}", to="972501234567", text=f"{nth}", segments=1)
        return await dispatcher.dispatch(message, before_data=own)

    async with a_provider() as provider, SmsDispatcher(_99digital(provider.url)) as dispatcher:
        outcomes = await asyncio.gather(*(dispatch(nth) for nth in range(8)))

    assert [isinstance(outcome, Sent) for outcome in outcomes].count(False) == 1
    assert sorted(call["form"]["text"] for call in provider.calls) == sorted("01245678"[:7])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("none", {"api_key": "k", "sender": "A"}),
        ("99digital", {"api_key": "", "sender": "A"}),
        ("99digital", {"api_key": "k", "sender": ""}),
        ("twilio", {"api_key": "k", "sender": "A"}),
    ],
)
def test_a_provider_half_set_up_is_refused(name: str, options: dict[str, Any]) -> None:
    """The setting is named, the key is not shown."""
    with pytest.raises(ValueError, match="SMS_"):
        make_provider(name, **options)


def test_keys_are_in_no_text() -> None:
    """Whatever prints a provider or its request."""
    provider = make_provider("twilio", api_key="topsecret", sender="A", account="AC1")

    assert "topsecret" not in repr(provider)
    assert "Basic" not in repr(provider.request(_MESSAGE))
