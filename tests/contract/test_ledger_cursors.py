"""Cursors of the lists that are read by rank: what is none of ours is refused before the server sees it."""

from __future__ import annotations

import pytest
import redis.asyncio

from worker.domain.act import Act
from worker.domain.outgoing import OutgoingState
from worker.domain.states import DeliveryState
from worker.ledger import Ledger

NOT_OURS = ["99999999999999999999", "-1", "1_0", " 1", "", "x", "١"]


@pytest.mark.parametrize("cursor", NOT_OURS)
async def test_a_rank_that_is_none_of_ours_is_refused(store: redis.asyncio.Redis, cursor: str) -> None:
    """From an address anything may come: huge, negative, of another alphabet."""
    ledger = Ledger(store, namespace="test")
    await ledger.acts.open("a", Act.DISCARD, by="x")
    for reading in (
        ledger.incidents.ended(cursor=cursor),
        ledger.deliveries.find(DeliveryState.FAILED, cursor=cursor),
        ledger.outbox.find(sink="crm", state=OutgoingState.WAITING, cursor=cursor),
        ledger.outbox.find(sink="crm", state=OutgoingState.TOLD, cursor=cursor),
        ledger.acts.find(cursor=cursor),
        ledger.acts.items("a", cursor=cursor),
    ):
        with pytest.raises(ValueError, match="not one of our cursors"):
            await reading


async def test_a_rank_far_beyond_the_end_is_an_empty_page(store: redis.asyncio.Redis) -> None:
    """The list may have become shorter since."""
    ledger = Ledger(store, namespace="test")
    far = "9" * 15

    assert (await ledger.incidents.ended(cursor=far)).items == ()
    assert (await ledger.deliveries.find(DeliveryState.FAILED, cursor=far)).items == ()
    assert (await ledger.outbox.find(sink="crm", state=OutgoingState.TOLD, cursor=far)).items == ()
    assert (await ledger.acts.find(cursor=far)).items == ()
