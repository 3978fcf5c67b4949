"""`linkferry batch report`: each row of a batch joined to its end, a row at a time however many there are."""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from linkferry.commands import filters
from linkferry.frame import CommandError, complain, flags
from linkferry.output import print_json, say
from linkferry.progress import reporting_progress

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ledger import BatchRecord

STDOUT = "-"
JSON_LINES = (".json", ".jsonl", ".ndjson")  #: files of these names get a document a line
_TELL_EVERY = 500
Document = dict[str, Any]


async def report(session: Session, run: str, out: str | None, *, is_quiet: bool) -> int:
    """Write the report of a batch to *out*: a path, `-`, or None for a name of its own; return the exit code."""
    record = await session.ledger.batches.get(run)
    if record is None:
        message = f"There is no batch {run}.{await filters.batches_like(session, run)}"
        raise CommandError(message)
    path = _path(record, out)
    by_state: Counter[str] = Counter()
    with _sink(path) as write, reporting_progress(is_quiet=is_quiet or path is None) as tell:
        total = sum(record.jobs.values()) + record.pruned
        # Customers' numbers and links leave here: said before the first of them does.
        await session.trail.exported_batch(run, by=filters.operator(), count=total, to=name_of(path))
        async for document in _documents(session, run):
            write(document)
            by_state[document["state"]] += 1
            if by_state.total() % _TELL_EVERY == 0:
                tell(by_state.total(), total)
    _conclude(_summary(record, path, by_state), path, is_quiet=is_quiet)
    return 0


def name_of(path: Path | None) -> str:
    """Return what the trail calls the file that rows leave for; None is standard output."""
    return "a stream" if path is None else path.name


def _path(record: BatchRecord, out: str | None) -> Path | None:
    """Return where the report goes; None is standard output."""
    from producers.backfill.reports import report_path, stem_of

    if out == STDOUT or (out is None and flags().is_json):
        return None
    if out is None:
        return report_path(Path(), stem_of(Path(Path(record.name).name)) or "batch", record.id, "report")
    return Path(out)


async def _documents(session: Session, run: str) -> Any:
    from worker.ops.batch_report import row_document
    from worker.ops.batch_rows import rows_of

    async for row in rows_of(session.ledger, run):
        yield row_document(row, session.catalogue)


@contextmanager
def _sink(path: Path | None) -> Iterator[Callable[[Document], None]]:
    """Yield what writes a row."""
    is_json = flags().is_json if path is None else path.suffix in JSON_LINES
    encoding = "utf-8" if is_json else "utf-8-sig"  # Excel knows UTF-8 by its mark only
    with standard_output(encoding) if path is None else new_file(path, encoding) as stream:
        yield _json_sink(stream) if is_json else _csv_sink(stream)


def _json_sink(stream: IO[str]) -> Callable[[Document], None]:
    def write(row: Document) -> None:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    return write


def _csv_sink(stream: IO[str]) -> Callable[[Document], None]:
    from worker.ops.batch_report import csv_line

    stream.write(csv_line(None))

    def write(row: Document) -> None:
        stream.write(csv_line(row))

    return write


@contextmanager
def standard_output(encoding: str) -> Iterator[IO[str]]:
    """Yield standard output as a stream of rows."""
    sys.stdout.flush()
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding=encoding, newline="", write_through=False)
    try:
        yield stream
        stream.flush()
    finally:
        stream.detach()


@contextmanager
def new_file(
    path: Path, encoding: str, *, else_: str = "name another with --out FILE", is_forced: bool = False
) -> Iterator[IO[str]]:
    """Yield a file that only its owner may read; it appears whole, or not at all, and in no other's place.

    *is_forced*: in the place of another it may; else *else_* is what to do then.

    Raises:
        CommandError: there is a file of that name, or it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    if path.exists() and not is_forced:
        raise _is_there(path, else_)
    try:
        with _created(part, encoding) as stream:
            yield stream
        if not is_forced:
            # Ours from here on: not even a file of this very moment is overwritten.
            _created(path, encoding).close()
        part.replace(path)
    except FileExistsError:
        raise _is_there(path, else_) from None
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise CommandError(message) from None
    finally:
        part.unlink(missing_ok=True)


def _is_there(path: Path, else_: str) -> CommandError:
    return CommandError(f"{path} is there already and is not overwritten: {else_}.")


def _created(path: Path, encoding: str) -> IO[str]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(handle, "w", encoding=encoding, newline="")


def _summary(record: BatchRecord, path: Path | None, by_state: Mapping[str, int]) -> Document:
    from worker.domain.states import ENDED_STATES

    return {
        "batch": record.id,
        "name": record.name,
        "file": str(path) if path else None,
        "rows": sum(by_state.values()),
        "by_state": dict(by_state),
        "under_way": sum(count for state, count in record.jobs.items() if state not in ENDED_STATES),
        "rejected": record.rejected,
        "duplicates": record.duplicates,
    }


def _conclude(summary: Document, path: Path | None, *, is_quiet: bool) -> None:
    """Say what the report holds and what it does not: on standard output, unless the rows went there."""
    if flags().is_json:
        if path is not None:
            print_json(summary)
        elif not is_quiet:
            sys.stderr.write(json.dumps({"report": summary}, ensure_ascii=False) + "\n")
        return
    if is_quiet:
        return
    for line in _sentences(summary):
        if path is None:
            complain(line)
        else:
            say(line)


def _sentences(summary: Document) -> Iterator[str]:
    where = f" in {summary['file']}" if summary["file"] else ""
    told = ", ".join(f"{count:,} {state}" for state, count in summary["by_state"].items()) or "none"
    yield f"Batch {summary['batch']} ({summary['name']}): {summary['rows']:,} jobs{where}: {told}."
    if summary["under_way"]:
        yield f"{summary['under_way']:,} of them have not come to their end yet."
    if summary["rejected"]:
        yield f"Not in it: {summary['rejected']:,} rejected rows; the run's failed file has them, with why."
    if summary["duplicates"]:
        yield f"Not in it: {summary['duplicates']:,} duplicates; their jobs stand where they came first."
