"""How long a watching command asks a server again that is away."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from linkferry import frame, patience
from linkferry.commands import backfill, batch_watch, status
from linkferry.frame import DONE, FAILED
from linkferry.patience import Patience
from worker.domain.states import JobState
from worker.ledger import LedgerUnavailable
from worker.limits import LimitsUnavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watching(clock: Clock) -> Patience:
    return Patience(subject="Act a1", again="linkferry act watch a1", now_s=clock)


def test_a_restart_is_waited_out_and_said_once(
    clock: Clock, watching: Patience, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each absence counts for itself."""
    for _ in range(3):
        for second in range(60):
            clock.now_s += 1 if second else 0
            assert not watching.is_over("refused")
        watching.answered()

    said = capsys.readouterr().err
    assert said.count("Redis does not answer (refused). Act a1 goes on where it stands; looking again.") == 3


def test_nobody_there_to_end_it_ends_it_after_a_minute(
    clock: Clock, watching: Patience, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what becomes of what was watched, and how to look again."""
    assert not watching.is_over("refused")
    clock.now_s += 60
    assert watching.is_over("refused")

    assert watching.give_up() == 1
    said = capsys.readouterr().err
    assert "Redis has not answered for 60 s: stopped watching; Act a1 goes on in the workers" in said
    assert said.endswith("linkferry act watch a1\n")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_on_a_terminal_a_person_decides(
    clock: Clock, watching: Patience, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    """Ctrl-C is at hand, however the other stream is piped."""
    monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True)
    assert not watching.is_over("refused")
    clock.now_s += 3600

    assert not watching.is_over("refused")


def test_what_has_no_course_of_its_own_is_only_looked_at_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As the status."""
    Patience(again="linkferry status --watch").is_over("refused")

    assert capsys.readouterr().err == "Redis does not answer (refused). Looking again.\n"
    assert patience.GIVEN_UP_AFTER_S > 30  # a restart with a large ledger takes a while


# --- those who watch -----------------------------------------------------------------------------------------


def batch_look(ended: int = 0, *, is_over: bool = False) -> dict[str, Any]:
    progress = {
        "jobs": 10,
        "ended": ended,
        "is_over": is_over,
        "import": "done",
        "read": 10,
        "failures": [],
        "spared": None,
        "stops": [],
        "rate": 5.0,
        "slots_taken": {"live": 0, "bulk": ended},
        "ahead": {"live": 0, "bulk": 0, "batches": 0},
        "eta_s": 2.0,
        "is_stuck": False,
    }
    jobs = {"available": 10 - ended, "scheduled": 0, "in_doubt": 0, "failed": 0, "linked": ended}
    return {"batch": "b", "name": "a.csv", "total": 10, "jobs": jobs, "progress": progress}


class Looks:
    """What a session answers, look after look; the last one for good."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.queries = SimpleNamespace(batch_progress=self.answer)
        self.ledger = SimpleNamespace(batches=SimpleNamespace(get=self.answer))

    async def answer(self, *_: Any) -> Any:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


AWAY = LedgerUnavailable("refused")


@pytest.fixture(autouse=True)
def _for_people() -> None:
    """Print for people, whatever a command before said."""
    frame.note_global_sandbox(is_sandbox=False)


async def test_a_batch_is_watched_through_a_restart(capsys: pytest.CaptureFixture[str]) -> None:
    """It was the end of the watching once, with a line that said that nothing may have been done."""
    looks = Looks(AWAY, LimitsUnavailable("loading"), batch_look(10, is_over=True))

    assert await batch_watch.watch(looks, "b", batch_look(), every_s=0.0) == DONE  # type: ignore[arg-type]
    captured = capsys.readouterr()
    assert captured.err.count("Batch b goes on where it stands; looking again.") == 1
    assert "Batch b has ended: 10 linked." in captured.out


async def test_a_batch_whose_server_stays_away_is_left_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, and how to look again."""
    monkeypatch.setattr(patience, "GIVEN_UP_AFTER_S", 0.0)

    assert await batch_watch.watch(Looks(AWAY), "b", batch_look(), every_s=0.0) == FAILED  # type: ignore[arg-type]
    captured = capsys.readouterr()
    assert (
        "Batch b goes on in the workers once it is back. Look again: linkferry batch watch b" in captured.err
    )
    assert "has ended" not in captured.out


async def test_a_backfill_that_waits_outlasts_a_restart() -> None:
    """And is no longer than a minute without Redis."""
    running = SimpleNamespace(jobs={JobState.AVAILABLE: 2})
    over = SimpleNamespace(jobs={JobState.LINKED: 2})
    told: list[dict[str, int]] = []
    stop = asyncio.Event()

    counts = await backfill.wait_for_batch(Looks(AWAY, over), "b", stop, told.append)  # type: ignore[arg-type]
    assert (counts, told, stop.is_set()) == ({"linked": 2}, [{"linked": 2}], False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "GIVEN_UP_AFTER_S", 0.0)
        counts = await backfill.wait_for_batch(Looks(running, AWAY), "b", stop, told.append)  # type: ignore[arg-type]
        assert (counts, stop.is_set()) == ({"available": 2}, True)
        with pytest.raises(LedgerUnavailable):
            await backfill.wait_for_batch(Looks(AWAY), "b", asyncio.Event(), told.append)  # type: ignore[arg-type]


async def test_the_status_is_not_watched_for_ever_where_nothing_is_to_be_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, not at every look; then it ends, with exit 1."""
    looks = Looks(AWAY, AWAY, AWAY, {"at": "2026-11-22T10:00:00Z"}, AWAY)
    shown: list[Any] = []

    async def missing(_session: Any) -> str:
        if not shown:  # from here on it stays away
            monkeypatch.setattr(patience, "GIVEN_UP_AFTER_S", 0.0)
        return ""

    monkeypatch.setattr(status, "read_status", looks.answer)
    monkeypatch.setattr(status, "what_is_missing", missing)
    monkeypatch.setattr(status, "_screen", lambda: nullcontext(lambda *look: shown.append(look)))

    assert await status._watch(looks, 0.0) == FAILED  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.count("Redis does not answer (refused). Looking again.") == 2
    assert said.rstrip().endswith("Look again: linkferry status --watch")
    assert len(shown) == 1
