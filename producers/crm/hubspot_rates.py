"""What HubSpot's answers say about its limits, told by the header names that `worker.limits` reads. Pure.

HubSpot counts in headers of its own (`X-HubSpot-RateLimit-*`, a window of ten seconds as a rule) and names the limit
that was met in a 429's body (`policyName`); `Retry-After` comes only at times and then goes first. The figures depend on
the account's plan and change, so none of them is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.limits.headers import read_advice

#: The window of the limit per app where an answer does not name it.
_WINDOW_S = 10.0
#: The day of the daily limit ends at midnight where the account is; asked again each quarter of an hour, it is seen.
_DAY_S = 900.0
_SECOND_S = 1.0


def as_usual_headers(headers: Mapping[str, str], status: int, fields: Mapping[str, Any]) -> dict[str, str]:
    """Return *headers* with `Retry-After` or `RateLimit-*` added where HubSpot says the same in its own words.

    Args:
        headers: the answer's, names in any letter case.
        status: the HTTP status.
        fields: the answer's JSON body, empty where it is none.
    """
    low = {name.lower(): value.strip() for name, value in headers.items()}
    window_s = _window_s(low)
    if status == 429 and "retry-after" not in low:
        return {**headers, "Retry-After": f"{_refused_for_s(low, fields, window_s):g}"}
    if low.get("x-hubspot-ratelimit-daily-remaining") == "0":
        window_s = _DAY_S
    elif low.get("x-hubspot-ratelimit-remaining") != "0":
        return dict(headers)
    return {**headers, "RateLimit-Remaining": "0", "RateLimit-Reset": f"{window_s:g}"}


def pause_s(headers: Mapping[str, str], status: int) -> float | None:
    """Return how long *headers* ask to wait, in seconds, or None."""
    advice = read_advice(headers, status, now=datetime.now(UTC))
    return None if advice is None else advice.pause_s


def _refused_for_s(low: Mapping[str, str], fields: Mapping[str, Any], window_s: float) -> float:
    policy = str(fields.get("policyName", "")).upper()
    if "DAILY" in policy or low.get("x-hubspot-ratelimit-daily-remaining") == "0":
        return _DAY_S
    return _SECOND_S if policy == "SECONDLY" else window_s


def _window_s(low: Mapping[str, str]) -> float:
    text = low.get("x-hubspot-ratelimit-interval-milliseconds", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 7
    return int(text) / 1000 if is_number and int(text) else _WINDOW_S
