"""Redis goes away and comes back: producers are told so, workers wait and resume by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp

from tests.factories import a_number
from tests.stack import Stack, free_port
from worker.domain.states import DeliveryState, JobState, Lane
from worker.ledger.keys import Keys


class Web:
    """The web process of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.port = free_port()
        self.process = stack.spawn(
            "-m", "linkferry", "web", LINKFERRY_WEB_PORT=str(self.port), LINKFERRY_API_KEYS="test-key-0123456789"
        )  # fmt: skip

    async def status(self, path: str) -> int:
        try:
            async with self.stack.http.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status
        except aiohttp.ClientConnectionError:
            return 0

    async def post(self, number: str) -> tuple[int, dict[str, str], Any]:
        body = {
            "whatsapp": number,
            "business_name": "Dana Flowers",
            "display_name": "Dana Flowers",
            "contact": {"name": "Dana", "email": "dana@example.com"},
        }
        async with self.stack.http.post(
            f"http://127.0.0.1:{self.port}/v1/onboardings",
            json=body,
            headers={"Authorization": "Bearer test-key-0123456789"},
        ) as answer:
            return answer.status, dict(answer.headers), await answer.json(content_type=None)

    async def is_ready(self) -> bool:
        return await self.status("/readyz") == 200


async def test_a_web_server_that_was_there_before_its_redis_serves_no_newer_ledger(tmp_path: Path) -> None:
    """It lives and says 503 while Redis is away, and ends with a clear line when the ledger is another version's."""
    async with Stack(tmp_path) as stack:
        await stack.redis.hset(Keys(stack.namespace).meta, "schema", "99")
        await stack.redis.aclose()
        stack._server.terminate()
        web = Web(stack)

        async def is_alive() -> bool:
            return await web.status("/healthz") == 200

        await stack.until(is_alive, "the web process listens")
        assert await web.status("/readyz") == 503
        status, headers, _ = await web.post(a_number())
        assert (status, int(headers["Retry-After"]) > 0) == (503, True)

        await stack.restart_valkey()
        await stack.until(lambda: web.process.poll() is not None, "the web process has ended")
        assert web.process.returncode == 1
        assert "the ledger has schema" in stack.logs()


async def test_redis_gone_is_503_and_everything_resumes_by_itself_when_it_is_back(tmp_path: Path) -> None:
    """Away: POST and /readyz 503, /healthz 200; back: 202, and the same workers bring all home.

    Flushed scripts, on both databases, are noticed by nobody.
    """
    async with Stack(tmp_path) as stack:
        web = Web(stack)
        worker = stack.start_worker()
        await stack.until(web.is_ready, "the web process is ready")
        status, _, first = await web.post(a_number())
        assert status == 202

        async def is_sent(job_id: str) -> bool:
            deliveries = await stack.ledger.deliveries.of_invitation(job_id[:-1])
            return DeliveryState.SENT in [each.state for each in deliveries]

        await stack.until(lambda: is_sent(first["job_id"]), "the first mail is sent")

        await stack.redis.aclose()
        stack._server.terminate()
        lost = a_number()
        status, headers, problem = await web.post(lost)
        assert (status, problem["type"]) == (503, "urn:linkferry:problem:unavailable")
        assert int(headers["Retry-After"]) > 0
        assert await web.status("/readyz") == 503
        assert await web.status("/healthz") == 200
        await stack.until(lambda: "duty_postponed" in stack.logs(), "the worker has noticed")

        await stack.restart_valkey()
        await stack.until(web.is_ready, "the web process is ready again")
        status, _, again = await web.post(lost)
        assert status == 202
        await stack.until(lambda: is_sent(again["job_id"]), "the same worker sends the mail")
        assert worker.poll() is None

        await stack.redis.script_flush()
        status, _, last = await web.post(a_number())
        assert status == 202
        await stack.until(lambda: is_sent(last["job_id"]), "the last mail is sent", within_s=8)
        counts = await stack.ledger.queries.counts()
        assert counts[JobState.LINKED] == 3
        assert (await stack.ledger.queries.lanes())[Lane.LIVE].waiting == 0
        assert (await stack.ledger.queries.audit()).difference == 0
