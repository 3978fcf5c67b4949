"""`linkferry job …`: look at single jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import FAILED, USAGE, CommandError, command, complain
from linkferry.notices import sandbox_beside
from linkferry.output import emit, instant, print_fields, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="job", help="Look at single jobs, or cancel one.")

    @command(group, "list")
    async def list_jobs(
        session: Session,
        *,
        state: filters.State = None,
        reason: filters.Reason = None,
        reason_class: filters.ReasonClass = None,
        lane: filters.Lane = None,
        batch: filters.Batch = None,
        source: filters.Source = None,
        number: Annotated[
            str | None, typer.Option("--number", help="Only this number, however written.")
        ] = None,
        older_than: filters.OlderThan = None,
        limit: filters.Limit = 50,
        cursor: filters.Cursor = None,
        is_revealed: filters.Reveal = False,
    ) -> None:
        """List jobs, newest first.

        Example: `linkferry job list --state in_doubt --older-than 5m`
        """
        await filters.require_known(session, reason=reason, batch=batch)
        wanted = filters.job_filter(
            state=state,
            reason=reason,
            reason_class=reason_class,
            lane=lane,
            batch=batch,
            source=source,
            number=_digits(number, session.settings.default_region),
            older_than=older_than,
        )
        page = await filters.page(
            session.queries.jobs(wanted, cursor=cursor, limit=limit, is_revealed=is_revealed)
        )
        emit(page, lambda: print_jobs(page))

    @command(group, "show")
    async def show(session: Session, job_id: JobId, is_revealed: filters.Reveal = False) -> int:
        """Show one job: state, reason and remedy, link, history and messages.

        Example: `linkferry job show 01k8…w --reveal`
        """
        document = await session.queries.job(job_id.strip(), is_revealed=is_revealed)
        if document is None:
            return no_such_job(session, job_id)
        emit(document, lambda: print_job(document))
        return 0

    @command(group, "cancel")
    async def cancel(session: Session, job_id: JobId, why: filters.Why = "") -> int:
        """Cancel a job that has not ended. One that is being worked on ends as it may, and is not tried again.

        Example: `linkferry job cancel 01k8…w --why "asked for twice"`
        """
        if await session.queries.job(job_id.strip()) is None:
            return no_such_job(session, job_id)
        ending = await session.ledger.cancel(job_id.strip(), by=filters.operator(), why=why)
        document = {
            "job_id": job_id.strip(),
            "done": ending.done,
            "state": ending.state.value if ending.state else None,
            "refusal": ending.refusal,
        }
        emit(document, lambda: say(_cancel_line(document)) if ending.done else None)
        if not ending.done:
            complain(f"Not cancelled: {document['job_id']} is {document['state']} already.")
        return 0 if ending.done else FAILED


def _cancel_line(document: dict[str, Any]) -> str:
    if document["state"] == "cancelled":
        return f"Cancelled: {document['job_id']}"
    return f"{document['job_id']} is being worked on: it ends as it may, and is not tried again."


_COLUMNS = (
    "job",
    "state",
    Column("number", rank=1),
    "reason",
    Column("changed", rank=2),
    Column("product", rank=3),
    Column("attempt", rank=4),
    Column("lane", rank=5),
)


def print_jobs(page: dict[str, Any]) -> None:
    """Print a page of jobs for people."""
    rows = [
        (
            item["job_id"],
            item["state"],
            item["number"],
            item["reason"],
            instant(item["changed_at"]),
            item["product"],
            item["attempt"],
            item["lane"],
        )
        for item in page["items"]
    ]
    if rows:
        print_table(_COLUMNS, rows)
        say(f"{len(rows)} of {page['total']}.")
    elif not page["next"]:
        say("None.")
    if page["next"]:
        say(
            f"More: add --cursor {page['next']}"
            if rows
            else f"None so far; go on with --cursor {page['next']}"
        )


def print_job(document: dict[str, Any]) -> None:
    """Print all of one job for people."""
    say(f"Job {document['job_id']}: {document['state']}")
    shown = {
        name: value
        for name, value in document.items()
        if name not in _APART and not (name in _USUALLY_NONE and not value)
    }
    contact = {name: value for name, value in document["contact"].items() if value}
    shown = {name: instant(value) if name.endswith("_at") else value for name, value in shown.items()}
    print_fields(shown | {"contact": ", ".join(f"{name} {value}" for name, value in contact.items())})
    if document["reason"]:
        say(f"  Why:   {document['meaning']}")
        say(f"  To do: {document['remedy']}")
    if document["history"]:
        say("History")
        for entry in document["history"]:
            rest = ", ".join(f"{key} {value}" for key, value in entry.items() if key not in {"at", "event"})
            say(f"  {instant(entry['at'])}  {entry['event']}" + (f"  ({rest})" if rest else ""))
    for each in document["deliveries"]:
        why = f": {each['reason']}" if each["reason"] else ""
        say(f"Message {each['delivery_id']}: {each['channel']} {each['state']}{why}")


_APART = frozenset({"history", "deliveries", "contact", "meaning", "remedy", "job_id", "state"})
_USUALLY_NONE = frozenset({"failures", "requeues", "orphans"})


def no_such_job(session: Session, job_id: str) -> int:
    """Say that there is none, and where it may be; return the exit code."""
    elsewhere = sandbox_beside(session.settings)
    complain(f"There is no job {job_id}. {elsewhere or '`linkferry job list` shows what there is.'}")
    return FAILED


def _digits(number: str | None, region: str) -> str | None:
    if number is None:
        return None
    from worker.domain.phone import PhoneNumber, normalise_number

    found = normalise_number(number, region=region)
    if isinstance(found, PhoneNumber):
        return found.digits
    message = f"--number {number}: {found.message}."
    raise CommandError(message, exit_code=USAGE)
