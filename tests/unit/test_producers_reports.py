"""Result files: private, never overwritten, safe in a spreadsheet, and valid input again."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.backfill.formulas import guard, unguard
from producers.backfill.reader import InputProblemError, Row, Sheet
from producers.backfill.reports import (
    LINE_AND_ERROR,
    RowsFile,
    report_path,
    require_writable,
    stem_of,
)


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


@given(st.text())
def test_a_guarded_cell_is_no_formula_and_comes_back_as_it_was(cell):
    """Nothing a customer wrote may run when an operator opens the file."""
    guarded = guard(cell)

    assert not guarded.startswith(("=", "+", "-", "@", "\t", "\r"))
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
