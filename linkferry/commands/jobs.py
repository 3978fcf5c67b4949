"""`linkferry job …`: look at single jobs."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.commands.job_view import print_job, read_job
from linkferry.frame import FAILED, USAGE, CommandError, command, complain
from linkferry.notices import erased_notice, sandbox_beside
from linkferry.output import emit, instant, say
from linkferry.tables import Column, keeping, number, of_name, print_end, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    from linkferry.commands import replace  # which says with this module that there is no such job

    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="job", help="Look at single jobs, cancel one, replace or revoke links.")
    _register_finding(group)
    _register_one(group)
    replace.register(group)


def _register_finding(group: typer.Typer) -> None:
    @command(group, "list")
    @filters.filtered("stage")
    async def list_jobs(
        session: Session,
        *,
        chosen: filters.Chosen,
        limit: filters.Limit = 50,
        cursor: filters.Cursor = None,
        is_revealed: filters.Reveal = False,
    ) -> None:
        """List jobs, newest first.

        Example: `linkferry job list --state in_doubt --older-than 5m`
        """
        wanted = await chosen.read(session)
        page = await filters.page(
            session.queries.jobs(wanted, cursor=cursor, limit=limit, is_revealed=is_revealed)
        )
        if is_revealed:
            await session.trail.reveal(by=filters.operator(), shown=len(page["items"]), what="job list")
        emit(page, lambda: print_jobs(page, is_revealed=is_revealed))

    @command(group, "find")
    async def find_jobs(
        session: Session,
        *,
        text: Annotated[
            str, typer.Argument(help="A number, e-mail, name, external id, reference or job's id.")
        ],
        limit: filters.Limit = 50,
        cursor: filters.Cursor = None,
        is_revealed: filters.Reveal = False,
    ) -> int:
        """Find a customer's jobs by whatever you have of him; of a name its words, or their beginnings, will do.

        Example: `linkferry job find 050-123-4567`
        """
        if not text.strip():
            message = "Say what to look for: a number, e-mail, name, external id, reference or job's id."
            raise CommandError(message, exit_code=USAGE)
        page = await filters.page(
            session.queries.search(text, cursor=cursor, limit=limit, is_revealed=is_revealed)
        )
        if is_revealed:
            await session.trail.reveal(by=filters.operator(), shown=len(page["items"]), what="job find")
        emit(page, lambda: print_jobs(page, is_revealed=is_revealed))
        if page["items"] or page["next"]:
            return 0
        if hint := why_nothing(session, text):
            complain(hint)
        return FAILED


def why_nothing(session: Session, text: str) -> str:
    """Return where it may be that nothing was found of, or how to look for it; nothing where that is not known."""
    from worker.domain.search import BEGINNING, words_of

    digits = re.sub(r"[\s+().-]", "", text)
    if elsewhere := sandbox_beside(session.settings):
        return elsewhere
    words = words_of(text)
    if words and len(words[0]) < BEGINNING:
        return f"Of a name the first word has to be whole, or {BEGINNING} letters of it at least."
    if digits.isdecimal():
        return "A number is found whole, however it is written, not by a part of it."
    return ""


def _register_one(group: typer.Typer) -> None:
    @command(group, "show")
    async def show(session: Session, job_id: JobId, is_revealed: filters.Reveal = False) -> int:
        """Show one job: how it stands, why and what comes next, its whole story, its messages.

        Example: `linkferry job show 01k8…w --reveal`
        """
        document = await read_job(session, job_id, is_revealed=is_revealed)
        if document is None:
            return await no_such_job(session, job_id)
        emit(document, lambda: print_job(document))
        return 0

    @command(group, "cancel")
    async def cancel(session: Session, job_id: JobId, why: filters.Why = "") -> int:
        """Cancel a job that has not ended. One that is being worked on ends as it may, and is not tried again.

        Example: `linkferry job cancel 01k8…w --why "asked for twice"`
        """
        if await session.queries.job(job_id.strip()) is None:
            return await no_such_job(session, job_id)
        document = await session.commands.cancel(job_id.strip(), by=filters.operator(), why=why)
        emit(document, lambda: say(_cancel_line(document)) if document["done"] else None)
        if not document["done"]:
            complain(_not_cancelled(document))
        return 0 if document["done"] else FAILED


#: Where a link was being changed, calling that off leaves the job in another state.
_CANCELLED = {
    "cancelled": "Cancelled: {job}",
    "linked": "Called off: {job} keeps its link as it is.",
    "revoked": "Called off: the old link of {job} is deleted already, and no new one is made.",
    "available": "The link of {job} may be deleted already: no new one is made, and the deleting is brought to its end.",
    "scheduled": "The link of {job} may be deleted already: no new one is made, and the deleting is brought to its end.",
}


def _cancel_line(document: dict[str, Any]) -> str:
    if line := _CANCELLED.get(document["state"]):
        return line.format(job=document["job_id"])
    return f"{document['job_id']} is being worked on: it ends as it may, and is not tried again."


def _not_cancelled(document: dict[str, Any]) -> str:
    """Return why not, and what to type instead where there is something."""
    job_id, state = document["job_id"], document["state"]
    instead = {
        "linked": f" To have its link deleted at the partner: linkferry job revoke {job_id}",
        "failed": f" To give it up: linkferry failed discard {job_id}",
    }.get(state, "")
    return f"Not cancelled: {job_id} is {state} already.{instead}"


_COLUMNS = (
    "job",
    "state",
    of_name(rank=1),
    "reason",
    when("changed", rank=2),
    Column("number", rank=3),
    Column("product", rank=4),
    number("attempt", rank=5),
    Column("lane", rank=6),
)
_REVEALING = keeping(_COLUMNS, "number")


def reason_text(item: dict[str, Any]) -> str | None:
    """Return a job's reason; of one that failed again after requeues, how often that was."""
    reason: str | None = item["reason"]
    return f"{reason} ×{item['requeues']}" if item["state"] == "failed" and item["requeues"] else reason


def print_jobs(page: dict[str, Any], *, is_revealed: bool = False, nothing: str = "None.") -> None:
    """Print a page of jobs for people; revealed, the numbers are what was asked for."""
    rows = [
        (
            item["job_id"],
            item["state"],
            item["name"],
            reason_text(item),
            instant(item["changed_at"]),
            item["number"],
            item["product"],
            item["attempt"],
            item["lane"],
        )
        for item in page["items"]
    ]
    if rows:
        print_table(_REVEALING if is_revealed else _COLUMNS, rows)
    print_end(page, nothing=nothing)


def _where_to_look(text: str) -> str:
    """Return how to get at what is no job's id: whoever is on the telephone has a number or a name."""
    from worker.domain.search import guess

    if guess(text).kind in {"number", "email"}:
        return f"To look by a number or an e-mail address: linkferry job find {shlex.quote(text)}"
    return "`linkferry job list` shows what there is."


async def no_such_job(session: Session, job_id: str) -> int:
    """Say that there is none, and where it may be or what became of it; return the exit code."""
    if erased := await erased_notice(session, job_id):
        complain(erased)
    else:
        complain(f"There is no job {job_id}. {sandbox_beside(session.settings) or _where_to_look(job_id)}")
    return FAILED
