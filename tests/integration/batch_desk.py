"""Batches for tests of the command line, in whatever state a test needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.factories import an_invitation
from tests.integration.cli_in_process import Cli, cli_on
from worker.domain.outcome import Fail, Linked, Refused
from worker.domain.states import Channel, Lane
from worker.ledger import Ledger

RUN = "20261122-abcdef"
NAME = "customers of november.csv"
LINKED = Linked(link="https://partner.example/o/1")
REFUSED = Refused(fail=Fail(reason="name_refused", reason_class="bad_data", code=9, is_own_data=True))


@contextmanager
def cli_with_credentials(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    """Yield a command line that could call a partner, if a worker ran."""
    monkeypatch.setenv("LINKFERRY_PROVIDER_CLIENT_ID", "id")
    monkeypatch.setenv("LINKFERRY_PROVIDER_CLIENT_SECRET", "secret")
    monkeypatch.setenv("LINKFERRY_PROVIDER_URL", "http://127.0.0.1:9")
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


async def a_batch(
    ledger: Ledger, count: int = 4, *, run: str = RUN, is_closed: bool = True, first: int = 2
) -> list[str]:
    """Record a batch; return its job ids."""
    await ledger.batches.open(
        run, name=NAME, source="csv", by="test", total=count, path=f"/x/{NAME}", options="--channel none"
    )
    rows = [
        an_invitation(lane=Lane.BULK, batch_id=run, line=first + nth, channels=(Channel.EMAIL,))
        for nth in range(count)
    ]
    receipts = await ledger.accept(rows, max_waiting=100_000, durable=False)
    if is_closed:
        await ledger.batches.close(run)
    return [receipt.job_ids[0] for receipt in receipts]


async def with_worker(ledger: Ledger) -> None:
    """Let it look as if a worker ran."""
    await ledger.fleet.beat("w", {}, 60)
