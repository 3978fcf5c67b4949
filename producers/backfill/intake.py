"""From a file to parsed rows: what a real run and a dry run have in common."""

from __future__ import annotations

import contextlib
import gc
import os
import stat
import threading
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from producers.backfill.columns import Columns, find_columns
from producers.backfill.oddities import weigh_odd_cells
from producers.backfill.pipe import PipeStream
from producers.backfill.reader import InputProblemError, ReadOptions, Row, Sheet, Survey, survey
from producers.backfill.reports import stem_of
from producers.enqueue import CHUNK_ROWS
from worker.domain.parse import InvalidRequest, ParsedRequest, ParseRules, Problem, parse_request

_NO_RULES = ParseRules()
_AS_IT_IS = ReadOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """How a file is to be taken."""

    rules: ParseRules = _NO_RULES
    reading: ReadOptions = _AS_IT_IS  #: `--encoding`, `--delimiter`, `--sheet`
    #: pairs of field and column: `--map`, read by `columns.read_map`
    mapping: tuple[tuple[str, str], ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)  #: field → text for rows that leave it empty
    max_errors: int | None = None  #: more rejected rows than this stop the run
    resume: str | None = None  #: the run to go on with
    run: str | None = None  #: the id that a new run is to have; None: one is made
    #: `--only-ready`: lines whose rows are not recorded but left in the unprocessed file; None: there are none
    held_back: Container[int] | None = None
    has_success_file: bool = False  #: `--success-file`: write down the rows that stand, with their jobs
    by: str = "cli"  #: who runs it
    report_folder: Path | None = None  #: for result files; None: beside the input (stdin: where we are)


class Intake:
    """A file that has been opened, looked over and found readable, its columns known."""

    def __init__(
        self, source: Path | BinaryIO, options: BackfillOptions, *, leave: threading.Event | None = None
    ) -> None:
        """Open *source*, a path or an open stream such as stdin; `close` closes a path.

        Reading a pipe ends with PipeLeftError once *leave* is set.

        Raises:
            InputProblemError: anything that stops a run before its first row.
        """
        self.path = source if isinstance(source, Path) else None
        self.is_pipe = is_pipe(source)
        found = None if self.is_pipe else _look_over(source, options.reading)
        self._stream = self._open(source, leave)
        try:
            written = [column for _, column in options.mapping]
            self.sheet = Sheet(self._stream, options.reading, found=found, mapped=written)
            self.columns: Columns = find_columns(self.sheet.header, options.mapping)
        except InputProblemError:
            self.close()
            raise
        #: From the file's lines, so a little high where cells hold line breaks; None: not known.
        self.expected_rows = self.sheet.expected_rows
        self.folder = options.report_folder or (self.path.parent if self.path else Path.cwd())
        self.stem = stem_of(self.path) if self.path else "stdin"
        self.name = self.path.name if self.path else self.stem  #: what the batch is called
        self._rules = options.rules
        self._defaults = dict(options.defaults)
        self._rows = self.sheet.rows()

    def rows(self) -> Iterator[Row]:
        """Return the rows that were not given yet.

        Raises:
            InputProblemError: the rest of the file cannot be read.
        """
        return self._rows

    def next_chunk(self) -> list[Row]:
        """Return the next rows, as many as one script call takes; none at the end.

        Raises:
            InputProblemError: the rest of the file cannot be read.
        """
        return list(islice(self._rows, CHUNK_ROWS))

    def read(self, row: Row) -> tuple[Mapping[str, str], ParsedRequest | InvalidRequest]:
        """Return the row's fields, and its request or all that is wrong with it."""
        if row.fault is not None:
            return {}, InvalidRequest((row.fault,))
        fields = self.columns.fields_of(row.cells)
        if self._defaults:
            fields |= {
                name: text for name, text in self._defaults.items() if not fields.get(name, "").strip()
            }
        parsed = parse_request(fields, self._rules)
        if row.odd:
            parsed = weigh_odd_cells(row, self.columns, parsed)
        if row.has_lost_quotes and isinstance(parsed, ParsedRequest):
            parsed = ParsedRequest(parsed.request, (*parsed.warnings, _LOST_QUOTES))
        return fields, parsed

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _open(self, source: Path | BinaryIO, leave: threading.Event | None) -> BinaryIO:
        if not self.is_pipe and isinstance(source, Path):
            return _open(source)
        try:
            return cast("BinaryIO", PipeStream(source, leave or threading.Event()))
        except OSError as error:
            raise _unreadable(source if isinstance(source, Path) else Path("-"), error) from None


def is_pipe(source: Path | BinaryIO) -> bool:
    """Tell whether *source* can be read only once, and may keep its reader waiting.

    Raises:
        InputProblemError: there is no such file.
    """
    return not isinstance(source, Path) or not _is_regular(source)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None


def _look_over(source: Path | BinaryIO, reading: ReadOptions) -> Survey | None:
    if not isinstance(source, Path):
        return None
    with _open(source) as stream:
        return survey(stream, reading)


def _unreadable(path: Path, error: OSError) -> InputProblemError:
    why = os.strerror(error.errno) if error.errno else "it cannot be opened"
    return InputProblemError("unreadable", f"{path}: {why}.", "Check the name and the permissions.")


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Collect cyclic garbage rarely: rows make none, and looking for it costs a tenth of an import."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


_LOST_QUOTES = Problem(
    "row",
    "quotes_lost",
    "a cell begins with a double quote that CSV takes for its own, so the quotes were dropped",
    'Write such a cell as """word"" rest".',
)
