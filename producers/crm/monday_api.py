"""monday.com's API over HTTP: items with their columns, up to a hundred in a call. No retries, no redirects.

It is GraphQL: most of what goes wrong comes as HTTP 200 with `errors`, in one of several shapes. Each call ends with
items or with one of two errors: FetchLaterError (nothing is wrong with the question) or FetchRefusedError (a person
is needed). All of it may be asked again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producers.crm.http import JsonCaller, JsonReply
from producers.crm.model import FetchLaterError, FetchRefusedError
from worker.telemetry import log

API_URL = "https://api.monday.com/v2"
#: Items of one call. monday takes 100 ids, and answers with the first 25 of them unless a limit is named.
MOST_ITEMS = 100
#: Waits where monday names none. Complexity is counted by the minute; the daily cap starts anew at midnight UTC.
THROTTLED_S = 60.0
DAILY_LIMIT_S = 3600.0
_LONGEST_WAIT_S = 24 * 3600.0

_QUERY = """query ($ids: [ID!]!, $limit: Int!) {
  items(ids: $ids, limit: $limit) {
    id name state board { id } group { title } column_values { id text value }
  }
}"""
_IS_DAILY = re.compile(r"daily", re.IGNORECASE)
_IS_THROTTLED = re.compile(
    r"complexity|budget|limit.?exceeded|(?:rate|daily).?limit|concurren|throttl|temporarily|blocked|too many",
    re.IGNORECASE,
)
#: One question that costs more than a whole minute's budget: waiting does not make it cheaper.
_IS_TOO_DEAR = re.compile(r"max[_ ]?complexity", re.IGNORECASE)
_IS_REFUSED = re.compile(r"unauthori[sz]ed|not.?authenticated|permission|forbidden", re.IGNORECASE)
_RESET = re.compile(r"reset in (\d{1,6}) seconds")
_CODE = re.compile(r"[A-Za-z_]{1,60}")

_ACCESS_REMEDY = (
    "monday.com does not take the token, or it may not read the board. Put the API token of a user who sees the "
    "boards (scope boards:read) into LINKFERRY_CRM_MONDAY_TOKEN and start Linkferry again."
)
_QUESTION_REMEDY = (
    "monday.com does not understand the question. See that LINKFERRY_CRM_MONDAY_API_URL is "
    f"{API_URL}, and whether this version of Linkferry is still current."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item as it is now."""

    id: str
    name: str
    board_id: str
    group_name: str
    columns: Mapping[str, Mapping[str, Any]]  #: by column id: `text`, and `value` as JSON text


class MondayApi:
    """Asks monday.com for items. Use within one event loop, and `aclose` it. *timeout_s* is a call's total deadline."""

    def __init__(self, *, token: str, url: str = API_URL, timeout_s: float = 20.0) -> None:
        # The token as it is, without a scheme: monday's own way.
        self._caller = JsonCaller("monday", authorization=token, timeout_s=timeout_s)
        self._url = url

    async def aclose(self) -> None:
        """Close what is open."""
        await self._caller.aclose()

    async def items(self, ids: Sequence[str]) -> dict[str, Item]:
        """Return the items that are there, by id; deleted and archived ones are not.

        Raises:
            FetchLaterError: monday.com can't be asked now.
            FetchRefusedError: it refuses the token or the question.
        """
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Item] = {}
        for start in range(0, len(wanted), MOST_ITEMS):
            found.update(read_items(await self._ask(wanted[start : start + MOST_ITEMS])))
        return found

    async def _ask(self, ids: Sequence[str]) -> JsonReply:
        body = {"query": _QUERY, "variables": {"ids": list(ids), "limit": MOST_ITEMS}}
        return await self._caller.call("POST", self._url, body)


def read_items(reply: JsonReply) -> dict[str, Item]:
    """Return what an answer tells of items, by id.

    Raises:
        FetchLaterError: it says to come again, or says nothing that could be understood.
        FetchRefusedError: it refuses the token or the question.
    """
    faults = list(_faults(reply.body or {}))
    if reply.status != 200 or faults:
        _raise_fault(reply, faults)
    data = (reply.body or {}).get("data")
    rows = data.get("items") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise FetchLaterError("crm_unreachable")
    items = [_item(row) for row in rows if isinstance(row, dict) and row.get("state") in {None, "active"}]
    return {item.id: item for item in items}


def _item(row: Mapping[str, Any]) -> Item:
    board, group, values = row.get("board"), row.get("group"), row.get("column_values")
    columns = [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
    return Item(
        id=str(row.get("id")),
        name=str(row.get("name") or ""),
        board_id=str(board.get("id")) if isinstance(board, dict) else "",
        group_name=str(group.get("title") or "") if isinstance(group, dict) else "",
        columns={str(each.get("id")): each for each in columns},
    )


# --- what went wrong ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of an answer, out of whichever shape it came in."""

    code: str
    message: str
    status: int
    retry_s: float | None

    def says(self, pattern: re.Pattern[str]) -> bool:
        return bool(pattern.search(self.code) or (not self.code and pattern.search(self.message)))


def _faults(body: Mapping[str, Any]) -> Iterator[_Fault]:
    """Yield the errors of an answer: `errors` with `extensions`, and the older `error_code` at the top."""
    if "error_code" in body or "error_message" in body:
        yield _fault(body.get("error_message"), {**body, "code": body.get("error_code")})
    errors = body.get("errors")
    for each in errors if isinstance(errors, list) else []:
        if isinstance(each, dict):
            extensions = each.get("extensions")
            yield _fault(each.get("message"), extensions if isinstance(extensions, dict) else {})
        else:
            yield _fault(each, {})


def _fault(message: Any, details: Mapping[str, Any]) -> _Fault:
    code, status = details.get("code"), details.get("status_code")
    text = message if isinstance(message, str) else ""
    told = _RESET.search(text)
    wait_s = _positive(details.get("retry_in_seconds")) or (_positive(told[1]) if told else None)
    return _Fault(
        code if isinstance(code, str) else "", text, status if isinstance(status, int) else 0, wait_s
    )


def _raise_fault(reply: JsonReply, faults: Sequence[_Fault]) -> None:
    """Raise what an answer without items means: patience, a person, or one more try."""
    codes = [each.code for each in faults if _CODE.fullmatch(each.code)]
    log.warning("monday_answered_error", http_status=reply.status, code=codes[0] if codes else None)
    statuses = {reply.status, *(each.status for each in faults)}
    if any(each.says(_IS_TOO_DEAR) for each in faults):
        raise FetchRefusedError("crm_refused", _QUESTION_REMEDY)
    if 429 in statuses or any(each.says(_IS_THROTTLED) for each in faults):
        raise FetchLaterError("crm_throttled", delay_s=_wait_s(reply, faults), is_failure=False)
    if statuses & {401, 403} or any(each.says(_IS_REFUSED) for each in faults):
        raise FetchRefusedError("crm_refused", _ACCESS_REMEDY)
    if 300 <= reply.status < 500 and reply.status != 408:
        raise FetchRefusedError("crm_refused", _QUESTION_REMEDY)
    # Among the errors that monday lists are its own moments of weakness: it is asked again, but not for ever.
    raise FetchLaterError("crm_unreachable", delay_s=_positive(_retry_after(reply)))


def _wait_s(reply: JsonReply, faults: Sequence[_Fault]) -> float:
    told = [each.retry_s for each in faults if each.retry_s is not None]
    wait_s = max([*told, _positive(_retry_after(reply)) or 0.0])
    if wait_s:
        return min(wait_s, _LONGEST_WAIT_S)
    return DAILY_LIMIT_S if any(each.says(_IS_DAILY) for each in faults) else THROTTLED_S


def _retry_after(reply: JsonReply) -> str:
    return reply.headers.get("Retry-After", "")


def _positive(value: Any) -> float | None:
    """Return seconds, or None for what is no number of them."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value.strip()):
        value, is_number = int(value), True
    return float(value) if is_number and 0 < value < 1e6 else None
