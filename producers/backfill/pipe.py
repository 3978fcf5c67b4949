"""A pipe as a stream of bytes that can be left at any moment, and that gives what has come rather than wait for more.

A plain read of a silent pipe cannot be broken off: not by Ctrl-C, and not by the interpreter's end.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from pathlib import Path
from typing import BinaryIO

from producers.backfill.encodings import LOOK_AHEAD_BYTES

LOOK_S = 1.0  #: how long the first bytes are gathered, to know the encoding by
_ASK_EVERY_S = 0.1  #: how soon a wait hears that the pipe is to be left


class PipeLeftError(Exception):
    """The pipe was left while more was wanted of it."""


class PipeStream(io.RawIOBase):
    """What comes through a pipe, as soon as it comes; its first block is gathered until it is worth a look."""

    def __init__(self, source: Path | BinaryIO, leave: threading.Event) -> None:
        """Read *source* until *leave* is set; an open stream stays its owner's to close.

        Raises:
            OSError: the path cannot be opened.
        """
        self._own: io.FileIO | None = None  # the interpreter closes also what did not open
        if isinstance(source, Path):
            self._own = source.open("rb", buffering=0)
        self._stream: BinaryIO | io.FileIO = self._own or source  # type: ignore[assignment]  # a path is opened above
        self._descriptor = _descriptor(self._stream)
        self._leave = leave
        self._is_new = True
        self.has_paused = False  #: the first block is what had come by then, and there may be more

    def readable(self) -> bool:
        """Say that it is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: any buffer
        """Fill *buffer* with what has come; wait for the first byte.

        Raises:
            PipeLeftError: the pipe is to be left.
        """
        view = memoryview(buffer)
        self._wait()
        size = self._read(view)
        if not self._is_new:
            return size
        self._is_new = False
        until = time.monotonic() + LOOK_S
        while 0 < size < min(len(view), LOOK_AHEAD_BYTES):
            if not self._wait(until):
                self.has_paused = True
                break
            more = self._read(view[size:])
            if not more:
                break
            size += more
        return size

    def close(self) -> None:
        """Close what was opened here."""
        if self._own is not None:
            self._own.close()
        super().close()

    def _wait(self, until: float | None = None) -> bool:
        """Wait for bytes or the end, as long as it takes or *until* a time; tell whether there are any."""
        while not self._leave.is_set():
            if self._descriptor is None or select.select([self._descriptor], [], [], _ASK_EVERY_S)[0]:
                return True
            if until is not None and time.monotonic() >= until:
                return False
        raise PipeLeftError

    def _read(self, view: memoryview) -> int:
        if self._descriptor is None:
            found = self._stream.read(len(view)) or b""
        else:
            found = os.read(self._descriptor, len(view))
        view[: len(found)] = found
        return len(found)


def _descriptor(stream: BinaryIO | io.FileIO) -> int | None:
    """Return what the system knows the stream by; None: it is in memory, where nothing is waited for."""
    try:
        return stream.fileno()
    except OSError:
        return None
