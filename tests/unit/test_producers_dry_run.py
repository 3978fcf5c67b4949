"""A dry run tells everything that is wrong and writes nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from producers.backfill.dry_run import dry_run
from producers.backfill.intake import BackfillOptions
from producers.backfill.reader import InputProblemError

HEADER = "whatsapp,business_name,display_name,email\n"
OPTIONS = BackfillOptions()


def check(rows: str, options=OPTIONS):
    return dry_run(io.BytesIO((HEADER + rows).encode()), options=options)


def test_rows_are_counted_by_what_would_become_of_them():
    """Valid, twice in the file, contradicting the file, wrong."""
    result = check(
        "972501234567,Dana,Dana,d@example.com\n"
        "0501234567,Dana,Dana,d@example.com\n"
        "972501234567,Dana,Other,d@example.com\n"
        "12,Dana,,d@example\n"
    )

    tally = result.tally
    assert (tally.rows, tally.accepted, tally.duplicates, tally.rejected, tally.conflicts) == (4, 1, 1, 2, 1)
    assert result.exit_code == 3
    assert "line 2" in tally.errors[0].problem.message
    assert tally.error_codes["display_name:missing"] == 1


def test_every_error_of_a_row_is_told():
    """Not only the first: nobody wants to mend a file error by error."""
    told = {}
    dry_run(
        io.BytesIO((HEADER + "12,,,d@example\n").encode()),
        options=OPTIONS,
        on_errors=lambda line, problems: told.update({line: {found.field for found in problems}}),
    )

    assert told == {2: {"whatsapp", "business_name", "display_name", "email"}}


def test_nothing_is_written(tmp_path):
    """Not even a failed file."""
    source = tmp_path / "in.csv"
    source.write_text(HEADER + "12,,,\n")

    result = dry_run(source, options=OPTIONS)

    assert result.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_default_fills_empty_cells_only():
    """`--channel` speaks for rows that do not."""
    options = BackfillOptions(defaults={"channels": "fax"})
    rows = (
        "channels,"
        + HEADER
        + "email,972501234567,Dana,Dana,d@example.com\n,972501234568,Dana,Dana,d@example.com\n"
    )

    result = dry_run(io.BytesIO(rows.encode()), options=options)

    assert [noted.line for noted in result.tally.errors] == [3]


@pytest.mark.parametrize(("rows", "code"), [("", "no_rows"), ("\n,,,\n", "no_rows")])
def test_a_file_without_rows_is_an_error(rows, code):
    """Most likely it is the wrong file."""
    with pytest.raises(InputProblemError) as caught:
        check(rows)

    assert caught.value.code == code


def test_a_file_that_is_not_there_is_told_plainly(tmp_path):
    """By the system's own words."""
    with pytest.raises(InputProblemError) as caught:
        dry_run(tmp_path / "none.csv", options=OPTIONS)

    assert "No such file" in caught.value.message


def test_bad_bytes_far_down_stop_a_file_before_its_first_row(tmp_path):
    """A file is looked over before anything is taken from it; a pipe cannot be."""
    source = tmp_path / "in.csv"
    rows = HEADER.encode() + b"972501234567,Dana,Dana,d@example.com\n" * 500 + b"\xff,,,\n"
    source.write_bytes(rows)

    with pytest.raises(InputProblemError):
        dry_run(source, options=OPTIONS)
    result = dry_run(io.BytesIO(rows), options=OPTIONS)

    assert result.stop is not None
    assert (result.stop.code, result.tally.rows) == ("not_utf8", 500)


def test_the_users_folder_is_no_csv(tmp_path: Path):
    """A folder given by mistake."""
    with pytest.raises(InputProblemError):
        dry_run(tmp_path, options=OPTIONS)
