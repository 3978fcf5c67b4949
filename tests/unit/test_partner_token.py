"""The token keeper: one token call for everybody, early renewal, and never a second try with refused credentials."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest

from tests.partner_fakes import MemoryGuard, MemoryTokens
from worker.domain.outcome import Answered, Ending, NotDone, Unanswered
from worker.domain.token import StoredToken
from worker.partner.token import TokenKeeper, TokenReply, life_of

NOW_MS = 1_790_000_000_000


class ManualClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def now(self) -> object:
        raise AssertionError

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Partner:
    """Answers token calls; each new token has a number."""

    def __init__(self, clock: ManualClock, life_s: float = 3_600) -> None:
        self.clock = clock
        self.life_s = life_s
        self.calls = 0
        self.ending: Ending | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self) -> TokenReply:
        self.calls += 1
        nth = self.calls
        await self.open.wait()
        if self.ending is not None:
            return TokenReply(self.ending)
        end = str(int(self.clock.now_ms() / 1000 + self.life_s))
        body = {"access_token": f"token-{nth}", "expiration_time": end, "reason": 1}
        return TokenReply(Answered(is_ok=True, code=1, body=body, http_status=200))


class Rig:
    """A keeper with everything around it."""

    def __init__(self, life_s: float = 3_600, **parts: object) -> None:
        self.clock = ManualClock()
        self.partner = Partner(self.clock, life_s)
        self.store = MemoryTokens()
        self.guard = MemoryGuard()
        self.parts = parts
        self.keeper = self.another_process()

    def another_process(self) -> TokenKeeper:
        keeper = TokenKeeper(self.store, guard=self.guard, clock=self.clock, **self.parts)  # type: ignore[arg-type]  # test doubles
        keeper.attach(self.partner.fetch, fingerprint="f1")
        return keeper


def refused(code: int) -> Answered:
    return Answered(is_ok=False, code=code, body={"reason": code}, http_status=200)


async def test_fifty_callers_make_one_token_call() -> None:
    """All wait for the same flight, and one that gives up does not end it for the others."""
    rig = Rig()
    rig.partner.open.clear()
    callers = [asyncio.create_task(rig.keeper.token()) for _ in range(50)]
    while not rig.partner.calls:
        await asyncio.sleep(0)
    callers[0].cancel()
    rig.partner.open.set()
    tokens = await asyncio.gather(*callers[1:])

    assert set(tokens) == {"token-1"}
    assert rig.partner.calls == 1


async def test_two_processes_make_one_token_call() -> None:
    """The store's lock lets one ask; the other finds its token there."""
    rig = Rig()
    other = rig.another_process()
    tokens = await asyncio.gather(rig.keeper.token(), other.token())

    assert list(tokens) == ["token-1", "token-1"]
    assert rig.partner.calls == 1


async def test_a_token_is_renewed_before_it_runs_out_while_it_still_serves() -> None:
    """Five minutes early nobody waits: the old token is given until the new one is there."""
    rig = Rig()
    assert await rig.keeper.token() == "token-1"
    rig.clock.advance(3_600 - 301)
    assert await rig.keeper.token() == "token-1"
    assert rig.partner.calls == 1
    rig.clock.advance(2)

    assert await rig.keeper.token() == "token-1"
    while rig.partner.calls == 1 or rig.store.holder:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await rig.keeper.token() == "token-2"


async def test_a_token_of_two_seconds_is_renewed_at_four_fifths_of_its_life() -> None:
    """Short lives scale the margin."""
    rig = Rig(life_s=2)
    assert await rig.keeper.token() == "token-1"
    rig.clock.advance(1.5)
    assert await rig.keeper.token() == "token-1"
    assert rig.partner.calls == 1
    rig.clock.advance(1.0)
    assert await rig.keeper.token() == "token-2"


@pytest.mark.parametrize(
    ("code", "reason"), [(2, "token_refused"), (3, "token_blocked"), (17, "token_refused")]
)
async def test_refused_credentials_are_tried_once(code: int, reason: str) -> None:
    """The guard is told once, and until it allows a probe no further call is made, in any process."""
    rig = Rig()
    rig.partner.ending = refused(code)
    first = await rig.keeper.token()
    rig.clock.advance(60)
    others = await asyncio.gather(rig.keeper.token(), rig.another_process().token())

    assert isinstance(first, NotDone)
    assert first.reason == reason
    assert rig.guard.held == ("f1", code)
    assert all(isinstance(other, NotDone) for other in others)
    assert rig.partner.calls == 1


async def test_a_probe_that_succeeds_clears_the_hold() -> None:
    """Right credentials set things going again by themselves."""
    rig = Rig()
    rig.partner.ending = refused(2)
    await rig.keeper.token()
    rig.partner.ending = None
    rig.guard.probes = 1
    rig.clock.advance(60)

    assert await rig.keeper.token() == "token-2"
    assert rig.guard.held is None


async def test_a_refusal_is_not_forgotten_when_the_guard_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hold is made up for before anything else, so that refused credentials are not tried again."""
    rig = Rig()
    rig.partner.ending = refused(2)

    async def out_of_reach(_fingerprint: str, _code: int) -> None:
        raise ConnectionError

    monkeypatch.setattr(rig.guard, "hold_credentials", out_of_reach)
    first = await rig.keeper.token()
    monkeypatch.undo()
    rig.clock.advance(60)
    second = await rig.keeper.token()

    assert isinstance(first, NotDone)
    assert isinstance(second, NotDone)
    assert second.reason == "token_refused"
    assert rig.partner.calls == 1
    assert rig.guard.holds == 1


async def test_an_unreachable_partner_is_no_refusal() -> None:
    """Nothing is held, and within the cool-down a thousand callers make one call."""
    rig = Rig()
    rig.partner.ending = Unanswered(reason="partner_timeout")
    endings = [await rig.keeper.token() for _ in range(100)]

    assert {ending.reason for ending in endings if isinstance(ending, NotDone)} == {"token_unavailable"}
    assert rig.guard.held is None
    assert rig.partner.calls == 1

    rig.partner.ending = None
    rig.clock.advance(5)
    assert await rig.keeper.token() == "token-2"


async def test_a_store_out_of_reach_is_an_answer_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the store raises, no call was sent."""
    rig = Rig()

    async def out_of_reach(_holder: str, _ttl_s: float) -> bool:
        raise ConnectionError

    monkeypatch.setattr(rig.store, "try_lock", out_of_reach)
    ending = await rig.keeper.token()

    assert isinstance(ending, NotDone)
    assert ending.reason == "token_unavailable"


async def test_a_dropped_token_is_not_taken_from_the_store_again() -> None:
    """Even where the store could not be told: the next caller asks for a new one."""
    rig = Rig()
    assert await rig.keeper.token() == "token-1"
    kept = rig.store.token
    await rig.keeper.drop("token-1")
    assert rig.store.token is None
    rig.store.token = kept

    assert await rig.keeper.token() == "token-2"


async def test_dropping_an_old_token_leaves_the_new_one() -> None:
    """A late answer to a call with the old token must not cost the fleet its new one."""
    rig = Rig()
    await rig.keeper.token()
    rig.store.token = StoredToken(value="newer", expires_ms=NOW_MS + 3_600_000)
    await rig.keeper.drop("token-1")

    assert await rig.keeper.token() == "newer"
    assert rig.partner.calls == 1


async def test_a_closed_slot_makes_no_token_call() -> None:
    """When calls are paused the token waits like any other call."""

    async def closed() -> bool:
        return False

    rig = Rig(slot=closed)
    ending = await rig.keeper.token()

    assert isinstance(ending, NotDone)
    assert ending.reason == "calls_paused"
    assert rig.partner.calls == 0


@pytest.mark.parametrize("value", [None, "", 7, "two words", "line\r\nbreak", "א"])
async def test_an_answer_without_a_usable_token_gives_none(value: object) -> None:
    """What could not stand in a header is no token."""
    rig = Rig()
    body = {"access_token": value, "expiration_time": "1"}
    rig.partner.ending = Answered(is_ok=True, code=1, body=body, http_status=200)
    ending = await rig.keeper.token()

    assert isinstance(ending, NotDone)
    assert ending.reason == "token_unavailable"


@pytest.mark.parametrize(
    ("expiration", "life_s"),
    [
        ("1790003600", 3_600),
        (1790003600, 3_600),
        (1790003600.0, 3_600),
        ("1790003600000", 3_600),
        ("1790000002", 2),
        (7_200, 7_200),
        (None, 3_600),
        ("soon", 3_600),
        (True, 3_600),
        ("-5", 3_600),
        ("nan", 3_600),
        ("inf", 3_600),
        ([], 3_600),
        ("1780000000", 3_600),
    ],
)
def test_a_tokens_life_is_read_from_whatever_is_sent(expiration: object, life_s: float) -> None:
    """Documented as unix seconds in a string; what cannot be counts as an hour."""
    assert life_of(expiration, "", now_s=NOW_MS / 1000) == pytest.approx(life_s)


def test_a_tokens_life_is_read_by_the_partners_clock() -> None:
    """Two hours' difference between the clocks does not shorten or lengthen it."""
    date = formatdate(NOW_MS / 1000 - 7_200, usegmt=True)

    assert life_of("1789996400", date, now_s=NOW_MS / 1000) == pytest.approx(3_600)
