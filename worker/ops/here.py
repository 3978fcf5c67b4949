"""Why a job is where it is, and what happens to it next and when. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.change import under_way
from worker.domain.job import DeliveryRecord, HistoryEntry, JobRecord
from worker.domain.reasons import Catalogue, ReasonClass
from worker.domain.states import DeliveryState, JobState
from worker.ledger.survey import Whereabouts
from worker.ops.link_messages import of_present_link
from worker.ops.remedies import failed_with
from worker.ops.timeline import acted
from worker.ops.troubles import Cause
from worker.ops.views import iso
from worker.ops.words import Said, said

_SOON_S = 2.0
_LATE_MS = 60_000  #: after which a look-up that was due is not said to come within seconds
BY_POLICY = "policy"  #: who made a dead letter, where no person did
Next = dict[str, Any]
#: States whose reason is said, whatever it was to be done for; that is said beside it.
_OWN_REASONS = frozenset({JobState.SCHEDULED, JobState.FAILED, JobState.DEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One job with all that decides what is said of it."""

    job: JobRecord
    history: list[HistoryEntry]
    deliveries: list[DeliveryRecord]  #: those that carry its link, or one that it had before
    where: Whereabouts
    stops: list[Cause]  #: what keeps it waiting
    catalogue: Catalogue
    now_ms: int
    expected_s: float | None = None  #: until its call, as far as anybody can say
    expires_ms: int | None = None
    doubt_grace_s: float = 60.0
    invitation_wait_s: float = 600.0
    is_suppressed: bool = False  #: the customer is on the stop list

    @property
    def messages(self) -> list[DeliveryRecord]:
        """Return the messages that tell of its present link."""
        return of_present_link(self.job, self.deliveries)

    def because(self, reason: str | None) -> dict[str, Any]:
        """Return a reason with its meaning, for a sentence."""
        name = reason or "unknown_none"
        return {"reason": name, "meaning": self.catalogue.named(name).meaning}

    def latest(self, *events: str) -> Mapping[str, Any]:
        """Return what the newest entry of one of those kinds says."""
        found = (each.detail for each in reversed(self.history) if each.event in events)
        return next(found, {})


def why_here(case: Case) -> Said:
    """Return why the job is where it is; where its link is being changed, that first."""
    job = case.job
    change = under_way(job.op, job.state, job.product)
    if change is not None and not case.stops and job.state not in _OWN_REASONS:
        return said(f"changing_{change}")
    return _WHY[job.state](case)


def what_next(case: Case) -> Next | None:
    """Return what happens next, with `at` where that is known, or None where nothing does."""
    found = _NEXT[case.job.state](case)
    if found is None:
        return None
    what, at_ms = found
    return {**what, "at": iso(at_ms)}


# --- waiting -----------------------------------------------------------------------------------------------


def _why_available(case: Case) -> Said:
    if case.stops:
        return case.stops[0].what()
    if case.where.is_rung:
        return said("here_next_up")
    before, lane = _before(case), case.job.lane.value
    return said("here_in_line", count=before, lane=lane) if before else said("here_first", lane=lane)


def _before(case: Case) -> int:
    return (case.where.before or 0) + case.where.ahead.live + case.where.ahead.bulk


def _next_available(case: Case) -> tuple[Said, int | None]:
    if case.stops:
        return case.stops[0].remedy(), case.stops[0].until_ms
    if case.expected_s is None:
        return said("next_in_line"), None
    at_ms = case.now_ms + round(case.expected_s * 1000)
    if case.where.is_rung or case.expected_s < _SOON_S:
        return said("next_call_soon"), at_ms
    return said("next_call", expected_s=round(case.expected_s, 1)), at_ms


def _why_scheduled(case: Case) -> Said:
    job = case.job
    if job.due_at_ms is not None and job.due_at_ms <= case.now_ms:
        return said("here_due")
    put_off = case.latest("snoozed", "retry", "rescued", "requeued", "released")
    if case.history and case.history[-1].event == "snoozed":
        return said("here_snoozed", **case.because(put_off.get("reason")))
    if job.reason:
        return said("here_retry", **case.because(job.reason))
    return said("here_later")


def _next_scheduled(case: Case) -> tuple[Said, int | None]:
    due_ms = case.job.due_at_ms or case.now_ms
    for stop in case.stops:
        if stop.until_ms is None or stop.until_ms > due_ms:
            return said("next_due_stopped", due_at=iso(due_ms), remedy=stop.remedy()), stop.until_ms
    code = "next_due_again" if case.job.attempt else "next_due"
    return said(code, due_at=iso(due_ms)), due_ms


# --- at work and in doubt -----------------------------------------------------------------------------------


def _why_running(case: Case) -> Said:
    if (case.where.lease_end_ms or case.now_ms) < case.now_ms:
        return said("here_lease_over")
    began = case.where.call_began_ms
    return said("here_claimed") if began is None else said("here_calling", since_at=iso(began))


def _next_running(case: Case) -> tuple[Said, int | None]:
    until = case.where.lease_end_ms
    if until is None or until < case.now_ms:
        return said("next_rescue"), None
    code = "next_claimed" if case.where.call_began_ms is None else "next_answer"
    return said(code, until_at=iso(until)), until


def _why_in_doubt(case: Case) -> Said:
    if case.where.lists_without:
        return said("here_doubt_absent")
    return said("here_doubt", **case.because(case.job.reason))


def _next_in_doubt(case: Case) -> tuple[Said, int | None]:
    if case.stops:
        return case.stops[0].remedy(), case.stops[0].until_ms
    ended = case.where.call_ended_ms
    from_ms = None if ended is None else ended + round(case.doubt_grace_s * 1000)
    # Ours is seen in any list at once; only that there is none takes the grace.
    if from_ms is None or from_ms <= case.now_ms:
        is_late = from_ms is not None and case.now_ms - from_ms > _LATE_MS and not case.where.lists_without
        return said("next_lookup_late" if is_late else "next_lookup"), None
    return said("next_lookup_at", from_at=iso(from_ms)), from_ms


# --- linked: was the customer told? --------------------------------------------------------------------------


def _why_linked(case: Case) -> Said:
    channels = sorted({each.channel.value for each in case.messages if each.state is DeliveryState.SENT})
    if channels:
        return said("here_told", channels=channels)
    if waiting := _first_waiting(case):
        return _why_not_yet(waiting, case)
    if case.where.late_since_ms is not None:
        return said("here_suppressed" if case.is_suppressed else "here_waits_for_others")
    undone = _undone(case)
    return said("here_untold", **case.because(undone.reason)) if undone else said("here_nobody_to_tell")


def _why_not_yet(waiting: list[DeliveryRecord], case: Case) -> Said:
    """Return why the customer has not been sent the link, where a message with it is to go out."""
    has_gone_out = any(each.has_gone_out for each in waiting)
    if case.is_suppressed and _is_all_pending(waiting):
        return said("here_again_suppressed" if has_gone_out else "here_suppressed")
    if case.stops:
        return case.stops[0].what()
    if all(each.waits_for is not None for each in waiting):
        code = "here_again_window" if has_gone_out else "here_window"
        return said(code, until_at=iso(waiting[0].due_at_ms))
    return said("here_again" if has_gone_out else "here_telling")


def _first_waiting(case: Case) -> list[DeliveryRecord]:
    """Return the messages that are to go out, the first one first."""
    waiting = [each for each in case.messages if each.state in {DeliveryState.PENDING, DeliveryState.SENDING}]
    return sorted(waiting, key=lambda each: each.due_at_ms or 0)


def _is_all_pending(waiting: list[DeliveryRecord]) -> bool:
    # Of one that is being sent the stop list was asked before.
    return all(each.state is DeliveryState.PENDING for each in waiting)


def _undone(case: Case) -> DeliveryRecord | None:
    """Return the latest message with the link that did not go out, or None; of one that nobody tried only the last.

    Where there is no telephone number, that no SMS went out explains nothing.
    """
    undone = [each for each in reversed(case.messages) if each.reason]
    tried = (each for each in undone if each.state is not DeliveryState.SKIPPED)
    return next(tried, undone[0] if undone else None)


def _next_linked(case: Case) -> tuple[Said, int | None] | None:
    waiting = _first_waiting(case)
    if case.is_suppressed and _is_all_pending(waiting) and (waiting or case.where.late_since_ms is not None):
        return said("next_suppressed", job=case.job.id), None
    if waiting and case.stops:
        return case.stops[0].remedy(), case.stops[0].until_ms
    if waiting:
        return _next_message(waiting[0], case)
    if any(each.state is DeliveryState.SENT for each in case.messages):
        return said("next_customer"), None
    if case.where.late_since_ms is not None:
        until_ms = case.where.late_since_ms + round(case.invitation_wait_s * 1000)
        return said("next_others", until_at=iso(until_ms)), until_ms
    undone = _undone(case)
    return (_remedy_of_message(case, undone), None) if undone else (said("next_customer"), None)


def _next_message(first: DeliveryRecord, case: Case) -> tuple[Said, int | None]:
    channel, due_ms = first.channel.value, first.due_at_ms
    if first.waits_for is not None:
        return said("next_message_window", channel=channel, due_at=iso(due_ms)), due_ms
    if due_ms is None or due_ms <= case.now_ms + round(_SOON_S * 1000):
        return said("next_message", channel=channel), due_ms
    return said("next_message_at", channel=channel, due_at=iso(due_ms)), due_ms


# --- ended -------------------------------------------------------------------------------------------------


def _remedy(case: Case, reason: str | None) -> Said:
    name = reason or "unknown_none"
    return said("next_remedy", reason=name, remedy=failed_with(name, case.catalogue).remedy)


def _remedy_of_message(case: Case, message: DeliveryRecord) -> Said:
    name = message.reason or "unknown_none"
    if message.state is DeliveryState.FAILED:
        return said(
            "next_remedy", reason=name, remedy=failed_with(name, case.catalogue, is_message=True).remedy
        )
    return said("next_remedy", reason=name, remedy=case.catalogue.named(name).remedy)


def _why_failed(case: Case) -> Said:
    because = case.because(case.job.reason)
    if case.job.requeues:
        return said("here_failed_again", count=case.job.requeues, **because)
    return said("here_failed", **because)


def _next_failed(case: Case) -> tuple[Said, int | None]:
    if case.job.reason_class == ReasonClass.NOT_REGISTERED:
        return said("next_registered"), None
    return _remedy(case, case.job.reason), None


def _why_dead(case: Case) -> Said:
    because, job = case.because(case.job.reason), case.job
    if job.dead_by and job.dead_by != BY_POLICY:
        return acted("here_dead_by", job.dead_by, job.dead_why, **because)
    return said("here_dead_policy", **because)


def _next_dead(case: Case) -> tuple[Said, int | None] | None:
    if case.expires_ms is None:
        return None
    return said("next_expires", expires_at=iso(case.expires_ms)), case.expires_ms


def _why_cancelled(case: Case) -> Said:
    act = case.latest("cancelled", "cancel_asked")
    if "by" not in act:
        act = case.latest("cancel_asked")
    return acted("here_cancelled_by", act["by"], act.get("why")) if "by" in act else said("here_cancelled")


def _nothing(_case: Case) -> None:
    return None


_WHY: Mapping[JobState, Callable[[Case], Said]] = {
    JobState.AVAILABLE: _why_available,
    JobState.SCHEDULED: _why_scheduled,
    JobState.RUNNING: _why_running,
    JobState.IN_DOUBT: _why_in_doubt,
    JobState.LINKED: _why_linked,
    JobState.ONBOARDED: lambda _case: said("here_onboarded"),
    JobState.REVOKED: lambda _case: said("here_revoked"),
    JobState.FAILED: _why_failed,
    JobState.DEAD: _why_dead,
    JobState.CANCELLED: _why_cancelled,
}
_NEXT: Mapping[JobState, Callable[[Case], tuple[Said, int | None] | None]] = {
    JobState.AVAILABLE: _next_available,
    JobState.SCHEDULED: _next_scheduled,
    JobState.RUNNING: _next_running,
    JobState.IN_DOUBT: _next_in_doubt,
    JobState.LINKED: _next_linked,
    JobState.ONBOARDED: _nothing,
    JobState.REVOKED: _nothing,
    JobState.FAILED: _next_failed,
    JobState.DEAD: _next_dead,
    JobState.CANCELLED: _nothing,
}
