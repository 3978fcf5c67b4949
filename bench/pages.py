"""How fast the console's pages are: a real `linkferry web`, asked over HTTP, with a fifth of the jobs failed.

    .venv/bin/python -m bench.pages [--jobs 100000] [--messages 2000]      # --jobs 1000000: some minutes, about 2 GB

The ledger is that of `find`. Each page is asked for some dozens of times, one after the other, by somebody who is signed
in; beside them `/healthz`, which asks the ledger nothing. Goal: a page within 100 ms (p95), all in all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie

import aiohttp

from bench.find import GOAL_PAGE_MS, family, fill, p95
from bench.stack import ROOT, a_server, machine, run
from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ledger import JobFilter, Ledger, open_redis
from worker.ops.accounts import Accounts
from worker.ops.passwords import Passwords

_ROUNDS = 25
_PASSWORD = "correct-horse-battery"
_UP_WITHIN_S = 20.0
_CSRF = re.compile(r'name="_csrf" value="([^"]+)"')


@asynccontextmanager
async def a_web(url: str) -> AsyncIterator[str]:
    """Run `linkferry web` on the bench's server; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LINKFERRY_")}
    own = {"REDIS_URL": url, "NAMESPACE": "linkferry", "WEB_PORT": str(port), "LOG_FORMAT": "json"}
    process = subprocess.Popen(
        [sys.executable, "-m", "linkferry", "web"],
        env=clean | {f"LINKFERRY_{name}": text for name, text in own.items()} | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        await _until_up(base)
        yield base
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def _until_up(base: str) -> None:
    async with asyncio.timeout(_UP_WITHIN_S), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{base}/healthz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def signed_in(http: aiohttp.ClientSession, base: str) -> str:
    """Sign in as the bench's own account; return the session's cookies, as a header."""
    async with http.get(f"{base}/login", headers={"Accept": "text/html"}) as page:
        token = _CSRF.search(await page.text())
        before = _cookies_of(page)
    assert token
    fields = {"name": "bench", "password": _PASSWORD, "next": "/", "_csrf": token[1]}
    headers = {"Origin": base, "Sec-Fetch-Site": "same-origin", "Cookie": before, "Accept": "text/html"}
    async with http.post(f"{base}/login", data=fields, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        return _cookies_of(answer)


def _cookies_of(answer: aiohttp.ClientResponse) -> str:
    jar: SimpleCookie = SimpleCookie()
    for line in answer.headers.getall("Set-Cookie", ()):
        jar.load(line)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items() if morsel.value)


def pages_of(job: str, jobs: int) -> dict[str, str]:
    """Return the pages' addresses, by what they are called."""
    return {
        "nothing (healthz)": "/healthz",
        "overview": "/",
        "failed, by reason": "/failed",
        "one reason": "/failed/name_refused",
        "jobs, the newest": "/jobs",
        "jobs, a reason and a source": "/jobs?reason=name_refused&source=crm%3A1",
        "jobs, a name": f"/jobs?name={family(jobs % 5_000)}",
        "one job": f"/jobs/{job}",
        "search, a number": f"/search?q=050{jobs // 2:07d}",
        "one customer": f"/customers?q=050{jobs // 3:07d}",
        "dead letters": "/dead",
        "bulk acts": "/acts",
        "holds": "/holds",
        "batches": "/batches",
        "audit": "/audit",
    }


async def ask(http: aiohttp.ClientSession, base: str, cookies: str, pages: dict[str, str]) -> None:
    """Ask for every page in turns and print how long each took."""
    took_ms: dict[str, list[float]] = {name: [] for name in pages}
    headers = {"Cookie": cookies, "Accept": "text/html"}
    for nth in range(_ROUNDS + 1):
        for name, path in pages.items():
            began = time.perf_counter()
            async with http.get(base + path, headers=headers) as answer:
                await answer.read()
                assert answer.status == 200, (path, answer.status)
            if nth:  # the first finds templates and scripts cold
                took_ms[name].append((time.perf_counter() - began) * 1e3)
    print(f"{'ms at the caller':<32}{'median':>10}{'p95':>10}   (goal ≤ {GOAL_PAGE_MS:g})")
    for name, took in took_ms.items():
        slow = p95(took)
        verdict = "" if slow <= GOAL_PAGE_MS else "   missed"
        print(f"{name:<32}{statistics.median(took):>10.2f}{slow:>10.2f}{verdict}")


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=100_000)
    options.add_argument("--messages", type=int, default=2_000)
    asked = options.parse_args()
    print(machine())
    with a_server() as url:
        ledger = Ledger(open_redis(url), namespace="linkferry")
        await ledger.open()
        await fill(ledger, asked.jobs, asked.messages)
        assert await Accounts(ledger, Passwords()).add("bench", Role.ADMIN, _PASSWORD, by="bench") is None
        failed = await ledger.queries.find(JobFilter(state=JobState.FAILED), limit=1)
        print(f"{asked.jobs:,} jobs, one in five failed")
        cookie_jar = aiohttp.DummyCookieJar()
        async with a_web(url) as base, aiohttp.ClientSession(cookie_jar=cookie_jar) as http:
            await ask(http, base, await signed_in(http, base), pages_of(failed.items[0].id, asked.jobs))
        await ledger.aclose()


if __name__ == "__main__":
    run(main())
