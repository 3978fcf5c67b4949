"""`linkferry user …`: who may sign in to the console, and as what."""

from __future__ import annotations

import fcntl
import getpass
import select
import signal
import struct
import sys
import termios
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import FAILED, USAGE, CommandError, command, complain, flags
from linkferry.notices import sandbox_beside, tell_if_sandbox_beside
from linkferry.output import emit, instant, say
from linkferry.tables import Column, print_table
from worker.domain.roles import Role

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ops.accounts import Refusal

Name = Annotated[str, typer.Argument(help="The user's name; an e-mail address makes a good one.")]
AsRole = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="viewer looks; operator reveals, mends and acts; admin also manages users and keys.",
    ),
]
NewRole = Annotated[str, typer.Argument(metavar="ROLE", help="`viewer`, `operator` or `admin`.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
]
Generate = Annotated[
    bool, typer.Option("--generate", help="Make a password and print it, this once, instead of asking.")
]
_PIPE_WAIT_S = 0.5  #: for who is to write into a pipe, and may have started when we did
_NOTHING_PIPED = "There is no password on standard input."


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="user", help="People who may sign in to the console: add, list, disable.")
    _register_passwords(group)
    _register_changes(group)

    @command(group, "list")
    async def list_users(session: Session) -> None:
        """List the users with their roles, open sessions and last sign-in."""
        from worker.ops.accounts import user_view

        found = await session.ledger.users.list(idle_s=session.settings.console_idle_s)
        items = [user_view(user) for user in found]
        if not items:
            tell_if_sandbox_beside(session)
        emit({"items": items, "next": None, "total": len(items)}, lambda: _print_users(items))


def _register_passwords(group: typer.Typer) -> None:
    @command(group, "add")
    async def add(
        session: Session,
        name: Name,
        role: AsRole = Role.VIEWER.value,
        from_stdin: FromStdin = False,
        is_generated: Generate = False,
    ) -> int:
        """Add a user. Asks for a password twice; with nobody to ask, one is made and printed, this once.

        A script gives one by --password-stdin: at least 12 characters, and none that guessers try first.

        Example: `linkferry user add dana --role admin`
        """
        from worker.ops.accounts import read_name

        chosen = filters.choice(Role, role, "--role")
        tell_if_sandbox_beside(session)
        password, is_made = read_password(from_stdin=from_stdin, is_generated=is_generated)
        accounts = _accounts(session)
        if refusal := await accounts.add(name, chosen, password, by=filters.operator()):
            return _refused(session, refusal)
        known = read_name(name)
        document = {"name": known, "role": chosen.value} | ({"password": password} if is_made else {})
        emit(document, lambda: _show_made(f"Added: {known}, {chosen.value}.", password if is_made else None))
        return 0

    @command(group, "password")
    async def password(
        session: Session, name: Name, from_stdin: FromStdin = False, is_generated: Generate = False
    ) -> int:
        """Give a user a new password; his sessions end at once.

        Example: `linkferry user password dana --generate`
        """
        known = _known(name)
        if await session.ledger.users.get(known) is None:
            return _told(session, _unknown(), {}, "")
        tell_if_sandbox_beside(session)
        chosen, is_made = read_password(from_stdin=from_stdin, is_generated=is_generated)
        if refusal := await _accounts(session).set_password(known, chosen, by=filters.operator()):
            return _refused(session, refusal)
        document = {"name": known} | ({"password": chosen} if is_made else {})
        emit(document, lambda: _show_made(f"{known} has a new password.", chosen if is_made else None))
        return 0


def _register_changes(group: typer.Typer) -> None:
    @command(group, "disable")
    async def disable(session: Session, name: Name) -> int:
        """Let a user in no more; his sessions end at once.

        Example: `linkferry user disable dana`
        """
        known = _known(name)
        refusal = await _accounts(session).disable(known, by=filters.operator())
        return _told(session, refusal, {"name": known, "disabled": True}, f"{known} is disabled.")

    @command(group, "enable")
    async def enable(session: Session, name: Name) -> int:
        """Let a disabled user in again."""
        known = _known(name)
        refusal = await _accounts(session).enable(known, by=filters.operator())
        return _told(session, refusal, {"name": known, "disabled": False}, f"{known} is enabled.")

    @command(group, "role")
    async def role(session: Session, name: Name, role: NewRole) -> int:
        """Give a user another role; his sessions end at once.

        Example: `linkferry user role dana operator`
        """
        known = _known(name)
        chosen = filters.choice(Role, role, "ROLE")
        refusal = await _accounts(session).set_role(known, chosen, by=filters.operator())
        document = {"name": known, "role": chosen.value}
        return _told(session, refusal, document, f"{known} is {chosen.value} from now on.")


def read_password(*, from_stdin: bool, is_generated: bool) -> tuple[str, bool]:
    """Return a password, and whether it was made here; raises CommandError."""
    from worker.ops.passwords import new_password

    if from_stdin and is_generated:
        raise CommandError("Give --password-stdin or --generate, not both.", exit_code=USAGE)
    if from_stdin:
        return _read_line(), False
    if is_generated or flags().is_json:
        return new_password(), True
    if _is_somebody_there():
        return _asked(), False
    if _is_something_piped():
        message = (
            "Something waits on standard input. To take its first line as the password add --password-stdin; "
            "to have one made, --generate. Nothing was changed."
        )
        raise CommandError(message, exit_code=USAGE)
    return new_password(), True


def _is_somebody_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _is_something_piped() -> bool:
    """Tell whether standard input, which is no terminal, holds anything; it is not read."""
    try:
        number = sys.stdin.fileno()
        select.select([number], [], [], _PIPE_WAIT_S)
        [count] = struct.unpack("i", fcntl.ioctl(number, termios.FIONREAD, bytes(4)))
    except (OSError, ValueError, AttributeError):  # closed, /dev/null and the like
        return False
    return int(count) > 0


def _read_line() -> str:
    if sys.stdin is None:
        raise CommandError(_NOTHING_PIPED, exit_code=USAGE)
    try:
        password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise CommandError("The password on standard input is not UTF-8.", exit_code=USAGE) from None
    if not password:
        raise CommandError(_NOTHING_PIPED, exit_code=USAGE)
    return password


def _asked() -> str:
    # The event loop's own handler only asks its task to end, which does not wake somebody who reads a line.
    at_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        password = getpass.getpass("Password (at least 12 characters): ")
        if getpass.getpass("Once more: ") != password:
            raise CommandError("The two are not the same: nothing was changed.")
    except EOFError as exc:
        raise CommandError("No password was given: nothing was changed.") from exc
    finally:
        signal.signal(signal.SIGINT, at_interrupt)
    return password


def _accounts(session: Session) -> Any:
    from worker.ops.accounts import Accounts

    return Accounts(session.ledger)


def _known(name: str) -> str:
    """Return the name as it is kept; one that cannot be a name is nobody's, which the ledger says."""
    from worker.ops.accounts import read_name

    return read_name(name) or name


def _unknown() -> Refusal:
    from worker.ops.accounts import Refusal

    return Refusal("user_unknown")


def _refused(session: Session, refusal: Refusal) -> int:
    more = ""
    if refusal.code == "user_unknown":
        more = f" {sandbox_beside(session.settings) or '`linkferry user list` names them.'}"
    complain(f"{refusal.text}{more}")
    return FAILED


def _told(session: Session, refusal: Refusal | None, document: dict[str, Any], line: str) -> int:
    if refusal:
        return _refused(session, refusal)
    tell_if_sandbox_beside(session)
    emit(document, lambda: say(line))
    return 0


def _show_made(line: str, password: str | None) -> None:
    say(line)
    if password is not None:
        say(f"Password: {password}   (made now, shown this once)")


def _print_users(items: list[dict[str, Any]]) -> None:
    if not items:
        say("None. Make the first one: linkferry user add NAME --role admin")
        return
    columns = (
        Column("name"),
        Column("role"),
        Column("state"),
        Column("sessions", rank=2),
        Column("last sign-in", rank=1),
        Column("added by", rank=3),
    )
    rows = [
        (
            each["name"],
            each["role"],
            "disabled" if each["disabled"] else "enabled",
            each["sessions"],
            instant(each["signed_in_at"]) or "never",
            each["added_by"],
        )
        for each in items
    ]
    print_table(columns, rows)
