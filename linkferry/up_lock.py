"""One `up` to a data folder: a lock that the kernel lets go of however its holder ends, `kill -9` included."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from linkferry import keeper

_NAME = "up.lock"
_PATIENCE_S = 0.3  # who only looks holds it for an instant


class AlreadyUpError(Exception):
    """Another `up` runs on the same folder; the text says which."""


@contextlib.contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Be the only `up` of *data_dir* for the block.

    Raises:
        AlreadyUpError: another is.
        OSError: the folder cannot be used.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = keeper.open_lock(data_dir / _NAME)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not keeper.try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                message = (
                    f"Linkferry is already up here (pid {holder(data_dir)}, folder {data_dir}). "
                    "Stop it first; a second one needs its own LINKFERRY_DATA_DIR and LINKFERRY_WEB_PORT."
                )
                raise AlreadyUpError(message)
            time.sleep(0.01)
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)


def holder(data_dir: Path) -> int | None:
    """Return the process id of the `up` that runs on *data_dir*, or None."""
    try:
        lock = os.open(data_dir / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if keeper.try_lock(lock, fcntl.LOCK_SH):
            return None
        return int(os.read(lock, 20) or b"0")
    finally:
        os.close(lock)
