"""What is watched: each group with its number, its meaning, what to do, and some of its jobs or numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis.asyncio

from tests.contract.looking_desk import DAY_S, LookingDesk
from tests.factories import a_request
from worker.domain.request import Contact
from worker.domain.states import JobState
from worker.ledger.completing import ExpiringNumber
from worker.ops.watching import span_word, watch

NUMBER = "972501234567"


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


async def groups(desk: LookingDesk, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the groups by kind."""
    return {each["kind"]: each for each in (await watch(desk.scene, **options))["items"]}


async def linked(desk: LookingDesk, number: str = NUMBER) -> str:
    """Return a job whose customer has a link."""
    request = a_request(whatsapp=number, business_name="Dana Flowers", contact=Contact(email="d@x.example"))
    return await desk.job_in(JobState.LINKED, request=request)


async def vanish(desk: LookingDesk, job: str) -> None:
    """Let the partner's lists hold the link no more."""
    for _ in range(2):
        desk.advance(120)
        await desk.ledger.completing.vanish(job, desk.now_ms)


async def test_nothing_is_watched_where_all_is_well(desk: LookingDesk) -> None:
    """A fresh link is nobody's business; that no list was read yet is said."""
    await linked(desk)

    found = await watch(desk.scene)

    assert (found["items"], found["listed_at"]) == ([], None)


async def test_a_link_gone_at_the_partner_is_to_be_made_anew(desk: LookingDesk) -> None:
    """With the commands that do it."""
    job = await linked(desk)
    await vanish(desk, job)

    group = (await groups(desk))["vanished"]

    assert (group["count"], [each["job_id"] for each in group["jobs"]]) == (1, [job])
    assert group["what"]["text"].startswith("1 link is gone at the partner")
    assert "linkferry failed requeue --reason link_vanished" in group["commands"]
    assert group["filter"] == {"state": "failed", "reason": "link_vanished"}


async def test_links_that_are_open_for_long_are_a_group(desk: LookingDesk) -> None:
    """From LINK_OPEN_S on, and not a day before."""
    old = await linked(desk)
    desk.advance(13 * DAY_S)
    await linked(desk, "972502223344")
    assert "open_long" not in await groups(desk)
    desk.advance(1.5 * DAY_S)

    group = (await groups(desk))["open_long"]

    assert (group["count"], [each["job_id"] for each in group["jobs"]]) == (1, [old])
    assert "14 days" in group["what"]["text"]
    assert group["commands"][0] == "linkferry job list --state linked --older-than 14d"


async def test_numbers_near_their_end_are_shown_the_first_to_end_first(desk: LookingDesk) -> None:
    """What has run out meanwhile is left out; ours are known by their job and name."""
    job = await linked(desk)
    at = desk.now_ms
    numbers = [
        ExpiringNumber(number="972503334455", expires_at_ms=at + 9 * 86_400_000),
        ExpiringNumber(number=NUMBER, expires_at_ms=at + 3 * 86_400_000 + 1, job_id=job, is_linked=True),
        ExpiringNumber(number="972504445566", expires_at_ms=at - 1),
    ]
    await desk.ledger.completing.note(registered_at_ms=at, numbers=numbers)

    group = (await groups(desk))["expiring"]

    assert group["count"] == 2
    first, second = group["numbers"]
    assert (first["number"], first["days_left"], first["job_id"], first["name"]) == (
        "9725******67",
        3,
        job,
        "Dana Flowers",
    )
    assert (second["days_left"], second["job_id"], second["name"]) == (9, None, None)


async def test_a_list_that_misses_too_much_is_said(desk: LookingDesk) -> None:
    """None of them is taken for gone, and somebody has to ask the partner."""
    await desk.ledger.completing.note(missing=40, suspicious_since_ms=desk.now_ms)

    group = (await groups(desk))["missing"]

    assert (group["count"], group["since"]) == (40, "2026-09-21T14:13:20.000Z")


async def test_numbers_are_masked_unless_revealed(desk: LookingDesk) -> None:
    """As everywhere."""
    await linked(desk)
    desk.advance(30 * DAY_S)
    await desk.ledger.completing.note(
        numbers=[ExpiringNumber(number=NUMBER, expires_at_ms=desk.now_ms + 86_400_000)]
    )

    assert NUMBER not in json.dumps(await groups(desk))
    assert json.dumps(await groups(desk, is_revealed=True)).count(NUMBER) == 2


@pytest.mark.parametrize(("seconds", "word"), [(14 * DAY_S, "14d"), (36 * 3600.0, "36h"), (90.0, "90s")])
def test_a_span_is_written_as_the_filters_take_it(seconds: float, word: str) -> None:
    """Whole, in the largest unit that it is a whole number of."""
    assert span_word(seconds) == word
