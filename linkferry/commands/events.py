"""`linkferry events …`: what our own system is told of, and whether it listens."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry import frame
from linkferry.commands import filters
from linkferry.frame import DONE, FAILED, USAGE, CommandError, command, complain
from linkferry.output import emit, instant, print_fields, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.dispatch.webhook import Posted
    from worker.domain.outgoing import OutgoingState
    from worker.settings import Settings

_OFF = "Events are off: set LINKFERRY_EVENTS_URL and LINKFERRY_EVENTS_SECRET, see `linkferry config`."
_NOT_YET = (
    "LINKFERRY_EVENTS_URL is set, but no worker has started with it yet, so no event was left: start the workers, or "
    "restart them with these settings (`linkferry up`, or `linkferry worker`)."
)
_IN_THE_SANDBOX = "The sandbox tells nobody of anything: leave --sandbox away to reach LINKFERRY_EVENTS_URL."
_STATES = ("waiting", "sending", "failed", "told")
#: What to do about each fault of a test.
_ADVICE = {
    "timed_out": "The receiver has to answer within 15 s: let it take the event first and work on it later.",
    "unreachable": "Check LINKFERRY_EVENTS_URL, the receiver's name, port and certificate.",
    "refused": "Look into the receiver's log. 401 and 403 mostly mean that it has another secret.",
    "redirected": "Redirects are not followed: write the address it leads to into LINKFERRY_EVENTS_URL.",
    "throttled": "The receiver asks for time; events wait as long as it says.",
    "unavailable": "The receiver asks for time; events wait as long as it says.",
    "endpoint_gone": "410 means that it wants no more events: they would be kept until you turn them on again.",
}

EventIds = Annotated[list[str] | None, typer.Argument(metavar="[EVENT]...", help="Ids; or use --all.")]
All = Annotated[bool, typer.Option("--all", help="All that failed or were put off.")]
State = Annotated[str, typer.Option("--state", help="`waiting`, `sending`, `failed` or `told`.")]
Sink = Annotated[str | None, typer.Option("--sink", help="Only this one: `webhook` or a CRM's name.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="events", help="Our own events, told to your system: look, tell again, test.")
    _register_looking(group)
    _register_mending(group)


def _register_looking(group: typer.Typer) -> None:
    @command(group, "list")
    async def list_events(
        session: Session,
        *,
        state: State = "failed",
        sink: Sink = None,
        limit: filters.Limit = 50,
        cursor: filters.Cursor = None,
    ) -> None:
        """Show who is told, how it stands, and the events in one state (failed, unless you say which).

        Example: `linkferry events list --state waiting`
        """
        from worker.ops.events_out import EventsOut

        events = EventsOut(session.ledger)
        wanted, sinks = _state(state), await events.sinks()
        named = await _sink_named(session, sink)
        page: dict[str, Any] = {"items": [], "next": None, "total": 0}
        if named is not None:
            page = await filters.page(events.page(named, wanted, cursor=cursor, limit=limit))
        off = _NOT_YET if session.settings.events_url is not None else _OFF
        emit(page | {"sinks": sinks}, lambda: print_events(page, sinks, wanted.value, off=off))

    @command(group, "show")
    async def show(
        session: Session,
        event_id: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id (its webhook-id).")],
    ) -> int:
        """Show one event: what it tells of, how often it was tried, and what came back."""
        from worker.ops.events_out import EventsOut

        document = await EventsOut(session.ledger).event(event_id.strip())
        if document is None:
            complain("No such event. Those told are forgotten after a thousand more.")
            return FAILED
        emit(document, lambda: print_fields(document))
        return DONE


def _register_mending(group: typer.Typer) -> None:
    @command(group, "retry")
    async def retry(
        session: Session,
        *,
        event_ids: EventIds = None,
        is_all: All = False,
        sink: Sink = None,
        why: filters.Why = "",
    ) -> int:
        """Tell events again now: ids, or all that failed or were put off. A receiver that answered 410 is asked again, too.

        Example: `linkferry events retry --all`
        """
        from worker.ops.events_out import EventsOut

        if bool(event_ids) == is_all:
            message = "Say which: ids, or --all."
            raise CommandError(message, exit_code=USAGE)
        events, by = EventsOut(session.ledger), filters.operator()
        if event_ids:
            report = await events.retry([each.strip() for each in event_ids], by=by, why=why)
        else:
            known = await session.ledger.outbox.known()
            sinks = known if sink is None else [await _sink_named(session, sink) or ""]
            report = await events.retry_all(sinks, by=by, why=why)
        emit(report, lambda: say(_retried(report)))
        return DONE if is_all or report["done"] else FAILED

    @command(group, "test")
    def test() -> int:
        """Send a signed sample to EVENTS_URL, now, and tell what came back. Its type is `events.test`.

        Example: `linkferry events test`
        """
        settings = frame.settings()
        if settings.is_sandbox:
            raise CommandError(_IN_THE_SANDBOX, exit_code=USAGE)
        if settings.events_url is None:
            raise CommandError(_OFF, exit_code=USAGE)
        return asyncio.run(_test(settings, settings.events_url))


async def _test(settings: Settings, url: str) -> int:
    import secrets

    from worker.clock import SystemClock
    from worker.dispatch.webhook import WebhookSink
    from worker.domain.outgoing import OutgoingEvent, OutgoingType, Told

    clock = SystemClock()
    event = OutgoingEvent(
        id=f"evt_test_{secrets.token_hex(8)}",
        type=OutgoingType.TEST,
        occurred_at_ms=clock.now_ms(),
        data={"text": "A sample sent by `linkferry events test`."},
    )
    sink, began = WebhookSink(url, settings.events_secrets, clock=clock), time.monotonic()
    try:
        posted = await sink.post(event)
    finally:
        await sink.aclose()
    document = _test_view(posted, event.id, time.monotonic() - began)
    emit(document, lambda: print_test(document))
    return DONE if isinstance(posted.telling, Told) else FAILED


def _test_view(posted: Posted, event_id: str, seconds: float) -> dict[str, Any]:
    fault = getattr(posted.telling, "fault", None)
    return {
        "told": fault is None,
        "event_id": event_id,
        "status": posted.telling.status,
        "fault": None if fault is None else fault.value,
        "error": posted.error or None,
        "answer": posted.answer[:500] or None,
        "seconds": round(seconds, 3),
        "remedy": _ADVICE.get(fault or ""),
    }


def print_test(document: dict[str, Any]) -> None:
    """Print what came back from a test for people."""
    came = f"HTTP {document['status']}" if document["status"] else f"No answer ({document['error']})"
    say(f"{came} after {document['seconds']:.2f} s: {'taken' if document['told'] else 'not taken'}.")
    if document["answer"]:
        say(f"It answered: {document['answer']}")
    if document["remedy"]:
        say(document["remedy"])


_EVENT_COLUMNS = (
    "event",
    "type",
    Column("occurred", rank=2),
    Column("tries", rank=3),
    Column("due", rank=4),
    Column("fault", rank=1),
    Column("status", rank=1),
)
_SINK_COLUMNS = ("told to", "stands", "waiting", "failed", Column("told", rank=1), Column("why", rank=2))


def print_events(page: dict[str, Any], sinks: list[dict[str, Any]], state: str, *, off: str = _OFF) -> None:
    """Print the sinks and a page of events for people; *off* is said where none ever was switched on."""
    if not sinks:
        say(off)
        return
    rows = [
        (each["sink"], each["standing"], each["waiting"], each["failed"], each["told"], _why(each))
        for each in sinks
    ]
    print_table(_SINK_COLUMNS, rows)
    if not page["items"]:
        say(f"None is {state}.")
        return
    print_table(
        _EVENT_COLUMNS,
        [
            (
                each["event_id"],
                each["type"],
                instant(each["occurred_at"]),
                each["attempt"],
                instant(each["due_at"]),
                each["fault"],
                each["status"],
            )
            for each in page["items"]
        ],
    )
    if page["next"]:
        say(f"More: add --cursor {page['next']}")


def _why(sink: dict[str, Any]) -> str:
    dropped = f"{sink['dropped']} dropped" if sink["dropped"] else ""
    status = f"HTTP {sink['status']}" if sink["status"] else ""
    why = [] if sink["standing"] in {"on", "off"} else [sink["fault"] or "", status]
    return ", ".join(part for part in [*why, dropped] if part)


def _retried(report: dict[str, Any]) -> str:
    rest = ", ".join(f"{count} {why}" for why, count in report["refused"].items())
    return f"{report['done']} will be told again now." + (f" Not: {rest}." if rest else "")


def _state(word: str) -> OutgoingState:
    from worker.domain.outgoing import OutgoingState

    if word not in _STATES:
        message = f"--state is one of {', '.join(_STATES)}."
        raise CommandError(message, exit_code=USAGE)
    return OutgoingState(word)


async def _sink_named(session: Session, name: str | None) -> str | None:
    """Return the sink that is meant, `webhook` first; None where events never were on."""
    known = await session.ledger.outbox.known()
    if name is not None and name not in known:
        message = f"Nothing called {name} was ever told. Known: {', '.join(known) or 'none'}."
        raise CommandError(message, exit_code=USAGE)
    return name or next((each for each in ("webhook", *known) if each in known), None)
