"""Messages under a send window that opens, closes and is changed, in any order: nothing outside it, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import fakeredis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.contract.ledger_desk import LEASE_S, Desk, a_fail
from worker.domain.job import Lease
from worker.domain.outcome import DeliveryRetry, Sent
from worker.domain.send_window import ALWAYS_OPEN, ClosedTimes
from worker.domain.states import Channel, DeliveryState, Lane

DAY_MS = 86_400_000
RETRY = DeliveryRetry(fail=a_fail("greylisted"), delay_s=20, max_failures=1000)


class WindowMachine(RuleBasedStateMachine):
    """Any order of messages, workers and settings."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = fakeredis.FakeAsyncRedis()
        self.desk: Desk = self.runner.run(Desk.open(self.client))
        self.deliveries = self.desk.ledger.deliveries
        self.lanes: dict[str, Lane] = {}
        self.claimed: list[Lease] = []
        self.times = ALWAYS_OPEN

    def teardown(self) -> None:
        self.all_goes_out_in_the_end()
        self.runner.run(self.client.aclose())
        self.runner.close()

    def run(self, deed: Awaitable[Any]) -> Any:
        """Do it."""
        return self.runner.run(_coroutine(deed))

    def is_closed_for(self, delivery_id: str) -> bool:
        """Tell by the plainest reading whether a message may not go out now."""
        now = self.desk.now_ms
        is_closed = any(begin <= now < end for begin, end in self.times.spans)
        return is_closed and not (self.times.is_live_exempt and self.lanes[delivery_id] is Lane.LIVE)

    @rule(lane=st.sampled_from(Lane))
    def link(self, lane: Lane) -> None:
        """A customer's link is made: a message is to go out."""
        self.lanes[self.run(self.desk.a_delivery(lane=lane))] = lane

    @rule(seconds=st.sampled_from([1, 20, 45, 61, 600]))
    def time_passes(self, seconds: int) -> None:
        """The clock goes on."""
        self.desk.advance(seconds)

    @rule(
        begins_s=st.sampled_from([-100, 0, 10, 50]),
        lasts_s=st.sampled_from([30, 120, 1000]),
        is_live_exempt=st.booleans(),
    )
    def the_window_is_changed(self, begins_s: int, lasts_s: int, *, is_live_exempt: bool) -> None:
        """Workers are started anew with another setting."""
        now = self.desk.now_ms
        begin = now + begins_s * 1000
        self.times = ClosedTimes(
            spans=((begin, begin + lasts_s * 1000), (begin + 5_000_000, begin + 6_000_000)),
            known_from_ms=now - DAY_MS,
            known_until_ms=now + DAY_MS,
            is_live_exempt=is_live_exempt,
        )

    @rule()
    def the_window_is_switched_off(self) -> None:
        """Back to always."""
        self.times = ALWAYS_OPEN

    @rule()
    def the_duty_looks(self) -> None:
        """What waits is judged anew; then each waits for the present opening, or not at all."""
        while self.run(self.desk.ledger.window.judge(Channel.EMAIL, self.times, limit=2)):
            pass
        now = self.desk.now_ms
        ends = {end for begin, end in self.times.spans if begin <= now < end}
        for delivery_id in self.lanes:
            record = self.run(self.deliveries.get(delivery_id))
            if record.waits_for is not None:
                assert self.is_closed_for(delivery_id)
                assert {record.due_at_ms} == ends

    @rule(want=st.integers(1, 4))
    def bells_ring(self, want: int) -> None:
        """Messages are claimed; none that may not go out."""
        for delivery_id in self.run(self.deliveries.due(Channel.EMAIL, want=want, closed=self.times)):
            assert not self.is_closed_for(delivery_id)
            claimed = self.run(
                self.deliveries.claim(delivery_id, worker_id="w", lease_s=LEASE_S, closed=self.times)
            )
            assert claimed is not None
            self.claimed.append(claimed.lease)

    @rule(outcome=st.sampled_from([Sent(), RETRY]))
    def a_send_goes_on(self, outcome: Sent | DeliveryRetry) -> None:
        """What was claimed begins, if it may, and comes to its end."""
        if not self.claimed:
            return
        lease = self.claimed.pop(0)
        has_begun = self.run(self.deliveries.begin_send(lease, closed=self.times))
        if has_begun:
            assert not self.is_closed_for(lease.subject_id), "nothing goes out while it is closed"
            assert self.run(self.deliveries.settle(lease, outcome, can_resend=True))

    @rule()
    def leases_run_out(self) -> None:
        """A worker has died."""
        self.run(self.deliveries.rescue())

    @invariant()
    def the_books_are_right(self) -> None:
        """Every message stands where its index says, and waits if it is listed as waiting."""
        self.run(self.desk.balance())
        counts = self.run(self.deliveries.counts())
        assert sum(counts.values()) == len(self.lanes)

    def all_goes_out_in_the_end(self) -> None:
        """Nothing is lost: once the window is open and the workers live, each message is sent."""
        self.times = ALWAYS_OPEN
        self.claimed.clear()
        for _ in range(len(self.lanes) + 5):
            self.desk.advance(LEASE_S + 100)
            self.leases_run_out()
            self.the_duty_looks()
            self.bells_ring(4)
            while self.claimed:
                self.a_send_goes_on(Sent())
        counts = self.run(self.deliveries.counts())
        ended = counts[DeliveryState.SENT] + counts[DeliveryState.FAILED]
        assert ended == len(self.lanes)


async def _coroutine(deed: Awaitable[Any]) -> Any:
    return await deed


TestWindowMachine = WindowMachine.TestCase
TestWindowMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
