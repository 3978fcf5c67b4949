"""monday.com for the tests: webhook bodies, tokens, and a GraphQL server that limits and refuses as monday does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from aiohttp import web

SIGNING_SECRET = "0123456789abcdef0123456789abcdef"
API_TOKEN = "eyJhbGciOiJIUzI1NiJ9.api-token-of-a-user"
SHORT_LIVED = "short-lived-token-of-a-user"
URL = "https://links.example.com/crm/monday/an-unguessable-path-000"
BOARD = 1234567890
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())


def a_token(secret: str = SIGNING_SECRET, *, algorithm: str = "HS256", **claims: Any) -> str:
    """Return a token as monday makes them; a claim given as None is left out."""
    usual = {
        "accountId": 1,
        "userId": 2,
        "aud": URL,
        "iat": NOW_S,
        "exp": NOW_S + 300,
        "shortLivedToken": SHORT_LIVED,
    }
    written = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(written, secret, algorithm=algorithm)


def an_event(**changes: Any) -> dict[str, Any]:
    """Return the body of `create_pulse`, as captured from monday."""
    event = {
        "app": "monday",
        "type": "create_pulse",
        "triggerTime": "2026-11-22T12:00:00.000Z",
        "subscriptionId": 55,
        "isRetry": False,
        "userId": 2,
        "originalTriggerUuid": None,
        "boardId": BOARD,
        "pulseId": 9876543210,
        "pulseName": "Dana Flowers",
        "groupId": "topics",
        "groupName": "New customers",
        "isTopGroup": True,
        "columnValues": {
            "phone_1": {"phone": "+972541234567", "countryShortName": "IL"},
            "email_1": {"email": "dana@example.com", "text": "Dana's mail"},
            "status": {"label": {"index": 1, "text": "Won", "style": {}}, "post_id": None},
            "notes": {"text": "Owes us money"},
        },
        "triggerUuid": "0123456789abcdef0123456789abcdef",
    }
    return {"event": {**event, **changes}}


def an_update(column: str, value: Any, **changes: Any) -> dict[str, Any]:
    """Return the body of `update_column_value`."""
    body = an_event(
        type="update_column_value", columnId=column, columnType="color", columnTitle="Status", value=value
    )
    del body["event"]["columnValues"]
    body["event"].update({"previousValue": None, "changedAt": 1.0, **changes})
    return body


def an_item(
    item_id: int | str = 9876543210, *, state: str = "active", **columns: tuple[Any, Any]
) -> dict[str, Any]:
    """Return an item as GraphQL tells it; columns are `text, value` pairs."""
    usual = {
        "phone_1": ("972541234567", {"phone": "972541234567", "countryShortName": "IL"}),
        "email_1": ("Dana's mail", {"email": "dana@example.com", "text": "Dana's mail"}),
        "status": ("Won", {"index": 1}),
    }
    return {
        "id": str(item_id),
        "name": "Dana Flowers",
        "state": state,
        "board": {"id": str(BOARD)},
        "group": {"title": "Customers"},
        "column_values": [
            {"id": name, "text": text, "value": None if value is None else json.dumps(value)}
            for name, (text, value) in {**usual, **columns}.items()
        ],
    }


def an_error(code: str, message: str = "no", **extensions: Any) -> dict[str, Any]:
    """Return the body of an answer with one error, as since API version 2025-01."""
    return {"errors": [{"message": message, "extensions": {"code": code, **extensions}}], "data": {}}


@dataclass
class MondayFake:
    """A GraphQL server. It takes 100 ids, and forgets all but 25 items where no limit is named, as monday does."""

    url: str = ""
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)  #: given first, one a call

    def has(self, *items: dict[str, Any]) -> None:
        """Put items on its boards."""
        self.items.update({item["id"]: item for item in items})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        body = await request.json()
        variables = body["variables"]
        self.asked.append(variables["ids"])
        if self.answers:
            return self.answers.pop(0)
        if request.headers.get("Authorization") != API_TOKEN:
            return web.json_response({"errors": ["Not Authenticated"]}, status=401)
        if len(variables["ids"]) > 100:
            return web.json_response(an_error("InvalidArgumentException"))
        found = [self.items[each] for each in variables["ids"] if each in self.items]
        limit = variables["limit"] if "limit: $limit" in body["query"] else 25
        return web.json_response({"data": {"items": found[:limit]}, "account_id": 1})


@asynccontextmanager
async def a_monday() -> AsyncIterator[MondayFake]:
    """Run a fake monday on a free port."""
    fake = MondayFake()
    app = web.Application()
    app.router.add_post("/v2", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2"
    try:
        yield fake
    finally:
        await runner.cleanup()
