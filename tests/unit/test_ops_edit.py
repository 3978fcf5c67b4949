"""Editing a failed job: masked or whole, all problems at once, before and after, and then one step to waiting again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk, own_fail
from tests.factories import a_request
from worker.domain.outcome import Refused
from worker.domain.request import Contact, Product
from worker.domain.states import JobState
from worker.ops.edit import Editing
from worker.ops.timeline import asked
from worker.ops.views import shown_name

BY: dict[str, Any] = {"by": "user:dana", "why": "the customer called"}
NUMBER = "972501234567"
BOTH = (Product.WHATSAPP, Product.FACEBOOK_PAGE)


@pytest.fixture
async def desk(fake_redis: redis.asyncio.Redis) -> Desk:
    return await Desk.open(fake_redis)


@pytest.fixture
def editing(desk: Desk) -> Editing:
    return Editing(desk.ledger)


async def a_failed(desk: Desk, **changes: Any) -> str:
    return await desk.job_in(JobState.FAILED, request=a_request(**{"whatsapp": NUMBER, **changes}))


async def test_the_form_hides_what_is_personal_unless_asked(desk: Desk, editing: Editing) -> None:
    """An operator who mends a locale needs to see no number."""
    job = await a_failed(desk)
    masked, whole = await editing.form(job), await editing.form(job, is_revealed=True)
    assert masked is not None
    assert whole is not None

    assert masked["fields"]["whatsapp"] == "+9725******67"
    assert masked["fields"]["email"] == "d***@example.com"
    assert masked["fields"]["locale"] == "he"
    assert whole["fields"]["whatsapp"] == f"+{NUMBER}"
    assert whole["fields"]["email"] == "dana@example.com"
    assert NUMBER not in str(masked)
    assert masked["can_edit"]
    assert await editing.form("0" * 20 + "w") is None


async def test_masked_values_that_come_back_are_left_alone(desk: Desk, editing: Editing) -> None:
    """A form that is sent whole changes only what the operator changed."""
    job = await a_failed(desk)
    form = await editing.form(job)
    assert form is not None

    check = await editing.check(job, form["fields"] | {"locale": "en"}, seen=form["seen"])

    assert check.problems == ()
    assert [(each.field, each.before, each.after) for each in check.changes] == [("locale", "he", "en")]
    assert check.request is not None
    assert check.request.contact == Contact(
        name="Dana", email="dana@example.com", phone="972501111111", locale="en"
    )


async def test_the_form_masks_what_the_jobs_page_masks(desk: Desk, editing: Editing) -> None:
    """One rule for both: a business is known by its name, a person is not."""
    job = await a_failed(desk, business_name="Dana Flowers", onboarding_message="Call 0501234567")
    form, record = await editing.form(job), await desk.ledger.queries.job(job)
    assert form is not None
    assert record is not None
    page = asked(record)

    assert form["fields"]["business_name"] == page["business_name"] == shown_name(record, is_revealed=False)
    assert form["fields"]["onboarding_message"] == page["onboarding_message"] == "Call 0501****67"
    assert form["fields"]["business_name"] == "Dana Flowers"
    assert form["fields"]["name"] == "D***"


@pytest.mark.parametrize(
    ("field", "text"), [("email", "d***@example.org"), ("name", "D***a"), ("whatsapp", "+9725******68")]
)
async def test_a_masked_value_changed_in_part_is_refused(
    desk: Desk, editing: Editing, field: str, text: str
) -> None:
    """Stars that were typed around would become the customer's address."""
    check = await editing.check(await a_failed(desk), {field: text})

    assert (check.request, check.problems[0].field, check.problems[0].code) == (None, field, "masked")


async def test_everything_that_is_wrong_is_told_at_once(desk: Desk, editing: Editing) -> None:
    """With the field, what is wrong and what to do."""
    job = await a_failed(desk)

    check = await editing.check(
        job, {"whatsapp": "12", "email": "dana", "display_name": "", "no_such": "1", "product": "facebook:1"}
    )

    assert check.request is None
    assert {each.field for each in check.problems} == {
        "whatsapp",
        "email",
        "display_name",
        "no_such",
        "product",
    }
    assert all(each.message and each.remedy for each in check.problems)
    done = await editing.requeue_edited(job, {"whatsapp": "12"}, **BY)
    assert (done.done, done.mended) == (False, None)
    assert await desk.state(job) is JobState.FAILED


async def test_a_misspelt_field_names_the_nearest(desk: Desk, editing: Editing) -> None:
    """As columns of a file do."""
    [problem] = (await editing.check(await a_failed(desk), {"bussiness_name": "x"})).problems

    assert problem.remedy == "Did you mean business_name?"


async def test_nothing_changed_is_a_problem_of_its_own(desk: Desk, editing: Editing) -> None:
    """Also where a field is written otherwise and means the same."""
    check = await editing.check(await a_failed(desk), {"whatsapp": "050-123-4567"})

    assert [each.code for each in check.problems] == ["unchanged"]


async def test_an_edit_is_kept_requeued_and_found_again(desk: Desk, editing: Editing) -> None:
    """Before and after whole in the trail, masked in what is shown."""
    job = await a_failed(desk)

    edited = await editing.requeue_edited(job, {"whatsapp": "0501234568", "email": ""}, **BY)

    assert edited.done
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert (record.state, record.number, record.request.contact.email) == (
        JobState.AVAILABLE,
        "972501234568",
        None,
    )
    shown = edited.document()
    assert shown["changes"] == [
        {"field": "whatsapp", "before": "+9725******67", "after": "+9725******68"},
        {"field": "email", "before": "d***@example.com", "after": ""},
    ]
    [entry] = (await desk.ledger.trail.find(subject=job, act="edit")).items
    assert (entry.by, entry.why) == ("user:dana", "the customer called")
    assert NUMBER in entry.detail["changes"]


async def test_a_number_of_another_request_is_told_before_anything_is_done(
    desk: Desk, editing: Editing
) -> None:
    """With the job that stands on it."""
    job, other = (
        await a_failed(desk),
        await desk.job_in(JobState.LINKED, request=a_request(whatsapp="972501111112")),
    )

    [problem] = (await editing.check(job, {"whatsapp": "972501111112"})).problems

    assert problem.code == "claimed_by_another"
    assert other in problem.message
    assert "linked" in problem.message


@pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.LINKED, JobState.CANCELLED])
async def test_only_what_failed_can_be_edited(desk: Desk, editing: Editing, state: JobState) -> None:
    """What waits would be worked on with either request; a link stands as it was made."""
    job = await desk.job_in(state)
    form = await editing.form(job)
    assert form is not None

    assert not form["can_edit"]
    [problem] = (await editing.check(job, {"locale": "en"})).problems
    assert problem.code == "not_failed"
    assert state.value in problem.message


async def test_a_dead_letter_can_be_edited(desk: Desk, editing: Editing) -> None:
    """And waits again."""
    job = await desk.job_in(JobState.DEAD)

    assert (await editing.requeue_edited(job, {"locale": "en"}, **BY)).done
    assert await desk.state(job) is JobState.AVAILABLE


async def test_two_operators_with_the_same_form_do_not_undo_each_other(desk: Desk, editing: Editing) -> None:
    """The later one is told to look again, though the job has failed once more meanwhile."""
    job = await a_failed(desk)
    form = await editing.form(job)
    assert form is not None
    await editing.requeue_edited(job, {"locale": "en"}, seen=form["seen"], **BY)
    await desk.end(job, Refused(fail=own_fail()))

    late = await editing.requeue_edited(job, {"email": ""}, seen=form["seen"], **BY)

    assert not late.done
    assert [each.code for each in late.check.problems] == ["edited_meanwhile"]


# --- an invitation of several products -----------------------------------------------------------------------


async def test_an_edit_of_one_job_tells_which_others_it_changes(desk: Desk, editing: Editing) -> None:
    """They share one request."""
    [whatsapp, page] = (await desk.accept(request=a_request(whatsapp=NUMBER, products=BOTH))).job_ids
    await desk.end(page, LINKED)
    await desk.end(whatsapp, Refused(fail=own_fail()))
    form = await editing.form(whatsapp)
    assert form is not None

    assert form["also_applies_to"] == [page]
    assert form["products"] == ["whatsapp", "facebook:3"]
    check = await editing.check(whatsapp, {"display_name": "Dana and Sons"})
    assert check.also_applies_to == (page,)
    assert [each.code for each in check.warnings] == ["link_stands"]
    ours = await editing.check(whatsapp, {"locale": "en"})
    assert ours.warnings == ()


async def test_the_number_is_the_whatsapp_jobs_alone(desk: Desk, editing: Editing) -> None:
    """Another product's job says whose it is; its other fields can be edited."""
    [whatsapp, page] = (await desk.accept(request=a_request(whatsapp=NUMBER, products=BOTH))).job_ids
    await desk.end(page, Refused(fail=own_fail()))
    form = await editing.form(page)
    assert form is not None

    assert form["locked"] == ["whatsapp"]
    [problem] = (await editing.check(page, {"whatsapp": "0501234568"})).problems
    assert problem.code == "number_of_another_job"
    assert whatsapp in problem.remedy
    assert (await editing.requeue_edited(page, {"server": "https://chat.example.com"}, **BY)).done


async def test_a_name_as_it_was_written_survives_an_edit_of_something_else(
    desk: Desk, editing: Editing
) -> None:
    """Messages keep greeting with it."""
    request = replace(
        a_request(whatsapp=NUMBER), business_name="Dana and Sons", business_name_written="Dana & Sons"
    )
    job = await desk.job_in(JobState.FAILED, request=request)

    check = await editing.check(job, {"locale": "en"})

    assert check.request is not None
    assert [each.field for each in check.changes] == ["locale"]
    assert check.request.customer_name in {"Dana & Sons", "Dana and Sons"}
