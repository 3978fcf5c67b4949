"""What the partner's two lists say of a file's numbers."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.backfill.checks import CheckedRow
from producers.backfill.intake import BackfillOptions, Intake
from producers.backfill.preflight import (
    WAVE,
    LineSet,
    Missing,
    PartnerLists,
    Preflight,
    Standing,
    wave_of,
)
from tests.factories import a_request
from worker.domain.ids import job_id, new_invitation_id
from worker.domain.outcome import AccountEntry, RegisteredNumber
from worker.domain.request import Product
from worker.domain.states import JobState
from worker.ledger import Known

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
DAY_S = 86_400
INVITATION = new_invitation_id(now_ms=1_790_000_000_000, chance=7)
OURS = job_id(INVITATION, Product.WHATSAPP)
NUMBER = "972501234567"
KNOWN = Known(
    invitation_id=INVITATION,
    job_ids=(OURS,),
    state=JobState.FAILED,
    fingerprint="f",
    contact_mark="c",
)


class StoppedClock:
    """Noon, for ever."""

    def now(self):
        return NOW

    def now_ms(self):
        return NOW_S * 1000

    def monotonic(self):
        return 0.0


class Partner:
    """The lists, and how often they were asked for."""

    def __init__(self, registered=(), accounts=()):
        self.lists = PartnerLists(registered=registered, accounts=accounts)
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        return self.lists


async def ours(job_ids):
    """Tell which jobs are the ledger's: one only."""
    return {OURS} & set(job_ids)


def registered(number=NUMBER, days=60.0, link=None):
    return RegisteredNumber(whatsapp=number, expires_s=int(NOW_S + days * DAY_S) if days else 0, link=link)


def account(number=NUMBER, reference=None, *, is_finished=False):
    return AccountEntry(
        whatsapp=number, reference=reference, link="https://p.example/1", is_finished=is_finished
    )


def a_preflight(partner, tmp_path=None):
    preflight = Preflight(partner, run="dry-run", ours=ours, clock=StoppedClock())
    if tmp_path is not None:
        stream = io.BytesIO(b"whatsapp,business_name,display_name\n")
        preflight.begin(Intake(stream, BackfillOptions(report_folder=tmp_path)))
    return preflight


def a_row(line=2, number=NUMBER, **changes):
    return CheckedRow(line, a_request(whatsapp=number), **changes)


async def standing(partner, row=None):
    preflight = a_preflight(partner)
    await preflight.examine([row or a_row()])
    [found] = [each for each in Standing if preflight.count(each)]
    return found, 2 in preflight.unready


MISSING = Missing(reason="partner_error")


@pytest.mark.parametrize(
    ("numbers", "links", "found", "is_unready"),
    [
        ([registered()], [], Standing.READY, False),
        ([registered(days=None)], [], Standing.READY, False),
        ([registered(days=7.5)], [], Standing.READY, False),
        ([registered(days=6.9)], [], Standing.NEAR_EXPIRY, False),
        ([registered(days=-0.1)], [], Standing.NOT_REGISTERED, True),
        ([], [], Standing.NOT_REGISTERED, True),
        ([registered("972501234568")], [account("972501234569")], Standing.NOT_REGISTERED, True),
        ([registered()], [account()], Standing.LINKED_BY_OTHERS, True),
        ([registered()], [account(reference="crm-7")], Standing.LINKED_BY_OTHERS, True),
        ([registered()], [account(reference=OURS)], Standing.LINKED_BY_US, True),
        ([registered()], [account(reference=OURS.upper())], Standing.LINKED_BY_US, True),
        ([registered()], [account(reference=OURS[:-2] + "0w")], Standing.LINKED_BY_OTHERS, True),
        ([registered(link="https://p.example/1")], [], Standing.LINKED_BY_OTHERS, True),
        ([], [account(is_finished=True)], Standing.ONBOARDED, True),
        ([], [account(is_finished=True), account()], Standing.ONBOARDED, True),
        ([], [account(reference=OURS), account(is_finished=True)], Standing.ONBOARDED, True),
        (MISSING, MISSING, Standing.UNKNOWN, True),
        (MISSING, [], Standing.UNKNOWN, True),
        (MISSING, [account(is_finished=True)], Standing.ONBOARDED, True),
        ([registered()], MISSING, Standing.READY, False),
        ([], MISSING, Standing.UNKNOWN, True),  # connected ones leave the list, too
    ],
)
async def test_a_number_stands_as_the_lists_say(numbers, links, found, is_unready):
    """Finished, linked, registered: in this order, and a missing list makes up nothing."""
    assert await standing(Partner(numbers, links)) == (found, is_unready)


@pytest.mark.parametrize(
    "written", ["972501234567", "+972501234567", "0501234567", "00972501234567", "9720501234567"]
)
async def test_numbers_are_compared_as_they_are_meant(written):
    """However the partner writes them."""
    assert await standing(Partner([registered(written)], [])) == (Standing.READY, False)


async def test_what_the_ledger_knows_spends_no_create():
    """So it is never held back; and a link of its own makes it ours, though the list of accounts is behind."""
    assert await standing(Partner([], []), a_row(known=KNOWN)) == (Standing.NOT_REGISTERED, False)
    linked = registered(link="https://p.example/1")
    assert await standing(Partner([linked], []), a_row(known=KNOWN)) == (Standing.LINKED_BY_US, False)
    foreign = account(reference="crm-7")
    assert await standing(Partner([linked], [foreign]), a_row(known=KNOWN)) == (
        Standing.LINKED_BY_OTHERS,
        False,
    )


async def test_without_a_number_nothing_is_asked():
    """Coexistence and Facebook need no registered number: no call is made for them."""
    partner = Partner()
    preflight = a_preflight(partner)
    rows = [
        CheckedRow(2, a_request(whatsapp="1")),
        CheckedRow(3, a_request(whatsapp=None, products=(Product.FACEBOOK_PAGE,))),
    ]

    await preflight.examine(rows)

    assert (partner.asked, preflight.not_needed, preflight.unready.count) == (0, 2, 0)


async def test_each_list_is_asked_for_once():
    """However many rows there are."""
    partner = Partner([registered()], [])
    preflight = a_preflight(partner)
    for start in range(0, 5_000, 1_000):
        await preflight.examine([a_row(start + n, f"97250{start + n:07d}") for n in range(1_000)])

    assert partner.asked == 1
    assert preflight.numbers == 5_000


async def test_waves_fill_what_is_free_and_then_five_hundred_each(tmp_path):
    """Three wait already: 497 now, then whole waves, and each row says in which it is."""
    waiting = [registered(f"97252000000{n}") for n in range(3)]
    preflight = a_preflight(Partner(waiting, []), tmp_path)

    await preflight.examine([a_row(n + 2, f"97250{n:07d}") for n in range(1_200)])
    preflight.close()

    assert preflight.waves == [497, 500, 203]
    assert preflight.as_document()["registered_waiting"] == 3
    rows = list(csv.DictReader(preflight.listing.path.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["wave"] for row in rows] == ["1"] * 497 + ["2"] * 500 + ["3"] * 203
    assert rows[0]["remedy"].startswith("Register it")


@given(free=st.integers(0, WAVE), count=st.integers(1, 3_000))
def test_no_wave_is_too_large_and_none_is_empty(free, count):
    """The first takes what is free now, or is a whole one for later; all others are whole but for the last."""
    waves = [wave_of(nth, free) for nth in range(count)]
    sizes = [waves.count(wave) for wave in sorted(set(waves))]
    assert waves == sorted(waves)
    assert sorted(set(waves)) == list(range(1, max(waves) + 1))
    assert sizes[0] == min(count, free or WAVE)
    assert all(size == WAVE for size in sizes[1:-1])
    assert all(size <= WAVE for size in sizes)


async def test_rows_are_listed_with_what_to_do(tmp_path):
    """One line each: number, finding, when the registration ends, our job; a second row for a customer is not."""
    lists = Partner([registered(days=3)], [account("972501234568", OURS)])
    preflight = a_preflight(lists, tmp_path)

    await preflight.examine([a_row(), a_row(3, "972501234568"), a_row(4, "972501234569", known=KNOWN)])
    await preflight.examine([a_row(5, is_first=False), a_row(6, "972501234568", is_first=False)])
    preflight.close()

    path = preflight.listing.path
    assert path == tmp_path / "stdin.dry-run.preflight.csv"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert path.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert [(row["line"], row["finding"], row["expires"], row["job"]) for row in rows] == [
        ("2", "near_expiry", "2026-11-25", ""),
        ("3", "linked_by_us", "", OURS),
        ("4", "not_registered", "", OURS),
    ]
    assert rows[2]["remedy"].endswith("Its job goes on by itself then.")
    assert [line in preflight.unready for line in range(2, 7)] == [False, True, False, False, True]
    assert preflight.unready_jobs == 1


async def test_an_earlier_list_is_never_overwritten(tmp_path):
    """The second has a number."""
    for _ in range(2):
        preflight = a_preflight(Partner([registered()], []), tmp_path)
        await preflight.examine([a_row()])
        preflight.close()

    assert preflight.listing.path == tmp_path / "stdin.dry-run.preflight.2.csv"
    assert (tmp_path / "stdin.dry-run.preflight.csv").exists()


async def test_a_list_that_cannot_be_written_costs_the_list_only(tmp_path):
    """The counts are there, and the reason."""
    preflight = a_preflight(Partner([registered()], []), tmp_path / "nowhere")

    await preflight.examine([a_row(), a_row(3, "972501234568")])
    preflight.close()

    assert (preflight.numbers, preflight.listing.path) == (2, None)
    assert preflight.listing.error == "No such file or directory"


async def test_nothing_is_listed_when_nothing_was_answered(tmp_path):
    """A file that says `unknown` in every row helps nobody."""
    preflight = a_preflight(Partner(MISSING, MISSING), tmp_path)

    await preflight.examine([a_row()])
    preflight.close()

    assert list(tmp_path.iterdir()) == []
    assert set(preflight.missing) == {"getRegisteredNumbers", "getAccounts"}


@given(st.lists(st.integers(0, 200_000), max_size=60))
def test_a_set_of_lines_is_a_set(lines):
    """A bit each."""
    found = LineSet()
    for line in lines:
        found.add(line)

    assert found.count == len(set(lines))
    assert all(line in found for line in lines)
    assert [line for line in range(0, 200_000, 997) if line in found] == sorted(
        {n for n in lines if n % 997 == 0}
    )
    assert -1 not in found
