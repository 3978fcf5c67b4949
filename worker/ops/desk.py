"""What an operator works with, wherever they sit: at the command line or in the console."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from worker.domain.lessons import LiveCatalogue
from worker.ledger import Ledger
from worker.limits import Limits
from worker.settings import Settings

# Each part is loaded when it is first asked for: a command needs one or two, and is to start quickly.
if TYPE_CHECKING:
    from worker.ops.acts import Acts
    from worker.ops.commands import Commands
    from worker.ops.queries import Queries
    from worker.ops.scene import Scene


@dataclass(kw_only=True)
class Desk:
    """The ledger, the limits and the catalogue, and what is asked and done with them."""

    settings: Settings
    ledger: Ledger
    limits: Limits
    catalogue: LiveCatalogue

    @cached_property
    def queries(self) -> Queries:
        """Return what can be asked."""
        from worker.ops.queries import Queries

        return Queries(
            self.ledger,
            self.limits,
            self.catalogue,
            has_credentials=self.settings.has_credentials,
            region=self.settings.default_region,
        )

    @cached_property
    def scene(self) -> Scene:
        """Return what looking at the whole, at one job or one customer needs."""
        from worker.ops.scene import Scene

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
        from worker.ops.commands import Commands

        return Commands(self.ledger, self.limits, self.catalogue)

    @cached_property
    def acts(self) -> Acts:
        """Return the bulk acts."""
        from worker.ops.acts import Acts

        return Acts(self.ledger, self.limits, self.catalogue)
