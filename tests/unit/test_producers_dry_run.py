"""A dry run tells everything that is wrong and what is known already, and records nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.backfill.dry_run import Firsts, Scope, dry_run
from producers.backfill.intake import BackfillOptions
from producers.backfill.reader import InputProblemError
from worker.domain.dedupe import contact_mark, fingerprint
from worker.domain.parse import parse_request
from worker.domain.states import JobState
from worker.ledger import Known, LedgerUnavailable

HEADER = "whatsapp,business_name,display_name,email\n"
DANA = "972501234567,Dana,Dana,d@example.com\n"
OPTIONS = BackfillOptions()
MANY = 10_000  #: more rows than the reader looks ahead


async def check(rows: str, options=OPTIONS, **scope):
    return await dry_run(io.BytesIO((HEADER + rows).encode()), options=options, scope=Scope(**scope))


class Books:
    """A ledger that knows one customer."""

    def __init__(self, row: str = DANA, *, fails_at: int | None = None) -> None:
        fields = dict(zip(HEADER.strip().split(","), row.strip().split(","), strict=True))
        request = parse_request(fields).request
        self.known = Known(
            invitation_id="i",
            job_ids=("iw",),
            state=JobState.LINKED,
            fingerprint=fingerprint(request),
            contact_mark=contact_mark(request),
        )
        self.claim = f"n:{request.number}"
        self.asked: list[int] = []
        self._fails_at = fails_at

    async def __call__(self, claims):
        if len(self.asked) == self._fails_at:
            raise LedgerUnavailable("gone")
        self.asked.append(len(claims))
        return [self.known if claim == self.claim else None for claim in claims]


async def test_rows_are_counted_by_what_would_become_of_them():
    """Valid, twice in the file, contradicting the file, wrong."""
    result = await check(
        "972501234567,Dana,Dana,d@example.com\n"
        "0501234567,Dana,Dana,d@example.com\n"
        "972501234567,Dana,Other,d@example.com\n"
        "12,Dana,,d@example\n"
    )

    tally = result.tally
    assert (tally.rows, tally.accepted, tally.duplicates, tally.rejected, tally.conflicts) == (4, 1, 1, 2, 1)
    assert result.known is None
    assert result.exit_code == 3
    assert "line 2" in tally.errors[0].problem.message
    assert tally.error_codes["display_name:missing"] == 1


async def test_what_the_ledger_knows_is_told_apart():
    """The same again is known, with another contact it has a note, and with other data it is a conflict."""
    result = await check(
        DANA
        + "972501234567,Dana,Dana,elsewhere@example.com\n"
        + "972501234567,Dana,Other,d@example.com\n"
        + "972501234568,Noa,Noa,n@example.com\n",
        known=Books(),
    )

    tally = result.tally
    assert (result.known, tally.duplicates, tally.accepted, tally.rejected) == (1, 1, 1, 1)
    assert tally.rows == result.known + tally.duplicates + tally.accepted + tally.rejected
    assert tally.jobs == 1
    assert tally.warning_codes == {"email:contact_differs": 1}
    assert "iw" in tally.errors[0].problem.message
    assert result.as_document()["known"] == 1


async def test_a_row_that_contradicts_both_the_ledger_and_the_file_is_told_of_the_ledger():
    """As the run would: what stands recorded decides, not which row of the file is first."""
    result = await check("972501234567,Dana,Other,d@example.com\n" + DANA, known=Books())

    assert (result.known, result.tally.rejected, result.tally.conflicts) == (1, 1, 1)
    assert result.tally.errors[0].line == 2


async def test_a_thousand_rows_are_one_question():
    """And the order of the file is kept."""
    books = Books()
    rows = "".join(
        f"97250{n:07d},Shop,Shop,s@example.com\n" if n % 10 else "wrong,,,\n" for n in range(2_500)
    )
    lines = []

    result = await check(rows, known=books, on_errors=lambda line, _: lines.append(line))

    assert books.asked == [900, 900, 450]
    assert lines == list(range(2, 2_502, 10))
    assert result.known == 0


async def test_a_ledger_that_goes_away_costs_only_its_own_answer():
    """Everything else is told; that it was not asked is told, too."""
    rows = "".join(f"97250{n:07d},Shop,Shop,s@example.com\n" for n in range(1_500))

    result = await check(rows, known=Books(fails_at=1))

    assert (result.known, result.tally.accepted, result.exit_code) == (None, 1_500, 0)


async def test_every_error_of_a_row_is_told():
    """Not only the first: nobody wants to mend a file error by error."""
    told = {}
    await check(
        "12,,,d@example\n",
        on_errors=lambda line, problems: told.update({line: {found.field for found in problems}}),
    )

    assert told == {2: {"whatsapp", "business_name", "display_name", "email"}}


async def test_nothing_is_written(tmp_path):
    """Not even a failed file."""
    source = tmp_path / "in.csv"
    source.write_text(HEADER + "12,,,\n")

    result = await dry_run(source, options=OPTIONS)

    assert result.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


async def test_a_report_that_was_asked_for_is_input_once_mended(tmp_path):
    """All that is wrong with each bad row, in a file that overwrites none."""
    source = tmp_path / "in.csv"
    source.write_text(HEADER + DANA + "=12,Noa,,x\n")

    first = await dry_run(source, options=OPTIONS, scope=Scope(has_report=True))
    again = await dry_run(source, options=OPTIONS, scope=Scope(has_report=True))

    assert first.failed_file == tmp_path / "in.dry-run.failed.csv"
    assert again.failed_file == tmp_path / "in.dry-run.failed.2.csv"
    assert first.failed_file.stat().st_mode & 0o777 == 0o600
    [row] = csv.DictReader(first.failed_file.read_text(encoding="utf-8-sig").splitlines())
    assert (row["whatsapp"], row["_line"]) == ("'=12", "3")
    assert {"email:not_an_email", "display_name:missing"} <= set(row["_error_code"].split(";"))
    mended = first.failed_file.read_text(encoding="utf-8-sig").replace(
        "'=12,Noa,,x", "0521111111,Noa,Noa,n@x.example"
    )
    first.failed_file.write_text(mended, encoding="utf-8")
    assert (await dry_run(first.failed_file, options=OPTIONS)).tally.accepted == 1


async def test_a_report_that_cannot_be_written_is_told(tmp_path):
    """And nothing else is lost by it."""
    options = BackfillOptions(report_folder=tmp_path / "nowhere")

    result = await check("12,,,\n" + DANA, options, has_report=True)

    assert (result.failed_file, result.report_error) == (None, "No such file or directory")
    assert result.tally.accepted == 1


async def test_progress_is_told_chunk_by_chunk():
    """So that a long file shows that it moves."""
    seen = []
    rows = "".join(f"97250{n:07d},Shop,Shop,s@example.com\n" for n in range(250))

    await check(rows, progress=lambda progress: seen.append(progress.tally.rows))

    assert seen == [100, 200, 250]


@given(st.lists(st.tuples(st.sampled_from(["n:1", "n:15", "b:x", "b:y", "b:n:1"]), st.sampled_from("pq"))))
def test_the_first_of_each_customer_is_remembered(rows):
    """By its line, and whether it asked for the same."""
    firsts, seen = Firsts(), {}
    for line, (claim, mark) in enumerate(rows, start=2):
        found = firsts.meet(claim, mark, line)
        expected = seen.setdefault(claim, (line, mark))
        assert found == (None if expected[0] == line else (expected[0], expected[1] == mark))


async def test_a_default_fills_empty_cells_only():
    """`--channel` speaks for rows that do not."""
    options = BackfillOptions(defaults={"channels": "fax"})
    rows = (
        "channels,"
        + HEADER
        + "email,972501234567,Dana,Dana,d@example.com\n,972501234568,Dana,Dana,d@example.com\n"
    )

    result = await dry_run(io.BytesIO(rows.encode()), options=options)

    assert [noted.line for noted in result.tally.errors] == [3]


@pytest.mark.parametrize(("rows", "code"), [("", "no_rows"), ("\n,,,\n", "no_rows")])
async def test_a_file_without_rows_is_an_error(rows, code):
    """Most likely it is the wrong file."""
    with pytest.raises(InputProblemError) as caught:
        await check(rows)

    assert caught.value.code == code


async def test_a_file_that_is_not_there_is_told_plainly(tmp_path):
    """By the system's own words."""
    with pytest.raises(InputProblemError) as caught:
        await dry_run(tmp_path / "none.csv", options=OPTIONS)

    assert "No such file" in caught.value.message


async def test_bad_bytes_far_down_stop_a_file_before_its_first_row(tmp_path):
    """A file is looked over before anything is taken from it; a pipe cannot be."""
    source = tmp_path / "in.csv"
    rows = HEADER.encode() + b"972501234567,Dana,Dana,d@example.com\n" * MANY + b"\xff,,,\n"
    source.write_bytes(rows)

    with pytest.raises(InputProblemError):
        await dry_run(source, options=OPTIONS)
    result = await dry_run(io.BytesIO(rows), options=OPTIONS)

    assert result.stop is not None
    assert (result.stop.code, result.tally.rows) == ("not_utf8", MANY)


async def test_the_users_folder_is_no_csv(tmp_path: Path):
    """A folder given by mistake."""
    with pytest.raises(InputProblemError):
        await dry_run(tmp_path, options=OPTIONS)


@pytest.mark.parametrize(
    ("source", "mail", "conflicts"),
    [("crm:hubspot", "x@e.com", 1), ("csv", "x@e.com", 0), ("api", "d@e.com", 0)],
)
async def test_an_id_that_another_source_gave_to_another_is_told_as_the_run_would(source, mail, conflicts):
    """Two CRMs count their records alike: a row is another customer's unless source or contact are the same."""
    header = "product,business_name,external_id,email\n"
    row = "facebook:1,Dana,501,d@e.com"
    request = parse_request(dict(zip(header.strip().split(","), row.split(","), strict=True))).request
    known = Known(
        invitation_id="i",
        job_ids=("i1",),
        state=JobState.LINKED,
        fingerprint=fingerprint(request),
        contact_mark=contact_mark(request),
        source=source,
    )

    async def of(claims):
        return [known for _ in claims]

    result = await dry_run(
        io.BytesIO((header + row.replace("d@e.com", mail)).encode()), options=OPTIONS, scope=Scope(known=of)
    )

    assert (result.tally.conflicts, result.known) == (conflicts, 1 - conflicts)
    if conflicts:
        assert result.tally.error_codes["external_id:conflict"] == 1
