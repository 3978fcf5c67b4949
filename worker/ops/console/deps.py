"""What the console works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from worker.clock import Clock, SystemClock
from worker.domain.brand import LiveBrands
from worker.domain.lessons import LiveCatalogue
from worker.ledger import Ledger
from worker.limits import Limits
from worker.ops.accounts import Accounts
from worker.ops.acts import Acts
from worker.ops.commands import Commands
from worker.ops.console.freezing import Freezing
from worker.ops.partner_view import AskPartner
from worker.ops.queries import Queries
from worker.ops.scene import Scene
from worker.settings import Settings


@dataclass(kw_only=True)
class ConsoleDeps:
    """Handed to every page module's `routes(deps)`; what only one of them needs, it makes from these."""

    settings: Settings
    ledger: Ledger
    limits: Limits
    catalogue: LiveCatalogue
    brands: LiveBrands = field(default_factory=LiveBrands)
    bell: Any = None  #: wakes the workers; None in tests
    ask_partner: AskPartner | None = None  #: asks the partner what it says right now; None: nobody can
    clock: Clock = field(default_factory=SystemClock)
    #: Paths of the API, whose callers are machines: the console has no say there.
    machine_paths: tuple[str, ...] = ()
    first_user: str = "linkferry user add admin --role admin"  #: the command that makes the first account
    #: Makes the commands in a text ones that can be typed here (`linkferry.hints`).
    as_typed: Callable[[str], str] = str

    @cached_property
    def queries(self) -> Queries:
        """Return what can be asked."""
        return Queries(
            self.ledger,
            self.limits,
            self.catalogue,
            has_credentials=self.settings.has_credentials,
            region=self.settings.default_region,
        )

    @cached_property
    def scene(self) -> Scene:
        """Return what the pages for looking look at."""
        return Scene.from_settings(
            self.settings,
            ledger=self.ledger,
            limits=self.limits,
            catalogue=self.catalogue,
            queries=self.queries,
        )

    @cached_property
    def commands(self) -> Commands:
        """Return what can be done."""
        return Commands(self.ledger, self.limits, self.catalogue)

    @cached_property
    def acts(self) -> Acts:
        """Return the bulk acts."""
        return Acts(self.ledger, self.limits, self.catalogue)

    @cached_property
    def freezing(self) -> Freezing:
        """Return what freezes the sets of bulk acts beside the requests; `add_console` closes it."""
        return Freezing(self.acts)

    @cached_property
    def accounts(self) -> Accounts:
        """Return the console's users."""
        return Accounts(self.ledger)

    def is_machine(self, path: str) -> bool:
        """Tell whether a path belongs to the API."""
        return path.startswith(self.machine_paths)
