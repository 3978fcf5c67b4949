"""A failed job's request edited in the console: checked, shown before and after, requeued; what is personal in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import own_fail
from tests.factories import a_request
from tests.integration.console_desk import Answer
from tests.integration.console_mending import XSS, MendingDesk, a_mending_desk, post, typed
from worker.domain.canonical import canonical_fields
from worker.domain.parse import ParsedRequest, parse_request
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import Channel, JobState
from worker.ops.console.request_form import CHOICES


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


async def test_an_edit_is_checked_shown_and_requeued(desk: MendingDesk) -> None:
    """Before and after first, masked; then it waits again, and both stand in the trail."""
    [job] = await desk.failed(business_name="Dana Flowers")
    browser = await desk.console.signed_in(Role.OPERATOR)
    form = await browser.get(f"/jobs/{job}/edit")
    fields = typed(form, business_name="Dana Gardens", email="noa@example.com")
    check = await post(browser, f"/jobs/{job}/edit", **fields, do="check")

    assert check.status == 200
    assert "Before and after" in check.text
    assert 'Before"><bdi class="outside">Dana Flowers</bdi>' in check.text
    assert 'Before"><bdi class="outside">d***@example.com</bdi>' in check.text
    assert "dana@example.com" not in check.text
    assert "Requeue with these changes" in check.text
    assert await desk.state(job) is JobState.FAILED
    done = await post(browser, f"/jobs/{job}/edit", **fields, do="requeue", why="she said so")
    assert done.place == f"/jobs/{job}?told=edit"
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert record.request.business_name == "Dana Gardens"
    assert record.state is JobState.AVAILABLE
    [entry] = await desk.console.trail("edit")
    assert entry.why == "she said so"
    assert "Dana Gardens" in entry.detail["changes"]


async def test_what_is_wrong_stands_beside_its_field(desk: MendingDesk) -> None:
    """Each with its message; what was typed stays, escaped, and nothing is requeued."""
    [job] = await desk.failed()
    browser = await desk.console.signed_in(Role.OPERATOR)
    form = await browser.get(f"/jobs/{job}/edit")
    fields = typed(form, whatsapp="12", business_name="!!!", onboarding_message=XSS)
    answer = await post(browser, f"/jobs/{job}/edit", **fields, do="requeue")

    assert answer.status == 422
    assert 'id="field-whatsapp-error"' in answer.text
    assert 'id="field-business_name-error"' in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script>alert" not in answer.text
    assert await desk.state(job) is JobState.FAILED


async def test_masked_fields_left_alone_stay_as_they_are(desk: MendingDesk) -> None:
    """A form that comes back as it was shown changes nothing, and says so."""
    [job] = await desk.failed()
    browser = await desk.console.signed_in(Role.OPERATOR)
    form = await browser.get(f"/jobs/{job}/edit")
    assert 'value="D***"' in form.text
    assert "Dana<" not in form.text
    values = re.findall(r'<input type="text" value="([^"]*)"[^>]* name="(\w+)"', form.text)
    fields = typed(form, **{name: value for value, name in values})
    answer = await post(browser, f"/jobs/{job}/edit", **fields, do="requeue")

    assert values
    assert answer.status == 422
    assert "Nothing is changed" in answer.text


async def test_a_reveal_is_recorded_before_it_is_shown(desk: MendingDesk) -> None:
    """The whole form once, and an entry of who looked."""
    [job] = await desk.failed(business_name="Dana Flowers")
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, f"/jobs/{job}/edit/reveal")

    assert "Dana Flowers" in answer.text
    [entry] = await desk.console.trail("reveal")
    assert (entry.by, entry.subject) == ("user:oren", job)


async def test_a_reveal_keeps_what_was_typed(desk: MendingDesk) -> None:
    """Whatever else there is becomes whole; what one has begun to write is one's own."""
    [job] = await desk.failed(business_name="Dana Flowers", whatsapp="972521234567")
    browser = await desk.console.signed_in(Role.OPERATOR)
    form = await browser.get(f"/jobs/{job}/edit")
    values = {name: value for value, name in re.findall(r'value="([^"]*)"[^>]* name="(\w+)"', form.text)}
    shown = await post(browser, f"/jobs/{job}/edit/reveal", **{**values, "business_name": "Dana Gard"})

    assert 'value="Dana Gard"' in shown.text
    assert 'value="+972521234567"' in shown.text
    assert 'formaction="' not in shown.text  # there is nothing left to reveal


async def test_what_was_typed_is_shown_as_it_is_read(desk: MendingDesk) -> None:
    """Whole, for it is one's own; what stood there before stays masked, though another field is wrong."""
    [job] = await desk.failed(business_name="Dana Flowers", whatsapp="972521234567")
    browser = await desk.console.signed_in(Role.OPERATOR)
    form = await browser.get(f"/jobs/{job}/edit")
    fields = typed(form, business_name="Dana Gardens", whatsapp="052-765-4321")
    fit = await post(browser, f"/jobs/{job}/edit", **fields, do="check")
    unfit = await post(browser, f"/jobs/{job}/edit", **fields, onboarding_logo="no address", do="check")

    for text in ("Dana Gardens", "+972527654321"):
        assert f'<bdi class="outside">{text}</bdi>' in fit.text
    for answer in (fit, unfit):
        assert 'value="Dana Gardens"' in answer.text
        assert 'value="052-765-4321"' in answer.text
        assert "972521234567" not in answer.text


async def test_an_edit_of_what_another_edited_meanwhile_is_refused(desk: MendingDesk) -> None:
    """Two operators on one job: the second sees that the request is another by now."""
    [job] = await desk.failed()
    oren = await desk.console.signed_in(Role.OPERATOR)
    adina = await desk.console.signed_in(Role.ADMIN)
    stale = typed(await adina.get(f"/jobs/{job}/edit"), business_name="Second")
    first = typed(await oren.get(f"/jobs/{job}/edit"), business_name="First")
    await post(oren, f"/jobs/{job}/edit", **first, do="requeue")
    answer = await post(adina, f"/jobs/{job}/edit", **stale, do="requeue")

    assert answer.status == 422 or "cannot be edited" in answer.text
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert record.request.business_name == "First"


async def test_a_job_that_has_not_failed_is_not_edited(desk: MendingDesk) -> None:
    """Its form says so in place of the fields."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await browser.get(f"/jobs/{job}/edit")

    assert "This job cannot be edited" in page.text
    assert "field-whatsapp" not in page.text


async def test_names_from_outside_are_escaped_in_the_form(desk: MendingDesk) -> None:
    """Attributes as well as text."""
    contact = Contact(name=f'x" onfocus="alert(1)" {XSS}', email="d@example.com", phone=None, locale="en")
    [job] = await desk.failed(contact=contact, reference=f'"><svg onload=alert(1)>{XSS}')
    browser = await desk.console.signed_in(Role.OPERATOR)
    for page in (
        await browser.get(f"/jobs/{job}"),
        await browser.get(f"/jobs/{job}/edit"),
        await post(browser, f"/jobs/{job}/edit/reveal"),
    ):
        assert page.status == 200
        assert "<script>alert" not in page.text
        assert "<svg onload" not in page.text
        assert 'onfocus="alert' not in page.text


@pytest.mark.parametrize("language", ["en", "he"])
async def test_who_has_the_number_already_is_a_link(desk: MendingDesk, language: str) -> None:
    """And no command: the other job is looked at from here, in either language."""
    [owner] = await desk.failed(whatsapp="972521234567")
    [job] = await desk.failed(whatsapp="972521234568")
    browser = await desk.console.signed_in(Role.OPERATOR)
    fields = typed(await browser.get(f"/jobs/{job}/edit"), whatsapp="972521234567")
    await browser.get(f"/jobs?lang={language}", Accept="text/html")
    answer = await post(browser, f"/jobs/{job}/edit", **fields, do="check")

    error = answer.text.partition('id="field-whatsapp-error"')[2].partition("</p>")[0]
    assert f'<a href="/jobs/{owner}">' in error
    assert "linkferry" not in error
    assert ("Discard" in error) == (language == "en")


@pytest.mark.parametrize("page", ["edit", "replace"])
async def test_a_field_of_few_words_is_chosen_and_not_typed(desk: MendingDesk, page: str) -> None:
    """With what is usual named, and what stands there chosen, also where nobody offers it any more."""
    asked: dict[str, Any] = {"channels": (Channel.SMS, Channel.EMAIL), "brand": "acme", "is_agreed": True}
    [job] = await desk.failed(fail=own_fail("link_vanished"), **asked)
    browser = await desk.console.signed_in(Role.OPERATOR)

    found = offered(await browser.get(f"/jobs/{job}/{page}"))

    assert found["channels"][0] == ("", "as usual: e-mail, SMS", "")
    assert [each for each in found["channels"] if each[2]] == [("sms;email", "SMS, then e-mail", "selected")]
    assert found["channel_policy"][0][1] == "as usual: all that have an address"
    assert found["locale"] == [("he", "עברית", "selected"), ("en", "English", "")]
    assert found["agreed"] == [("", "no", ""), ("1", "yes", "selected")]
    assert found["brand"] == [("", "as usual", ""), ("acme", "acme", "selected")]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, each in CHOICES.items() for value, _ in each]
)
def test_what_is_offered_for_a_field_is_taken_and_stays(name: str, value: str) -> None:
    """Each choice is a word that the door reads, and that is written back as it is."""
    fields = canonical_fields(a_request()) | {name: value}
    parsed = parse_request(fields)
    assert isinstance(parsed, ParsedRequest)
    assert canonical_fields(parsed.request)[name] == value


async def test_a_choice_is_requeued_with(desk: MendingDesk) -> None:
    """What was chosen is in the request."""
    [job] = await desk.failed()
    browser = await desk.console.signed_in(Role.OPERATOR)
    fields = typed(await browser.get(f"/jobs/{job}/edit"), channels="sms", channel_policy="first", agreed="1")
    done = await post(browser, f"/jobs/{job}/edit", **fields, do="requeue")

    assert done.place == f"/jobs/{job}?told=edit"
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert record.request.channels == (Channel.SMS,)
    assert record.request.channel_policy == "first"
    assert record.request.is_agreed


def offered(page: Answer) -> dict[str, list[tuple[str, str, str]]]:
    """Return what each list of a form offers: value, name, and whether it is chosen."""
    lists = re.findall(r'<select id="[^"]*" name="(\w+)"[^>]*>(.*?)</select>', page.text, re.DOTALL)
    option = re.compile(r'<option value="([^"]*)"(?: (selected))?>([^<]*)<')
    return {
        name: [(value, text, chosen) for value, chosen, text in option.findall(body)] for name, body in lists
    }
