"""The whole at a glance: what is wrong, since when, for how many customers, and when it will be made up for."""

from __future__ import annotations

import json

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, a_fail, own_fail, retry
from tests.contract.looking_desk import DAY_S, LookingDesk
from tests.factories import a_request
from worker.domain.outcome import Refused
from worker.domain.request import Product
from worker.domain.states import JobState, Lane
from worker.ops.holds import Holds

pytestmark = pytest.mark.redis


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


async def break_the_partner(desk: LookingDesk) -> None:
    for _ in range(20):
        await desk.limits.note(ok=False, elapsed_s=0.1)


async def a_held_batch(desk: LookingDesk, *, rows: int) -> list[str]:
    """Let the first five of a batch fail for a reason nobody knows; return them."""
    await desk.ledger.batches.open("b", name="november.csv", source="csv", by="dana", total=rows)
    await desk.accept_batch("b", rows)
    failed = await desk.ledger.feed(Lane.BULK, want=5)
    for job in failed:
        await desk.end(job, Refused(fail=a_fail("unknown_17")))
    return failed


async def test_an_idle_ferry_has_no_troubles(desk: LookingDesk) -> None:
    """Nothing is wrong, and every part of the picture is there all the same."""
    seen = await desk.overview()

    assert (seen["outage"], seen["troubles"], seen["holds"], seen["pauses"]) == (None, [], [], [])
    assert seen["environment"] == "sandbox"
    assert seen["status"]["workers"] == 1
    assert [len(seen[span]["lines"]["linked"]) for span in ("hour", "day")] == [60, 96]
    assert seen["expiring"]["dead"] == 0
    assert json.dumps(seen)


async def test_an_outage_tells_since_when_for_whom_and_until_when(desk: LookingDesk) -> None:
    """The breaker is open: customers that wait, and how long the budget needs for them once it is over."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    for _ in range(199):
        await desk.accept(request=a_request(products=products))
    began = desk.now_ms
    await break_the_partner(desk)
    desk.advance(10)

    outage = (await desk.overview())["outage"]

    assert outage["kind"] == "breaker_open"
    assert outage["since"] == "2026-09-21T14:13:20.000Z"
    assert began == 1_790_000_000_000
    assert (outage["customers"], outage["jobs"], outage["is_customers_exact"]) == (199, 398, False)
    assert outage["catch_up_s"] == pytest.approx(398 / 9.95, abs=0.1)
    assert outage["expected"]["text"] == (
        "About 199 customers wait; once it is over, they are served within about 40 s."
    )
    assert outage["until"] > outage["since"]
    assert "The partner keeps failing" in outage["text"]


async def test_jobs_in_doubt_wait_for_the_end_of_an_outage_as_well(desk: LookingDesk) -> None:
    """Their look-up is a call; a customer is counted once. What holds a lane keeps nobody from being looked up."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    await desk.job_in(JobState.IN_DOUBT, request=a_request(products=products))
    await desk.job_in(JobState.IN_DOUBT)
    await break_the_partner(desk)

    outage = (await desk.overview())["outage"]

    assert (outage["customers"], outage["jobs"], outage["is_customers_exact"]) == (2, 3, True)
    assert (await desk.ledger.survey.affected(Lane.LIVE)).jobs == 1


async def test_what_stops_the_calls_tells_until_when(desk: LookingDesk) -> None:
    """As the overview does; every hold has the same shape, also one that only a person ends."""
    await desk.ledger.batches.hold("bulk", "unknown_17")
    await break_the_partner(desk)
    holds = Holds(desk.ledger, desk.limits, desk.catalogue)

    calls, bulk = await holds.all()

    assert calls["until"] == (await desk.overview())["breaker"]["until"] is not None
    assert bulk["until"] is None
    assert calls.keys() == bulk.keys()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("no_worker", "linkferry up"),
        ("credentials_missing", "LINKFERRY_PROVIDER_CLIENT_ID"),
        ("credentials_held", "linkferry resume"),
        ("calls_paused", "linkferry resume"),
        ("calls_paused_until", "by themselves"),
        ("partner_throttled", "LINKFERRY_PROVIDER_RATE"),
        ("queue_full", "LINKFERRY_MAX_WAITING"),
        ("lane_held", "linkferry resume --lane bulk"),
        ("batch_held", "linkferry batch resume b"),
    ],
)
async def test_each_trouble_says_what_to_do(desk: LookingDesk, kind: str, says: str) -> None:
    """One customer waits, and the remedy names the command or setting."""
    [job] = await desk.accept_batch("b", 1)
    assert job
    match kind:
        case "no_worker":
            await desk.ledger.fleet.leave("w1")
        case "credentials_missing":
            desk.has_credentials = False
        case "credentials_held":
            await desk.limits.hold_credentials("old", 2)
        case "calls_paused":
            await desk.limits.pause()
        case "calls_paused_until":
            await desk.limits.pause(600)
        case "partner_throttled":
            await desk.limits.pushback(60)
        case "queue_full":
            await desk.accept_batch("c", 1_000)
        case _:
            await desk.ledger.batches.hold("bulk" if kind == "lane_held" else "batch:b", "unknown_17")

    outage = (await desk.overview())["outage"]

    assert outage["kind"] == kind
    assert says in outage["remedy"]["text"]
    assert outage["customers"] >= 1


async def test_a_pause_is_no_outage_but_is_told_with_who_made_it(desk: LookingDesk) -> None:
    """An operator knows what he paused; everybody sees since when and by whom."""
    await desk.accept_batch("b", 3)
    await desk.ledger.batches.pause("bulk")
    await desk.ledger.trail.record("pause", by="cli:dana", subject="bulk")

    seen = await desk.overview()

    assert seen["outage"] is None
    [pause] = seen["pauses"]
    assert (pause["target"], pause["lane"], pause["by"], pause["count"]) == ("bulk", "bulk", "cli:dana", 3)
    assert pause["since"] is not None
    assert [trouble["kind"] for trouble in seen["troubles"]] == ["lane_paused"]


async def test_a_paused_channel_counts_its_messages(desk: LookingDesk) -> None:
    """Links are made meanwhile, and so no customer waits for one."""
    await desk.a_delivery()
    await desk.ledger.batches.pause("channel:email", by="cli:dana")

    seen = await desk.overview()

    [pause] = seen["pauses"]
    assert (pause["target"], pause["channel"], pause["count"], pause["by"]) == (
        "channel:email",
        "email",
        1,
        "cli:dana",
    )
    assert seen["outage"] is None
    assert seen["troubles"][0]["expected"]["text"].startswith("1 message waits")


async def test_a_paused_channel_behind_which_nothing_waits_says_so(desk: LookingDesk) -> None:
    """Not that 0 messages will go out by themselves."""
    await desk.ledger.batches.pause("channel:email", by="cli:dana")

    [trouble] = (await desk.overview())["troubles"]

    assert trouble["expected"]["text"] == "No message waits because of it."


async def test_a_lane_paused_as_one_of_all_says_by_whom(desk: LookingDesk) -> None:
    """`linkferry pause` names none."""
    await desk.ledger.batches.pause("all", by="cli:dana", why="maintenance")

    pauses = (await desk.overview())["pauses"]

    assert [(pause["target"], pause["by"]) for pause in pauses] == [
        ("bulk", "cli:dana"),
        ("live", "cli:dana"),
    ]


async def test_a_hold_tells_why_and_how_many_wait_behind_it(desk: LookingDesk) -> None:
    """With the batch's name, as people know it."""
    await a_held_batch(desk, rows=8)

    [hold] = (await desk.overview())["holds"]

    assert (hold["batch"], hold["name"], hold["reason"], hold["count"]) == (
        "b",
        "november.csv",
        "unknown_17",
        3,
    )
    assert "Batch november.csv is held" in hold["text"]
    assert hold["since"] is not None


async def test_a_hold_that_is_being_looked_up_asks_for_nothing_yet(desk: LookingDesk) -> None:
    """Not for a lesson, which the reason's own remedy asks for: the look-up may clear it by itself."""
    jobs = await a_held_batch(desk, rows=8)
    [looking] = (await desk.overview())["troubles"]
    await desk.ledger.explain(jobs[0], own_fail("number_not_registered"))
    await desk.ledger.explain(jobs[1], a_fail("unknown_17"))
    [partly] = (await desk.overview())["troubles"]

    assert "partner's lists are being looked at" in looking["remedy"]["text"]
    assert "teach" not in looking["remedy"]["text"]
    assert "Explained by now: number_not_registered (1). 4 failures are left" in partly["remedy"]["text"]
    assert "linkferry batch resume b" in partly["remedy"]["text"]


async def test_a_held_batch_with_nothing_behind_it_is_a_fact_and_no_trouble(desk: LookingDesk) -> None:
    """As the alerts have it; it is listed all the same, as it is among the holds and batches."""
    await a_held_batch(desk, rows=5)

    seen = await desk.overview()

    assert seen["troubles"] == []
    assert [(hold["batch"], hold["count"]) for hold in seen["holds"]] == [("b", 0)]


async def test_rate_and_charts_follow_the_work(desk: LookingDesk) -> None:
    """Calls of the last minute beside the budget's; links and failures in the hour."""
    for outcome in (LINKED, LINKED, Refused(fail=own_fail()), retry()):
        await desk.end((await desk.accept()).job_ids[0], outcome)

    seen = await desk.overview()

    assert (seen["rate"]["calls_last_minute"], seen["rate"]["allowed_per_minute"]) == (4, 600.0)
    assert seen["rate"]["used"] == pytest.approx(4 / 600, abs=1e-4)
    assert {name: seen["hour"]["totals"][name] for name in ("accepted", "linked", "failed")} == {
        "accepted": 4,
        "linked": 2,
        "failed": 1,
    }
    desk.advance(61)
    assert (await desk.overview())["rate"]["calls_last_minute"] < 4


async def test_dead_letters_are_announced_a_day_before_they_go(desk: LookingDesk) -> None:
    """Never dropped silently."""
    await desk.job_in(JobState.DEAD)
    desk.advance(88.5 * DAY_S)
    assert (await desk.overview())["expiring"]["dead"] == 0
    desk.advance(0.6 * DAY_S)

    expiring = (await desk.overview())["expiring"]

    assert expiring["dead"] == 1
    assert expiring["said"]["text"].startswith("1 dead letter is deleted within a day")


async def test_workers_show_their_age_and_their_jobs(desk: LookingDesk) -> None:
    """Whoever looks sees a worker that has gone quiet."""
    desk.advance(30)

    [worker] = (await desk.overview())["workers"]

    assert worker == {
        "id": "w1",
        "host": "ferry",
        "pid": 7,
        "version": None,
        "beat_age_s": 30.0,
        "running": 2,
        "loop_lag_s": 0.001,
    }


async def test_nothing_personal_is_in_the_overview(desk: LookingDesk) -> None:
    """It is shown on walls."""
    receipt = await desk.accept(request=a_request(whatsapp="972501234567"))
    await desk.end(receipt.job_ids[0], LINKED)

    text = json.dumps(await desk.overview())

    assert "972501234567" not in text
    assert "dana@example.com" not in text
    assert "partner.example/onboarding" not in text
