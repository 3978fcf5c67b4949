"""What a HubSpot contact is told of its request, and what telling it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from producers.crm.config import CrmValues
from producers.crm.hubspot_api import PropertyRefusedError
from producers.crm.hubspot_sink import HubSpotSink, sink_of
from producers.crm.hubspot_write_back import EXAMPLE, WriteBack
from producers.crm.model import FetchLaterError, FetchRefusedError
from worker.domain.outgoing import (
    NeverTold,
    NotTold,
    OutgoingEvent,
    OutgoingType,
    SinkBusy,
    Standing,
    TellFault,
    Telling,
    Told,
)
from worker.domain.states import JobState
from worker.settings import SettingsError

LINK = "https://onboarding.example/123456"


class Account:
    """Contacts that can be updated, or an error."""

    def __init__(self, *ids: str, raises: Exception | None = None) -> None:
        self.contacts: dict[str, dict[str, str]] = {each: {} for each in ids}
        self.raises = raises
        self.is_closed = False

    async def update_contact(self, contact_id: str, properties: Mapping[str, str]) -> bool:
        """Set properties."""
        if self.raises is not None:
            raise self.raises
        if contact_id not in self.contacts:
            return False
        self.contacts[contact_id].update(properties)
        return True

    async def aclose(self) -> None:
        """Note it."""
        self.is_closed = True


NOW = {
    OutgoingType.LINK_CREATED: Standing(state=JobState.LINKED, link=LINK),
    OutgoingType.INVITATION_SENT: Standing(state=JobState.LINKED, link=LINK),
    OutgoingType.LINK_ONBOARDED: Standing(state=JobState.ONBOARDED, link=LINK),
    OutgoingType.JOB_FAILED: Standing(state=JobState.FAILED, reason="number_not_registered"),
}


def _event(
    type_: OutgoingType = OutgoingType.LINK_CREATED, *, now: Standing | None = None, **data: Any
) -> OutgoingEvent:
    """Return an event whose job stands where it stood then, unless *now* says otherwise."""
    data = {"external_id": "11", "link": LINK, "state": "completed"} | data
    return OutgoingEvent(id="evt", type=type_, occurred_at_ms=1, data=data, now=now or NOW[type_])


async def _send(account: Account, event: OutgoingEvent, text: str = EXAMPLE) -> Telling:
    return await HubSpotSink(account, WriteBack.parse(text)).send(event)


async def test_a_link_is_told() -> None:
    """And an earlier reason is wiped out: it no longer holds."""
    account = Account("11")

    assert await _send(account, _event()) == Told(status=200)
    assert account.contacts["11"] == {
        "linkferry_link": LINK,
        "linkferry_state": "link_created",
        "linkferry_reason": "",
    }


async def test_a_failure_is_told_with_its_reason_and_leaves_the_link() -> None:
    """A contact may have a link for one product when another one fails."""
    account = Account("11")
    await _send(account, _event())
    await _send(account, _event(OutgoingType.JOB_FAILED, reason="number_not_registered", link=None))

    assert account.contacts["11"] == {
        "linkferry_link": LINK,
        "linkferry_state": "failed",
        "linkferry_reason": "number_not_registered",
    }


async def test_the_end_is_told() -> None:
    """The customer went through with it."""
    account = Account("11")
    await _send(account, _event(OutgoingType.LINK_ONBOARDED, link=None))

    assert account.contacts["11"] == {"linkferry_state": "onboarded", "linkferry_reason": ""}


async def test_an_old_failure_that_is_told_late_does_not_stay() -> None:
    """It was tried again after its job had been requeued and linked: the contact says what is so now."""
    account = Account("11")
    await _send(account, _event())

    await _send(
        account, _event(OutgoingType.JOB_FAILED, now=NOW[OutgoingType.LINK_CREATED], reason="unknown")
    )

    assert account.contacts["11"] == {
        "linkferry_link": LINK,
        "linkferry_state": "link_created",
        "linkferry_reason": "",
    }


async def test_a_link_that_is_told_late_does_not_take_the_end_back() -> None:
    """The link is told all the same."""
    account = Account("11")
    await _send(account, _event(now=NOW[OutgoingType.LINK_ONBOARDED]))

    assert (account.contacts["11"]["linkferry_link"], account.contacts["11"]["linkferry_state"]) == (
        LINK,
        "onboarded",
    )


@pytest.mark.parametrize(
    "state", [JobState.AVAILABLE, JobState.RUNNING, JobState.CANCELLED, JobState.REVOKED]
)
async def test_what_is_over_is_not_told(state: JobState) -> None:
    """The job was requeued, cancelled or revoked meanwhile."""
    account = Account(raises=AssertionError("asked"))
    for type_ in (OutgoingType.JOB_FAILED, OutgoingType.LINK_CREATED):
        told = await _send(account, _event(type_, now=Standing(state=state, link=LINK)))
        assert told == NeverTold(fault=TellFault.NOT_CONCERNED)


async def test_only_what_the_setting_names_is_told() -> None:
    """Here the link alone."""
    account = Account("11")

    assert await _send(account, _event(), '{"link": "onboarding_url"}') == Told(status=200)
    assert account.contacts["11"] == {"onboarding_url": LINK}
    not_told = await _send(account, _event(OutgoingType.LINK_ONBOARDED), '{"link": "onboarding_url"}')
    assert not_told == NeverTold(fault=TellFault.NOT_CONCERNED)


@pytest.mark.parametrize(
    "event",
    [
        _event(OutgoingType.INVITATION_SENT),
        _event(external_id=None),
        _event(external_id=""),
        _event(external_id="crm-7"),
        _event(external_id="11/../12"),
    ],
)
async def test_what_concerns_no_contact_is_dropped(event: OutgoingEvent) -> None:
    """Nothing is asked of HubSpot for it."""
    account = Account(raises=AssertionError("asked"))

    assert await _send(account, event) == NeverTold(fault=TellFault.NOT_CONCERNED)


async def test_a_contact_that_is_gone_is_not_told() -> None:
    """And not tried again."""
    assert await _send(Account(), _event()) == NeverTold(fault=TellFault.NOT_CONCERNED, status=404)


@pytest.mark.parametrize(
    ("error", "telling"),
    [
        (FetchLaterError("crm_unreachable"), NotTold(fault=TellFault.UNREACHABLE)),
        (
            FetchLaterError("crm_throttled", delay_s=7.0, is_failure=False),
            SinkBusy(fault=TellFault.THROTTLED, delay_s=7.0),
        ),
        (
            FetchLaterError("crm_throttled", is_failure=False),
            SinkBusy(fault=TellFault.THROTTLED, delay_s=30.0),
        ),
        (
            FetchRefusedError("crm_refused", "…"),
            SinkBusy(fault=TellFault.CREDENTIALS_REFUSED, delay_s=300.0),
        ),
        (PropertyRefusedError("crm_refused", "…"), SinkBusy(fault=TellFault.REFUSED, delay_s=300.0)),
    ],
)
async def test_a_try_is_used_up_only_by_an_outage(error: Exception, telling: Telling) -> None:
    """A rate, a token or a property is nothing that an event could be blamed for."""
    assert await _send(Account("11", raises=error), _event()) == telling


async def test_the_sink_is_for_hubspots_requests_only() -> None:
    """Its mark changes with what a person may have mended, and gives no secret away."""

    def values(**written: str) -> CrmValues:
        secrets = {name: SecretStr(value) for name, value in written.items()}
        return CrmValues(name="hubspot", values=secrets)

    found = sink_of(values(TOKEN="one", WRITE_BACK=EXAMPLE))
    other = sink_of(values(TOKEN="two", WRITE_BACK=EXAMPLE))

    assert found is not None
    assert other is not None
    assert (found[0].name, found[0].only_source) == ("hubspot", "crm:hubspot")
    assert found[0].mark != other[0].mark
    assert "one" not in found[0].mark
    assert sink_of(values(TOKEN="one")) is None
    with pytest.raises(SettingsError, match="LINKFERRY_CRM_HUBSPOT_WRITE_BACK"):
        sink_of(values(TOKEN="one", WRITE_BACK="{}"))


async def test_closing_the_sink_closes_its_client() -> None:
    """It has one of its own."""
    account = Account()
    await HubSpotSink(account, WriteBack.parse(EXAMPLE)).aclose()

    assert account.is_closed
