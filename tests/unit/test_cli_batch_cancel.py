"""Waiting for the calls of a batch that was cancelled: however it ends, that it is cancelled is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from linkferry.commands.batches import _wait_for_calls
from linkferry.frame import CommandError
from worker.ledger import LedgerUnavailable
from worker.limits import LimitsUnavailable


@pytest.mark.parametrize("away", [LedgerUnavailable, LimitsUnavailable])
async def test_a_server_that_goes_away_meanwhile_leaves_no_doubt(away: type[Exception]) -> None:
    """Whichever part notices it first: else it would say that the cancelling may not have been done."""

    async def batch_progress(*_: Any) -> None:
        raise away("ConnectionError")

    session: Any = SimpleNamespace(queries=SimpleNamespace(batch_progress=batch_progress))

    with pytest.raises(CommandError, match="The batch is cancelled"):
        await _wait_for_calls(session, "r1")
