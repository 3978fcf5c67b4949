"""What is said of an incident: in words that name what, since when and what to do, and never a person."""

from __future__ import annotations

import json
import re
from string import Formatter
from typing import Any

import pytest

from tests.repo import is_command, read_as_typed
from tests.unit.test_alert_rules import ONE_OF_EACH
from worker.dispatch import Sender
from worker.dispatch.alerts import compose_alert
from worker.domain.alert_rules import Memory, decide
from worker.domain.alert_words import ALERT_WORDS, Environment, alert_notice, alert_words, sample_notice
from worker.domain.alerts import AlertKind, AlertPhase, Facts, Incident, Thresholds, Trouble
from worker.domain.reasons import Catalogue
from worker.limits.values import ClosedReason

EPOCH_MS = 1_790_000_000_000
LIVE = Environment(is_sandbox=False, namespace="linkferry", public_url="https://ferry.example.com/")
SANDBOX = Environment(is_sandbox=True, namespace="acme-sandbox")


def incident_of(trouble: Trouble, **changes: Any) -> Incident:
    """Return what the ledger keeps of a trouble."""
    return Incident(
        **{
            "id": "alr_1",
            "kind": trouble.kind,
            "scope": trouble.scope,
            "began_at_ms": EPOCH_MS - 60_000,
            "opened_at_ms": EPOCH_MS,
            "last_seen_ms": EPOCH_MS,
            "count": trouble.count,
            "peak": trouble.count,
            "params": json.loads(json.dumps(dict(trouble.params))),
        }
        | changes
    )


def real_troubles() -> dict[str, Trouble]:
    """Return one trouble of each kind and scope as the rules make them."""
    found = {}
    for _, facts, _ in ONE_OF_EACH:
        memory = Memory(looked_at_ms=EPOCH_MS, bulk_taken=7, bulk_still_since_ms=EPOCH_MS - 900_000)
        for _ in range(3):
            decision = decide(Facts(now_ms=EPOCH_MS, **facts), Thresholds(), [], memory)
            memory = Memory.from_document(
                decision.memory.document()
                | {"pending": {key: [0, EPOCH_MS] for key in decision.memory.pending}}
            )
            found |= {trouble.key: trouble for trouble in decision.standing}
    return found


TROUBLES = real_troubles()


def test_every_trouble_above_is_put_into_words() -> None:
    """So that what follows looks at all of them."""
    assert set(TROUBLES) == {key for key, _, _ in ONE_OF_EACH}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
@pytest.mark.parametrize("phase", [AlertPhase.OPENED, AlertPhase.ENDED])
def test_every_incident_has_its_words(trouble: Trouble, phase: AlertPhase) -> None:
    """Whole sentences without a hole, a command that can be typed, a page of the console."""
    notice = alert_notice(incident_of(trouble, ended_at_ms=EPOCH_MS + 1000), phase, LIVE)

    assert not re.search(r"[{}]|None|  |\(\)|: \.", notice.text), notice.text
    assert "no words for it" not in notice.text
    assert notice.subject.startswith("[Linkferry live] ")
    assert len(notice.subject) < 140
    assert notice.url is not None
    assert notice.url.startswith("https://ferry.example.com/")
    assert "//" not in notice.url.removeprefix("https://")
    if phase is AlertPhase.OPENED:
        assert notice.commands
        assert "2026-09-21T14:12:20Z" in notice.text, "since when"
        if trouble.count:
            assert str(trouble.count) in notice.subject


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_every_command_can_be_typed(trouble: Trouble) -> None:
    """As it stands in the mail, with all that the command asks for; and for the sandbox with its option."""
    for typed in alert_words(incident_of(trouble), is_ended=False).commands:
        words = [word for word in typed.removeprefix("linkferry ").split() if not word.startswith("-")]
        assert is_command(words), typed
        read_as_typed(typed)
    for typed in alert_notice(incident_of(trouble), AlertPhase.OPENED, SANDBOX).commands:
        assert typed.startswith("linkferry --sandbox ")


def test_every_reason_for_which_calls_stop_has_words_of_its_own() -> None:
    """What an operator must do differs from one to the other."""
    never_long = {ClosedReason.DRAINING, ClosedReason.NO_SLOT}
    for reason in {*ClosedReason} - never_long:
        assert f"alert.calls_stopped.{reason.value}.means" in ALERT_WORDS
        assert f"alert.calls_stopped.{reason.value}.do" in ALERT_WORDS


def test_an_end_counts_nothing() -> None:
    """What is kept was counted when it was last seen, minutes ago: since then the jobs may all have been mended."""
    ends = {code: words for code, words in ALERT_WORDS.items() if code.endswith(".ended")}

    assert ends
    assert [code for code, words in ends.items() if "{count}" in words or "{total}" in words] == []


def test_every_template_is_used_by_some_incident() -> None:
    """A template that nothing leads to would be translated in vain."""
    used = {
        code
        for trouble in TROUBLES.values()
        for is_ended in (False, True)
        for code in alert_words(incident_of(trouble), is_ended=is_ended).codes.values()
    }
    rare = {code for code in ALERT_WORDS if ".other." in code or ".events_stopped.events_" in code}
    rare |= {"alert.channel_stopped.paused.means", "alert.channel_stopped.paused.do"}

    assert used <= set(ALERT_WORDS)
    assert set(ALERT_WORDS) - used - rare == set()


def test_a_hold_says_how_it_is_cleared() -> None:
    """A batch by its id, a lane by its name; the batch's file name is nowhere."""
    batch = Trouble(
        kind=AlertKind.HOLD, scope="batch:b7", params={"target": "batch:b7", "reason": "unknown_17"}
    )
    lane = Trouble(kind=AlertKind.HOLD, scope="live", params={"target": "live", "reason": "unknown_17"})

    assert "linkferry batch resume b7" in alert_notice(incident_of(batch), AlertPhase.OPENED, LIVE).text
    assert "linkferry resume --lane live" in alert_notice(incident_of(lane), AlertPhase.OPENED, LIVE).text
    assert "Batch b7 is held: unknown_17" in alert_notice(incident_of(batch), AlertPhase.OPENED, LIVE).subject


def test_a_hold_that_is_being_looked_up_asks_for_nothing_yet() -> None:
    """The look-up may clear it by itself: nobody is sent to mend what may be the rows' own data."""
    params = {"target": "live", "reason": "unknown_21", "outlook": "explaining"}
    hold = Trouble(kind=AlertKind.HOLD, scope="live", params=params)

    text = alert_notice(incident_of(hold), AlertPhase.OPENED, LIVE).text

    assert "What to do: Nothing yet: the partner's lists are being looked at." in text
    assert "mend the cause" not in text


def test_a_kind_of_another_version_is_told_all_the_same() -> None:
    """During an upgrade an older worker may tell what a newer one opened."""
    incident = incident_of(Trouble(kind=AlertKind("of_the_future"), scope="x", count=2))

    assert "x" in alert_notice(incident, AlertPhase.OPENED, LIVE).subject
    lacking = incident_of(Trouble(kind=AlertKind.REASON_SURGES, scope="unknown_17", count=2))
    assert alert_words(lacking, is_ended=False).title


def test_the_document_is_what_the_page_says() -> None:
    """Standard Webhooks' type, timestamp and data, and a `text` for chat tools."""
    trouble = TROUBLES["reason_surges unknown_17"]
    document = alert_notice(incident_of(trouble), AlertPhase.OPENED, LIVE).document()

    assert set(document) == {"type", "timestamp", "text", "data"}
    assert (document["type"], document["timestamp"]) == ("alert.opened", "2026-09-21T14:13:20Z")
    assert document["data"]["state"] == "open"
    assert document["data"]["params"]["reason"] == "unknown_17"
    assert document["data"]["environment"] == "live"
    assert json.loads(json.dumps(document)) == document
    ended = alert_notice(incident_of(trouble, ended_at_ms=EPOCH_MS + 2_000), AlertPhase.ENDED, LIVE)
    assert (ended.document()["type"], ended.document()["timestamp"]) == (
        "alert.ended",
        "2026-09-21T14:13:22Z",
    )
    assert ended.id != document["data"]["incident_id"]


def test_the_subject_names_the_environment() -> None:
    """The sandbox is unmistakable, and so is a namespace of one's own."""
    assert SANDBOX.label == "Linkferry sandbox, acme"
    assert Environment(is_sandbox=True, namespace="linkferry-sandbox").label == "Linkferry sandbox"
    assert Environment(is_sandbox=False, namespace="acme").label == "Linkferry live, acme"
    assert "nothing is wrong" in sample_notice("alr_test_1", EPOCH_MS, LIVE).subject


def test_the_mail_says_it_all_and_is_safe() -> None:
    """Plain text and HTML with the same words; what comes from a partner's code is escaped; sent twice it is the same."""
    hold = Trouble(kind=AlertKind.HOLD, scope="bulk", count=3, params={"target": "bulk", "reason": "<b>&"})
    notice = alert_notice(incident_of(hold), AlertPhase.OPENED, LIVE)
    sender = Sender.parse("Acme <links@acme.example>")

    mail = compose_alert(notice, sender, "ops@example.com")

    assert mail.subject == notice.subject
    for line in (*notice.lines, *notice.commands, notice.url or ""):
        assert line in mail.text
    assert "<b>&" not in mail.html
    assert "&lt;b&gt;&amp;" in mail.html
    assert mail.encode() == compose_alert(notice, sender, "ops@example.com").encode()
    assert mail.message_id != compose_alert(notice, sender, "dana@example.com").message_id


def test_templates_ask_for_what_can_be_filled() -> None:
    """Every name in every template is a word."""
    for template in ALERT_WORDS.values():
        assert all(name is None or name.isidentifier() for _, name, _, _ in Formatter().parse(template))


def test_reasons_spoken_of_in_words_are_the_catalogues() -> None:
    """The guards' own words have a meaning in the catalogue, too."""
    known = {reason.name for reason in Catalogue.shipped().all()}

    assert {"credentials_held", "credentials_missing", "breaker_open", "partner_throttled", "paused"} <= known


def test_a_channel_that_an_operator_paused_says_so() -> None:
    """Not that the provider refuses us; and the command lifts the pause."""
    params = {"channel": "sms", "fault": "paused"}
    trouble = Trouble(kind=AlertKind.CHANNEL_STOPPED, scope="sms", count=3, params=params)
    words = alert_words(incident_of(trouble), is_ended=False)

    assert "An operator paused the channel" in words.means
    assert words.commands == ("linkferry resume --channel sms",)
