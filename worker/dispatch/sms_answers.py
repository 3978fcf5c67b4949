"""The two SMS providers: how each is asked and what its answers mean. Pure.

99digital: `provider-api.md`, part SMS. Twilio: its Messages resource and its error dictionary
(https://www.twilio.com/docs/api/errors).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from worker.dispatch.fails import fail
from worker.dispatch.messages import SmsMessage
from worker.domain.outcome import ChannelDown, DeliveryDoubt, DeliveryOutcome, DeliveryRetry, Sent, Undelivered

CONFIG_PAUSE_S = 300.0
RETRY_DELAYS_S = (30.0, 120.0, 600.0, 1800.0)
RETRY_AFTER_CAP_S = 3600.0
MAX_FAILURES = 6
_ISRAEL = "972"

NINETY_NINE_DIGITAL_URL = "https://api.99digital.co.il/sms/sendMessage"
TWILIO_URL = "https://api.twilio.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsRequest:
    """One HTTP POST of a form."""

    url: str
    form: Mapping[str, str] = field(repr=False)  #: holds the number, the link and perhaps the key
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsAnswer:
    """What came back, as far as it came back whole."""

    http_status: int
    text: str
    retry_after_s: float | None = None


class SmsProvider(Protocol):
    """A service that sends texts."""

    @property
    def name(self) -> str:
        """Return the name that SMS_PROVIDER knows it by."""

    def request(self, message: SmsMessage) -> SmsRequest | Undelivered:
        """Return the call to make, or why this number can't be served."""

    def outcome(self, answer: SmsAnswer, message: SmsMessage) -> DeliveryOutcome:
        """Return what an answer means. An answer that does not tell is a doubt, never a retry."""


#: 99digital's `reason` → ours. What is not listed is `sms_refused`.
_NINETY_NINE_REASONS: Mapping[int, str] = {
    2: "sms_sender_not_verified",
    3: "sms_sender_not_verified",
    4: "sms_text_too_long",
    6: "sms_auth_refused",
    7: "sms_number_refused",
    9: "sms_sender_not_verified",
}

#: Twilio's `code` → ours.
_TWILIO_REASONS: Mapping[int, str] = {
    20003: "sms_auth_refused",
    20404: "sms_auth_refused",  # no such account
    20429: "sms_temporary",
    21211: "sms_number_refused",
    21212: "sms_sender_not_verified",
    21265: "sms_number_refused",
    21408: "sms_number_refused",  # the region is not enabled: the other numbers must not wait for it
    21603: "sms_sender_not_verified",
    21605: "sms_text_too_long",
    21606: "sms_sender_not_verified",
    21608: "sms_number_refused",
    21610: "sms_number_refused",
    21611: "sms_temporary",  # the sender's queue is full
    21612: "sms_number_refused",
    21614: "sms_number_refused",
    21617: "sms_text_too_long",
    21659: "sms_sender_not_verified",
    21660: "sms_sender_not_verified",
    21703: "sms_sender_not_verified",
    30001: "sms_temporary",
}
_KEPT_FIELDS = ("status", "reason", "code", "message", "unique", "sid", "more_info")
_OUR_SIDE = frozenset({"sms_auth_refused", "sms_sender_not_verified"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NinetyNineDigital:
    """99digital's own SMS service: Israeli numbers only."""

    api_key: str = field(repr=False)
    sender: str
    url: str = NINETY_NINE_DIGITAL_URL
    name: str = "99digital"

    def request(self, message: SmsMessage) -> SmsRequest | Undelivered:
        """Return the call to make; `to` is in Israeli local form."""
        if not message.to.startswith(_ISRAEL):
            return Undelivered(fail=fail("sms_number_refused", detail="99digital serves Israeli numbers only"))
        form = {
            "apiKey": self.api_key,
            "from": self.sender,
            "to": "0" + message.to.removeprefix(_ISRAEL),
            "text": message.text,
        }
        return SmsRequest(url=_with_path(self.url, "/sms/sendMessage"), form=form)

    def outcome(self, answer: SmsAnswer, message: SmsMessage) -> DeliveryOutcome:
        """Return what the answer means: the body first, then the HTTP status."""
        body = _json_object(answer.text)
        code = _whole(body.get("reason"))
        status = str(body.get("status", "")).strip().upper()
        if status == "OK" and code in {1, None}:
            return Sent(provider_id=str(body.get("unique") or ""), segments=message.segments)
        if status == "FAIL" or (code is not None and code > 1):
            return _refused(_NINETY_NINE_REASONS.get(code or 0, "sms_refused"), code, answer, message)
        return _by_status(answer, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Twilio:
    """Twilio's Messages resource, or a service that talks like it."""

    account: str
    api_key: str = field(repr=False)
    sender: str  #: a number, an alphanumeric sender, or a messaging service (`MG…`)
    url: str = TWILIO_URL
    name: str = "twilio"

    def request(self, message: SmsMessage) -> SmsRequest | Undelivered:
        """Return the call to make; numbers are in E.164."""
        sender_field = "MessagingServiceSid" if self.sender.startswith("MG") else "From"
        token = base64.b64encode(f"{self.account}:{self.api_key}".encode()).decode("ascii")
        path = f"/2010-04-01/Accounts/{quote(self.account, safe='')}/Messages.json"
        return SmsRequest(
            url=self.url.rstrip("/") + path,
            form={"To": f"+{message.to}", sender_field: self.sender, "Body": message.text},
            headers={"Authorization": f"Basic {token}"},
        )

    def outcome(self, answer: SmsAnswer, message: SmsMessage) -> DeliveryOutcome:
        """Return what the answer means: a 2xx with a `sid` is a send, an error `code` a refusal."""
        body = _json_object(answer.text)
        sid = body.get("sid")
        if 200 <= answer.http_status < 300 and isinstance(sid, str) and sid:
            return Sent(provider_id=sid, segments=_whole(body.get("num_segments")) or message.segments)
        code = _whole(body.get("code"))
        if code in _TWILIO_REASONS:
            return _refused(_TWILIO_REASONS[code], code, answer, message)
        return _by_status(answer, message, code=code)


def make_provider(
    name: str, *, api_key: str, sender: str, url: str | None = None, account: str | None = None
) -> SmsProvider:
    """Return the provider that SMS_PROVIDER names; raises ValueError for another or where something is missing."""
    if name not in {"99digital", "twilio"}:
        raise ValueError("SMS_PROVIDER must be 99digital or twilio")
    if not api_key or not sender:
        raise ValueError("SMS_API_KEY and SMS_FROM are needed to send texts")
    if name == "99digital":
        return NinetyNineDigital(api_key=api_key, sender=sender, url=url or NINETY_NINE_DIGITAL_URL)
    if not account:
        raise ValueError("SMS_ACCOUNT is needed to send texts by Twilio")
    return Twilio(account=account, api_key=api_key, sender=sender, url=url or TWILIO_URL)


def _refused(reason: str, code: int | None, answer: SmsAnswer, message: SmsMessage) -> DeliveryOutcome:
    """Return the outcome of a refusal in the provider's own terms: it was not sent."""
    failed = fail(reason, code=code, raw=_kept(answer), detail=f"HTTP {answer.http_status}")
    if reason in _OUR_SIDE:
        return ChannelDown(fail=failed, pause_s=CONFIG_PAUSE_S)
    if reason == "sms_temporary":
        return DeliveryRetry(fail=failed, delay_s=_delay_s(answer, message), max_failures=MAX_FAILURES)
    return Undelivered(fail=failed)


def _by_status(answer: SmsAnswer, message: SmsMessage, *, code: int | None = None) -> DeliveryOutcome:
    """Return what an answer means whose body does not say: by its HTTP status."""
    match answer.http_status:
        case 401 | 403:
            return _refused("sms_auth_refused", code, answer, message)
        case 404 | 405 | 301 | 302 | 303 | 307 | 308:
            # Nobody who sends texts lives at that address: SMS_URL is wrong.
            failed = fail("sms_unreachable", code=code, raw=_kept(answer), detail=f"HTTP {answer.http_status}")
            return ChannelDown(fail=failed, pause_s=CONFIG_PAUSE_S)
        case 429 | 503:
            return _refused("sms_temporary", code, answer, message)
        case status if 400 <= status < 500:
            return _refused("sms_refused", code, answer, message)
        case status:
            detail = f"HTTP {status}, and the answer can't be read"
            return DeliveryDoubt(fail=fail("sms_in_doubt", code=code, raw=_kept(answer), detail=detail))


def _delay_s(answer: SmsAnswer, message: SmsMessage) -> float:
    if answer.retry_after_s is not None:
        return min(max(answer.retry_after_s, 1.0), RETRY_AFTER_CAP_S)
    return RETRY_DELAYS_S[min(message.failures, len(RETRY_DELAYS_S) - 1)]


def _kept(answer: SmsAnswer) -> str:
    """Return what of an answer may be kept: never the echo of the text, which names the customer."""
    body = _json_object(answer.text)
    kept = {name: body[name] for name in _KEPT_FIELDS if name in body}
    return json.dumps(kept, ensure_ascii=False) if body else answer.text


def _with_path(url: str, path: str) -> str:
    """Return *url*, given *path* where it has none of its own."""
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + path


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _whole(value: object) -> int | None:
    """Return *value* as an int where it is one or spells one; a boolean is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None
