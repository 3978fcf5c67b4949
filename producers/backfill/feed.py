"""The rows of a file or a pipe, chunk by chunk, for a loop that must not be kept waiting.

A pipe is read by a thread of its own: it may be silent for hours, while signals are to be heard and what has come is
to be recorded. The thread is a daemon, so that nothing waits for it at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from producers.backfill.intake import BackfillOptions, Intake, is_pipe
from producers.backfill.pipe import PipeLeftError
from producers.backfill.problems import InputProblemError, no_rows
from producers.backfill.rows import Row
from producers.enqueue import CHUNK_ROWS

SOON_S = 0.5  #: rows that have come wait no longer than this for a chunk to be full
_AHEAD_ROWS = 2 * CHUNK_ROWS  #: read from a pipe before they are asked for
_LEAVE_WITHIN_S = 2.0  #: what was taken out of the pipe already is parsed by then


class Feed:
    """Rows as they are asked for; of a pipe, as they come."""

    def __init__(self, intake: Intake, pump: _Pump | None = None) -> None:
        """Take the rows from *intake*, or from the *pump* that reads it; `open_feed` makes both."""
        self.intake = intake
        self._pump = pump

    async def next_rows(self) -> list[Row] | None:
        """Return the next rows, none at the end; None: nothing has come lately, or the run is to stop.

        Raises:
            InputProblemError: the rest cannot be read.
        """
        return self.intake.next_chunk() if self._pump is None else await self._pump.next_rows()

    async def first_rows(self, stop: asyncio.Event) -> list[Row]:
        """Return the first rows, once there are some.

        Raises:
            InputProblemError: there are none, or *stop* came before them.
        """
        while (rows := await self.next_rows()) is None:
            if stop.is_set():
                raise stopped_early()
        if not rows:
            raise no_rows()
        return rows

    async def rest(self, stop: asyncio.Event) -> AsyncIterator[list[Row]]:
        """Yield the rows that nobody asked for: as far as they can be read, and of a pipe until *stop*."""
        with contextlib.suppress(InputProblemError):
            while self._pump is None or not stop.is_set():  # who writes into a pipe may never end
                rows = await self.next_rows()
                if rows == []:
                    return
                yield rows or []
        if self._pump is not None:
            yield await self._pump.leave()

    def close(self) -> None:
        """Close the file, or have the pipe's thread end."""
        if self._pump is None:
            self.intake.close()
        else:
            self._pump.close()


async def open_feed(
    source: Path | BinaryIO, options: BackfillOptions, stop: asyncio.Event | None = None
) -> Feed:
    """Open *source*; wait for a pipe's header, or until *stop*.

    Raises:
        InputProblemError: anything that stops a run before its first row.
    """
    if not is_pipe(source):
        return Feed(Intake(source, options))
    pump = _Pump(source, options, stop or asyncio.Event())
    try:
        return Feed(await pump.opened(), pump)
    except BaseException:
        pump.close()
        raise


def stopped_early() -> InputProblemError:
    """Return the problem of a run that was stopped before its first row came."""
    return InputProblemError(
        "interrupted",
        "The run was interrupted before the first row came.",
        "To go on, give the rows in again.",
    )


class _Pump:
    """The thread that reads a pipe, and what it has read."""

    def __init__(self, source: Path | BinaryIO, options: BackfillOptions, stop: asyncio.Event) -> None:
        self._source = source
        self._options = options
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()  # a chunk is full, the end has come, or the run is to stop
        self._leave = threading.Event()
        self._room = threading.Event()
        self._rows: deque[Row] = deque()
        self._intake: Intake | None = None
        self._trouble: Exception | None = None
        self._is_ended = False
        self._hearing = asyncio.create_task(self._hear_stop())
        threading.Thread(target=self._pump, name="pipe", daemon=True).start()

    async def opened(self) -> Intake:
        """Return the intake, its header read."""
        while not self._stop.is_set():
            self._news.clear()
            if self._intake is not None:
                return self._intake
            if self._trouble is not None:
                raise self._trouble
            if self._is_ended:
                break
            await self._wait()
        raise stopped_early()

    async def next_rows(self) -> list[Row] | None:
        self._news.clear()
        if not self._has_enough():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wait(), SOON_S)
        is_ended = self._is_ended  # looked at before the rows: the last of them come before it
        if rows := [self._rows.popleft() for _ in range(min(CHUNK_ROWS, len(self._rows)))]:
            self._room.set()
            return rows
        if not is_ended:
            return None
        if self._trouble is not None:
            raise self._trouble
        return []

    async def leave(self) -> list[Row]:
        self.close()
        until = self._loop.time() + _LEAVE_WITHIN_S
        while not self._is_ended and self._loop.time() < until:
            self._news.clear()
            if not self._is_ended:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), _LEAVE_WITHIN_S)
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def close(self) -> None:
        self._hearing.cancel()
        self._leave.set()
        self._room.set()

    def _has_enough(self) -> bool:
        return len(self._rows) >= CHUNK_ROWS or self._is_ended or self._stop.is_set()

    async def _wait(self) -> None:
        if not self._stop.is_set():
            await self._news.wait()

    async def _hear_stop(self) -> None:
        await self._stop.wait()
        self._news.set()

    # --- in the thread -------------------------------------------------------------------------------------

    def _pump(self) -> None:
        try:
            intake = Intake(self._source, self._options, leave=self._leave)
            with contextlib.closing(intake):
                self._intake = intake
                self._tell()
                for row in intake.rows():
                    self._put(row)
        except (PipeLeftError, KeyboardInterrupt):  # the child that reads a workbook hears Ctrl-C, too
            pass
        except Exception as error:  # noqa: BLE001 - raised again where the rows are asked for
            self._trouble = error
        finally:
            self._is_ended = True
            self._tell()

    def _put(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == CHUNK_ROWS:
            self._tell()
        while len(self._rows) >= _AHEAD_ROWS and not self._leave.is_set():
            self._room.clear()
            if len(self._rows) >= _AHEAD_ROWS and not self._leave.is_set():
                self._room.wait()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self._loop.call_soon_threadsafe(self._news.set)
