"""The sandbox's door: what every API call passes before and after it is done (rate, token, faults)."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from worker.partner.sandbox.settings import Faults, SandboxSettings
from worker.partner.sandbox.state import SandboxState

Act = Callable[[web.Request, dict[str, Any]], Awaitable[dict[str, Any]] | dict[str, Any]]

_HTML = "<!doctype html><title>502 Bad Gateway</title><h1>Bad Gateway</h1>"
_GARBAGE = b'{"status": "OK", "onboarding_link": "https://\x00\xff\xfe'
_HUGE_CHUNK = b" " * 65_536
_HUGE_CHUNKS = 2_000  #: 128 MiB: more than any cap allows
_TRICKLE_S = 0.05


class FailError(Exception):
    """The call is answered with FAIL and this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"FAIL {code}")
        self.code = code


class RateLimit:
    """A strict limit that tolerates one call of jitter: a call may come one interval early, no more."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def wait_s(self, rate: float | None) -> float:
        """Return 0 and count the call, or return how long the caller should have waited."""
        if not rate:
            return 0.0
        now, interval_s = time.monotonic(), 1 / rate
        early_s = self._due_at - now
        # A hair of tolerance for the clock's own grain.
        if early_s > interval_s * 1.001:
            return early_s - interval_s
        self._due_at = max(self._due_at, now) + interval_s
        return 0.0


class Tokens:
    """Access tokens, and the addresses that tried wrong credentials too often."""

    def __init__(self) -> None:
        self._ends_at: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._locked_until: dict[str, float] = {}

    def issue(self, value: str, life_s: float) -> None:
        """Make *value* good for *life_s*."""
        now = time.monotonic()
        self._ends_at = {token: end for token, end in self._ends_at.items() if end > now}
        self._ends_at[value] = now + life_s

    def is_good(self, value: str) -> bool:
        """Tell whether *value* was issued and has not run out."""
        return self._ends_at.get(value, 0.0) > time.monotonic()

    def revoke_all(self) -> None:
        """End every token."""
        self._ends_at.clear()

    def is_locked(self, address: str) -> bool:
        """Tell whether *address* is locked out just now."""
        return self._locked_until.get(address, 0.0) > time.monotonic()

    def count_wrong(self, address: str, *, most: int, lock_s: float) -> None:
        """Count a wrong try; the *most*-th locks the address out."""
        self._tries[address] = self._tries.get(address, 0) + 1
        if self._tries[address] >= most:
            self._tries[address] = 0
            self._locked_until[address] = time.monotonic() + lock_s

    def forgive(self, address: str) -> None:
        """Forget an address's wrong tries."""
        self._tries.pop(address, None)
        self._locked_until.pop(address, None)


class Door:
    """Lets calls in and answers out, as strictly and as badly as the settings and faults say."""

    def __init__(self, settings: SandboxSettings, state: SandboxState, faults: Faults) -> None:
        self.settings = settings
        self.state = state
        self.faults = faults
        self.tokens = Tokens()
        self.limit = RateLimit()
        # Seeded, so that a run can be repeated: chance for tests, not for secrets.
        self.chance = random.Random(settings.seed)  # noqa: S311

    def handler(
        self, call: str, act: Act, *, is_open: bool = False
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the HTTP handler of *call*, which *act* does; *is_open*: without an access token."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._pass(request, call, act, is_open=is_open)

        return handle

    async def _pass(self, request: web.Request, call: str, act: Act, *, is_open: bool) -> web.StreamResponse:
        self.state.calls[call] += 1
        entry = {"at": time.time(), "call": call, "http": 200}
        self.state.call_log.append(entry)
        if (refusal := self._throttled()) is not None:
            entry["http"] = 429
            return refusal
        fault = self.faults.draw(call, self.chance)
        if fault:
            self.state.suffered[fault] += 1
        await asyncio.sleep(self.chance.uniform(*_range(self.faults.latency_s)))
        if fault == "hang" and self.chance.random() < 0.5:
            fault = "hang_before"
        if (spoilt := await self._spoil_before(request, fault)) is not None:
            return spoilt
        answer = await self._done(request, call, act, is_open=is_open)
        entry["answer"] = answer.get("reason")
        return await self._spoil_after(request, fault, answer)

    def _throttled(self) -> web.Response | None:
        rate = self.settings.rate if self.faults.rate is None else self.faults.rate
        wait_s = self.limit.wait_s(rate)
        if self.faults.throttle > 0:
            self.faults.throttle -= 1
            wait_s = max(wait_s, 1.0)
        if not wait_s:
            return None
        self.state.refused_429 += 1
        retry_after = self.faults.retry_after or str(max(1, int(wait_s + 0.999)))
        return web.json_response(
            {"message": "too many requests"}, status=429, headers={"Retry-After": retry_after}
        )

    async def _done(self, request: web.Request, call: str, act: Act, *, is_open: bool) -> dict[str, Any]:
        """Do the call; return its answer, FAILs included."""
        try:
            if not is_open:
                self._check_token(request)
            body = await _json_body(request)
            if call == "create_whatsapp" and body.get("whatsapp") != "1":
                self.state.asked[str(body.get("whatsapp"))] = None
            self._check_wanted_failure(call, body)
            done = act(request, body)
            answer = done if isinstance(done, dict) else await done
        except FailError as fail:
            return {"status": "FAIL", "reason": fail.code}
        return {"status": "OK", **answer, "reason": 1}

    def _check_token(self, request: web.Request) -> None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.tokens.is_good(value.strip()):
            self.state.token_refusals += 1
            raise FailError(self.settings.code("token"))

    def _check_wanted_failure(self, call: str, body: Mapping[str, Any]) -> None:
        if call not in {"create_whatsapp", "create_facebook"}:
            return
        code = self.faults.fail_numbers.get(str(body.get("whatsapp")))
        if code is None and self.faults.fail_code is not None:
            code = self.faults.fail_code if self.chance.random() < self.faults.fail_share else None
        if code is not None:
            raise FailError(code)

    async def _spoil_before(self, request: web.Request, fault: str | None) -> web.StreamResponse | None:
        if fault == "drop_before":
            return dropped(request)
        if fault == "hang_before":
            await asyncio.sleep(self.faults.hang_s)
            return dropped(request)
        if fault == "error_before":
            return web.Response(status=500, text=_HTML, content_type="text/html")
        return None

    async def _spoil_after(
        self, request: web.Request, fault: str | None, answer: dict[str, Any]
    ) -> web.StreamResponse:
        if fault == "hang":
            await asyncio.sleep(self.faults.hang_s)
        if fault in {"hang", "drop_after"}:
            return dropped(request)
        if fault == "huge":
            return await _huge(request)
        if fault == "trickle":
            return await _trickled(request, json.dumps(answer).encode(), self.faults.hang_s)
        return _spoilt(fault) or web.json_response(_bent(fault, answer))


def _spoilt(fault: str | None) -> web.Response | None:
    """Return the answer that nobody can read, or None where the true one is to be given."""
    match fault:
        case "garbage":
            return web.Response(body=_GARBAGE, content_type="application/json")
        case "empty":
            return web.Response(body=b"")
        case "html" | "error_after":
            status = 500 if fault == "error_after" else 200
            return web.Response(status=status, text=_HTML, content_type="text/html")
    return None


def _bent(fault: str | None, answer: dict[str, Any]) -> dict[str, Any]:
    if fault == "lower_case":
        return {**answer, "status": str(answer["status"]).lower()}
    if fault == "wrong_types":
        return {"status": ["OK"], "reason": {"code": 1}, "onboarding_link": 7, "whatsapp": None}
    return answer


def dropped(request: web.Request) -> web.Response:
    """Reset the connection; the response returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        for _ in range(_HUGE_CHUNKS):
            await response.write(_HUGE_CHUNK)
    except ConnectionError:
        return response  # the caller has had enough: just what it should do
    return response


async def _trickled(request: web.Request, body: bytes, most_s: float) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        # The last byte never comes: a reader without a total deadline would wait for ever.
        async with asyncio.timeout(most_s):
            for place in itertools.cycle(range(len(body) - 1)):
                await response.write(body[place : place + 1] if place else b" ")
                await asyncio.sleep(_TRICKLE_S)
    except (ConnectionError, TimeoutError):
        return dropped_stream(request, response)
    return response


def dropped_stream(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Reset the connection of a response under way."""
    if request.transport is not None:
        request.transport.abort()
    return response


async def _json_body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {}


def _range(latency_s: list[float]) -> tuple[float, float]:
    low = latency_s[0] if latency_s else 0.0
    return low, max(latency_s[1:2] or [low])
