"""The partner's lists, row by row and strictly: a list with one broken row is no list at all.

The look-up of a create in doubt rests on *absence* from a list, so half a list would be worse than none. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from worker.domain.outcome import AccountEntry, Answered, Ending, NotDone, RegisteredNumber, Unanswered
from worker.partner.wire import CODE_OK, whole_number

Row = TypeVar("Row")

_DIGITS = re.compile(r"\+?\d{5,20}")
_KNOWN_ACCOUNT_FIELDS = frozenset(
    {
        "whatsapp",
        "reference",
        "onboarding_link",
        "landing_page",
        "status",
        "coexistence",
        "create_time",
    }
)
# No paging is documented. Should it come, the first page must not pass for the whole.
_MORE_FOLLOWS = ("next", "next_page", "next_page_url", "next_cursor", "has_more", "more")
_COUNTS = ("total", "total_count", "total_items")


class BrokenRowError(ValueError):
    """A row that is not what it should be. The text names the field, never its value."""


def read_list(ending: Ending, row: Callable[[object], Row]) -> list[Row] | NotDone | Unanswered:
    """Return every row of the answer's `list`, or why there is none; never a part of it."""
    if not isinstance(ending, Answered):
        return ending
    if not ending.is_ok or ending.code not in {None, CODE_OK}:
        return NotDone(
            reason="partner_error",
            detail=f"the list was refused with code {ending.code}",
            http_status=ending.http_status,
        )
    rows = ending.body.get("list")
    if not isinstance(rows, list):
        return _broken("the answer has no list", ending)
    if _is_partial(ending.body, len(rows)):
        return _broken("the list is not complete", ending)
    try:
        return [row(item) for item in rows]
    except BrokenRowError as exc:
        return _broken(str(exc), ending)


def account_entry(item: object) -> AccountEntry:
    """Return one row of `getAccounts`; raises BrokenRowError."""
    fields = _object(item)
    status = whole_number(fields.get("status"))
    if status is None:
        raise BrokenRowError("status is not a number")
    return AccountEntry(
        whatsapp=_number(fields),
        reference=_reference(fields),
        link=_text_or_none(fields, "onboarding_link") or "",
        landing_page=_text_or_none(fields, "landing_page"),
        is_finished=status == 1,
        is_coexistence=_flag(fields, "coexistence"),
        created_s=_seconds(fields, "create_time"),
        extra={name: value for name, value in fields.items() if name not in _KNOWN_ACCOUNT_FIELDS},
    )


def registered_number(item: object) -> RegisteredNumber:
    """Return one row of `getRegisteredNumbers`; raises BrokenRowError."""
    fields = _object(item)
    return RegisteredNumber(
        whatsapp=_number(fields),
        expires_s=_seconds(fields, "expiration"),
        link=_text_or_none(fields, "onboarding_link"),
    )


def _broken(detail: str, ending: Answered) -> Unanswered:
    return Unanswered(reason="partner_unreadable", detail=detail, http_status=ending.http_status)


def _is_partial(body: Mapping[str, Any], count: int) -> bool:
    if any(body.get(name) for name in _MORE_FOLLOWS):
        return True
    totals = (whole_number(body.get(name)) for name in _COUNTS)
    return any(total is not None and total > count for total in totals)


def _object(item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise BrokenRowError("a row is not an object")
    return item


def _number(fields: Mapping[str, Any]) -> str:
    value = fields.get("whatsapp")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise BrokenRowError("whatsapp is not a number")
    return value.removeprefix("+")


def _reference(fields: Mapping[str, Any]) -> str | None:
    value = fields.get("reference")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text_or_none(fields, "reference")


def _text_or_none(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BrokenRowError(f"{name} is not text")
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    number = whole_number(value)
    if number not in {0, 1}:
        raise BrokenRowError(f"{name} is neither 0 nor 1")
    return number == 1


def _seconds(fields: Mapping[str, Any], name: str) -> int:
    """Return unix seconds; only told to people, so a missing one is 0 and no reason to refuse the list."""
    value = fields.get(name)
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}", value.strip()):
        return int(value)
    is_plain = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
    return int(value) if is_plain and value is not None else 0
