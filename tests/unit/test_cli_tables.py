"""Tables of the command line in a narrow terminal: what is written briefly, what is cut, what goes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from linkferry.output import brief_instant
from linkferry.tables import Column, number, of_name, print_table, when

YEAR = datetime.now(UTC).year
AT = f"{YEAR}-11-22T07:18:24Z"
COLUMNS = ("job", of_name(rank=1), when("changed", rank=1), Column("lane", rank=2))
NAME = "Flowers of the Upper Galilee"


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def a_table(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(COLUMNS, [("01k8qqqqqqqqqqqqqqqqw", NAME, AT, "bulk")])


def test_all_is_whole_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and instants too."""
    a_table(monkeypatch, 120)

    assert lines(capsys)[1].split("  ") == ["01k8qqqqqqqqqqqqqqqqw", NAME, AT, "bulk"]


def test_cells_are_written_briefly_before_a_column_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An instant loses year and seconds; a name takes the room that is left."""
    a_table(monkeypatch, 66)

    [head, row] = lines(capsys)
    assert head.split() == ["job", "customer", "changed", "lane"]
    assert row == "01k8qqqqqqqqqqqqqqqqw  Flowers of the Upper G…  11-22 07:18Z  bulk"


def test_the_least_important_column_goes_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is to be copied stays whole, and a name can still be told by its beginning."""
    a_table(monkeypatch, 50)

    [head, row] = lines(capsys)
    assert head.split() == ["job", "customer", "changed"]
    assert row == "01k8qqqqqqqqqqqqqqqqw  Flowers of t…  11-22 07:18Z"


def test_a_wide_letter_is_cut_by_the_room_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is longer than the terminal."""
    monkeypatch.setenv("COLUMNS", "30")
    print_table(("job", of_name()), [("0123456789", "北京花店北京花店北京花店")])

    assert lines(capsys)[1] == "0123456789  北京花店北京花店…"


@pytest.mark.parametrize(
    ("text", "brief"),
    [
        (AT, "11-22 07:18Z"),
        (f"{YEAR - 1}-11-22T07:18:24Z", f"{YEAR - 1}-11-22"),
        ("", ""),
        ("never", "never"),
    ],
)
def test_a_brief_instant(text: str, brief: str) -> None:
    """The year is left out only where it is this one."""
    assert brief_instant(text) == brief


def test_a_column_that_says_nothing_goes_before_one_that_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However little that is worth; where there is room it stays, and the first columns always do."""
    columns = ("job", Column("empty", rank=1), Column("lane", rank=2), "reason")
    for width, heads in ((80, ["job", "empty", "lane", "reason"]), (26, ["job", "lane", "reason"])):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(columns, [("0123456789", "", "bulk", "")])
        assert lines(capsys)[0].split() == heads


def test_counts_stand_with_their_last_digits_under_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As figures are compared."""
    monkeypatch.setenv("COLUMNS", "60")
    print_table((number("count"), "reason"), [("1,564", "a"), ("9", "b")])

    assert lines(capsys) == ["count  reason", "1,564  a", "    9  b"]


def test_a_pipe_gets_a_row_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To be searched by `grep`: no terminal is there to fold for."""
    monkeypatch.delenv("COLUMNS", raising=False)
    text = "Register it with the partner. " * 9
    print_table(("reason", Column("what to do", is_text=True)), [("number_not_registered", text.strip())])

    assert lines(capsys)[1:] == [f"number_not_registered  {text.strip()}"]
