"""How requests, jobs and deliveries are written into the ledger, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from worker.domain.event import EventState
from worker.domain.ids import invitation_of, product_of
from worker.domain.job import DeliveryRecord, HistoryEntry, JobRecord, NewInvitation, Receipt, Verdict
from worker.domain.outcome import Fail, FoundForeign, FoundOurs, Linked
from worker.domain.outgoing import OutgoingState
from worker.domain.request import OnboardingRequest, Product
from worker.domain.search import changed_terms, number_term
from worker.domain.states import Channel, DeliveryState, JobState, Lane
from worker.ledger.keys import UNIT_SEPARATOR as US
from worker.ledger.records import Known, Mended
from worker.ledger.scripts import fields_of, text

_CODES = {product: product.code for product in Product}
#: The header line's parts, in order; the Lua function `header_of` reads the same.
HEADER = (
    "fingerprint",
    "contact_mark",
    "products",
    "claim",
    "event",
    "channels",
    "policy",
    "skips",
    "source",
    "line",
)
_SEPARATORS = len(HEADER) - 1
_SOURCE = HEADER.index("source")
RAW_LIMIT = 2_000
_VERDICTS = {
    "A": Verdict.ACCEPTED,
    "D": Verdict.DUPLICATE,
    "C": Verdict.CONFLICT,
    "K": Verdict.CONFLICT,
    "I": Verdict.CONFLICT,
}
_REFUSED = {"F": Verdict.FULL, "X": Verdict.CANCELLED}
_NUMBERS_IN_HISTORY = frozenset(
    {"attempt", "failures", "code", "list_began_ms", "began_ms", "call_ms", "due_ms", "was_ms"}
)


def codes_of(invitation: NewInvitation) -> str:
    """Return the product codes of an invitation's jobs, one character each."""
    return "".join([_CODES[product] for product in invitation.request.products])


def invitation_args(invitation: NewInvitation) -> tuple[str, ...]:
    """Return what `accept.lua` takes for one invitation; raises ValueError for a part that cannot be kept."""
    new, codes = invitation, codes_of(invitation)
    event, line = new.event_key or "", new.line
    skips = ",".join([f"{channel}={reason}" for channel, reason in new.skips]) if new.skips else ""
    header = (
        f"{new.fingerprint}{US}{new.contact_mark}{US}{codes}{US}{new.claim_key}{US}{event}{US}"
        f"{','.join(new.channels)}{US}{new.channel_policy}{US}{skips}{US}{new.source}{US}"
        f"{'' if line is None else line}"
    )
    if not codes or header.count(US) != _SEPARATORS or "\n" in header:
        raise ValueError("an invitation needs products, and keys without line breaks")
    due = "" if new.not_before_ms is None else str(new.not_before_ms)
    record = f"{header}\n{new.request.encode()}"
    return new.id, codes, new.lane.value, new.batch_id or "", due, new.claim_key, event, record


def receipt_of(invitation: NewInvitation, reply: Any) -> Receipt:
    """Return what `accept.lua` answered for one invitation."""
    answer, inv = text(reply), invitation.id
    if answer in {"A", "R"}:
        jobs = tuple([inv + _CODES[product] for product in invitation.request.products])
        state = JobState.AVAILABLE if invitation.not_before_ms is None else JobState.SCHEDULED
        ring = jobs if answer == "R" else ()
        return Receipt(verdict=Verdict.ACCEPTED, invitation_id=inv, job_ids=jobs, state=state, ring=ring)
    if answer in _REFUSED:
        return Receipt(verdict=_REFUSED[answer], invitation_id=inv)
    verdict, owner, codes, state_word, differs, replaceable = answer.split(US)
    jobs = tuple([owner + code for code in codes])
    is_repeat = verdict == "A"
    return Receipt(
        verdict=_VERDICTS[verdict],
        invitation_id=owner,
        job_ids=jobs,
        state=JobState(state_word),
        contact_differs=differs == "1",
        is_replaceable=replaceable == "1",
        is_key_reused=verdict == "K",
        is_anothers_id=verdict == "I",
        # Rung once more: the answer that named these bells was lost.
        ring=jobs if is_repeat and invitation.lane is Lane.LIVE and state_word == "available" else (),
    )


def split_record(record: Any) -> tuple[dict[str, str], str]:
    """Return the header's parts and the request's JSON."""
    line, _, request = text(record).partition("\n")
    return dict(zip(HEADER, line.split(US), strict=True)), request


class Head(NamedTuple):
    """How a record's header begins; all empty where there is no record."""

    fingerprint: str
    contact_mark: str
    products: str
    source: str


def head_of(beginning: Any) -> Head:
    """Return the first parts of a header out of a record's first bytes."""
    parts = text(beginning).split(US, _SEPARATORS)
    if len(parts) <= len(Head._fields):
        return Head("", "", "", "")
    source = parts[_SOURCE] if len(parts) > _SEPARATORS else ""
    return Head(parts[0], parts[1], parts[2], source)


def known_of(owner: str, head: Head, state: Any) -> Known:
    """Return who stands on a claim: the invitation, how its record begins, and the state of its first job."""
    return Known(
        invitation_id=owner,
        job_ids=tuple(owner + code for code in head.products),
        state=JobState.CANCELLED if state is None else JobState(text(state)),
        fingerprint=head.fingerprint,
        contact_mark=head.contact_mark,
        source=head.source,
    )


def join_record(header: Mapping[str, str], request: OnboardingRequest) -> str:
    """Return the record for a header and a request."""
    return US.join(header[part] for part in HEADER) + "\n" + request.encode()


def request_of(record: Any) -> OnboardingRequest:
    """Return the request in a record."""
    return OnboardingRequest.decode(text(record).partition("\n")[2])


def base_of(record: Any, base: OnboardingRequest) -> str:
    """Return a record as it would lie there with *base* in it: a script finds any other in its place."""
    # Where it is the same request, as it is written: another version may have written it in another way.
    return text(record) if request_of(record) == base else join_record(split_record(record)[0], base)


def fail_args(fail: Fail) -> tuple[str, str, str, str, str]:
    """Return reason, class, code, raw answer and detail as the scripts take them."""
    code = "" if fail.code is None else str(fail.code)
    return fail.reason, fail.reason_class, code, fail.raw[:RAW_LIMIT], fail.detail[:RAW_LIMIT]


def edited_terms(record: Any, request: OnboardingRequest, invitation_id: str) -> tuple[str, str]:
    """Return the search terms that *request* takes and gives in place of a record's, as the scripts take them."""
    lost, gained = changed_terms(request_of(record), request, invitation_id)
    return "\n".join(lost), "\n".join(gained)


def linked_args(linked: Linked, job_id: str) -> tuple[str, str, str, str]:
    """Return link, landing page, number and the number's search term as the scripts take them."""
    number = linked.number or ""
    return linked.link, linked.landing_page or "", number, number_term(number, invitation_of(job_id))


def finding_args(finding: FoundOurs | FoundForeign, job_id: str) -> tuple[str, ...]:
    """Return what `resolve.lua` takes for a finding about a job, other than absence."""
    if isinstance(finding, FoundForeign):
        return "foreign", *fail_args(finding.fail), flag(finding.fail.is_own_data)
    return "finished" if finding.is_finished else "ours", *linked_args(finding.linked, job_id)


def flag(value: bool) -> str:  # noqa: FBT001 - a converter of one boolean
    """Return a boolean as the scripts take it."""
    return "1" if value else "0"


def job_record(job_id: str, row: Sequence[Any]) -> JobRecord | None:
    """Return the record for one row of `read_jobs.lua`, or None when there is no such job."""
    if not row:
        return None
    job, extra = fields_of(row[0]), fields_of(row[1])
    header, request_json = split_record(row[2])
    request, state = OnboardingRequest.decode(request_json), JobState(job["s"])
    return JobRecord(
        id=job_id,
        invitation_id=invitation_of(job_id),
        product=product_of(job_id),
        state=state,
        lane=Lane(job["l"]),
        source=header["source"],
        batch_id=job.get("b"),
        line=_number(header["line"]),
        accepted_at_ms=int(float(job["t"])),
        changed_at_ms=int(float(job.get("c", job["t"]))),
        due_at_ms=int(float(job["d"])) if state is JobState.SCHEDULED else None,
        attempt=int(job.get("a", 0)),
        failures=int(job.get("f", 0)),
        orphans=int(job.get("o", 0)),
        requeues=int(job.get("q", 0)),
        number=extra.get("number") or request.number,
        reason=job.get("r"),
        reason_class=job.get("rc"),
        code=_number(job.get("pc")),
        raw=extra.get("raw") or None,
        link=extra.get("link") or None,
        landing_page=extra.get("landing") or None,
        is_cancel_asked="x" in job,
        request=request,
        detail=extra.get("detail") or None,
        dead_by=extra.get("dead_by") or None,
        dead_why=extra.get("dead_why") or None,
        dead_act=extra.get("dead_act") or None,
        op=job.get("op"),
        replacements=int(job.get("rn", 0)),
        replaced_at_ms=_number(extra.get("replaced")),
        next_request=request_of(extra["next"]) if extra.get("next") else None,
        made_at_ms=_number(extra.get("made")),
        told_generation=_number(job.get("w")),
        kept_since_ms=int(float(extra["kept_since"])) if "kept_since" in extra else None,
    )


def mended(reply: Any, states: type[JobState | DeliveryState | EventState | OutgoingState]) -> Mended:
    """Return what a verb of operators answered about something that stands in one of *states*."""
    done, state = int(reply[0]) == 1, text(reply[1])
    return Mended(done=done, state=states(state) if state else None, refusal=None if done else text(reply[2]))


def mended_job(reply: Any) -> Mended:
    """Return what a verb of operators answered about a job."""
    return mended(reply, JobState)


def history_entry(value: Any) -> HistoryEntry:
    """Return one entry of a job's history."""
    at_ms, event, *rest = text(value).split(US)
    detail: dict[str, str | int | float | None] = {}
    for name, word in zip(rest[::2], rest[1::2], strict=False):
        if word:
            detail[name] = _number(word) if name in _NUMBERS_IN_HISTORY else word
    return HistoryEntry(at_ms=int(at_ms), event=event, detail=detail)


def delivery_parts(delivery_id: str) -> tuple[str, Channel, str, int]:
    """Return invitation, channel, template and generation out of a delivery's id; raises ValueError."""
    invitation, channel, template, generation = delivery_id.split(".")
    return invitation, Channel(channel), template, int(generation)


def delivery_record(delivery_id: str, fields: Mapping[str, str]) -> DeliveryRecord | None:
    """Return the record of one delivery, or None when there is no such delivery."""
    if not fields:
        return None
    invitation, channel, template, generation = delivery_parts(delivery_id)
    state = DeliveryState(fields["s"])
    return DeliveryRecord(
        id=delivery_id,
        invitation_id=invitation,
        channel=channel,
        template=template,
        generation=generation,
        state=state,
        failures=int(fields.get("f", 0)),
        doubts=int(fields.get("u", 0)),
        reason=fields.get("r"),
        detail=fields.get("v") or None,
        provider_id=fields.get("i") or None,
        changed_at_ms=int(float(fields["c"])),
        due_at_ms=int(float(fields["d"])) if state is DeliveryState.PENDING else None,
        job_ids=tuple(invitation + code for code in fields["j"]),
        waits_for=fields.get("h"),
        made_at_ms=int(float(fields.get("t", 0))),
        asked_again=int(fields.get("m", 0)),
        has_gone_out="i" in fields,
    )


def _number(word: str | None) -> int | None:
    return int(float(word)) if word else None
