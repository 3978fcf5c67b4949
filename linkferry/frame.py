"""What every command shares: `--json` and `--sandbox`, its session, plain errors and the exit codes.

Imports little, because every command's module imports it: `linkferry --help` has to be quick.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.hints import as_typed

if TYPE_CHECKING:
    from worker.settings import Settings

DONE = 0
FAILED = 1  #: failed or stopped; what was accepted until then stays accepted
USAGE = 2  #: the command or the settings are wrong
DONE_WITH_BAD_ROWS = 3


class CommandError(Exception):
    """Something an operator can see to. The text is one line: what is wrong and what to do."""

    def __init__(self, text: str, *, exit_code: int = FAILED) -> None:
        """Say *text* and end with *exit_code*."""
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Flags:
    """The options that every command takes."""

    is_json: bool = False
    is_sandbox: bool = False


_flags: ContextVar[Flags] = ContextVar("flags")

_JSON = inspect.Parameter(
    "is_json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--json", help="Print JSON for programs.")],
)
_SANDBOX = inspect.Parameter(
    "is_sandbox",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--sandbox", help="Work in the sandbox: nothing reaches the real partner or a real customer."
        ),
    ],
)

Body = Callable[..., Any]


def command(app: typer.Typer, name: str, *, has_json: bool = True, **options: Any) -> Callable[[Body], Body]:
    """Make the function under it the command *name* of *app*.

    A plain function is called as it is. An `async` one gets an open session as its first argument, `session`. What
    it returns is the exit code (None: 0).
    """

    def register(function: Body) -> Body:
        def run(**arguments: Any) -> None:
            flags = Flags(
                arguments.pop("is_json", False), arguments.pop("is_sandbox") or _flags_so_far().is_sandbox
            )
            _flags.set(flags)
            raise typer.Exit(guarded(lambda: _call(function, arguments)))

        own = _resolved_parameters(function)
        extra = [_JSON, _SANDBOX] if has_json else [_SANDBOX]
        run.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in [*own, *extra]}
        run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
        app.command(name, **options)(run)
        return function

    return register


def note_global_sandbox(is_sandbox: bool) -> None:
    """Remember a `--sandbox` written before the command's name."""
    _flags.set(Flags(is_sandbox=is_sandbox))


def flags() -> Flags:
    """Return the options that the running command was given."""
    return _flags_so_far()


def settings() -> Settings:
    """Read the settings for the running command. Raises SettingsError."""
    from worker.settings import load_settings

    loaded = load_settings(sandbox=True if flags().is_sandbox else None)
    _flags.set(replace(flags(), is_sandbox=loaded.is_sandbox))  # the environment may have said so
    return loaded


def guarded(body: Callable[[], int | None]) -> int:
    """Run *body*; turn every way it can go wrong into one line and an exit code."""
    try:
        return body() or DONE
    except CommandError as exc:
        complain(str(exc))
        return exc.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("Interrupted.")
        return FAILED
    except BrokenPipeError:
        # Whoever read us (`| head`) has seen enough; a second failure at the interpreter's last flush is kept quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as exc:  # noqa: BLE001 - an operator gets a line that names the fault, never a traceback
        return _explain(exc)


def complain(text: str) -> None:
    """Print one line for the operator on standard error, its hints as he has to type them."""
    print(hint(text), file=sys.stderr)


def hint(text: str) -> str:
    """Return *text* with the commands in it as they have to be typed here, in the sandbox for the sandbox."""
    return as_typed(text, is_sandbox=flags().is_sandbox)


def _explain(exc: Exception) -> int:
    from linkferry.embedded import EmbeddedError, FolderError
    from linkferry.up_lock import AlreadyUpError
    from worker.ledger import LedgerFull, LedgerUnavailable, SchemaMismatch
    from worker.limits import LimitsUnavailable
    from worker.settings import SettingsError

    if isinstance(exc, (SettingsError, FolderError)):
        complain(str(exc))
        return USAGE
    if isinstance(exc, LedgerFull):
        complain(
            f"Redis takes no more writes ({exc}). Give it memory or disk, or check `maxmemory`; see `linkferry doctor`."
        )
        return FAILED
    if isinstance(exc, (LedgerUnavailable, LimitsUnavailable)):
        complain(
            f"Redis does not answer ({exc}). Check that it runs and that LINKFERRY_REDIS_URL is right; "
            "what was asked for may not have been done."
        )
        return FAILED
    if isinstance(exc, (EmbeddedError, AlreadyUpError, SchemaMismatch)):
        complain(str(exc))
        return FAILED
    if os.environ.get("LINKFERRY_DEBUG"):
        raise exc
    complain(
        f"A fault of Linkferry's own: {type(exc).__name__}. Set LINKFERRY_DEBUG=1 to see where, and report it."
    )
    return FAILED


def _flags_so_far() -> Flags:
    return _flags.get(Flags())


def _call(function: Body, arguments: dict[str, Any]) -> int | None:
    if not inspect.iscoroutinefunction(function):
        code: int | None = function(**arguments)
        return code
    return in_session(lambda session: function(session, **arguments))


def in_session(body: Callable[[Any], Coroutine[Any, Any, int | None]]) -> int | None:
    """Run *body* with an open session: on Redis, or on the embedded Valkey where REDIS_URL is not set."""
    from linkferry.session import run_session

    return run_session(settings(), body)


def resolved(annotation: Any, function: Body) -> Any:
    """Return what the annotation of a command's parameter names."""
    if not isinstance(annotation, str):
        return annotation
    return eval(annotation, function.__globals__)  # noqa: S307 - our own source's annotation


def _resolved_parameters(function: Body) -> list[inspect.Parameter]:
    """Return the function's parameters with their annotations as objects; the session is none of Typer's."""
    return [
        parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=resolved(parameter.annotation, function),
        )
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "session"
    ]
