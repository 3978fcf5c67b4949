"""What all verifiers and readers share."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.crm.model import UnreadableError
from producers.crm.signing import digest_of, is_same, read_json


@pytest.mark.parametrize(
    ("shown", "known", "same"),
    [("a", "a", True), ("a", "b", False), ("", "a", False), ("a" * 99, "a", False), ("\udcff", "a", False)],
)
def test_secrets_are_compared(shown: str, known: str, same: bool):
    """Of any length, and of bytes that are no UTF-8 too."""
    assert is_same(shown, known) is same


def test_the_order_of_members_does_not_change_a_digest():
    """A redelivery that is written in another order is the same event; other content is another."""
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})
    assert digest_of([1, 2]) != digest_of([2, 1])
    assert len(digest_of({})) == 32


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff", "not UTF-8: byte 1"),
        (b'{"a": 1', "line 1, column"),
        (b"", "line 1, column 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "too many digits"),
        (b"1e999", "a number is too large"),
        (b"[NaN]", "NaN is not JSON"),
        (b'{"a": 1, "a": 2}', "a name occurs twice"),
        (rb'"\ud800"', "half of a surrogate pair"),
    ],
)
def test_what_is_no_clean_json_is_told_without_its_content(raw: bytes, says: str):
    """Each is one kind of error, for a 400."""
    with pytest.raises(UnreadableError, match=says):
        read_json(raw)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes):
    """What is read can be written again as JSON in UTF-8."""
    with suppress(UnreadableError):
        document = read_json(raw)
        written = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
        assert read_json(written) == document
