"""monday.com: which events are followed, what is kept of them, and what an item becomes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from producers.crm import monday
from producers.crm.config import CrmValues
from producers.crm.model import (
    CrmEvent,
    NotAuthenticError,
    RawRequest,
    Reading,
    UnreadableError,
    Unwanted,
    Wanted,
)
from producers.crm.monday import Monday
from producers.crm.monday_api import Item
from producers.crm.monday_events import BoardMaps
from tests.monday_fake import API_TOKEN, BOARD, NOW, SIGNING_SECRET, an_event, an_update
from tests.repo import ROOT
from worker.domain.parse import ParsedRequest, ParseRules, parse_request
from worker.settings import SettingsError

MAP = {"whatsapp": "phone_1", "email": "email_1", "phone": "phone_1"}
ONLY_WON = {**MAP, "only_if": {"status": "won"}}


class MemoryItems:
    """monday's API without monday."""

    def __init__(self, *items: Item) -> None:
        self.held = {item.id: item for item in items}
        self.asked: list[Sequence[str]] = []
        self.is_closed = False

    async def items(self, ids: Sequence[str]) -> Mapping[str, Item]:
        self.asked.append(ids)
        return {each: self.held[each] for each in ids if each in self.held}

    async def aclose(self) -> None:
        self.is_closed = True


def an_item(**columns: Any) -> Item:
    usual = {"phone_1": "0541234567", "email_1": "dana@example.com", "status": "Won"}
    return Item(
        id="9876543210",
        name="Dana's Flowers",
        board_id=str(BOARD),
        group_name="Customers",
        columns={name: {"text": text} for name, text in {**usual, **columns}.items()},
    )


def a_crm(field_map: Mapping[str, Any] = MAP, **changes: Any) -> Monday:
    return Monday(**{"maps": BoardMaps(field_map), "boards": frozenset({str(BOARD)}), **changes})


def a_request(body: Any) -> RawRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawRequest(method="POST", headers={}, body=raw, received_at=NOW)


def reading_of(body: Any, crm: Monday | None = None) -> Reading:
    return (crm or a_crm()).read(a_request(body))


def event_of(body: Any, crm: Monday | None = None) -> CrmEvent:
    [event] = reading_of(body, crm).events
    return event


async def wanted_of(body: Any, crm: Monday) -> Wanted | Unwanted | None:
    recorded = json.loads(json.dumps(event_of(body, crm).body))
    [whole] = await crm.fetch([recorded])
    return None if whole is None else crm.wanted(whole)


async def fields_of(body: Any, crm: Monday) -> Mapping[str, str]:
    wanted = await wanted_of(body, crm)
    assert isinstance(wanted, Wanted)
    return wanted.fields


async def reason_of(body: Any, crm: Monday) -> str:
    wanted = await wanted_of(body, crm)
    assert isinstance(wanted, Unwanted)
    return wanted.reason


# --- events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["create_pulse", "create_item"])
def test_a_new_item_is_an_event(kind: str) -> None:
    """Known by its subscription and the uuid of what triggered it."""
    event = event_of(an_event(type=kind))

    assert event.key == "55:0123456789abcdef0123456789abcdef"
    assert event.body["pulseId"] == "9876543210"


def test_a_retry_is_the_same_event() -> None:
    """monday sends it once a minute for half an hour."""
    first, again = event_of(an_event()), event_of(an_event(isRetry=True, triggerTime="later"))

    assert (first.key, first.digest) == (again.key, again.digest)


@pytest.mark.parametrize("changes", [{"pulseId": 1}, {"pulseName": "Other"}, {"columnValues": {}}])
def test_the_same_key_with_another_item_or_values_is_told_apart(changes: dict[str, Any]) -> None:
    """A person has to look at it."""
    first, other = event_of(an_event()), event_of(an_event(**changes))

    assert first.key == other.key
    assert first.digest != other.digest


def test_only_what_the_map_reads_is_kept() -> None:
    """A board may hold anything; the user, too, is not our business."""
    kept = json.dumps(event_of(an_event()).body)

    assert "Owes us money" not in kept
    assert "userId" not in kept
    assert "dana@example.com" in kept


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (an_event(type="delete_pulse"), "unknown_type"),
        (an_event(type="update_name"), "unknown_type"),
        (an_event(type=None), "unknown_type"),
        (an_event(type=["create_pulse"]), "unknown_type"),
        (an_event(boardId=99), "unknown_board"),
        (an_update("notes", {"text": "Owes us more"}), "irrelevant_column"),
        (an_update("pulseName", "x", columnId=["status"]), "irrelevant_column"),
    ],
)
def test_what_is_not_followed_is_acked_with_its_reason(body: dict[str, Any], reason: str) -> None:
    """monday would send it again otherwise."""
    reading = reading_of(body)

    assert (list(reading.events), list(reading.skipped)) == ([], [reason])
    assert reading.answer.status == 200


def test_a_column_that_decides_is_relevant() -> None:
    """The usual way: an item is followed once its status says so."""
    update = an_update("status", {"label": {"index": 1, "text": "Won"}})

    assert reading_of(update).skipped == ["irrelevant_column"]
    assert event_of(update, a_crm(ONLY_WON)).body["values"] == {"status": "Won"}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"event": None},
        {"challenge": "a", "more": "b"},
        {"challenge": 1},
        an_event(pulseId=None),
        an_event(pulseId="../1"),
        an_event(pulseId=True),
        an_event(boardId=-1),
        an_event(subscriptionId=None),
        an_event(triggerUuid=None),
        an_event(triggerUuid="a b"),
        an_event(pulseName="\ud800"),
    ],
)
def test_what_monday_does_not_send_is_refused(body: Any) -> None:
    """Under the right path it is told what is wrong; what can't even be read names no board."""
    with pytest.raises((UnreadableError, NotAuthenticError)):
        reading_of(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(
        ["columnValues", "pulseName", "groupName", "type", "boardId", "triggerUuid", "columnId", "value"]
    ),
    st.booleans(),
)
def test_any_json_anywhere_is_an_event_a_skip_or_refused(value: Any, name: str, is_update: bool) -> None:
    """And what is recorded can be mapped."""
    body = an_update("status", {}) if is_update else an_event()
    body["event"][name] = value
    crm = a_crm(ONLY_WON)
    with suppress(UnreadableError, NotAuthenticError):
        for event in reading_of(body, crm).events:
            assert isinstance(crm.wanted(json.loads(json.dumps(event.body))), Wanted | Unwanted)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing but the two refusals comes out."""
    with suppress(UnreadableError, NotAuthenticError):
        a_crm().verify(a_request(body))
        reading_of(body)


def test_without_a_signing_secret_a_handshake_needs_nothing() -> None:
    """The path cannot be guessed."""
    reading = reading_of({"challenge": "abc"})

    assert json.loads(reading.answer.body) == {"challenge": "abc"}
    assert not reading.events


# --- what an item becomes ----------------------------------------------------------------------------------


async def test_an_event_that_says_enough_costs_no_call() -> None:
    """Form answers are in the event."""
    api = MemoryItems()

    assert await fields_of(an_event(), a_crm(api=api)) == {
        "business_name": "Dana Flowers",
        "display_name": "Dana Flowers",
        "external_id": "9876543210",
        "whatsapp": "+972541234567",
        "phone": "+972541234567",
        "email": "dana@example.com",
    }
    assert api.asked == []


@pytest.mark.parametrize(
    "body",
    [
        an_event(columnValues={}),
        an_event(columnValues=None),
        an_event(columnValues={"phone_1": {"phone": "0541234567"}}),
        an_update("phone_1", {"phone": "0540000000"}),
    ],
)
async def test_what_an_event_lacks_is_fetched(body: dict[str, Any]) -> None:
    """An update tells one column; what monday says now is what counts."""
    api = MemoryItems(an_item())
    crm = a_crm(api=api)
    fields = await fields_of(body, crm)

    assert api.asked == [["9876543210"]]
    assert (fields["whatsapp"], fields["email"]) == ("0541234567", "dana@example.com")
    assert fields["business_name"] == "Dana's Flowers"
    assert crm.would_fetch(event_of(body, crm).body) == "item 9876543210 with its columns"


async def test_a_missing_nicety_is_not_worth_a_call() -> None:
    """Empty columns are simply not in an event; a plan has 1,000 calls a day."""
    api = MemoryItems()
    crm = a_crm({**MAP, "reference": "text_9", "business_id": "text_8"}, api=api)

    assert "reference" not in await fields_of(an_event(), crm)
    assert api.asked == []
    assert crm.would_fetch(event_of(an_event(), crm).body) is None


async def test_an_item_that_does_not_match_costs_no_call() -> None:
    """Unless the event does not say what decides."""
    api = MemoryItems(an_item(status="Lost"))
    crm = a_crm(ONLY_WON, api=api)

    lost = an_event(columnValues={"status": {"label": {"text": "Lost"}}})
    assert await reason_of(lost, crm) == "filtered"
    assert api.asked == []
    assert await reason_of(an_event(columnValues={"phone_1": {"phone": "1"}}), crm) == "filtered"
    assert len(api.asked) == 1


async def test_a_hundred_events_are_one_question() -> None:
    """Only for those that need it, and each gets its own answer."""
    api = MemoryItems(an_item())
    crm = a_crm(api=api)
    bodies = [
        event_of(body, crm).body
        for body in (an_event(), an_event(columnValues={}), an_event(columnValues={}, pulseId=5))
    ]
    wholes = await crm.fetch(bodies)

    assert api.asked == [["9876543210", "5"]]
    assert wholes[0] == bodies[0]
    assert wholes[1] is not None
    assert wholes[2] is None


async def test_an_item_that_is_gone_is_none() -> None:
    """Deleted or archived since."""
    assert await wanted_of(an_event(columnValues={}), a_crm(api=MemoryItems())) is None


@pytest.mark.parametrize("body", [an_event(columnValues={}), an_update("phone_1", {"phone": "0541234567"})])
async def test_without_a_token_what_an_event_lacks_is_missing(body: dict[str, Any]) -> None:
    """An update is not taken for the whole item: a link that nobody is sent helps nobody."""
    assert await reason_of(body, a_crm()) == "incomplete"
    assert a_crm().would_fetch(event_of(body).body) is None


async def test_an_update_that_tells_all_there_is_to_know_is_followed_without_a_token() -> None:
    """A map of one column."""
    fields = await fields_of(an_update("phone_1", {"phone": "0541234567"}), a_crm({"whatsapp": "phone_1"}))

    assert (fields["whatsapp"], fields["business_name"]) == ("0541234567", "Dana Flowers")


async def test_a_column_that_the_board_has_not_is_not_asked_for_twice() -> None:
    """It counts as empty."""
    crm = a_crm({"whatsapp": "phone_1", "email": "nowhere"}, api=MemoryItems(an_item()))

    assert "email" not in await fields_of(an_update("phone_1", {"phone": "1"}), crm)


async def test_an_item_that_moved_to_another_board_is_not_followed() -> None:
    """Nobody who knows the path can have items of other boards read through it."""
    moved = Item(id="9876543210", name="x", board_id="99", group_name="", columns={})

    assert await reason_of(an_event(columnValues={}), a_crm(api=MemoryItems(moved))) == "unknown_board"


async def test_each_board_may_have_its_own_columns() -> None:
    """Column ids belong to a board. A board without a map is not heard."""
    maps = {
        "boards": {
            str(BOARD): {"whatsapp": "phone_1"},
            "77": {"whatsapp": "text_1", "reference": "groupName"},
        }
    }
    crm = a_crm(maps, boards=None)

    assert (await fields_of(an_event(), crm))["whatsapp"] == "+972541234567"
    other = await fields_of(an_event(boardId=77, columnValues={"text_1": {"value": "052"}}), crm)
    assert (other["whatsapp"], other["reference"]) == ("052", "New customers")
    assert reading_of(an_event(boardId=78), crm).skipped == ["unknown_board"]


async def test_the_item_itself_can_be_mapped() -> None:
    """Its name, id, board and group."""
    field_map = {"whatsapp": {"const": "coexistence"}, "reference": "boardId", "name": "groupName"}
    fields = await fields_of(an_event(columnValues={}), a_crm(field_map))

    assert fields["reference"] == str(BOARD)
    assert fields["name"] == "New customers"
    assert fields["external_id"] == "9876543210"


async def test_the_samples_of_the_page_are_true() -> None:
    """What an operator copies becomes what the page says."""
    page = (ROOT / "docs/crm/monday.md").read_text(encoding="utf-8")
    field_map, sample = map(json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    fields = await fields_of(sample, a_crm(field_map))

    assert (fields["whatsapp"], fields["business_name"]) == ("+972541234567", "Dana Flowers")
    assert isinstance(parse_request(fields, ParseRules()), ParsedRequest)
    assert all(f"`LINKFERRY_CRM_MONDAY_{key}`" in page for key in monday.KEYS if key != "API_URL")


# --- settings ----------------------------------------------------------------------------------------------


def configured(*, is_trial: bool = False, **values: str) -> Monday:
    secrets = {name: SecretStr(text) for name, text in values.items()}
    return monday.configure(CrmValues(name="monday", values=secrets, is_trial=is_trial))


async def test_it_is_configured_from_its_settings() -> None:
    """With all of them, and with the fewest."""
    crm = configured(
        SIGNING_SECRET=SIGNING_SECRET,
        URL="https://links.example.com",
        BOARDS=f" {BOARD} , 77",
        TOKEN=API_TOKEN,
        API_URL="http://127.0.0.1:1/v2/",
        MAP=json.dumps(MAP),
    )
    assert crm.would_fetch(event_of(an_event(columnValues={}), a_crm()).body)
    await crm.aclose()
    assert reading_of(an_event(boardId=9), configured(BOARDS="9", MAP=json.dumps(MAP))).events


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "LINKFERRY_CRM_MONDAY_BOARDS is missing, and without a signing secret"),
        ({"BOARDS": "my board"}, "LINKFERRY_CRM_MONDAY_BOARDS must be boards' ids"),
        ({"BOARDS": "1"}, "LINKFERRY_CRM_MONDAY_MAP is no field map: it says nothing of whatsapp"),
        ({"BOARDS": "1", "MAP": '{"boards": {"7": {}}}'}, "boards: 7: it says nothing of whatsapp"),
        (
            {"BOARDS": "1", "TOKEN": "t", "API_URL": "api.monday.com", "MAP": '{"product": "text"}'},
            "LINKFERRY_CRM_MONDAY_API_URL must be",
        ),
        ({"BOARDS": "1", "MAP": '{"boards": {}}'}, "LINKFERRY_CRM_MONDAY_MAP is no field map: boards"),
        ({"BOARDS": "1", "MAP": '{"boards": {"x": {}}}'}, "x is no board's id"),
        ({"BOARDS": "1", "MAP": '{"boards": {"1": 2}}'}, "boards: 1: write a map"),
        ({"BOARDS": "1", "MAP": '{"boards": {"1": {"emial": "x"}}}'}, "boards: 1: emial"),
        ({"BOARDS": "1", "MAP": '{"emial": "x"}'}, "Did you mean email"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(values: dict[str, str], told: str) -> None:
    """Before the first event comes."""
    with pytest.raises(SettingsError, match=told):
        configured(**values)


def test_a_trial_takes_any_board_and_says_what_is_wrong() -> None:
    """`linkferry crm test` needs no settings, and speaks to who owns the sample."""
    crm = configured(is_trial=True, SIGNING_SECRET=SIGNING_SECRET, BOARDS="1")

    assert reading_of(an_event(), crm).events
    with pytest.raises(UnreadableError, match="line 1"):
        reading_of(b"{", crm)


async def test_what_is_open_is_closed() -> None:
    """With or without an API."""
    api = MemoryItems()
    await a_crm(api=api).aclose()
    await a_crm().aclose()

    assert api.is_closed
