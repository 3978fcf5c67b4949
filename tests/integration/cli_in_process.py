"""The command line in this process, on the tests' Valkey."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from typer.testing import CliRunner, Result

from linkferry.cli import build
from tests.by_hand import LINKED, accepted, ended
from worker import telemetry
from worker.domain.outcome import Fail, Outcome, Refused
from worker.ledger import Ledger, open_redis

NAMESPACE = "cli-test"
_APP = build()


class Cli:
    """Runs commands in this process, on the tests' Valkey."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(_APP, list(words), input=stdin)

    def json(self, *words: str, expect: int = 0) -> Any:
        """Run a command with --json and return its document; the exit code is checked."""
        result = self(*words, "--json")
        assert result.exit_code == expect, result.output
        return json.loads(result.stdout.strip().splitlines()[-1])

    def on_ledger(self, body: Callable[[Ledger], Awaitable[Any]]) -> Any:
        """Do something to the ledger behind the commands' backs."""

        async def run() -> Any:
            client = open_redis(self.url)
            try:
                ledger = Ledger(client, namespace=NAMESPACE)
                await ledger.open()
                return await body(ledger)
            finally:
                await client.aclose()

        return asyncio.run(run())

    def work(self, job_id: str, outcome: Outcome) -> None:
        """Make one attempt that ends so, as a worker does."""
        self.on_ledger(lambda ledger: ended(ledger, job_id, outcome))


@contextmanager
def cli_on(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    """Yield a command line on an emptied Valkey, in a folder of its own; logging is as before afterwards."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINKFERRY_REDIS_URL", valkey_url)
    monkeypatch.setenv("LINKFERRY_NAMESPACE", NAMESPACE)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(telemetry._structlog, "wanted", None)  # what a command asks for ends with the test
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield Cli(valkey_url)
    root.handlers[:] = handlers
    structlog.reset_defaults()


async def fail_one(ledger: Ledger, *, reason: str = "link_exists", reason_class: str = "link_exists") -> str:
    fail = Fail(reason=reason, reason_class=reason_class, is_own_data=True, raw="{}")
    return await ended(ledger, await accepted(ledger), Refused(fail=fail))


async def link_one(ledger: Ledger) -> str:
    return await ended(ledger, await accepted(ledger), LINKED)


def state_of(cli: Cli, job_id: str) -> str:
    return str(cli.json("job", "show", job_id)["state"])


DANA = (
    "0501234567",
    "--business-name",
    "Dana Flowers",
    "--display-name",
    "Dana Flowers",
    "--email",
    "dana@example.com",
)
