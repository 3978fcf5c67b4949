"""One customer for a call: all links, messages and events on one screen, and what to say and do, in sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any

from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.phone import mask_text
from worker.domain.search import Guess, guess
from worker.domain.states import JobState
from worker.ops.customer_said import Call, advised, facts, headline, reminders_to_come
from worker.ops.here import Case, what_next, why_here
from worker.ops.job_page import case_of, origin_of
from worker.ops.kin import all_of, customers_of, look_for
from worker.ops.link_messages import tells
from worker.ops.partner_view import AskPartner, PartnerView
from worker.ops.recipients import sent_to, shown_email
from worker.ops.scene import Scene
from worker.ops.suppressing import StopList
from worker.ops.timeline import Origin, remark, timeline
from worker.ops.troubles import stand
from worker.ops.views import delivery_view, iso, job_view, shown_number

_CANDIDATES = 20
_TOLD_WHOLE = 20  #: jobs whose story is told; older ones are rows
_TIMELINE = 200
#: States in which a customer may have, or get, a link at the partner: then it is asked.
_AT_PARTNER = frozenset(JobState) - {JobState.CANCELLED, JobState.REVOKED}


async def customer(
    scene: Scene, query: str, *, is_revealed: bool = False, ask: AskPartner | None = None
) -> dict[str, Any]:
    """Return the customer that *query* means: a number, an address, a name, or any of his ids.

    Where it may mean several, they are `candidates`, each with the `query` that means him alone. *ask*: asks the
    partner what it says right now, where one customer was found; None: it is left alone.
    Raises LedgerUnavailable, LimitsUnavailable.
    """
    wanted = guess(query, region=scene.region)
    found, is_whole = await look_for(scene, wanted, typed=query.strip())
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
        "suppressed": [],
        "is_partner_asked": False,
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
    view = await _asked(scene, jobs, ask)
    whole = await _whole(scene, jobs, view, is_revealed=is_revealed)
    return document | whole | {"is_partner_asked": view is not None, "is_total_exact": is_whole}


async def _asked(scene: Scene, jobs: list[JobRecord], ask: AskPartner | None) -> PartnerView | None:
    if ask is None or not any(job.state in _AT_PARTNER for job in jobs[:_TOLD_WHOLE]):
        return None
    return PartnerView(await ask(), scene.catalogue)


def _candidate(jobs: list[JobRecord], *, is_revealed: bool) -> dict[str, Any]:
    newest = jobs[0]
    return {
        "query": newest.id,
        "name": newest.request.business_name or newest.request.display_name,
        "number": shown_number(newest.number, is_revealed=is_revealed),
        "email": shown_email(newest.request.contact.email, is_revealed=is_revealed),
        "source": newest.source,
        "jobs": len(jobs),
        "states": dict(Counter(job.state.value for job in jobs)),
        "last_at": iso(newest.changed_at_ms),
    }


async def _whole(
    scene: Scene, jobs: list[JobRecord], view: PartnerView | None, *, is_revealed: bool
) -> dict[str, Any]:
    calls = await _calls(scene, jobs[:_TOLD_WHOLE], view, is_revealed=is_revealed)
    cases = [call.case for call in calls]
    links = _links(calls)
    links += [job_view(job, scene.catalogue, is_revealed=is_revealed) for job in jobs[_TOLD_WHOLE:]]
    deliveries = {each.id: (each, case) for case in cases for each in case.deliveries}
    stopped = await StopList(scene.ledger).of((job.request for job in jobs), is_revealed=is_revealed)
    return {
        "customer": _who(jobs, is_revealed=is_revealed),
        "headline": headline(calls),
        "advice": advised(calls),
        "links": links,
        "messages": [
            {
                **delivery_view(each, scene.catalogue),
                **await sent_to(scene.ledger, each, case, is_revealed=is_revealed),
            }
            for each, case in deliveries.values()
        ],
        "timeline": _cut(
            _story(cases, await _origins(scene, cases), is_revealed=is_revealed),
            is_cut=len(jobs) > _TOLD_WHOLE,
        ),
        "suppressed": stopped,
        "total": len(jobs),
    }


async def _calls(
    scene: Scene, jobs: list[JobRecord], view: PartnerView | None, *, is_revealed: bool
) -> list[Call]:
    """Return the jobs with all that is known of each; raises LedgerUnavailable, LimitsUnavailable."""
    now = await stand(scene)
    invitations = list(dict.fromkeys(job.invitation_id for job in jobs))
    outlooks = await scene.ledger.reminding.outlook(invitations) if scene.reminders_s else {}
    return [
        Call(
            case=await case_of(scene, job, now),
            outlook=outlooks.get(job.invitation_id),
            reminders_s=scene.reminders_s,
            partner=None if view is None else view.says(job),
            is_revealed=is_revealed,
        )
        for job in jobs
    ]


def _who(jobs: list[JobRecord], *, is_revealed: bool) -> dict[str, Any]:
    newest = jobs[0]
    contact = newest.request.contact
    numbers = dict.fromkeys(job.number for job in jobs if job.number)
    return {
        "query": newest.id,
        "name": newest.request.business_name or newest.request.display_name,
        "contact_name": contact.name if is_revealed else None,
        "number": shown_number(newest.number, is_revealed=is_revealed),
        "email": shown_email(contact.email, is_revealed=is_revealed),
        "phone": shown_number(contact.phone, is_revealed=is_revealed),
        "locale": contact.locale,
        "numbers": [shown_number(each, is_revealed=is_revealed) for each in numbers],
        "external_ids": list(dict.fromkeys(j.request.external_id for j in jobs if j.request.external_id)),
        "references": list(dict.fromkeys(j.request.reference for j in jobs if j.request.reference)),
        "sources": list(dict.fromkeys(job.source for job in jobs)),
    }


def _links(calls: list[Call]) -> list[dict[str, Any]]:
    """Return each link with what is known of it; the reminder to come of an invitation's links is told once."""
    links: list[dict[str, Any]] = []
    told: set[tuple[str, str]] = set()
    for call in calls:
        link = _link(call)
        coming = {each["text"] for each in reminders_to_come(call)}
        invitation = call.case.job.invitation_id
        link["facts"] = [
            each
            for each in link["facts"]
            if each["text"] not in coming or (invitation, each["text"]) not in told
        ]
        told |= {(invitation, text) for text in coming}
        links.append(link)
    return links


def _link(call: Call) -> dict[str, Any]:
    case, is_revealed = call.case, call.is_revealed
    job = case.job

    def shown(link: str | None) -> str | None:
        return link if is_revealed or link is None else mask_text(link)

    return {
        **job_view(job, case.catalogue, is_revealed=is_revealed),
        "link": shown(job.link),
        "landing_page": shown(job.landing_page),
        "why_here": why_here(case),
        "next": what_next(case),
        "facts": facts(call),
    }


async def _origins(scene: Scene, cases: list[Case]) -> dict[str | None, Origin]:
    batches = {case.job.batch_id for case in cases if case.job.batch_id}
    return {each: origin_of(await scene.ledger.batches.get(each)) for each in sorted(batches)}


def _story(
    cases: list[Case], origins: dict[str | None, Origin], *, is_revealed: bool
) -> list[dict[str, Any]]:
    """Return what happened to all jobs, oldest first; a message with several links is told of once."""
    told: set[str] = set()
    entries: list[dict[str, Any]] = []
    for case in cases:
        fresh = [each for each in case.deliveries if each.id not in told and _is_told_here(each, case, cases)]
        told |= {each.id for each in fresh}
        of_job = timeline(
            case.job,
            case.history,
            fresh,
            [],
            case.catalogue,
            origin=origins.get(case.job.batch_id, Origin()),
            is_revealed=is_revealed,
        )
        entries += [{**entry, "job_id": case.job.id, "product": case.job.product.value} for entry in of_job]
    return sorted(entries, key=lambda entry: str(entry["at"]))


def _cut(story: list[dict[str, Any]], *, is_cut: bool) -> list[dict[str, Any]]:
    """Return the newest of a long story, told to be that: *is_cut* where it lacks older jobs already."""
    if not is_cut and len(story) <= _TIMELINE:
        return story
    told = story[-_TIMELINE:]
    return [{**told[0], **remark(told[0]["at"], "story_cut")}, *told]


def _is_told_here(each: DeliveryRecord, case: Case, cases: list[Case]) -> bool:
    """Tell whether a message is told of with this job: one of those whose present link it brings, if any."""
    if tells(case.job, each):
        return True
    return not any(each.id in {one.id for one in other.messages} for other in cases)
