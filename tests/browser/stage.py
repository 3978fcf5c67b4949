"""What the browser tests play on: a whole Linkferry with its console, three people, and customers to order."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import argon2
from playwright.async_api import Browser, StorageState, async_playwright

from linkferry.session import Session
from tests.browser.visit import Visit, a_visit, launch
from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Fail, Refused
from worker.domain.roles import Role
from worker.domain.states import JobState, Lane
from worker.limits import Limits
from worker.ops.accounts import Accounts
from worker.ops.passwords import Passwords
from worker.settings import load_settings

PASSWORD = "correct-horse-battery"
NAMES = {Role.VIEWER: "vera", Role.OPERATOR: "oren", Role.ADMIN: "adina"}
LONG_LEASE_S = 600.0
#: argon2 at its cheapest: the console makes a full one of it at the first sign-in.
_CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_count = itertools.count(1)


def a_mobile() -> str:
    """Return an Israeli mobile number that nobody else has."""
    return f"97254{next(_count):07d}"


def as_written(number: str) -> str:
    """Return a number as people type it: 0541234567."""
    return f"0{number.removeprefix('972')}"


class Stage:
    """A running stack with its console, and a browser in front of it."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        self.stack = stack
        self.browser = browser
        self.ledger = stack.ledger
        #: What the command line works with: a test does by it what it does not look at.
        self.session = Session(
            settings=(settings := load_settings(environ=stack.env(), env_file=None)),
            ledger=stack.ledger,
            limits=Limits(
                stack.redis, namespace=stack.namespace, name="partner", ceiling=settings.provider_rate
            ),
            catalogue=settings.load_catalogue(),
        )
        self.accounts = Accounts(stack.ledger, Passwords(_CHEAP))
        self._refused: dict[str, int] = {}
        self._cookies: dict[Role, StorageState] = {}

    # --- people --------------------------------------------------------------------------------------------

    async def hire(self) -> None:
        """Make the three accounts."""
        for role, name in NAMES.items():
            assert await self.accounts.add(name, role, PASSWORD, by="test") is None

    def stranger(self, **options: Any) -> AbstractAsyncContextManager[Visit]:
        """Open a window in which nobody is signed in."""
        return a_visit(self.browser, self.stack.web_url, **options)

    @asynccontextmanager
    async def visit(self, role: Role = Role.OPERATOR, **options: Any) -> AsyncIterator[Visit]:
        """Open a window in which somebody of this role is signed in."""
        if role not in self._cookies:
            self._cookies[role] = await self._sign_in(role)
        async with self.stranger(storage_state=self._cookies[role], **options) as visit:
            yield visit

    @asynccontextmanager
    async def guest(self, name: str, role: Role) -> AsyncIterator[Visit]:
        """Make an account for one test, and open a window in which it is signed in."""
        assert await self.accounts.add(name, role, PASSWORD, by="test") is None
        async with self.stranger() as visit:
            await visit.go("/login")
            await sign_in(visit, name)
            await visit.page.wait_for_url("**/")
            yield visit

    async def _sign_in(self, role: Role) -> StorageState:
        async with self.stranger() as visit:
            await visit.go("/login")
            await sign_in(visit, NAMES[role])
            await visit.page.wait_for_url("**/")
            return await visit.context.storage_state()

    # --- customers -----------------------------------------------------------------------------------------

    async def accept(self, *, lane: Lane = Lane.LIVE, source: str = "api", **changes: Any) -> str:
        """Let a customer in; return the WhatsApp job."""
        request = a_request(**({"whatsapp": a_mobile()} | changes))
        invitation = an_invitation(lane=lane, source=source, request=request)
        receipts = await self.ledger.accept([invitation], max_waiting=100_000)
        self.stack.bell.ring(receipts[0].job_ids, lane)
        return str(receipts[0].job_ids[0])

    async def refuse(self, *numbers: str, code: int) -> None:
        """Let the partner refuse these numbers with *code* until it is forgiven."""
        self._refused |= dict.fromkeys(numbers, code)
        await self.stack.faults(fail_numbers=self._refused)

    async def forgive(self, *numbers: str) -> None:
        """Let the partner take these numbers again."""
        for number in numbers:
            self._refused.pop(number, None)
        await self.stack.faults(fail_numbers=self._refused)

    async def numbers(self, **kinds: list[str]) -> None:
        """Tell the partner what kind of numbers these are: `registered=[…]`."""
        async with self.stack.http.post(f"{self.stack.sandbox_url}/sandbox/numbers", json=kinds) as answer:
            assert answer.status == 200, await answer.text()

    async def failed(self, *, code: int = 17, **changes: Any) -> tuple[str, str]:
        """Return a job that the partner refused with *code*, and its number."""
        number = changes.pop("whatsapp", None) or a_mobile()
        await self.refuse(number, code=code)
        job = await self.accept(whatsapp=number, **changes)
        await self.reaches(JobState.FAILED, job)
        return job, number

    async def failed_many(self, count: int, *, code: int, **changes: Any) -> list[str]:
        """Return the numbers of *count* bulk jobs that the partner refused with *code*."""
        numbers = [a_mobile() for _ in range(count)]
        await self.refuse(*numbers, code=code)
        rows = [
            an_invitation(lane=Lane.BULK, request=a_request(whatsapp=each, **changes)) for each in numbers
        ]
        receipts = await self.ledger.accept(rows, max_waiting=100_000)
        ids = [receipt.job_ids[0] for receipt in receipts]
        self.stack.bell.ring(ids, Lane.BULK)
        await self.reaches(JobState.FAILED, *ids)
        return numbers

    async def batch(self, name: str, count: int) -> str:
        """Let a file with *count* customers in; return the batch's id once their links are made."""
        run = f"20261122-{next(_count):06x}"
        await self.ledger.batches.open(run, name=name, source="csv", by="cli:test", total=count)
        rows = [
            an_invitation(lane=Lane.BULK, batch_id=run, line=nth + 2, request=a_request(whatsapp=a_mobile()))
            for nth in range(count)
        ]
        receipts = await self.ledger.accept(rows, max_waiting=100_000)
        await self.ledger.batches.close(run)
        ids = [receipt.job_ids[0] for receipt in receipts]
        self.stack.bell.ring(ids, Lane.BULK)
        await self.reaches(JobState.LINKED, *ids)
        return run

    async def failed_saying(self, fail: Fail, **changes: Any) -> str:
        """Return a job that failed with an answer that the sandbox's partner would not give."""
        while True:
            receipts = await self.ledger.accept(
                [an_invitation(request=a_request(whatsapp=a_mobile(), **changes))], max_waiting=100_000
            )
            job = receipts[0].job_ids[0]
            claimed = await self.ledger.claim(job, worker_id="test", lease_s=LONG_LEASE_S)
            if isinstance(claimed, ClaimedJob):  # else a worker was quicker, and another one is tried
                assert await self.ledger.begin_call(claimed.lease)
                await self.ledger.settle(claimed.lease, Refused(fail=fail))
                return str(job)

    async def reaches(self, state: JobState, *jobs: str) -> None:
        """Wait until all *jobs* stand in *state*."""

        async def are_there() -> bool:
            return all(job.state is state for job in await self.ledger.queries.jobs(jobs))

        await self.stack.until(are_there, f"{len(jobs)} jobs are {state.value}")

    async def state(self, job: str) -> JobState | None:
        """Return where a job stands."""
        found = await self.ledger.queries.job(job)
        return found.state if found else None


async def sign_in(visit: Visit, name: str, password: str = PASSWORD) -> None:
    """Fill in the sign-in page that is open."""
    await visit.page.get_by_label("Name").fill(name)
    await visit.page.get_by_label("Password").fill(password)
    await visit.press("Sign in")


@asynccontextmanager
async def a_stage(folder: Path, *, workers: int = 1, **settings: Any) -> AsyncIterator[Stage]:
    """Run a whole Linkferry in *folder* and a browser in front of it, for the block."""
    async with Stack(folder, **settings) as stack, async_playwright() as playwright:
        for _ in range(workers):
            stack.start_worker()
        await stack.start_web()
        browser = await launch(playwright)
        stage = Stage(stack, browser)
        await stage.hire()
        try:
            yield stage
        finally:
            await browser.close()
