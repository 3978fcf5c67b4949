"""A day that is over: customers who came, links that were made and what failed, for pictures that look like life.

The ledger's verbs make it, by a clock that runs from yesterday until now; no worker has a hand in it.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from producers.enqueue import Door, Origin
from tests.browser.stage import Stage
from worker.domain.job import ClaimedJob, Receipt
from worker.domain.outcome import Fail, Linked, Outcome, Refused, Sent, Undelivered
from worker.domain.parse import ParsedRequest, parse_request
from worker.domain.states import Lane
from worker.ledger import Ledger

_HOUR_MS = 3_600_000
_LEASE_S = 600.0
#: What the partner refused: reason, its code, and of how many customers one. The first that fits is taken.
_REFUSALS = (
    ("number_not_registered", 21, 13),
    ("number_invalid", 4, 31),
    ("foreign_link", 22, 47),
    ("unknown_31", 31, 37),
)


class _Silence:
    """A bell that wakes nobody."""

    def ring(self, job_ids: object, lane: object) -> None:
        """Do nothing."""


@dataclass
class _Clock:
    now_ms: int


class Past:
    """Makes the past of a stage."""

    def __init__(self, stage: Stage, *, now_ms: int) -> None:
        self._clock = _Clock(now_ms)
        self._now_ms = now_ms
        self._chance = random.Random(7)
        self.ledger = Ledger(
            stage.stack.redis, namespace=stage.stack.namespace, now_ms=lambda: self._clock.now_ms
        )
        self._door = Door(self.ledger, _Silence())
        self._catalogue = stage.session.catalogue
        self._nth = 0

    async def make(self) -> None:
        """Let the shipped customers come, each twice: most live, all day long, and some by one file."""
        rows = [*customers(), *_doubles()]
        await self._live(rows[:170], first_h=22.5, last_h=7.5)
        await self._file("customers-march.csv", rows[170:230], ago_h=6.5)
        await self._live(rows[230:290], first_h=5.5, last_h=1.0)
        await self._live(rows[290:], first_h=1.0, last_h=0.02)
        self._clock.now_ms = self._now_ms

    def unexplained(self) -> list[str]:
        """Return the numbers that the partner refuses with a code that nobody knows."""
        parsed = [
            parse_request(row) for row in (*customers(), *_doubles()) if _refusal(row) == ("unknown_31", 31)
        ]
        return [
            each.request.number for each in parsed if isinstance(each, ParsedRequest) and each.request.number
        ]

    async def held(self, name: str, count: int, *, reason: str) -> str:
        """Let a file come, two hours ago, whose jobs wait because its first ones all failed the same way."""
        self._clock.now_ms = self._now_ms - 2 * _HOUR_MS
        run = await self._open(name, count)
        rows = [
            ({**row, "whatsapp": f"05399{nth:05d}"}, nth)
            for nth, row in enumerate(list(customers())[:count], 2)
        ]
        for row, line in rows:
            await self._accept(row, Origin(source="csv", lane=Lane.BULK, batch_id=run, line=line))
        await self.ledger.batches.close(run)
        self._clock.now_ms += 40_000
        await self.ledger.batches.hold(f"batch:{run}", reason)
        return run

    async def _live(self, rows: list[Mapping[str, str]], *, first_h: float, last_h: float) -> None:
        for nth, row in enumerate(rows):
            step_h = (first_h - last_h) / len(rows)
            ago_h = first_h - step_h * (nth + self._chance.uniform(0.1, 0.9))
            self._clock.now_ms = self._now_ms - round(ago_h * _HOUR_MS)
            source = ("crm:hubspot", "api", "crm:monday")[nth % 3]
            receipt = await self._accept(row, Origin(source=source, lane=Lane.LIVE))
            await self._work(receipt, row)

    async def _file(self, name: str, rows: list[Mapping[str, str]], *, ago_h: float) -> None:
        self._clock.now_ms = self._now_ms - round(ago_h * _HOUR_MS)
        run = await self._open(name, len(rows))
        receipts = []
        for line, row in enumerate(rows, 2):
            origin = Origin(source="csv", lane=Lane.BULK, batch_id=run, line=line)
            receipts.append(await self._accept(row, origin))
        await self.ledger.batches.close(run)
        for receipt, row in zip(receipts, rows, strict=True):
            self._clock.now_ms += self._chance.randint(20_000, 60_000)
            await self._work(receipt, row)

    async def _open(self, name: str, count: int) -> str:
        self._nth += 1
        run = f"20261122-{self._nth:06x}"
        await self.ledger.batches.open(
            run, name=name, source="csv", by="cli:dana", total=count, path=f"/srv/{name}"
        )
        return run

    async def _accept(self, row: Mapping[str, str], origin: Origin) -> Receipt:
        parsed = parse_request(row)
        assert isinstance(parsed, ParsedRequest), parsed
        return await self._door.enqueue(parsed, origin)

    async def _work(self, receipt: Receipt, row: Mapping[str, str]) -> None:
        for job in receipt.job_ids:
            self._clock.now_ms += self._chance.randint(300, 2_500)
            claimed = await self.ledger.claim(job, worker_id="ferry-2", lease_s=_LEASE_S)
            if not isinstance(claimed, ClaimedJob):
                continue
            assert await self.ledger.begin_call(claimed.lease)
            self._clock.now_ms += self._chance.randint(150, 900)
            settled = await self.ledger.settle(claimed.lease, self._outcome(row, job))
            for delivery in settled.deliveries:
                await self._deliver(delivery)

    def _outcome(self, row: Mapping[str, str], job: str) -> Outcome:
        if job.endswith("w") and (refusal := _refusal(row)):
            name, code = refusal
            return Refused(
                fail=Fail(
                    reason=name,
                    reason_class=self._catalogue.named(name).reason_class.value,
                    code=code,
                    raw=f'{{"status": "FAIL", "reason": {code}}}',
                    is_own_data=True,  # a file is held otherwise, and one that is held is enough
                )
            )
        return Linked(link=f"https://partner.example/onboarding/{job}")

    async def _deliver(self, delivery: str) -> None:
        self._clock.now_ms += self._chance.randint(200, 1_200)
        claimed = await self.ledger.deliveries.claim(delivery, worker_id="ferry-2", lease_s=_LEASE_S)
        if claimed is None:
            return
        assert await self.ledger.deliveries.begin_send(claimed.lease)
        is_lost = self._chance.random() < 0.012
        fail = Fail(
            reason="mailbox_unknown", reason_class="recipient", code=550, detail="550 5.1.1 no such user"
        )
        outcome = (
            Undelivered(fail=fail) if is_lost else Sent(provider_id=f"m-{self._chance.getrandbits(32):08x}")
        )
        await self.ledger.deliveries.settle(claimed.lease, outcome, can_resend=False)


def _doubles() -> Iterator[Mapping[str, str]]:
    """Yield each customer once more, as somebody else."""
    for nth, row in enumerate(customers()):
        number = row["whatsapp"] if row["whatsapp"] == "coexistence" else f"0527{nth:06d}"
        yield {
            **row,
            "whatsapp": number,
            "reference": f"CRM-{2000 + nth}",
            "email": f"second{nth}@example.com",
        }


def _refusal(row: Mapping[str, str]) -> tuple[str, int] | None:
    place = int(row["reference"].rpartition("-")[2])
    return next(((name, code) for name, code, one_of in _REFUSALS if place % one_of == 1), None)


def customers() -> Iterator[Mapping[str, str]]:
    """Yield the rows of the shipped spreadsheet that are right."""
    with resources.files("linkferry").joinpath("data/customers.csv").open(encoding="utf-8-sig") as shipped:
        for row in csv.DictReader(shipped):
            if isinstance(parse_request(row), ParsedRequest) and row["reference"]:
                yield row
