"""One attempt at a job, from the claim to the settle."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from worker.domain.ids import invitation_of, product_of
from worker.domain.job import ClaimedJob, ClaimRefusal, Lease, Settled
from worker.domain.outcome import Deleted, Doubtful, Finished, Linked, Outcome, Refused, Retry, Snoozed
from worker.domain.search import number_term
from worker.domain.states import JobState, Lane
from worker.ledger.accepting import ms
from worker.ledger.codec import fail_args, flag, linked_args, request_of
from worker.ledger.scripts import Scripts, text

_TOKEN_BYTES = 8
#: Renewed by one script: so many stay below 5 ms of the server's time.
LEASES_PER_SCRIPT = 200


def new_token(worker_id: str) -> str:
    """Return a lease token that names its worker, so that a dead worker's leases can be told by it."""
    return f"{worker_id}.{secrets.token_hex(_TOKEN_BYTES)}"


async def renewed(scripts: Scripts, leases: Sequence[Lease]) -> set[str]:
    """Let leases run anew from now, in one round trip; return the ids of those that are lost. Raises LedgerUnavailable."""
    calls: list[list[str | float]] = []
    for start in range(0, len(leases), LEASES_PER_SCRIPT):
        args: list[str | float] = ["renew"]
        for lease in leases[start : start + LEASES_PER_SCRIPT]:
            args += (lease.subject_id, lease.token, ms(lease.ttl_s))
        calls.append(args)
    replies = await scripts.run_all(calls) if calls else []
    return {text(subject) for reply in replies for subject in reply}


class Claiming:
    """A claim, with the begin of its call, on its way. Goes along with `Limits.acquire`, or by itself."""

    def __init__(self, scripts: Scripts, job_id: str, token: str, lease_s: float) -> None:
        self._scripts = scripts
        self._job_id = job_id
        self._token = token
        self._lease_s = lease_s
        #: None: nothing was claimed, and nothing refused
        self.result: ClaimedJob | ClaimRefusal | None = None

    def calls(self, *condition: str) -> list[tuple[str | float, ...]]:
        """Return the two verbs with their arguments; *condition*: see `lua/claim.lua`."""
        subject = (self._job_id, self._token, ms(self._lease_s))
        return [("claim", *subject, *condition), ("begin_call", *subject)]

    def commands(self, limit_key: str, slot_token: str) -> list[tuple[str | float, ...]]:
        """Return the same as commands of the server, to be run if the slot was granted and is now."""
        return [self._scripts.command(*call) for call in self.calls(limit_key, slot_token)]

    def read(self, replies: Sequence[Any]) -> None:
        """Take note of what they came to. An error of the server counts as nothing claimed: ask by itself."""
        claimed, is_begun = replies
        if isinstance(claimed, Exception) or text(claimed[0]) == "no_slot":
            return
        self.result = _claimed(claimed, self._job_id, self._token, self._lease_s)
        if isinstance(self.result, ClaimedJob) and (isinstance(is_begun, Exception) or not int(is_begun)):
            # The server stood still between the two for a whole lease, or has lost a script.
            self.result = ClaimRefusal.NOT_AVAILABLE


class Working:
    """The verbs of an attempt; each compares the lease's token and says whether it held."""

    _scripts: Scripts

    async def claim(self, job_id: str, *, worker_id: str, lease_s: float) -> ClaimedJob | ClaimRefusal:
        """Take an available job under a lease of *lease_s* seconds, counting an attempt.

        A job of a paused or held lane or batch goes back to its queue: PAUSED, HELD.
        Raises LedgerUnavailable (the claim may stand, until its lease runs out), LedgerFull.
        """
        token = new_token(worker_id)
        reply = await self._scripts.run("claim", job_id, token, ms(lease_s))
        return _claimed(reply, job_id, token, lease_s)

    async def begin_call(self, lease: Lease) -> bool:
        """Write down that the call begins now; the lease runs anew from here.

        Return False when the lease is lost or over: then the call must not be made. Raises LedgerUnavailable: the
        same.
        """
        reply = await self._scripts.run("begin_call", lease.subject_id, lease.token, ms(lease.ttl_s))
        return int(reply) == 1

    async def claim_and_begin(
        self, job_id: str, *, worker_id: str, lease_s: float
    ) -> ClaimedJob | ClaimRefusal:
        """Do `claim` and `begin_call`, one after the other, in one round trip: a live customer waits for neither.

        Raises LedgerUnavailable (the claim may stand and the call count as begun: the call must not be made),
        LedgerFull.
        """
        claiming = Claiming(self._scripts, job_id, new_token(worker_id), lease_s)
        claiming.read(await self._scripts.run_all(claiming.calls()))
        return claiming.result or ClaimRefusal.NOT_AVAILABLE

    async def claiming(self, job_id: str, *, worker_id: str, lease_s: float) -> Claiming:
        """Return `claim_and_begin` as something that may go along with the asking for a slot, in the same round trip.

        Raises LedgerUnavailable.
        """
        await self._scripts.give("claim", "begin_call")
        return Claiming(self._scripts, job_id, new_token(worker_id), lease_s)

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        """Let leases of jobs, deliveries and events run anew from now; return the ids of those that are lost.

        Raises LedgerUnavailable: any of them may be renewed.
        """
        return await renewed(self._scripts, leases)

    async def settle(self, lease: Lease, outcome: Outcome) -> Settled:
        """Write what an attempt came to, once, as the lease holder; the same settle again changes nothing.

        A lease that ran out but was not rescued yet still holds. The answer to a call that has been put in doubt is
        taken too. `deliveries` came due by it and are to be rung.
        Raises LedgerUnavailable: say the same again.
        """
        verb, args = _verb_for(outcome, lease.subject_id)
        return _settled(await self._scripts.run(verb, lease.subject_id, lease.token, *args))


def _claimed(reply: Sequence[Any], job_id: str, token: str, lease_s: float) -> ClaimedJob | ClaimRefusal:
    word = text(reply[0])
    if word != "claimed":
        return ClaimRefusal(word)
    return ClaimedJob(
        id=job_id,
        product=product_of(job_id),
        lane=Lane(text(reply[2])),
        batch_id=text(reply[3]) or None,
        attempt=int(reply[4]),
        failures=int(reply[5]),
        orphans=int(reply[6]),
        request=request_of(reply[7]),
        op=text(reply[8]) or None,
        replacements=int(reply[9]),
        linked_number=text(reply[10]) or None,
        lease=Lease(subject_id=job_id, token=token, expires_at_ms=int(reply[1]), ttl_s=lease_s),
    )


def _settled(reply: Sequence[Any]) -> Settled:
    if int(reply[0]) == 0:
        return Settled(held=False)
    state, more = JobState(text(reply[1])), tuple(text(item) for item in reply[2:])
    if state is JobState.AVAILABLE:
        return Settled(held=True, state=state, is_rung=bool(more))
    return Settled(held=True, state=state, deliveries=more)


def _verb_for(outcome: Outcome, job_id: str) -> tuple[str, tuple[Any, ...]]:
    """Return the script for *outcome* and what it takes after the job and the token."""
    match outcome:
        case Linked():
            return "settle_linked", linked_args(outcome, job_id)
        case Refused(fail=fail):
            return "settle_failed", (*fail_args(fail), flag(fail.is_own_data), flag(outcome.is_discard))
        case Retry(fail=fail):
            tail = (ms(outcome.delay_s), outcome.max_failures)
            marks = (flag(outcome.is_orphan), flag(outcome.is_maybe_done))
            return "settle_retry", (*fail_args(fail), flag(fail.is_own_data), *tail, *marks)
        case Snoozed():
            return "settle_snoozed", (outcome.reason, ms(outcome.delay_s))
        case Doubtful(fail=fail):
            return "settle_doubt", fail_args(fail)
        case Deleted() | Finished():
            return _delete_verb_for(outcome, job_id)


def _delete_verb_for(outcome: Deleted | Finished, job_id: str) -> tuple[str, tuple[Any, ...]]:
    if isinstance(outcome, Finished):
        return "settle_finished", ()
    term = number_term(outcome.number, invitation_of(job_id))
    return "settle_deleted", (flag(outcome.is_found), ms(outcome.late_s), term)
