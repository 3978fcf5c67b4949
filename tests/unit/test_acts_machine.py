"""Bulk acts against a model: several operators and workers, any deeds in any order, replies lost, time passing.

What is believed of an act is held against what stands in the jobs' own histories: each of a frozen set comes to its end
once, and what the act says adds up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import fakeredis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.ledger_desk import LINKED, Desk, own_fail, retry
from tests.factories import a_request
from worker.domain.act import Act, ActOutcome
from worker.domain.job import HistoryEntry, JobRecord
from worker.domain.outcome import Outcome, Refused, Sent, Undelivered
from worker.domain.ramp import CANARY, failing
from worker.domain.reasons import Catalogue
from worker.domain.states import Channel, JobState, Lane
from worker.ledger import JobFilter
from worker.ledger.act_records import ActRecord
from worker.ledger.codec import history_entry
from worker.ledger.scripts import text
from worker.limits import Limits
from worker.ops.acts import ActRefused, Acts

#: A hundred and more scripts in each example: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(300)
OPERATORS = ["cli:dana", "user:ben"]
JOBS, MESSAGES = 9, 2
ENDS: list[Outcome] = [LINKED, Refused(fail=own_fail()), Refused(fail=own_fail("name_taken")), retry()]
#: What an act leaves in the history of each job that it touched.
NOTE_OF = {Act.REQUEUE: "requeued", Act.DISCARD: "discarded", Act.RESTORE: "restored"}
ACTS = [Act.REQUEUE, Act.REQUEUE, Act.DISCARD, Act.DISCARD, Act.RESTORE]
#: Outcome → what it may turn into.
NEXT = {
    ActOutcome.WAITING: set(ActOutcome),
    ActOutcome.DONE: set(ActOutcome) - {ActOutcome.WAITING, ActOutcome.REFUSED},
}


@dataclass
class Frozen:
    """An act as it was frozen, and what was last seen of it."""

    act: Act
    at_ms: int
    ids: list[str]
    outcomes: list[ActOutcome]
    is_over: bool = False


class ActsMachine(RuleBasedStateMachine):
    """Previews, starts, steps, stops and undos beside attempts and single acts on the same jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.patches = ExitStack()
        # An act takes several steps, and how many does not hang on how busy the machine is.
        self.patches.enter_context(patch("worker.ledger.acts.IDS_PER_STEP", CANARY))
        self.patches.enter_context(patch("worker.ledger.acts.perf_counter", return_value=0.0))
        self.client = fakeredis.FakeAsyncRedis()
        self.desk: Desk = self.runner.run(Desk.open(self.client))
        limits = Limits(self.client, namespace="test", name="partner", ceiling=5)
        self.acts = Acts(self.desk.ledger, limits, Catalogue.shipped())
        self.frozen: dict[str, Frozen] = {}
        self.jobs: list[str] = []
        self.messages: list[str] = []
        self.gone: set[str] = set()
        self.failed_as: dict[str, tuple[str | None, int]] = {}

    def teardown(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()
        self.patches.close()

    @initialize()
    def begin(self) -> None:
        self.jobs = [self.runner.run(self.desk.job_in(JobState.FAILED)) for _ in range(JOBS)]
        self.messages = [self.runner.run(self.desk.a_failed_message()) for _ in range(MESSAGES)]

    def pick(self, nth: int) -> str:
        return self.jobs[nth % len(self.jobs)]

    def an_act(self, nth: int) -> str:
        """Return some act, mostly one that is not over."""
        acts = [act_id for act_id, frozen in self.frozen.items() if not frozen.is_over]
        if not acts or nth == 0:
            acts = list(self.frozen)
        return acts[nth % len(acts)]

    def try_(self, deed: Any) -> Any:
        """Do what may be refused; None where it is."""
        self.desk.advance(0.001)
        try:
            return self.runner.run(deed)
        except ActRefused:
            return None

    # --- bulk acts -----------------------------------------------------------------------------------------

    @rule(acts=st.lists(st.sampled_from(ACTS), min_size=1, max_size=2), is_by_reason=st.booleans())
    def preview_filter(self, acts: list[Act], is_by_reason: bool) -> None:
        """One operator, or two, look at the same list."""
        wanted = JobFilter(reason="name_refused") if is_by_reason else JobFilter()
        for by, act in zip(OPERATORS, acts, strict=False):
            states = [JobState.DEAD] if act is Act.RESTORE else [JobState.FAILED]
            self.keep(self.try_(self.acts.preview(act, wanted, states=states, by=by)))

    @rule(by=st.sampled_from(OPERATORS), act=st.sampled_from(ACTS), first=st.integers(0, JOBS))
    def preview_ids(self, by: str, act: Act, first: int) -> None:
        self.keep(self.try_(self.acts.preview_ids(act, [*self.jobs[first:], *self.messages], by=by)))

    @precondition(lambda self: self.frozen)
    @rule(nth=st.integers(0, 9), by=st.sampled_from(OPERATORS))
    def undo(self, nth: int, by: str) -> None:
        self.keep(self.try_(self.acts.undo(self.an_act(nth), by=by)))

    def keep(self, document: dict[str, Any] | None) -> None:
        if document is None:
            return
        act_id = document["act_id"]
        ids = self.runner.run(self.ids_of(act_id))
        assert document["total"] == len(ids) == len(set(ids))
        assert document["seen"] == document["total"] + sum(document["not_eligible"].values())
        self.frozen[act_id] = Frozen(
            Act(document["act"]), self.desk.now_ms, ids, [ActOutcome.WAITING] * len(ids)
        )

    @precondition(lambda self: self.frozen)
    @rule(
        nth=st.integers(0, 9), by=st.sampled_from(OPERATORS), is_canary=st.booleans(), steps=st.integers(0, 2)
    )
    def start_twice(self, nth: int, by: str, is_canary: bool, steps: int) -> None:
        """A double click, or two who look at the same page: one of them starts it, and a worker takes it up."""
        act_id = self.an_act(nth)
        start = self.acts.start
        started = [
            self.try_(start(act_id, by=each, why="x", is_canary=is_canary)) for each in (by, OPERATORS[0])
        ]
        assert None in started
        for _ in range(steps):
            self.step_by(act_id, 1)

    @precondition(lambda self: self.frozen)
    @rule(nth=st.integers(0, 9), drivers=st.integers(1, 3))
    def step(self, nth: int, drivers: int) -> None:
        """Drive it from several processes at once."""
        self.step_by(self.an_act(nth), drivers)

    def step_by(self, act_id: str, drivers: int) -> None:
        async def together() -> None:
            await asyncio.gather(*(self.acts.step(act_id) for _ in range(drivers)))

        self.desk.advance(0.001)
        self.runner.run(together())
        record = self.record(act_id)
        ramp = record.ramp(now_ms=self.desk.now_ms)
        if record.state == "running" and record.is_canary and record.waiting:
            assert drivers > 1 or failing(ramp) is None, "it stops by itself"

    @precondition(lambda self: self.frozen)
    @rule(
        nth=st.integers(0, 9),
        by=st.sampled_from(OPERATORS),
        deeds=st.lists(st.sampled_from(["stop", "go_on"]), min_size=1, max_size=3),
    )
    def steer(self, nth: int, by: str, deeds: list[str]) -> None:
        for deed in deeds:
            self.try_(getattr(self.acts, deed)(self.an_act(nth), by=by, why="y"))

    @rule(seconds=st.sampled_from([1, 61, 3_700]))
    def time_passes(self, seconds: int) -> None:
        """What nobody started in time is forgotten."""
        self.desk.advance(seconds)
        self.runner.run(self.desk.ledger.promote())
        self.runner.run(self.desk.ledger.acts.prune(older_than_s=90 * 86_400))
        for act_id in list(self.frozen):
            record = self.runner.run(self.desk.ledger.acts.get(act_id))
            if record is None or record.state == "expired":
                assert set(self.frozen.pop(act_id).outcomes) <= {ActOutcome.WAITING}

    # --- the jobs beside it --------------------------------------------------------------------------------

    @rule(want=st.integers(1, 6), end=st.sampled_from(ENDS))
    def attempts(self, want: int, end: Outcome) -> None:
        for lane in Lane:
            self.try_(self.desk.drain(lane, end, want=want))

    @rule(is_sent=st.booleans())
    def sends(self, is_sent: bool) -> None:
        deliveries = self.desk.ledger.deliveries
        outcome = Sent() if is_sent else Undelivered(fail=own_fail("mailbox_full"))
        for delivery in self.try_(deliveries.due(Channel.EMAIL, want=2)):
            lease = self.runner.run(self.desk.send(delivery))
            self.runner.run(deliveries.settle(lease, outcome, can_resend=True))

    @rule(
        nth=st.integers(0, 99),
        verbs=st.lists(
            st.sampled_from(["requeue", "discard", "restore", "cancel", "edit", "release"]), min_size=1
        ),
    )
    def single(self, nth: int, verbs: list[str]) -> None:
        """Somebody sees to one job by itself, and perhaps thinks better of it."""
        job, ledger = self.pick(nth), self.desk.ledger
        for verb in verbs:
            if verb == "release":
                self.try_(ledger.release(job))
            elif verb != "edit":
                self.try_(getattr(ledger, verb)(job, by="user:ben", why="z"))
            elif job not in self.gone:
                self.try_(self.desk.edit(job, a_request(business_name="Fauna")))
            self.what_is_restored_stands_as_it_did()

    @precondition(lambda self: len(self.gone) < 2)
    @rule(nth=st.integers(0, 99))
    def forget(self, nth: int) -> None:
        """A customer is erased, whose job may be in a set, or let go by an act."""
        job = self.pick(nth)
        erased = self.try_(self.desk.ledger.forgetting.invitation(job[:-1], by="user:ben", why="asked"))
        if erased.refusal is None:
            self.gone.add(job)

    # --- what is true after every step ---------------------------------------------------------------------

    @invariant()
    def each_of_a_set_ends_once_and_the_totals_agree(self) -> None:
        histories = self.runner.run(self.histories())
        for act_id, frozen in self.frozen.items():
            record = self.record(act_id)
            outcomes = self.outcomes_of(act_id)
            assert self.runner.run(self.ids_of(act_id)) == frozen.ids
            for before, after in zip(frozen.outcomes, outcomes, strict=True):
                assert after == before or after in NEXT.get(before, ()), (act_id, before, after)
            frozen.outcomes, frozen.is_over = outcomes, record.state == "done"
            _adds_up(record, outcomes)
            for subject, outcome in zip(frozen.ids, outcomes, strict=True):
                if subject in histories and subject not in self.gone:
                    is_touched = outcome not in {ActOutcome.WAITING, ActOutcome.REFUSED}
                    _touched_once(histories[subject], act_id, frozen, is_touched=is_touched)

    @invariant()
    def what_is_restored_stands_as_it_did(self) -> None:
        jobs: list[JobRecord] = self.runner.run(self.desk.ledger.queries.jobs(self.jobs))
        histories = self.runner.run(self.histories())
        for job in jobs:
            if job.state is JobState.FAILED:
                stands = job.reason, job.changed_at_ms
                if histories[job.id][-1].event == "restored" and job.id in self.failed_as:
                    assert stands == self.failed_as[job.id]
                self.failed_as[job.id] = stands
            elif job.state is not JobState.DEAD:
                self.failed_as.pop(job.id, None)

    @invariant()
    def books_balance(self) -> None:
        self.runner.run(self.desk.balance())

    def record(self, act_id: str) -> ActRecord:
        record = self.runner.run(self.desk.ledger.acts.get(act_id))
        assert record is not None
        return record

    def outcomes_of(self, act_id: str) -> list[ActOutcome]:
        page = self.runner.run(self.acts.items(act_id, limit=JOBS + MESSAGES))
        assert page["next"] is None
        return [ActOutcome(item["outcome"]) for item in page["items"]]

    async def histories(self) -> dict[str, list[HistoryEntry]]:
        """Read what happened to the jobs, past everything that could get it wrong."""
        async with self.client.pipeline(transaction=False) as pipe:
            for job in self.jobs:
                pipe.lrange(f"{{test}}:h:{job}", 0, -1)
            rows = await pipe.execute()
        return {
            job: [history_entry(entry) for entry in row] for job, row in zip(self.jobs, rows, strict=True)
        }

    async def ids_of(self, act_id: str) -> list[str]:
        """Read the frozen set, likewise."""
        return [text(each) for each in await self.client.lrange(f"{{test}}:aci:{act_id}", 0, -1)]


def _adds_up(record: ActRecord, outcomes: list[ActOutcome]) -> None:
    counted = Counter(outcomes)
    refused = sum(record.refused.values())
    assert record.done + refused + record.waiting == record.total == len(outcomes)
    assert (counted[ActOutcome.WAITING], counted[ActOutcome.REFUSED]) == (record.waiting, refused)
    if record.act is Act.REQUEUE:
        assert counted[ActOutcome.DONE] == record.in_flight
        assert (
            counted[ActOutcome.FAILED_AGAIN] == record.failed_again == sum(record.failed_by_reason.values())
        )
        assert (counted[ActOutcome.LINKED], counted[ActOutcome.SENT]) == (record.linked, record.sent)
        assert counted[ActOutcome.ENDED_OTHERWISE] == record.ended_otherwise
    else:
        assert counted[ActOutcome.DONE] == record.done
    if record.is_canary and record.turn == 0:
        assert record.done <= max(CANARY, 3 * record.ended)
    if record.state == "done":
        assert record.waiting == record.in_flight == 0


def _touched_once(history: list[HistoryEntry], act_id: str, frozen: Frozen, *, is_touched: bool) -> None:
    """Look for the act in a job's history: once where it says so, and nothing had happened to the job since the preview."""
    its_own = [
        at
        for at, entry in enumerate(history)
        if entry.event == NOTE_OF[frozen.act] and entry.detail.get("act") == act_id
    ]
    assert len(its_own) == int(is_touched)
    for at in its_own:
        between = [entry.event for entry in history[:at] if entry.at_ms > frozen.at_ms]
        assert not between, "nobody decided on what it is now"


TestActsMachine = ActsMachine.TestCase
TestActsMachine.settings = settings(
    max_examples=10, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
