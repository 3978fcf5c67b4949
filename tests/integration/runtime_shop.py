"""A worker's shop in the test's own process: real Valkey, real sandbox, real mail and texts; only the bell records."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.factories import an_invitation
from worker.broker import BrokerBell, make_broker
from worker.domain.job import Receipt
from worker.domain.states import Channel, Lane
from worker.execution.shop import Shop
from worker.main import build_shop
from worker.maintenance.lookup import LookUp
from worker.maintenance.rescue import Rescuer
from worker.partner.sandbox.serve import RunningSandbox, serve_sandbox
from worker.partner.sandbox.settings import SandboxSettings
from worker.settings import SandboxAddress, Settings, load_settings

REAL_CHANNELS = {
    "smtp_url": "smtp://127.0.0.1:{smtp_port}",
    "email_from": "Acme <links@acme.example>",
    "sms_provider": "99digital",
    "sms_url": "{url}/sms/sendMessage",
    "sms_api_key": "sandbox-sms",
    "sms_from": "Acme",
}


class RecordingBell(BrokerBell):
    """Remembers what was rung."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.fan_outs: list[str] = []
        self.failures: list[str] = []
        self.deliveries: list[str] = []

    def ring(self, job_ids: Sequence[str], lane: Lane) -> None:
        self.jobs += job_ids

    def ring_fan_out(self, job_id: str) -> None:
        self.fan_outs.append(job_id)

    def ring_failure(self, job_id: str) -> None:
        self.failures.append(job_id)

    def ring_deliveries(self, delivery_ids: Sequence[str], channel: Channel) -> None:
        self.deliveries += delivery_ids

    def close(self) -> None:
        """Nothing is open."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """A shop with the sandbox that it works against."""

    shop: Shop
    bell: RecordingBell
    sandbox: RunningSandbox
    settings: Settings

    async def accept(self, **changes: Any) -> Receipt:
        (receipt,) = await self.shop.ledger.accept([an_invitation(**changes)], max_waiting=100_000)
        return receipt

    def lookup(self, **changes: Any) -> LookUp:
        shop = self.shop
        parts: dict[str, Any] = {
            "ledger": shop.ledger,
            "limits": shop.limits,
            "partner": shop.partner,
            "bell": self.bell,
            "catalogue": shop.catalogue,
            "stats": shop.stats,
            "grace_s": 0.0,
        }
        return LookUp(**(parts | changes))

    def rescuer(self, **changes: Any) -> Rescuer:
        parts: dict[str, Any] = {
            "ledger": self.shop.ledger,
            "bell": self.bell,
            "stats": self.shop.stats,
            "resend_after_s": 0.0,
            "invitation_wait_s": 0.0,
        }
        return Rescuer(**(parts | changes))


@asynccontextmanager
async def a_bench(
    redis_url: str,
    folder: Path,
    *,
    sandbox: SandboxSettings | None = None,
    real_channels: bool = False,
    **settings: Any,
) -> AsyncIterator[Bench]:
    """Open a bench on an emptied Valkey; *real_channels* leaves the sandbox mode but not this machine."""
    running = await serve_sandbox(settings=sandbox)
    address = SandboxAddress(url=running.url, smtp_port=running.smtp_port)
    given = {
        "redis_url": redis_url,
        "data_dir": folder,
        "sandbox": not real_channels,
        "provider_rate": 500,
        "doubt_grace_s": 0,
    }
    if real_channels:
        places = {"url": running.url, "smtp_port": running.smtp_port}
        given |= {name: value.format(**places) for name, value in REAL_CHANNELS.items()}
        given |= {
            "provider_url": running.url,
            "provider_client_id": "sandbox-client",
            "provider_client_secret": "sandbox-secret",
        }
    else:
        address.write(folder / "sandbox" / "address.json")
    loaded = load_settings(environ={}, env_file=None, **(given | settings))
    bell = RecordingBell()
    broker = make_broker(loaded.broker_url_effective, namespace=loaded.namespace)
    built = build_shop(loaded, broker, worker_id="bench")
    built.bell.close()
    shop = dataclasses.replace(built, bell=bell)
    await shop.ledger.open()
    # On a busy machine a process stands still for longer than the partner lets a call be late: no test of that here.
    async with shop.partner:
        with patch("worker.execution.attempt._LATE_S", 30.0):
            yield Bench(shop, bell, running, loaded)
    for dispatcher in shop.dispatchers.values():
        await dispatcher.aclose()
    await shop.ledger.aclose()
    await running.stop()
