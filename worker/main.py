"""Builds the shop once and runs a worker: `linkferry worker`, or `dramatiq worker.main` for those who prefer it.

The shop's life hangs on Dramatiq's own hooks, so both commands go the same way: it opens on the event loop when the
worker has booted, stops claiming when the worker is told to stop, and closes when the last attempt has ended.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import dramatiq
import structlog
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware

from worker import actors
from worker.broker import BrokerBell, make_broker
from worker.clock import SystemClock
from worker.dispatch import build_dispatchers
from worker.domain.reasons import Catalogue
from worker.domain.states import Channel, JobState
from worker.execution.heartbeat import Heartbeat
from worker.execution.shop import Places, Shop
from worker.ledger import Ledger, LedgerUnavailable, open_redis
from worker.limits import Limits
from worker.maintenance.beat import Beat
from worker.maintenance.feed import Feeder
from worker.maintenance.lookup import LookUp
from worker.maintenance.minder import Duty, Minder
from worker.maintenance.prune import Pruner
from worker.maintenance.rescue import Rescuer
from worker.maintenance.watch import Watch
from worker.partner import PartnerClient
from worker.settings import Settings, SettingsError, load_settings
from worker.telemetry import LoopLag, Stats, configure_logging

log = structlog.get_logger()

#: Stopping waits this long beyond the longest call for attempts to end.
_DRAIN_MARGIN_S = 15.0


def build_shop(settings: Settings, broker: dramatiq.Broker, *, worker_id: str) -> Shop:
    """Return everything an attempt works with. Nothing connects before `Workshop.open`.

    Raises:
        SettingsError: what the settings name can't be used: a reasons file, a template, a partner not reachable by name.
    """
    redis = open_redis(settings.redis_url_required)
    ledger = Ledger(redis, namespace=settings.namespace)
    limit = partial(Limits, redis, namespace=settings.namespace)
    limits = limit(name="partner", ceiling=settings.provider_rate)
    dispatchers = build_dispatchers(settings)
    return Shop(
        worker_id=worker_id,
        ledger=ledger,
        limits=limits,
        channel_limits={
            Channel.EMAIL: limit(name="email", ceiling=settings.email_rate),
            Channel.SMS: limit(name="sms", ceiling=settings.sms_rate),
        },
        partner=build_partner(settings, limits),
        catalogue=build_catalogue(settings),
        dispatchers=dispatchers,
        bell=BrokerBell(broker),
        stats=Stats(),
        clock=SystemClock(),
        places=Places(creates=settings.provider_concurrency),
        # Two beats may be missed before a lease runs out.
        heartbeat=Heartbeat(ledger, interval_s=settings.lease_s / 3),
        lease_s=settings.lease_s,
        call_timeout_s=settings.provider_timeout,
    )
