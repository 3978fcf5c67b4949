"""What looking needs: the parts, and the few settings that what is shown depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from worker.domain.reasons import Catalogue
from worker.ledger import Ledger
from worker.limits import Limits
from worker.ops.queries import Queries
from worker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where `overview`, `groups`, `job_page` and `customer` look."""

    ledger: Ledger
    limits: Limits
    catalogue: Catalogue
    queries: Queries
    has_credentials: bool = True
    is_sandbox: bool = False
    region: str = "IL"  #: whose numbers are written without a country code
    max_waiting: int = 2_000_000
    failed_keep_s: float = math.inf  #: how long failed jobs and ended ones are kept
    dead_keep_s: float = math.inf  #: how long dead letters are kept
    doubt_grace_s: float = 60.0  #: before a look-up may say that a link in doubt does not exist
    invitation_wait_s: float = 600.0  #: how long a link waits for the others of its invitation
    reminders_s: tuple[float, ...] = ()  #: from the message to each reminder
    link_open_s: float = 14 * 86_400.0  #: a link that waits for longer is watched

    @classmethod
    def from_settings(
        cls, settings: Settings, *, ledger: Ledger, limits: Limits, catalogue: Catalogue, queries: Queries
    ) -> Self:
        """Return the scene that *settings* make of the parts."""
        return cls(
            ledger=ledger,
            limits=limits,
            catalogue=catalogue,
            queries=queries,
            has_credentials=settings.has_credentials,
            is_sandbox=settings.is_sandbox,
            region=settings.default_region,
            max_waiting=settings.max_waiting,
            failed_keep_s=settings.failed_keep,
            dead_keep_s=settings.dead_keep,
            doubt_grace_s=settings.doubt_grace_s,
            invitation_wait_s=settings.invitation_wait,
            reminders_s=settings.reminders,
            link_open_s=settings.link_open_s,
        )
