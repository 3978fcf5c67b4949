"""`linkferry doctor` and `config`: look without touching."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from linkferry import frame
from linkferry.frame import DONE, FAILED, command, hint
from linkferry.output import console, emit, say

if TYPE_CHECKING:
    from linkferry.doctor import Finding
    from worker.settings import Settings
    from worker.settings_fields import SettingNote

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "bad": ("BAD ", "bold red")}


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    _register_state(app)
    _register_settings(app)


def _register_state(app: typer.Typer) -> None:
    @command(app, "doctor")
    def doctor(
        is_live: Annotated[
            bool,
            typer.Option("--live", help="Also make the partner's read-only calls with the real credentials."),
        ] = False,
        address: Annotated[
            str | None,
            typer.Option("--send-test", metavar="ADDRESS", help="Also send one sample message there."),
        ] = None,
    ) -> int:
        """Say in plain words what is missing or unsafe, and what to do. Exit code 1 if anything is bad.

        Example: `linkferry doctor --live --send-test you@example.com`
        """
        from linkferry.doctor import Level

        findings = _examine(is_live=is_live, address=address)
        documents = [each.document() | {"remedy": hint(each.remedy)} for each in findings]
        emit({"findings": documents}, lambda: print_findings(findings))
        return FAILED if any(each.level is Level.BAD for each in findings) else DONE


def _examine(*, is_live: bool, address: str | None) -> list[Finding]:
    from linkferry import doctor, doctor_mail, doctor_window
    from linkferry.embedded import EmbeddedError
    from linkferry.session import on_some_redis, quiet_logs

    settings = frame.settings()
    quiet_logs()

    async def examine_all(on_redis: Settings) -> list[Finding]:
        findings = await doctor.examine(on_redis, is_embedded=settings.redis_url is None)
        findings += [*doctor_window.look_at_window(on_redis), *doctor_window.look_at_reminders(on_redis)]
        findings += await doctor_mail.examine(on_redis)
        if is_live:
            from linkferry.doctor_live import examine_live

            findings += await examine_live(on_redis)
        if address is not None:
            from linkferry.doctor_live import send_test

            findings.append(await send_test(on_redis, address))
        return findings

    try:
        with on_some_redis(settings) as on_redis:
            return asyncio.run(examine_all(on_redis))
    except EmbeddedError as exc:
        return [*doctor.look_at_settings(settings), doctor.bad("redis", str(exc), "See its log.")]


def _register_settings(app: typer.Typer) -> None:
    @command(app, "config")
    def config() -> None:
        """Explain every setting and show its value, secrets masked.

        Settings are environment variables or lines of a file `.env` where you start Linkferry.
        """
        from worker.settings_fields import describe_settings

        notes = describe_settings(frame.settings())
        items = [
            {
                "name": note.name,
                "group": note.group,
                "value": note.value,
                "is_set": note.is_set,
                "description": note.description,
            }
            for note in notes
        ]
        emit({"items": items, "next": None, "total": len(items)}, lambda: print_config(notes))


def print_findings(findings: list[Finding]) -> None:
    """Print what doctor found, for people."""
    from rich.text import Text

    out = console()
    for each in findings:
        mark, style = _MARKS[each.level.value]
        out.print(Text.assemble((mark, style), f"  {each.about}: {hint(each.text)}"), soft_wrap=True)
        if each.remedy:
            out.print(Text(f"      -> {hint(each.remedy)}"), soft_wrap=True)


def print_config(notes: list[SettingNote]) -> None:
    """Print the settings by group, for people."""
    group = None
    for note in notes:
        if note.group != group:
            group = note.group
            say(f"\n{group}")
        mark = "*" if note.is_set else " "
        say(f" {mark} {note.name} = {note.value}")
        say(f"     {note.description}")
    say(
        "\n* set by you. CRM_<NAME>_… settings are a page of their own: docs/crm/README.md; see `linkferry crm list`."
    )
