"""What is said of a link that is being changed, how its reference is made and read, and what a delete's ending means."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.change import Op, job_id_of_reference, reference_of, under_way
from worker.domain.classify import Accounts, classify_delete, finding_for
from worker.domain.outcome import (
    AccountEntry,
    Answered,
    Deleted,
    Ending,
    Finished,
    FoundForeign,
    FoundOurs,
    NotDone,
    Refused,
    Retry,
    Snoozed,
    Unanswered,
)
from worker.domain.reasons import Catalogue
from worker.domain.request import Product
from worker.domain.states import JobState
from worker.ops.words import WORDS

SHIPPED = Catalogue.shipped()
JOB = "01k8xq4cs0vk2n8m4ee1w"


@pytest.mark.parametrize("replacements", [0, 1, 2, 17])
def test_a_reference_names_its_job(replacements: int) -> None:
    """However the partner writes it; at most 50 letters and digits."""
    reference = reference_of(JOB, replacements)
    assert job_id_of_reference(reference) == JOB
    assert job_id_of_reference(f" {reference.upper()} ") == JOB
    assert reference.isalnum()
    assert len(reference) <= 50


@pytest.mark.parametrize(
    "text", [None, "", "order-7", JOB[:-1], f"{JOB}r0", f"{JOB}r", f"{JOB}x1", f"{JOB}r01", "9" * 21]
)
def test_what_is_not_ours_names_none(text: str | None) -> None:
    """A caller's own text is no reference of ours."""
    assert job_id_of_reference(text) is None


def test_references_of_one_job_differ() -> None:
    """Lest a look-up take one link for another."""
    assert len({reference_of(JOB, nth) for nth in range(12)}) == 12


@pytest.mark.parametrize("op", [None, *Op])
@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("product", [Product.WHATSAPP, Product.FACEBOOK_PAGE])
def test_what_is_under_way_has_its_sentence(op: str | None, state: JobState, product: Product) -> None:
    """And is said only where something is."""
    word = under_way(op, state, product)
    assert word is None or f"changing_{word}" in WORDS
    assert (word is None) or op is not None
    assert word is None or state not in {JobState.LINKED, JobState.ONBOARDED, JobState.REVOKED}


def delete_of(ending: Ending, **changes: Any) -> Any:
    return classify_delete(ending, **({"failures": 0, "catalogue": SHIPPED, "chance": 0.5} | changes))


def answered(code: int | None, *, is_ok: bool = False) -> Answered:
    return Answered(is_ok=is_ok, code=code, body={}, http_status=200)


def test_a_delete_that_is_done_or_was_done_before_is_done() -> None:
    """OK; and 26, not found."""
    assert delete_of(answered(1, is_ok=True)) == Deleted()
    assert delete_of(answered(26)) == Deleted(is_found=False)


def test_a_finished_link_is_told_apart() -> None:
    """25: it can't be removed any more."""
    assert delete_of(answered(25)) == Finished()


@pytest.mark.parametrize("ending", [Unanswered(reason="partner_timeout"), answered(1)])
def test_an_unknown_delete_is_retried_and_may_be_done(ending: Ending) -> None:
    """Never in doubt: it may be said twice."""
    outcome = delete_of(ending)
    assert isinstance(outcome, Retry)
    assert outcome.is_maybe_done


def test_a_delete_that_was_surely_not_done_says_so() -> None:
    """Retried or put off like a create; the link stands."""
    retried = delete_of(NotDone(reason="partner_unreachable"))
    assert isinstance(retried, Retry)
    assert not retried.is_maybe_done
    assert isinstance(delete_of(NotDone(reason="partner_throttled")), Snoozed)


@pytest.mark.parametrize("code", [4, 77, None])
def test_a_refused_delete_needs_a_person(code: int | None) -> None:
    """Whatever the partner means by it."""
    assert isinstance(delete_of(answered(code)), Refused)


def an_entry(reference: str, *, is_finished: bool = False) -> AccountEntry:
    link = f"https://partner.example/{reference}"
    return AccountEntry(whatsapp="972501234567", reference=reference, link=link, is_finished=is_finished)


def test_an_earlier_link_is_not_taken_for_the_one_that_replaces_it() -> None:
    """It is another, and has a reason of its own."""
    found = finding_for(reference_of(JOB, 1), "972501234567", False, [an_entry(JOB)], 1000, SHIPPED)
    assert isinstance(found, FoundForeign)
    assert found.fail.reason == "replaced_link_stands"
    both = [an_entry(JOB), an_entry(reference_of(JOB, 1))]
    ours = finding_for(reference_of(JOB, 1), "972501234567", False, both, 1000, SHIPPED)
    assert isinstance(ours, FoundOurs)
    assert ours.linked.link.endswith("r1")


@pytest.mark.parametrize("is_coexistence", [False, True])
def test_who_finished_by_an_earlier_link_has_finished(is_coexistence: bool) -> None:
    """It seemed to be gone, and another was to be made: that is no failure, and nobody else's link."""
    entries = [an_entry(JOB, is_finished=True)]
    number = None if is_coexistence else "972501234567"
    found = finding_for(reference_of(JOB, 1), number, is_coexistence, entries, 1000, SHIPPED)
    assert isinstance(found, FoundOurs)
    assert found.is_finished
    other = finding_for(reference_of(JOB[:-2] + "aw", 1), number, is_coexistence, entries, 1000, SHIPPED)
    assert not isinstance(other, FoundOurs)


def test_the_latest_link_of_a_job_is_known() -> None:
    """Of ten replacements the tenth, not the ninth."""
    accounts = Accounts([an_entry(reference_of(JOB, nth)) for nth in (10, 9, 0)])
    latest = accounts.latest_of(JOB)
    assert latest is not None
    assert latest.reference == reference_of(JOB, 10)
    assert accounts.latest_of("01k8xq4cs0vk2n8m4ee2w") is None
