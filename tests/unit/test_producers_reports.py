"""Result files: private, never overwritten, safe in a spreadsheet, and valid input again."""

from __future__ import annotations

import io
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.backfill.earlier import Lines
from producers.backfill.reader import InputProblemError, Row, Sheet
from producers.backfill.reports import (
    LINE_AND_ERROR,
    RowsFile,
    earlier_reports,
    report_path,
    require_writable,
    stem_of,
)
from worker.domain.formulas import guard, unguard


def a_file(folder: Path, header=("whatsapp", "name", "_error")) -> RowsFile:
    columns = [index for index, name in enumerate(header) if not name.startswith("_")]
    return RowsFile(report_path(folder, "in", "run1", "failed"), header, columns, own=LINE_AND_ERROR)


def test_a_run_without_failures_leaves_no_file(tmp_path):
    """An empty failed file would only raise questions."""
    report = a_file(tmp_path)
    report.close()

    assert report.path is None
    assert list(tmp_path.iterdir()) == []


def test_rows_keep_their_columns_and_get_ours(tmp_path):
    """UTF-8 with a byte order mark for Excel; only the owner may read it; columns of an earlier run go."""
    report = a_file(tmp_path)
    report.write(Row(7, ["972501234567", "דנה", "old error"]), "7", "name:missing", "why")
    report.close()

    assert report.path == tmp_path / "in.run1.failed.csv"
    assert report.path.read_bytes() == (
        "\ufeffwhatsapp,name,_line,_error_code,_error\r\n972501234567,דנה,7,name:missing,why\r\n".encode()
    )
    assert stat.S_IMODE(report.path.stat().st_mode) == 0o600


def test_a_row_that_could_not_be_split_is_kept_whole(tmp_path):
    """Read again unmended it fails again, instead of passing with shifted cells."""
    report = a_file(tmp_path)
    (row,) = Sheet(io.BytesIO(b"whatsapp,name,_error\n1,2,3,4\n")).rows()
    report.write(row, "2", "row:too_many_cells", "why")
    report.close()

    assert '"1,2,3,4",,2,row:too_many_cells,why' in report.path.read_text(encoding="utf-8-sig")


def test_no_file_is_ever_overwritten(tmp_path):
    """A resumed run has the same name as before it was stopped."""
    for _ in range(3):
        report = a_file(tmp_path)
        report.write(Row(2, ["1", "2", ""]), "2", "c", "t")
        report.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.run1.failed.2.csv",
        "in.run1.failed.3.csv",
        "in.run1.failed.csv",
    ]


def test_the_files_that_a_run_left_are_found_in_their_order(tmp_path):
    """Only its own, of that kind: no other run's, and nothing an operator has put beside them."""
    names = [f"in.run1.failed{number}.csv" for number in ("", ".2", ".10", ".3")]
    for name in (
        *names,
        "in.run1.failed.old.csv",
        "in.run10.failed.csv",
        "in.run1.success.csv",
        "xin.run1.failed.csv",
    ):
        (tmp_path / name).touch()

    found = [path.name for path in earlier_reports(tmp_path, "in", "run1", "failed")]

    assert found == [f"in.run1.failed{number}.csv" for number in ("", ".2", ".3", ".10")]


def test_lines_that_are_to_be_skipped_are_not_written(tmp_path):
    """A resumed run meets them again."""
    lines = Lines()
    lines.add(7)
    report = RowsFile(tmp_path / "out.csv", ["whatsapp"], [0], own=LINE_AND_ERROR, skip=lines)
    report.write(Row(7, ["1"]), "7", "c", "t")
    assert report.path is None
    report.write(Row(8, ["1"]), "8", "c", "t")
    report.close()

    assert [line.split(",")[1] for line in (tmp_path / "out.csv").read_text().splitlines()] == ["_line", "8"]


@given(st.sets(st.integers(min_value=0, max_value=10**12)), st.integers(min_value=0, max_value=10**12))
def test_a_set_of_lines_holds_what_was_put_in(numbers, other):
    """However far apart: a line number that an operator has mistyped takes no memory to speak of."""
    lines = Lines()
    for number in numbers:
        lines.add(number)

    assert all(number in lines for number in numbers)
    assert (other in lines) == (other in numbers)


@given(st.text())
def test_a_guarded_cell_is_no_formula_and_comes_back_as_it_was(cell):
    """Nothing a customer wrote may run when an operator opens the file."""
    guarded = guard(cell)

    assert not guarded.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguard(guarded) == cell


@given(st.text(alphabet="a;=+-@\t\r\n'\",\uff1d"))
def test_no_part_of_a_guarded_cell_is_a_formula_where_another_delimiter_splits_it(cell):
    """A program that takes the semicolon or the tab for the delimiter, or loses the quotes, finds none either."""
    guarded = guard(cell)

    assert not any(part.startswith(tuple("=+-@\uff1d")) for part in re.split("[;\t\r\n]", guarded))
    assert unguard(guarded) == cell


def test_a_folder_that_takes_no_files_stops_the_run_first(tmp_path):
    """Otherwise the first bad row would stop it half-way."""
    with pytest.raises(InputProblemError) as caught:
        require_writable(tmp_path / "not-there")

    assert caught.value.code == "folder_unwritable"


@pytest.mark.parametrize(
    ("name", "stem"), [("a.csv", "a"), ("a.csv.gz", "a"), ("a.b.csv", "a.b"), ("plain", "plain")]
)
def test_result_files_are_named_after_the_input(name, stem):
    """So that they are found beside it."""
    assert stem_of(Path(name)) == stem
