"""Asking who stands on a claim: plain reads, a thousand at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk
from tests.factories import a_request
from worker.domain.request import Product
from worker.domain.states import Channel, JobState, Lane
from worker.ledger.keys import SCHEMA_VERSION


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def test_who_stands_on_a_claim_is_told(desk: Desk) -> None:
    """With all that a second request would be measured by."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    receipt = await desk.accept(
        claim_key="n:1",
        fingerprint="fp-of-sixteen-ab",
        contact_mark="mark8888",
        source="crm:hubspot",
        skips=tuple((channel, "no_contact") for channel in Channel),
        request=a_request(products=products),
    )

    [nobody, known] = await desk.ledger.queries.known(["n:2", "n:1"])

    assert nobody is None
    assert known is not None
    assert (known.invitation_id, known.job_ids) == (receipt.invitation_id, receipt.job_ids)
    assert (known.fingerprint, known.contact_mark) == ("fp-of-sixteen-ab", "mark8888")
    assert (known.state, known.source) == (JobState.AVAILABLE, "crm:hubspot")


async def test_the_state_is_the_first_jobs(desk: Desk) -> None:
    """As it is now."""
    receipt = await desk.accept(claim_key="n:1")
    await desk.ledger.settle(await desk.call(receipt.job_ids[0]), LINKED)

    [known] = await desk.ledger.queries.known(["n:1"])

    assert known is not None
    assert known.state is JobState.LINKED


async def test_a_claim_that_was_let_go_is_nobodys(desk: Desk) -> None:
    """A cancelled job stands in nobody's way."""
    receipt = await desk.accept(claim_key="n:1")
    await desk.ledger.cancel(receipt.job_ids[0], by="op", why="")

    assert await desk.ledger.queries.known(["n:1"]) == [None]


async def test_many_claims_are_answered_in_order(desk: Desk) -> None:
    """Beyond one trip's worth, and the same claim twice."""
    receipts = {n: await desk.accept(claim_key=f"n:{n}", lane=Lane.BULK) for n in (0, 999, 1_000, 2_499)}
    claims = [f"n:{n}" for n in range(2_500)] + ["n:999"]

    found = await desk.ledger.queries.known(claims)

    assert {n: each.invitation_id for n, each in enumerate(found) if each} == {
        **{n: receipt.invitation_id for n, receipt in receipts.items()},
        2_500: receipts[999].invitation_id,
    }
    assert await desk.ledger.queries.known([]) == []


async def test_asking_writes_nothing(store: redis.asyncio.Redis) -> None:
    """Not even into a ledger that was never opened: it stays one that nobody has made."""
    desk = Desk(store)

    assert await desk.ledger.queries.known(["n:1"]) == [None]
    assert await desk.ledger.queries.schema() is None
    assert await store.dbsize() == 0
    await desk.ledger.open()
    assert await desk.ledger.queries.schema() == SCHEMA_VERSION
