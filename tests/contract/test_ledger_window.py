"""Messages and the send window: put off when it is closed, by the ledger's clock, and brought forward when it changes."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.ledger_desk import BOTH_CHANNELS, EPOCH_MS, LEASE_S, LINK, LINKED, Desk, a_fail
from tests.factories import a_request
from worker.domain.outcome import Deleted, DeliveryRetry, Linked, Sent
from worker.domain.request import Product
from worker.domain.send_window import ALWAYS_OPEN, ClosedTimes
from worker.domain.states import Channel, DeliveryState, Lane
from worker.ledger.window import PutOff

HOUR_MS = 3_600_000
OPENS_MS = EPOCH_MS + 8 * HOUR_MS
DAY_MS = 24 * HOUR_MS


def closed(
    from_ms: int = EPOCH_MS - HOUR_MS, until_ms: int = OPENS_MS, *, is_live_exempt: bool = False
) -> ClosedTimes:
    """Return one closed time, in two days that are known."""
    return ClosedTimes(
        spans=((from_ms, until_ms),),
        known_from_ms=EPOCH_MS - DAY_MS,
        known_until_ms=EPOCH_MS + 2 * DAY_MS,
        is_live_exempt=is_live_exempt,
    )


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    """Return an open desk."""
    return await Desk.open(store)


async def deliveries(desk: Desk, count: int, **changes: object) -> list[str]:
    """Return as many pending deliveries."""
    return [await desk.a_delivery(**changes) for _ in range(count)]


async def due_of(desk: Desk, delivery_id: str) -> tuple[int | None, str | None]:
    """Return when a delivery is due and what it waits for."""
    record = await desk.ledger.deliveries.get(delivery_id)
    assert record is not None
    return record.due_at_ms, record.waits_for


async def test_what_comes_while_a_message_waits_goes_out_with_it(desk: Desk) -> None:
    """One message when the window opens, not two at once: the link that was late, and one that was made anew."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    [whatsapp, facebook] = (await desk.accept(request=request, channels=BOTH_CHANNELS)).job_ids
    await desk.end(whatsapp, LINKED)
    desk.advance(600)
    await desk.ledger.deliveries.fan_out(whatsapp[:-1])
    for channel in BOTH_CHANNELS:
        assert await desk.ledger.deliveries.due(channel, want=9, closed=closed()) == []

    await desk.end(facebook, LINKED)
    await desk.ledger.replace(whatsapp, by="dana", why="name")
    await desk.end(whatsapp, Deleted())
    await desk.end(whatsapp, Linked(link=f"{LINK}2"))
    await desk.balance()

    desk.now_ms = OPENS_MS
    for channel in BOTH_CHANNELS:
        [message] = await desk.ledger.deliveries.due(channel, want=9, closed=closed())
        claimed = await desk.claim_delivery(message)
        assert {link.job_id: link.link for link in claimed.links} == {whatsapp: f"{LINK}2", facebook: LINK}
        assert await desk.ledger.deliveries.begin_send(claimed.lease, closed=closed())
        assert await desk.ledger.deliveries.settle(claimed.lease, Sent(), can_resend=True)
    assert len(await desk.ledger.deliveries.of_invitation(whatsapp[:-1])) == 2


@pytest.mark.parametrize("deed", ["sent", "resend"])
async def test_what_was_sent_before_is_joined_by_nothing(desk: Desk, deed: str) -> None:
    """A message that goes out once more brings what it brought; the late link has its own."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    [whatsapp, facebook] = (await desk.accept(request=request)).job_ids
    await desk.end(whatsapp, LINKED)
    [message] = await desk.ledger.deliveries.fan_out(whatsapp[:-1])
    await desk.ledger.deliveries.settle(await desk.send(message), Sent(), can_resend=True)
    if deed == "resend":
        await desk.ledger.deliveries.resend(message, by="dana", why="again")
        assert await desk.ledger.deliveries.due(Channel.EMAIL, want=9, closed=closed()) == []
    await desk.end(facebook, LINKED)

    first, second = await desk.ledger.deliveries.of_invitation(whatsapp[:-1])
    assert (first.job_ids, second.job_ids) == ((whatsapp,), (facebook,))


async def test_no_bell_rings_while_the_window_is_closed(desk: Desk) -> None:
    """What is due is put off to the opening, at once and without a claim."""
    ids = await deliveries(desk, 3)

    rung = await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())

    assert rung == []
    assert [await due_of(desk, each) for each in ids] == [(OPENS_MS, "window")] * 3
    assert await desk.ledger.window.waiting() == (PutOff(channel=Channel.EMAIL, count=3, until_ms=OPENS_MS),)
    await desk.balance()


async def test_what_was_put_off_goes_out_when_the_window_opens(desk: Desk) -> None:
    """Nothing is lost: at the opening it is due, and its claim ends its waiting."""
    [delivery] = await deliveries(desk, 1)
    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())
    desk.now_ms = OPENS_MS

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed()) == [delivery]
    await desk.send(delivery)

    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    assert (record.state, record.waits_for) == (DeliveryState.SENDING, None)
    assert await desk.ledger.window.waiting() == ()
    await desk.balance()


async def test_a_bell_that_rang_as_the_window_closed_leads_to_no_message(desk: Desk) -> None:
    """Rung while it was open, claimed a moment later."""
    [delivery] = await deliveries(desk, 1)
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == [delivery]

    claimed = await desk.ledger.deliveries.claim(delivery, worker_id="w1", lease_s=LEASE_S, closed=closed())

    assert claimed is None
    assert await due_of(desk, delivery) == (OPENS_MS, "window")
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == [], "no bell is left behind"


async def test_a_message_claimed_as_the_window_closes_does_not_begin(desk: Desk) -> None:
    """Claimed seconds before; when its send is to begin, the closed time has begun: it waits, and no try is used up."""
    [delivery] = await deliveries(desk, 1)
    times = closed(from_ms=EPOCH_MS + 5_000)
    claimed = await desk.ledger.deliveries.claim(delivery, worker_id="w1", lease_s=LEASE_S, closed=times)
    assert claimed is not None
    desk.advance(5)

    assert not await desk.ledger.deliveries.begin_send(claimed.lease, closed=times)

    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    assert (record.state, record.failures, record.waits_for) == (DeliveryState.PENDING, 0, "window")
    desk.now_ms = OPENS_MS
    await desk.send(delivery)
    await desk.balance()


async def test_closing_three_times_is_no_crash(desk: Desk) -> None:
    """A message that was claimed and put off again and again is not taken for one that kills its process."""
    [delivery] = await deliveries(desk, 1)
    for _ in range(4):
        claimed = await desk.claim_delivery(delivery)
        times = closed(until_ms=desk.now_ms + 1_000)
        assert not await desk.ledger.deliveries.begin_send(claimed.lease, closed=times)
        desk.advance(2)
    await desk.claim_delivery(delivery)
    desk.advance(LEASE_S + 1)

    await desk.ledger.deliveries.rescue()

    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    assert record.state is DeliveryState.PENDING


async def test_the_ledger_s_clock_decides_and_not_the_caller_s(desk: Desk) -> None:
    """Two workers with different clocks tell the same times: the server's now says whether one of them is now."""
    [delivery] = await deliveries(desk, 1)
    later = closed(from_ms=EPOCH_MS + 60_000)

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=later) == [delivery]


async def test_beyond_the_times_that_are_known_nothing_goes_out(desk: Desk) -> None:
    """A worker whose clock is days off knows nothing of now: its messages wait a minute and are judged again."""
    [delivery] = await deliveries(desk, 1)
    lost = ClosedTimes(known_from_ms=EPOCH_MS - 9 * DAY_MS, known_until_ms=EPOCH_MS - 7 * DAY_MS)

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=lost) == []

    assert await due_of(desk, delivery) == (EPOCH_MS + 60_000, "window")
    assert await desk.ledger.window.judge(Channel.EMAIL, lost) == 0, "and it changes nothing for others"


async def test_a_live_customer_may_be_exempt(desk: Desk) -> None:
    """SEND_WINDOW_LIVE: single customers get theirs, however many of a backfill stand before them."""
    bulk = await deliveries(desk, 30, lane=Lane.BULK)
    [live] = await deliveries(desk, 1)

    rung = await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed(is_live_exempt=True))

    assert rung == [live]
    assert {await due_of(desk, each) for each in bulk} == {(OPENS_MS, "window")}
    claimed = await desk.ledger.deliveries.claim(
        live, worker_id="w1", lease_s=LEASE_S, closed=closed(is_live_exempt=True)
    )
    assert claimed is not None
    assert await desk.ledger.deliveries.begin_send(claimed.lease, closed=closed(is_live_exempt=True))


async def test_an_operator_s_resend_waits_as_well(desk: Desk) -> None:
    """It is a message like any other: asked for on Shabbat, it goes out after it."""
    [delivery] = await deliveries(desk, 1)
    await desk.ledger.deliveries.settle(
        await desk.send(delivery), Sent(provider_id="p", segments=1), can_resend=True
    )
    await desk.ledger.deliveries.resend(delivery, by="dana", why="asked")

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed()) == []
    assert await due_of(desk, delivery) == (OPENS_MS, "window")


async def test_a_retry_that_falls_in_a_closed_time_waits_for_its_end(desk: Desk) -> None:
    """A later due time is kept; one that has come is put off."""
    [delivery] = await deliveries(desk, 1)
    retry = DeliveryRetry(fail=a_fail("greylisted"), delay_s=30, max_failures=2)
    await desk.ledger.deliveries.settle(await desk.send(delivery), retry, can_resend=True)

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed()) == []
    assert await due_of(desk, delivery) == (EPOCH_MS + 30_000, None), "not its turn yet"
    desk.advance(30)
    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())

    assert await due_of(desk, delivery) == (OPENS_MS, "window")


async def test_while_a_channel_is_paused_nothing_is_put_off(desk: Desk) -> None:
    """A pause says why it waits; when it ends, the window has its say."""
    [delivery] = await deliveries(desk, 1)
    await desk.ledger.batches.pause("channel:email", by="dana", why="")

    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())

    assert await due_of(desk, delivery) == (EPOCH_MS, None)


# --- when the window is another -----------------------------------------------------------------------------


async def put_off_some(desk: Desk, count: int, **changes: object) -> list[str]:
    """Return deliveries that wait for the window."""
    ids = await deliveries(desk, count, **changes)
    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())
    assert {await due_of(desk, each) for each in ids} == {(OPENS_MS, "window")}
    return ids


async def judged(desk: Desk, times: ClosedTimes) -> int:
    """Judge all that waits."""
    total = 0
    while changed := await desk.ledger.window.judge(Channel.EMAIL, times, limit=5):
        total += changed
    return total


async def test_without_a_window_what_waited_is_due_at_once(desk: Desk) -> None:
    """SEND_WINDOW=off: nothing stays put off for ever."""
    ids = await put_off_some(desk, 12)
    desk.advance(60)

    assert await judged(desk, ALWAYS_OPEN) == 12

    assert {await due_of(desk, each) for each in ids} == {(EPOCH_MS + 60_000, None)}
    assert sorted(await desk.ledger.deliveries.due(Channel.EMAIL, want=50)) == sorted(ids)
    await desk.balance()


@pytest.mark.parametrize("moved_ms", [-HOUR_MS, HOUR_MS])
async def test_an_opening_that_moves_takes_what_waits_along(desk: Desk, moved_ms: int) -> None:
    """Earlier or later: all that waits, waits until then; when all are right, nothing is written."""
    ids = await put_off_some(desk, 12)
    times = closed(until_ms=OPENS_MS + moved_ms)

    assert await judged(desk, times) == 12
    assert await judged(desk, times) == 0

    assert {await due_of(desk, each) for each in ids} == {(OPENS_MS + moved_ms, "window")}


async def test_who_becomes_exempt_goes_out(desk: Desk) -> None:
    """SEND_WINDOW_LIVE switched on in the night: single customers are let go, the rest stays."""
    [bulk] = await put_off_some(desk, 1, lane=Lane.BULK)
    [live] = await put_off_some(desk, 1)

    assert await judged(desk, closed(is_live_exempt=True)) == 1

    assert await due_of(desk, live) == (EPOCH_MS, None)
    assert await due_of(desk, bulk) == (OPENS_MS, "window")


async def test_when_it_opens_what_is_due_says_no_more_that_it_waits(desk: Desk) -> None:
    """In its turn, at the channel's rate: but not for the window."""
    ids = await put_off_some(desk, 3)
    desk.now_ms = OPENS_MS + 1_000

    assert await judged(desk, closed()) == 3

    assert {await due_of(desk, each) for each in ids} == {(OPENS_MS, None)}
    assert await desk.ledger.window.waiting() == ()


async def test_at_the_opening_no_more_is_rung_for_than_asked(desk: Desk) -> None:
    """Hundreds wait; bells are rung as ever, a few at a time, and each claim takes its slot of the channel's rate."""
    await put_off_some(desk, 90)
    desk.now_ms = OPENS_MS

    first = await desk.ledger.deliveries.due(Channel.EMAIL, want=64, closed=closed())
    second = await desk.ledger.deliveries.due(Channel.EMAIL, want=64, closed=closed())

    assert (len(first), second) == (64, [])


async def test_one_call_puts_off_a_hundred_at_most(desk: Desk) -> None:
    """A script's work is bounded, however many wait when the window closes."""
    await deliveries(desk, 130)

    await desk.ledger.deliveries.due(Channel.EMAIL, want=64, closed=closed())
    [first] = await desk.ledger.window.waiting()
    await desk.ledger.deliveries.due(Channel.EMAIL, want=64, closed=closed())
    [second] = await desk.ledger.window.waiting()

    assert (first.count, second.count) == (100, 130)


async def test_the_audit_finds_what_is_listed_wrongly(desk: Desk) -> None:
    """A message that is listed as waiting and does not is a fault of the books."""
    [delivery] = await put_off_some(desk, 1)
    await desk.redis.hdel("{test}:d:" + delivery, "h")

    audit = await desk.ledger.queries.audit()

    assert any(delivery in line for line in audit.wrong)
