"""`linkferry crm …`: CRMs that bring customers in. Try a body, see which are on, look at their events and mend them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import bulk, filters
from linkferry.commands.story import say_wrapped
from linkferry.frame import FAILED, USAGE, CommandError, command, complain
from linkferry.output import emit, instant, print_fields, print_json, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.domain.event import EventState
    from worker.ops.events_in import EventPreview

Name = Annotated[str, typer.Argument(help="`generic`, `hubspot`, `monday` or `salesforce`.")]
EventIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids; or filters, or --all.")]
State = Annotated[str | None, typer.Option("--state", help="Only events in this state, such as `failed`.")]
Source = Annotated[str | None, typer.Option("--source", help="Only this CRM's, such as `hubspot`.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only this reason, such as `conflict`.")]
All = Annotated[bool, typer.Option("--all", help="All failed events.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept in each event's history.")]
_PAST = {"retry": "will be worked on again", "discard": "discarded"}


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group, name="crm", help="CRMs: try a body, see which are on, look at events and retry them."
    )
    _register_trial(group)
    _register_looking(group)
    _register_mending(group)


def _register_trial(group: typer.Typer) -> None:
    @command(group, "test")
    def test(
        name: Name,
        sample: Annotated[
            Path, typer.Argument(metavar="SAMPLE", help="The body as the CRM sends it (JSON, XML), or -.")
        ],
        map_file: Annotated[
            Path | None, typer.Option("--map", help="A field map to try in place of CRM_<NAME>_MAP.")
        ] = None,
        is_fetched: Annotated[
            bool, typer.Option("--fetch", help="Also fetch what the events do not say, from the real CRM.")
        ] = False,
    ) -> int:
        """Show what a body would become, field by field and product by product, or why not. Nothing is recorded.

        It needs no signature and, but for --fetch, no setting.

        Example: `linkferry crm test generic sample.json --map map.json`
        """
        from linkferry.commands.crm_trial import run

        return run(name, sample, map_file=map_file, is_fetched=is_fetched)


def _register_looking(group: typer.Typer) -> None:
    command(group, "list")(list_crms)
    command(group, "events")(events)
    command(group, "show")(show)


async def list_crms(
    session: Session,
    *,
    is_shown: Annotated[
        bool, typer.Option("--show-path", help="Show the URLs whole: who has one can knock.")
    ] = False,
) -> None:
    """List the CRMs: which are on, their URLs, their last event, how many stand where."""
    from linkferry.crms import overview

    items = await overview(session, is_path_shown=is_shown)
    emit(
        {"items": items, "next": None, "total": len(items)},
        lambda: _print_crms(items, is_path_shown=is_shown),
    )


async def events(
    session: Session,
    *,
    state: State = None,
    source: Source = None,
    reason: Reason = None,
    limit: filters.Limit = 50,
    cursor: filters.Cursor = None,
) -> None:
    """List events that came in, the latest change first.

    Example: `linkferry crm events --state failed --source hubspot`
    """
    from worker.ops.events_in import EventQueries

    queries = EventQueries(session.ledger)
    page = await filters.page(
        queries.events(
            source=await _source(session, source),
            state=_state(state),
            reason=_reason(reason),
            cursor=cursor,
            limit=limit,
        )
    )
    emit(page, lambda: _print_events(page))


async def show(
    session: Session,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="An event's id.")],
    is_revealed: filters.Reveal = False,
) -> int:
    """Show one event: what it said, what is wrong with it, its jobs and its history."""
    from worker.ops.events_in import EventQueries

    document = await EventQueries(session.ledger).event(event_id.strip(), is_revealed=is_revealed)
    if document is None:
        complain(f"There is no event {event_id}. `linkferry crm events` shows what there is.")
        return FAILED
    if is_revealed:
        await session.trail.reveal(by=filters.operator(), subject=event_id.strip(), what="crm event")
    emit(document, lambda: _print_event(document))
    return 0


def _register_mending(group: typer.Typer) -> None:
    _register_act(
        group,
        "retry",
        """Work on failed events again: ids, all of a CRM or a reason, or `--all`. Twice has the effect of once.

        Example: `linkferry crm retry --reason conflict --why "the old job is cancelled"`
        """,
    )
    _register_act(
        group,
        "discard",
        """Give failed events up: they are skipped for good, and what they said is deleted.

        Example: `linkferry crm discard --source generic --reason altered --why "a test of ours"`
        """,
    )


def _register_act(group: typer.Typer, verb: str, teaching: str) -> None:
    async def mend(
        session: Session,
        *,
        event_ids: EventIds = None,
        is_all: All = False,
        source: Source = None,
        reason: Reason = None,
        why: Why = "",
        is_sure: filters.Yes = False,
    ) -> int:
        from worker.ops.events_in import EventAct, EventCommands

        commands = EventCommands(session.ledger)
        act = EventAct(verb)
        if event_ids:
            preview = await commands.preview_ids(act, [each.strip() for each in event_ids])
        elif is_all or source or reason:
            preview = await commands.preview(
                act, source=await _source(session, source), reason=_reason(reason)
            )
        else:
            message = "Say which: ids, --source, --reason or --all."
            raise CommandError(message, exit_code=USAGE)
        if not preview.ids:
            emit(preview.document() | {"done": 0}, lambda: say(_nothing(verb, preview)))
            return FAILED if event_ids else 0
        if not event_ids and not is_sure:
            title = f"{len(preview.ids):,} events to {verb}"
            bulk.announce(title, preview.by_reason, preview.not_eligible)
            bulk.require_consent(f"{verb.capitalize()} these {len(preview.ids)}?")
        report = await commands.carry_out(preview, by=filters.operator(), why=why)
        emit(
            report.document() | {"not_eligible": preview.not_eligible},
            lambda: say(bulk.report(report.done, _PAST[verb], report.refused)),
        )
        return 0 if report.done else FAILED

    mend.__doc__ = teaching
    command(group, verb)(mend)


def _nothing(verb: str, preview: EventPreview) -> str:
    return " ".join(filter(None, [f"Nothing to {verb}.", bulk.left_out(preview.not_eligible)]))


async def _source(session: Session, name: str | None) -> str | None:
    """Return a CRM's source, whether it is written with its `crm:` or not; refuse one that nobody knows."""
    if name is None:
        return None
    from producers.crm.config import CRM_NAMES
    from producers.crm.receiver import crm_of, source_of
    from worker.domain.report import REPORT_SOURCES

    source = name if ":" in name else source_of(name.strip().lower())
    # What an earlier version or another build recorded may stand there under other names.
    known = {*map(source_of, CRM_NAMES), *REPORT_SOURCES, *await session.ledger.intake.counts()}
    if source not in known:
        in_order = sorted(known, key=lambda each: (each in REPORT_SOURCES, each))
        message = f"--source {name}: say one of {', '.join(map(crm_of, in_order))}."
        raise CommandError(message, exit_code=USAGE)
    return source


def _reason(word: str | None) -> str | None:
    """Return a reason of events; refuse one that no event can have."""
    from worker.domain.event import EVENT_REASONS
    from worker.domain.report import REPORT_REASONS

    known = EVENT_REASONS | REPORT_REASONS
    if word is not None and word not in known:
        message = f"--reason {word}: say one of {', '.join(sorted(known))}."
        raise CommandError(message, exit_code=USAGE)
    return word


def _state(word: str | None) -> EventState | None:
    from worker.domain.event import EventState

    return None if word is None else EventState(filters.choice(EventState, word, "--state"))


# --- for people --------------------------------------------------------------------------------------------


def _crm_columns(*, is_path_shown: bool) -> tuple[Column, ...]:
    return (
        Column("crm"),
        Column("on"),
        # Masked, the address is what can be spared; shown whole, it is what was asked for.
        Column("url", rank=0 if is_path_shown else 3),
        Column("last event", rank=1),
        Column("events", rank=2, is_text=True),
    )


def _print_crms(items: list[dict[str, Any]], *, is_path_shown: bool) -> None:
    rows = [
        (
            item["crm"],
            "yes" if item["is_on"] else "no",
            item["url"] or "",
            instant(item["last_event_at"]),
            ", ".join(f"{state} {count}" for state, count in item["events"].items() if count),
        )
        for item in items
    ]
    print_table(_crm_columns(is_path_shown=is_path_shown), rows)
    for item in items:
        if item["note"]:
            say(f"{item['crm']}: {item['note']}")


_EVENT_COLUMNS = (
    "event",
    "source",
    "state",
    Column("reason", rank=1),
    Column("received", rank=2),
    Column("jobs", rank=3, is_text=True),
)


def _print_events(page: dict[str, Any]) -> None:
    if not page["items"]:
        say("None.")
        return
    rows = [
        (
            item["event_id"],
            item["source"],
            item["state"],
            item["reason"],
            instant(item["received_at"]),
            " ".join(item["job_ids"]),
        )
        for item in page["items"]
    ]
    print_table(_EVENT_COLUMNS, rows)
    if page["next"]:
        say(f"More: add --cursor {page['next']}")


_ALTERED = "altered"
_ABOUT_ALTERED = (
    "The same event came before with other words: a CRM that uses an event's key twice, or somebody who replays it "
    "changed. The first stands; of this one nothing was done. Compare the two with --reveal."
)


def _print_event(document: dict[str, Any]) -> None:
    apart = {"body", "history", "problems", "job_ids"}
    print_fields({name: value for name, value in document.items() if name not in apart})
    if document["job_ids"]:
        print_fields({"jobs": " ".join(document["job_ids"])})
    if document["contact_differs"]:
        say("  contact: another than the first request's; the first stands, and nothing was sent anew")
        for job in document["job_ids"]:
            say(f"  -> To send it elsewhere: linkferry resend {job} --to ADDRESS")
    if document["reason"] == _ALTERED and document["state"] == "failed":
        say_wrapped(_ABOUT_ALTERED, indent="  ")
        say(f"  -> If it is right as it is now: linkferry crm retry {document['event_id']}")
        say(f"  -> If it is not yours, or was a test: linkferry crm discard {document['event_id']}")
    for problem in document["problems"]:
        say(f"  {problem['field']}: {problem['message']} -> {problem['remedy']}")
    for entry in document["history"]:
        say(f"  {instant(entry['at'])}  {entry['event']}  {entry.get('by', '')}  {entry.get('why', '')}")
    if document["body"] is not None:
        print_json(document["body"])
