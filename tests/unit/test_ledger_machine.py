"""The ledger against the table of moves: any verbs in any order, replies lost, leases stale, time passing.

The model knows little on purpose: which moves each verb may make, whose lease is the last one, and what must be
true after every step whatever happened.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.unit.ledger_machine import NUMBERS, OPEN, VerbsMachine
from worker.domain.act import Act
from worker.domain.outcome import Sent
from worker.domain.send_window import ClosedTimes
from worker.domain.states import CLAIM_FREE_STATES, Channel, JobState

#: Some thousand scripts: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(300)


class LedgerMachine(VerbsMachine):
    """Any verb at any time, messages and the life of a link among them; and what is true whatever happened."""

    # --- guards and messages -------------------------------------------------------------------------------

    @rule(
        scope=st.sampled_from(["live", "bulk", "batch:a"]),
        deed=st.sampled_from(["pause", "resume", "resume", "clear_hold", "clear_hold"]),
    )
    def guard(self, scope: str, deed: str) -> None:
        self.act(deed, lambda: getattr(self.ledger.batches, deed)(scope))

    @precondition(VerbsMachine.has_jobs)
    @rule(nth=st.integers(0, 99), deed=st.sampled_from([Act.REPLACE, Act.REVOKE, "complete"]))
    def send_beside_a_change(self, nth: int, deed: str) -> None:
        """A link is changed, or finished, between a message's claim and its leaving: then it does not leave as it is."""
        deliveries, completing = self.ledger.deliveries, self.ledger.completing
        for delivery in self.act("due", lambda: deliveries.due(Channel.EMAIL, want=3)):
            claimed = self.act(
                "delivery_claim", lambda it=delivery: deliveries.claim(it, worker_id="w1", lease_s=60)
            )
            if claimed is None:
                continue
            link = claimed.links[nth % len(claimed.links)]
            if deed == "complete":
                self.act("complete", lambda it=link: completing.complete(it.job_id, how="list"))
            else:
                self.act(deed, lambda it=link: getattr(self.ledger, deed)(it.job_id, by="x", why="y"))
            stands = all(self.records[each.job_id].state is JobState.LINKED for each in claimed.links)
            begun = self.act("begin_send", lambda it=claimed: deliveries.begin_send(it.lease))
            assert begun == stands

    @rule(is_lost=st.booleans())
    def send(self, is_lost: bool) -> None:
        deliveries = self.ledger.deliveries
        for delivery in self.act("due", lambda: deliveries.due(Channel.EMAIL, want=3)):
            claimed = self.act(
                "delivery_claim", lambda it=delivery: deliveries.claim(it, worker_id="w1", lease_s=60)
            )
            if claimed is None or is_lost:
                continue
            assert {link.job_id[:-1] for link in claimed.links} == {claimed.invitation_id}
            lease = claimed.lease
            assert self.act("begin_send", lambda it=lease: deliveries.begin_send(it))
            held = self.act(
                "sent", lambda it=lease: deliveries.settle(it, Sent(), can_resend=True), twice=True
            )
            assert held
        self.act("delivery_rescue", deliveries.rescue)

    # --- the life of a link --------------------------------------------------------------------------------

    @precondition(VerbsMachine.has_jobs)
    @rule(nth=st.integers(0, 99), how=st.sampled_from(["list", "webhook"]), twice=st.booleans())
    def complete(self, nth: int, how: str, twice: bool) -> None:
        """Tell that a customer has finished, whatever is being done to his link."""
        job = self.pick(nth, JobState.LINKED, JobState.AVAILABLE, JobState.FAILED)
        op, completing = self.records[job].op, self.ledger.completing
        self.act("complete", lambda: completing.complete(job, how=how), twice=twice)
        if self.records[job].state is JobState.ONBOARDED:
            assert self.records[job].next_request is None
            assert op != "rc" or not job.endswith("w"), "nobody finishes by a link that is deleted"

    @precondition(VerbsMachine.has_jobs)
    @rule(nth=st.integers(0, 99), is_begun_late=st.booleans())
    def vanish(self, nth: int, is_begun_late: bool) -> None:
        """Tell of two lists without the link; those begun before it was made say nothing."""
        job = self.pick(nth, JobState.LINKED)
        since_ms = self.records[job].changed_at_ms
        for _ in range(2):
            self.desk.advance(61 if is_begun_late else 0)
            began_ms = self.desk.now_ms if is_begun_late else since_ms
            self.act(
                "vanish", lambda it=began_ms: self.ledger.completing.vanish(job, it, grace_s=60, apart_s=30)
            )
        if not is_begun_late:
            assert self.records[job].changed_at_ms == since_ms

    @rule(is_live_exempt=st.booleans())
    def put_off(self, is_live_exempt: bool) -> None:
        """Let the send window be closed for a while: what is due waits, and what is linked meanwhile joins it."""
        now_ms = self.desk.now_ms
        closed = ClosedTimes(
            spans=((now_ms - 1, now_ms + 40_000),),
            known_from_ms=now_ms - 1,
            known_until_ms=now_ms + 86_400_000,
            is_live_exempt=is_live_exempt,
        )
        self.act("due", lambda: self.ledger.deliveries.due(Channel.EMAIL, want=9, closed=closed))

    @rule(number=st.sampled_from([1, 2]))
    def remind(self, number: int) -> None:
        """Make the reminders of links that were sent a while ago."""
        self.act("remind", lambda: self.ledger.reminding.remind(number, after_s=30.0 * number))

    @rule()
    def late_invitations(self) -> None:
        """Send out in part what waits too long; what can't be is not looked at again."""
        deliveries = self.ledger.deliveries
        for invitation in self.runner.run(deliveries.late_invitations(30, 10)):
            self.act("fan_out", lambda it=invitation: deliveries.fan_out(it), twice=True)
        assert self.runner.run(deliveries.late_invitations(30, 10)) == []

    @precondition(VerbsMachine.has_jobs)
    @rule(nth=st.integers(0, 99))
    def resend(self, nth: int) -> None:
        """Ask for the messages of a job once more."""
        job = self.pick(nth, JobState.LINKED)
        deliveries = self.ledger.deliveries
        for each in self.runner.run(deliveries.of_invitation(job[:-1])):
            self.act("resend", lambda it=each.id: deliveries.resend(it, by="x", why="y"), twice=True)

    # --- what is true after every step ---------------------------------------------------------------------

    @invariant()
    def books_balance(self) -> None:
        audit = self.runner.run(self.ledger.queries.audit())
        assert audit.difference == 0
        assert audit.wrong == ()
        assert audit.accepted == len(self.seen)

    @invariant()
    def every_bulk_act_knows_what_came_of_each(self) -> None:
        marks = self.runner.run(self.marks())
        for act_id in self.acts:
            act = self.runner.run(self.ledger.acts.get(act_id))
            assert act is not None
            assert act.done + sum(act.refused.values()) == act.at <= act.total
            assert act.in_flight == sum(mark.split(":")[0] == act_id for mark in marks)

    async def marks(self) -> list[str]:
        """Return which act, if any, each job is under way for."""
        found = [await self.client.hget(f"{{test}}:j:{job}", "z") for job in self.records]
        return [mark.decode() for mark in found if mark is not None]

    @invariant()
    def a_change_is_under_way_only_where_one_can_be(self) -> None:
        for record in self.records.values():
            if record.op is not None:
                assert record.state not in {
                    JobState.LINKED,
                    JobState.ONBOARDED,
                    JobState.CANCELLED,
                    JobState.REVOKED,
                }

    @invariant()
    def one_job_stands_on_a_number(self) -> None:
        for number in NUMBERS:
            standing = [
                job
                for job, record in self.records.items()
                if job.endswith("w") and record.number == number and record.state not in CLAIM_FREE_STATES
            ]
            assert len(standing) <= 1

    @invariant()
    def every_link_is_told_once_its_invitation_is_over(self) -> None:
        for inv in {job[:-1] for job in self.records}:
            family = [record for job, record in self.records.items() if job[:-1] == inv]
            linked = {record.id for record in family if record.state is JobState.LINKED}
            if not linked or any(record.state in OPEN for record in family):
                continue
            told = self.runner.run(self.ledger.deliveries.of_invitation(inv))
            assert linked <= {job for delivery in told for job in delivery.job_ids}


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
