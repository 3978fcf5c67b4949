"""What the tests of the repository itself share: its files, and the commands that exist and that are spoken of."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parent.parent
_SHELL_WORDS = re.compile(r"(?<![\w./-])linkferry((?: +[a-z][a-z-]*)*)(?![\w./=-])")
_CODE = re.compile(r"^```(?:sh|bash)\n(?P<block>.*?)^```|`(?P<inline>[^`\n]+)`", re.MULTILINE | re.DOTALL)


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files that are, or would be, in the repository; those of a plain copy where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return tuple(path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file())
    skipped = {".venv", ".git", "var", "__pycache__"}
    return tuple(
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(part in skipped or "cache" in part for part in path.relative_to(ROOT).parts)
    )


def pages() -> list[Path]:
    """Return the pages of documentation."""
    return [path for path in tracked_files() if path.suffix == ".md"]


def sources(*folders: str) -> list[Path]:
    """Return the Python files under these folders."""
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    ]


def commands_spoken_of(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the words after `linkferry` wherever code in *text* (shell blocks, inline) runs it."""
    for code in _CODE.finditer(text):
        for words in _SHELL_WORDS.findall(code["block"] or code["inline"]):
            yield tuple(words.split())


def options_spoken_of(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each `--option` that code in *text* gives to a command of ours, with that command's words."""
    for code in _CODE.finditer(text):
        for line in (code["block"] or code["inline"]).splitlines():
            for ran in _SHELL_WORDS.finditer(line.split("#")[0]):
                for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", line[ran.end() :]):
                    yield tuple(ran[1].split()), option


def is_option(words: Sequence[str], option: str) -> bool:
    """Tell whether the command that *words* begin with takes *option*."""
    if option == "--help":
        return True
    command = _cli()
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    return any(option in parameter.opts for parameter in [*command.params, *_cli().params])


def is_command(words: Sequence[str]) -> bool:
    """Tell whether *words* begin with a whole command of the CLI; what follows a command are its arguments."""
    command = _cli()
    for word in words:
        children = getattr(command, "commands", None)
        if children is None:
            return True
        if word not in children:
            return False
        command = children[word]
    return True


def read_as_typed(line: str) -> None:
    """Read `linkferry …` as its command would; raises where it can't be run as it stands: an argument lacks, say."""
    command, words = _cli(), shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


@cache
def _cli() -> Any:
    from linkferry.cli import build

    return typer.main.get_command(build())
