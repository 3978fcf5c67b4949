"""`linkferry customer show`: one customer on one screen, for a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.commands.jobs import why_nothing
from linkferry.commands.story import fields_line, print_timeline, say_wrapped, stopped_line
from linkferry.frame import FAILED, command, complain
from linkferry.notices import erased_notice
from linkferry.output import emit, instant, say
from linkferry.tables import Column, of_name, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session

Query = Annotated[
    str,
    typer.Argument(
        metavar="WHO", help="A number, an e-mail address, a business's name, an external id, a job's id."
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Do not ask the partner: show only what is known here.")
]
Document = dict[str, Any]
_CANDIDATES = (
    "ask for",
    of_name("name", rank=1),
    Column("number", rank=2),
    Column("jobs", rank=3),
    when("latest", rank=4),
)
_LINKS = ("job", "state", Column("product", rank=2), Column("number", rank=1), when("changed", rank=3))
_MESSAGES = ("channel", "state", Column("to", rank=1), when("changed", rank=2), Column("reason", rank=3))


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="customer", help="One customer: links, messages, what happened, what to say.")

    @command(group, "show")
    async def show(
        session: Session, query: Query, is_revealed: filters.Reveal = False, is_offline: Offline = False
    ) -> int:
        """Show a customer's links, messages and story, what the partner says right now, and what to say and do.

        Several customers that fit are listed. Example: `linkferry customer show 050-123-4567`
        """
        from worker.ops.customer import customer

        can_ask = session.settings.has_credentials and not is_offline
        ask = session.ask_partner if can_ask else None
        document = await customer(session.scene, query, is_revealed=is_revealed, ask=ask)
        if is_revealed and document["found"]:
            await _account_for(session, document)
        emit(document, lambda: print_customer(document))
        if document["found"]:
            return 0
        if erased := await erased_notice(session, query):
            complain(erased)
            return FAILED
        complain(
            f"Nobody is found by that. {why_nothing(session, query) or '`linkferry job list` shows what there is.'}"
        )
        return FAILED


async def _account_for(session: Session, document: Document) -> None:
    from worker.ops.trail import AuditTrail

    subject = document["customer"]["query"] if document["customer"] else ""
    shown = len(document["candidates"]) or 1
    trail = AuditTrail(session.ledger)
    await trail.reveal(by=filters.operator(), subject=subject, shown=shown, what="customer")


def print_customer(document: Document) -> None:
    """Print a customer for people, or those to choose from."""
    if document["candidates"]:
        _print_candidates(document)
    elif document["customer"]:
        _print_whole(document)


def _print_candidates(document: Document) -> None:
    rows = [
        (each["query"], each["name"], each["number"], each["jobs"], instant(each["last_at"]))
        for each in document["candidates"]
    ]
    print_table(_CANDIDATES, rows)
    more = "" if document["is_total_exact"] else "at least "
    say(
        f"{len(rows)} of {more}{document['total']} customers fit. Look at one: linkferry customer show {rows[0][0]}"
    )


def _print_whole(document: Document) -> None:
    who = document["customer"]
    parts = (who["name"], who["contact_name"], who["number"], who["email"], who["phone"], who["locale"])
    say("  ".join(str(part) for part in parts if part))
    known = {"external id": who["external_ids"], "reference": who["references"], "from": who["sources"]}
    say(fields_line({name: ", ".join(values) for name, values in known.items() if values}))
    say_wrapped(document["headline"]["text"])
    for each in document["suppressed"]:
        say_wrapped(stopped_line(each))
    say("What to say and do")
    links = document["links"]
    jobs = _short_names(links)
    for each in document["advice"]:
        say_wrapped(f"{_whose(jobs, each)}{each['text']}", indent="  ")
        if each["command"]:
            say(f"    {each['command']}")
    say("Links")
    print_table(
        _LINKS,
        [
            (each["job_id"], each["state"], each["product"], each["number"], instant(each["changed_at"]))
            for each in links
        ],
    )
    for fact in _facts(links):
        say_wrapped(f"{_whose(jobs, fact)}{fact['text']}", indent="  ", hanging="    ")
    if document["messages"]:
        say("Messages")
        print_table(_MESSAGES, [_message_row(each) for each in document["messages"]])
    say("What happened")
    print_timeline(document["timeline"], of_jobs=jobs)
    if document["total"] > len(links) or not document["is_total_exact"]:
        say(f"The newest {len(links)} of {document['total']} jobs or more.")


def _short_names(links: list[Document]) -> dict[str, str]:
    """Return what tells a customer's jobs apart in a line: the ends of their ids; nothing where there is one."""
    return {each["job_id"]: f"…{each['job_id'][-6:]}" for each in links} if len(links) > 1 else {}


def _facts(links: list[Document]) -> list[Document]:
    """Return what is known of the links, once where it is the same of several of one invitation."""
    found: dict[tuple[str, str], Document] = {}
    for link in links:
        for fact in link.get("facts", ()):
            known = found.setdefault((link["invitation_id"], fact["text"]), {**fact, "job_ids": []})
            known["job_ids"].append(link["job_id"])
    return list(found.values())


def _whose(jobs: dict[str, str], advice: Document) -> str:
    return f"[{', '.join(jobs[each] for each in advice['job_ids'])}] " if jobs else ""


def _message_row(each: Document) -> tuple[object, ...]:
    what = each["channel"] if each["template"] == "invitation" else f"{each['channel']} ({each['template']})"
    why = f"waits until {instant(each['waits_until'])}" if each["waits_until"] else each["reason"]
    what += f", sent again ×{each['asked_again']}" if each["asked_again"] else ""
    to = f"{each['to']} (before: {', '.join(each['to_before'])})" if each["to_before"] else each["to"]
    return what, each["state"], to, instant(each["changed_at"]), why
