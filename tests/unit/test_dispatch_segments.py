"""Parts of a text message, counted as the networks do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dispatch.segments import Encoding, measure

_GSM7, _UCS2 = Encoding.GSM7, Encoding.UCS2


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", _GSM7, 0, 0),
        ("a" * 160, _GSM7, 160, 1),
        ("a" * 161, _GSM7, 161, 2),
        ("a" * 306, _GSM7, 306, 2),
        ("a" * 307, _GSM7, 307, 3),
        ("€" * 80, _GSM7, 160, 1),
        ("€" * 81, _GSM7, 162, 2),
        ("[~]{}|^\\", _GSM7, 16, 1),
        ("a" * 152 + "€" + "a" * 152, _GSM7, 306, 3),  # the escaped letter does not fit the first part's end
        ("א" * 70, _UCS2, 70, 1),
        ("א" * 71, _UCS2, 71, 2),
        ("א" * 134, _UCS2, 134, 2),
        ("א" * 135, _UCS2, 135, 3),
        ("a’", _UCS2, 2, 1),  # one typographic quote turns all of it
        ("🌸", _UCS2, 2, 1),
        ("א" * 66 + "🌸" + "א" * 66, _UCS2, 134, 3),  # an emoji is not torn in two
    ],
)
def test_a_text_comes_to(text: str, encoding: Encoding, units: int, segments: int) -> None:
    """160/153 in GSM-7, 70/67 in UCS-2; pairs stay together."""
    size = measure(text)

    assert (size.encoding, size.units, size.segments) == (encoding, units, segments)


@given(st.text(max_size=400))
def test_parts_hold_what_they_count(text: str) -> None:
    """Never fewer parts than the units need, never more than one unit wasted in each."""
    size = measure(text)

    if size.segments > 1:
        assert size.segments * size.encoding.part_units >= size.units
        assert (size.segments - 1) * (size.encoding.part_units - 1) < size.units
