"""Tells HubSpot's contacts what became of their requests: a link, a state and a reason, each in a property.

Only what came from HubSpot is told there, and only to the contact that it came from: its id is the request's
`external_id`. Setting the same properties again changes nothing, so an event may come twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol

from producers.crm.config import CrmValues
from producers.crm.hubspot import NAME, api_of, write_back_of
from producers.crm.hubspot_api import PropertyRefusedError
from producers.crm.hubspot_write_back import WriteBack
from producers.crm.model import FetchLaterError, FetchRefusedError
from worker.domain.outgoing import (
    NeverTold,
    NotTold,
    OutgoingEvent,
    OutgoingType,
    SinkBusy,
    SinkPlan,
    TellFault,
    Telling,
    Told,
)
from worker.domain.states import JobState
from worker.telemetry import log

#: The events that a contact is told of. That an invitation was sent is not: it follows its link within seconds.
CONCERNED = frozenset({OutgoingType.LINK_CREATED, OutgoingType.LINK_ONBOARDED, OutgoingType.JOB_FAILED})
#: What a contact's state property says, by how the job stands when it is told: of two events that wait for HubSpot the
#: later one may be told first, and what a property says stays. In any other state the job is on its way to its next event.
STATES: Mapping[JobState, str] = {
    JobState.LINKED: "link_created",
    JobState.ONBOARDED: "onboarded",
    JobState.FAILED: "failed",
    JobState.DEAD: "failed",
}
#: HubSpot said later, but not when.
BUSY_PAUSE_S = 30.0
#: A token, a scope or a property has to be mended by a person; all events wait for it.
REFUSED_PAUSE_S = 300.0

_CONTACT_ID = re.compile(r"[0-9]{1,20}")


class Updates(Protocol):
    """What is asked of HubSpot's API; `hubspot_api.HubSpotApi` is the real one."""

    async def update_contact(self, contact_id: str, properties: Mapping[str, str]) -> bool:
        """Set properties of a contact; False: there is no such contact."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class HubSpotSink:
    """The sink `hubspot` of our own events."""

    def __init__(self, api: Updates, write_back: WriteBack) -> None:
        self._api = api
        self._write_back = write_back

    async def send(self, event: OutgoingEvent) -> Telling:
        """Update the event's contact and return what came of it."""
        contact_id = str(event.data.get("external_id") or "")
        properties = self.properties_of(event)
        if not properties or not _CONTACT_ID.fullmatch(contact_id):
            return NeverTold(fault=TellFault.NOT_CONCERNED)
        try:
            if await self._api.update_contact(contact_id, properties):
                return Told(status=200)
        except FetchLaterError as later:
            return _later(later)
        except FetchRefusedError as refused:
            log.error("hubspot_write_back_refused", remedy=refused.remedy)  # noqa: TRY400 - its remedy says all
            is_property = isinstance(refused, PropertyRefusedError)
            fault = TellFault.REFUSED if is_property else TellFault.CREDENTIALS_REFUSED
            return SinkBusy(fault=fault, delay_s=REFUSED_PAUSE_S)
        return NeverTold(fault=TellFault.NOT_CONCERNED, status=404)

    def properties_of(self, event: OutgoingEvent) -> dict[str, str]:
        """Return the properties that *event* sets, as its job stands now; none where it is not told.

        A link stays until there is a new one.
        """
        now = event.now
        if event.type not in CONCERNED or now is None or now.state not in STATES:
            return {}
        told = {"state": STATES[now.state], "reason": ""}
        if event.type is OutgoingType.LINK_CREATED:
            told["link"] = now.link or ""
        if told["state"] == "failed":
            told["reason"] = now.reason or ""
        return {name: told[each] for each, name in self._write_back.properties.items() if each in told}

    async def aclose(self) -> None:
        """Close the connections to HubSpot."""
        await self._api.aclose()


def sink_of(values: CrmValues) -> tuple[SinkPlan, HubSpotSink] | None:
    """Return the sink that the settings describe and what the ledger has to know of it; None: no write-back.

    Raises:
        SettingsError: a setting is wrong.
    """
    write_back = write_back_of(values)
    if write_back is None:
        return None
    # Another token, or other properties, may be what a person mended: the sink is tried again at once.
    parts = [values.secret("TOKEN"), values.text("API_URL"), values.text("WRITE_BACK")]
    mark = sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:16]
    plan = SinkPlan(name=NAME, only_source=f"crm:{NAME}", mark=mark)
    return plan, HubSpotSink(api_of(values), write_back)


def _later(later: FetchLaterError) -> Telling:
    if later.is_failure:
        return NotTold(fault=TellFault.UNREACHABLE)
    return SinkBusy(fault=TellFault.THROTTLED, delay_s=later.delay_s or BUSY_PAUSE_S)
