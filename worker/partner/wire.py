"""What travels: the bodies we send and, strictly parsed, the answers that come back. Pure.

The partner's facts are in its public documentation; where it says nothing (HTTP status codes, for one) the
body is believed before the HTTP status, and whatever cannot be read leaves the outcome unknown.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from worker.domain.dedupe import partner_fields
from worker.domain.outcome import Answered, Ending, NotDone, Unanswered
from worker.domain.phone import mask_text
from worker.domain.request import OnboardingRequest, Product

CODE_OK = 1
CODE_TOKEN_EXPIRED = 3  #: on every call but the token's own, where it means "this address is blocked"

RAW_KEPT = 2_000  #: characters of a masked answer that may be kept
DETAIL_KEPT = 200
# A hostile or mistaken Retry-After must not stop the fleet for weeks.
RETRY_AFTER_CAP_S = 3_600.0

# Masking reads more than is kept, so that nothing personal is cut in two at the edge and slips through.
_MASKED_AHEAD = 3 * RAW_KEPT
_EDGE = 64
_NUMERIC = re.compile(r"[+-]?\d{1,9}")
_STATUS_WORDS = {"OK": True, "FAIL": False}
# A redirect of a POST by these keeps method and body, so whoever sent it has not acted. 302 and 303 may follow an act.
_MOVED = frozenset({301, 307, 308})
_NO_SUCH_PATH = frozenset({404, 405})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer, read to its end."""

    http_status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a body says of its call."""

    is_ok: bool
    code: int | None


def create_body(request: OnboardingRequest, product: Product, reference: str) -> dict[str, str | int]:
    """Return what a create sends for *product*; *reference* is our own, made of the job's id, never the caller's."""
    return {**partner_fields(request, product), "reference": reference}


def read_ending(reply: Reply, *, now: datetime) -> Ending:
    """Return what *reply* means for its call; never raises, whatever the partner sent."""
    text = reply.body.decode("utf-8-sig", errors="replace")
    fields = json_object(text)
    verdict = None if fields is None else read_verdict(fields)
    turned_away = None if verdict and verdict.is_ok else _turned_away(reply, verdict, text, now=now)
    if turned_away is not None:
        return turned_away
    if fields is None or verdict is None:
        return _unreadable(reply, text)
    return Answered(
        is_ok=verdict.is_ok,
        code=verdict.code,
        body=fields,
        http_status=reply.http_status,
        raw=masked(text, keep=RAW_KEPT),
    )


def read_verdict(fields: Mapping[str, Any]) -> Verdict | None:
    """Return what the body says, by `status` in any letter case or by `reason` alone; None when by neither."""
    word = fields.get("status")
    code = whole_number(fields.get("reason"))
    is_ok = _STATUS_WORDS.get(word.strip().upper()) if isinstance(word, str) else None
    if is_ok is not None:
        return Verdict(is_ok, code)
    return None if code is None else Verdict(code == CODE_OK, code)


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that *text* holds, or None for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # the second: thousands of brackets, one inside another
        return None
    if not isinstance(value, dict):
        return None
    # A lone half of a surrogate pair can be escaped in JSON but not written to any store.
    return _without_lone_surrogates(value) if "\\u" in text and _has_surrogate(value) else value


def whole_number(value: object) -> int | None:
    """Return *value* as an int where it is one, or a float or text that stands for one; booleans are not."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e9 else None
    if isinstance(value, int):
        return value if abs(value) < 10**9 else None
    if isinstance(value, str) and _NUMERIC.fullmatch(value.strip()):
        return int(value)
    return None


def masked(text: str, *, keep: int) -> str:
    """Return *text* with numbers, addresses and links masked, at most *keep* characters of it."""
    head = text[: max(_MASKED_AHEAD, 3 * keep)]
    safe = mask_text(head)
    if len(head) < len(text):
        safe = safe[: max(0, len(safe) - _EDGE)]
    return safe[:keep].encode("utf-8", errors="replace").decode("utf-8")


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds that `Retry-After` asks for (a number or a date), capped; None without a readable one."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", text):
        return min(float(text), RETRY_AFTER_CAP_S)
    try:
        at = parsedate_to_datetime(text)
        wait_s = (at.replace(tzinfo=now.tzinfo) if at.tzinfo is None else at).timestamp() - now.timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_CAP_S)


def inflate(body: bytes, encoding: str, *, cap: int) -> bytes | None:
    """Return *body* decompressed, or None when it would exceed *cap* bytes or cannot be read.

    We ask for no compression; this is for servers that compress all the same.
    """
    if encoding.strip().lower() in {"", "identity"}:
        return body
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        return None
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip and zlib headers alike
    try:
        plain = inflater.decompress(body, cap + 1)
    except zlib.error:
        return None
    return plain if len(plain) <= cap and inflater.eof else None


def _turned_away(reply: Reply, verdict: Verdict | None, text: str, *, now: datetime) -> NotDone | None:
    """Return the NotDone of an answer that says so by its HTTP status; a readable body outweighs some of them."""
    status, reason, wait_s = reply.http_status, None, retry_after_s(reply.headers, now=now)
    if status == 429 or (status == 503 and "Retry-After" in reply.headers):
        reason = "partner_throttled"
    elif verdict is not None:
        return None
    elif status == 401:
        reason = "token_expired"
    elif status == 403:
        reason = "partner_turned_away"
    elif status in _NO_SUCH_PATH or status in _MOVED:
        reason = "partner_not_found_path"
    if reason is None:
        return None
    return NotDone(reason=reason, detail=_detail(status, text), retry_after_s=wait_s, http_status=status)


def _unreadable(reply: Reply, text: str) -> Unanswered:
    reason = "partner_error" if reply.http_status >= 500 else "partner_unreadable"
    return Unanswered(reason=reason, detail=_detail(reply.http_status, text), http_status=reply.http_status)


def _detail(http_status: int, text: str) -> str:
    said = masked(" ".join(text[:_MASKED_AHEAD].split()), keep=DETAIL_KEPT)
    return f"HTTP {http_status}, {said!r}" if said else f"HTTP {http_status}, empty"


def _has_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _without_lone_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(item) for key, item in value.items()}
    return value
