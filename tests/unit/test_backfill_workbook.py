"""Workbooks: what a cell becomes, which sheet is read, and what must not be opened."""

from __future__ import annotations

import datetime as dt
import io
import json
import signal
import tempfile
import time

import pytest

from producers.backfill import archive, workbook
from producers.backfill.columns import find_columns
from producers.backfill.oddities import weigh_odd_cells
from producers.backfill.reader import InputProblemError, ReadOptions, Row, Sheet, survey
from producers.backfill.sheet_scan import SheetScan, worksheet_parts
from producers.backfill.workbook_child import cell_of, choose_sheet, main
from tests.fixtures.workbooks import Formula, Table, bomb, compound, xls, xlsx, xlsx_parts, zipped
from worker.domain.parse import InvalidRequest, ParsedRequest, parse_request

NAMES = ["whatsapp", "business_name", "display_name"]
SHEETS = [["Old", False, True], ["Chart", True, False], ["Customers", True, True], ["2", True, True]]


def sheet_of(*tables: Table, **options: str) -> Sheet:
    return Sheet(io.BytesIO(xlsx(*tables)), ReadOptions(**options))


def refusal(raw: bytes) -> InputProblemError:
    with pytest.raises(InputProblemError) as caught:
        Sheet(io.BytesIO(raw))
    return caught.value


# --- cells -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("0501234567", "0501234567"),
        ("", ""),
        (501234567.0, ["whole", "501234567"]),
        (-3, ["whole", "-3"]),
        (9.72501234567e11, ["whole", "972501234567"]),
        (1e15, ["rounded", "1000000000000000"]),
        (5.5, ["fraction", "5.5"]),
        (float("inf"), ["fraction", "inf"]),
        (True, ["boolean", "TRUE"]),
        (dt.date(2026, 5, 1), ["date", "2026-05-01"]),
        (dt.datetime(2026, 5, 1), ["date", "2026-05-01"]),
        (dt.datetime(2026, 5, 1, 8, 30), ["date", "2026-05-01 08:30:00"]),
        (dt.time(8, 30), ["time", "08:30:00"]),
        (dt.timedelta(hours=30), ["time", "1 day, 6:00:00"]),
    ],
)
def test_a_cell_is_its_text_or_says_what_else_it_is(value, cell):
    """A whole number is the digits that were typed, as far as a spreadsheet keeps them."""
    assert cell_of(value) == cell


def test_what_a_date_or_fraction_means_depends_on_its_column():
    """In a column of digits it is an error, elsewhere a doubt, in an unused one nothing; other errors stay."""
    columns = find_columns([*NAMES, "reference", "notes"])
    fields = dict.fromkeys(NAMES, "Dana") | {"whatsapp": "0501234567", "reference": "2026-05-01"}
    good = parse_request(fields)
    row = Row(2, ["0501234567", "Dana", "Dana", "2026-05-01", "5.5"])

    doubtful = weigh_odd_cells(row._replace(odd=((3, "date"), (4, "date"))), columns, good)
    refused = weigh_odd_cells(row._replace(odd=((0, "date"), (3, "date"))), columns, good)
    worse = weigh_odd_cells(
        row._replace(odd=((0, "boolean"),)), columns, parse_request({"whatsapp": "TRUE", "email": "x"})
    )

    assert isinstance(doubtful, ParsedRequest)
    assert [each.code for each in doubtful.warnings] == ["no_contact", "date_cell"]
    assert isinstance(refused, InvalidRequest)
    assert [(each.field, each.code) for each in refused.problems] == [("whatsapp", "date_cell")]
    assert isinstance(worse, InvalidRequest)
    assert [each.field for each in worse.problems] == ["whatsapp", "email", "business_name", "display_name"]


def test_rows_are_numbered_as_the_spreadsheet_shows_them():
    """An error's row must be found there; empty rows and columns around the table change nothing."""
    table = Table("A", [NAMES, [1, "a", "b"], [], [2, "c", "d"]], row=6, column=3)

    sheet = sheet_of(table)

    assert sheet.assumptions.header_line == 7
    assert [(row.line, row.cells) for row in sheet.rows()] == [(8, ["1", "a", "b"]), (10, ["2", "c", "d"])]
    assert sheet.expected_rows == 3


def test_a_cell_in_error_is_found_under_its_column_wherever_the_table_begins():
    """calamine gives errors as empty cells: which they were is seen in the XML."""
    table = Table("A", [NAMES, [1, Formula("X", "#REF!"), "b"]], row=2, column=27)

    assert [row.odd for row in sheet_of(table).rows()] == [((1, "error"),)]


def test_a_row_of_errors_alone_is_not_passed_over_as_blank():
    """It was meant to be a customer."""
    table = Table("A", [NAMES, [Formula("X", "#REF!"), Formula("X", "#N/A"), None]])

    assert [(row.line, len(row.odd)) for row in sheet_of(table).rows()] == [(2, 2)]


# --- sheets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("", 2),
        ("Customers", 2),
        (" customers ", 2),
        ("1", 0),
        ("2", 3),
        ("3", 2),
        ("5", None),
        ("0", None),
        ("x", None),
    ],
)
def test_a_sheet_is_chosen_by_its_name_or_else_its_number(wanted, chosen):
    """A name that is a number is a name; unasked, it is the first table that can be seen."""
    assert choose_sheet(SHEETS, wanted) == chosen


def test_a_workbook_with_nothing_to_see_has_no_first_sheet():
    """What is hidden is hidden for a reason."""
    assert choose_sheet(SHEETS[:2], "") is None


def test_a_sheets_xml_is_found_by_the_workbooks_own_list():
    """Sheets lie in an archive in any order, with prefixes, and with names that need escaping."""
    parts = {
        "xl/workbook.xml": b'<x:sheet name="A &amp; B" r:id="r2"/><x:sheet r:id=\'r1\' name="C"/><sheet name="D"/>',
        "xl/_rels/workbook.xml.rels": b'<Relationship Target="/xl/worksheets/s9.xml" Id="r2"/>'
        b'<Relationship Id="r1" Target="worksheets/s1.xml"/>',
    }

    assert worksheet_parts(parts) == {"A & B": "xl/worksheets/s9.xml", "C": "xl/worksheets/s1.xml"}


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_sheets_xml_is_looked_over_in_blocks_of_any_size(step):
    """A block may end anywhere; namespaces have prefixes or not; an empty text is a value."""
    xml = (
        b'<row r="1"><c r="A1"><f>X</f></c><c r="B1" t="str"><f>X</f><v></v></c></row>'
        b'<x:row r="2"><x:c r="AB2" t="e"><x:f>X</x:f><x:v>#N/A</x:v></x:c>'
        b'<x:c r="C2"><x:f t="shared" si="1"/><x:v/></x:c></x:row>'
        b'<row r="3"><c r="A3"><f>X</f><v>7</v></c><c r="D3" t="e"><v>#REF!</v></c></row>'
    )
    scan = SheetScan()

    for at in range(0, len(xml), step):
        scan.take(xml[at : at + step])
    scan.finish()

    assert scan.facts.rows == 3
    assert scan.facts.without_value == 2
    assert scan.facts.errors == {2: [27], 3: [3]}


_HOSTILE = [
    (b't="e"<f>', b"<c "),
    (b't="e"<f>', b'<c t="e" '),
    (b't="e"<f>', b' t="e"'),
    (b'<c t="e"><f/>', b" "),
    (b'<c t="e"><f', b" /"),
    (b"<f><", b"w"),
]


@pytest.mark.parametrize(("head", "junk"), _HOSTILE)
def test_a_hostile_sheet_is_looked_over_in_no_time(head, junk):
    """A few hundred packed bytes unpack to a mebibyte of it, and the main process looks it over."""
    scan = SheetScan()
    began = time.thread_time()

    scan.take(head + junk * (1024 * 1024 // len(junk)))
    scan.finish()

    assert time.thread_time() - began < 1


@pytest.mark.parametrize("junk", [b"<sheet ", b"a", b"a=", b" ", b"a='"])
def test_a_hostile_list_of_sheets_is_read_in_no_time(junk):
    """It is inflated before anything is known of it."""
    began = time.thread_time()

    worksheet_parts({"xl/workbook.xml": b"<sheet " + junk * (1024 * 1024 // len(junk)) + b">"})

    assert time.thread_time() - began < 1


# --- limits ------------------------------------------------------------------------------------------------


def test_too_many_rows_are_refused_before_calamine_sees_the_file(monkeypatch):
    """A million rows and more belong into a CSV file, which has no limit."""
    monkeypatch.setattr("producers.backfill.sheet_scan.MAX_ROWS", 2)

    problem = refusal(xlsx(Table("A", [NAMES, [1, "a", "b"], [2, "c", "d"]])))

    assert problem.code == "workbook_too_big"
    assert "CSV" in problem.remedy


def test_a_file_too_large_is_not_even_looked_into(monkeypatch):
    """It would be held in memory."""
    monkeypatch.setattr(workbook, "MAX_FILE_BYTES", 100)

    assert "larger than" in refusal(xlsx(Table("A", [NAMES]))).message


def test_a_part_that_unpacks_to_too_much_is_refused_whatever_it_says(monkeypatch):
    """Sizes are counted, not believed; parts that no table needs have a lower limit."""
    monkeypatch.setattr(archive, "MAX_UNZIPPED_BYTES", 8 << 20)
    monkeypatch.setattr(archive, "MAX_OTHER_BYTES", 1 << 20)
    styles = xlsx_parts(Table("A", [NAMES])) | {"xl/styles.xml": " " * (2 << 20)}

    assert refusal(bomb(9, says_bytes=10)).code == "workbook_too_big"
    assert refusal(bomb(9, says_bytes=9 << 20)).code == "workbook_too_big"
    assert refusal(zipped(styles)).message == "The workbook unpacks to more than 1 MiB."


def test_too_many_parts_are_refused_before_they_are_listed(monkeypatch):
    """A list of a million parts is a bomb of its own."""
    monkeypatch.setattr(archive, "MAX_PARTS", 3)

    assert "parts" in refusal(xlsx(Table("A", [NAMES]))).message


def test_a_reader_out_of_memory_ends_alone(monkeypatch):
    """calamine asks for what the table's last cell makes it ask for; the system ends it, not us."""
    stray = xlsx(Table("A", [NAMES, [1, "a", "b"]], extra={(9_999, 9_999): "x"}))
    monkeypatch.setattr(workbook, "MAX_MEMORY_BYTES", 256 << 20)

    problem = refusal(stray)

    assert problem.code == "bad_workbook"
    assert "stray cell" in problem.remedy


def test_no_room_to_unpack_is_told(monkeypatch, tmp_path):
    """The disk's trouble is not the workbook's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    problem = refusal(xlsx(Table("A", [NAMES])))

    assert problem.code == "no_room"
    assert "TMPDIR" in problem.remedy


def test_a_survey_leaves_a_workbook_alone():
    """Its lines are not lines; how many rows it has is known once it is open."""
    found = survey(io.BytesIO(xlsx(Table("A", [NAMES]))))

    assert (found.encoding, found.lines) == (None, 0)


def test_a_password_is_found_in_an_old_workbook_only_where_it_stands():
    """The same bytes in a customer's name are no password."""
    assert archive.examine_ole(xls(Table("A", [["EncryptedPackage", "_VBA_PROJECT_CUR"]]))).kind == "xls"
    assert archive.examine_ole(compound({"Book": b"\0"})).kind == "xls"


def test_the_reading_process_says_what_it_found_or_what_was_wrong(monkeypatch):
    """One JSON line for the account, one for each row; or the error alone."""
    monkeypatch.setattr("producers.backfill.workbook_child._limit", lambda *_: None)
    sink, trouble = io.StringIO(), io.StringIO()
    limits = ["1", "1", "1"]

    main(["", *limits], io.BytesIO(xlsx(Table("A", [NAMES, [501234567, None, True]]))), sink)
    main(["", *limits], io.BytesIO(b"PK\x03\x04 and then nothing"), trouble)

    account, header, row = map(json.loads, sink.getvalue().splitlines())
    assert account == {"sheets": [["A", True, True]], "sheet": 0, "first_column": 0, "rows": 2}
    assert header == NAMES
    assert row == [["whole", "501234567"], "", ["boolean", "TRUE"]]
    assert json.loads(trouble.getvalue()) == {"error": "damaged"}


def test_an_interrupted_reader_is_an_interrupted_run(monkeypatch):
    """Ctrl-C reaches the reading process too: that is no damage to the file."""
    monkeypatch.setattr(workbook, "_call", lambda *_: -signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Sheet(io.BytesIO(xlsx(Table("A", [NAMES]))))
