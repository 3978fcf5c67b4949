"""How one job is shown: how it stands, why, what comes next, its story, its messages, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linkferry.commands.story import fields_line, print_timeline, say_wrapped, stopped_line
from linkferry.output import instant, print_fields, say

if TYPE_CHECKING:
    from linkferry.session import Session

Document = dict[str, Any]
_SHOWN = (
    "number",
    "product",
    "reason",
    "reason_class",
    "code",
    "link",
    "landing_page",
    "lane",
    "source",
    "batch",
    "file",
    "line",
    "reference",
    "external_id",
    "brand",
    "is_agreed",
    "accepted_at",
    "changed_at",
    "due_at",
    "expires_at",
    "attempt",
    "failures",
    "requeues",
    "orphans",
    "is_cancel_asked",
)
_USUALLY_NONE = frozenset({"failures", "requeues", "orphans"})


async def read_job(session: Session, job_id: str, *, is_revealed: bool) -> Document | None:
    """Return one job's page, a look at it unmasked accounted for; raises LedgerUnavailable, LimitsUnavailable."""
    from linkferry.commands.filters import operator
    from worker.ops.job_page import job_page
    from worker.ops.trail import AuditTrail

    document = await job_page(session.scene, job_id.strip(), is_revealed=is_revealed)
    if document is not None and is_revealed:
        await AuditTrail(session.ledger).reveal(by=operator(), subject=document["job_id"], what="job")
    return document


async def read_message(session: Session, message_id: str, *, is_revealed: bool) -> Document | None:
    """Return one message and whom it is for, a look at it unmasked accounted for; raises LedgerUnavailable."""
    from linkferry.commands.filters import operator
    from worker.ops.names import names_of

    document = await session.queries.delivery(message_id.strip())
    if document is None:
        return None
    own = document["delivery_id"]
    if is_revealed:
        await session.trail.reveal(by=operator(), subject=own, what="message")
    return document | {"name": (await names_of(session.ledger, [own], is_revealed=is_revealed))[own]}


def print_message(document: Document) -> None:
    """Print one message for people."""
    say(f"Message {document['delivery_id']}: {document['state'].replace('_', ' ')}")
    further = f" {document['generation']}" if document["generation"] > 1 else ""
    print_fields(
        {
            "customer": document["name"],
            "channel": document["channel"],
            "what": document["template"] + further,
            "reason": document["reason"],
            "reason_class": document["reason_class"],
            "detail": document["detail"],
            "failures": document["failures"] or None,
            "doubts": document["doubts"] or None,
            "changed_at": instant(document["changed_at"]),
            "due_at": instant(document["due_at"]),
            "jobs": ", ".join(document["job_ids"]),
        }
    )
    for title, text in (("Why it is there", document["meaning"]), ("What to do", document["remedy"])):
        if text:
            say(title)
            say_wrapped(text, indent="  ")
    if document["job_ids"]:
        say(f"Its whole story: linkferry job show {document['job_ids'][0]}")


def print_job(document: Document) -> None:
    """Print all of one job for people."""
    say(f"Job {document['job_id']}: {document['state']}")
    shown = {name: document[name] for name in _SHOWN if not (name in _USUALLY_NONE and not document[name])}
    shown = {name: instant(value) if name.endswith("_at") else value for name, value in shown.items()}
    contact = {name: value for name, value in document["contact"].items() if value}
    print_fields({"customer": document["name"]} | shown | {"contact": fields_line(contact)})
    if document["change"]:
        say("Its link")
        say_wrapped(document["change"]["text"], indent="  ")
    for each in document["suppressed"]:
        say_wrapped(stopped_line(each))
    say("Why it is there")
    say_wrapped(document["why_here"], indent="  ")
    for each in document["stops"]:
        if each["text"] != document["why_here"]:
            say_wrapped(each["text"], indent="  ")
    _print_next(document)
    for each in document["reminders"]:
        say_wrapped(each["text"], indent="  ")
    say("What the partner is asked for")
    say_wrapped(fields_line(document["asked"]), indent="  ")
    say("What happened")
    print_timeline(document["timeline"])
    for each in document["deliveries"]:
        why = f": {each['reason']}" if each["reason"] else ""
        waits = f", waits until {instant(each['waits_until'])} (send window)" if each["waits_until"] else ""
        which = "" if each["tells_link"] else ", with an earlier link"
        say(f"Message {each['delivery_id']}: {each['channel']} {each['state']}{which}{waits}{why}")
    _print_others(document)


def _print_next(document: Document) -> None:
    if document["next"]:
        say("What happens next" if document["state"] != "failed" else "What to do")
        say_wrapped(_typed(document["next"]["text"], document["job_id"]), indent="  ")
        for command in _commands(document):
            say(f"    {command}")


def _typed(text: str, job_id: str) -> str:
    """Return a sentence with this job in its commands."""
    return text.replace("linkferry resend JOB", f"linkferry resend {job_id}")


def _commands(document: Document) -> list[str]:
    """Return what to type about a job that waits for a person, where a command does what is to be done."""
    from worker.ops.remedies import mending_command

    is_to_be_taught = document["state"] == "failed" and document["reason_class"] == "unknown"
    lesson = [f"linkferry reasons set {document['reason']}"] if is_to_be_taught else []
    command = {
        "failed": mending_command(document["reason_class"], document["remedy"]),
        "dead": "failed requeue",
    }.get(document["state"])
    return [*lesson, f"linkferry {command} {document['job_id']}"] if command else lesson


def _print_others(document: Document) -> None:
    others = document["others"]["items"]
    if not others:
        return
    say("Other jobs of this customer")
    for each in others:
        reason = f" ({each['reason']})" if each["reason"] else ""
        say(f"  {each['job_id']}  {each['product']}  {each['state']}{reason}")
    say(f"All of the customer: linkferry customer show {document['customer']['query']}")
