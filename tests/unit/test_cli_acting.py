"""Watching a bulk act: to its end, to where nothing more can be done, or to Ctrl-C; each with its exit code."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from linkferry import frame, patience
from linkferry.commands import acting
from linkferry.frame import DONE, DONE_WITH_BAD_ROWS, FAILED, CommandError
from worker.ledger import LedgerUnavailable
from worker.limits import LimitsUnavailable
from worker.ops.words import said

NO_WORKER = said("act_waits_no_worker")


@pytest.fixture(autouse=True)
def _for_people() -> None:
    """Print for people, whatever a command before said."""
    frame.note_global_sandbox(is_sandbox=False)


def a_document(**changes: Any) -> dict[str, Any]:
    """Return a requeue of ten as `Acts` tells of it."""
    counts = dict.fromkeys(
        ("linked", "sent", "revoked", "failed_again", "ended_otherwise", "in_flight", "waiting"), 0
    )
    return {
        "act_id": "a1",
        "act": "requeue",
        "state": "running",
        "total": 10,
        "done": 10,
        "refused": {},
        "failed_by_reason": {},
        "stopped_because": None,
        "waits_for": None,
        "can_undo": False,
        "undone_by": None,
        "taken": 0,
        **counts,
        **changes,
    }


class Course:
    """A session whose one act goes through these documents, and stays at the last; an exception: nobody answers then."""

    def __init__(
        self, *documents: dict[str, Any] | Exception | None, interrupt_at: int | None = None
    ) -> None:
        self.documents = documents
        self.looks = 0
        self.steps = 0
        self._interrupt_at = interrupt_at
        self.acts = SimpleNamespace(get=self.get, step=self.step)

    async def get(self, _act_id: str) -> dict[str, Any] | None:
        found = self.documents[min(self.looks, len(self.documents) - 1)]
        self.looks += 1
        if self.looks == self._interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        if isinstance(found, Exception):
            raise found
        return found

    async def step(self, act_id: str) -> dict[str, Any] | None:
        self.steps += 1
        return await self.get(act_id)


async def follow(course: Course, *, is_driver: bool = False) -> int:
    return await acting.follow(course, "a1", is_driver=is_driver)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"state": "done", "linked": 10}, DONE),
        ({"state": "done", "linked": 8, "failed_again": 2}, DONE_WITH_BAD_ROWS),
        ({"state": "done", "done": 0, "refused": {"waits_already": 10}}, FAILED),
        (
            {
                "state": "stopped",
                "failed_again": 3,
                "waiting": 5,
                "stopped_because": said("act_stop_failed_again", failed=3, ended=3),
            },
            FAILED,
        ),
    ],
)
async def test_an_act_is_watched_to_its_end(
    capsys: pytest.CaptureFixture[str], end: dict[str, Any], code: int
) -> None:
    """What came of it is told, and the exit code says it to scripts."""
    course = Course(a_document(in_flight=5), a_document(**end))

    assert await follow(course) == code
    out = capsys.readouterr().out
    assert f"{a_document(**end)['done']} requeued." in out
    assert ("act continue a1" in out) == (end["state"] == "stopped")
    assert "still to come" not in out, "what a stopped act left is not coming by itself"
    assert ("--outcome failed_again" in out) == bool(end.get("failed_again"))


async def test_ctrl_c_leaves_an_act_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """How it stands is told, and how to look again."""
    course = Course(a_document(in_flight=5), interrupt_at=2)

    assert await follow(course) == FAILED
    captured = capsys.readouterr()
    assert "5 under way" in captured.out
    assert "act watch a1" in captured.err
    assert course.steps == 0, "who only watches does not drive"


async def test_a_driver_goes_no_further_than_without_a_worker_it_can(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The canaries wait for a worker: that is said, and is no failure."""
    canaries = {"done": 5, "in_flight": 5, "waiting": 5, "waits_for": NO_WORKER}
    course = Course(a_document(taken=5, **canaries), a_document(**canaries))

    assert await follow(course, is_driver=True) == DONE
    assert NO_WORKER["text"].split(".")[0] in capsys.readouterr().out
    assert course.steps == 2


async def test_what_an_act_waits_for_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Not at every look; nor is it missed where the step that let them go could see it already."""
    waits = {"in_flight": 5, "waits_for": said("act_waits_lane_paused")}
    paused = a_document(**waits)
    course = Course(a_document(taken=5, **waits), paused, paused, a_document(state="done", linked=10))

    assert await follow(course) == DONE
    assert capsys.readouterr().err.count("The bulk lane is paused") == 1


async def test_a_wait_that_comes_and_goes_is_said_once_until_it_is_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two jobs that have their turn nothing is waited for; after half a minute it is another wait."""
    waiting = a_document(in_flight=5, waits_for=said("act_waits_partner_throttled"))
    moving = a_document(in_flight=5)
    looks = (waiting, moving, waiting, moving)

    assert await follow(Course(*looks, a_document(state="done", linked=10))) == DONE
    assert capsys.readouterr().err.count("asked for a pause") == 1
    monkeypatch.setattr(acting, "_GONE_AFTER_S", -1.0)
    assert await follow(Course(*looks, a_document(state="done", linked=10))) == DONE
    assert capsys.readouterr().err.count("asked for a pause") == 2


async def test_tries_to_come_are_said_once_whenever_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Each look sees another next one, and in between one that is being made."""
    looks = [
        a_document(in_flight=5, waits_for=said("act_waits_retry", due_at=f"2026-11-22T10:00:0{second}.000Z"))
        for second in range(3)
    ]
    moving = a_document(in_flight=5)
    course = Course(looks[0], moving, looks[1], looks[2], a_document(state="done", linked=10))

    assert await follow(course) == DONE
    assert capsys.readouterr().err.count("tried again by itself") == 1


@pytest.mark.parametrize("is_driver", [True, False])
async def test_a_server_that_is_away_for_a_while_is_asked_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_driver: bool
) -> None:
    """It restarts: the act stands in it and goes on, so whoever watches is told that once, and then the end."""
    monkeypatch.setattr(acting, "_AGAIN_S", 0.0)
    away = LedgerUnavailable("Connection refused")
    course = Course(
        a_document(in_flight=5), away, LimitsUnavailable("Loading"), a_document(state="done", linked=10)
    )

    assert await follow(course, is_driver=is_driver) == DONE
    captured = capsys.readouterr()
    assert captured.err.count("Redis does not answer (Connection refused). Act a1 goes on") == 1
    assert "10 linked" in captured.out


async def test_ctrl_c_ends_the_wait_for_a_server_that_stays_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is known of the act, so nothing is told of it but how to look again."""
    course = Course(LedgerUnavailable("Connection refused"), interrupt_at=1)

    assert await follow(course) == FAILED
    captured = capsys.readouterr()
    assert "act watch a1" in captured.err
    assert not captured.out


@pytest.mark.parametrize("is_driver", [True, False])
async def test_without_a_terminal_a_server_that_stays_away_ends_the_watching(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_driver: bool
) -> None:
    """A script must not hang: exit 1, what was seen last, that the act itself goes on, and how to look again."""
    monkeypatch.setattr(acting, "_AGAIN_S", 0.0)
    monkeypatch.setattr(patience, "GIVEN_UP_AFTER_S", 0.0)
    course = Course(a_document(in_flight=5), LedgerUnavailable("Connection refused"))

    assert await follow(course, is_driver=is_driver) == FAILED
    captured = capsys.readouterr()
    assert "10 requeued." in captured.out
    assert "Act a1 goes on in the workers once it is back. Look again: linkferry act watch a1" in captured.err


async def test_an_act_that_is_forgotten_meanwhile_is_an_error() -> None:
    """Pruned, or never there."""
    with pytest.raises(CommandError, match="no act a1"):
        await follow(Course(None))
