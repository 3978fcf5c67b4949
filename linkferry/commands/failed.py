"""`linkferry failed …`: the failed queue, understood by reason, mended in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import acting, failed_edit, failed_export, filters
from linkferry.commands.group_view import print_groups, print_one_reason
from linkferry.commands.ids_file import JobsFile, ids_of
from linkferry.commands.job_view import print_job, print_message, read_job, read_message
from linkferry.commands.jobs import no_such_job, reason_text
from linkferry.frame import FAILED, USAGE, CommandError, command, complain
from linkferry.output import emit, instant
from linkferry.tables import Column, keeping, number, of_name, print_end, print_table, when

if TYPE_CHECKING:
    from pathlib import Path

    from linkferry.session import Session

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
    failed_edit.register(group)
    failed_export.register(group)


def _register_looking(group: typer.Typer) -> None:
    command(group, "list")(list_failed)
    command(group, "groups")(show_groups)
    command(group, "show")(show)


@filters.filtered()
async def list_failed(
    session: Session,
    *,
    chosen: filters.Chosen,
    limit: filters.Limit = 50,
    cursor: filters.Cursor = None,
    is_revealed: filters.Reveal = False,
) -> None:
    """List what failed, newest first: jobs, then messages.

    `--state dead` lists the dead letters instead: who made them so, and when they are deleted.

    Example: `linkferry failed list --reason number_not_registered`
    """
    from worker.ops.retention import Retention, kept_s

    if chosen.stage == "delivery" and chosen.state == "in_doubt":
        chosen.require_only("stage", "state")
        asked = session.queries.messages("in_doubt", cursor=cursor, limit=limit, is_revealed=is_revealed)
    else:
        state = filters.failed_states(chosen.state)[0].value
        wanted = await chosen.read(session, state=state)
        asked = session.queries.failed(wanted, cursor=cursor, limit=limit, is_revealed=is_revealed)
    found = await filters.page(asked)
    if is_revealed:
        await session.trail.reveal(by=filters.operator(), shown=len(found["items"]), what="failed list")
    retention = await Retention.read(session.ledger, kept_s(session.settings))
    page = {**found, "items": [retention.with_end(each) for each in found["items"]]}
    nothing = "None." if chosen.is_any else "The failed queue is empty."
    emit(page, lambda: print_failed(page, is_revealed=is_revealed, nothing=nothing))


async def show_groups(
    session: Session,
    reason: Annotated[
        str | None, typer.Argument(metavar="[REASON]", help="One reason, to see what came back.")
    ] = None,
) -> int:
    """Show the failed queue by reason: how many, since when, whether they grow, what it means, what to do.

    Of one REASON it shows the latest answers as well, masked.

    Example: `linkferry failed groups unknown_17`
    """
    from worker.ops.groups import groups

    if reason is not None:
        return await _show_group(session, reason.strip())
    document = await groups(session.scene)
    emit(document, lambda: print_groups(document))
    return 0


async def _show_group(session: Session, reason: str) -> int:
    from worker.ops.groups import group

    await filters.require_reason(session, reason, "REASON")
    found = [await group(session.scene, reason, stage=stage) for stage in ("link", "delivery")]
    items = [each for each in found if each is not None]
    document = {"items": items, "next": None, "total": len(items), "is_total_exact": True}
    document["count"] = sum(int(each["count"]) for each in items)
    if not items:
        complain(f"Nothing has failed with {reason}. `linkferry failed groups` shows what has.")
    emit(document, lambda: print_one_reason(items))
    return 0 if items else FAILED


async def show(
    session: Session,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    is_revealed: filters.Reveal = False,
) -> int:
    """Show one failed job (or message) with the partner's answer, its history and the remedy."""
    document = await read_job(session, job_id, is_revealed=is_revealed)
    if document is not None:
        emit(document, lambda: print_job(document))
        return 0
    message = await read_message(session, job_id, is_revealed=is_revealed)
    if message is None:
        return await no_such_job(session, job_id)
    emit(message, lambda: print_message(message))
    return 0


def _register_mending(group: typer.Typer) -> None:
    _register_act(
        group,
        "requeue",
        """Try failed jobs again: ids, all that the filters match, or `--all`. Twice has the effect of once.

        Many are previewed first: how many, by reason, what is not fit and why, how many calls, how long. Of more than
        five, five go first, then more and more, in the bulk lane; it stops by itself where they fail again.

        Example: `linkferry failed requeue --reason partner_timeout --why "partner is back"`
        """,
    )
    _register_act(
        group,
        "discard",
        """Give failed jobs up: they become dead letters, kept for a while, still able to be requeued or restored.

        Example: `linkferry failed discard --batch RUN --class bad_data --why "customer list was old"`
        """,
    )
    _register_act(
        group,
        "restore",
        """Put dead letters back into the failed queue, with the reasons they had: ids, filters, or `--all`.

        A bulk discard as a whole is taken back by `linkferry act undo ACT`.

        Example: `linkferry failed restore JOB --why "discarded by mistake"`
        """,
    )


def _register_act(group: typer.Typer, verb: str, teaching: str) -> None:
    @filters.filtered()
    async def mend(
        session: Session,
        *,
        job_ids: JobIds = None,
        file: JobsFile = None,
        chosen: filters.Chosen,
        is_all: All = False,
        why: filters.WhyOfMany = "",
        is_sure: filters.Yes = False,
        is_detached: acting.Detach = False,
        has_no_canary: acting.NoCanary = False,
    ) -> int:
        manner = acting.Manner(why=why, is_sure=is_sure, is_canary=not has_no_canary, is_detached=is_detached)
        if file is None:
            return await _mend(session, verb, job_ids, chosen, manner, is_all=is_all)
        if job_ids or is_all or chosen.is_any:
            message = "Say --file alone: with it ids, filters and --all would be passed over."
            raise CommandError(message, exit_code=USAGE)
        return await _mend_those_of(session, verb, file, manner)

    mend.__doc__ = teaching
    command(group, verb)(mend)


async def _mend_those_of(session: Session, verb: str, file: Path, manner: acting.Manner) -> int:
    """Act on the jobs that a file names, once a person has seen how many these are."""
    from worker.domain.act import Act

    return await acting.on_ids(session, Act(verb), ids_of(file), manner, is_asked=not manner.is_sure)


async def _mend(
    session: Session,
    verb: str,
    job_ids: list[str] | None,
    chosen: filters.Chosen,
    manner: acting.Manner,
    *,
    is_all: bool,
) -> int:
    """Act on what was named: ids, or all that the filters match."""
    from worker.domain.act import Act
    from worker.domain.states import JobState

    act = Act(verb)
    wanted = await chosen.read(session, state=None)
    if job_ids and (is_all or chosen.is_any):
        message = "Say ids, or filters, or --all: with ids the others would be passed over."
        raise CommandError(message, exit_code=USAGE)
    if job_ids:
        return await acting.on_ids(session, act, job_ids, manner)
    if not is_all and not chosen.is_any:
        message = "Say which: ids, --file, filters such as --reason, or --all."
        raise CommandError(message, exit_code=USAGE)
    is_of_dead = act is Act.RESTORE and chosen.state is None
    states = [JobState.DEAD] if is_of_dead else filters.failed_states(chosen.state)
    return await acting.on_filter(session, act, wanted, states, manner)


_FAILED_COLUMNS = (
    "job",
    of_name(rank=2),
    "reason",
    when("failed", rank=1),
    Column("number", rank=3),
    number("attempt", rank=4),
    Column("product", rank=5),
    Column("lane", rank=6),
)
_MESSAGE_COLUMNS = (
    "message",
    of_name(rank=2),
    "reason",
    when("changed", rank=1),
    Column("state", rank=3),
    number("tries", rank=4),
)
_DEAD_COLUMNS = (
    "job",
    of_name(rank=2),
    "reason",
    when("deleted", rank=1),
    Column("given up by", rank=3, brief=lambda by: by.partition(" (")[0]),
    when("since", rank=4),
    Column("number", rank=5),
)


def print_failed(page: dict[str, Any], *, is_revealed: bool = False, nothing: str = "None.") -> None:
    """Print a page of the failed queue for people: jobs, then messages. Revealed, no number is left out."""
    jobs = [item for item in page["items"] if item["stage"] == "link"]
    messages = [item for item in page["items"] if item["stage"] == "delivery"]
    if jobs and jobs[0]["state"] == "dead":
        print_table(_revealing(_DEAD_COLUMNS, is_revealed=is_revealed), [_dead_row(item) for item in jobs])
    elif jobs:
        print_table(
            _revealing(_FAILED_COLUMNS, is_revealed=is_revealed), [_failed_row(item) for item in jobs]
        )
    if messages:
        print_table(_MESSAGE_COLUMNS, [_message_row(item) for item in messages])
    print_end(page, nothing=nothing)


def _revealing(columns: tuple[Column | str, ...], *, is_revealed: bool) -> tuple[Column | str, ...]:
    return keeping(columns, "number") if is_revealed else columns


def _failed_row(item: dict[str, Any]) -> tuple[object, ...]:
    return (
        item["job_id"],
        item["name"],
        reason_text(item),
        instant(item["changed_at"]),
        item["number"],
        item["attempt"],
        item["product"],
        item["lane"],
    )


def _dead_row(item: dict[str, Any]) -> tuple[object, ...]:
    return (
        item["job_id"],
        item["name"],
        item["reason"],
        instant(item["expires_at"]),
        _dead_by(item),
        instant(item["changed_at"]),
        item["number"],
    )


def _message_row(item: dict[str, Any]) -> tuple[object, ...]:
    return (
        item["delivery_id"],
        item["name"],
        item["reason"],
        instant(item["changed_at"]),
        item["state"],
        item["tries"],
    )


def _dead_by(item: dict[str, Any]) -> str:
    if item["dead_by"] == "policy":
        return "its policy"
    by = item["dead_by"] or ""
    return f"{by} ({item['dead_act']})" if item["dead_act"] else by
