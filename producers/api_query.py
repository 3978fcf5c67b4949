"""The query of `GET /v1/onboardings`, read strictly: a filter that was misspelt must not list everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from producers.api_body import unknown_name
from worker.domain.parse import Problem
from worker.domain.phone import PhoneProblem, normalise_number
from worker.domain.states import JobState
from worker.ledger import JobFilter

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
#: Longest words that can mean anything; `/openapi.json` shows them too.
LONGEST = {"number": 100, "reason": 128, "batch": 128, "cursor": 128, "external_id": 200, "reference": 50}

#: Name → what it means; `/openapi.json` shows them too.
PARAMETERS = {
    "state": "Only jobs in this state.",
    "reason": "Only jobs with this reason.",
    "number": "Only jobs for this number, or whose invitation goes to it, in any usual form.",
    "external_id": "Only jobs of this customer of your CRM.",
    "reference": "Only jobs with this reference of yours.",
    "batch": "Only jobs of this batch.",
    "cursor": "The `next` of the page before.",
    "limit": f"Items per page, 1 to {MAX_LIMIT}.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """What a caller wants listed."""

    filter: JobFilter
    cursor: str | None
    limit: int


def read_query(query: Mapping[str, str], *, region: str) -> ListQuery | tuple[Problem, ...]:
    """Return the query, or every problem it has. *region* is where numbers without a country code belong."""
    problems = _read_names([name for name, _ in query.items()])
    problems += [_empty(name) for name in PARAMETERS if name != "cursor" and query.get(name) == ""]
    problems += [_too_long(name, most) for name, most in LONGEST.items() if len(query.get(name, "")) > most]
    state = _read_state(query.get("state"), problems)
    number = _read_number(query.get("number"), region, problems)
    limit = _read_limit(query.get("limit"), problems)
    if problems:
        return tuple(problems)
    wanted = JobFilter(
        state=state,
        reason=query.get("reason"),
        number=number,
        batch=query.get("batch"),
        external_id=query.get("external_id"),
        reference=query.get("reference"),
    )
    return ListQuery(filter=wanted, cursor=query.get("cursor") or None, limit=limit)


def _read_names(names: Sequence[str]) -> list[Problem]:
    unknown = [
        unknown_name(name, list(PARAMETERS)) for name in dict.fromkeys(names) if name not in PARAMETERS
    ]
    return [*unknown, *(_twice(name) for name in PARAMETERS if names.count(name) > 1)]


def _read_state(text: str | None, problems: list[Problem]) -> JobState | None:
    if not text:
        return None
    try:
        return JobState(text)
    except ValueError:
        problems.append(
            Problem(
                field="state",
                code="unknown_state",
                message="there is no such state",
                remedy=f"One of {', '.join(JobState)}.",
            )
        )
        return None


def _read_number(text: str | None, region: str, problems: list[Problem]) -> str | None:
    if not text or len(text) > LONGEST["number"]:
        return None
    number = normalise_number(text, region=region)
    if isinstance(number, PhoneProblem):
        remedy = "Send it with its country code, digits only: 972501234567."
        problems.append(Problem(field="number", code=number.code, message=number.message, remedy=remedy))
        return None
    return number.digits


def _read_limit(text: str | None, problems: list[Problem]) -> int:
    if not text:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    problems.append(
        Problem(
            field="limit",
            code="bad_limit",
            message="this is not a number of items",
            remedy=f"Send 1 to {MAX_LIMIT}.",
        )
    )
    return DEFAULT_LIMIT


def _twice(name: str) -> Problem:
    return Problem(
        field=name,
        code="twice",
        message="the filter is named twice, and only one of its values could count",
        remedy="Ask once for each value.",
    )


def _empty(name: str) -> Problem:
    return Problem(
        field=name,
        code="empty",
        message="the filter has no value, as if whoever asked had lost it",
        remedy="Give it one, or leave its name out.",
    )


def _too_long(name: str, most: int) -> Problem:
    return Problem(
        field=name,
        code="too_long",
        message=f"the value is longer than {most} characters",
        remedy="Send it as an answer of this API gave it.",
    )
