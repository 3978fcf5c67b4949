"""Going on with a run: the same file read the same way, each row counted once and written down once."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path

import pytest

from linkferry import frame
from linkferry.commands.backfill_view import say_result
from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.backfill.reader import InputProblemError, ReadOptions
from producers.backfill.runs import command_of
from producers.enqueue import Door
from worker.domain.parse import ParseRules
from worker.ledger import Ledger

HEADER = "whatsapp,business_name,display_name,email"


@pytest.fixture
async def ledger(real_redis) -> Ledger:
    ledger = Ledger(real_redis, namespace="t")
    await ledger.open()
    return ledger


class Silent:
    """A backfill rings no bells."""

    def ring(self, job_ids, lane):
        raise AssertionError("rung")


def a_file(folder: Path, rows: list[str], *, header: str = HEADER, name: str = "in.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def good(nth: int) -> str:
    return f"97250{nth:07d},Shop {nth},Shop {nth},c{nth}@example.com"


def bad(nth: int) -> str:
    return f"wrong {nth},Shop {nth},Shop {nth},c{nth}@example.com"


def rows_of(*paths: Path) -> list[dict[str, str]]:
    texts = [path.read_text(encoding="utf-8-sig") for path in paths]
    return [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=""))]


async def backfill(source, ledger: Ledger, *, after: int | None = None, meanwhile=None, **options):
    """Run a backfill; stop it once *after* rows are read, or do something then."""
    stop, tasks = asyncio.Event(), []

    def look(progress):
        if after is None or progress.tally.rows < after or tasks:
            return
        if meanwhile is None:
            stop.set()
        else:
            tasks.append(asyncio.ensure_future(meanwhile()))

    door = Door(ledger, Silent(), max_waiting=100_000)
    result = await run_backfill(
        source,
        door=door,
        ledger=ledger,
        options=BackfillOptions(**options),
        progress=look,
        stop=stop,
        clock=Hurried(),
    )
    await asyncio.gather(*tasks)
    return result


class Hurried:
    """A clock by which progress is due after every chunk."""

    def __init__(self) -> None:
        from worker.clock import SystemClock

        self._real = SystemClock()
        self._s = 0.0

    def monotonic(self) -> float:
        self._s += 1.0
        return self._s

    def now(self):
        return self._real.now()

    def now_ms(self) -> int:
        return self._real.now_ms()


async def test_over_all_result_files_of_a_run_each_bad_row_stands_once(tmp_path, ledger) -> None:
    """The resumed run meets the same bad rows again, and writes only those that it had not written."""
    path = a_file(tmp_path, [bad(nth) if nth % 10 == 0 else good(nth) for nth in range(2_000)])
    first = await backfill(path, ledger, after=500)
    assert first.stop is not None
    second = await backfill(path, ledger, resume=first.run)

    assert first.failed_file is not None
    assert second.failed_files == (first.failed_file, tmp_path / f"in.{first.run}.failed.2.csv")
    lines = [int(row["_line"]) for row in rows_of(*second.failed_files)]
    assert sorted(lines) == list(range(2, 2_002, 10))
    assert len(set(lines)) == len(lines)
    assert second.tally.rejected == 200


async def test_a_resumed_run_tells_the_whole_of_it(tmp_path, ledger, capsys) -> None:
    """What it had accepted before is not said to be known from elsewhere."""
    frame.note_global_sandbox(is_sandbox=False)  # for people, whatever a command before said
    path = a_file(tmp_path, [good(n) for n in range(900)])
    await backfill(a_file(tmp_path, [good(0)], name="other.csv"), ledger)
    first = await backfill(path, ledger, after=300)
    second = await backfill(path, ledger, resume=first.run)
    say_result(second, None)

    assert 0 < first.tally.accepted < 899
    assert second.accepted_before == first.tally.accepted
    said = "With what it had accepted before it was resumed: 899 accepted, 1 known already."
    assert said in capsys.readouterr().out


async def test_a_resumed_run_without_new_bad_rows_names_the_file_that_has_them(tmp_path, ledger) -> None:
    """No second file; the first still says why rows are missing."""
    path = a_file(tmp_path, [bad(1), *(good(nth) for nth in range(2_000))])
    first = await backfill(path, ledger, after=500)
    second = await backfill(path, ledger, resume=first.run)

    assert second.failed_files == first.failed_files == (tmp_path / f"in.{first.run}.failed.csv",)
    assert (second.tally.rejected, second.exit_code) == (1, 3)


@pytest.mark.parametrize("left", [3, 20, 60, -2])
async def test_half_a_row_that_a_kill_left_is_written_again_whole(tmp_path, ledger, left) -> None:
    """What was cut off does not count as told, however much of it is there."""
    path = a_file(tmp_path, [bad(1), bad(2), bad(3), good(4)])
    first = await backfill(path, ledger)
    assert first.failed_file is not None
    whole = first.failed_file.read_bytes()
    last = whole.rindex(b"wrong 3")
    first.failed_file.write_bytes(whole[:last] + whole[last:][:left])

    second = await backfill(path, ledger, resume=first.run)

    assert len(second.failed_files) == 2
    assert [row["_line"] for row in rows_of(second.failed_files[-1])] == ["4"]


async def test_a_result_file_that_was_made_unreadable_loses_no_row(tmp_path, ledger) -> None:
    """Emptied, or saved as something else: its rows are rather written twice."""
    path = a_file(tmp_path, [bad(1), good(2)])
    first = await backfill(path, ledger)
    assert first.failed_file is not None
    for content in (b"", b"PK\x03\x04 not a workbook", b"whatsapp\n1\n"):
        first.failed_file.write_bytes(content)
        second = await backfill(path, ledger, resume=first.run)

        assert [row["_line"] for row in rows_of(second.failed_files[-1])] == ["2"]
        second.failed_files[-1].unlink()


async def test_success_files_hold_every_row_that_stands_with_its_jobs(tmp_path, ledger) -> None:
    """Accepted or known before, once over the files of a run; bad rows are not among them."""
    path = a_file(tmp_path, [bad(nth) if nth % 10 == 0 else good(nth % 1_500) for nth in range(2_000)])
    first = await backfill(path, ledger, after=500, has_success_file=True)
    second = await backfill(path, ledger, resume=first.run, has_success_file=True)

    assert [file.name for file in second.success_files] == [
        f"in.{first.run}.success.csv",
        f"in.{first.run}.success.2.csv",
    ]
    rows = rows_of(*second.success_files)
    assert len(rows) == len({row["_line"] for row in rows}) == 1_800
    by_number = {}
    for row in rows:
        assert by_number.setdefault(row["whatsapp"], row["_job_ids"]) == row["_job_ids"]
    assert {row["_verdict"] for row in rows} == {"accepted", "duplicate"}
    job = await ledger.queries.job(rows[7]["_job_ids"])
    assert job is not None
    assert (job.line, job.number) == (int(rows[7]["_line"]), rows[7]["whatsapp"])


async def test_without_being_asked_for_there_is_no_success_file(tmp_path, ledger) -> None:
    """It would repeat the customers' data on the disk."""
    result = await backfill(a_file(tmp_path, [good(1)]), ledger)

    assert result.success_files == ()
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


async def test_the_way_to_go_on_says_every_option_that_matters(tmp_path, ledger) -> None:
    """Typed without them, rows would be read in two ways; so it is refused, with the whole command."""
    header = "Tel of the shop,business_name,display_name,email"
    path = a_file(tmp_path, [good(nth) for nth in range(2_000)], header=header)
    options = {
        "mapping": (("whatsapp", "Tel of the shop"),),
        "defaults": {"channels": "none"},
        "reading": ReadOptions(delimiter="comma"),
        "rules": ParseRules(accept_names=True),
    }
    first = await backfill(path, ledger, after=500, **options)
    command = (
        f"linkferry backfill {path} --map 'whatsapp=Tel of the shop' --channel none --delimiter , --accept-names "
        f"--resume {first.run}"
    )
    assert first.go_on == command
    assert first.stop is not None
    assert first.stop.remedy.endswith(command)
    assert first.as_document()["resume"] == command

    with pytest.raises(InputProblemError) as caught:
        await backfill(path, ledger, resume=first.run, **(options | {"defaults": {}}))
    assert caught.value.code == "other_options"
    assert command in caught.value.remedy
    record = await ledger.batches.get(first.run)
    assert record is not None
    assert command_of(record.id, path=record.path, options=record.options) == command
    assert (await backfill(path, ledger, resume=first.run, **options)).stop is None


async def test_a_batch_cancelled_while_its_file_comes_in_takes_no_more_of_it(tmp_path, ledger) -> None:
    """The import stops, what it had brought is cancelled, nothing slips in behind the cancel."""
    path = a_file(tmp_path, [good(nth) for nth in range(5_000)])

    async def cancel():
        [batch] = await ledger.batches.all(1)
        await ledger.batches.cancel(batch.id, by="dana", why="wrong list")

    result = await backfill(path, ledger, after=500, meanwhile=cancel)

    assert result.stop is not None
    assert (result.stop.code, result.go_on, result.exit_code) == ("cancelled", None, 1)
    assert result.unprocessed_file is None
    record = await ledger.batches.get(result.run)
    assert record is not None
    assert record.accepted == result.tally.accepted < 5_000
    assert {state.value: count for state, count in record.jobs.items() if count} == {
        "cancelled": record.accepted
    }
    with pytest.raises(InputProblemError) as caught:
        await backfill(path, ledger, resume=result.run)
    assert caught.value.code == "cancelled_run"
    anew = await backfill(path, ledger)
    assert anew.tally.accepted == 5_000


async def test_an_importer_tells_its_batch_where_it_is(tmp_path, ledger) -> None:
    """So that others see how far it is, and whether it lives."""
    path = a_file(tmp_path, [good(nth) for nth in range(300)])
    result = await backfill(path, ledger)

    record = await ledger.batches.get(result.run)
    assert record is not None
    assert record.read is not None
    assert record.told_at_ms is not None
    assert record.path == str(path)
    assert record.options == ""
