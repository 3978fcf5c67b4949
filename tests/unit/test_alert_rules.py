"""When something is told and when it is over, looked at every quarter of a minute by a clock turned by hand."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from worker.domain.alert_rules import QUIET_MS, Memory, decide, retry_after
from worker.domain.alerts import (
    AlertKind,
    ChannelFacts,
    Facts,
    HoldFacts,
    Incident,
    LaneFacts,
    ReasonFacts,
    SinkFacts,
    Thresholds,
    expiry_windows,
)
from worker.domain.states import Channel, Lane

EPOCH_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z
LOOK_S = 15.0
HOLD = HoldFacts(target="bulk", reason="unknown_17", since_ms=EPOCH_MS - 1000, waiting=3)


class World:
    """Looks at facts again and again, and keeps what the ledger would."""

    def __init__(self, **thresholds: Any) -> None:
        self.now_ms = EPOCH_MS
        self.limits = Thresholds(**thresholds)
        self.memory = Memory()
        self.open: dict[str, Incident] = {}
        self.told: list[tuple[str, str]] = []  #: (opened or ended, key)

    def look(self, **facts: Any) -> None:
        """Look once; time goes on afterwards."""
        decision = decide(
            Facts(now_ms=self.now_ms, **facts), self.limits, list(self.open.values()), self.memory
        )
        for trouble in decision.standing:
            known = self.open.get(trouble.key)
            if known is None:
                self.told.append(("opened", trouble.key))
                known = Incident(
                    id=f"alr_{len(self.told)}",
                    kind=trouble.kind,
                    scope=trouble.scope,
                    began_at_ms=trouble.since_ms or 0,
                    opened_at_ms=self.now_ms,
                    last_seen_ms=self.now_ms,
                )
            self.open[trouble.key] = dataclasses.replace(
                known, last_seen_ms=self.now_ms, count=trouble.count, params=trouble.params
            )
        for incident in decision.over:
            self.told.append(("ended", incident.key))
            del self.open[incident.key]
        # As the ledger has it: through JSON.
        self.memory = Memory.from_document(json.loads(json.dumps(decision.memory.document())))
        self.now_ms += round(LOOK_S * 1000)

    def look_for(self, seconds: float, **facts: Any) -> None:
        """Look at the same facts for so long."""
        for _ in range(round(seconds / LOOK_S)):
            self.look(**facts)

    def take_told(self) -> list[tuple[str, str]]:
        """Return what was told since the last time."""
        told, self.told = self.told, []
        return told


def live(**view: Any) -> dict[str, Any]:
    return {"lanes": {Lane.LIVE: LaneFacts(**({"free": 2, "waiting": 2} | view))}}


def bulk(**view: Any) -> dict[str, Any]:
    return {"lanes": {Lane.BULK: LaneFacts(**({"free": 9, "waiting": 9} | view))}}


def failing(**counts: int) -> dict[str, Any]:
    return {"reasons": {"unknown_17": ReasonFacts(**({"total": 100} | counts))}}


def mail(**view: Any) -> dict[str, Any]:
    return {"channels": {Channel.EMAIL: ChannelFacts(**view)}}


ONE_OF_EACH: list[tuple[str, dict[str, Any], float]] = [
    # what is told, the facts, how long they stand before it is
    ("hold bulk", {"holds": [HOLD]}, 0),
    ("hold batch:b7", {"holds": [dataclasses.replace(HOLD, target="batch:b7", is_explaining=True)]}, 60),
    ("calls_stopped credentials_held", {"closed": "credentials_held"}, 30),
    ("calls_stopped credentials_missing", {"closed": "credentials_missing", **live()}, 30),
    ("calls_stopped breaker_open", {"closed": "breaker_open"}, 600),
    ("calls_stopped partner_throttled", {"closed": "partner_throttled"}, 600),
    ("calls_stopped paused", {"closed": "paused"}, 3600),
    ("lane_paused bulk", bulk(free=0, is_paused=True), 3600),
    ("live_late live", live(oldest_s=61.0), 30),
    ("bulk_stalled bulk", bulk(taken=7), 600),
    ("failed_grows -", failing(hour=50), 0),
    ("links_missing -", {"links_missing": 40, "links_missing_since_ms": EPOCH_MS}, 0),
    ("reason_surges unknown_17", failing(recent=20, hour=20), 0),
    ("expiring dead:2026-09-22", {"expiring": {"dead:2026-09-22": 1}}, 0),
    ("expiring failed:2026-09-22", {"expiring": {"failed:2026-09-22": 3}}, 0),
    ("channel_stopped sms", {"channels": {Channel.SMS: ChannelFacts(waiting=1)}}, 600),
    ("messages_fail email", mail(failed=10, sent=10, last_sent_ms=EPOCH_MS), 0),
    ("channel_stopped email", mail(waiting=1, fault="mail_auth_refused"), 600),
    ("events_stopped webhook:endpoint_gone", {"sinks": [SinkFacts(sink="webhook", trouble="endpoint_gone", waiting=4)]}, 0),
    ("events_stopped webhook:endpoint_down", {"sinks": [SinkFacts(sink="webhook", trouble="endpoint_down", waiting=4)]}, 300),
]  # fmt: skip


@pytest.mark.parametrize(("key", "facts", "after_s"), ONE_OF_EACH, ids=[each[0] for each in ONE_OF_EACH])
def test_each_trouble_is_told_once_and_its_end_once(key: str, facts: dict[str, Any], after_s: float) -> None:
    """Not before it has stood for its time; however long it goes on, nothing more; five quiet minutes end it."""
    world = World()
    world.look_for(after_s, **facts)
    assert world.take_told() == []

    world.look_for(2 * LOOK_S, **facts)
    assert world.take_told() == [("opened", key)]
    world.look_for(3 * 3600, **facts)
    assert [each for each in world.take_told() if each[1] == key] == []

    world.look_for(QUIET_MS / 1000 - LOOK_S)
    assert [each for each in world.take_told() if each[1] == key] == []
    world.look()
    assert ("ended", key) in world.take_told()


def test_every_kind_has_its_line_above() -> None:
    """A new kind needs its time, its beginning and its end tested."""
    tested = {key.split()[0] for key, _, _ in ONE_OF_EACH}

    assert tested == {kind.value for kind in AlertKind if kind is not AlertKind.OTHER}


CALM: list[tuple[str, dict[str, Any]]] = [
    ("nothing at all", {}),
    ("a fresh installation without credentials and without jobs", {"closed": "credentials_missing"}),
    ("a live job within its time", live(oldest_s=60.0)),
    ("a live job behind a stop of all calls", {"closed": "partner_throttled", **live(oldest_s=300.0)}),
    ("a paused lane without jobs", bulk(free=0, waiting=0, is_paused=True)),
    ("bulk jobs behind a hold of their batch", bulk(free=0, taken=7)),
    ("a few failures of many reasons", failing(hour=49)),
    ("a reason that always fails so often", failing(recent=20, before=1000)),
    ("nineteen failures of one reason", failing(recent=19, hour=19)),
    ("dead letters, none near its end", {"expiring": {"dead:2026-09-22": 0}}),
    ("messages that fail among many that are sent", mail(failed=10, sent=11, last_sent_ms=2**53)),
    ("nine messages that fail", mail(failed=9)),
]


@pytest.mark.parametrize("facts", [facts for _, facts in CALM], ids=[name for name, _ in CALM])
def test_what_nobody_needs_to_hear_of_is_not_told(facts: dict[str, Any]) -> None:
    """Nine minutes of it."""
    world = World()

    world.look_for(540, **facts)

    assert world.take_told() == []


def test_what_comes_and_goes_is_one_incident() -> None:
    """A hold that is cleared and comes again within five minutes, ten times: one beginning, one end."""
    world = World()
    for _ in range(10):
        world.look_for(30, holds=[HOLD])
        world.look_for(240)
    world.look_for(600)

    assert world.take_told() == [("opened", "hold bulk"), ("ended", "hold bulk")]


def test_a_count_around_its_threshold_does_not_flap() -> None:
    """Opened at fifty, it goes on down to half of that."""
    world = World()
    for _ in range(30):
        world.look_for(360, **failing(hour=50))
        world.look_for(360, **failing(hour=26))
    assert world.take_told() == [("opened", "failed_grows -")]

    world.look_for(360, **failing(hour=24))
    assert world.take_told() == [("ended", "failed_grows -")]


def test_a_surge_that_lasts_does_not_become_the_usual() -> None:
    """Told once; it is over when the failures are, not when they have gone on for a day."""
    world = World()
    world.look(**failing(recent=30, before=72))
    assert world.take_told() == [("opened", "reason_surges unknown_17")]

    world.look_for(6 * 3600, **failing(recent=30, before=4000))
    assert world.take_told() == []
    world.look_for(360, **failing(recent=9, before=4000))
    assert world.take_told() == [("ended", "reason_surges unknown_17")]


def test_one_burst_is_one_alert() -> None:
    """What surges is told by its name; the growth of the queue is told only where other reasons make it."""
    world = World()
    world.look_for(600, **failing(recent=80, hour=80))
    world.look_for(2400, **failing(recent=0, hour=80))
    assert world.take_told() == [
        ("opened", "reason_surges unknown_17"),
        ("ended", "reason_surges unknown_17"),
    ]

    others = {f"unknown_{n}": ReasonFacts(recent=10, hour=10, total=10) for n in range(5)}
    world.look(reasons={**failing(hour=80)["reasons"], **others})
    assert world.take_told() == [("opened", "failed_grows -")]


def test_a_threshold_of_nought_tells_nothing() -> None:
    """Neither of the queue nor of a reason."""
    world = World(failed=0, surge=0)

    world.look_for(60, **failing(recent=1000, hour=1000))

    assert world.take_told() == []


def test_a_breaker_that_lets_probes_through_is_still_open() -> None:
    """A look that finds it closed for a moment does not begin the ten minutes anew."""
    world = World()
    for _ in range(12):
        world.look_for(45, closed="breaker_open")
        world.look()

    assert world.take_told() == [("opened", "calls_stopped breaker_open")]


def test_backfills_that_make_progress_do_not_stall() -> None:
    """One slot of the rate in ten minutes is progress; none is a stall, which progress ends."""
    world = World()
    for taken in range(10):
        world.look_for(570, **bulk(taken=taken))
    assert world.take_told() == []

    world.look_for(630, **bulk(taken=10))
    assert world.take_told() == [("opened", "bulk_stalled bulk")]
    for taken in range(11, 33):
        world.look(**bulk(taken=taken))
    assert world.take_told() == [("ended", "bulk_stalled bulk")]


def test_a_stop_of_all_calls_does_not_end_what_was_late_before() -> None:
    """Else an operator would read that all is well while nothing goes; nor is a stall told right after it."""
    world = World()
    world.look_for(60, **live(oldest_s=100.0))
    world.look_for(1200, closed="credentials_held", **live(oldest_s=900.0))
    assert world.take_told() == [("opened", "live_late live"), ("opened", "calls_stopped credentials_held")]

    fresh = World()
    fresh.look_for(540, **bulk(taken=3))
    fresh.look_for(540, closed="partner_throttled", **bulk(taken=3))
    fresh.look_for(540, **bulk(taken=3))
    assert fresh.take_told() == []


def test_a_mail_now_and_then_is_no_stopped_channel() -> None:
    """Messages that wait at a look are news only when none has gone out for ten minutes."""
    world = World()
    for _ in range(100):
        world.look(**mail(waiting=1, last_sent_ms=world.now_ms - 100_000))

    assert world.take_told() == []


def test_dead_letters_are_warned_of_day_by_day() -> None:
    """What ends on one day is an incident of its own, so that the next day's are warned of as well."""
    world = World()
    world.look(expiring={"dead:2026-09-21": 4, "dead:2026-09-22": 0})
    world.look(expiring={"dead:2026-09-21": 4, "dead:2026-09-22": 2})

    assert world.take_told() == [
        ("opened", "expiring dead:2026-09-21"),
        ("opened", "expiring dead:2026-09-22"),
    ]


def test_windows_of_expiry_hold_each_job_a_day_ahead_once() -> None:
    """Kept for 90 days: those of today that are left, and all of tomorrow; nothing where a day ahead is too late."""
    today, tomorrow = expiry_windows("dead", 90 * 86_400.0, EPOCH_MS)

    assert (today.scope, tomorrow.scope) == ("dead:2026-09-21", "dead:2026-09-22")
    assert today.from_ms == EPOCH_MS - 90 * 86_400_000
    assert today.before_ms == tomorrow.from_ms
    assert tomorrow.before_ms - tomorrow.from_ms == 86_400_000
    assert expiry_windows("dead", 86_400.0, EPOCH_MS) == []
    assert expiry_windows("dead", float("inf"), EPOCH_MS) == []


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_tells_nothing_that_is_not_so(jump_s: float) -> None:
    """What stands goes on as the same incident; what is over ends five minutes later by the new clock."""
    world = World()
    world.look_for(300, holds=[HOLD], closed="breaker_open")
    world.take_told()
    world.now_ms += round(jump_s * 1000)
    world.look_for(300, holds=[HOLD], closed="breaker_open")
    assert world.take_told() == [], "nobody saw the breaker open for ten minutes in a row"

    world.now_ms -= round(jump_s * 1000)
    world.look_for(285)
    assert world.take_told() == []
    world.look_for(60)
    assert world.take_told() == [("ended", "hold bulk")]


def test_after_nobody_looked_for_hours_an_end_has_to_be_seen() -> None:
    """All workers were down: five quiet minutes count from the first look on."""
    world = World()
    world.look(holds=[HOLD])
    world.now_ms += 7_200_000
    world.look_for(285)
    assert world.take_told() == [("opened", "hold bulk")]

    world.look_for(60)
    assert world.take_told() == [("ended", "hold bulk")]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([facts for _, facts, _ in ONE_OF_EACH] + [facts for _, facts in CALM]),
            st.integers(-7_200_000, 7_200_000) | st.just(0),
        ),
        max_size=60,
    )
)
def test_whatever_happens_beginnings_and_ends_alternate(steps: list[tuple[dict[str, Any], int]]) -> None:
    """For each incident: opened, ended, opened, …; and after half an hour of calm none is open."""
    world = World()
    for facts, jump_ms in steps:
        world.now_ms = max(world.now_ms + jump_ms, EPOCH_MS // 2)
        world.look(**facts)
    world.look_for(1800)

    assert world.open == {}
    by_key: dict[str, list[str]] = {}
    for what, key in world.told:
        by_key.setdefault(key, []).append(what)
    for told in by_key.values():
        assert told == ["opened", "ended"] * (len(told) // 2)


@pytest.mark.parametrize(
    "document", [{}, {"pending": 3}, {"looked_at_ms": "x"}, Memory().document() | {"pending": {"a": 1}}]
)
def test_a_memory_that_cannot_be_read_is_a_new_beginning(document: dict[str, Any]) -> None:
    """Another version may have left it."""
    assert Memory.from_document(document) == Memory()


def test_a_telling_is_tried_for_a_day() -> None:
    """After 5 s at first, then ever more seldom up to ten minutes."""
    waits = [retry_after(failures, age_s=0.0, chance=0.0) for failures in range(10)]

    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert retry_after(3, age_s=0.0, chance=0.5) == pytest.approx(42)
    assert retry_after(500, age_s=86_399.0, chance=0.0) == 600
    assert retry_after(1, age_s=86_400.0, chance=0.0) is None
