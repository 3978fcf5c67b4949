"""The jobs that a file names: one that `failed export` wrote, mended or not, or a plain list of ids."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from linkferry.frame import USAGE, CommandError
from worker.domain.ids import is_job_id

_COLUMN = "_job_id"
_DELIMITERS = ",;\t"
JobsFile = Annotated[
    Path | None,
    typer.Option("--file", help="The jobs of a file: one that `failed export` wrote, or an id a line."),
]


def ids_of(path: Path) -> list[str]:
    """Return the ids of the jobs that a file names, each once, in its order.

    A CSV's column `_job_id`, whatever a spreadsheet made its delimiter; the same field of JSON documents, one a line; or
    a text with an id a line. Raises CommandError (2): it can't be read, names none, or a line of it is no id.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = (
            error.strerror
            if isinstance(error, OSError)
            else "it is no text in UTF-8 (a workbook? Save it as CSV)"
        )
        raise CommandError(f"{path}: {why}.", exit_code=USAGE) from error
    found: dict[str, None] = {}
    for line, text in _named(lines):
        if not is_job_id(text):
            message = f"{path}, line {line}: {text!r} is no job's id. Nothing was done: mend the line, or leave it out."
            raise CommandError(message, exit_code=USAGE)
        found[text] = None
    if not found:
        message = f"{path} names no job: it needs a column {_COLUMN}, as `failed export` writes it, or an id a line."
        raise CommandError(message, exit_code=USAGE)
    return list(found)


def _named(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield what stands where an id should, with the number of its line; rows without anything are passed over."""
    head = lines[0] if lines else ""
    if head.startswith("{"):
        yield from ((nth, _field(line)) for nth, line in enumerate(lines, 1) if line.strip())
    elif _COLUMN in head:
        delimiter = max(_DELIMITERS, key=head.count)
        reader = csv.DictReader(lines, delimiter=delimiter)
        yield from ((reader.line_num, row[_COLUMN].strip()) for row in reader if (row[_COLUMN] or "").strip())
    else:
        yield from ((nth, line.strip()) for nth, line in enumerate(lines, 1) if line.strip())


def _field(line: str) -> str:
    try:
        document = json.loads(line)
    except ValueError:
        return line[:40]
    return str(document.get(_COLUMN, "")) if isinstance(document, dict) else line[:40]
