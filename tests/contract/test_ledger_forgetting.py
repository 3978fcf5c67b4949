"""The verbs of erasure: what hangs on an invitation goes with it, whatever state it is in, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.acts_desk import ActsDesk
from tests.contract.forgetting_desk import EMAIL, WHO, ForgettingDesk, dump, her_request, traces
from tests.contract.intake_desk import an_event
from tests.contract.ledger_desk import LINKED, a_fail, own_fail
from tests.contract.outbox_desk import WEBHOOK, events
from tests.contract.test_ledger_window import closed
from worker.domain.act import Act
from worker.domain.outcome import DeliveryDoubt, DeliveryOutcome, Fail, Refused, Sent, Skipped, Undelivered
from worker.domain.outgoing import Told
from worker.domain.request import Product
from worker.domain.states import Channel, DeliveryState, JobState

pytestmark = pytest.mark.redis
#: What may name an erased job by its id, which is nobody's name: accounts of what was done, and a batch's rows.
MAY_NAME_IT = ("tr:", "ti:of:", "aci:", "tt:", "bj:")
FACEBOOK = {"products": (Product.FACEBOOK_PAGE,), "whatsapp": None}


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> ForgettingDesk:
    return await ForgettingDesk.open(store)


async def still_named(desk: ForgettingDesk, invitation: str) -> list[str]:
    """Return the keys that name an invitation or what belongs to it, and should not."""
    whole = await dump(desk.redis)
    keys = [key for key, value in whole.items() if invitation in f"{key} {value}"]
    return [key for key in keys if not key.removeprefix("{test}:").startswith(MAY_NAME_IT)]


@pytest.mark.parametrize(
    "state",
    [JobState.AVAILABLE, JobState.SCHEDULED, JobState.FAILED, JobState.DEAD, JobState.CANCELLED],
)
async def test_a_job_in_any_settled_state_leaves_no_row(desk: ForgettingDesk, state: JobState) -> None:
    """In no queue, index, tally or list of the ledger; the books count it as pruned."""
    job = await desk.job_in(state, request=her_request(), batch_id="b1", event_key="e1")

    erased = await desk.ledger.forgetting.invitation(job[:-1], **WHO)

    assert (erased.jobs, erased.refusal) == (1, None)
    assert await still_named(desk, job[:-1]) == []
    await desk.balance()
    batch = await desk.ledger.batches.get("b1")
    assert batch is not None
    assert batch.pruned == 1
    assert sum(batch.jobs.values()) == 0


@pytest.mark.parametrize("state", list(DeliveryState))
async def test_a_message_in_any_state_leaves_no_row(desk: ForgettingDesk, state: DeliveryState) -> None:
    """But for one that is being sent: that is refused, and nothing is touched."""
    job = await desk.job_in(JobState.LINKED, request=her_request(**FACEBOOK), channels=(Channel.SMS,))
    [message] = await desk.ledger.deliveries.of_invitation(job[:-1])
    await _bring(desk, message.id, state)

    erased = await desk.ledger.forgetting.invitation(job[:-1], **WHO)

    if state is DeliveryState.SENDING:
        assert (erased.refusal, erased.subject) == ("being_sent", message.id)
        assert await desk.state(job) is JobState.LINKED
    else:
        assert erased.messages == 1
        assert await still_named(desk, job[:-1]) == []
        await desk.balance()


async def _bring(desk: ForgettingDesk, message: str, state: DeliveryState) -> None:
    """Bring a pending message into *state*."""
    fail = Fail(reason="sms_refused", reason_class="recipient")
    match state:
        case DeliveryState.PENDING:
            return
        case DeliveryState.SKIPPED:
            await desk.ledger.suppressing.add(EMAIL, by="test")
            lease = (await desk.claim_delivery(message)).lease
            await desk.ledger.deliveries.settle(lease, Skipped(reason="suppressed"), can_resend=False)
            return
        case _:
            lease = await desk.send(message)
    outcomes: dict[DeliveryState, DeliveryOutcome] = {
        DeliveryState.SENT: Sent(provider_id="1"),
        DeliveryState.FAILED: Undelivered(fail=fail),
        DeliveryState.IN_DOUBT: DeliveryDoubt(fail=fail),
    }
    if state in outcomes:
        assert await desk.ledger.deliveries.settle(lease, outcomes[state], can_resend=False)


async def test_a_message_whose_bell_was_rung_or_that_waits_for_the_window_leaves_no_row(
    desk: ForgettingDesk,
) -> None:
    """A late bell finds nothing."""
    jobs = [
        await desk.job_in(JobState.LINKED, request=her_request(**FACEBOOK, external_id=each)) for each in "ab"
    ]
    [rung, put_off] = await desk.ledger.deliveries.due(Channel.EMAIL, want=2)
    assert await desk.ledger.deliveries.claim(put_off, worker_id="w1", lease_s=60, closed=closed()) is None

    for job in jobs:
        assert (await desk.ledger.forgetting.invitation(job[:-1], **WHO)).messages == 1

    assert [await still_named(desk, job[:-1]) for job in jobs] == [[], []]
    assert await desk.ledger.deliveries.claim(rung, worker_id="w1", lease_s=60) is None


async def test_a_job_that_made_a_hold_or_was_spared_leaves_no_row(desk: ForgettingDesk) -> None:
    """What it was evidence of stays; it is not named in it any more."""
    job = (await desk.accept(request=her_request(), batch_id="b1")).job_ids[0]
    lease = await desk.call(job)
    await desk.ledger.batches.cancel("b1", by="cli:noa", why="wrong file")
    await desk.ledger.settle(lease, Refused(fail=a_fail()))

    assert (await desk.ledger.forgetting.invitation(job[:-1], **WHO)).jobs == 1

    assert await still_named(desk, job[:-1]) == []


async def test_a_message_that_waits_for_the_others_links_is_not_waited_for(desk: ForgettingDesk) -> None:
    """An invitation that was to go out with what it has is not looked for any more."""
    products = (Product.FACEBOOK_PAGE, Product.INSTAGRAM_PAGE)
    jobs = (await desk.accept(request=her_request(products=products, whatsapp=None))).job_ids
    await desk.end(jobs[0], LINKED)

    assert (await desk.ledger.forgetting.invitation(jobs[0][:-1], **WHO)).jobs == 2

    assert await still_named(desk, jobs[0][:-1]) == []


async def test_a_bulk_act_that_sends_her_message_again_comes_to_its_end(desk: ForgettingDesk) -> None:
    """Its end counts as another one."""
    job = await desk.job_in(JobState.LINKED, request=her_request(**FACEBOOK))
    [message] = await desk.ledger.deliveries.of_invitation(job[:-1])
    await _bring(desk, message.id, DeliveryState.FAILED)
    acts = ActsDesk(desk)
    act = await acts.start(Act.REQUEUE, [message.id], is_canary=False)
    await acts.drive(act)

    await desk.ledger.forgetting.invitation(job[:-1], **WHO)

    assert (await acts.drive(act)).ended_otherwise == 1


async def test_an_event_of_ours_on_its_way_is_told_once_and_not_kept(desk: ForgettingDesk) -> None:
    """Its settle finds nothing, and does no harm; what waits is not told."""
    await desk.ledger.outbox.enable([WEBHOOK])
    job = await desk.job_in(JobState.FAILED, request=her_request())
    [event] = await events(desk)

    assert (await desk.ledger.forgetting.invitation(job[:-1], **WHO)).events == 1

    assert not await desk.ledger.outbox.settle(event.lease, Told(status=200))
    assert await events(desk) == []
    assert await still_named(desk, job[:-1]) == []


async def test_an_edit_made_after_the_look_leaves_nothing_either(desk: ForgettingDesk) -> None:
    """Before and after go by the script that erases the job they are about."""
    job = await desk.hers()
    await desk.end(job, Refused(fail=own_fail()))
    changes = {"changes": [{"field": "name", "before": EMAIL, "after": ""}], "was": "name_refused"}
    await desk.ledger.trail.record("edit", subject=job, detail=changes, by="cli:noa")

    await desk.ledger.forgetting.invitation(job[:-1], **WHO)

    [entry] = (await desk.ledger.trail.find(act="edit")).items
    assert entry.detail == {"changes": "(erased)", "was": "name_refused"}
    assert await traces(desk) == []


async def test_an_invitation_that_is_not_there_is_erased_already(desk: ForgettingDesk) -> None:
    """Twice has the effect of once."""
    job = await desk.hers()
    await desk.ledger.forgetting.invitation(job[:-1], **WHO)
    before = await dump(desk.redis)

    erased = await desk.ledger.forgetting.invitation(job[:-1], **WHO)

    assert (erased.jobs, erased.refusal) == (0, None)
    assert await dump(desk.redis) == before


async def test_an_event_that_came_in_goes_with_its_row(desk: ForgettingDesk) -> None:
    """Not while it is worked on. Redelivered it is known by a hash, and not taken in again."""
    event = an_event(body=f'{{"mail": "{EMAIL}"}}')
    await desk.ledger.intake.record([event], max_waiting=10)
    await desk.ledger.intake.claim_due("crm:hubspot", want=1, worker_id="w1", lease_s=60)
    assert not await desk.ledger.forgetting.event(event.id)
    desk.advance(61)
    await desk.ledger.intake.rescue()

    assert await desk.ledger.forgetting.event(event.id)
    assert not await desk.ledger.forgetting.event(event.id)

    assert sum((await desk.ledger.intake.counts())["crm:hubspot"].values()) == 0
    redelivered = replace(event, id="01k8v5w0qr7c3h2m9n4x")
    [again] = await desk.ledger.intake.record([redelivered], max_waiting=10)
    assert again.verdict.value == "duplicate"
    assert await desk.ledger.intake.get(event.id) is None


async def test_a_look_at_all_events_takes_a_few_bodies_at_a_time(desk: ForgettingDesk) -> None:
    """Each may have two megabytes, and whoever looks has other work to do between them."""
    came = [an_event() for _ in range(35)]
    await desk.ledger.intake.record(came, max_waiting=100)
    await desk.ledger.trail.record("pause", by="cli:noa")

    pieces = [some async for some in desk.ledger.forgetting.held("trail", "event")]

    events_of = [[each for each in some if each.kind == "event"] for some in pieces]
    assert max(map(len, events_of)) <= 10
    assert sorted(each.id for some in events_of for each in some) == sorted(each.id for each in came)
    assert [each.words["a"] for some in pieces for each in some if each.kind == "trail"] == ["pause"]


async def test_words_that_somebody_changed_meanwhile_stay(desk: ForgettingDesk) -> None:
    """What would be put in their place was made from others."""
    await desk.ledger.trail.record("pause", by="cli:noa", why=f"call of {EMAIL}")
    [held] = [each async for some in desk.ledger.forgetting.held("trail") for each in some]
    assert await desk.ledger.forgetting.words(held, {"w": "(erased)"})

    assert not await desk.ledger.forgetting.words(held, {"w": "something else"})

    assert (await desk.ledger.trail.find()).items[0].why == "(erased)"


async def test_the_log_is_written_anew(real_redis: redis.asyncio.Redis) -> None:
    """Twice in a row, too: the server takes it as one."""
    desk = await ForgettingDesk.open(real_redis)

    assert await desk.ledger.forgetting.rewrite_log()
    assert await desk.ledger.forgetting.rewrite_log()
