"""One job's page: its story in sentences, why it is where it is, what happens next and when."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LEASE_S, LINKED, Desk, own_fail, retry
from tests.contract.looking_desk import LookingDesk
from tests.factories import a_request, an_invitation
from worker.domain.outcome import Absent, Fail, FoundOurs, Linked, Refused, Sent, Snoozed, Undelivered
from worker.domain.request import Product
from worker.domain.states import Channel, JobState, Lane
from worker.ledger import RequestEdit
from worker.ops.job_page import job_page
from worker.ops.words import WORDS

pytestmark = pytest.mark.redis


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


def codes(page: dict[str, Any]) -> list[str]:
    """Return what the timeline tells, as codes."""
    return [entry["code"] for entry in page["timeline"]]


def texts(page: dict[str, Any]) -> list[str]:
    """Return what the timeline tells."""
    return [entry["text"] for entry in page["timeline"]]


async def attempt(desk: Desk, job: str, outcome: Any, *, call_s: float = 0.4) -> None:
    """Make one attempt whose call takes so long."""
    lease = await desk.call(job)
    desk.advance(call_s)
    await desk.ledger.settle(lease, outcome)


# --- the story -------------------------------------------------------------------------------------------------


async def test_a_whole_life_is_told_in_order(desk: LookingDesk) -> None:
    """Put off, retried, failed, corrected, linked, sent: each with its length, its reason and its author."""
    job = (await desk.accept(source="api", request=a_request(business_name="Dana Flowers"))).job_ids[0]
    desk.advance(1)
    await attempt(desk, job, Snoozed(reason="breaker_open", delay_s=15.0))
    desk.advance(15)
    await desk.ledger.promote()
    await attempt(desk, job, retry(30.0))
    desk.advance(30)
    await desk.ledger.promote()
    fail = Fail(
        reason="name_invalid",
        reason_class="bad_data",
        code=5,
        raw='{"status":"FAIL","reason":5}',
        is_own_data=True,
    )
    await attempt(desk, job, Refused(fail=fail))
    desk.advance(60)
    before = await desk.ledger.queries.job(job)
    assert before is not None
    edited = a_request(business_name="Dana", whatsapp=before.request.whatsapp)
    edit = RequestEdit(
        base=before.request, request=edited, fingerprint="new", changes="[]", told="business_name: D… → D…"
    )
    await desk.ledger.edit(job, edit, by="user:noa", why="shorter name")
    desk.advance(1)
    await attempt(desk, job, LINKED)
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    lease = await desk.send(delivery.id)
    desk.advance(1)
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="1"), can_resend=True)

    page = await desk.page(job)

    assert codes(page) == [
        "accepted_source",
        "attempt_snoozed",
        "attempt_retry",
        "attempt_failed",
        "act_edited",
        "act_requeued_edited_why",
        "attempt_linked",
        "message_sent",
    ]
    assert texts(page)[0] == "Accepted from the API."
    assert texts(page)[2].startswith("Attempt 2 did not succeed (400 ms): No connection to the partner")
    assert texts(page)[5] == "Corrected and requeued by user:noa: shorter name"
    assert texts(page)[6] == "Attempt 4: the partner made the link in 400 ms."
    failed = page["timeline"][3]["detail"]
    assert (failed["attempt"], failed["call_s"], failed["duration_s"], failed["code"]) == (3, 0.4, 0.4, 5)
    assert failed["answered"] == '{"status":"FAIL","reason":5}'
    assert "asked" not in failed  # it was asked for something else then
    assert page["timeline"][6]["detail"]["asked"]["business_name"] == "Dana"
    assert [entry["tone"] for entry in page["timeline"]] == [
        "plain", "warn", "warn", "bad", "plain", "plain", "good", "good",
    ]  # fmt: skip
    assert page["why_here"] == "The link was made, and the customer was sent it by e-mail."
    assert page["next"]["code"] == "next_customer"


async def test_a_row_of_a_file_says_which(desk: LookingDesk) -> None:
    """Source, file and line, as the person who sent it knows them."""
    await desk.ledger.batches.open(
        "b", name="november.csv", source="csv", by="dana", total=1, path="/home/dana/november.csv"
    )
    [job] = await desk.accept_batch("b", 1, source="csv")

    page = await desk.page(job)

    assert texts(page)[0] == "Accepted from november.csv, line 2."
    assert (page["file"], page["batch_name"]) == ("november.csv", "november.csv")


async def test_a_line_far_down_a_file_is_told_as_it_is_looked_for(desk: LookingDesk) -> None:
    """A line's number counts nothing: it is not grouped."""
    await desk.ledger.batches.open(
        "b", name="november.csv", source="csv", by="dana", path="/srv/november.csv"
    )
    row = an_invitation(lane=Lane.BULK, batch_id="b", line=7719, source="csv")
    [receipt] = await desk.ledger.accept([row], max_waiting=9, durable=False)

    assert texts(await desk.page(receipt.job_ids[0]))[0] == "Accepted from november.csv, line 7719."


async def test_a_failed_message_is_not_said_to_be_tried_again(desk: LookingDesk) -> None:
    """Its tries are used up: an operator sends it again, when the cause is gone."""
    job = (await desk.accept()).job_ids[0]
    await desk.end(job, LINKED)
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    lease = await desk.send(delivery.id)
    fail = Fail(reason="mail_temporary", reason_class="transient")
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=fail), can_resend=True)

    page = await desk.page(job)
    group = (await desk.groups())["mail_temporary"]

    assert page["next"]["code"] == "next_remedy"
    assert page["deliveries"][0]["remedy"].endswith(f"send it again: linkferry resend {job}.")
    for text in (page["next"]["text"], page["deliveries"][0]["remedy"], group["remedy"]):
        assert "by itself" not in text


async def test_a_doubt_is_told_until_it_is_settled(desk: LookingDesk) -> None:
    """Lost, looked up without a find, looked up and found."""
    job = (await desk.accept()).job_ids[0]
    await attempt(desk, job, DOUBTFUL, call_s=15)
    doubtful = await desk.page(job)
    desk.advance(70)
    await desk.ledger.resolve(job, Absent(list_began_ms=desk.now_ms), grace_s=60)
    once = await desk.page(job)
    found = FoundOurs(linked=Linked(link="https://partner.example/onboarding/9"))
    await desk.ledger.resolve(job, found, grace_s=60)

    page = await desk.page(job)

    assert doubtful["why_here_said"]["code"] == "here_doubt"
    assert (doubtful["next"]["code"], doubtful["next"]["at"]) == (
        "next_lookup_at",
        "2026-09-21T14:14:35.000Z",
    )
    assert once["why_here_said"]["code"] == "here_doubt_absent"
    assert once["next"]["code"] == "next_lookup"
    assert codes(page)[1:] == ["attempt_in_doubt", "lookup_absent", "resolved_linked", "message_waits"]
    assert "after 15 s" in texts(page)[1]


async def test_a_look_up_that_does_not_come_is_not_said_to_come_within_seconds(desk: LookingDesk) -> None:
    """The partner's list cannot be read; once one was, the second is on its way."""
    job = (await desk.accept()).job_ids[0]
    await attempt(desk, job, DOUBTFUL)
    said = []
    for wait_s in (30.0, 40.0, 120.0):
        desk.advance(wait_s)
        said.append((await desk.page(job))["next"]["code"])
    await desk.ledger.resolve(job, Absent(list_began_ms=desk.now_ms), grace_s=60)

    assert said == ["next_lookup_at", "next_lookup", "next_lookup_late"]
    assert (await desk.page(job))["next"]["code"] == "next_lookup"


async def test_a_worker_that_went_away_is_told(desk: LookingDesk) -> None:
    """Before its call: back in line. In its call: nobody knows."""
    job, other = (await desk.accept()).job_ids[0], (await desk.accept()).job_ids[0]
    await desk.claim(job)
    await desk.call(other)
    desk.advance(LEASE_S + 1)
    waiting = await desk.page(job)
    await desk.ledger.rescue()

    assert waiting["why_here_said"]["code"] == "here_lease_over"
    assert codes(await desk.page(job))[-1] == "rescued_available"
    assert codes(await desk.page(other))[-1] == "rescued_in_doubt"


async def test_tries_used_up_are_told_as_such(desk: LookingDesk) -> None:
    """Not as one more retry."""
    job = (await desk.accept()).job_ids[0]
    await attempt(desk, job, retry(max_failures=1))

    page = await desk.page(job)

    assert codes(page)[-1] == "attempt_gave_up"
    assert page["timeline"][-1]["tone"] == "bad"


async def test_a_message_sent_again_shows_both(desk: LookingDesk) -> None:
    """That it had been sent, who asked, and where it stands now."""
    job = await desk.job_in(JobState.LINKED)
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    await desk.ledger.deliveries.settle(await desk.send(delivery.id), Sent(provider_id="1"), can_resend=True)
    desk.advance(60)
    await desk.readdress(delivery.id, "new@example.com", by="cli:dana", why="mistyped")
    desk.advance(1)
    fail = Fail(reason="address_refused", reason_class="recipient", detail="550 no such user new@example.com")
    await desk.ledger.deliveries.settle(await desk.send(delivery.id), Undelivered(fail=fail), can_resend=True)

    page = await desk.page(job)

    assert codes(page)[-3:] == ["message_sent_before", "act_readdressed_why", "message_failed"]
    assert "new@example.com" not in json.dumps(page["timeline"])
    assert page["why_here_said"]["code"] == "here_untold"


async def test_an_event_of_another_version_is_told_by_its_name(desk: LookingDesk) -> None:
    """Nothing that happened is left out."""
    job = (await desk.accept()).job_ids[0]
    key = f"{{test}}:h:{job}"
    await desk.redis.rpush(key, f"{desk.now_ms}\x1fferried\x1fby\x1fmoon")

    page = await desk.page(job)

    assert (codes(page)[-1], page["timeline"][-1]["text"]) == ("other_event", "ferried")


async def test_a_history_without_lengths_is_told_without_them(desk: LookingDesk) -> None:
    """An older version wrote none."""
    job = (await desk.accept()).job_ids[0]
    key = f"{{test}}:h:{job}"
    for event in ("linked", "failed", "retry", "in_doubt", "held", "dead"):
        await desk.redis.rpush(key, f"{desk.now_ms}\x1f{event}\x1fattempt\x1f1\x1freason\x1funknown_17")

    page = await desk.page(job)

    assert [code for code in codes(page) if code.endswith("_untimed")] == codes(page)[1:]


async def test_a_reveal_is_part_of_the_story(desk: LookingDesk) -> None:
    """Who saw the customer's details."""
    job = (await desk.accept()).job_ids[0]
    await desk.ledger.trail.record("reveal", by="user:noa", subject=job)

    assert texts(await desk.page(job))[-1] == "user:noa looked at the customer's details unmasked."


# --- why it is there, and what comes next ------------------------------------------------------------------------


async def test_a_waiting_job_says_its_place_and_when(desk: LookingDesk) -> None:
    """By the present rate, and only while nothing stops it."""
    jobs = await desk.accept_batch("b", 30)

    page = await desk.page(jobs[20])

    assert page["why_here"] == "It waits in the bulk lane; 20 jobs go before it."
    assert page["place"] == {"ahead": 20, "expected_s": pytest.approx(21 / 9.95, abs=0.1)}
    assert page["next"]["code"] == "next_call"
    assert page["next"]["at"] is not None
    assert (await desk.page(jobs[0]))["why_here_said"]["code"] == "here_first"


@pytest.mark.parametrize(
    ("stop", "kind"),
    [("bulk", "lane_paused"), ("batch:b", "batch_paused"), ("held", "batch_held"), ("calls", "calls_paused")],
)
async def test_what_keeps_it_waiting_is_named_with_its_remedy(
    desk: LookingDesk, stop: str, kind: str
) -> None:
    """Instead of a time that would not come true."""
    [job] = await desk.accept_batch("b", 1)
    if stop == "held":
        await desk.ledger.batches.hold("batch:b", "unknown_17")
    elif stop == "calls":
        await desk.limits.pause()
    else:
        await desk.ledger.batches.pause(stop)
    other = (await desk.accept()).job_ids[0]

    page = await desk.page(job)

    assert page["why_here_said"]["code"] == f"trouble_{kind}"
    assert page["next"]["code"] == f"remedy_{kind}"
    assert page["place"]["expected_s"] is None
    assert [stop["code"] for stop in page["stops"]] == [f"trouble_{kind}"]
    assert bool((await desk.page(other))["stops"]) == (stop == "calls")


async def test_a_job_for_later_says_until_when(desk: LookingDesk) -> None:
    """Because it was asked for, because a try failed, or because it was put off."""
    later = await desk.job_in(JobState.SCHEDULED)
    failed, put_off = (await desk.accept()).job_ids[0], (await desk.accept()).job_ids[0]
    await attempt(desk, failed, retry(30.0))
    await attempt(desk, put_off, Snoozed(reason="partner_throttled", delay_s=20.0))

    pages = [await desk.page(job) for job in (later, failed, put_off)]

    assert [page["why_here_said"]["code"] for page in pages] == ["here_later", "here_retry", "here_snoozed"]
    assert [page["next"]["code"] for page in pages] == ["next_due", "next_due_again", "next_due_again"]
    assert all(page["next"]["at"] == page["due_at"] for page in pages)
    desk.advance(100)
    assert (await desk.page(failed))["why_here_said"]["code"] == "here_due"


async def test_a_try_to_come_is_not_promised_while_something_stops_it(desk: LookingDesk) -> None:
    """It comes due, and then waits; what is over by then is in nobody's way."""
    job = (await desk.accept()).job_ids[0]
    await attempt(desk, job, retry(30.0))
    await desk.limits.pause(20.0)
    over_by_then = (await desk.page(job))["next"]
    await desk.limits.pause(600.0)
    until = (await desk.page(job))["next"]
    await desk.limits.resume()
    await desk.ledger.batches.pause("live")

    page = await desk.page(job)

    assert (over_by_then["code"], over_by_then["at"]) == ("next_due_again", page["due_at"])
    assert (until["code"], until["at"] > page["due_at"]) == ("next_due_stopped", True)
    assert (page["next"]["code"], page["next"]["at"]) == ("next_due_stopped", None)
    assert "linkferry resume --lane live" in page["next"]["text"]
    assert page["due_at"][11:19] in page["next"]["text"]


async def test_a_running_job_says_since_when_and_until_when(desk: LookingDesk) -> None:
    """Its lease's end is when somebody else looks."""
    job = (await desk.accept()).job_ids[0]
    claimed = await desk.claim(job)
    before = await desk.page(job)
    await desk.ledger.begin_call(claimed.lease)

    page = await desk.page(job)

    assert (before["why_here_said"]["code"], before["next"]["code"]) == ("here_claimed", "next_claimed")
    assert (page["why_here_said"]["code"], page["next"]["code"]) == ("here_calling", "next_answer")
    assert page["next"]["at"] == "2026-09-21T14:14:20.000Z"


async def test_a_link_that_was_not_told_says_why(desk: LookingDesk) -> None:
    """Nobody to tell; waiting for the invitation's other links; on its way."""
    nobody = (await desk.accept(channels=(), skips=((Channel.EMAIL, "no_contact"),))).job_ids[0]
    await desk.end(nobody, LINKED)
    first, _second = (
        await desk.accept(request=a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE)))
    ).job_ids
    await desk.end(first, LINKED)
    on_its_way = await desk.job_in(JobState.LINKED)
    silent = (await desk.accept(channels=())).job_ids[0]
    await desk.end(silent, LINKED)

    pages = [await desk.page(job) for job in (nobody, first, on_its_way, silent)]

    assert [page["why_here_said"]["code"] for page in pages] == [
        "here_untold", "here_waits_for_others", "here_telling", "here_nobody_to_tell",
    ]  # fmt: skip
    assert pages[1]["next"]["at"] == "2026-09-21T14:23:20.000Z"
    assert pages[2]["next"]["code"] == "next_message"


async def test_a_message_that_is_kept_from_going_out_says_by_what(desk: LookingDesk) -> None:
    """Its channel is paused, or nobody is there to send it; a paused lane is no matter any more."""
    job = await desk.job_in(JobState.LINKED)
    await desk.ledger.batches.pause("live")
    unhindered = await desk.page(job)
    await desk.ledger.batches.pause("channel:email")
    paused = await desk.page(job)

    assert unhindered["why_here_said"]["code"] == "here_telling"
    assert paused["why_here_said"]["code"] == "trouble_channel_paused"
    assert paused["next"]["text"] == "Go on with: linkferry resume --channel email"


async def test_an_edit_says_what_was_changed(desk: LookingDesk) -> None:
    """Before and after, masked."""
    job = (await desk.accept()).job_ids[0]
    told = "whatsapp: 972501234567 → 972507654321"
    key = f"{{test}}:h:{job}"
    await desk.redis.rpush(key, f"{desk.now_ms}\x1fedited\x1fby\x1fuser:noa\x1fchanges\x1f{told}")

    text = texts(await desk.page(job))[-1]

    assert text == "user:noa corrected the request: whatsapp: 9725******67 → 9725******21"


async def test_a_failure_says_its_remedy_and_that_it_came_again(desk: LookingDesk) -> None:
    """What to do is what comes next; how long it is kept is said as well."""
    job = (await desk.accept()).job_ids[0]
    await desk.end(job, Refused(fail=own_fail("number_invalid")))
    await desk.requeue(job)
    await desk.end(job, Refused(fail=own_fail("number_invalid")))

    page = await desk.page(job)

    assert page["why_here"].startswith("It failed again, after a requeue: ")
    assert page["next"]["code"] == "next_remedy"
    assert page["next"]["text"] == desk.catalogue.named("number_invalid").remedy
    assert page["expires_at"] == "2027-03-20T14:13:20.000Z"


async def test_an_unregistered_number_goes_on_by_itself(desk: LookingDesk) -> None:
    """Nothing is to be done with the job."""
    job = (await desk.accept()).job_ids[0]
    fail = Fail(reason="number_not_registered", reason_class="not_registered", is_own_data=True)
    await desk.end(job, Refused(fail=fail))

    assert (await desk.page(job))["next"]["code"] == "next_registered"


async def test_a_dead_letter_says_who_or_which_policy_put_it_there(desk: LookingDesk) -> None:
    """And when it is deleted."""
    by_policy = await desk.job_in(JobState.DEAD)
    by_person = await desk.job_in(JobState.FAILED)
    await desk.ledger.discard(by_person, by="user:noa", why="asked us to")

    policy, person = await desk.page(by_policy), await desk.page(by_person)

    assert policy["why_here_said"]["code"] == "here_dead_policy"
    assert person["why_here"].startswith("user:noa discarded it (asked us to).")
    assert person["next"]["at"] == person["expires_at"] == "2026-12-20T14:13:20.000Z"


async def test_what_is_over_has_nothing_to_come(desk: LookingDesk) -> None:
    """Cancelled, by whom and why."""
    page = await desk.page(await desk.job_in(JobState.CANCELLED))

    assert (page["why_here"], page["next"]) == ("test cancelled it: test", None)


@pytest.mark.parametrize(
    "state", [state for state in JobState if state not in {JobState.ONBOARDED, JobState.REVOKED}]
)
async def test_every_state_is_explained(desk: LookingDesk, state: JobState) -> None:
    """Whatever it is, there is a sentence; and all of it is JSON."""
    page = await desk.page(await desk.job_in(state))

    assert page["why_here"]
    assert page["why_here_said"]["code"] in WORDS
    assert json.dumps(page)


# --- whose it is, and what may be seen -----------------------------------------------------------------------------


async def test_numbers_addresses_and_links_are_masked_unless_revealed(desk: LookingDesk) -> None:
    """In what was asked and in what came back; the partner's reference is our own."""
    request = a_request(
        whatsapp="972501234567",
        business_email="shop@flowers.example",
        onboarding_logo="https://flowers.example/l.png",
    )
    job = (await desk.accept(request=request)).job_ids[0]
    raw = '{"status":"FAIL","number":"972501234567","see":"https://partner.example/onboarding/9"}'
    await desk.end(job, Refused(fail=Fail(reason="unknown_17", reason_class="unknown", raw=raw)))

    masked, shown = await desk.page(job), await desk.page(job, is_revealed=True)

    told = json.dumps(
        {name: masked[name] for name in ("timeline", "asked", "customer", "why_here_said", "next")}
    )
    for secret in ("972501234567", "shop@flowers.example", "flowers.example/l.png", "onboarding/9"):
        assert secret not in told
    assert masked["asked"]["reference"] == job
    assert shown["asked"]["whatsapp"] == "972501234567"
    assert shown["asked"]["business_email"] == "shop@flowers.example"


async def test_other_jobs_of_the_customer_are_beside_it(desk: LookingDesk) -> None:
    """Those of the same request; not those of somebody else."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    whatsapp, facebook = (await desk.accept(request=request)).job_ids
    await desk.accept(request=a_request(business_name="Another"))

    page = await desk.page(whatsapp)

    assert [item["job_id"] for item in page["others"]["items"]] == [facebook]
    assert page["customer"]["query"] == whatsapp


async def test_a_job_that_does_not_exist_has_no_page(desk: LookingDesk) -> None:
    """Nothing, not an error."""
    assert await job_page(desk.scene, "01m3250v020000000002w") is None


async def test_asking_costs_no_attempt(desk: LookingDesk) -> None:
    """A page reads and changes nothing."""
    jobs = await desk.accept_batch("b", 3)
    await desk.page(jobs[0])

    assert await desk.ledger.feed(Lane.BULK, want=10) == jobs
    await desk.balance()
