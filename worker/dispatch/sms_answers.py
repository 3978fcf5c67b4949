"""The two SMS providers: how each is asked and what its answers mean. Pure.

What a code means is data: the tables `sms_99digital` and `sms_twilio` of the reasons catalogue, and the reason's
policy says what follows (snooze: our side is at fault; retry: not sent, again later; fail: this recipient).
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
from worker.domain.outcome import (
    ChannelDown,
    DeliveryDoubt,
    DeliveryOutcome,
    DeliveryRetry,
    Sent,
    Undelivered,
)
from worker.domain.reasons import Catalogue, Policy, Reason, ReasonClass

CONFIG_PAUSE_S = 300.0
RETRY_DELAYS_S = (30.0, 120.0, 600.0, 1800.0)
RETRY_AFTER_CAP_S = 3600.0
MAX_FAILURES = 6
_ISRAEL = "972"
_LONGEST_WORD = 11  #: of a sender in letters; GSM carries no more
_LONGEST_SHORT_CODE = 6

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


_KEPT_FIELDS = ("status", "reason", "code", "message", "unique", "sid", "more_info")


@dataclass(frozen=True, slots=True, kw_only=True)
class NinetyNineDigital:
    """99digital's own SMS service: Israeli numbers only."""

    api_key: str = field(repr=False)
    sender: str
    url: str = NINETY_NINE_DIGITAL_URL
    catalogue: Catalogue = field(default_factory=Catalogue.shipped, repr=False)
    name: str = "99digital"

    def request(self, message: SmsMessage) -> SmsRequest | Undelivered:
        """Return the call to make; `to` is in Israeli local form."""
        if not message.to.startswith(_ISRAEL):
            return Undelivered(
                fail=fail("sms_number_invalid", detail="99digital serves Israeli numbers only")
            )
        form = {
            "apiKey": self.api_key,
            "from": message.sender or self.sender,
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
            return _refused(self.catalogue.for_code("sms_99digital", code), code, answer, message)
        return _unreadable(answer, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Twilio:
    """Twilio's Messages resource, or a service that talks like it."""

    account: str
    api_key: str = field(repr=False)
    sender: str  #: a number, an alphanumeric sender, or a messaging service (`MG…`)
    url: str = TWILIO_URL
    catalogue: Catalogue = field(default_factory=Catalogue.shipped, repr=False)
    name: str = "twilio"

    def request(self, message: SmsMessage) -> SmsRequest | Undelivered:
        """Return the call to make; numbers are in E.164."""
        sender = _twilio_sender(message.sender or self.sender)
        # A brand of the name MGM is none.
        is_service = sender.startswith("MG") and (sender == self.sender or len(sender) > _LONGEST_WORD)
        sender_field = "MessagingServiceSid" if is_service else "From"
        token = base64.b64encode(f"{self.account}:{self.api_key}".encode()).decode("ascii")
        path = f"/2010-04-01/Accounts/{quote(self.account, safe='')}/Messages.json"
        return SmsRequest(
            url=self.url.rstrip("/") + path,
            form={"To": f"+{message.to}", sender_field: sender, "Body": message.text},
            headers={"Authorization": f"Basic {token}"},
        )

    def outcome(self, answer: SmsAnswer, message: SmsMessage) -> DeliveryOutcome:
        """Return what the answer means: a 2xx with a `sid` is a send, an error `code` a refusal."""
        body = _json_object(answer.text)
        sid = body.get("sid")
        if 200 <= answer.http_status < 300 and isinstance(sid, str) and sid:
            return Sent(provider_id=sid, segments=_whole(body.get("num_segments")) or message.segments)
        code = _whole(body.get("code"))
        if code is not None and answer.http_status < 500:
            return _refused(self.catalogue.for_code("sms_twilio", code), code, answer, message)
        return _unreadable(answer, message)


def make_provider(
    name: str,
    *,
    api_key: str,
    sender: str,
    url: str | None = None,
    account: str | None = None,
    catalogue: Catalogue | None = None,
) -> SmsProvider:
    """Return the provider that SMS_PROVIDER names; *catalogue* says what its codes mean (None: as shipped).

    Raises ValueError for another name or where something is missing.
    """
    catalogue = catalogue or Catalogue.shipped()
    if name not in {"99digital", "twilio"}:
        raise ValueError("SMS_PROVIDER must be 99digital or twilio")
    if not api_key or not sender:
        raise ValueError("SMS_API_KEY and SMS_FROM are needed to send texts")
    if name == "99digital":
        return NinetyNineDigital(
            api_key=api_key, sender=sender, url=url or NINETY_NINE_DIGITAL_URL, catalogue=catalogue
        )
    if not account:
        raise ValueError("SMS_ACCOUNT is needed to send texts by Twilio")
    return Twilio(account=account, api_key=api_key, sender=sender, url=url or TWILIO_URL, catalogue=catalogue)


#: HTTP status → reason, for refusals whose own code the catalogue does not know.
_BY_STATUS: Mapping[int, str] = {
    401: "sms_auth_refused",
    403: "sms_auth_refused",
    404: "sms_unreachable",  # nobody who sends texts lives at SMS_URL
    405: "sms_unreachable",
    429: "sms_throttled",
    503: "sms_provider_error",
}


def _refused(reason: Reason, code: int | None, answer: SmsAnswer, message: SmsMessage) -> DeliveryOutcome:
    """Return the outcome of a refusal: it was not sent, and the reason's policy says what follows."""
    if reason.reason_class is ReasonClass.UNKNOWN and answer.http_status in _BY_STATUS:
        reason = Catalogue.shipped().named(_BY_STATUS[answer.http_status])
    failed = fail(reason, code=code, raw=_kept(answer), detail=f"HTTP {answer.http_status}")
    if reason.policy is Policy.SNOOZE or reason.name == "sms_unreachable":
        return ChannelDown(fail=failed, pause_s=CONFIG_PAUSE_S)
    if reason.policy is Policy.RETRY:
        return DeliveryRetry(fail=failed, delay_s=_delay_s(answer, message), max_failures=MAX_FAILURES)
    return Undelivered(fail=failed)


def _unreadable(answer: SmsAnswer, message: SmsMessage) -> DeliveryOutcome:
    """Return what an answer means that says nothing of its own: by its HTTP status."""
    status = answer.http_status
    if status in _BY_STATUS or 300 <= status < 500:
        unknown = Catalogue.shipped().named("sms_unreachable" if status < 400 else f"unknown_http_{status}")
        return _refused(unknown, None, answer, message)
    detail = f"HTTP {status}, and the answer can't be read"
    return DeliveryDoubt(fail=fail("sms_in_doubt", raw=_kept(answer), detail=detail))


def _delay_s(answer: SmsAnswer, message: SmsMessage) -> float:
    if answer.retry_after_s is not None:
        return min(max(answer.retry_after_s, 1.0), RETRY_AFTER_CAP_S)
    return RETRY_DELAYS_S[min(message.failures, len(RETRY_DELAYS_S) - 1)]


def _kept(answer: SmsAnswer) -> str:
    """Return what of an answer may be kept: never the echo of the text, which names the customer."""
    body = _json_object(answer.text)
    kept = {name: body[name] for name in _KEPT_FIELDS if name in body}
    return json.dumps(kept, ensure_ascii=False) if body else answer.text


def _twilio_sender(sender: str) -> str:
    """Return a brand's number as Twilio takes it, with its plus; letters, short codes and services as they are."""
    is_number = sender.isdigit() and len(sender) > _LONGEST_SHORT_CODE
    return f"+{sender}" if is_number else sender


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
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10
        else None
    )
