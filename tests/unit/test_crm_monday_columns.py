"""What a column of monday.com says, in each of the spellings in which it comes."""

from __future__ import annotations

from typing import Any

import pytest

from producers.crm.monday_events import fetched_value, kept_value, lookup_in


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"value": "Roses"}, "Roses"),
        ({"value": 5.0, "unit": None}, "5"),
        ({"value": "123"}, "123"),
        ({"label": {"index": 1, "text": "Won", "style": {"color": "#0"}}}, "Won"),
        ({"label": "Won"}, "Won"),
        ({"label": {"text": None}, "text": "x"}, None),
        (
            {"chosenValues": [{"id": 1, "name": "WhatsApp"}, {"id": 2, "name": "Facebook:1"}]},
            "WhatsApp;Facebook:1",
        ),
        ({"chosenValues": []}, None),
        ({"text": "A long\ntext", "changed_at": "x"}, "A long\ntext"),
        ({"email": "dana@example.com", "text": "Dana"}, "dana@example.com"),
        ({"url": "https://a.example/logo.png", "text": "our logo"}, "https://a.example/logo.png"),
        ({"checked": True}, "true"),
        ({"phone": "0501234567", "countryShortName": "IL"}, {"phone": "0501234567", "country": "IL"}),
        ({"phone": "", "countryShortName": ""}, None),
        ({"phone": "1", "countryShortName": None}, {"phone": "1", "country": ""}),
        ("plain", "plain"),
        (7, "7"),
        (None, None),
        ({}, None),
        ({"odd": {"odder": 1}}, None),
    ],
)
def test_every_shape_of_a_column_is_understood(value: Any, said: Any) -> None:
    """Text, number, status, dropdown, long text, e-mail, link, checkbox and telephone number."""
    assert kept_value(value) == said


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("Dana", '{"email": "dana@example.com", "text": "Dana"}', "dana@example.com"),
        ("logo - https://a.example", '{"url": "https://a.example", "text": "logo"}', "https://a.example"),
        (
            "0501234567",
            '{"phone": "0501234567", "countryShortName": "IL"}',
            {"phone": "0501234567", "country": "IL"},
        ),
        ("v", '{"checked": "true"}', "true"),
        ("Won", '{"index": 1, "post_id": null}', "Won"),
        ("A, B", '{"ids": [1, 2]}', "A, B"),
        ("12", '"12"', "12"),
        ("", None, None),
        (None, "null", None),
        ("x", "{broken", "x"),
        ("x", 5, "x"),
    ],
)
def test_graphql_says_it_in_its_own_way(text: Any, value: Any, said: Any) -> None:
    """`text` is for people; where that loses something, `value` is looked at."""
    assert fetched_value({"text": text, "value": value}) == said


@pytest.mark.parametrize(
    ("phone", "country", "said"),
    [
        ("0541234567", "IL", "+972541234567"),
        ("972541234567", "IL", "+972541234567"),
        ("+972541234567", "IL", "+972541234567"),
        ("07911 123456", "gb", "+447911123456"),
        ("19175998722", "US", "+19175998722"),
        ("0541234567", "", "0541234567"),
        ("0541234567", "Israel", "0541234567"),
        ("call Dana", "IL", "call Dana"),
    ],
)
def test_a_number_is_read_in_the_country_of_its_column(phone: str, country: str, said: str) -> None:
    """What can't be read stays as it is, for the request to be refused with the reason."""
    body = {"values": {"phone_1": kept_value({"phone": phone, "countryShortName": country})}}

    assert lookup_in(body)("phone_1") == said
