"""The bulk acts that pages offer: each form, sent as a browser sends it, is understood."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html.parser import HTMLParser

import pytest
import redis.asyncio

from tests.integration.console_mending import UNKNOWN, MendingDesk, a_mending_desk
from worker.domain.roles import Role
from worker.domain.states import JobState


class Forms(HTMLParser):
    """Reads a page's forms: where each goes, and what its hidden fields and buttons send."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str]]]] = []
        self._is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given.get("action", ""), []))
            self._is_open = True
        elif self._is_open and "name" in given and (tag == "button" or given.get("type") == "hidden"):
            self.found[-1][1].append((given["name"], given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_open = False


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/failed/unknown_77", 3),
        ("/failed/unknown_77/teach", 1),
    ],
)
async def test_what_a_page_offers_for_all_is_understood(desk: MendingDesk, path: str, count: int) -> None:
    """A filter that lost its quotes on the way would make every such button a dead one."""
    await desk.failed(3, fail=UNKNOWN)
    await desk.job_in(JobState.FAILED)
    browser = await desk.console.signed_in(Role.OPERATOR)
    forms = Forms()
    forms.feed((await browser.get(path)).text)
    bulk = [(action, pairs) for action, pairs in forms.found if action in {"/acts/preview", "/export"}]

    assert len(bulk) == count
    for action, pairs in bulk:
        answer = await browser.post_pairs(action, pairs)
        if action == "/export":
            assert answer.status == 200
            assert len(answer.text.splitlines()) == 1 + 3
            continue
        assert answer.place.startswith("/acts/a"), answer.place
        act = await desk.console.deps.acts.get(answer.place.removeprefix("/acts/").partition("?")[0])
        assert act is not None
        assert act["filter"]["reason"] == "unknown_77"
