"""`linkferry failed …`: the failed queue, understood by reason, mended in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.commands.jobs import no_such_job, print_job, print_jobs
from linkferry.frame import FAILED, USAGE, CommandError, command
from linkferry.output import confirm, emit, instant, print_fields, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ops.commands import Act, Preview

JobIds = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids; or use the filters, or --all.")
]
All = Annotated[bool, typer.Option("--all", help="All of the failed queue.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group, name="failed", help="The failed queue: look, understand by reason, requeue or discard."
    )
    _register_looking(group)
    _register_mending(group)


def _register_looking(group: typer.Typer) -> None:
    @command(group, "list")
    async def list_failed(
        session: Session,
        *,
        state: filters.State = None,
        stage: filters.Stage = None,
        reason: filters.Reason = None,
        reason_class: filters.ReasonClass = None,
        lane: filters.Lane = None,
        batch: filters.Batch = None,
        source: filters.Source = None,
        older_than: filters.OlderThan = None,
        limit: filters.Limit = 50,
        cursor: filters.Cursor = None,
        is_revealed: filters.Reveal = False,
    ) -> None:
        """List what failed, newest first: jobs, then messages. `--state dead` lists the dead letters instead.

        Example: `linkferry failed list --reason number_not_registered`
        """
        await filters.require_known(session, reason=reason, batch=batch)
        if stage == "delivery" and state == "in_doubt":
            doubtful = await filters.page(session.queries.messages(state, cursor=cursor, limit=limit))
            emit(doubtful, lambda: print_failed(doubtful))
            return
        wanted = filters.job_filter(
            state=filters.failed_states(state)[0].value,
            stage=stage,
            reason=reason,
            reason_class=reason_class,
            lane=lane,
            batch=batch,
            source=source,
            older_than=older_than,
        )
        page = await filters.page(
            session.queries.failed(wanted, cursor=cursor, limit=limit, is_revealed=is_revealed)
        )
        emit(page, lambda: print_failed(page))

    @command(group, "groups")
    async def groups(session: Session) -> None:
        """Show the failed queue by reason: how many, what it means, what to do."""
        document = await session.queries.failure_groups()
        emit(document, lambda: print_groups(document))

    @command(group, "show")
    async def show(
        session: Session,
        job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
        is_revealed: filters.Reveal = False,
    ) -> int:
        """Show one failed job (or message) with the partner's answer, its history and the remedy."""
        document = await session.queries.job(job_id.strip(), is_revealed=is_revealed)
        if document is not None:
            emit(document, lambda: print_job(document))
            return 0
        message = await session.queries.delivery(job_id.strip())
        if message is None:
            return no_such_job(session, job_id)
        emit(message, lambda: print_fields(message))
        return 0


def _register_mending(group: typer.Typer) -> None:
    _register_act(
        group,
        "requeue",
        """Try failed jobs again: ids, all that the filters match, or `--all`. Twice has the effect of once.

        Example: `linkferry failed requeue --reason partner_timeout --why "partner is back"`
        """,
    )
    _register_act(
        group,
        "discard",
        """Give failed jobs up: they become dead letters, kept for a while and still able to be requeued.

        Example: `linkferry failed discard --batch RUN --class bad_data --why "customer list was old"`
        """,
    )


def _register_act(group: typer.Typer, verb: str, teaching: str) -> None:
    async def mend(
        session: Session,
        *,
        job_ids: JobIds = None,
        is_all: All = False,
        state: filters.State = None,
        stage: filters.Stage = None,
        reason: filters.Reason = None,
        reason_class: filters.ReasonClass = None,
        lane: filters.Lane = None,
        batch: filters.Batch = None,
        source: filters.Source = None,
        older_than: filters.OlderThan = None,
        why: filters.Why = "",
        is_sure: filters.Yes = False,
    ) -> int:
        wanted = {
            "stage": stage,
            "reason": reason,
            "reason_class": reason_class,
            "lane": lane,
            "batch": batch,
            "source": source,
            "older_than": older_than,
        }
        return await _mend(session, verb, job_ids, wanted, state, is_all=is_all, why=why, is_sure=is_sure)

    mend.__doc__ = teaching
    command(group, verb)(mend)


async def _mend(
    session: Session,
    verb: str,
    job_ids: list[str] | None,
    wanted: dict[str, Any],
    state: str | None,
    *,
    is_all: bool,
    why: str,
    is_sure: bool,
) -> int:
    """Preview, ask, act on exactly what was previewed, report."""
    from worker.ops.commands import Act

    act = Act(verb)
    await filters.require_known(session, reason=wanted["reason"], batch=wanted["batch"])
    preview = await _preview(session, act, job_ids, wanted, state, is_all=is_all)
    is_bulk = not job_ids
    if not preview.ids:
        emit(preview.document() | {"done": 0}, lambda: say(_nothing(preview)))
        return 0 if is_bulk else FAILED
    if is_bulk and not is_sure:
        say(_announcement(preview))
        if not confirm(f"{verb.capitalize()} these {len(preview.ids)}?"):
            message = "Nothing done. Add --yes to go ahead without being asked."
            raise CommandError(message, exit_code=USAGE)
    report = await session.commands.carry_out(preview, by=filters.operator(), why=why)
    emit(
        report.document() | {"not_eligible": preview.not_eligible},
        lambda: say(_report_line(verb, report.done, report.refused)),
    )
    return 0 if report.done else FAILED


async def _preview(
    session: Session,
    act: Act,
    job_ids: list[str] | None,
    wanted: dict[str, Any],
    state: str | None,
    *,
    is_all: bool,
) -> Preview:
    if job_ids:
        return await session.commands.preview_ids(act, [job_id.strip() for job_id in job_ids])
    if not is_all and state is None and not any(wanted.values()):
        message = "Say which: ids, filters such as --reason, or --all."
        raise CommandError(message, exit_code=USAGE)
    return await session.commands.preview(act, filters.job_filter(**wanted), filters.failed_states(state))


def _announcement(preview: Preview) -> str:
    reasons = "\n".join(f"  {count:>7}  {reason}" for reason, count in preview.by_reason.items())
    return f"{len(preview.ids)} jobs to {preview.act.value}:\n{reasons}{_left_out(preview)}"


def _nothing(preview: Preview) -> str:
    return f"Nothing to {preview.act.value}.{_left_out(preview)}"


def _left_out(preview: Preview) -> str:
    if not preview.not_eligible:
        return ""
    return "\nLeft out: " + ", ".join(f"{count} ({why})" for why, count in preview.not_eligible.items())


def _report_line(verb: str, done: int, refused: dict[str, int]) -> str:
    past = {"requeue": "requeued", "discard": "discarded"}[verb]
    rest = ", ".join(f"{count} {why}" for why, count in refused.items())
    return f"{done} {past}." + (f" Not: {rest}." if rest else "")


_MESSAGE_COLUMNS = (
    "message",
    "reason",
    Column("state", rank=1),
    Column("changed", rank=2),
    Column("failures", rank=3),
)
_GROUP_COLUMNS = (
    "how many",
    Column("of", rank=1),
    "reason",
    Column("class", rank=4),
    Column("code", rank=3),
    Column("what it means", rank=2, is_text=True),
    Column("what to do", is_text=True),
)


def print_failed(page: dict[str, Any]) -> None:
    """Print a page of the failed queue for people: jobs, then messages."""
    jobs = [item for item in page["items"] if item["stage"] == "link"]
    messages = [item for item in page["items"] if item["stage"] == "delivery"]
    if jobs or not messages:
        print_jobs({**page, "items": jobs, "next": None if messages else page["next"]})
    if not messages:
        return
    rows = [
        (
            item["delivery_id"],
            item["reason"],
            item["state"],
            instant(item["changed_at"]),
            item["failures"],
        )
        for item in messages
    ]
    print_table(_MESSAGE_COLUMNS, rows)
    if page["next"]:
        say(f"More: add --cursor {page['next']}")


def print_groups(document: dict[str, Any]) -> None:
    """Print the failed queue by reason for people."""
    if not document["items"]:
        say("The failed queue is empty.")
        return
    rows = [
        (
            item["count"],
            "job" if item["stage"] == "link" else "message",
            item["reason"],
            item["reason_class"],
            item["code"],
            item["meaning"],
            item["remedy"],
        )
        for item in document["items"]
    ]
    print_table(_GROUP_COLUMNS, rows)
    for line in _next_steps(document["items"][0]):
        say(line)


def _next_steps(group: dict[str, Any]) -> list[str]:
    """Return what to type about a group: to look, and to do what its remedy says, where a command does that."""
    reason, remedy = group["reason"], (group["remedy"] or "").lower()
    if group["stage"] == "delivery":
        return [f"Look: linkferry failed list --stage delivery --reason {reason}"]
    look = f"Look: linkferry failed list --reason {reason}"
    if group["reason_class"] == "already_onboarded":
        return [look, f"Then: linkferry failed discard --reason {reason}"]
    requeue = f"linkferry failed requeue --reason {reason}"
    if group["reason_class"] == "unknown":
        return [look, f"Say what it means in LINKFERRY_REASONS_FILE, then: {requeue}"]
    is_by_requeueing = "requeue" in remedy and group["reason_class"] != "bad_data"
    return [look, f"When it is mended: {requeue}"] if is_by_requeueing else [look]
