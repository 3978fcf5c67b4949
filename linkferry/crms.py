"""The CRMs at a glance: which are on, where they call, what came of it. For `crm list` and `doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from producers.crm.config import CrmSetting, crm_path, crm_settings
from producers.crm.receiver import source_of
from worker.domain.event import EventState
from worker.ops.views import iso

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ledger import Ledger
    from worker.settings import Settings

_SHOWN_OF_PATH = 4
_LOOKED_THROUGH = 20  #: events; the last to change is mostly the last that came


async def overview(session: Session, *, is_path_shown: bool = False) -> list[dict[str, Any]]:
    """Return every known CRM; raises SettingsError, LedgerUnavailable."""
    counts = await session.ledger.intake.counts()
    items = []
    for each in crm_settings(session.settings):
        source = source_of(each.name)
        states: Mapping[EventState, int] = counts.get(source, {})
        last_ms = await last_event_ms(session.ledger, source) if states else None
        items.append(
            {
                "crm": each.name,
                "is_on": each.is_on,
                "url": url_of(session.settings, each, is_path_shown=is_path_shown),
                "settings": list(each.keys),
                "last_event_at": None if last_ms is None else iso(last_ms),
                "events": {state.value: states.get(state, 0) for state in EventState},
                "note": note_on(session.settings, each),
            }
        )
    return items


def sources(settings: Settings) -> list[str]:
    """Return what jobs of each known CRM name as their source; raises SettingsError."""
    return [source_of(each.name) for each in crm_settings(settings)]


def url_of(settings: Settings, crm: CrmSetting, *, is_path_shown: bool = False) -> str | None:
    """Return where a CRM calls, its secret part masked unless *is_path_shown*; None where it is off."""
    path = crm_path(settings, crm.name)
    if path is None:
        return None
    shown = path if is_path_shown else f"{path[:_SHOWN_OF_PATH]}…"
    return f"{settings.public_url or ''}/crm/{crm.name}/{shown}"


def note_on(settings: Settings, crm: CrmSetting) -> str:
    """Return what is still missing for a CRM, or nothing."""
    start = f"LINKFERRY_CRM_{crm.name.upper()}"
    if crm.keys and not crm.is_on:
        return f"{start}_{crm.keys[0]} is set, but {start}_PATH is not, so it is off."
    if crm.is_on and settings.public_url is None:
        return "LINKFERRY_PUBLIC_URL is not set: put your own address before the path."
    return ""


async def last_event_ms(ledger: Ledger, source: str) -> int | None:
    """Return when the last event of *source* came, in ms since 1970; raises LedgerUnavailable."""
    page = await ledger.intake.find(source=source, limit=_LOOKED_THROUGH)
    return max((event.received_at_ms for event in page.items), default=None)
