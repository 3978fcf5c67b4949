"""Finding in a ledger that a random history made: every filter finds what a plain look at each job finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINKED, SNOOZED, Desk, a_fail, own_fail, retry
from tests.factories import a_request
from worker.domain.job import ClaimedJob, DeliveryRecord, JobRecord
from worker.domain.outcome import DeliveryOutcome, Fail, Linked, Refused, Sent, Undelivered
from worker.domain.request import Contact, Product
from worker.domain.search import SearchKeys
from worker.domain.states import DeliveryState, JobState, Lane
from worker.ledger import JobFilter, Page

NAMES = ["Dana Flowers", "פְּרָחִים של דנה", 'ד"ר כהן', "Café Ñandú", "Flower Power 24"]
NAMES_ASKED = ["flow", "פרחים", "דר כה", "cafe nandu", "power flo", "dana", "24 flower", "zzz"]
EMAILS = ["dana@example.com", "Gil+x@Shop.example", "o'neil@x.example"]
IDS = ["501", "a b", "0501234567", "é/?&#", None]
BATCHES = [None, None, "b1", "b2"]
SOURCES = ["api", "csv", "crm:hubspot"]
REASONS = ["name_refused", "number_in_use", "unknown_17"]
MAIL_FAULTS = [
    Fail(reason=name, reason_class=kind)
    for name, kind in (("mailbox_unknown", "bad_data"), ("spam_complaint", "policy"))
]
CLASSES = {fault.reason: fault.reason_class for fault in MAIL_FAULTS}
STEPS, FILTERS = 160, 30


class History:
    """What is done to a ledger by chance: each act by a verb of its own, on whatever job."""

    def __init__(self, desk: Desk, chance: random.Random) -> None:
        self.desk = desk
        self.chance = chance
        self.jobs: list[str] = []

    async def make(self, steps: int = STEPS) -> None:
        """Do so many things."""
        acts: Sequence[Callable[[], Any]] = (
            self.accept,
            self.accept,
            self.attempt,
            self.attempt,
            self.turn,
            self.mend,
            self.mail,
        )
        for _ in range(steps):
            self.desk.advance(self.chance.choice([0, 0, 0.001, 0.5, 3, 40]))
            await self.chance.choice(acts)()

    async def accept(self) -> None:
        """Take an invitation."""
        pick = self.chance.choice
        name = pick(NAMES)
        request = a_request(
            business_name=name,
            display_name=name,
            external_id=pick(IDS),
            reference=pick(IDS),
            contact=Contact(name="Rina", email=pick(EMAILS), phone=pick(["972521111111", None])),
            products=pick([(Product.WHATSAPP,), (Product.WHATSAPP, Product.FACEBOOK_PAGE)]),
        )
        batch = pick(BATCHES)
        later = pick([None, None, None, self.desk.now_ms + pick([500, 90_000])])
        receipt = await self.desk.accept(
            request=request, batch_id=batch, line=None if batch is None else 7, source=pick(SOURCES),
            lane=Lane.BULK if batch else pick(list(Lane)), not_before_ms=later,
        )  # fmt: skip
        self.jobs += receipt.job_ids

    async def attempt(self) -> None:
        """Make an attempt, which may end in any way or not at all."""
        pick, ledger = self.chance.choice, self.desk.ledger
        for lane in Lane:
            await ledger.feed(lane, want=pick([0, 1, 3]))
        waiting = (await ledger.queries.find(JobFilter(state=JobState.AVAILABLE))).items
        if not waiting:
            return
        claimed = await ledger.claim(pick(waiting).id, worker_id="w1", lease_s=20.0)
        if not isinstance(claimed, ClaimedJob) or not await ledger.begin_call(claimed.lease):
            return
        outcome = pick([
            LINKED, Linked(link="https://partner.example/2"), *(Refused(fail=own_fail(each)) for each in REASONS[:2]),
            Refused(fail=a_fail()), Refused(fail=own_fail(), is_discard=True), retry(30), retry(2.0), DOUBTFUL,
            SNOOZED, replace(SNOOZED, delay_s=50.0), None,
        ])  # fmt: skip
        if outcome is not None and not (outcome is DOUBTFUL and not claimed.lease.subject_id.endswith("w")):
            await ledger.settle(claimed.lease, outcome)

    async def turn(self) -> None:
        """Let the ledger's own duties look."""
        ledger = self.desk.ledger
        await ledger.promote()
        await ledger.rescue()
        for job in await ledger.queries.unexplained(1):
            await ledger.explain(job.id, own_fail("number_in_use"))
        if self.jobs:
            await ledger.hand_back(self.chance.choice(self.jobs))

    async def mend(self) -> None:
        """Let an operator do something."""
        if not self.jobs:
            return
        ledger, job, who = self.desk.ledger, self.chance.choice(self.jobs), {"by": "dana", "why": "test"}
        verbs = (
            ledger.requeue,
            ledger.requeue,
            ledger.requeue,
            ledger.discard,
            ledger.restore,
            ledger.cancel,
        )
        await self.chance.choice(verbs)(job, **who)

    async def mail(self) -> None:
        """Send a message, or fail to, or let it be sent again."""
        pick, deliveries = self.chance.choice, self.desk.ledger.deliveries
        linked = (await self.desk.ledger.queries.find(JobFilter(state=JobState.LINKED))).items
        messages = await deliveries.of_invitation(pick(linked).invitation_id) if linked else []
        if not messages:
            return
        chosen = pick(messages)
        if chosen.state is DeliveryState.FAILED and self.chance.random() < 0.2:
            await deliveries.resend(chosen.id, by="dana", why="test")
        claimed = await deliveries.claim(chosen.id, worker_id="w1", lease_s=60.0)
        if claimed is not None and await deliveries.begin_send(claimed.lease):
            outcome: DeliveryOutcome = Sent()
            if self.chance.random() < 0.8:
                outcome = Undelivered(fail=pick(MAIL_FAULTS))
            await deliveries.settle(claimed.lease, outcome, can_resend=True)


def a_filter(chance: random.Random, jobs: Sequence[JobRecord]) -> JobFilter:
    """Return some filter, of one to four words; most of them fit some job."""
    job = chance.choice(jobs)
    words: dict[str, Any] = {
        "state": chance.choice(list(JobState)),
        "reason": chance.choice(REASONS),
        "reason_class": chance.choice(["bad_data", "unknown", "transient"]),
        "lane": chance.choice(list(Lane)),
        "batch": chance.choice(["b1", "b2"]),
        "source": chance.choice(SOURCES),
        "number": chance.choice([job.number, "972521111111"]),
        "email": chance.choice([*EMAILS, "DANA@example.COM", "gil+x@shop.EXAMPLE"]),
        "name": chance.choice(NAMES_ASKED),
        "external_id": chance.choice([each for each in IDS if each]),
        "reference": chance.choice([each for each in IDS if each]),
        "older_than_s": chance.choice([0, 0.5, 3, 43, 200, 1000]),
        "newer_than_s": chance.choice([0, 0.5, 3, 43, 200, 1000]),
        "min_attempts": chance.choice([1, 2]),
        "min_requeues": chance.choice([1, 2]),
    }
    return JobFilter(
        **{name: words[name] for name in chance.sample(sorted(words), chance.choice([1, 1, 2, 2, 3, 4]))}
    )


def is_of_time(wanted: JobFilter, changed_ms: int, now_ms: int) -> bool:
    """Tell whether something changed within a filter's ages."""
    age_ms = now_ms - changed_ms
    is_old = wanted.older_than_s is None or age_ms > wanted.older_than_s * 1000
    return is_old and (wanted.newer_than_s is None or age_ms <= wanted.newer_than_s * 1000)


def fits(job: JobRecord, wanted: JobFilter, now_ms: int) -> bool:
    """Say of one job what the filter means."""
    is_failed_meant = wanted.state is None and (wanted.reason or wanted.reason_class)
    its = {
        "state": job.state, "reason": job.reason, "reason_class": job.reason_class, "lane": job.lane,
        "batch": job.batch_id, "source": job.source,
    }  # fmt: skip
    return (
        all(getattr(wanted, name) in {None, value} for name, value in its.items())
        and (job.state is JobState.FAILED or not is_failed_meant)
        and job.attempt >= (wanted.min_attempts or 0)
        and job.requeues >= (wanted.min_requeues or 0)
        and is_of_time(wanted, job.changed_at_ms, now_ms)
        and is_searched(job, wanted)
    )


def is_searched(job: JobRecord, wanted: JobFilter) -> bool:
    """Say whether a job's customer is looked for; what a name's words are is tested by itself."""
    request = job.request
    return (
        wanted.number in {None, job.number, request.contact.phone}
        and (wanted.email is None or wanted.email.lower() == str(request.contact.email).lower())
        and wanted.external_id in {None, request.external_id}
        and wanted.reference in {None, request.reference}
        and (wanted.name is None or SearchKeys(name=wanted.name).match(request))
    )


def message_fits(message: DeliveryRecord, jobs: dict[str, JobRecord], wanted: JobFilter, now_ms: int) -> bool:
    """Say of one failed message what the filter means: of its job, but for reason and age, which are its own."""
    job = jobs[message.job_ids[0]]
    is_about_jobs = wanted.min_attempts or wanted.min_requeues
    its = {
        "reason": message.reason, "reason_class": CLASSES[str(message.reason)], "lane": job.lane, "batch": job.batch_id,
        "source": job.source,
    }  # fmt: skip
    return (
        wanted.state in {None, JobState.FAILED}
        and not is_about_jobs
        and all(getattr(wanted, name) in {None, value} for name, value in its.items())
        and is_of_time(wanted, message.changed_at_ms, now_ms)
        and is_searched(job, wanted)
    )


async def pages(find: Callable[..., Any], wanted: JobFilter, limit: int) -> list[Page[Any]]:
    """Return all pages of a list."""
    found = [await find(wanted, limit=limit)]
    while found[-1].next is not None:
        found.append(await find(wanted, cursor=found[-1].next, limit=limit))
    return found


def check(found: Sequence[Page[Any]], expected: Iterable[str], wanted: JobFilter) -> None:
    """See that a list has each of *expected* once, says how many they are, and ends with its last page."""
    ids, due = [each.id for page in found for each in page.items], sorted(expected)
    asked = {
        each.name: getattr(wanted, each.name)
        for each in fields(wanted)
        if getattr(wanted, each.name) is not None
    }
    assert sorted(ids) == due, asked
    assert {(page.total, page.is_total_exact) for page in found} == {(len(due), True)}, asked
    assert all(page.items for page in found[1:]), f"an empty page at the end: {asked}"


async def records(desk: Desk, history: History) -> dict[str, JobRecord]:
    """Return all jobs as they stand."""
    return {job.id: job for job in await desk.ledger.queries.jobs(history.jobs)}


def came_back(job: JobRecord) -> bool:
    """Tell whether a job may wait without waiting anew: it stands by one time in its queue, by another while rung."""
    return job.state is JobState.AVAILABLE and job.changed_at_ms != job.accepted_at_ms


@pytest.mark.parametrize("seed", range(3))
async def test_a_list_that_changes_under_its_reader_loses_nobody_who_stood_still(
    store: redis.asyncio.Redis, seed: int
) -> None:
    """Others come, go and change their states between two pages; nobody is told twice who was not changed."""
    chance = random.Random(100 + seed)
    desk = await Desk.open(store)
    history = History(desk, chance)
    await history.make()
    for state in (None, *JobState):
        more = chance.choice(
            [JobFilter(), JobFilter(batch="b1"), JobFilter(name="dana"), JobFilter(source="csv")]
        )
        wanted = replace(more, state=state)
        before = await records(desk, history)
        page = await desk.ledger.queries.find(wanted, limit=2)
        found = [job.id for job in page.items]
        while page.next is not None:
            await history.make(2)
            page = await desk.ledger.queries.find(wanted, cursor=page.next, limit=2)
            found += [job.id for job in page.items]
        after = await records(desk, history)
        still = [
            each
            for each, job in before.items()
            if after[each] == job and fits(job, wanted, desk.now_ms) and not came_back(job)
        ]
        assert sorted(each for each in found if each in still) == sorted(still), wanted


@pytest.mark.parametrize("seed", range(3))
async def test_every_filter_finds_what_a_look_at_each_job_finds(
    store: redis.asyncio.Redis, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs and failed messages, by any words together, on pages of any size; the totals say as many."""
    chance = random.Random(seed)
    if seed:  # as if they were very many: read in pieces, and from other indexes
        small = {"finding.CHUNK": 2, "finding_messages.CHUNK": 2, "paging.CHUNK": 3, "search._FEW": 1}
        small |= {"finding.SORTED_LIMIT": 2} if seed == 1 else {"search.MOST_HITS": 3}
        for name, value in small.items():
            monkeypatch.setattr(f"worker.ledger.{name}", value)
    desk = await Desk.open(store)
    history = History(desk, chance)
    await history.make()
    jobs = {job.id: job for job in await desk.ledger.queries.jobs(history.jobs)}
    invitations = dict.fromkeys(job_id[:-1] for job_id in history.jobs)
    messages = [each for it in invitations for each in await desk.ledger.deliveries.of_invitation(it)]
    failed = [each for each in messages if each.state is DeliveryState.FAILED]
    assert len(jobs) == len(history.jobs)
    assert failed
    assert len({job.state for job in jobs.values()}) >= 6

    for wanted in [JobFilter(), *(a_filter(chance, list(jobs.values())) for _ in range(FILTERS))]:
        limit = chance.choice([2, 7, 50])
        due = [job.id for job in jobs.values() if fits(job, wanted, desk.now_ms)]
        check(await pages(desk.ledger.queries.find, wanted, limit), due, wanted)
        due = [each.id for each in failed if message_fits(each, jobs, wanted, desk.now_ms)]
        check(await pages(desk.ledger.deliveries.failed, wanted, limit), due, wanted)
    await desk.balance()
