"""How a setting is written and shown: what its text means and may be, its declaration, its value for a person."""

from __future__ import annotations

import re
from ipaddress import ip_network
from itertools import pairwise
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from worker.domain.standard_webhooks import parse_secret, receiver_address
from worker.domain.states import Channel

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_MASK = "********"
_UNIT_S = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MOST_REMINDERS = 2
_LEAST_REMINDER_S = 3600.0
_ADDRESS = re.compile(r"[^@\s,<>\"]+@[^@\s,<>\"]+")


def _duration_s(value: object) -> object:
    """Understand `600`, `90s`, `10m`, `2h` and `30d` as seconds."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip().lower())
    if match is None:
        message = "must be seconds, or a number with s, m, h or d, such as 10m"
        raise ValueError(message)
    return float(match[1]) * _UNIT_S[match[2]]


def _words(value: object) -> object:
    """Split a comma-separated text; blanks fall away."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _channel_words(value: object) -> object:
    words = _words(value)
    return () if words == ("none",) else words


def _mail_addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for each in values:
        if not _ADDRESS.fullmatch(each) or not each.isascii():
            message = "must be e-mail addresses alone, comma-separated: ops@example.com,dana@example.com"
            raise ValueError(message)
    return tuple(dict.fromkeys(values))


def _alert_address(url: SecretStr) -> SecretStr:
    try:
        receiver_address(url.get_secret_value())
    except ValueError:
        message = "must be an https:// address (http:// only on this machine)"
        raise ValueError(message) from None
    return url


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for each in values:
        try:
            ip_network(each, strict=False)
        except ValueError as exc:
            message = f"has {each!r}, which is no address or network, such as 10.0.0.7 or 10.0.0.0/8"
            raise ValueError(message) from exc
    return values


def _reminder_times(value: object) -> object:
    words = _words(value)
    return () if words == ("off",) else words


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    is_rising = all(earlier < later for earlier, later in pairwise(values))
    if len(values) > _MOST_REMINDERS or not is_rising or any(each < _LEAST_REMINDER_S for each in values):
        message = "must be `off`, or one or two times that rise, an hour or more each, such as 2d,5d"
        raise ValueError(message)
    return values


def _signing_secrets(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for each in values:
        parse_secret(each.get_secret_value())
    return values


def setting(default: Any, group: str, description: str, *, name: str | None = None, **rules: Any) -> Any:
    """Declare a setting; *name* marks a real credential or channel, which the sandbox forgets."""
    extra: dict[str, Any] = {"group": group}
    if name is not None:
        extra["stands_for"] = name
    return Field(default=default, description=description, json_schema_extra=extra, **rules)


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Networks = Annotated[Words, AfterValidator(_networks)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_words)]
PrivateAddress = Annotated[str, AfterValidator(receiver_address)]
AlertAddress = Annotated[SecretStr, AfterValidator(_alert_address)]
MailAddresses = Annotated[Words, AfterValidator(_mail_addresses)]
SigningSecrets = Annotated[Secrets, AfterValidator(_signing_secrets)]
Channels = Annotated[tuple[Channel, ...], BeforeValidator(_channel_words)]
Duration = Annotated[float, BeforeValidator(_duration_s)]
Reminders = Annotated[tuple[Duration, ...], BeforeValidator(_reminder_times), AfterValidator(_rising)]
SmsProvider = Literal["99digital", "twilio", "none"]


def shown(value: object) -> str:
    """Return a setting's value as a person may see it: secrets and passwords masked."""
    if value is None or value == ():
        return "(not set)"
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, tuple):
        return ",".join(shown(item) for item in value) if not isinstance(value[0], SecretStr) else _MASK
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return _shown_number(value)
    return without_password(str(value))


def _shown_number(value: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if value >= 2 * size and value % size == 0:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def without_password(text: str) -> str:
    """Return an address with the password in it masked."""
    parts = urlsplit(text)
    if parts.password is None:
        return text
    return text.replace(f":{parts.password}@", f":{_MASK}@")
