"""The charts: right in their figures, readable without seeing them, and free of anything that a policy forbids."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from worker.ops.console.charts import (
    Line,
    Share,
    Step,
    flow_chart,
    gauge,
    nice_ceiling,
    share_bar,
    short,
    sparkline,
)

SVG_HOSTILE = "<script>alert(1)</script>\"' onload=x"


def a_chart(
    up: list[int], down: list[int], over: list[int] | None = None, *, name: str = "linked"
) -> ET.Element:
    """Return the chart of these figures, read as XML."""
    steps = [Step(f"10:{index:02d}", f"2026-11-22T10:{index:02d}:00+00:00") for index in range(len(up))]
    drawn = flow_chart(
        steps,
        up=Line(name, "good", up),
        down=Line("failed", "bad", down),
        over=Line("accepted", "run", over or [0] * len(up)),
        title="The last hour",
    )
    return ET.fromstring(str(drawn))


def bars(chart: ET.Element, tone: str) -> list[dict[str, float]]:
    """Return the places of a tone's columns."""
    [group] = [each for each in chart.iter("g") if each.get("class") == f"tone-{tone}"]
    return [{name: float(each.attrib[name]) for name in ("x", "y", "width", "height")} for each in group]


def test_what_was_linked_stands_on_the_line_and_what_failed_hangs_below_it() -> None:
    """The two are told apart by their place, not by colour alone."""
    chart = a_chart([4, 0, 2], [0, 3, 0])
    [high, low], [hanging] = bars(chart, "good"), bars(chart, "bad")
    line_y = high["y"] + high["height"]
    assert low["y"] + low["height"] == pytest.approx(line_y)
    assert hanging["y"] == pytest.approx(line_y)
    assert high["height"] == pytest.approx(2 * low["height"])


def test_a_single_failure_among_thousands_can_still_be_seen() -> None:
    """However small its share, a column that is not nothing has some height."""
    chart = a_chart([50_000, 1], [0, 1])
    assert min(bar["height"] for bar in bars(chart, "good") + bars(chart, "bad")) >= 2


def test_columns_stay_within_the_drawing() -> None:
    """Whatever the figures, nothing is drawn outside of the frame."""
    chart = a_chart([999, 1001, 7], [123, 0, 999_999], [5000, 1, 0])
    _, _, width, height = (float(part) for part in chart.attrib["viewBox"].split())
    for bar in bars(chart, "good") + bars(chart, "bad"):
        assert 0 <= bar["x"] < bar["x"] + bar["width"] <= width
        assert 0 <= bar["y"] < bar["y"] + bar["height"] <= height


def test_every_column_says_its_figures_in_words() -> None:
    """A pointer over a minute, or a reader aloud, is told what the columns show."""
    told = [each.text for each in a_chart([4, 0], [0, 3], [5, 3]).iter("title")]
    assert told == ["10:00: accepted 5, linked 4, failed 0", "10:01: accepted 3, linked 0, failed 3"]


def test_a_chart_of_nothing_is_an_empty_frame() -> None:
    """An hour in which nothing happened has its axis and no columns."""
    chart = a_chart([0] * 60, [0] * 60)
    assert bars(chart, "good") == []
    assert bars(chart, "bad") == []
    assert chart.attrib["aria-label"] == "The last hour"


@pytest.mark.parametrize(
    "drawn",
    [
        flow_chart(
            [Step(SVG_HOSTILE, SVG_HOSTILE)],
            up=Line(SVG_HOSTILE, SVG_HOSTILE, [1]),
            down=Line(SVG_HOSTILE, "bad", [1]),
            over=Line(SVG_HOSTILE, "run", [1]),
            title=SVG_HOSTILE,
        ),
        sparkline([1, 2], label=SVG_HOSTILE, tone=SVG_HOSTILE),
        gauge(1, 2, label=SVG_HOSTILE, tone=SVG_HOSTILE),
        share_bar([Share(SVG_HOSTILE, SVG_HOSTILE, 1)], label=SVG_HOSTILE),
    ],
)
def test_names_cannot_break_out_of_a_drawing(drawn: str) -> None:
    """Labels and tones are escaped wherever they stand, and nothing has a style of its own."""
    root = ET.fromstring(str(drawn))
    attributes = {name for each in root.iter() for name in each.attrib}
    assert not any(each.tag == "script" for each in root.iter())
    assert not any(name.startswith("on") for name in attributes)
    assert "style" not in attributes
    assert SVG_HOSTILE in "".join(root.itertext()) + "".join(
        each.get("aria-label", "") for each in root.iter()
    )


def test_a_sparkline_has_a_column_for_every_value_and_says_itself() -> None:
    """Hours without a failure leave a mark on the ground line, so that the hours can be counted."""
    root = ET.fromstring(str(sparkline([0, 3, 6, 0], label="9 in the last 4 hours")))
    kinds = [each.get("class") for each in root.iter("rect")]
    assert kinds == ["none", "bar", "bar", "none"]
    heights = [float(each.attrib["height"]) for each in root.iter("rect")]
    assert heights[2] == pytest.approx(2 * heights[1])
    assert root.attrib["aria-label"] == "9 in the last 4 hours"


def test_a_sparkline_of_no_values_is_an_empty_drawing() -> None:
    """A group without a history draws nothing and fails at nothing."""
    assert "<rect" not in sparkline([], label="none")


@pytest.mark.parametrize(
    ("used", "whole", "width"), [(0, 60, 0), (30, 60, 50), (90, 60, 100), (1, 0, 0), (-1, 60, 0)]
)
def test_a_gauge_is_filled_by_what_is_used_and_never_over_its_edge(
    used: float, whole: float, width: float
) -> None:
    """Half the budget fills half the bar; more than all of it, or a budget of nothing, still draws."""
    found = re.search(r'class="bar" x="0.00" y="0.00" width="([\d.]+)"', gauge(used, whole, label="calls"))
    assert found
    assert float(found[1]) == width


def test_shares_divide_the_whole_bar_and_leave_none_invisible() -> None:
    """Parts are as wide as their share; one of a million is a sliver, and one of nothing is not there."""
    root = ET.fromstring(
        str(
            share_bar(
                [Share("a", "good", 1_000_000), Share("b", "bad", 1), Share("c", "run", 0)], label="all"
            )
        )
    )
    widths = [float(each.attrib["width"]) for each in root.iter("rect")]
    assert len(widths) == 2
    assert widths[1] > 0.1
    assert sum(widths) == pytest.approx(100, abs=1)


@pytest.mark.parametrize(
    ("value", "ceiling"),
    [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (99, 100), (100, 100), (101, 200)],
)
def test_an_axis_ends_at_a_round_number(value: int, ceiling: int) -> None:
    """The top of an axis is the next of 1, 2, 5, 10 …"""
    assert nice_ceiling(value) == ceiling


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (1500, "1.5k"), (2_000_000, "2M"), (2.5, "2.5")]
)
def test_an_axis_is_marked_shortly(value: float, text: str) -> None:
    """Large figures are shortened to fit beside the axis."""
    assert short(value) == text
