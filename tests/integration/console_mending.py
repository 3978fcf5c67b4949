"""A console with jobs to be mended: failed ones, dead ones, messages, holds; and browsers of each role."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk, own_fail
from tests.factories import a_request
from tests.integration.console_desk import Answer, Browser, ConsoleDesk, a_console
from worker.domain.outcome import Fail, Refused
from worker.domain.states import JobState, Lane

UNKNOWN = Fail(reason="unknown_77", reason_class="unknown", code=77, raw='{"status": "FAIL", "reason": 77}')
XSS = '<script>alert("x")</script><img src=x onerror=alert(1)>'
_SEEN = re.compile(r'name="seen" value="([^"]+)"')
_ROW = re.compile(r'name="job_id" value="([^"]+)"')


class MendingDesk(Desk):
    """The ledger's desk, on the ledger of a console."""

    def __init__(self, client: redis.asyncio.Redis, console: ConsoleDesk) -> None:
        super().__init__(client, namespace="console")
        self.console = console
        self.now_ms = console.now_ms
        self.ledger = console.ledger

    def advance(self, seconds: float) -> None:
        """Turn the one clock of both."""
        super().advance(seconds)
        self.console.advance(seconds)

    async def failed(self, count: int = 1, *, fail: Fail | None = None, **changes: Any) -> list[str]:
        """Return new jobs that failed, of their own data unless *fail* says otherwise."""
        jobs = []
        for _ in range(count):
            job = (await self.accept(request=a_request(**changes))).job_ids[0]
            await self.end(job, Refused(fail=fail or own_fail()))
            jobs.append(job)
        return jobs

    async def linked(self) -> str:
        """Return a new job with its link, and a message that was made."""
        return await self.job_in(JobState.LINKED)

    async def held(self) -> list[str]:
        """Hold a batch by five equal failures; return its jobs."""
        jobs = await self.accept_batch("b", 20)
        await self.drain(Lane.BULK, Refused(fail=UNKNOWN))
        assert "batch:b" in await self.ledger.batches.holds()
        return jobs

    async def driven(self, act_id: str) -> dict[str, Any]:
        """Drive an act as the workers do, each of its jobs linked at once; return its document at its end."""
        acts = self.console.deps.acts
        for _ in range(200):
            act = await acts.step(act_id)
            assert act is not None
            if act["state"] != "running":
                return act
            for lane in Lane:
                await self.drain(lane, LINKED)
        raise AssertionError(f"act {act_id} does not come to its end")


@asynccontextmanager
async def a_mending_desk(client: redis.asyncio.Redis, **settings: Any) -> AsyncIterator[MendingDesk]:
    """Serve a console on a ledger that a test can fill."""
    async with a_console(client, **settings) as console:
        yield MendingDesk(client, console)


async def post(browser: Browser, path: str, **fields: str) -> Answer:
    """Send a form from our own page."""
    return await browser.post(path, fields, csrf=await browser.csrf())


async def preview_all(browser: Browser, act: str, **wanted: Any) -> str:
    """Preview an act on all that match; return the path of its page."""
    fields = {"act": act, "scope": "all", "filter": json.dumps(wanted)}
    answer = await post(browser, "/acts/preview", **fields)
    assert answer.status == 303, answer.text
    assert answer.place.startswith("/acts/a"), answer.place
    return answer.place


async def preview_ids(browser: Browser, act: str, ids: Sequence[str]) -> Answer:
    """Preview an act on ticked rows."""
    pairs = [("act", act), ("scope", "ticked"), *(("job_id", each) for each in ids)]
    pairs.append(("_csrf", await browser.csrf()))
    return await browser.post_pairs("/acts/preview", pairs)


def rows(answer: Answer) -> list[str]:
    """Return the jobs that a page's boxes are for."""
    return _ROW.findall(answer.text)


def typed(page: Answer, **fields: str) -> dict[str, str]:
    """Return what the edit form sends: the mark of what was seen, and the fields that were changed."""
    found = _SEEN.search(page.text)
    assert found
    return {"seen": found[1], **fields}
