"""A worker that is killed while it tells an event: the receiver gets it once more, by the same id."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.factories import a_request, an_invitation
from tests.integration.events_receiver import SECRET, Receiver, a_receiver
from tests.integration.runtime_shop import REAL_CHANNELS
from tests.stack import Stack
from worker.domain.states import DeliveryState, Lane

pytestmark = pytest.mark.crash
REQUEST = {"reference": "order-7", "external_id": "501"}


def real_env(stack: Stack, receiver: Receiver, **more: str) -> dict[str, str]:
    """Return what makes a worker of the stack real but for its partner and its channels."""
    address = json.loads((stack.folder / "data" / "sandbox" / "address.json").read_text())
    places = {"url": stack.sandbox_url, "smtp_port": address["smtp_port"]}
    channels = {f"LINKFERRY_{name.upper()}": value.format(**places) for name, value in REAL_CHANNELS.items()}
    return channels | {
        "LINKFERRY_SANDBOX": "0",
        "LINKFERRY_NAMESPACE": stack.namespace,
        "LINKFERRY_PROVIDER_URL": stack.sandbox_url,
        "LINKFERRY_PROVIDER_CLIENT_ID": "sandbox-client",
        "LINKFERRY_PROVIDER_CLIENT_SECRET": "sandbox-secret",
        "LINKFERRY_EVENTS_URL": receiver.url,
        "LINKFERRY_EVENTS_SECRET": SECRET,
        **more,
    }


async def arrived(stack: Stack, receiver: Receiver, count: int, what: str) -> None:
    """Wait until so many different events came."""
    await stack.until(lambda: len(receiver.counts()) >= count, what)


async def test_a_worker_killed_between_send_and_settle_tells_it_again_by_the_same_id(tmp_path: Path) -> None:
    """The receiver has it; the ledger never heard so. Another worker says it once more, and nothing else twice."""
    async with a_receiver() as receiver, Stack(tmp_path) as stack:
        receiver.gate.clear()
        doomed = stack.start_worker(**real_env(stack, receiver, LINKFERRY_WORKER_ID="doomed"))
        await stack.until(_is_on(stack), "the worker has switched events on")
        invitation = an_invitation(request=a_request(**REQUEST), lane=Lane.BULK)
        receipts = await stack.ledger.accept([invitation], max_waiting=10)
        await arrived(stack, receiver, 1, "the first event is on its way")
        stack.kill_worker(doomed)
        repeated = set(receiver.ids)
        receiver.gate.set()
        # What the supervisor does when it sees a process die.
        await stack.ledger.abandon("doomed")

        stack.start_worker(**real_env(stack, receiver))
        await arrived(stack, receiver, 2, "link and message are told")
        await stack.until(_is_all_told(stack), "nothing waits to be told")

        counts = receiver.counts()
        assert {event_id for event_id, count in counts.items() if count > 1} == repeated
        types = sorted({each["type"] for each in receiver.got})
        assert types == ["invitation.sent", "link.created"]
        assert {each["data"]["reference"] for each in receiver.got} == {"order-7"}
        deliveries = await stack.ledger.deliveries.of_invitation(receipts[0].invitation_id)
        assert [each.state for each in deliveries] == [DeliveryState.SENT]


def _is_on(stack: Stack) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return any(sink.is_enabled for sink in await stack.ledger.outbox.sinks())

    return look


def _is_all_told(stack: Stack) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return all(not sink.waiting and not sink.sending for sink in await stack.ledger.outbox.sinks())

    return look
