"""What strangers send to the real web process."""

from __future__ import annotations

from pathlib import Path

from tests.integration.test_runtime_outage import Web
from tests.stack import Stack


async def test_a_body_that_belies_its_encoding_leaves_no_traceback(tmp_path: Path) -> None:
    """Said to be gzip and is not, at paths that refuse it unread: the answer is a refusal and the log stays quiet."""
    async with Stack(tmp_path) as stack:
        web = Web(stack)
        await stack.until(web.is_ready, "web is ready")
        statuses = []
        for path in ("/crm/generic/nothing-here", "/v1/onboardings", "/healthz"):
            async with stack.http.post(
                f"http://127.0.0.1:{web.port}{path}", data=b"xx", headers={"Content-Encoding": "gzip"}
            ) as answer:
                statuses.append(answer.status)
        web.process.terminate()
        await stack.until(lambda: web.process.poll() is not None, "web has stopped")

        assert statuses == [404, 401, 405]
        assert "Traceback" not in stack.logs()
        assert "Unhandled" not in stack.logs()
