"""The console's navigation: what there is, in the order of a working day, and what of it a person may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.domain.roles import Role
from worker.domain.states import DeliveryState, JobState
from worker.ledger import Ledger, LedgerUnavailable
from worker.ops.console.i18n import N_
from worker.ops.console.roles import SignedIn


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry."""

    path: str
    label: str  #: English; templates translate it
    icon: str
    role: Role = Role.VIEWER
    is_sandbox_only: bool = False


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An entry as it stands on one page."""

    item: NavItem
    is_current: bool
    counted: Mapping[str, int]  #: how many wait for a person there, by `job`, `message` and `alert`

    @property
    def count(self) -> int:
        """Return how many wait there, whatever they are."""
        return sum(self.counted.values())


@dataclass(frozen=True, slots=True)
class NavGroup:
    """Entries that belong together."""

    label: str
    items: tuple[NavItem, ...]


#: The first group is what is needed all day; on a phone the others stand behind one entry, “More”.
NAV: tuple[NavGroup, ...] = (
    NavGroup(
        N_("Look"),
        (
            NavItem("/", N_("Overview"), "overview"),
            NavItem("/failed", N_("Failed"), "failed"),
            NavItem("/jobs", N_("Jobs"), "jobs"),
            NavItem("/customers", N_("Customers"), "customers"),
            NavItem("/batches", N_("Batches"), "batches"),
        ),
    ),
    NavGroup(
        N_("Mend"),
        (
            NavItem("/acts", N_("Bulk acts"), "acts"),
            NavItem("/dead", N_("Dead letters"), "dead"),
            NavItem("/holds", N_("Holds and pauses"), "holds"),
            NavItem("/suppressed", N_("Stop list"), "stop"),
            NavItem("/alerts", N_("Alerts"), "alerts"),
            NavItem("/watch", N_("Watch"), "eye"),
        ),
    ),
    NavGroup(
        N_("Account for"),
        (
            NavItem("/audit", N_("Audit"), "audit"),
            NavItem("/brands", N_("Brands"), "brands"),
            NavItem("/mailbox", N_("Mailbox"), "mailbox", is_sandbox_only=True),
            NavItem("/users", N_("Users"), "users", Role.ADMIN),
            NavItem("/keys", N_("API keys"), "keys", Role.ADMIN),
        ),
    ),
)


def nav_items(
    path: str, user: SignedIn | None, *, is_sandbox: bool, counts: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, list[ShownItem]]]:
    """Return the entries that *user* may follow, by group, the one of *path* marked; none before he signs in."""
    if user is None:
        return []
    shown: list[tuple[str, list[ShownItem]]] = []
    for group in NAV:
        items = [
            ShownItem(item, is_at(path, item.path), counts.get(item.path, {}))
            for item in group.items
            if user.may(item.role) and (is_sandbox or not item.is_sandbox_only)
        ]
        if items:
            shown.append((group.label, items))
    return shown


def is_at(path: str, entry: str) -> bool:
    """Tell whether the page at *path* belongs to the entry."""
    return path == entry or (entry != "/" and path.startswith(f"{entry}/"))


async def nav_counts(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Return how many of what wait for a person, by the entry that lists them; nothing where no ledger answers."""
    try:
        jobs, messages = await ledger.queries.counts(), await ledger.deliveries.counts()
        alerts = await ledger.incidents.open_count()
    except LedgerUnavailable:  # the page itself says so
        return {}
    return {
        "/failed": {"job": jobs.get(JobState.FAILED, 0), "message": messages.get(DeliveryState.FAILED, 0)},
        "/dead": {"job": jobs.get(JobState.DEAD, 0)},
        "/alerts": {"alert": alerts},
    }
