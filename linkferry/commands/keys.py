"""`linkferry key …`: named keys of the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from linkferry.frame import FAILED, command, complain
from linkferry.output import emit, say
from linkferry.tables import print_table

if TYPE_CHECKING:
    from linkferry.session import Session

Name = Annotated[str, typer.Argument(help="A name for who uses it, such as `crm` or `website`.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="key", help="Keys of the HTTP API: make, list, revoke.")

    @command(group, "add")
    async def add(session: Session, name: Name) -> int:
        """Make a key and print it, this once: only its hash is kept.

        Example: `linkferry key add website`
        """
        if any(_name_of(each) == name for each in await session.ledger.keys_of_api.list()):
            complain(f"There is a key {name} already. Revoke it first, or take another name.")
            return FAILED
        secret = await session.ledger.keys_of_api.add(name)
        emit({"name": name, "key": secret}, lambda: _show_new(name, secret))
        return 0

    @command(group, "list")
    async def list_keys(session: Session) -> None:
        """List the keys' names."""
        names = [_name_of(each) for each in await session.ledger.keys_of_api.list()]
        items = [{"name": name} for name in names]
        emit(
            {"items": items, "next": None, "total": len(items)},
            lambda: print_table(("name",), [(name,) for name in names]) if names else say("None."),
        )

    @command(group, "revoke")
    async def revoke(session: Session, name: Name) -> int:
        """Make a key useless from now on."""
        if not any(_name_of(each) == name for each in await session.ledger.keys_of_api.list()):
            complain(f"There is no key {name}. `linkferry key list` names them.")
            return FAILED
        await session.ledger.keys_of_api.revoke(name)
        emit({"name": name, "revoked": True}, lambda: say(f"{name} is revoked."))
        return 0


def _name_of(each: object) -> str:
    return each if isinstance(each, str) else str(getattr(each, "name", each))


def _show_new(name: str, secret: str) -> None:
    say(secret)
    say(f"The key {name}: shown this once. Use it as `Authorization: Bearer {secret[:6]}…`.")
