"""`linkferry alerts …`: what is wrong and was, whether it was told, and whether alerts arrive."""

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
    from worker.dispatch.alerts import AlertSink
    from worker.domain.alert_words import AlertNotice
    from worker.settings import Settings

_OFF = "Alerts are off: nobody is told. Set LINKFERRY_ALERT_URL or LINKFERRY_ALERT_EMAIL, see docs/alerts.md."
_SANDBOX_OFF = (
    "Alerts are off: set LINKFERRY_ALERT_EMAIL; in the sandbox its mails are captured, and LINKFERRY_ALERT_URL is "
    "ignored."
)
#: What to do about each fault of a test.
_ADVICE = {
    "timed_out": "It has to answer within 15 s (a mail server within a minute).",
    "unreachable": "Check its address, port and certificate, and the network.",
    "refused": "Read its answer. A mail server names the mailbox; of a webhook, 401 and 403 mostly mean another secret.",
    "redirected": "Redirects are not followed: write the address it leads to into LINKFERRY_ALERT_URL.",
    "throttled": "It asks for time; alerts wait as long as it says.",
    "unavailable": "It asks for time; alerts are told again by themselves.",
    "endpoint_gone": "410 means that it wants no more. Correct LINKFERRY_ALERT_URL.",
    "credentials_refused": "The mail server refuses our login: correct LINKFERRY_SMTP_URL.",
}


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group, name="alerts", help="Alerts: what is wrong, who was told of it, and whether they arrive."
    )
    _register_looking(group)

    @command(group, "test")
    def test() -> int:
        """Send one test alert to ALERT_URL and to each address in ALERT_EMAIL, now, and tell what came back.

        Example: `linkferry alerts test`
        """
        settings = frame.settings()
        if not settings.alert_url and not settings.alert_email:
            raise CommandError(_SANDBOX_OFF if settings.is_sandbox else _OFF, exit_code=USAGE)
        return asyncio.run(_test(settings))


def _register_looking(group: typer.Typer) -> None:
    @command(group, "list")
    async def list_alerts(
        session: Session, *, limit: filters.Limit = 50, cursor: filters.Cursor = None
    ) -> None:
        """List incidents, those that are open first: what is wrong, since when, and whether it was told.

        Example: `linkferry alerts list`
        """
        from worker.ops.alerts import Alerts

        settings = session.settings
        alerts = Alerts(session.ledger, addresses=settings.alert_email)
        page = await filters.page(alerts.page(cursor=cursor, limit=limit))
        is_on = bool(settings.alert_url or settings.alert_email)
        emit(page, lambda: _print_page(page, is_on=is_on, is_sandbox=settings.is_sandbox))

    @command(group, "show")
    async def show(
        session: Session,
        incident_id: Annotated[str, typer.Argument(metavar="ID", help="The incident's id.")],
    ) -> int:
        """Show one incident: what it means, what to do, and how each telling of it went.

        Example: `linkferry alerts show alr_01m2x8v0q4z7k3b9n1cd`
        """
        from worker.ops.alerts import Alerts

        alerts = Alerts(session.ledger, addresses=session.settings.alert_email)
        document = await alerts.incident(incident_id.strip())
        if document is None:
            complain(
                "There is no such incident; those that are over are kept for 90 days. See: linkferry alerts list"
            )
            return FAILED
        emit(document, lambda: _print_incident(document))
        return DONE


# --- the test ----------------------------------------------------------------------------------------------


async def _test(settings: Settings) -> int:
    import secrets

    from worker.clock import SystemClock
    from worker.domain.alert_words import Environment, sample_notice
    from worker.main import build_alert_sinks, build_sender

    clock = SystemClock()
    where = Environment(
        is_sandbox=settings.is_sandbox, namespace=settings.namespace, public_url=settings.public_url
    )
    notice = sample_notice(f"alr_test_{secrets.token_hex(8)}", clock.now_ms(), where)
    sinks = build_alert_sinks(settings, build_sender(settings), clock)
    addresses = [*(["ALERT_URL"] if settings.alert_url else []), *settings.alert_email]
    rows = await asyncio.gather(*(_tried(sink, notice) for sink in sinks))
    items = [{"to": address} | row for address, row in zip(addresses, rows, strict=True)]
    emit({"items": items, "next": None, "total": len(items)}, lambda: _print_test(items))
    return DONE if all(item["told"] for item in items) else FAILED


async def _tried(sink: AlertSink, notice: AlertNotice) -> dict[str, Any]:
    began = time.monotonic()
    try:
        tried = await sink.tell(notice)
    finally:
        await sink.aclose()
    fault = getattr(tried.telling, "fault", None)
    return {
        "told": fault is None,
        "status": tried.telling.status,
        "fault": None if fault is None else fault.value,
        "answer": tried.detail or None,
        "seconds": round(time.monotonic() - began, 3),
        "remedy": None if fault is None else _ADVICE.get(fault.value),
    }


def _print_test(items: list[dict[str, Any]]) -> None:
    for item in items:
        status = f" (HTTP {item['status']})" if item["status"] else ""
        came = f"taken{status}" if item["told"] else f"not taken: {item['fault']}{status}"
        say(f"{item['to']}: {came}, after {item['seconds']:.2f} s.")
        if item["answer"] and not item["told"]:
            say(f"  It answered: {item['answer']}")
        if item["remedy"]:
            say(f"  {item['remedy']}")


# --- for people --------------------------------------------------------------------------------------------

_COLUMNS = (
    Column("incident"),
    "state",
    Column("what", rank=0, is_text=True),
    Column("since", rank=1),
    Column("ended", rank=3),
    Column("told", rank=2, is_text=True),
)


def _print_page(page: dict[str, Any], *, is_on: bool, is_sandbox: bool) -> None:
    if not is_on:
        say(_SANDBOX_OFF if is_sandbox else _OFF)
    if not page["items"]:
        say("Nothing is wrong, and nothing was, as far as is known.")
        return
    rows = [
        (
            item["incident_id"],
            item["state"],
            item["title"],
            instant(item["began_at"]),
            instant(item["ended_at"]),
            _told(item["tellings"]),
        )
        for item in page["items"]
    ]
    print_table(_COLUMNS, rows)
    if page["open"]:
        say("What to do about one: linkferry alerts show ID")
    if page["next"]:
        say(f"More: add --cursor {page['next']}")


def _told(tellings: list[dict[str, Any]]) -> str:
    """Return who was told of the last phase, and who was not."""
    last = "ended" if any(each["phase"] == "ended" for each in tellings) else "opened"
    states = [each["state"] for each in tellings if each["phase"] == last]
    words = {"told": "told", "waiting": "to be told", "failed": "in vain"}
    return ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states)


def _print_incident(document: dict[str, Any]) -> None:
    apart = {"means", "what_to_do", "commands", "codes", "params", "tellings", "page"}
    print_fields({name: value for name, value in document.items() if name not in apart})
    say(f"  {document['means']}")
    say(f"  What to do: {document['what_to_do']}")
    for line in document["commands"]:
        say(f"  -> {line}")
    for each in document["tellings"]:
        how = " ".join(str(part) for part in (each["fault"] or "", each["status"] or "") if part)
        tries = f"{each['tries']} tries" if each["tries"] != 1 else "1 try"
        say(f"  {each['phase']} by {each['sink']}: {each['state']}, {tries} {how}".rstrip())
