"""The `linkferry` command. Each group's commands live in a module of `linkferry.commands`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from linkferry import frame
from linkferry.commands import modules_for

#: A command's start makes some hundred thousand objects that stay: looking for garbage among them costs a tenth of it.
_GC_THRESHOLD = 200_000
_HELP = (
    "Ferries onboarding links from the partner API to customers, and never loses one.\n\n"
    "New here? `linkferry demo` shows all of it in a minute; `linkferry up --sandbox` lets you try it; "
    "`linkferry doctor` says what is missing for real use.\n\n"
    "Exit codes: 0 done, 1 failed or stopped (what was accepted stays accepted), 2 usage or settings, "
    "3 done with some bad rows or failed jobs."
)


def build(word: str | None = None) -> typer.Typer:
    """Return the command line: with the module of the command *word* alone, or with all of them."""
    app = typer.Typer(
        name="linkferry",
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(front)
    for module in modules_for(word):
        import_module(f"linkferry.commands.{module}").register(app)
    return app


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"linkferry {version('linkferry')}")
        raise typer.Exit


def front(
    is_sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Work in the sandbox, whatever the command.")
    ] = False,
    is_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options written before the command's name."""
    del is_version
    frame.note_global_sandbox(is_sandbox)


def command_word(words: Sequence[str]) -> str | None:
    """Return the command that a command line names, or None where all are to be known (help, completion)."""
    is_completion = any(name.endswith("LINKFERRY_COMPLETE") for name in os.environ)
    named = next((word for word in words if not word.startswith("-")), None)
    return None if is_completion else named


def main() -> None:
    """Run the command line; the process ends with the exit codes of the documentation."""
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    try:
        build(command_word(sys.argv[1:]))()
    except KeyboardInterrupt:
        sys.exit(frame.FAILED)
    finally:
        gc.freeze()  # the interpreter's last look for garbage, at its end, would find all of it still there


if __name__ == "__main__":
    main()
