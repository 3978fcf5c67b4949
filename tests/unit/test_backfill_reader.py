"""What a file is read as, and what it says it assumed: encodings, delimiters, titles, pipes, and bytes of any kind."""

from __future__ import annotations

import contextlib
import gzip
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.backfill.encodings import LOOK_AHEAD_BYTES
from producers.backfill.reader import (
    Assumptions,
    InputProblemError,
    ReadOptions,
    Row,
    Sheet,
    sniff_delimiter,
    survey,
)
from tests.fixtures.workbooks import Table, ods, xls, xlsb, xlsx

HEADER = "whatsapp,business_name,display_name\n"
ASCII_ROWS = "0501234567,Dana,Dana Bakery\n" * (LOOK_AHEAD_BYTES // 20)


class Pipe(io.RawIOBase):
    """A stream that gives what it has bit by bit and cannot be read twice."""

    def __init__(self, raw: bytes, step: int = 1000) -> None:
        self._rest = io.BytesIO(raw)
        self._step = step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        return self._rest.readinto(memoryview(buffer)[: self._step])


def sheet_of(text: str | bytes, written_in: str = "utf-8", **options: str) -> Sheet:
    raw = text.encode(written_in) if isinstance(text, str) else text
    return Sheet(io.BytesIO(raw), ReadOptions(**options))


def refusal(text: str | bytes, **options: str) -> InputProblemError:
    with pytest.raises(InputProblemError) as caught:
        list(sheet_of(text, **options).rows())
    return caught.value


# --- encodings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1255", "cp862"])
def test_a_pipe_is_read_like_a_file(encoding):
    """Its encoding is decided from a look ahead, and nothing that was looked at is lost."""
    raw = (HEADER + "0501234567,דנה,דנה כהן\n" * 5000).encode(encoding)
    options = ReadOptions(encoding="cp862") if encoding == "cp862" else ReadOptions()

    rows = list(Sheet(Pipe(raw), options).rows())

    assert len(rows) == 5000
    assert {tuple(row.cells) for row in rows} == {("0501234567", "דנה", "דנה כהן")}
    assert [row.line for row in rows] == list(range(2, 5002))


@pytest.mark.parametrize(
    ("last", "message", "remedy"),
    [
        ("0521234567,דנה,דנה כהן\n".encode("cp1255"), "Windows-1255", "--encoding windows-1255"),
        ("0521234567,דנה,דנה כהן\n".encode("cp862"), "read as", "--encoding NAME"),
    ],
)
def test_a_pipe_that_contradicts_its_beginning_stops_at_the_line(last, message, remedy):
    """All rows before it are given; the error names the line and what to say the next time."""
    raw = (HEADER + ASCII_ROWS).encode() + last
    rows = Sheet(Pipe(raw)).rows()
    taken: list[Row] = []

    with pytest.raises(InputProblemError) as caught:
        taken.extend(rows)

    assert caught.value.code == "not_utf8"
    assert f"Line {len(raw.splitlines())} " in caught.value.message
    assert message in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1255"])
@pytest.mark.parametrize("head", [HEADER, HEADER + "0"])
def test_a_large_file_of_returns_only_is_read_like_any_other(encoding, head):
    """Wherever a block of it ends: in a row, in a character."""
    text = head + "0501234567,מאפייה,מאפיית שלום\n" * 60_000
    raw = text.replace("\n", "\r").encode(encoding)

    found = survey(io.BytesIO(raw))
    sheet = Sheet(io.BytesIO(raw), found=found)

    assert found.lines == 60_001
    assert sum(row.fault is None for row in sheet.rows()) == 60_000


def test_a_line_without_any_end_is_still_refused():
    """In a file of returns, too, and after its first line."""
    assert refusal("a,b\r" + "x" * 3_000_000).code == "line_too_long"
    assert refusal("x" * 3_000_000).code == "line_too_long"


def test_where_a_large_file_of_returns_is_not_text_is_told_by_its_line():
    """Its returns are counted."""
    raw = HEADER.encode() + "0501234567,מאפייה,מאפיית שלום\n".encode() * 60_000 + b"\xff\n"

    with pytest.raises(InputProblemError) as caught:
        survey(io.BytesIO(raw.replace(b"\n", b"\r")))

    assert caught.value.code == "not_utf8"
    assert "line 60002," in caught.value.message


def test_a_whole_file_is_looked_over_so_that_it_is_never_contradicted():
    """A Hebrew row far behind the look-ahead decides for the whole file."""
    raw = (HEADER + ASCII_ROWS).encode() + "0521234567,דנה,דנה כהן\n".encode("cp1255")
    found = survey(io.BytesIO(raw))

    rows = list(Sheet(io.BytesIO(raw), found=found).rows())

    assert found.encoding is not None
    assert found.encoding.name == "windows-1255"
    assert rows[-1].cells[1] == "דנה"
    assert found.lines == len(rows) + 1


@pytest.mark.parametrize("encoding", ["utf-16-le", "cp1255"])
def test_bytes_that_are_off_stop_the_reading_after_all_rows_before_them(encoding):
    """Of the operator's encoding, too, no good row is lost."""
    good = HEADER + "0501234567,דנה,דנה כהן\n" * 3
    bad = b"\x00\xd8\x00\x00" if encoding == "utf-16-le" else b"\xff\xfb\n"
    rows = sheet_of(good.encode(encoding) + bad, encoding=encoding).rows()
    taken: list[Row] = []

    with pytest.raises(InputProblemError) as caught:
        taken.extend(rows)

    assert len(taken) == 3
    assert "Line 5 is not" in caught.value.message


def test_a_file_is_never_taken_for_utf16_because_of_a_nul():
    """One NUL is damage to a row; two bytes a letter is another thing."""
    rows = list(sheet_of(b"a,b\n1,\x002\n3,4\n").rows())

    assert [row.fault.code if row.fault else None for row in rows] == ["nul_byte", None]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"encoding": "hebrew-dos"}, "unknown_encoding"),
        ({"encoding": "rot13"}, "unknown_encoding"),
        ({"encoding": "utf-7"}, "unknown_encoding"),
        ({"delimiter": ";;"}, "bad_delimiter"),
        ({"delimiter": '"'}, "bad_delimiter"),
        ({"delimiter": "x"}, "bad_delimiter"),
        ({"sheet": "1"}, "no_sheets"),
    ],
)
def test_an_option_that_cannot_be_stops_the_run(options, code):
    """The error says what could be said instead."""
    problem = refusal(HEADER, **options)

    assert problem.code == code
    assert problem.remedy


@pytest.mark.parametrize(("word", "sign"), [("tab", "\t"), ("\\t", "\t"), ("Semicolon", ";"), ("|", "|")])
def test_a_delimiter_may_be_said_by_its_name(word, sign):
    """A tab is hard to type on a command line."""
    assert sheet_of(HEADER.replace(",", sign), delimiter=word).header == HEADER.strip().split(",")


# --- what it says ------------------------------------------------------------------------------------------


def test_what_was_assumed_is_said_in_one_line():
    """Whoever reads it knows what to overrule."""
    sheet = sheet_of("רשימה\n\nוואטסאפ;שם העסק;שם תצוגה\n0501234567;א;אבג\n", "cp1255")

    assert sheet.assumptions.sentence() == (
        "Read as windows-1255 text, cells apart by semicolon, header in line 3 (what stands above it is not read)."
    )
    assert sheet.assumptions.as_document() == {
        "kind": "csv",
        "encoding": "windows-1255",
        "encoding_by": "content",
        "delimiter": ";",
        "delimiter_by": "header",
        "header_line": 3,
        "title_skipped": True,
    }
    assert [row.line for row in sheet.rows()] == [4]


def test_what_a_workbook_was_read_as_is_said_too():
    """The sheet, those that were not read, and what was repaired by then."""
    said = Assumptions(
        kind="xlsx", sheet="A", other_sheets=("B", "C"), header_line=3, repaired=7, without_value=2
    ).sentence()

    assert said.startswith("Read as xlsx workbook, sheet `A` (not read: B, C), number cells")
    assert "(7)" in said
    assert "(2: open the workbook in Excel and save it" in said


# --- headers -----------------------------------------------------------------------------------------------


def test_a_first_row_of_unknown_names_stays_the_header_where_none_is_better():
    """A wrong guess would make a customer of the header; `find_columns` says what is missing."""
    sheet = sheet_of("a,b,c\n1,whatsapp,3\n")

    assert sheet.header == ["a", "b", "c"]
    assert len(list(sheet.rows())) == 1


def test_names_that_the_operator_maps_make_a_header():
    """A title stands above a header that only `--map` makes known."""
    raw = b"Customers\nNummer,Firma,Anzeige\n1,2,3\n"

    sheet = Sheet(io.BytesIO(raw), mapped=["Nummer", "Firma", "Anzeige"])

    assert sheet.header == ["Nummer", "Firma", "Anzeige"]
    assert sheet.assumptions.header_line == 2


def test_rows_below_a_title_are_numbered_as_they_lie():
    """An error's line must be found in the file."""
    sheet = sheet_of("T\n\n\n" + HEADER + '1,"a\nb",c\n2,b,c\n')

    assert [(row.line, row.cells[0]) for row in sheet.rows()] == [(5, "1"), (7, "2")]


def test_the_delimiter_makes_known_names_before_it_makes_many_cells():
    """A name may hold commas."""
    header = "phone;name (first, last, title, suffix)"

    assert sniff_delimiter(header) == ","
    assert sheet_of(header + "\n1;2\n").assumptions.delimiter == ";"


@pytest.mark.parametrize("text", ['"whatsapp,b\n1,2\n', 'a\rb,"c\n1,2\n', '"' + "x\n" * 300])
def test_a_header_that_cannot_be_split_is_one_clear_problem(text):
    """Not a traceback, and not a table of one column."""
    assert refusal(text).code == "bad_header"


def test_excels_text_trick_is_undone_in_a_row_of_any_kind():
    """`="050…"` is how people keep the zero; quotes within are doubled."""
    rows = sheet_of('a,b\n="0501234567",x\n"=""052""","two\nlines"\n="a""b",=1+1\n').rows()

    assert [row.cells for row in rows] == [["0501234567", "x"], ["052", "two\nlines"], ['a"b', "=1+1"]]


# --- anything ----------------------------------------------------------------------------------------------

HEADS = (
    b"",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"sep=;\n",
    b"whatsapp,name\n",
    b'"whatsapp","a\nb"\n',
)
BYTES = st.one_of(st.binary(max_size=300), st.text('ab";,\n\r\tא\0', max_size=80).map(str.encode))
OPTIONS = st.sampled_from(
    [
        ReadOptions(),
        ReadOptions(encoding="utf-16"),
        ReadOptions(encoding="cp1255"),
        ReadOptions(encoding="big5"),
        ReadOptions(delimiter=";"),
    ]
)


@settings(max_examples=400)
@given(st.sampled_from(HEADS), BYTES, OPTIONS, st.booleans())
def test_any_bytes_are_rows_or_one_clear_problem(head, tail, options, is_packed):
    """Nothing that a file may hold ends in a traceback, looked over first or not."""
    raw = gzip.compress(head + tail) if is_packed else head + tail
    with contextlib.suppress(InputProblemError):
        assert all(row.line >= 1 for row in Sheet(io.BytesIO(raw), options).rows())
    with contextlib.suppress(InputProblemError):
        found = survey(io.BytesIO(raw), options)
        assert all(row.line >= 1 for row in Sheet(io.BytesIO(raw), options, found=found).rows())


def _damaged(raw: bytes, at: int, junk: bytes) -> bytes:
    at %= len(raw)
    return raw[:at] + junk + raw[at + len(junk) :]


_TABLE = Table("A", [["whatsapp", "name"], [501234567, "Dana"], ["x", 5.5]])
BOOKS = (xlsx(_TABLE), ods(_TABLE), xlsb(_TABLE), xls(_TABLE))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(BOOKS), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_workbook_is_rows_or_one_clear_problem(raw, at, junk):
    """Whatever calamine makes of it, even a crash, ends a process of its own."""
    with contextlib.suppress(InputProblemError):
        lines = [row.line for row in Sheet(io.BytesIO(_damaged(raw, at, junk))).rows()]
        assert lines == sorted(set(lines))


@settings(max_examples=400)
@given(st.lists(st.text('ab"; \n', max_size=10), max_size=14), st.sampled_from(["utf-8", "utf-16", "cp1255"]))
def test_no_line_is_lost_or_doubled(lines, encoding):
    """Every line that is not blank is a row, part of one, or part of the header or a title; and of one only."""
    text = "whatsapp;b\n" + "\n".join(lines) + "\n"
    rows = list(sheet_of(text, encoding).rows())

    given_lines = text.split("\n")[1:]
    assert sum(cell.count(each) for row in rows for cell in row.cells for each in "ab") == sum(
        line.count(each) for line in given_lines for each in "ab"
    )
    assert [row.line for row in rows] == sorted({row.line for row in rows})
    begins = {row.line for row in rows}
    for number, line in enumerate(given_lines, start=2):
        if "a" in line or "b" in line:
            assert any(begin <= number for begin in begins)
