"""What the partner's answer says about its own limits. Pure; nothing in a header is trusted.

Read are `Retry-After` (RFC 9110: seconds or a date), `RateLimit` (IETF draft ratelimit-headers, its present form
`"name";r=0;t=30` and its earlier one `limit=9, remaining=0, reset=30`) and the older triple `RateLimit-*` and
`X-RateLimit-*`. `Retry-After` goes first, as the draft demands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: No partner pauses us for longer: the header may be a mistake or an attack (the draft names 1,000,000 s).
MOST_PAUSE_S = 3600.0

_LONGEST_VALUE = 1000
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
# A reset below this is seconds from now, else an epoch; above the second one an epoch in milliseconds.
_LEAST_EPOCH = 1e9
_LEAST_EPOCH_MS = 1e11


@dataclass(frozen=True, slots=True)
class Advice:
    """What an answer asks of the fleet."""

    pause_s: float | None  #: no call for so long, at most `MOST_PAUSE_S`; None: it does not say how long
    is_pushback: bool  #: the call was refused for its rate: slow down too; False: the quota is just used up


def read_advice(headers: Mapping[str, str], status: int, *, now: datetime) -> Advice | None:
    """Return what an answer with this HTTP *status* asks for, or None.

    Args:
        headers: names in any letter case.
        status: the HTTP status.
        now: aware; used for dates where the answer carries no `Date` of its own, whose clock wrote them.
    """
    low = {name.lower(): value for name, value in headers.items() if len(value) <= _LONGEST_VALUE}
    at = _date(low.get("date", "")) or now
    retry_after_s = _retry_after_s(low.get("retry-after", ""), at)
    quota_s = _quota_s(low, at)
    if status == 429 or (status == 503 and retry_after_s is not None):
        return Advice(retry_after_s if retry_after_s is not None else quota_s, is_pushback=True)
    if status >= 400 and retry_after_s is not None:
        return Advice(retry_after_s, is_pushback=False)
    return None if quota_s is None else Advice(quota_s, is_pushback=False)


def _capped(seconds: float) -> float:
    return min(max(0.0, seconds), MOST_PAUSE_S)


def _number(value: str) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None


def _date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _retry_after_s(value: str, now: datetime) -> float | None:
    """Return the pause of a `Retry-After`, or None where it is missing or makes no sense."""
    seconds = _number(value.strip())
    if seconds is not None:
        return _capped(seconds)
    at = _date(value)
    return None if at is None else _capped((at - now).total_seconds())


def _reset_s(value: str, now: datetime) -> float | None:
    seconds = _number(value)
    if seconds is None:
        return None
    if seconds >= _LEAST_EPOCH_MS:
        seconds /= 1000
    return _capped(seconds - now.timestamp() if seconds >= _LEAST_EPOCH else seconds)


def _quota_s(low: Mapping[str, str], now: datetime) -> float | None:
    """Return until when a used-up quota stays so; the longest, where there are several."""
    found = [*_of_draft(low.get("ratelimit", ""), now)]
    for prefix in ("ratelimit", "x-ratelimit", "x-rate-limit"):
        # A list ("0, 100;w=60") begins with the quota that is nearest.
        left = _number(_first(low.get(f"{prefix}-remaining", "")))
        reset_s = _reset_s(_first(low.get(f"{prefix}-reset", "")), now)
        if left == 0 and reset_s is not None:
            found.append(reset_s)
    return max(found, default=None)


def _of_draft(value: str, now: datetime) -> Iterator[float]:
    whole: dict[str, str] = {}
    for item in _split(value, ","):
        parts = [_pair(part) for part in _split(item, ";")]
        of_item = dict(parts[1:])
        whole.update(parts[:1])
        if (
            _number(of_item.get("r", "")) == 0
            and (reset_s := _reset_s(of_item.get("t", ""), now)) is not None
        ):
            yield reset_s
    if _number(whole.get("remaining", "")) == 0:
        reset_s = _reset_s(whole.get("reset", ""), now)
        if reset_s is not None:
            yield reset_s


def _first(value: str) -> str:
    return re.split("[,;]", value, maxsplit=1)[0].strip()


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip()


def _split(value: str, separator: str) -> list[str]:
    """Split at *separator*, but not inside double quotes."""
    parts, part, is_quoted, is_escaped = [], "", False, False
    for char in value:
        if char == separator and not is_quoted:
            parts.append(part)
            part = ""
            continue
        if char == '"' and not is_escaped:
            is_quoted = not is_quoted
        is_escaped = char == "\\" and is_quoted and not is_escaped
        part += char
    return [*parts, part]
