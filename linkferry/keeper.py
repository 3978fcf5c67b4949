"""The keeper of the embedded Valkey: starts it, restarts it, stops it when its last user has gone.

Runs as a process of its own (`python -I keeper.py …`, standard library only, so that it starts at once). Users hold a
shared lock on a file for as long as they live; the kernel lets go of it however they end, `kill -9` included. As soon
as the keeper can take that lock for itself alone, nobody is left, and it shuts Valkey down.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_LOOK_EVERY_S = 0.2
_STOP_WITHIN_S = 20.0
_QUICK_DEATH_S = 1.0  # a server that lives no longer than this has not come up
_QUICK_DEATHS_ALLOWED = 3


class Keeper:
    """One Valkey in one folder, for as long as it has users."""

    def __init__(self, folder: Path, binary: str, server_socket: str) -> None:
        """Keep the server whose configuration lies in *folder*, listening on *server_socket*."""
        self._folder = folder
        self._binary = binary
        self._socket = server_socket
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._started_s = 0.0
        self._quick_deaths = 0

    def run(self) -> int:
        """Keep it until the last user has gone; 0, or 1 when it would not come up."""
        keeper_lock = open_lock(self._folder / "keeper.lock")
        if not try_lock(keeper_lock, fcntl.LOCK_EX):
            return 0  # another keeper was quicker
        # Whoever started us may live long and is not to wait for our end: his child goes, its child keeps.
        # The lock goes with the file it was taken on, so the place is taken when he hears that the first has gone.
        if os.fork() > 0:
            os._exit(0)
        users_lock = open_lock(self._folder / "users.lock")
        self._adopt_or_start()
        while not try_lock(users_lock, fcntl.LOCK_EX):
            if not self._is_alive() and not self._start_again():
                return 1
            time.sleep(_LOOK_EVERY_S)
        self._stop()
        # In this order: whoever gets the users' lock next must find the keeper's place free.
        os.close(keeper_lock)
        os.close(users_lock)
        return 0

    def _adopt_or_start(self) -> None:
        """Take over a server whose keeper was killed, or start one."""
        if answers(self._socket):
            with contextlib.suppress(OSError, ValueError):
                self._pid = int((self._folder / "valkey.pid").read_text())
                return
        self._start()

    def _start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            Path(self._socket).unlink()
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the server's own binary and our own configuration
                [self._binary, str(self._folder / "valkey.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
            )
        self._pid = self._process.pid
        self._started_s = time.monotonic()

    def _start_again(self) -> bool:
        lived_s = time.monotonic() - self._started_s
        self._quick_deaths = self._quick_deaths + 1 if lived_s < _QUICK_DEATH_S else 0
        if self._quick_deaths > _QUICK_DEATHS_ALLOWED:
            return False
        self._start()
        return True

    def _is_alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return is_running(self._pid)

    def _stop(self) -> None:
        if not self._is_alive():
            return
        os.kill(self._pid, signal.SIGTERM)  # Valkey writes and syncs its file, then leaves
        deadline = time.monotonic() + _STOP_WITHIN_S
        while self._is_alive():
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
                return
            time.sleep(0.01)


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock file at *path*, made if it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, kind: int) -> bool:
    """Take a lock of *kind* (`fcntl.LOCK_SH` or `LOCK_EX`) without waiting; tell whether it was had."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def answers(server_socket: str) -> bool:
    """Tell whether a server on *server_socket* is ready for work."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(1.0)
            line.connect(server_socket)
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def is_running(pid: int) -> bool:
    """Tell whether a process *pid* exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def main() -> int:
    """Run a keeper by the command line's words."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("binary")
    parser.add_argument("socket")
    words = parser.parse_args()
    # Its end is decided by its users alone: a Ctrl-C or a SIGTERM to the whole group must not take the
    # ledger away from workers that still write down what they did.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return Keeper(words.folder, words.binary, words.socket).run()


if __name__ == "__main__":
    sys.exit(main())
