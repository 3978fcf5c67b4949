"""Runs child processes, replaces those that die, and stops them in order. Knows nothing of what they do.

Children get no terminal and their own process group: a Ctrl-C reaches the supervisor alone, which then asks each child
to finish. Each child's standard input is a pipe that nobody writes to; its end tells the child that the supervisor is
gone, however that died (`watch_supervisor`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

SUPERVISED = "LINKFERRY_SUPERVISED"  #: set for children, so that they watch their standard input
SETTINGS_ARE_WRONG = 2  #: a child's exit code that no restart can mend
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 15.0
_LIVED_WELL_S = 10.0  # a child that lived this long begins with the shortest backoff again
_LINE_BYTES = 1 << 20

Reaped = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One child to keep alive."""

    name: str  #: shown before its lines: `web`, `worker.1`
    words: Sequence[str]  #: after `linkferry`
    id_variable: str | None = None  #: environment variable that gets an id of its own at each start
    on_reaped: Reaped | None = None  #: called with that id when the process has ended
    stop_order: int = 0  #: lower stops earlier; the next order waits for it


@dataclass(slots=True)
class _Child:
    plan: Plan
    process: asyncio.subprocess.Process | None = None
    backoff_s: float = _FIRST_BACKOFF_S
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Keeps the planned children running until it is asked to stop."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        keep_descriptors: Sequence[int] = (),
        drain_s: float,
        say: Callable[[str, str], None],
    ) -> None:
        """Give children *environment* and *keep_descriptors*, *drain_s* seconds to finish; *say* gets (name, line)."""
        self._environment = {**environment, SUPERVISED: "1", "PYTHONUNBUFFERED": "1"}
        self._keep = tuple(keep_descriptors)
        self._drain_s = drain_s
        self._say = say
        self._children: list[_Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self.exit_code = 0

    def start(self, plan: Plan) -> None:
        """Start a child and keep it running."""
        child = _Child(plan)
        self._children.append(child)
        self._tasks.append(asyncio.create_task(self._keep_running(child), name=plan.name))

    def listen_for_signals(self) -> None:
        """Stop in order at SIGINT, SIGTERM or SIGHUP; a second one kills at once."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.ask_to_stop)

    def ask_to_stop(self) -> None:
        """Begin to stop; asked twice, stop at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Tell whether it has been asked to stop."""
        return self._stopping.is_set()

    async def wait_for_stop_or(self, other: Awaitable[object], *, within_s: float) -> bool:
        """Wait for *other*; False when it took longer or everything is to stop."""
        waiting = asyncio.ensure_future(other)
        stop = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({waiting, stop}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, stop):
            task.cancel()
        endings = await asyncio.gather(waiting, stop, return_exceptions=True)
        return waiting in done and not isinstance(endings[0], BaseException)

    async def run_until_stopped(self) -> int:
        """Wait until asked to stop, stop the children in their order, and return the exit code."""
        await self._stopping.wait()
        for order in sorted({child.plan.stop_order for child in self._children}):
            await self._stop([child for child in self._children if child.plan.stop_order == order])
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self.exit_code

    async def _stop(self, children: list[_Child]) -> None:
        for child in children:
            _signal(child, signal.SIGTERM)
        all_finished = asyncio.create_task(_all_finished(children))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({all_finished, hurry}, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for child in children:
            if not child.finished.is_set():
                self._say(child.plan.name, "did not finish in time and is killed")
                _signal(child, signal.SIGKILL)
        await all_finished

    async def _keep_running(self, child: _Child) -> None:
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                code = await self._run_once(child)
                if self._stopping.is_set():
                    return
                if code == SETTINGS_ARE_WRONG:
                    self._say(child.plan.name, "cannot run with these settings; everything stops")
                    self.exit_code = SETTINGS_ARE_WRONG
                    self._stopping.set()
                    return
                await self._back_off(child, lived_s=time.monotonic() - began, code=code)
        finally:
            child.finished.set()

    async def _run_once(self, child: _Child) -> int:
        """Run the child to its end and return its exit code (negative: the signal that killed it)."""
        own_id = _new_id(child.plan.name)
        environment = dict(self._environment)
        if child.plan.id_variable is not None:
            environment[child.plan.id_variable] = own_id
        child.process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "linkferry",
            *child.plan.words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            pass_fds=self._keep,
            start_new_session=True,
            limit=_LINE_BYTES,
        )
        if self._stopping.is_set():  # asked to stop while it was being started
            _signal(child, signal.SIGTERM)
        await self._pass_lines_on(child, process)
        code = await process.wait()
        child.process = None
        if child.plan.on_reaped is not None:
            await child.plan.on_reaped(own_id)
        return code

    async def _pass_lines_on(self, child: _Child, process: asyncio.subprocess.Process) -> None:
        """Print the child's lines until it ends, even where a grandchild still holds its output open."""
        reading = asyncio.create_task(self._read_lines(child, process))
        waiting = asyncio.create_task(process.wait())
        await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await waiting
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, 1.0)

    async def _read_lines(self, child: _Child, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:  # a line longer than a megabyte: let it go
                continue
            if not line:
                return
            self._say(child.plan.name, line.decode(errors="replace").rstrip("\n"))

    async def _back_off(self, child: _Child, *, lived_s: float, code: int) -> None:
        child.backoff_s = (
            _FIRST_BACKOFF_S if lived_s > _LIVED_WELL_S else min(child.backoff_s * 2, _LONGEST_BACKOFF_S)
        )
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        self._say(child.plan.name, f"{how}; starts again in {child.backoff_s:.1f} s")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), child.backoff_s)


def is_supervised() -> bool:
    """Tell whether this process is a supervisor's child."""
    return os.environ.get(SUPERVISED) == "1"


def watch_supervisor() -> None:
    """In a child: ask ourselves to stop when the supervisor is gone. Does nothing in a process run by hand."""
    if not is_supervised():
        return

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


async def _all_finished(children: Sequence[_Child]) -> None:
    for child in children:
        await child.finished.wait()


def _new_id(name: str) -> str:
    host = os.uname().nodename.partition(".")[0][:24]
    return f"{host}-{name.replace('.', '-')}-{secrets.token_hex(4)}"


def _signal(child: _Child, number: int) -> None:
    if child.process is not None and child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)
