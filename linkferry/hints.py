"""Hints as the reader can type them. The one place where `linkferry …` in a text becomes a command line."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

from linkferry.commands import COMMANDS

_WORDS = "|".join(word for words in COMMANDS.values() for word in words)
_HINT = re.compile(rf"(?<![\w./-])linkferry (?=(?P<flag>--sandbox\b)|(?:{_WORDS})\b)")
_SAYS_SANDBOX = re.compile(r"(?:--sandbox|demo|sandbox|up --sandbox)\b")


def as_typed(text: str, *, is_sandbox: bool, by: str | None = None) -> str:
    """Return *text* with every command in it as it is typed here: for the sandbox, and *by* its path or a name."""

    def written(match: re.Match[str]) -> str:
        says_it = _SAYS_SANDBOX.match(text, match.end()) is not None
        return f"{by or program()} {'--sandbox ' if is_sandbox and not says_it else ''}"

    return _HINT.sub(written, text)


@cache
def program() -> str:
    """Return how the `linkferry` command is started from here: its name, or its path where PATH does not lead to it."""
    script = Path(sys.executable).with_name("linkferry")
    if shutil.which("linkferry") or not script.is_file():
        return "linkferry"
    return shlex.quote(short_path(script))


def short_path(path: Path) -> str:
    """Return *path* as seen from the current folder, where it lies within."""
    path = Path.cwd() / path  # its links stay: a venv's script is told by its place
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
