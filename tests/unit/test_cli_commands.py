"""The table of commands: a command's own module alone is loaded, so the table must not miss one."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

from linkferry import commands
from linkferry.cli import command_word
from linkferry.commands import COMMANDS, modules_for


def _answers_to(module: str) -> set[str]:
    app = typer.Typer()
    import_module(f"linkferry.commands.{module}").register(app)
    named = {group.name for group in app.registered_groups}
    single = {each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands}
    return {str(word) for word in named | single}


@pytest.mark.parametrize("module", COMMANDS)
def test_the_table_names_what_a_module_registers(module: str) -> None:
    """No more and no less."""
    assert _answers_to(module) == set(COMMANDS[module])


def test_no_module_with_commands_is_forgotten() -> None:
    """Whatever has a `register(app)` for the front door stands in the table."""
    folder = Path(str(commands.__file__)).parent
    registering = {
        path.stem for path in folder.glob("*.py") if "def register(app: typer.Typer)" in path.read_text()
    }

    assert registering - set(COMMANDS) == set()


def test_a_command_loads_its_own_module_and_a_typo_all() -> None:
    """So that a typo can be answered with what is near."""
    assert modules_for("status") == ["status"]
    assert modules_for("stats") == list(COMMANDS)
    assert modules_for(None) == list(COMMANDS)


def test_options_may_stand_before_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first word that is no option is the command; a shell that completes needs them all."""
    assert command_word(["--sandbox", "status", "--json"]) == "status"
    assert command_word(["--help"]) is None
    monkeypatch.setenv("_LINKFERRY_COMPLETE", "complete_bash")
    assert command_word(["status"]) is None


def test_the_command_line_says_what_is_near() -> None:
    """As a person gets it: in a process of its own."""
    said = subprocess.run(
        [sys.executable, "-m", "linkferry", "stats"], capture_output=True, text=True, check=False
    )

    assert said.returncode == 2
    assert "status" in said.stderr
