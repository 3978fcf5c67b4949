"""`linkferry up` as an operator runs it: a real process tree on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import redis

from linkferry import embedded, keeper
from tests.stack import PATIENCE_S, free_port

ROOT = Path(__file__).parents[2]
CUSTOMER = {
    "whatsapp": "0501234567",
    "business_name": "Dana Flowers",
    "display_name": "Dana Flowers",
    "contact": {"name": "Dana", "email": "dana@example.com", "locale": "en"},
}


class Up:
    """One `linkferry up`, its lines read as they come."""

    def __init__(self, folder: Path, *words: str, **settings: Any) -> None:
        self.folder = folder
        self.port = free_port()
        self.words = words
        self.environment = {
            name: text for name, text in os.environ.items() if not name.startswith("LINKFERRY_")
        } | {f"LINKFERRY_{name}": str(value) for name, value in settings.items()}
        self.environment |= {
            "LINKFERRY_DATA_DIR": str(folder),
            "LINKFERRY_WEB_PORT": str(self.port),
            "LINKFERRY_SANDBOX_PORT": "0",
            "PYTHONPATH": str(ROOT),
        }
        self.lines: list[str] = []
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "linkferry", "up", *self.words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment,
            cwd=self.folder,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 30)
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            async with self._news:
                self.lines.append(line.decode().rstrip("\n"))
                self._news.notify_all()

    async def line(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Wait for a line that matches, from the line numbered *after* on."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines[after:] if (match := re.search(pattern, line))), None)

        try:
            async with asyncio.timeout(PATIENCE_S), self._news:
                await self._news.wait_for(found)
        except TimeoutError:
            raise AssertionError(f"no line like {pattern}:\n" + "\n".join(self.lines)) from None
        match = found()
        assert match is not None
        return match

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def worker_pids(self) -> list[int]:
        """Wait until both workers have said that they began; they are ready a moment before."""

        def told() -> list[int]:
            found = [re.search(r"worker_started.*pid=(\d+)", line) for line in self.lines]
            return [int(match[1]) for match in found if match]

        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: len(told()) == 2)
        return told()


@pytest.fixture
async def sandbox_up(tmp_path: Path) -> AsyncIterator[Up]:
    async with Up(tmp_path, "--sandbox", PROVIDER_TIMEOUT=2, LEASE_S=10, PROVIDER_RATE=50) as up:
        await up.line("^Ready")
        yield up


async def until(is_true: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = is_true()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(what)


async def post_customer(up: Up, key: str, **changes: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{up.web}/v1/onboardings", json=CUSTOMER | changes, headers=headers) as answer,
    ):
        assert answer.status == 202, await answer.text()
        document: dict[str, Any] = await answer.json()
        return document


async def get_job(up: Up, key: str, job_id: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{up.web}/v1/onboardings/{job_id}", headers=headers) as answer,
    ):
        document: dict[str, Any] = await answer.json()
        return document


@pytest.mark.redis
async def test_a_customer_posted_to_the_sandbox_gets_his_link_and_all_of_it_stops(sandbox_up: Up) -> None:
    """The whole way by the words of the banner alone; then SIGTERM, exit 0, nothing left running."""
    up = sandbox_up
    key = (await up.line(r"API key\s+(lf_\S+)"))[1]
    outbox = (await up.line(r"Outbox\s+(http\S+)"))[1]
    server = embedded.socket_path((up.folder / "sandbox" / "valkey").resolve())

    receipt = await post_customer(up, key)

    async def is_linked() -> bool:
        return (await get_job(up, key, receipt["job_id"]))["state"] == "linked"

    async def is_mailed() -> bool:
        async with aiohttp.ClientSession() as http, http.get(outbox) as answer:
            return "dana@example.com" in await answer.text()

    await until(is_linked, "the job is linked")
    await until(is_mailed, "the mail is in the outbox")
    async with aiohttp.ClientSession() as http, http.get(f"{up.web}/metrics") as answer:
        assert answer.status == 200
        assert "linkferry" in await answer.text()
    pids = await up.worker_pids()
    assert await up.end() == 0
    await until(lambda: not any(keeper.is_running(pid) for pid in pids), "the workers are gone")
    await until(lambda: not keeper.answers(server), "the server is gone")
    assert up.lines[-1] == "Stopped."


@pytest.mark.redis
async def test_a_customer_played_in_the_sandbox_is_onboarded_within_seconds(sandbox_up: Up) -> None:
    """His click on the sandbox's page comes back by the partner's webhook, which nobody had to set."""
    up = sandbox_up
    key = (await up.line(r"API key\s+(lf_\S+)"))[1]
    jobs = [(await post_customer(up, key))["job_id"]]
    jobs.append((await post_customer(up, key, products=["facebook:1"], whatsapp=None))["job_id"])

    async def stand(state: str) -> bool:
        return {(await get_job(up, key, job))["state"] for job in jobs} == {state}

    await until(lambda: stand("linked"), "both are linked")
    async with aiohttp.ClientSession() as http:
        for job in jobs:
            async with http.post((await get_job(up, key, job))["link"]) as page:
                assert page.status == 200

    await until(lambda: stand("onboarded"), "both are onboarded")


@pytest.mark.redis
async def test_a_killed_worker_is_replaced_within_two_seconds(sandbox_up: Up) -> None:
    """Neither its neighbour nor the web hears of it."""
    up = sandbox_up
    first, other = await up.worker_pids()
    seen = len(up.lines)

    os.kill(first, signal.SIGKILL)

    again = await up.line(r"was killed by signal 9; starts again in ([\d.]+) s", after=seen)
    assert float(again[1]) < 2
    await up.line(r"worker_started", after=seen)
    assert keeper.is_running(other)
    assert await up.end() == 0


@pytest.mark.redis
async def test_when_the_supervisor_is_killed_its_children_end(sandbox_up: Up) -> None:
    """No worker goes on unseen, and the embedded Valkey stops behind the last of them."""
    up = sandbox_up
    pids = await up.worker_pids()
    server = embedded.socket_path((up.folder / "sandbox" / "valkey").resolve())

    up.process.kill()

    await until(lambda: not any(keeper.is_running(pid) for pid in pids), "the workers are gone")
    await until(lambda: not keeper.answers(server), "the server is gone")


@pytest.mark.redis
async def test_a_killed_valkey_and_its_keeper_come_back(sandbox_up: Up) -> None:
    """The ledger's server dies with its keeper: both are there again, and work goes on."""
    up = sandbox_up
    key = (await up.line(r"API key\s+(lf_\S+)"))[1]
    server = embedded.socket_path((up.folder / "sandbox" / "valkey").resolve())
    with redis.Redis.from_url(f"unix://{server}") as client:
        pid = int(client.info("server")["process_id"])
    parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(parent, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)

    await until(lambda: keeper.answers(server), "the server is there again")

    receipt = await post_customer(up, key)

    async def is_linked() -> bool:
        return (await get_job(up, key, receipt["job_id"]))["state"] == "linked"

    await until(is_linked, "the job is linked")


@pytest.mark.redis
async def test_an_interrupt_at_the_terminal_stops_it_in_order(sandbox_up: Up) -> None:
    """Ctrl-C: workers drain, then exit 0."""
    assert await sandbox_up.end(signal.SIGINT) == 0
    text = "\n".join(sandbox_up.lines)
    assert text.count("worker_stopped") == 2
    assert "killed" not in text


@pytest.mark.redis
async def test_without_credentials_it_runs_and_says_what_to_set(tmp_path: Path) -> None:
    """Calls are held; nothing is called, nothing is lost."""
    async with Up(tmp_path, PROCESSES=1) as up:
        await up.line("Credentials are missing")
        await up.line("linkferry up --sandbox")
        key = (await up.line(r"API key\s+(lf_\S+)"))[1]
        await up.line("^Ready")

        receipt = await post_customer(up, key)

        assert (await get_job(up, key, receipt["job_id"]))["state"] == "available"
        assert await up.end() == 0


@pytest.mark.redis
async def test_a_taken_port_stops_it_with_one_line(tmp_path: Path) -> None:
    """No restart mends it: exit 2, and the line names the setting."""
    up = Up(tmp_path, PROCESSES=1)
    with socket.create_server(("127.0.0.1", up.port)):
        async with up:
            await up.line("LINKFERRY_WEB_PORT")
            assert await asyncio.wait_for(up.process.wait(), PATIENCE_S) == 2


@pytest.mark.redis
async def test_a_redis_that_is_gone_is_one_line(tmp_path: Path) -> None:
    """Exit 1 and what to check; no traceback."""
    async with Up(tmp_path, REDIS_URL=f"unix://{tmp_path}/nowhere.sock") as up:
        await up.line("LINKFERRY_REDIS_URL")
        assert await asyncio.wait_for(up.process.wait(), PATIENCE_S) == 1
    assert len(up.lines) == 1


@pytest.mark.redis
async def test_a_second_one_on_the_same_folder_is_refused_before_anything_starts(sandbox_up: Up) -> None:
    """Exit 1 and the first one's process id; the real ledger's commands ask whether the sandbox was meant."""
    first = sandbox_up
    async with Up(first.folder, "--sandbox", WEB_PORT=first.port) as second:
        await second.line(rf"already up here \(pid {first.process.pid},")
        assert await asyncio.wait_for(second.process.wait(), PATIENCE_S) == 1
    assert len(second.lines) == 1
    status = await run_linkferry(first, "status")
    assert "did you mean" in status
    first.process.kill()
    await first.process.wait()
    assert "did you mean" not in await run_linkferry(first, "status")


@pytest.mark.redis
async def test_the_web_port_tells_what_runs_there(sandbox_up: Up) -> None:
    """A person who opens it in a browser is no 404."""
    async with aiohttp.ClientSession() as http, http.get(sandbox_up.web) as answer:
        assert answer.status == 200
        assert "/openapi.json" in await answer.text()


async def run_linkferry(up: Up, *words: str) -> str:
    """Return all that a command prints, run beside *up* on its data folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "linkferry", *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=up.environment,
        cwd=up.folder,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return printed.decode()
