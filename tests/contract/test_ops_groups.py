"""The failed queue by reason: trends, those that failed again, what came back."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.ledger_desk import a_fail, own_fail
from tests.contract.looking_desk import LookingDesk
from worker.domain.outcome import Fail, Refused, Undelivered
from worker.domain.states import Channel
from worker.ops.groups import group, groups, trend

pytestmark = pytest.mark.redis


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


async def fail_job(desk: LookingDesk, fail: Fail) -> str:
    job = (await desk.accept()).job_ids[0]
    await desk.end(job, Refused(fail=fail))
    return job


async def test_a_group_tells_how_its_failures_go(desk: LookingDesk) -> None:
    """Hour by hour, with the first and the last, the partner's code, and the reason's meaning and remedy."""
    await fail_job(desk, own_fail("number_invalid"))
    desk.advance(2 * 3600)
    for _ in range(2):
        await fail_job(desk, own_fail("number_invalid"))

    found = (await desk.groups())["number_invalid"]

    assert found["trend"]["hours"][-3:] == [1, 0, 2]
    assert len(found["trend"]["hours"]) == 24
    assert (found["count"], found["code"], found["stage"]) == (3, 9, "link")
    assert found["first_at"] < found["last_at"]
    assert found["meaning"] == desk.catalogue.named("number_invalid").meaning
    assert found["remedy"]
    assert not found["is_unknown"]


async def test_an_unknown_code_is_one_to_be_taught(desk: LookingDesk) -> None:
    """The page offers to describe it."""
    await fail_job(desk, a_fail("unknown_17"))

    assert (await desk.groups())["unknown_17"]["is_unknown"]


async def test_those_that_failed_again_are_told(desk: LookingDesk) -> None:
    """A requeue that helped nobody."""
    job = await fail_job(desk, own_fail("number_invalid"))
    await desk.requeue(job)
    await desk.end(job, Refused(fail=own_fail("number_invalid")))

    assert (await desk.groups())["number_invalid"]["failed_again"] == {"count": 1, "is_at_least": False}


async def test_failed_messages_are_groups_of_their_own(desk: LookingDesk) -> None:
    """With their own trend."""
    lease = await desk.send(await desk.a_delivery(channels=(Channel.SMS,)))
    fail = Fail(reason="address_refused", reason_class="recipient", detail="550 no dana@example.com here")
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=fail), can_resend=False)

    found = await group(desk.scene, "address_refused", stage="delivery")

    assert found is not None
    assert (found["stage"], found["count"], found["trend"]["hours"][-1]) == ("delivery", 1, 1)
    assert "dana@example.com" not in str(found["samples"])
    assert found["samples"][0]["detail"].startswith("550 no d***@example.com")
    assert await group(desk.scene, "address_refused") is None


async def test_a_groups_page_shows_what_came_back_masked(desk: LookingDesk) -> None:
    """The newest answers, which the list leaves out."""
    raw = '{"status":"FAIL","reason":17,"number":"972501234567"}'
    for _ in range(7):
        desk.advance(1)
        await fail_job(desk, a_fail("unknown_17", raw=raw, is_own_data=True))

    found = await group(desk.scene, "unknown_17")

    assert found is not None
    assert len(found["samples"]) == 5
    assert found["samples"][0]["at"] > found["samples"][-1]["at"]
    assert "972501234567" not in str(found["samples"])
    assert (await desk.groups())["unknown_17"]["samples"] == []
    assert await group(desk.scene, "never_seen") is None


async def test_the_list_counts_all_that_failed(desk: LookingDesk) -> None:
    """Groups, and things in them."""
    for reason in ("number_invalid", "number_invalid", "unknown_17"):
        await fail_job(desk, a_fail(reason))

    found = await groups(desk.scene)

    assert (found["total"], found["count"]) == (2, 3)
    assert [item["reason"] for item in found["items"]] == ["number_invalid", "unknown_17"]


@pytest.mark.parametrize(
    ("hours", "is_new", "word"),
    [
        ([0] * 24, False, "quiet"),
        ([1] * 24, False, "steady"),
        ([2] * 21 + [10, 10, 10], False, "up"),
        ([10] * 21 + [2, 2, 2], False, "down"),
        ([0] * 21 + [1, 1, 1], False, "steady"),
        ([0] * 23 + [9], True, "new"),
        ([1] * 24, True, "steady"),
        ([0] * 23 + [9], False, "up"),
        ([4] * 21 + [0, 0, 0], False, "down"),
        ([1] * 21 + [0, 0, 0], False, "steady"),
    ],
)
def test_a_trend_is_a_word(hours: list[int], is_new: bool, word: str) -> None:
    """The last three hours beside what three hours usually bring; a few failures are no trend."""
    found = trend(hours, is_new=is_new)

    assert found["word"] == word
    assert found["said"]["code"] == f"trend_{word}"
    assert found["said"]["text"]


async def test_a_trend_is_right_a_minute_past_the_hour(desk: LookingDesk) -> None:
    """What was counted by whole hours counts for as much of the last three, and of the last day, as lies in them."""
    desk.advance(3600 - desk.now_ms / 1000 % 3600 - 60)
    for _ in range(6):
        await fail_job(desk, own_fail("number_invalid"))
    desk.advance(2 * 3600 + 120)

    found = (await desk.groups())["number_invalid"]["trend"]
    assert (found["hours"][-4:], found["word"]) == ([6, 0, 0, 0], "new")
    desk.advance(3600)
    assert "0 in the last 3 hours" in (await desk.groups())["number_invalid"]["trend"]["said"]["text"]


async def test_an_hour_that_has_just_begun_is_not_all_of_the_last_one(desk: LookingDesk) -> None:
    """The figure that is read aloud is that of sixty minutes."""
    desk.advance(3600 - desk.now_ms / 1000 % 3600 - 1)
    for _ in range(6):
        await fail_job(desk, own_fail("number_invalid"))
    desk.advance(2)

    found = (await desk.groups())["number_invalid"]["trend"]

    assert (found["hours"][-2:], found["last_hour"]) == ([6, 0], 6)


def test_what_is_older_than_a_day_is_not_in_it() -> None:
    """But for the part of its hour that is younger."""
    assert trend([0] * 24, is_new=False, earlier=3, lacking=0.9)["word"] == "steady"
    assert trend([0] * 24, is_new=False, earlier=3, lacking=0.0)["word"] == "quiet"
    assert trend([0] * 20 + [9, 0, 0, 0], is_new=False, lacking=1.0)["word"] == "up"
