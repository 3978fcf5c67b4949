"""One customer for a call: all links, messages and events on one screen, and what to say and do, in sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any

from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.phone import mask_email, mask_text
from worker.domain.reasons import ReasonClass
from worker.domain.search import Guess, guess
from worker.domain.states import Channel, DeliveryState, JobState
from worker.ops.here import Case, what_next, why_here
from worker.ops.job_page import case_of
from worker.ops.kin import all_of, customers_of, look_for
from worker.ops.scene import Scene
from worker.ops.timeline import Origin, timeline
from worker.ops.troubles import stand
from worker.ops.views import delivery_view, iso, job_view, shown_number
from worker.ops.words import Said, said

_CANDIDATES = 20
_TOLD_WHOLE = 20  #: jobs whose story is told; older ones are rows
_TIMELINE = 200
_ADVISED = 5
_NOBODY_TO_TELL = "no_contact"


async def customer(scene: Scene, query: str, *, is_revealed: bool = False) -> dict[str, Any]:
    """Return the customer that *query* means: a number, an address, a name, or any of his ids.

    Where it may mean several, they are `candidates`, each with the `query` that means him alone.
    Raises LedgerUnavailable, LimitsUnavailable.
    """
    wanted = guess(query, region=scene.region)
    found, is_whole = await look_for(scene, wanted)
    customers = customers_of(found)
    if wanted.kind is Guess.JOB_ID:
        customers = customers[:1]
    document: dict[str, Any] = {
        "query": query.strip(),
        "kind": wanted.kind.value,
        "found": bool(customers),
        "candidates": [],
        "customer": None,
        "headline": None,
        "advice": [],
        "links": [],
        "messages": [],
        "timeline": [],
        "total": len(found),
        "is_total_exact": is_whole,
        "is_revealed": is_revealed,
    }
    if len(customers) > 1:
        shown = customers[:_CANDIDATES]
        candidates = [_candidate(jobs, is_revealed=is_revealed) for jobs in shown]
        return document | {"candidates": candidates, "total": len(customers)}
    if not customers:
        return document
    jobs, is_whole = await all_of(scene, customers[0])
    return document | await _whole(scene, jobs, is_revealed=is_revealed) | {"is_total_exact": is_whole}


def _candidate(jobs: list[JobRecord], *, is_revealed: bool) -> dict[str, Any]:
    newest = jobs[0]
    return {
        "query": newest.id,
        "name": newest.request.business_name or newest.request.display_name,
        "number": shown_number(newest.number, is_revealed=is_revealed),
        "email": _shown_email(newest.request.contact.email, is_revealed=is_revealed),
        "source": newest.source,
        "jobs": len(jobs),
        "states": dict(Counter(job.state.value for job in jobs)),
        "last_at": iso(newest.changed_at_ms),
    }


async def _whole(scene: Scene, jobs: list[JobRecord], *, is_revealed: bool) -> dict[str, Any]:
    now = await stand(scene)
    cases = [await case_of(scene, job, now) for job in jobs[:_TOLD_WHOLE]]
    links = [_link(case, is_revealed=is_revealed) for case in cases]
    links += [job_view(job, scene.catalogue, is_revealed=is_revealed) for job in jobs[_TOLD_WHOLE:]]
    deliveries = {each.id: (each, case.job) for case in cases for each in case.deliveries}
    return {
        "customer": _who(jobs, is_revealed=is_revealed),
        "headline": _headline(cases),
        "advice": [_advice(case) for case in _advised(cases)],
        "links": links,
        "messages": [
            _message(each, job, scene, is_revealed=is_revealed) for each, job in deliveries.values()
        ],
        "timeline": _story(cases, is_revealed=is_revealed),
        "total": len(jobs),
    }


def _who(jobs: list[JobRecord], *, is_revealed: bool) -> dict[str, Any]:
    newest = jobs[0]
    contact = newest.request.contact
    numbers = dict.fromkeys(job.number for job in jobs if job.number)
    return {
        "query": newest.id,
        "name": newest.request.business_name or newest.request.display_name,
        "contact_name": contact.name if is_revealed else None,
        "number": shown_number(newest.number, is_revealed=is_revealed),
        "email": _shown_email(contact.email, is_revealed=is_revealed),
        "phone": shown_number(contact.phone, is_revealed=is_revealed),
        "locale": contact.locale,
        "numbers": [shown_number(each, is_revealed=is_revealed) for each in numbers],
        "external_ids": list(dict.fromkeys(j.request.external_id for j in jobs if j.request.external_id)),
        "references": list(dict.fromkeys(j.request.reference for j in jobs if j.request.reference)),
        "sources": list(dict.fromkeys(job.source for job in jobs)),
    }


def _shown_email(address: str | None, *, is_revealed: bool) -> str | None:
    return address if is_revealed or not address else mask_email(address)


def _link(case: Case, *, is_revealed: bool) -> dict[str, Any]:
    job = case.job

    def shown(link: str | None) -> str | None:
        return link if is_revealed or link is None else mask_text(link)

    return {
        **job_view(job, case.catalogue, is_revealed=is_revealed),
        "link": shown(job.link),
        "landing_page": shown(job.landing_page),
        "why_here": why_here(case),
        "next": what_next(case),
    }


def _message(each: DeliveryRecord, job: JobRecord, scene: Scene, *, is_revealed: bool) -> dict[str, Any]:
    contact = job.request.contact
    if each.channel is Channel.EMAIL:
        to = _shown_email(contact.email, is_revealed=is_revealed)
    else:
        to = shown_number(contact.phone, is_revealed=is_revealed)
    return {**delivery_view(each, scene.catalogue), "to": to}


def _story(cases: list[Case], *, is_revealed: bool) -> list[dict[str, Any]]:
    """Return what happened to all jobs, oldest first; a message with several links is told of once."""
    told: set[str] = set()
    entries: list[dict[str, Any]] = []
    for case in cases:
        fresh = [each for each in case.deliveries if each.id not in told]
        told |= {each.id for each in fresh}
        of_job = timeline(
            case.job, case.history, fresh, [], case.catalogue, origin=Origin(), is_revealed=is_revealed
        )
        entries += [{**entry, "job_id": case.job.id, "product": case.job.product.value} for entry in of_job]
    return sorted(entries, key=lambda entry: str(entry["at"]))[-_TIMELINE:]


# --- in sentences ------------------------------------------------------------------------------------------

_OVER = frozenset({JobState.DEAD, JobState.CANCELLED, JobState.REVOKED})
_UNDER_WAY = frozenset({JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING})


def _headline(cases: list[Case]) -> Said:
    """Return in a sentence how the customer stands."""
    counts = Counter(_stage(case) for case in cases)
    current = {stage: count for stage, count in counts.items() if stage != "ended"}
    if not current:
        return said("customer_ended")
    if len(current) == 1:
        return said(f"customer_{next(iter(current))}")
    return said(
        "customer_mixed",
        count=sum(current.values()),
        onboarded=counts["onboarded"],
        linked=counts["linked"] + counts["sent"],
        waiting=counts["waiting"] + counts["doubt"],
        failed=counts["failed"],
    )


def _stage(case: Case) -> str:
    state = case.job.state
    if state in _UNDER_WAY:
        return "waiting"
    if state is JobState.LINKED:
        return "sent" if any(each.state is DeliveryState.SENT for each in case.deliveries) else "linked"
    if state in _OVER:
        return "ended"
    return "doubt" if state is JobState.IN_DOUBT else state.value


def _advised(cases: list[Case]) -> list[Case]:
    """Return the cases to say something about: what has ended only where nothing else is left."""
    current = [case for case in cases if case.job.state not in _OVER]
    return (current or cases)[:_ADVISED]


def _advice(case: Case) -> dict[str, Any]:
    what, command = _to_do(case)
    job = case.job
    return {**what, "command": command, "job_id": job.id, "product": job.product.value}


def _to_do(case: Case) -> tuple[Said, str | None]:
    """Return what to say or do about one job, and the command that does it."""
    state = case.job.state
    if state is JobState.LINKED:
        return _about_messages(case)
    if state is JobState.FAILED:
        return _about_failure(case)
    if state in _UNDER_WAY:
        return _about_waiting(case), None
    command = f"linkferry failed requeue {case.job.id}" if state is JobState.DEAD else None
    return said(f"advice_{state.value}"), command


def _about_waiting(case: Case) -> Said:
    return said("advice_stopped", cause=case.stops[0].what()) if case.stops else said("advice_in_line")


def _about_failure(case: Case) -> tuple[Said, str | None]:
    reason = case.job.reason or "unknown_none"
    verb = "edit" if case.job.reason_class == ReasonClass.BAD_DATA else "requeue"
    what = said("advice_failed", reason=reason, remedy=case.catalogue.named(reason).remedy)
    return what, f"linkferry failed {verb} {case.job.id}"


def _about_messages(case: Case) -> tuple[Said, str | None]:
    resend = f"linkferry resend {case.job.id}"
    by_state = {each.state: each for each in case.deliveries}  # the latest of each
    if sent := by_state.get(DeliveryState.SENT):
        return said("advice_sent", channel=sent.channel.value, sent_at=iso(sent.changed_at_ms)), resend
    if doubt := by_state.get(DeliveryState.IN_DOUBT):
        params = {"channel": doubt.channel.value, "sent_at": iso(doubt.changed_at_ms)}
        return said("advice_message_doubt", **params), resend
    if by_state.keys() & {DeliveryState.PENDING, DeliveryState.SENDING}:
        return said("advice_in_line"), None
    undone = by_state.get(DeliveryState.FAILED) or by_state.get(DeliveryState.SKIPPED)
    if undone is None or undone.reason == _NOBODY_TO_TELL:
        return said("advice_no_contact"), f"{resend} --to ADDRESS"
    because = case.because(undone.reason)
    return said("advice_not_sent", channel=undone.channel.value, **because), f"{resend} --to ADDRESS"
