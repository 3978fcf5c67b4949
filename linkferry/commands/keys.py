"""`linkferry key …`: named keys of the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import FAILED, USAGE, CommandError, command, complain
from linkferry.notices import sandbox_beside, tell_if_sandbox_beside
from linkferry.output import emit, instant, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session

Name = Annotated[str, typer.Argument(help="A name for who uses it, such as `crm` or `website`.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="key", help="Keys of the HTTP API: make, list, revoke.")
    command(group, "add")(add)
    command(group, "list")(list_keys)
    command(group, "revoke")(revoke)


async def add(session: Session, name: Name) -> int:
    """Make a key and print it, this once: only its hash is kept.

    Example: `linkferry key add website`
    """
    if any(each.name == name for each in await session.ledger.keys_of_api.list()):
        complain(f"There is a key {name} already. Revoke it first, or take another name.")
        return FAILED
    try:
        secret = await session.ledger.keys_of_api.add(name, by=filters.operator())
    except ValueError as exc:
        raise CommandError(f"{name[:80]!r}: {exc}.", exit_code=USAGE) from None
    tell_if_sandbox_beside(session)
    emit({"name": name, "key": secret}, lambda: _show_new(name, secret))
    return 0


async def list_keys(session: Session) -> None:
    """List the keys: who made them, when, and when they were last used."""
    from worker.ops.views import iso

    items = [
        {
            "name": each.name,
            "added_at": iso(each.added_at_ms),
            "added_by": each.added_by,
            "used_at": iso(each.used_at_ms),
        }
        for each in await session.ledger.keys_of_api.list()
    ]
    if not items:
        tell_if_sandbox_beside(session)
    more = len(session.settings.api_keys)
    document = {"items": items, "next": None, "total": len(items), "in_settings": more}
    emit(document, lambda: _print_keys(items, in_settings=more))


async def revoke(session: Session, name: Name) -> int:
    """Make a key useless from now on."""
    if not await session.ledger.keys_of_api.revoke(name, by=filters.operator()):
        elsewhere = sandbox_beside(session.settings)
        complain(f"There is no key {name}. {elsewhere or '`linkferry key list` names them.'}")
        return FAILED
    tell_if_sandbox_beside(session)
    emit({"name": name, "revoked": True}, lambda: say(f"{name} is revoked."))
    return 0


def _print_keys(items: list[dict[str, Any]], *, in_settings: int) -> None:
    rows = [
        (each["name"], instant(each["added_at"]), each["added_by"], instant(each["used_at"]) or "never")
        for each in items
    ]
    if rows:
        print_table(("name", Column("made", rank=2), Column("by", rank=3), Column("last used", rank=1)), rows)
    else:
        say("None. Make one for each program: linkferry key add NAME")
    if in_settings:
        say(f"{in_settings} more in the setting API_KEYS: changed there, and not revoked by a command.")


def _show_new(name: str, secret: str) -> None:
    say(secret)
    say(f"The key {name}: shown this once. Use it as `Authorization: Bearer {secret[:6]}…`.")
