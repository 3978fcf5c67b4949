"""What the slot sequence promises under any mix of askers, checked on simulated time."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from itertools import count

import fakeredis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.limits_time import SECOND, SimulatedTime
from worker.domain.states import Lane
from worker.limits import Closed, Granted, Limits

LASTS_US = 8 * SECOND


@dataclass
class Asker:
    """One process's asker for a lane: it asks again some time after each grant, late as loops are."""

    lane: Lane
    every_us: int  #: between a grant and the next question; 0 is a flood
    late_us: int  #: how late it wakes
    gives_back: int  #: each so-manieth slot is given back; 0: none
    taken: int = 0


@dataclass
class Course:
    """What happened in one run."""

    slots: list[tuple[int, Lane]] = field(default_factory=list)  #: used ones
    live_waits_us: list[int] = field(default_factory=list)  #: asked → slot, of live


async def run(askers: list[Asker], rate: float, pushbacks: list[tuple[int, float]]) -> Course:
    """Let the askers ask for a while, in the order of their times."""
    time = SimulatedTime()
    start_us = time.us
    redis = fakeredis.FakeAsyncRedis()
    limits = Limits(redis, namespace="p", ceiling=rate, timing=time.timing)
    course = Course()
    order = count()  # events of the same instant go first come, first served
    agenda: list[tuple[int, int, int, object]] = []

    def plan(at_us: int, i: int, what: object = None) -> None:
        heapq.heappush(agenda, (at_us, next(order), i, what))

    for i in range(len(askers)):
        plan(start_us, i)
    for at_us, pause_s in pushbacks:
        plan(start_us + at_us, -1, pause_s)
    began: dict[int, int] = {}
    while agenda and agenda[0][0] < start_us + LASTS_US:
        time.us, _, i, what = heapq.heappop(agenda)
        if isinstance(what, float):
            await limits.pushback(what)
            continue
        if isinstance(what, Granted):
            await limits.give_back(what)
            continue
        asker = askers[i]
        began.setdefault(i, time.us)
        answer = await limits.take(asker.lane)
        if not isinstance(answer, Granted):
            # As `acquire` does: a millisecond more than told, at most a second; a closed gate is asked later.
            nap_s = 1.0 if isinstance(answer, Closed) else min(max(answer.for_s, 0.0) + 0.001, 1.0)
            plan(time.us + round(nap_s * SECOND) + asker.late_us, i)
            continue
        asker.taken += 1
        if asker.gives_back and asker.taken % asker.gives_back == 0:
            # A lost claim shows at the slot or a moment after asking: by then others may have taken later ones.
            plan(max(answer.slot_us, time.us + 2000), i, answer)
        else:
            course.slots.append((answer.slot_us, asker.lane))
            if asker.lane is Lane.LIVE:
                course.live_waits_us.append(answer.slot_us - began[i])
        del began[i]
        # A flood's process asks on at once (a millisecond for the trip); others work first.
        plan(time.us + max(1000, asker.every_us), i)
    await redis.aclose()
    return course


def most_beyond(slots: list[int], interval_us: int) -> int:
    """Return the most calls that any window holds beyond what it may: W / T, rounded down, and one."""
    slots = sorted(slots)
    worst = 0
    for i in range(len(slots)):
        for j in range(i, min(len(slots), i + 60)):
            worst = max(worst, (j - i + 1) - 1 - (slots[j] - slots[i]) // interval_us)
    return worst


RATES = st.sampled_from([2.0, 5.0, 20.0, 25.0, 100.0])
ASKERS = st.builds(
    Asker,
    lane=st.sampled_from(Lane),
    every_us=st.sampled_from([0, 0, 50_000, 700_000]),
    late_us=st.integers(0, 2000),
    gives_back=st.sampled_from([0, 0, 2, 5]),
)
PUSHBACKS = st.lists(
    st.tuples(st.integers(0, LASTS_US), st.sampled_from([0.0, 0.3, 2.0])),
    max_size=3,
    unique_by=lambda p: p[0],
)
# Not shrunk: a run takes half a second, and shrinking a failure would take minutes.
FEW = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@FEW
@given(askers=st.lists(ASKERS, min_size=1, max_size=5), rate=RATES, pushbacks=PUSHBACKS)
def test_no_window_holds_more_calls_than_the_rate_allows(askers, rate, pushbacks):
    """Promise 8, for the fleet as a whole: in any window W at most 1 + W / T slots."""
    course = asyncio.run(run(askers, rate, pushbacks))

    assert most_beyond([slot for slot, _ in course.slots], round(SECOND / (0.995 * rate))) == 0


@FEW
@given(flooders=st.integers(1, 4), late_us=st.integers(0, 2000), rate=st.sampled_from([5.0, 20.0, 25.0]))
def test_bulk_gets_its_tenth_under_a_flood_of_live(flooders, late_us, rate):
    """A stream of live jobs that never ends does not stop a backfill; what bulk leaves is all live's."""
    flood = [Asker(Lane.LIVE, 0, late_us, 0) for _ in range(flooders)]

    course = asyncio.run(run([*flood, Asker(Lane.BULK, 0, late_us, 0)], rate, []))

    bulk = sum(lane is Lane.BULK for _, lane in course.slots)
    assert bulk >= 0.1 * 0.995 * rate * LASTS_US / SECOND - 1
    assert bulk <= 0.1 * 0.995 * rate * LASTS_US / SECOND + 2
    assert len(course.slots) >= 0.99 * 0.995 * rate * LASTS_US / SECOND


@FEW
@given(
    floods=st.integers(1, 4),
    late_us=st.integers(0, 2000),
    every_us=st.integers(300_000, 900_000),
    rate=st.sampled_from([5.0, 20.0, 25.0, 50.0]),
)
def test_live_waits_two_slots_at_most_under_a_flood_of_bulk(floods, late_us, every_us, rate):
    """A live job finds a short queue whatever a backfill asks for; and the budget is used all the same."""
    bulk = [Asker(Lane.BULK, 0, late_us, 0) for _ in range(floods)]

    course = asyncio.run(run([*bulk, Asker(Lane.LIVE, every_us, late_us, 0)], rate, []))

    assert max(course.live_waits_us) <= 2 * SECOND / (0.995 * rate) + 1
    assert len(course.slots) >= 0.99 * 0.995 * rate * LASTS_US / SECOND - 1
