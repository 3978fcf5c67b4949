"""A customer of whom every corner of the ledger tells, one who stays, and a look at every key there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from tests.contract.intake_desk import an_event
from tests.contract.ledger_desk import LINK, LINKED, own_fail
from tests.contract.looking_desk import LookingDesk
from tests.contract.outbox_desk import WEBHOOK
from tests.factories import a_request
from worker.domain.act import Act
from worker.domain.event import EventFailed
from worker.domain.outcome import Refused, Sent
from worker.domain.parse import Problem
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel
from worker.ledger.completing import ExpiringNumber
from worker.ledger.scripts import text
from worker.ops.forgetting import Block, Forgetting, Found

NUMBER, PHONE, EMAIL = "972501234567", "972522223333", "ofra.levi@flowers.example"
NAME, PERSON = "Ofra Levi Flowers", "Ofra Levi"
#: No value of any key may hold one of these once she is erased.
HERS = (
    NUMBER,
    "050-123-4567",
    PHONE,
    EMAIL,
    EMAIL.upper(),
    NAME,
    PERSON,
    "ofra",
    LINK,
    "crm-7",
    "REF-7",
    "512345678",
)
WHO = {"by": "cli:noa", "why": "asked by letter"}


def her_request(**changes: Any) -> OnboardingRequest:
    """Return what was asked for her."""
    fields: dict[str, Any] = {
        "whatsapp": NUMBER,
        "business_name": NAME,
        "display_name": NAME,
        "business_email": EMAIL,
        "business_id": "512345678",
        "external_id": "crm-7",
        "reference": "REF-7",
        "contact": Contact(name=PERSON, email=EMAIL, phone=PHONE, locale="he"),
    }
    return a_request(**(fields | changes))


async def dump(client: redis.asyncio.Redis) -> dict[str, str]:
    """Return every key of the server with all that it holds."""
    whole: dict[str, str] = {}
    async for key in client.scan_iter(count=1000):
        match text(await client.type(key)):
            case "string":
                value: Any = await client.get(key)
            case "hash":
                value = await client.hgetall(key)
            case "list":
                value = await client.lrange(key, 0, -1)
            case "set":
                value = await client.smembers(key)
            case _:
                value = await client.zrange(key, 0, -1)
        whole[text(key)] = _flat(value)
    return whole


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(_flat(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, set, tuple)):
        return " ".join(_flat(part) for part in value)
    return text(value)


async def named_in(client: redis.asyncio.Redis) -> list[str]:
    """Return the keys that hold, in their names or values, anything of hers."""
    whole = await dump(client)
    return sorted(
        key
        for key, value in whole.items()
        if any(each.casefold() in f"{key} {value}".casefold() for each in HERS)
    )


async def traces(desk: ForgettingDesk) -> list[str]:
    """Return what of hers is left in the desk's ledger."""
    return await named_in(desk.redis)


class ForgettingDesk(LookingDesk):
    """What the tests of erasing work with."""

    @property
    def eraser(self) -> Forgetting:
        """Return what is tested."""
        return Forgetting(self.scene)

    async def hers(self, **changes: Any) -> str:
        """Return a new job of hers that waits."""
        return (await self.accept(request=her_request(**changes))).job_ids[0]

    async def tell(self, job: str) -> None:
        """Link a job and send its messages."""
        await self.end(job, LINKED)
        for delivery in await self.ledger.deliveries.of_invitation(job[:-1]):
            lease = await self.send(delivery.id)
            await self.ledger.deliveries.settle(lease, Sent(provider_id="1"), can_resend=False)

    async def forget(
        self, who: str = NUMBER, *, is_all: bool = False, **more: Any
    ) -> tuple[Found, list[Block]]:
        """Look her up and erase her."""
        found = await self.eraser.look(who, is_all=is_all)
        _, blocks = await self.eraser.erase(found, **({**WHO} | more))
        return found, blocks


@contextmanager
def broken_off_after(desk: ForgettingDesk, writes: int, *, of: str = "") -> Iterator[None]:
    """Let the process that erases die after so many of its scripts, or of those of one verb."""
    scripts = desk.ledger.forgetting._scripts
    run, left = scripts.run, [writes]

    async def doomed(verb: str, *args: str | float) -> Any:
        if verb == of or (not of and verb.startswith(("forget", "trail_record", "partner_note"))):
            if left[0] == 0:
                raise ConnectionResetError
            left[0] -= 1
        return await run(verb, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "run", doomed)
        yield


async def tell_of_her_everywhere(desk: ForgettingDesk) -> str:
    """Let every part of the ledger that can tell of her; return her failed WhatsApp job."""
    await desk.ledger.outbox.enable([WEBHOOK])
    job = (
        await desk.accept(
            request=her_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE)),
            event_key="hubspot-1",
            channels=(Channel.EMAIL, Channel.SMS),
            batch_id="b1",
        )
    ).job_ids
    await desk.end(job[1], LINKED)
    raw = f'{{"message": "{NUMBER} of {PERSON} is not registered"}}'
    await desk.end(
        job[0], Refused(fail=replace(own_fail("not_registered"), raw=raw, detail=f"{PERSON}: {EMAIL}"))
    )
    await _operators(desk, job[0])
    await _senders(desk, job[0])
    number = ExpiringNumber(number=NUMBER, expires_at_ms=desk.now_ms, job_id=job[0])
    await desk.ledger.completing.note(
        numbers=[number, ExpiringNumber(number="972509999999", expires_at_ms=1)]
    )
    return job[0]


async def _operators(desk: ForgettingDesk, job: str) -> None:
    ledger = desk.ledger
    await desk.edit(job, her_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE), display_name="Ofra"))
    await desk.end(job, Refused(fail=own_fail("not_registered")))
    await ledger.suppressing.add(EMAIL, by="cli:noa", why=f"{PERSON} asked")
    await ledger.trail.record("reveal", by="cli:noa", why="call of 050-123-4567", subject=job)
    await ledger.trail.record("edit", by="cli:noa", subject=job, detail={"changes": [{"before": PERSON}]})
    await ledger.trail.record("export", by="cli:noa", detail={"filter": {"name": "ofra levi", "states": []}})
    await ledger.acts.open(
        "a-1", Act.DISCARD, by="cli:noa", filter_document={"number": NUMBER, "name": "ofra"}
    )
    await ledger.acts.open("a-2", Act.DISCARD, by="cli:noa", filter_document={"email": EMAIL})
    assert await ledger.acts.add("a-2", [job], seen=0)
    assert await ledger.acts.freeze("a-2", seen=1)
    assert (await ledger.acts.start("a-2", by="cli:noa", why=f"call of {EMAIL}", is_canary=False)).done
    assert (await ledger.acts.stop("a-2", by="cli:noa", why=f"{PERSON} called")).done


async def _senders(desk: ForgettingDesk, job: str) -> None:
    intake = desk.ledger.intake
    bodies = (
        f'{{"phone": "+972 50-123-4567", "name": "{PERSON}"}}',
        f'{{"mail": "{EMAIL}"}}',
        '{"mail": "\\u006ffra.levi@flowers.example"}',
    )
    for body in bodies:
        await intake.record([an_event(body=body, key=f"{EMAIL}:{body}")], max_waiting=100)
    [event, *_] = await intake.claim_due("crm:hubspot", want=1, worker_id="w1", lease_s=60)
    problem = Problem("whatsapp", "odd", f"whatsapp: {NUMBER} is odd", "Look at it.")
    await intake.settle([(event.lease, EventFailed(reason="invalid_request", problems=(problem,)))])
    assert job
