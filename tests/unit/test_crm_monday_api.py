"""What monday's answers mean: items, patience, a person, or one more try."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.crm.http import JsonReply
from producers.crm.model import FetchLaterError, FetchRefusedError
from producers.crm.monday_api import DAILY_LIMIT_S, THROTTLED_S, read_items
from tests.monday_fake import an_error, an_item

BUDGET = (
    "Complexity budget exhausted, query cost 30001 budget remaining 19986 out of 1000000 reset in 3 seconds"
)


def a_reply(body: Any, status: int = 200, retry_after: str = "") -> JsonReply:
    return JsonReply(status, {"Retry-After": retry_after}, body)


def test_items_are_told_by_id() -> None:
    """With what is needed of them."""
    item = read_items(a_reply({"data": {"items": [an_item(5)]}}))["5"]

    assert (item.name, item.board_id, item.group_name) == ("Dana Flowers", "1234567890", "Customers")
    assert item.columns["status"]["text"] == "Won"


@pytest.mark.parametrize("state", ["deleted", "archived"])
def test_an_item_that_is_put_away_is_not_there(state: str) -> None:
    """monday still tells of it for a while."""
    assert read_items(a_reply({"data": {"items": [an_item(5, state=state)]}})) == {}


@pytest.mark.parametrize(
    ("reply", "delay_s"),
    [
        (a_reply(an_error("COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=15, status_code=429)), 15),
        (a_reply(an_error("ComplexityException", retry_in_seconds=15)), 15),
        (a_reply(an_error("ComplexityException", BUDGET)), 3),
        (
            a_reply(
                {
                    "error_code": "ComplexityException",
                    "status_code": 429,
                    "error_message": BUDGET,
                    "errors": [BUDGET],
                }
            ),
            3,
        ),
        (a_reply({"errors": [BUDGET]}), 3),
        (a_reply(an_error("COMPLEXITY_BUDGET_EXHAUSTED"), 429, "41"), 41),
        (a_reply(an_error("COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=9), 429, "41"), 41),
        (a_reply(an_error("DAILY_LIMIT_EXCEEDED")), DAILY_LIMIT_S),
        (a_reply(an_error("DAILY_LIMIT_EXCEEDED"), 429, "7200"), 7200),
        (a_reply(an_error("DAILY_LIMIT_EXCEEDED", retry_in_seconds=999_999)), 86_400),
        (a_reply(an_error("maxConcurrencyExceeded")), THROTTLED_S),
        (a_reply(an_error("IP_RATE_LIMIT_EXCEEDED")), THROTTLED_S),
        (a_reply(an_error("FIELD_MINUTE_RATE_LIMIT_EXCEEDED")), THROTTLED_S),
        (a_reply(an_error("API_TEMPORARILY_BLOCKED")), THROTTLED_S),
        (a_reply({"errors": ["Rate Limit Exceeded."]}), THROTTLED_S),
        (a_reply(an_error("anything", status_code=429)), THROTTLED_S),
        (a_reply(None, 429), THROTTLED_S),
        (a_reply(None, 429, "soon"), THROTTLED_S),
        (a_reply(None, 429, "-5"), THROTTLED_S),
        (a_reply(an_error("ComplexityException", retry_in_seconds=float("inf"))), THROTTLED_S),
    ],
)
def test_a_limit_is_waited_for_and_uses_up_no_try(reply: JsonReply, delay_s: float) -> None:
    """In each of the shapes in which monday has said it over the years."""
    with pytest.raises(FetchLaterError) as later:
        read_items(reply)

    assert (later.value.reason, later.value.is_failure) == ("crm_throttled", False)
    assert later.value.delay_s == delay_s


@pytest.mark.parametrize(
    ("reply", "setting"),
    [
        (a_reply({"errors": ["Not Authenticated"]}, 401), "LINKFERRY_CRM_MONDAY_TOKEN"),
        (a_reply({"errors": ["Not Authenticated"]}), "LINKFERRY_CRM_MONDAY_TOKEN"),
        (a_reply(None, 403), "LINKFERRY_CRM_MONDAY_TOKEN"),
        (a_reply(an_error("UserUnauthorizedException", status_code=403)), "LINKFERRY_CRM_MONDAY_TOKEN"),
        (a_reply(an_error("USER_UNAUTHORIZED")), "LINKFERRY_CRM_MONDAY_TOKEN"),
        (a_reply(an_error("missingRequiredPermissions")), "LINKFERRY_CRM_MONDAY_TOKEN"),
        (a_reply(None, 404), "LINKFERRY_CRM_MONDAY_API_URL"),
        (a_reply(None, 302), "LINKFERRY_CRM_MONDAY_API_URL"),
        (a_reply({"errors": [{"message": "Parse error"}]}, 400), "LINKFERRY_CRM_MONDAY_API_URL"),
        (a_reply(an_error("maxComplexityExceeded")), "LINKFERRY_CRM_MONDAY_API_URL"),
    ],
)
def test_a_refusal_calls_for_a_person(reply: JsonReply, setting: str) -> None:
    """And says which setting to look at."""
    with pytest.raises(FetchRefusedError) as refused:
        read_items(reply)

    assert refused.value.reason == "crm_refused"
    assert setting in refused.value.remedy


@pytest.mark.parametrize(
    "reply",
    [
        a_reply(None),
        a_reply({}),
        a_reply({"data": None}),
        a_reply({"data": {"items": None}}),
        a_reply(None, 500),
        a_reply(None, 503),
        a_reply(None, 408),
        a_reply(an_error("INTERNAL_SERVER_ERROR")),
        a_reply({"errors": [{"message": "Unknown argument limit"}]}),
        a_reply({"data": {"items": [an_item(1)]}, "errors": [{"message": "half of it"}]}),
    ],
)
def test_what_is_no_answer_is_asked_for_again(reply: JsonReply) -> None:
    """But not for ever; and half an answer does not make the other half gone."""
    with pytest.raises(FetchLaterError) as later:
        read_items(reply)

    assert (later.value.reason, later.value.is_failure) == ("crm_unreachable", True)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "items", "errors", "extensions", "code", "id", "column_values", "board", "message"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["data", "errors", "error_code", "error_message"]), _JSON),
    st.integers(200, 599),
)
def test_whatever_monday_says_ends_as_items_or_one_of_the_two_errors(
    body: dict[str, Any], status: int
) -> None:
    """Nothing else comes out."""
    with suppress(FetchLaterError, FetchRefusedError):
        assert isinstance(read_items(a_reply(body, status)), dict)


def test_no_error_repeats_what_monday_said() -> None:
    """It may hold a customer's name."""
    with pytest.raises(FetchLaterError) as later:
        read_items(a_reply(an_error("Dana Levi 0501234567", "Dana Levi 0501234567")))

    assert "Dana" not in json.dumps([str(later.value), later.value.reason])
