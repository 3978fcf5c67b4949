"""`linkferry crm …` and what doctor says of CRMs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.crm_web import BEARER, PATH, SOURCE, customer
from worker.domain.event import EventDone, EventFailed, EventRetry, EventSkipped, NewEvent
from worker.domain.ids import new_event_id
from worker.domain.parse import Problem
from worker.ledger import Ledger

pytestmark = pytest.mark.redis

NUMBER = "0501234567"
CONTACT = [{"eventId": 1, "subscriptionId": 1, "portalId": 1, "occurredAt": 1564113600000, "appId": 1}]
THIN = [CONTACT[0] | {"subscriptionType": "contact.creation", "attemptNumber": 0, "objectId": 123}]


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_PATH", PATH)
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_BEARER", BEARER)
    monkeypatch.setenv("LINKFERRY_PUBLIC_URL", "https://ferry.example.com/")


def sample(document: Any, name: str = "sample.json") -> str:
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    Path(name).write_text(text, encoding="utf-8")
    return name


def an_event(chance: int, body: dict[str, Any], *, source: str = SOURCE) -> NewEvent:
    return NewEvent(
        id=new_event_id(now_ms=1_790_000_000_000, chance=chance),
        source=source,
        key=f"k{chance}",
        digest="d",
        body=json.dumps(body),
    )


FAILED = EventFailed(
    reason="invalid_request", problems=(Problem("email", "no_at", "email has no @", "Write one."),)
)


def record(cli: Cli, *outcomes: Any, source: str = SOURCE) -> list[str]:
    """Record an event for each outcome and bring it there (None: it waits); return the ids."""

    async def on(ledger: Ledger) -> list[str]:
        events = [an_event(each, customer(NUMBER), source=source) for each in range(len(outcomes))]
        await ledger.intake.record(events, max_waiting=100)
        claimed = await ledger.intake.claim_due(source, want=100, worker_id="w", lease_s=60)
        leases = {each.id: each.lease for each in claimed}
        by_id = dict(zip([event.id for event in events], outcomes, strict=True))
        back = EventRetry(reason="crm_refused", delay_s=300, max_failures=None)
        await ledger.intake.settle([(leases[each], by_id[each] or back) for each in by_id])
        return list(by_id)

    return list(cli.on_ledger(on))


# --- test --------------------------------------------------------------------------------------------------


def test_a_body_is_shown_as_the_request_it_would_become(cli: Cli) -> None:
    """Field by field with its source, product by product with what the partner gets; no setting is needed."""
    body = customer(NUMBER, product="whatsapp;facebook:1", event_id="e1")
    document = cli.json("crm", "test", "generic", sample(body))

    [event] = document["events"]
    assert (event["key"], event["outcome"]) == ("id:e1", "request")
    assert {"field": "whatsapp", "value": NUMBER, "from": "/whatsapp"} in event["fields"]
    assert [each["product"] for each in event["products"]] == ["whatsapp", "facebook:1"]
    assert event["products"][0]["partner"]["whatsapp"] == "972501234567"
    assert event["contact"]["email"] == "dana@example.com"
    text = cli("crm", "test", "generic", "sample.json").stdout
    assert "from /whatsapp" in text
    assert "The partner is asked for facebook:1" in text
    assert cli.json("status")["jobs"]["available"] == 0


def test_a_bad_body_is_explained_field_by_field(cli: Cli) -> None:
    """Each problem with the source it came from; exit 3, as for bad rows."""
    body = [customer("12"), customer(NUMBER, email="x"), {"name": "Dana"}]
    document = cli.json("crm", "test", "generic", sample(body), expect=3)

    assert [each["outcome"] for each in document["events"]] == [
        "invalid_request",
        "invalid_request",
        "skipped",
    ]
    problem = document["events"][1]["problems"][0]
    assert (problem["field"], problem["from"]) == ("email", "/email")
    assert problem["remedy"]
    assert document["events"][2]["reason"] == "incomplete"
    text = cli("crm", "test", "generic", "sample.json").stdout
    assert "email (from /email): email has no @" in text
    assert "skipped (incomplete)" in text


def test_a_map_can_be_tried_before_it_is_set(cli: Cli) -> None:
    """`--map` replaces the setting; its mistakes are told by the file's name."""
    body = sample({"tel": NUMBER, "org": "Dana Flowers"})
    good = sample({"whatsapp": "/tel", "business_name": "/org"}, "map.json")
    document = cli.json("crm", "test", "generic", body, "--map", good)
    assert document["events"][0]["outcome"] == "request"

    bad = cli("crm", "test", "generic", body, "--map", sample({"whatsap": "/tel"}, "bad.json"))
    assert bad.exit_code == 2
    assert (
        "--map bad.json is no field map: whatsap is no field of a request. Did you mean whatsapp?"
        in bad.output
    )
    assert cli("crm", "test", "generic", body, "--map", sample("[]", "list.json")).exit_code == 2
    assert cli("crm", "test", "generic", body, "--map", "nowhere.json").exit_code == 2


def test_thin_events_say_what_would_be_fetched(cli: Cli) -> None:
    """Nothing is fetched unless it is asked for, and in the sandbox not even then."""
    body = sample(THIN)
    document = cli.json("crm", "test", "hubspot", body)

    [event] = document["events"]
    assert event["outcome"] == "to_fetch"
    assert "contact 123" in event["detail"]
    refused = cli("--sandbox", "crm", "test", "hubspot", body, "--fetch")
    assert refused.exit_code == 2
    assert "the sandbox calls nobody outside" in refused.output
    assert cli.json("crm", "test", "hubspot", body, "--sandbox")["events"][0]["outcome"] == "to_fetch"


def test_a_crm_that_cannot_be_asked_is_told_plainly(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --fetch and nobody at the other end: one line, exit 3."""
    monkeypatch.setenv("LINKFERRY_CRM_HUBSPOT_API_URL", "http://127.0.0.1:9")
    document = cli.json("crm", "test", "hubspot", sample(THIN), "--fetch", expect=3)

    assert document["events"][0]["outcome"] == "not_fetched"
    assert document["events"][0]["reason"] == "crm_unreachable"


def test_what_makes_no_sense_is_one_line(cli: Cli) -> None:
    """A broken sample, one that is not there, a CRM that is unknown."""
    broken = cli("crm", "test", "generic", sample("{"))
    assert (broken.exit_code, broken.output.count("\n")) == (1, 1)
    assert "line 1, column 2" in broken.output
    assert cli("crm", "test", "salesforce", sample("<x")).exit_code == 1
    assert cli("crm", "test", "generic", "nowhere.json").exit_code == 2
    unknown = cli("crm", "test", "hubspt", "sample.json")
    assert unknown.exit_code == 2
    assert "Did you mean hubspot?" in unknown.output


def test_a_sample_may_come_by_a_pipe(cli: Cli) -> None:
    """`-` is standard input."""
    result = cli("crm", "test", "generic", "-", stdin=json.dumps(customer(NUMBER)))

    assert result.exit_code == 0
    assert "a request" in result.stdout


# --- list, events, show ------------------------------------------------------------------------------------


def test_the_list_shows_who_is_on_and_hides_the_path(cli: Cli, switched_on: None) -> None:
    """The URL is what keeps strangers out: it is shown whole only when asked for."""
    record(cli, FAILED, EventSkipped(reason="filtered"))
    items = {item["crm"]: item for item in cli.json("crm", "list")["items"]}

    assert {name for name, item in items.items() if item["is_on"]} == {"generic"}
    assert items["generic"]["url"] == f"https://ferry.example.com/crm/generic/{PATH[:4]}…"
    assert items["generic"]["events"]["failed"] == 1
    assert items["generic"]["last_event_at"]
    assert items["hubspot"]["url"] is None
    plain = cli("crm", "list").output
    assert PATH not in plain
    assert PATH in cli("crm", "list", "--show-path").output


def test_the_list_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret without a path is off; a path without PUBLIC_URL is half an address; a slip of the pen is an error."""
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_BEARER", BEARER)
    assert "LINKFERRY_CRM_GENERIC_PATH is not, so it is off" in cli("crm", "list").output
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_PATH", PATH)
    assert "LINKFERRY_PUBLIC_URL is not set" in cli("crm", "list").output
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_BAERER", BEARER)
    assert cli("crm", "list").exit_code == 2


def test_events_are_listed_by_state_and_crm(cli: Cli) -> None:
    """Without what they said; a page tells how to go on."""
    [failed, skipped] = record(cli, FAILED, EventSkipped(reason="filtered"))
    page = cli.json("crm", "events", "--state", "failed", "--source", "generic")

    assert [item["event_id"] for item in page["items"]] == [failed]
    assert "body" not in page["items"][0]
    assert cli.json("crm", "events", "--source", "hubspot")["items"] == []
    assert [item["event_id"] for item in cli.json("crm", "events", "--reason", "filtered")["items"]] == [
        skipped
    ]
    assert "--cursor" in cli("crm", "events", "--limit", "1").output
    assert cli("crm", "events", "--state", "broken").exit_code == 2
    assert cli("crm", "events", "--cursor", "x").exit_code == 2


def test_one_event_is_shown_masked(cli: Cli) -> None:
    """With its problems and its body; whole only with --reveal."""
    [failed] = record(cli, FAILED)
    text = cli("crm", "show", failed).output
    assert "email has no @" in text
    assert NUMBER not in text
    assert NUMBER in cli("crm", "show", failed, "--reveal").output
    assert cli.json("crm", "show", failed)["reason"] == "invalid_request"
    assert cli("crm", "show", "nobody").exit_code == 1


def test_a_contact_that_was_left_as_it_was_is_shown_with_the_remedy(cli: Cli) -> None:
    """Nobody else tells that a corrected address gets no invitation."""
    [told, plain] = record(
        cli,
        EventDone(job_ids=("01k8v5w0qr7c3h2m9n4pw",), is_new=False, contact_differs=True),
        EventDone(job_ids=("01k8v5w0qr7c3h2m9n4pw",), is_new=False),
    )

    assert "linkferry resend 01k8v5w0qr7c3h2m9n4pw --to ADDRESS" in cli("crm", "show", told).output
    assert cli.json("crm", "show", told)["contact_differs"] is True
    assert "resend" not in cli("crm", "show", plain).output


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("events", "--source", "nope"), "generic, hubspot, monday, salesforce"),
        (("events", "--source", "crm:nope"), "generic, hubspot, monday, salesforce"),
        (("events", "--reason", "typo"), "altered, conflict, crm_refused"),
        (("retry", "--reason", "typo", "--yes"), "altered, conflict, crm_refused"),
        (("retry", "--source", "nope", "--yes"), "generic, hubspot"),
        (("discard", "--source", "generic", "--reason", "typo", "--yes"), "altered, conflict"),
    ],
)
def test_a_source_or_reason_that_nobody_knows_is_refused(
    cli: Cli, words: tuple[str, ...], known: str
) -> None:
    """Naming those there are: `0 done` would read as if all were well."""
    result = cli("crm", *words)

    assert (result.exit_code, known in result.stderr) == (2, True), result.output


def test_a_source_of_another_build_can_be_looked_at(cli: Cli) -> None:
    """What stands in the ledger is known, and so is each CRM that never told of an event."""

    async def recorded(ledger: Ledger) -> None:
        event = NewEvent(id="evt1", source="crm:pipedrive", key="1", digest="d", body="{}")
        await ledger.intake.record([event], max_waiting=10, durable=False)

    cli.on_ledger(recorded)

    assert cli.json("crm", "events", "--source", "pipedrive")["total"] == 1
    assert cli.json("crm", "events", "--source", "HubSpot")["total"] == 0


# --- retry, discard ----------------------------------------------------------------------------------------


def test_failed_events_are_retried_in_bulk(cli: Cli) -> None:
    """Exactly those that match, with why; without --yes and a terminal nothing is done."""
    [first, second, skipped] = record(
        cli, FAILED, EventFailed(reason="conflict"), EventSkipped(reason="filtered")
    )
    assert cli("crm", "retry", "--all").exit_code == 2
    assert cli("crm", "retry").exit_code == 2

    assert cli.json("crm", "retry", "--reason", "conflict", "--yes", "--why", "mended")["done"] == 1
    assert cli.json("crm", "show", second)["state"] == "waiting"
    assert cli.json("crm", "show", second)["history"][0]["why"] == "mended"
    assert cli.json("crm", "retry", "--all", "--yes")["done"] == 1
    assert cli.json("crm", "show", first)["state"] == "waiting"
    assert cli.json("crm", "retry", skipped, expect=1)["not_eligible"] == {"it is skipped": 1}
    assert cli.json("crm", "retry", "--all", "--yes")["done"] == 0


def test_an_event_is_discarded_by_its_id(cli: Cli) -> None:
    """It is skipped for good, and what it said is gone."""
    [failed] = record(cli, FAILED)

    assert cli.json("crm", "discard", failed, "--why", "ours")["done"] == 1
    shown = cli.json("crm", "show", failed)
    assert (shown["state"], shown["reason"], shown["body"]) == ("skipped", "discarded", None)
    assert cli.json("crm", "discard", "nobody", expect=1)["not_eligible"] == {"there is no such event": 1}


# --- doctor, config ----------------------------------------------------------------------------------------


def about_crms(cli: Cli) -> list[dict[str, str]]:
    findings = cli.json("doctor", expect=1)["findings"]
    return [finding for finding in findings if finding["about"] == "crm"]


def test_doctor_says_how_the_crms_do(cli: Cli, switched_on: None) -> None:
    """No event yet, then when the last one came; failed ones with the command that shows them."""
    assert [(each["level"], each["text"]) for each in about_crms(cli)] == [
        ("ok", "generic is set up."),
        ("warn", "generic has told of no event yet."),
    ]
    cli.on_ledger(lambda ledger: ledger.fleet.add_stats({"crm_events|crm=generic|outcome=recorded": 7}))
    assert ("ok", "generic has told of 7 events so far, and of none in the last days.") in {
        (each["level"], each["text"]) for each in about_crms(cli)
    }
    record(cli, FAILED, None)
    found = {each["text"]: each for each in about_crms(cli)}
    assert any(text.startswith("generic last told of an event") for text in found)
    assert (
        "crm events --state failed --source generic" in found["1 events of generic need a person."]["remedy"]
    )
    [refused] = [each for text, each in found.items() if "crm_refused" in text]
    assert refused["level"] == "bad"


def test_doctor_says_nothing_of_crms_that_nobody_uses(cli: Cli) -> None:
    """No noise."""
    assert about_crms(cli) == []


def test_doctor_tells_of_wrong_settings_and_of_events_left_behind(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps web and worker from starting is told first; events of a CRM that is off wait."""
    record(cli, None, source="crm:hubspot")
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_PATH", "short")
    texts = [each["text"] for each in about_crms(cli)]

    assert texts[0].startswith("LINKFERRY_CRM_GENERIC_PATH must be")
    assert "1 events wait, but hubspot is off." in texts


def test_web_and_worker_refuse_wrong_crm_settings(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and exit 2, before anything runs."""
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_PATH", "short")
    for name in ("web", "worker"):
        result = cli(name)
        assert result.exit_code == 2
        assert result.output.startswith("LINKFERRY_CRM_GENERIC_PATH must be")
