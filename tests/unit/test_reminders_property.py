"""Whatever happens in whatever order: never more than two reminders, none of what has ended, none too close together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import fakeredis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.ledger_desk import LINKED, Desk, a_fail, own_fail
from tests.factories import a_request
from worker.domain.outcome import DeliveryOutcome, DeliveryRetry, Refused, Sent, Undelivered
from worker.domain.request import Product
from worker.domain.states import Channel, ChannelPolicy, DeliveryState
from worker.ledger.reminding import REMINDER

HOUR_S = 3_600.0
SCHEDULES = ((48 * HOUR_S, 120 * HOUR_S), (24 * HOUR_S,), (HOUR_S, 2 * HOUR_S), ())
ENDS: list[DeliveryOutcome] = [
    Sent(provider_id="1"),
    Undelivered(fail=a_fail("mailbox_unknown", reason_class="recipient")),
]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1, 5, 23, 47, 120])),
        st.tuples(st.just("remind"), st.just(0)),
        st.tuples(st.just("send"), st.sampled_from([0, 0, 0, 1])),
        st.tuples(st.just("put_off"), st.sampled_from([1, 30])),
        st.tuples(st.just("resend"), st.integers(0, 5)),
        st.tuples(st.just("finish"), st.integers(0, 1)),
        st.tuples(st.just("requeue"), st.integers(0, 1)),
        st.tuples(st.just("pause"), st.integers(0, 1)),
        st.tuples(st.just("resume"), st.integers(0, 1)),
        st.tuples(st.just("schedule"), st.integers(0, len(SCHEDULES) - 1)),
    ),
    max_size=40,
)
CHANNELS = (Channel.EMAIL, Channel.SMS)


@dataclass
class Life:
    """One customer with two links, and all that may happen to them."""

    desk: Desk
    jobs: tuple[str, str]
    after_s: tuple[float, ...]
    finished: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)  #: messages that an operator sent again
    went_out: list[tuple[int, str]] = field(default_factory=list)  #: reminders: when, which

    async def do(self, step: str, number: int) -> None:
        """Let one thing happen."""
        ledger, channel = self.desk.ledger, f"channel:{CHANNELS[number % 2]}"
        match step:
            case "wait":
                self.desk.advance(number * HOUR_S)
            case "remind":
                await self.remind()
            case "send":
                await self.send(ENDS[number])
            case "put_off":
                fail = a_fail("greylisted")
                await self.send(DeliveryRetry(fail=fail, delay_s=number * HOUR_S, max_failures=9))
            case "pause":
                await ledger.batches.pause(channel, by="cli:noa", why="")
            case "resume":
                await ledger.batches.resume(channel, with_holds=True, by="cli:noa", why="")
            case "schedule":
                self.after_s = SCHEDULES[number]
            case _:
                await self.act(step, number)

    async def act(self, step: str, number: int) -> None:
        """Let an operator or the customer do something."""
        ledger, job = self.desk.ledger, self.jobs[number % 2]
        if step == "finish":
            if await ledger.completing.complete(job, how="webhook"):
                self.finished.add(job)
        elif step == "requeue":
            if (await self.desk.requeue(job)).done:
                await self.desk.end(job, LINKED)
        elif every := await ledger.deliveries.of_invitation(job[:-1]):
            chosen = every[number % len(every)].id
            if (await ledger.deliveries.resend(chosen, by="cli:noa", why="")).done:
                self.asked.add(chosen)

    async def remind(self) -> None:
        for number, after_s in enumerate(self.after_s, start=1):
            await self.desk.ledger.reminding.remind(number, after_s=after_s)

    async def send(self, outcome: DeliveryOutcome) -> None:
        """Send what can be sent, and let it end so."""
        ledger = self.desk.ledger
        for each in await ledger.deliveries.of_invitation(self.jobs[0][:-1]):
            if each.state is not DeliveryState.PENDING:
                continue
            claimed = await ledger.deliveries.claim(each.id, worker_id="w1", lease_s=60.0)
            if claimed is None:
                continue
            assert not {link.job_id for link in claimed.links} & self.finished
            assert await ledger.deliveries.begin_send(claimed.lease)
            await ledger.deliveries.settle(claimed.lease, outcome, can_resend=False)
            if claimed.template == REMINDER and isinstance(outcome, Sent):
                self.went_out.append((self.desk.now_ms, each.id))

    async def check(self) -> None:
        """Check what must hold whatever happened."""
        every = await self.desk.ledger.deliveries.of_invitation(self.jobs[0][:-1])
        made = [each for each in every if each.template == REMINDER]
        assert {each.generation for each in made} <= {1, 2}
        assert len({(each.channel, each.generation) for each in made}) == len(made)
        unasked = [each for _, each in self.went_out if each not in self.asked]
        for channel in CHANNELS:
            assert sum(f".{channel}." in each for each in unasked) <= 2
        await self.desk.balance()


async def live(steps: list[tuple[str, int]], policy: ChannelPolicy) -> None:
    client = fakeredis.FakeAsyncRedis()
    desk = await Desk.open(client)
    life = Life(desk, ("", ""), SCHEDULES[0])
    await life.remind()
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    first, second = (await desk.accept(request=request, channels=CHANNELS, channel_policy=policy)).job_ids
    life.jobs = (first, second)
    await desk.end(second, Refused(fail=own_fail()))
    await desk.end(first, LINKED)
    for step, number in steps:
        await life.do(step, number)
        await life.check()
    await client.aclose()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, policy=st.sampled_from(list(ChannelPolicy)))
def test_never_more_than_two_and_none_of_what_has_ended(
    steps: list[tuple[str, int]], policy: ChannelPolicy
) -> None:
    """Two links, two channels, pauses, resends, other schedules, and time in any order."""
    asyncio.run(live(steps, policy))
