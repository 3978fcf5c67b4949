"""`linkferry batch report`: each row joined to its end, for Excel and for programs."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkferry.commands.batch_report import new_file
from linkferry.frame import CommandError
from tests.by_hand import ended
from tests.factories import a_request, an_invitation
from tests.integration.batch_desk import LINKED, REFUSED, RUN, a_batch, cli_with_credentials
from tests.integration.cli_in_process import Cli
from worker.domain.outcome import Refused
from worker.domain.states import Channel, JobState, Lane
from worker.ledger import Ledger
from worker.ops.batch_report import COLUMNS

pytestmark = pytest.mark.redis

FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_with_credentials(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def a_worked_batch(ledger: Ledger) -> list[str]:
    """Record chunks out of order, one job of each kind of end, a name that is a formula, one pruned."""
    rest = await a_batch(ledger, 3, first=102)
    request = a_request(business_name=FORMULA, reference="+972 1;=1+1", external_id="@x")
    rows = [
        an_invitation(
            lane=Lane.BULK, batch_id=RUN, line=line, channels=(Channel.EMAIL,), skips=((Channel.SMS, "no_contact"),),
            **({"request": request} if line == 2 else {}),
        )
        for line in (2, 3, 4, 5)
    ]  # fmt: skip
    receipts = await ledger.accept(rows, max_waiting=1000)
    linked, failed, dead, _ = (receipt.job_ids[0] for receipt in receipts)
    await ended(ledger, linked, LINKED)
    await ended(ledger, failed, REFUSED)
    await ended(ledger, dead, Refused(fail=REFUSED.fail, is_discard=True))
    await ledger.batches.add_counts(RUN, rejected=7, duplicates=5)
    return [linked, failed, dead, *rest]


async def prune_the_dead(ledger: Ledger) -> None:
    await ledger.prune({JobState.DEAD: 0.0}, limit=10)


def test_the_report_joins_each_row_to_its_end_in_the_order_of_the_file(cli: Cli, tmp_path: Path) -> None:
    """For Excel: byte order mark, no formulas; for its owner only; what it does not hold is said."""
    linked, failed, *_ = cli.on_ledger(a_worked_batch)

    result = cli("batch", "report", RUN)

    path = tmp_path / f"customers of november.{RUN}.report.csv"
    [recorded] = cli.json("audit", "--act", "export")["items"]
    assert (recorded["subject"], recorded["detail"]) == (f"batch:{RUN}", {"count": "7", "to": path.name})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"\xef\xbb\xbfline,number,")
    rows = rows_of(path.read_text(encoding="utf-8-sig"))
    assert tuple(rows[0]) == COLUMNS
    assert [row["line"] for row in rows] == ["2", "3", "4", "5", "102", "103", "104"]
    first, second = rows[:2]
    assert (first["job_id"], first["state"], first["link"]) == (linked, "linked", LINKED.link)
    assert (first["email"], first["sms"], first["sms_reason"]) == ("pending", "skipped", "no_contact")
    assert first["number"].startswith("97250")
    assert first["accepted_at"] <= first["ended_at"]
    assert (first["business_name"], first["external_id"]) == (f"'{FORMULA}", "'@x")
    assert first["reference"] == "'+972 1;'=1+1"
    assert (second["job_id"], second["state"], second["reason"]) == (failed, "failed", "name_refused")
    assert second["remedy"]
    assert (rows[3]["state"], rows[3]["ended_at"], rows[3]["reason"]) == ("available", "", "")
    assert "7 jobs" in result.stdout
    assert "4 of them have not come to their end yet" in result.stdout
    assert "7 rejected rows" in result.stdout
    assert "5 duplicates" in result.stdout


def test_a_report_never_takes_another_s_place(cli: Cli, tmp_path: Path) -> None:
    """A second one has a number; a name that is taken is refused, and nothing is left behind."""
    cli.on_ledger(a_worked_batch)
    (tmp_path / "mine.csv").write_text("precious")

    names = [cli.json("batch", "report", RUN, "--out", f"{nth}.csv")["file"] for nth in (1, 2)]
    for _ in range(2):
        cli("batch", "report", RUN)
    refused = cli("batch", "report", RUN, "--out", "mine.csv")

    assert names == ["1.csv", "2.csv"]
    assert refused.exit_code == 1
    assert "mine.csv is there already" in refused.stderr
    assert (tmp_path / "mine.csv").read_text() == "precious"
    found = sorted(path.name for path in tmp_path.iterdir())
    stem = f"customers of november.{RUN}.report"
    assert found == ["1.csv", "2.csv", f"{stem}.2.csv", f"{stem}.csv", "mine.csv"]
    assert cli("batch", "report", RUN, "--out", "no/such/folder.csv").exit_code == 1
    assert cli("batch", "report", "nobody").exit_code == 1


def test_a_report_that_breaks_off_leaves_no_half_of_itself(tmp_path: Path) -> None:
    """Neither by a fault nor by a name that is taken meanwhile."""
    path = tmp_path / "out.csv"

    def write(then: Callable[[], object]) -> None:
        with new_file(path, "utf-8") as stream:
            stream.write("half")
            then()

    with pytest.raises(ZeroDivisionError):
        write(lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(CommandError):
        write(lambda: path.write_text("somebody else's"))
    assert [each.read_text() for each in tmp_path.iterdir()] == ["somebody else's"]


def test_standard_output_holds_the_rows_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    """CSV or JSON lines; what is said goes to standard error."""
    cli.on_ledger(a_worked_batch)

    result = cli("batch", "report", RUN, "--out", "-")
    assert len(rows_of(result.stdout.removeprefix("\ufeff"))) == 7
    assert "rejected rows" in result.stderr
    assert cli("batch", "report", RUN, "--out", "-", "--quiet").stderr == ""
    result = cli("batch", "report", RUN, "--json")
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["line"] for each in documents] == [2, 3, 4, 5, 102, 103, 104]
    assert documents[0]["messages"][0]["channel"] == "email"
    told = json.loads(result.stderr)["report"]
    assert (told["rows"], told["rejected"], told["duplicates"], told["file"]) == (7, 7, 5, None)
    assert list(tmp_path.iterdir()) == []
    cli("batch", "report", RUN, "--out", "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_text(encoding="utf-8") == result.stdout


def test_a_job_that_was_deleted_since_keeps_its_row(cli: Cli, tmp_path: Path) -> None:
    """The rows of the report add up to the jobs of the batch."""
    cli.on_ledger(a_worked_batch)
    cli.on_ledger(prune_the_dead)

    document = cli.json("batch", "report", RUN, "--out", "out.csv")

    assert document["by_state"]["deleted"] == 1
    rows = rows_of((tmp_path / "out.csv").read_text(encoding="utf-8-sig"))
    assert [row["state"] for row in rows[:4]].count("deleted") == 1
    assert document["rows"] == 7
