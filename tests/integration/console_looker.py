"""A console with jobs in it, and what its pages are made of."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import redis.asyncio

from tests.contract.ledger_desk import Desk
from tests.integration.console_desk import Answer, ConsoleDesk
from worker.domain.outcome import Fail, Refused

NUMBER = "972521234567"
MASKED = "9725******67"


class Looker:
    """A console, and a ledger desk to put jobs into it."""

    def __init__(self, console: ConsoleDesk, client: redis.asyncio.Redis) -> None:
        self.console = console
        self.desk = Desk(client, namespace="console")
        self.desk.ledger = console.ledger

    async def failed(self, reason: str = "number_invalid", **changes: Any) -> str:
        """Return a new job that failed."""
        # Of the row's own data: else five in a row would hold the lane.
        fail: dict[str, Any] = {
            "reason": reason,
            "reason_class": "bad_data",
            "code": 4,
            "is_own_data": True,
        }
        fail |= {
            name: changes.pop(name) for name in ("raw", "detail", "reason_class", "code") if name in changes
        }
        receipt = await self.desk.accept(**changes)
        await self.desk.end(receipt.job_ids[0], Refused(fail=Fail(**fail)))
        return receipt.job_ids[0]


def words_of(answer: Answer) -> str:
    """Return what a page says, without its tags."""
    return plain(answer.text)


def plain(text: str) -> str:
    """Return what HTML says, without its tags."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids[value or ""] += 1
            if name in {"href", "action", "src", "hx-get"}:
                self.links.append(value or "")


def tags_of(answer: Answer) -> Tags:
    """Return a page, read."""
    tags = Tags()
    tags.feed(answer.text)
    return tags
