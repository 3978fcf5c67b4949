"""Failed messages: found by reason, by class, by age, through their jobs and by what was asked for the customer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk
from tests.factories import a_request
from worker.domain.outcome import Fail, Undelivered
from worker.domain.request import Contact
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, finding_messages, search


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def fail(desk: Desk, reason: str = "mailbox_unknown", **changes: object) -> str:
    """Return a message that failed for good; it is a second newer than the one before."""
    desk.advance(1)
    delivery = await desk.a_delivery(**changes)
    why = Fail(reason=reason, reason_class="bad_data" if reason == "mailbox_unknown" else "policy")
    await desk.ledger.deliveries.settle(await desk.send(delivery), Undelivered(fail=why), can_resend=True)
    return delivery


async def found(desk: Desk, wanted: JobFilter, *, limit: int = 2) -> list[str]:
    """Return the ids on all pages, in order."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await desk.ledger.deliveries.failed(wanted, cursor=cursor, limit=limit)
        ids += [record.id for record in page.items]
        cursor = page.next
        if cursor is None:
            return ids


async def test_they_are_listed_by_every_filter(desk: Desk) -> None:
    """Newest first, each once, counted exactly, on pages of any size."""
    dana = a_request(external_id="501", contact=Contact(name="Dana", email="dana@shop.example"))
    first = await fail(desk, source="csv", lane=Lane.BULK, batch_id="b")
    second = await fail(desk, "spam_complaint", request=dana)
    third = await fail(desk, source="api")
    await desk.a_delivery(request=a_request(external_id="501"))

    for wanted, expected in [
        (JobFilter(), [third, second, first]),
        (JobFilter(state=JobState.FAILED, stage="delivery"), [third, second, first]),
        (JobFilter(reason="mailbox_unknown"), [third, first]),
        (JobFilter(reason_class="policy"), [second]),
        (JobFilter(reason="mailbox_unknown", reason_class="policy"), []),
        (JobFilter(older_than_s=0.5), [second, first]),
        (JobFilter(newer_than_s=1.5), [third, second]),
        (JobFilter(newer_than_s=1.5, older_than_s=0.5), [second]),
        (JobFilter(lane=Lane.BULK), [first]),
        (JobFilter(batch="b", reason="mailbox_unknown"), [first]),
        (JobFilter(source="api"), [third]),
        (JobFilter(external_id="501"), [second]),
        (JobFilter(email="dana@shop.example", reason="spam_complaint"), [second]),
        (JobFilter(email="dana@shop.example", reason="mailbox_unknown"), []),
        (JobFilter(name="dana fl"), [third, second, first]),
        (JobFilter(stage="link"), []),
        (JobFilter(state=JobState.DEAD), []),
        (JobFilter(min_attempts=1), []),
        (JobFilter(min_requeues=1), []),
    ]:
        page = await desk.ledger.deliveries.failed(wanted, limit=1)
        assert await found(desk, wanted) == expected, wanted
        assert (page.total, page.is_total_exact) == (len(expected), True), wanted


async def test_they_are_grouped_by_reason(desk: Desk) -> None:
    """How many, of what class, since when and until when."""
    for _ in range(3):
        await fail(desk)
    await fail(desk, "spam_complaint")
    groups = await desk.ledger.deliveries.groups()

    assert [(each.reason, each.reason_class, each.count) for each in groups] == [
        ("mailbox_unknown", "bad_data", 3),
        ("spam_complaint", "policy", 1),
    ]
    assert groups[0].last_ms - groups[0].first_ms == 2_000


async def test_a_message_that_is_sent_again_has_left_its_group(desk: Desk) -> None:
    """And stands in another one where it fails for another reason."""
    delivery = await fail(desk)
    await desk.ledger.deliveries.resend(delivery, by="dana", why="mended")
    assert await desk.ledger.deliveries.groups() == []
    assert await found(desk, JobFilter()) == []

    why = Fail(reason="spam_complaint", reason_class="policy")
    await desk.ledger.deliveries.settle(await desk.send(delivery), Undelivered(fail=why), can_resend=True)

    assert [group.reason for group in await desk.ledger.deliveries.groups()] == ["spam_complaint"]
    assert await found(desk, JobFilter(reason="mailbox_unknown")) == []


async def test_what_very_many_share_is_looked_through(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is too common for its hits to be read."""
    monkeypatch.setattr(search, "MOST_HITS", 2)
    made = [await fail(desk) for _ in range(5)]
    await fail(
        desk, request=a_request(business_name="Levi", display_name="Levi", contact=Contact(name="Gil"))
    )

    assert await found(desk, JobFilter(name="dana flowers")) == made[::-1]


async def test_counting_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no index counts is told as at least so many; all are listed."""
    monkeypatch.setattr(finding_messages, "COUNT_LIMIT", 0)
    made = [await fail(desk, source="csv") for _ in range(5)]

    page = await desk.ledger.deliveries.failed(JobFilter(source="csv"), limit=2)
    assert page.total >= 2
    assert await found(desk, JobFilter(source="csv")) == made[::-1]
    assert [ids async for ids in desk.ledger.deliveries.failed_ids(JobFilter(source="csv"))] == [made[::-1]]


@pytest.mark.parametrize("cursor", ["", "7", "change-1-1-1-1:a", "failed-1-1-1-x", "search-1-1-1-a"])
async def test_a_cursor_of_another_list_is_refused(desk: Desk, cursor: str) -> None:
    """Rather than answered with a list that is not the one begun."""
    with pytest.raises(ValueError, match="not one of our cursors"):
        await desk.ledger.deliveries.failed(JobFilter(), cursor=cursor)
