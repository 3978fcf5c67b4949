"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from linkferry.frame import flags, hint

if TYPE_CHECKING:
    from rich.console import Console

#: What anybody wrote must not steer the terminal or turn the line round; and half a letter cannot be written at all.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WIDE = 1000  #: columns where there is no terminal: a pipe gets each row and sentence in one line


def emit(document: Any, render: Callable[[], None]) -> None:
    """Print *document* as JSON with `--json`, else let *render* print it for people."""
    if flags().is_json:
        print_json(document)
    else:
        render()


def print_json(document: Any) -> None:
    """Print one JSON document on a line of its own, letters of every script as themselves."""
    text = json.dumps(document, ensure_ascii=not _takes_all_letters(sys.stdout), default=str)
    sys.stdout.write(_UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def say(text: str = "") -> None:
    """Print a line for people; silent with `--json`."""
    if not flags().is_json:
        console().print(hint(text), markup=False, highlight=False, soft_wrap=True)


def console(*, is_error: bool = False) -> Console:
    """Return a console as wide as the terminal (or COLUMNS), or wide enough where there is none."""
    stream = sys.stderr if is_error else sys.stdout
    if not _takes_all_letters(stream) and isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a name in letters that it has not is better than none
    is_known = stream.isatty() or "COLUMNS" in os.environ
    return _console_class()(file=stream, width=None if is_known else _WIDE, highlight=False)


@cache
def _console_class() -> type[Console]:
    from rich.console import Console

    class Pipeable(Console):
        """A console whose reader may leave, as `| head` does: that is no failure of ours."""

        def on_broken_pipe(self) -> None:
            """Leave it to the command's frame, where rich would end the process with an exit code of its own."""
            raise BrokenPipeError

    return Pipeable


def _takes_all_letters(stream: TextIO) -> bool:
    """Tell whether a stream can write every script: not so where an old locale or PYTHONIOENCODING rules."""
    return (stream.encoding or "utf-8").lower().replace("-", "").startswith("utf")


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line, what is unset left out."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        if not (value is None or value is False or value in ("", [], {})):
            say(f"  {name:<{width}}  {value}")


def instant(text: object) -> str:
    """Return an instant of a document without its milliseconds; nothing for None."""
    return re.sub(r"\.\d+(?=Z$)", "", str(text or ""))


def brief_instant(text: str) -> str:
    """Return an instant as short as it can be told: to the minute within this year, else the day."""
    day, sign, time = text.partition("T")
    if not sign:
        return text
    return f"{day[5:]} {time[:5]}Z" if day[:4] == f"{datetime.now(UTC).year}" else day


def ago(at_ms: int | None, *, now_ms: int | None = None) -> str:
    """Return how long ago an instant was, roughly; `in …` for one to come."""
    if at_ms is None:
        return ""
    now = datetime.now(UTC).timestamp() * 1000 if now_ms is None else now_ms
    seconds = (now - at_ms) / 1000
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def span(seconds: float) -> str:
    """Return a length of time in its two largest words at most: `3 s`, `5 min`, `2 h`, `4 d`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} d"


def confirm(question: str) -> bool:
    """Ask a person; without a terminal nobody is there to ask, and the answer is no."""
    return ask(f"{question} [y/N]").lower() in {"y", "yes"}


def ask(question: str) -> str:
    """Ask a person for a line; without a terminal nobody is there to ask, and the answer is empty."""
    if not sys.stdin or not sys.stdin.isatty():
        return ""
    # The event loop's own handler only asks its task to end, which does not wake somebody who reads a line.
    at_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stderr.write(f"{question} ")
        sys.stderr.flush()
        return sys.stdin.readline().strip()
    except EOFError:
        return ""
    finally:
        signal.signal(signal.SIGINT, at_interrupt)
