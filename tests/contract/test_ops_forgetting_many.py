"""Erasing many customers at once takes no more looks than there are things to look for."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from tests.contract.forgetting_desk import ForgettingDesk
from tests.factories import a_request
from worker.domain.job import JobRecord
from worker.domain.request import Contact
from worker.ledger import JobFilter, Page

pytestmark = pytest.mark.redis


async def test_what_all_customers_share_is_read_once(
    store: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of thousands at an agency's address would read all of the others."""
    desk = await ForgettingDesk.open(store)
    contact = Contact(name="Agency", email="all@agency.example", locale="he")
    for nth in range(6):
        await desk.accept(
            request=a_request(whatsapp=f"97254111222{nth}", business_name=f"Bikes {nth}", contact=contact)
        )
    asked: list[JobFilter] = []
    find = desk.ledger.queries.find

    async def noting(wanted: JobFilter, **more: Any) -> Page[JobRecord]:
        asked.append(wanted)
        return await find(wanted, **more)

    monkeypatch.setattr(desk.ledger.queries, "find", noting)

    found = await desk.eraser.look("all@agency.example", is_all=True)

    assert len(found.jobs) == 6
    # For what was typed, for what theirs lead to, and whether it is anybody else's.
    assert asked.count(JobFilter(email="all@agency.example")) == 3
