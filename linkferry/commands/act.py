"""`linkferry act …`: bulk acts that were started: look, watch, stop, go on, undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import acting, filters
from linkferry.frame import command
from linkferry.output import emit, instant, print_fields, say
from linkferry.tables import Column, of_name, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session

ActId = Annotated[str, typer.Argument(metavar="ACT", help="The act's id; `linkferry act list` shows them.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept in the trail.")]
Outcome = Annotated[
    str | None,
    typer.Option(
        "--outcome", help="List its jobs with this outcome, such as `refused`, `failed_again` or `waiting`."
    ),
]
_COLUMNS = (
    "act",
    "what",
    "state",
    "done",
    Column("of", rank=1),
    Column("linked", rank=4),
    Column("failed again", rank=2),
    when("started", rank=3),
    Column("by", rank=5),
    Column("why", rank=6, is_text=True),
)


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="act", help="Bulk acts: list, show, watch, stop, continue, undo.")
    _register_looking(group)
    _register_steering(group)


def _register_looking(group: typer.Typer) -> None:
    command(group, "list")(list_acts)
    command(group, "show")(show)
    command(group, "watch")(watch)


async def list_acts(session: Session, *, limit: filters.Limit = 50, cursor: filters.Cursor = None) -> None:
    """List bulk acts, the last one started first.

    Example: `linkferry act list --limit 10`
    """
    page = await filters.page(session.acts.list(limit=limit, cursor=cursor))
    emit(page, lambda: _print_acts(page))


async def show(
    session: Session,
    act_id: ActId,
    *,
    outcome: Outcome = None,
    limit: filters.Limit = 50,
    cursor: filters.Cursor = None,
    is_revealed: filters.Reveal = False,
) -> None:
    """Show one bulk act: who, when, why, on what, and what came of it. With --outcome, which jobs.

    Example: `linkferry act show ACT --outcome failed_again`
    """
    from worker.domain.act import ActOutcome

    with acting.refusals():
        document = await _document(session, act_id)
    if outcome is None:
        emit(document, lambda: _print_act(document))
        return
    wanted = filters.choice(ActOutcome, outcome, "--outcome").value
    page = await filters.page(
        session.acts.items(
            act_id.strip(), outcome=wanted, cursor=cursor, limit=limit, is_revealed=is_revealed
        )
    )
    if is_revealed:
        await session.trail.reveal(by=filters.operator(), shown=len(page["items"]), what="act show")
    emit(page, lambda: _print_items(page))


async def watch(session: Session, act_id: ActId) -> int:
    """Watch a bulk act until it has ended; Ctrl-C leaves it alone. Exit code 3 if some failed again.

    Example: `linkferry act watch ACT`
    """
    return await acting.follow(session, act_id.strip(), is_driver=False)


def _register_steering(group: typer.Typer) -> None:
    command(group, "stop")(stop)
    command(group, "continue")(go_on)
    command(group, "undo")(undo)


async def stop(session: Session, act_id: ActId, why: Why = "") -> None:
    """Take no more of a bulk act's jobs; those that it requeued go on.

    Example: `linkferry act stop ACT --why "the partner is down again"`
    """
    with acting.refusals():
        document = await session.acts.stop(act_id.strip(), by=filters.operator(), why=why)
    emit(document, lambda: acting.tell(document))


async def go_on(
    session: Session,
    act_id: ActId,
    *,
    why: Why = "",
    is_detached: acting.Detach = False,
) -> int:
    """Go on with a bulk act that was stopped, or stopped by itself; its canary begins anew.

    Example: `linkferry act continue ACT --why "the template is mended"`
    """
    with acting.refusals():
        document = await session.acts.go_on(act_id.strip(), by=filters.operator(), why=why)
    if is_detached:
        emit(document, lambda: acting.say_left(f"Goes on. Look: linkferry act watch {act_id}", document))
        return 0
    return await acting.follow(session, act_id.strip(), is_driver=True)


async def undo(
    session: Session,
    act_id: ActId,
    *,
    why: Why = "",
    is_sure: filters.Yes = False,
    is_detached: acting.Detach = False,
) -> int:
    """Take a bulk discard back: exactly the jobs that it discarded and that nobody touched since.

    They stand in the failed queue again, with the reasons they had.

    Example: `linkferry act undo ACT --why "wrong reason"`
    """
    with acting.refusals():
        preview = await session.acts.undo(act_id.strip(), by=filters.operator())
    manner = acting.Manner(why=why, is_sure=is_sure, is_detached=is_detached)
    return await acting.carry_out(session, preview, manner, is_asked=not is_sure, is_nothing_wrong=False)


async def _document(session: Session, act_id: str) -> dict[str, Any]:
    from worker.ops.acts import ActRefused

    document = await session.acts.get(act_id.strip())
    if document is None:
        raise ActRefused("gone", act_id)
    return document


def _print_acts(page: dict[str, Any]) -> None:
    if not page["items"]:
        say("None. A bulk act begins with `linkferry failed requeue` or `linkferry failed discard`.")
        return
    rows = [
        (
            item["act_id"],
            item["act"],
            item["state"],
            item["done"],
            item["total"],
            item["linked"] + item["sent"] + item["revoked"] if item["act"] in acting.CALLING else "",
            item["failed_again"] if item["act"] in acting.CALLING else "",
            instant(item["started_at"]),
            item["by"],
            item["why"],
        )
        for item in page["items"]
    ]
    print_table(_COLUMNS, rows)
    if page["next"]:
        say(f"More: add --cursor {page['next']}")


def _print_act(document: dict[str, Any]) -> None:
    wanted = document["filter"]
    print_fields(
        {
            "act": document["act_id"],
            "what": document["act"],
            "state": document["state"],
            "by": document["by"],
            "why": document["why"],
            "on": "given ids" if wanted is None else filters.in_words(wanted),
            "undoes": document["undo_of"],
            "undone by": _undone(document),
            "started": instant(document["started_at"]),
            "ended": instant(document["ended_at"]),
            "fit": f"{document['total']:,} of {document['seen']:,}",
            "canary": "a few first" if document["is_canary"] else "none: all at once",
        }
    )
    acting.tell(document)


def _undone(document: dict[str, Any]) -> str | None:
    by = document["undone_by"]
    return by and f"{by}: {document['undone']:,} of {document['done']:,} taken back"


def _print_items(page: dict[str, Any]) -> None:
    from worker.ops.acts import WHY_NOT

    if not page["items"]:
        say("None.")
        return
    rows = [
        (
            item["job_id"],
            item["name"],
            item["outcome"].replace("_", " "),
            WHY_NOT.get(item["refusal"] or "", ""),
        )
        for item in page["items"]
    ]
    print_table(("job", of_name(rank=1), "outcome", Column("why", is_text=True)), rows)
    if page["next"]:
        say(f"More: add --cursor {page['next']}")
