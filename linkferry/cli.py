"""The `linkferry` command. Each group's commands live in a module of `linkferry.commands`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from linkferry import frame
from linkferry.commands import (
    act,
    alerts,
    audit,
    backfill,
    batches,
    check,
    crm,
    customer,
    enqueue,
    events,
    failed,
    holds,
    jobs,
    keys,
    lanes,
    reasons,
    resend,
    run,
    status,
    users,
)

app = typer.Typer(
    name="linkferry",
    help=(
        "Ferries onboarding links from the partner API to customers, and never loses one.\n\n"
        "New here? `linkferry demo` shows all of it in a minute; `linkferry up --sandbox` lets you try it; "
        "`linkferry doctor` says what is missing for real use.\n\n"
        "Exit codes: 0 done, 1 failed or stopped (what was accepted stays accepted), 2 usage or settings, "
        "3 done with some bad rows or failed jobs."
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"linkferry {version('linkferry')}")
        raise typer.Exit


@app.callback()
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


for part in (
    run,
    status,
    enqueue,
    backfill,
    jobs,
    customer,
    failed,
    act,
    batches,
    crm,
    events,
    alerts,
    lanes,
    holds,
    keys,
    users,
    resend,
    reasons,
    audit,
    check,
):
    part.register(app)


def main() -> None:
    """Run the command line; the process ends with the exit codes of the documentation."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(frame.FAILED)


if __name__ == "__main__":
    main()
