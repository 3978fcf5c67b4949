"""What the console works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from worker.clock import Clock, SystemClock
from worker.domain.brand import LiveBrands
from worker.ops.accounts import Accounts
from worker.ops.console.freezing import Freezing
from worker.ops.desk import Desk
from worker.ops.partner_view import AskPartner


@dataclass(kw_only=True)
class ConsoleDeps(Desk):
    """Handed to every page module's `routes(deps)`; what only one of them needs, it makes from these."""

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
