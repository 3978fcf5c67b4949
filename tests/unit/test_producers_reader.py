"""CSV files as people really make them: every row is read or told of, none is lost in silence."""

from __future__ import annotations

import contextlib
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.backfill.reader import InputProblemError, Row, Sheet, count_lines, sniff_delimiter


def read(text: str | bytes) -> list[Row]:
    raw = text.encode() if isinstance(text, str) else text
    return list(Sheet(io.BytesIO(raw)).rows())


def brief(text: str | bytes) -> list[tuple[int, list[str], str | None]]:
    return [(row.line, row.cells, row.fault.code if row.fault else None) for row in read(text)]


def problem_of(raw: bytes) -> InputProblemError:
    with pytest.raises(InputProblemError) as caught:
        read(raw)
    return caught.value


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_usual_delimiter_is_found(delimiter):
    """Hebrew Excel writes semicolons or tabs, others commas: nobody should have to say which."""
    text = delimiter.join(["whatsapp", "name"]) + "\n" + delimiter.join(["1", "a,;b"]).replace(",;", "")

    assert brief(text) == [(2, ["1", "ab"], None)]


def test_the_delimiter_is_not_looked_for_inside_quotes():
    """A header's own text may hold other candidates."""
    assert sniff_delimiter('"a;b;c;d",e') == ","


def test_a_declared_delimiter_is_obeyed_and_not_read_as_a_row():
    """Excel's `sep=;` line stands before the header, and line numbers go on counting it."""
    assert brief("sep=;\na;b\n1;2,3\n") == [(3, ["1", "2,3"], None)]


def test_a_byte_order_mark_is_no_part_of_the_first_name():
    """Excel begins UTF-8 files with one."""
    assert Sheet(io.BytesIO("\ufeffwhatsapp,b\n1,2".encode())).header == ["whatsapp", "b"]


def test_blank_rows_are_passed_over_and_counted_as_lines():
    """People leave blank lines, and Excel writes rows of nothing but delimiters."""
    assert brief("a,b\n\n1,2\n,\n \t,\n3,4\n") == [(3, ["1", "2"], None), (6, ["3", "4"], None)]


def test_rows_of_another_width_are_faults_and_kept_whole():
    """A shifted cell would put a customer's data into the wrong field."""
    found = brief("a,b\n1\n1,2,3\n4,5\n")

    assert found == [(2, ["1"], "too_few_cells"), (3, ["1,2,3"], "too_many_cells"), (4, ["4", "5"], None)]


def test_delimiters_too_many_at_a_rows_end_do_no_harm():
    """Nothing stands in the cells that are too many."""
    assert brief("a,b\n1,2,,\n") == [(2, ["1", "2"], None)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(end):
    """Unix, Windows, and the Macintosh of old."""
    assert brief(end.join(["a,b", "1,2", "3,4"])) == [(2, ["1", "2"], None), (3, ["3", "4"], None)]


def test_a_cell_may_hold_line_breaks():
    """An address over two lines is one cell; the row is known by its first line."""
    assert brief('a,b\n"Main St\n5",2\n3,4\n') == [(2, ["Main St\n5", "2"], None), (4, ["3", "4"], None)]


@pytest.mark.parametrize(
    "rows",
    [
        '"1,2\n3,4\n5,6\n',  # to the end of the file
        '"1,2\n3,4\n5,"6"\n',  # closed by the next quote, with another width
        '"1,2\n"3",4\n5,6\n',  # closed by the next row's opening quote
        '"1,2\n' + "3,4\n" * 300,  # for longer than any cell
    ],
)
def test_an_unclosed_quote_costs_its_own_row_only(rows):
    """The rows that it swallowed are read again."""
    found = brief("a,b\n" + rows)

    assert found[0] == (2, ['"1,2'], "unclosed_quote")
    assert len(found) == rows.count("\n")
    assert all(fault is None for _, _, fault in found[1:])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "rows",
    [
        '1,"Dana,D,d@a\n2,"Yossi,Y,y@b',  # the second row's opening quote closes the first one's
        '1,"Dana,D,d@a\n2,"Yossi,Y,y@b\n3,"Noa",N,n@c',
    ],
)
def test_two_rows_with_open_quotes_are_not_made_one(rows, end):
    """It would have the right width, and hold one customer's number with the other's contact."""
    found = brief(("a,b,c,d\n" + rows).replace("\n", end))

    assert [fault for _, _, fault in found[:2]] == ["unclosed_quote", "unclosed_quote"]
    assert found[2:] == ([(4, ["3", "Noa", "N", "n@c"], None)] if "Noa" in rows else [])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ('"a\nb","c"', ["a\nb", "c"]),
        ('"a\n""x""",c', ['a\n"x"', "c"]),
        ('"""x""\nb",c', ['"x"\nb', "c"]),
        ('"a\nb","say ""x, y"" z"', ["a\nb", 'say "x, y" z']),
        ('כהן בע"מ,"a\nb"', ['כהן בע"מ', "a\nb"]),
        ('"a\n","\nb"', ["a\n", "\nb"]),
    ],
)
def test_genuine_cells_of_two_lines_pass(row, cells, end):
    """Whatever quotes are in them or beside them."""
    found = brief(f"a,b\n{row}\n3,4\n".replace("\n", end))

    assert [(row, fault) for _, row, fault in found] == [
        ([cell.replace("\n", end) for cell in cells], None),
        (["3", "4"], None),
    ]


def test_an_unclosed_quote_in_the_very_last_cell_is_noticed():
    """The csv module would give it back as if nothing were wrong."""
    assert brief('a,b\n1,"2') == [(2, ['1,"2'], "unclosed_quote")]


def test_a_nul_byte_is_a_fault_of_its_row():
    """Files cut from databases hold them."""
    assert brief(b"a,b\n1,\x002\n3,4\n") == [(2, ["1,\x002"], "nul_byte"), (3, ["3", "4"], None)]


def test_a_carriage_return_inside_a_line_is_a_fault_of_its_row():
    """Half-converted files hold them."""
    assert [fault for _, _, fault in brief("a,b\n1,2\r3\n4,5\n")] == ["stray_line_break", None]


def test_a_cell_beyond_all_measure_is_a_fault_of_its_row():
    """The csv module gives up at 131,072 characters."""
    assert [fault for _, _, fault in brief("a,b\n1," + "x" * 140_000 + "\n4,5\n")] == ["cell_too_long", None]


def test_quotes_that_csv_drops_are_flagged():
    """`"כהן" ושות'` loses its quotes when read; `בע"מ` inside a cell does not."""
    rows = read('a,b\n"כהן" ושות\',1\nכהן בע"מ,2\n"כהן בע""מ",3\n"a","b"\n')

    assert [row.has_lost_quotes for row in rows] == [True, False, False, False]
    assert rows[0].cells == ["כהן ושות'", "1"]


def test_a_file_in_an_unknown_encoding_names_the_place_and_the_remedy():
    """DOS Hebrew tells itself apart from nothing: the operator must say."""
    problem = problem_of("a,b\n1,2\n3,שלום\n".encode("cp862"))

    assert problem.code == "not_utf8"
    assert "line 3, byte 11" in problem.message
    assert "--encoding cp862" in problem.remedy


def test_counting_lines_finds_bad_bytes_before_any_row_is_taken():
    """A regular file is looked over first, so that a run never stops half-way for its encoding."""
    raw = b"a,b\n" + b"1,2\n" * 400_000 + b"3,\xff\n"

    with pytest.raises(InputProblemError) as caught:
        count_lines(io.BytesIO(raw))

    assert "line 400002, byte 1600007" in caught.value.message
    assert count_lines(io.BytesIO(b"a\n1\n2\n")) == 3


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty_file"),
        (b"\n \n", "empty_file"),
        (b"PK\x03\x04rest", "bad_workbook"),
        (b"PK\x05\x06" + bytes(18), "not_csv"),
        (b"%PDF-1.7", "not_csv"),
        (b"\x89PNG\r\n\x1a\n", "not_csv"),
        (b"\xff\xd8\xff\xe0", "not_csv"),
        (b"x" * 2_000_000, "line_too_long"),
        (gzip.compress(b"a,b\n1,2\n" * 1000, mtime=0)[:-30], "bad_gzip"),
    ],
)
def test_what_is_no_csv_is_refused_by_name(raw, code):
    """One clear error, whatever the file is."""
    assert problem_of(raw).code == code


def test_a_gzip_file_is_read_as_what_it_holds():
    """Exports often come zipped."""
    assert brief(gzip.compress(b"a,b\n1,2\n")) == [(2, ["1", "2"], None)]


def test_our_own_result_files_are_read_as_they_were_written():
    """Cells guarded against formulas lose the guard; those of other files keep their apostrophes."""
    assert brief("whatsapp,_line\n'+972501234567,2\n")[0][1] == ["+972501234567", "2"]
    assert brief("whatsapp,b\n'+972501234567,2\n")[0][1] == ["'+972501234567", "2"]


@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_one_clear_problem(raw):
    """Nothing that a file may hold ends in a traceback."""
    with contextlib.suppress(InputProblemError):
        assert all(row.line >= 2 for row in Sheet(io.BytesIO(raw)).rows())


@given(st.lists(st.text('ab",\n', max_size=12), max_size=12))
def test_no_line_of_text_is_lost_in_silence(lines):
    """Whatever the quotes do, every line with text is part of a row or of a fault."""
    rows = read("h1,h2\n" + "\n".join(lines) + "\n")

    letters = "".join(lines).count("a") + "".join(lines).count("b")
    assert sum(cell.count("a") + cell.count("b") for row in rows for cell in row.cells) == letters
