"""What is done to the ledger in any order: requests, attempts, look-ups, operators' acts. `test_ledger_machine` adds the rest.

The model knows little on purpose: which moves each verb may make, and whose lease is the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import fakeredis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.contract.ledger_desk import DOUBTFUL, LINKED, SNOOZED, Desk, a_fail, own_fail, retry
from tests.factories import a_request, an_invitation
from worker.domain.act import Act
from worker.domain.change import DELETING
from worker.domain.job import ClaimedJob, JobRecord, Lease, NewInvitation, Verdict
from worker.domain.outcome import Absent, Deleted, Finished, FoundForeign, FoundOurs, Outcome, Refused
from worker.domain.request import Product
from worker.domain.states import TRANSITIONS, WAITING_STATES, JobState, Lane

NUMBERS = [f"97250111000{digit}" for digit in range(4)]
PRODUCTS = [(Product.WHATSAPP,), (Product.WHATSAPP, Product.FACEBOOK_PAGE)]
OUTCOMES: dict[str, list[Outcome]] = {
    "settle_linked": [LINKED],
    "settle_failed": [
        Refused(fail=own_fail()),
        Refused(fail=a_fail()),
        Refused(fail=own_fail(), is_discard=True),
    ],
    "settle_retry": [retry(), retry(max_failures=2)],
    "settle_snoozed": [SNOOZED],
    "settle_doubt": [DOUBTFUL],
}
#: What a call comes to that deletes a link.
OUTCOMES_OF_DELETES: dict[str, list[Outcome]] = {
    "settle_deleted": [Deleted(), Deleted(is_found=False, late_s=30)],
    "settle_finished": [Finished()],
    "settle_failed": [Refused(fail=own_fail()), Refused(fail=a_fail(), is_discard=True)],
    "settle_retry": [retry(), replace(retry(max_failures=2), is_maybe_done=True)],
    "settle_snoozed": [SNOOZED],
}
INSTEAD = {"settle_linked": "settle_deleted", "settle_doubt": "settle_finished"}
FINDINGS = [
    FoundOurs(linked=LINKED),
    FoundOurs(linked=LINKED, is_finished=True),
    FoundForeign(fail=own_fail("number_has_link")),
    None,
]
USUAL = {
    Act.REQUEUE: [JobState.FAILED, JobState.DEAD],
    Act.DISCARD: [JobState.FAILED],
    Act.RESTORE: [JobState.DEAD],
    Act.CANCEL: [JobState.RUNNING, JobState.AVAILABLE],
    Act.REPLACE: [JobState.LINKED, JobState.FAILED],
    Act.REVOKE: [JobState.LINKED, JobState.FAILED],
}
OPEN = WAITING_STATES | {JobState.RUNNING, JobState.IN_DOUBT}


@dataclass
class Seen:
    """What the model knows of one job."""

    number: str
    lease: Lease | None = None  #: the latest that was told to anybody
    is_delete: bool = False  #: that lease was for deleting its link
    is_calling: bool = False  #: a call was begun and nothing has settled what became of it
    settled_with: set[str] = field(default_factory=set)


class VerbsMachine(RuleBasedStateMachine):
    """Verbs of producers, workers, look-ups and operators, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = fakeredis.FakeAsyncRedis()
        self.desk: Desk = self.runner.run(Desk.open(self.client))
        self.ledger = self.desk.ledger
        self.seen: dict[str, Seen] = {}
        self.records: dict[str, JobRecord] = {}
        self.said: list[NewInvitation] = []
        self.pruned: set[str] = set()
        self.acts: dict[str, Act] = {}

    def teardown(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()

    def act(self, verb: str, deed: Callable[[], Awaitable[Any]], *, twice: bool = False) -> Any:
        """Do *deed* (again, as if its reply had been lost), and check what it moved."""
        reply = self.runner.run(deed())
        self.look(verb)
        if twice:
            again = self.runner.run(deed())
            self.look(verb)
            return again
        return reply

    def look(self, verb: str) -> None:
        """Read every job anew; each that moved must have moved as the table allows *verb* to."""
        jobs = [job for job in self.seen if job not in self.pruned]
        records = {record.id: record for record in self.runner.run(self.ledger.queries.jobs(jobs))}
        for job in jobs:
            before, after = self.records.get(job), records.get(job)
            if before is None or after is None or before.state is after.state:
                continue
            move = TRANSITIONS[verb]
            assert before.state in move.sources, (verb, before.state, after.state)
            assert after.state in move.targets, (verb, before.state, after.state)
            if after.state not in {JobState.RUNNING, JobState.IN_DOUBT}:
                self.seen[job].is_calling = False
        for job, record in records.items():
            if job in self.records:
                assert record.attempt >= self.records[job].attempt, "attempt only rises"
        self.records = records

    def pick(self, nth: int, *states: JobState) -> str:
        """Return some job, mostly one in those states."""
        jobs = sorted(job for job, record in self.records.items() if record.state in states)
        if not jobs or nth % 5 == 0:
            jobs = sorted(self.records)
        return jobs[nth % len(jobs)]

    def has_jobs(self) -> bool:
        return bool(self.records)

    # --- the way in ----------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        for number, products in zip(NUMBERS, PRODUCTS * 2, strict=True):
            self.accept_one(number, products, None, later=False, twice=False)

    @rule(
        number=st.sampled_from(NUMBERS),
        products=st.sampled_from(PRODUCTS),
        batch=st.sampled_from([None, "a"]),
        later=st.booleans(),
        twice=st.booleans(),
    )
    def accept(
        self, number: str, products: tuple[Product, ...], batch: str | None, later: bool, twice: bool
    ) -> None:
        self.accept_one(number, products, batch, later=later, twice=twice)

    def accept_one(
        self, number: str, products: tuple[Product, ...], batch: str | None, *, later: bool, twice: bool
    ) -> None:
        invitation = an_invitation(
            request=a_request(whatsapp=number, products=products),
            lane=Lane.BULK if batch else Lane.LIVE,
            batch_id=batch,
            not_before_ms=self.desk.now_ms + 20_000 if later else None,
        )
        self.say(invitation, twice=twice)

    @precondition(lambda self: self.said)
    @rule(nth=st.integers(0, 99))
    def accept_again(self, nth: int) -> None:
        """A producer that never got its answer says the same, however long ago it was."""
        before = len(self.records)
        self.say(self.said[nth % len(self.said)], twice=False)
        assert len(self.records) == before, "an invitation is recorded once"

    def say(self, invitation: NewInvitation, *, twice: bool) -> None:
        for _ in range(2 if twice else 1):
            [receipt] = self.runner.run(self.ledger.accept([invitation], max_waiting=30))
            if receipt.verdict is Verdict.ACCEPTED and receipt.job_ids[0] not in self.seen:
                self.said.append(invitation)
                for job in receipt.job_ids:
                    self.seen[job] = Seen(number=str(invitation.request.number))
            self.look("accept")

    @rule(lane=st.sampled_from(list(Lane)), want=st.integers(1, 8))
    def feed(self, lane: Lane, want: int) -> None:
        for job in self.act("feed", lambda: self.ledger.feed(lane, want=want)):
            assert self.records[job].state is JobState.AVAILABLE

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99))
    def hand_back(self, nth: int) -> None:
        self.act("hand_back", lambda: self.ledger.hand_back(self.pick(nth)))

    # --- an attempt ----------------------------------------------------------------------------------------

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99), is_lost=st.booleans())
    def claim(self, nth: int, is_lost: bool) -> None:
        self.claim_one(self.pick(nth, JobState.AVAILABLE), is_lost=is_lost)

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99))
    def begin_call(self, nth: int) -> None:
        self.begin_one(self.pick(nth, JobState.RUNNING))

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99), verb=st.sampled_from(sorted(OUTCOMES)), kind=st.integers(0, 2))
    def settle(self, nth: int, verb: str, kind: int) -> None:
        """Say it with the latest lease anybody was told, however old: it holds, or nothing changes."""
        self.settle_one(self.pick(nth, JobState.RUNNING, JobState.IN_DOUBT), verb, kind)

    @precondition(has_jobs)
    @rule(
        nth=st.integers(0, 99),
        verb=st.sampled_from([*OUTCOMES, "settle_failed", "crash"]),
        kind=st.integers(0, 2),
    )
    def attempt(self, nth: int, verb: str, kind: int) -> None:
        """Make a whole attempt, or one that ends in the middle of its call."""
        job = self.pick(nth, JobState.AVAILABLE)
        self.claim_one(job, is_lost=False)
        self.begin_one(job)
        if verb != "crash":
            self.settle_one(job, verb, kind)

    def claim_one(self, job: str, *, is_lost: bool) -> None:
        claimed = self.act("claim", lambda: self.ledger.claim(job, worker_id="w1", lease_s=60))
        if isinstance(claimed, ClaimedJob):
            self.seen[job].lease = None if is_lost else claimed.lease
            self.seen[job].is_delete = claimed.op in DELETING
            assert not is_lost or self.records[job].op == claimed.op

    def begin_one(self, job: str) -> None:
        lease = self.seen[job].lease
        if lease is None or not self.act("begin_call", lambda: self.ledger.begin_call(lease)):
            return
        assert self.records[job].state is JobState.RUNNING
        if job.endswith("w"):
            others = [
                other
                for other, seen in self.seen.items()
                if seen.is_calling and other.endswith("w") and seen.number == self.seen[job].number
            ]
            assert others in ([], [job]), "no create begins while another of the number is unresolved"
        self.seen[job].is_calling = True

    def settle_one(self, job: str, verb: str, kind: int) -> None:
        seen, before = self.seen[job], self.records[job].state
        lease = seen.lease
        if lease is None:
            return
        if seen.is_delete:
            verb = INSTEAD.get(verb, verb)
        possible = OUTCOMES_OF_DELETES[verb] if seen.is_delete else OUTCOMES[verb]
        outcome = possible[kind % len(possible)]
        settled = self.act(verb, lambda: self.ledger.settle(lease, outcome))
        if not settled.held:
            assert self.records[job].state is before
        elif lease.token in seen.settled_with and before is not JobState.IN_DOUBT:
            assert self.records[job].state is before, "a settle counts once"
        if settled.held:
            seen.settled_with.add(lease.token)
        again = self.act(verb, lambda: self.ledger.settle(lease, outcome))
        assert (again.held, again.state) == (settled.held, settled.state)

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def time_passes(self, seconds: int) -> None:
        self.desk.advance(seconds)

    # --- mending -------------------------------------------------------------------------------------------

    @rule(twice=st.booleans())
    def promote(self, twice: bool) -> None:
        self.act("promote", self.ledger.promote, twice=twice)

    @rule(twice=st.booleans())
    def rescue(self, twice: bool) -> None:
        self.act("rescue", self.ledger.rescue, twice=twice)

    @rule()
    def worker_dies(self) -> None:
        self.act("abandon", lambda: self.ledger.abandon("w1"))
        self.act("rescue", self.ledger.rescue)

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99), finding=st.sampled_from(FINDINGS), twice=st.booleans())
    def resolve(self, nth: int, finding: FoundOurs | FoundForeign | None, twice: bool) -> None:
        job = self.pick(nth, JobState.IN_DOUBT)
        found = finding or Absent(list_began_ms=self.desk.now_ms)
        self.act("resolve", lambda: self.ledger.resolve(job, found, grace_s=30), twice=twice)

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99))
    def prove_absence(self, nth: int) -> None:
        """Two complete lists, both begun long after the call."""
        job = self.pick(nth, JobState.IN_DOUBT)
        for _ in range(2):
            self.desk.advance(61)
            absent = Absent(list_began_ms=self.desk.now_ms)
            self.act("resolve", lambda it=absent: self.ledger.resolve(job, it, grace_s=30))

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99), kind=st.integers(0, 2))
    def explain(self, nth: int, kind: int) -> None:
        found = [FINDINGS[0], FINDINGS[1], own_fail("number_not_registered")][kind]
        job = self.pick(nth, JobState.FAILED)
        self.act("explain", lambda: self.ledger.explain(job, found))  # type: ignore[arg-type]

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99), verb=st.sampled_from(sorted(Act)), twice=st.booleans())
    def operator(self, nth: int, verb: Act, twice: bool) -> None:
        job = self.pick(nth, *USUAL[verb])
        self.act(verb, lambda: getattr(self.ledger, verb)(job, by="x", why="y"), twice=twice)

    @precondition(has_jobs)
    @rule(verb=st.sampled_from(sorted(Act)), is_canary=st.booleans())
    def start_bulk_act(self, verb: Act, is_canary: bool) -> None:
        """Freeze all jobs that are fit now; another act may have the same ones in its set."""
        act_id = f"a{len(self.acts)}"
        self.acts[act_id] = verb
        acts = self.ledger.acts
        self.runner.run(acts.open(act_id, verb, by="x"))
        weighed = self.runner.run(acts.add(act_id, sorted(self.records), seen=0))
        assert weighed is not None
        assert weighed.seen == len(self.records)
        assert self.runner.run(acts.freeze(act_id, seen=weighed.seen))
        self.runner.run(acts.start(act_id, by="x", why="y", is_canary=is_canary))
        self.look("nothing")

    @precondition(lambda self: self.acts)
    @rule(nth=st.integers(0, 99), deed=st.sampled_from(["step", "step", "step", "stop", "go_on"]))
    def drive_bulk_act(self, nth: int, deed: str) -> None:
        act_id = sorted(self.acts)[nth % len(self.acts)]
        acts = self.ledger.acts
        if deed == "step":
            self.act(self.acts[act_id], lambda: acts.step(act_id, rate=5), twice=True)
        else:
            self.runner.run(getattr(acts, deed)(act_id, by="x", why="y"))

    @precondition(has_jobs)
    @rule(nth=st.integers(0, 99))
    def release(self, nth: int) -> None:
        self.act("release", lambda: self.ledger.release(self.pick(nth, JobState.FAILED)))

    @rule(state=st.sampled_from([JobState.DEAD, JobState.CANCELLED, JobState.LINKED, JobState.ONBOARDED]))
    def prune(self, state: JobState) -> None:
        before = set(self.records)
        self.act("prune", lambda: self.ledger.prune({state: 40}, limit=2))
        self.pruned |= before - set(self.records)
        self.said = [each for each in self.said if f"{each.id}w" not in self.pruned]
