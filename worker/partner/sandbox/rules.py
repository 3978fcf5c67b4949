"""The partner's field rules, as far as they are documented. Pure: each check returns the rule that was broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_NUMBER = re.compile(r"\d{8,15}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LOGO = re.compile(r"https://\S+")


def check_whatsapp(body: Mapping[str, Any]) -> str | None:
    """Return the name of the first rule that a WhatsApp create breaks, or None."""
    number = body.get("whatsapp")
    if not (isinstance(number, str | int) and (str(number) == "1" or _NUMBER.fullmatch(str(number)))):
        return "number"
    for name in ("business_name", "display_name"):
        if not body.get(name):
            return name
    return _first_broken(body, _WHATSAPP_RULES)


def check_facebook(body: Mapping[str, Any]) -> str | None:
    """Return the name of the first rule that a Facebook create breaks, or None."""
    kind = body.get("type")
    if not isinstance(kind, int) or isinstance(kind, bool) or kind not in {1, 2, 3, 4}:
        return "type"
    return _first_broken(body, _FACEBOOK_RULES)


def check_business(body: Mapping[str, Any]) -> str | None:
    """Return the name of the first rule that the account's default settings break, or None."""
    return _first_broken(body, _BUSINESS_RULES)


def _first_broken(
    body: Mapping[str, Any], rules: Mapping[str, tuple[str, Callable[[Any], bool]]]
) -> str | None:
    for name, (rule, is_right) in rules.items():
        value = body.get(name)
        if value is None or value == "" or is_right(value):
            continue
        return rule
    return None


def _plain_words(limit: int) -> Callable[[Any], bool]:
    """Letters of any script, numbers, hyphens, spaces."""

    def is_right(value: Any) -> bool:
        return (
            isinstance(value, str)
            and len(value) <= limit
            and all(letter.isalnum() or letter in " -" for letter in value)
        )

    return is_right


def _text(limit: int, shape: re.Pattern[str] | None = None) -> Callable[[Any], bool]:
    def is_right(value: Any) -> bool:
        return (
            isinstance(value, str)
            and len(value) <= limit
            and (shape is None or shape.fullmatch(value) is not None)
        )

    return is_right


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and len(str(value)) <= 50


def _reference(value: Any) -> bool:
    return isinstance(value, str | int) and re.fullmatch(r"[\w .-]{1,50}", str(value)) is not None


def _zero_or_one(value: Any) -> bool:
    return str(value) in {"0", "1"}


_WHATSAPP_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "business_name": ("business_name", _plain_words(100)),
    "display_name": ("display_name", _plain_words(50)),
    "business_email": ("business_email", _text(200, _EMAIL)),
    "business_id": ("business_id", _text(20, re.compile(r"\d+"))),
    "business_address": ("business_address", _text(300)),
    "onboarding_logo": ("onboarding_logo", _text(1000, _LOGO)),
    "onboarding_message": ("onboarding_message", _plain_words(200)),
    "reference": ("reference", _reference),
    "basic_templates": ("basic_templates", _zero_or_one),
}
_FACEBOOK_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "reference": ("reference", _reference),
    "server": ("server", _text(200)),
    "account_id": ("account_id", _whole),
    "inbox_id": ("inbox_id", _whole),
}
_BUSINESS_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "onboarding_logo": ("business_logo", _text(512, _LOGO)),
    "onboarding_message": ("business_message", _text(200)),
    "onboarding_button": ("business_button", _text(50)),
    "onboarding_success": ("business_success", _text(200)),
    "onboarding_failed": ("business_failed", _text(200)),
}
