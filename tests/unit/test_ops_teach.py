"""Teaching from a group's page: the code is that of the call whose jobs failed with it, and mistakes are named."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk, a_fail
from tests.factories import a_request
from worker.domain.lessons import LiveCatalogue
from worker.domain.outcome import Refused, Undelivered
from worker.domain.reasons import Catalogue, Policy
from worker.domain.request import Product
from worker.domain.states import Channel, JobState
from worker.ledger import JobFilter
from worker.ops.teach import Teaching, TeachRefused, reasons_view

WORDS = {"class": "bad_data", "policy": "discard", "meaning": "It is frozen.", "remedy": "Ask for another."}
BY: dict[str, Any] = {"by": "cli:dana", "why": "the partner said so"}


@pytest.fixture
async def desk(fake_redis: redis.asyncio.Redis) -> Desk:
    return await Desk.open(fake_redis)


@pytest.fixture
def catalogue() -> LiveCatalogue:
    return LiveCatalogue(Catalogue.shipped())


@pytest.fixture
def teaching(desk: Desk, catalogue: LiveCatalogue) -> Teaching:
    return Teaching(desk.ledger, catalogue)


async def a_failure(desk: Desk, code: int = 77, product: Product = Product.WHATSAPP) -> str:
    changes = {} if product is Product.WHATSAPP else {"whatsapp": None, "products": (product,)}
    [job] = (await desk.accept(request=a_request(**changes))).job_ids
    await desk.end(job, Refused(fail=a_fail(f"unknown_{code}", code=code)))
    return job


async def test_a_groups_name_stands_for_its_code_and_call(
    desk: Desk, teaching: Teaching, catalogue: LiveCatalogue
) -> None:
    """`unknown_77`, by the jobs that failed with it; it is told how many stand under it."""
    for _ in range(2):
        await a_failure(desk, product=Product.FACEBOOK_PAGE)

    lesson = await teaching.teach("unknown_77", name="page_frozen", words=WORDS, **BY)

    assert (lesson["call"], lesson["code"], lesson["reason"]) == ("create_facebook", 77, "page_frozen")
    assert (lesson["stood_as"], lesson["standing"]) == ("unknown_77", 2)
    assert catalogue.for_code("create_facebook", 77).policy is Policy.DISCARD
    assert catalogue.for_code("create_whatsapp", 77).name == "unknown_77"


async def test_a_bare_code_is_a_whatsapp_links_unless_said_otherwise(teaching: Teaching) -> None:
    """Where no job tells whose it is."""
    assert (await teaching.teach("5", name="five", words=WORDS, **BY))["call"] == "create_whatsapp"
    assert (await teaching.teach("6", name="six", call="create_facebook", words=WORDS, **BY))["call"] == (
        "create_facebook"
    )


async def test_a_code_of_two_calls_must_be_told_apart(desk: Desk, teaching: Teaching) -> None:
    """The same number may mean two things."""
    await a_failure(desk)
    await a_failure(desk, product=Product.FACEBOOK_PAGE)

    with pytest.raises(TeachRefused, match="create_facebook, create_whatsapp") as caught:
        await teaching.teach("unknown_77", name="frozen", words=WORDS, **BY)

    assert (caught.value.field, caught.value.calls) == ("call", ("create_facebook", "create_whatsapp"))
    assert (await teaching.form("unknown_77"))["calls"] == ["create_facebook", "create_whatsapp"]


async def test_a_code_that_a_delete_brought_is_the_deletes(
    desk: Desk, teaching: Teaching, catalogue: LiveCatalogue
) -> None:
    """A link that the partner would not delete failed by another call than the one that made it."""
    job = await desk.job_in(JobState.LINKED)
    assert (await desk.ledger.revoke(job, by="dana", why="left us")).done
    await desk.end(job, Refused(fail=a_fail("unknown_77", code=77)))

    lesson = await teaching.teach("unknown_77", name="not_to_be_deleted", words=WORDS, **BY)

    assert (lesson["call"], lesson["standing"]) == ("delete_account", 1)
    assert catalogue.for_code("create_whatsapp", 77).name == "unknown_77"


async def test_a_code_of_failed_texts_is_an_sms_providers(desk: Desk, teaching: Teaching) -> None:
    """Not the partner's, which would teach nothing; which provider's, the operator says."""
    delivery = await desk.a_delivery(channels=(Channel.SMS,))
    refused = Undelivered(fail=a_fail("unknown_30007", code=30007))
    assert await desk.ledger.deliveries.settle(await desk.send(delivery), refused, can_resend=False)

    with pytest.raises(TeachRefused, match="sms_99digital, sms_twilio") as caught:
        await teaching.teach("unknown_30007", name="text_filtered", words=WORDS, **BY)
    lesson = await teaching.teach("unknown_30007", name="text_filtered", call="sms_twilio", words=WORDS, **BY)

    assert caught.value.calls == ("sms_99digital", "sms_twilio")
    assert (lesson["standing"], lesson["standing_messages"]) == (0, 1)


async def test_teaching_again_changes_only_what_is_said(teaching: Teaching, catalogue: LiveCatalogue) -> None:
    """The earlier words stay."""
    await teaching.teach("77", name="frozen", words=WORDS, **BY)
    await teaching.teach("77", name="frozen", words={"policy": "fail"}, **BY)

    reason = catalogue.for_code("create_whatsapp", 77)
    assert (reason.policy, reason.meaning) == (Policy.FAIL, "It is frozen.")


async def test_a_reason_that_is_known_can_be_described_anew(
    teaching: Teaching, catalogue: LiveCatalogue
) -> None:
    """Its policy, say."""
    await teaching.teach("foreign_link", words={"policy": "discard"}, **BY)

    assert catalogue.named("foreign_link").policy is Policy.DISCARD


async def test_teaching_again_says_what_no_longer_holds(desk: Desk, teaching: Teaching) -> None:
    """Whose words they were, and which; what only adds to them replaces nothing."""
    first = await teaching.teach("77", name="page_frozen", words=WORDS, **BY)
    again = await teaching.teach("77", name="page_frozen", words={"policy": "retry"}, **BY)
    same = await teaching.teach("77", name="page_frozen", words={"own_data": True}, **BY)

    assert first["replaced"] is None
    assert again["replaced"] is not None
    assert again["replaced"]["by"] == BY["by"]
    assert again["replaced"]["words"] == {"policy": WORDS["policy"]}
    assert same["replaced"] is None


async def test_a_group_can_be_described_before_it_has_a_better_name(
    desk: Desk, teaching: Teaching, catalogue: LiveCatalogue
) -> None:
    """`reasons set unknown_77 --class …`: its code's name stays, and it is taken back by either."""
    await a_failure(desk)

    for taken_back_by in ("unknown_77", "77"):
        lesson = await teaching.teach("unknown_77", words=WORDS, **BY)
        assert (lesson["reason"], lesson["stood_as"], lesson["standing"]) == ("unknown_77", "unknown_77", 1)
        assert catalogue.for_code("create_whatsapp", 77).policy is Policy.DISCARD
        assert (await teaching.unteach(taken_back_by, **BY))["untaught"]


@pytest.mark.parametrize("asked", ["unknown_77", "77"])
async def test_a_code_that_has_a_name_keeps_it_where_no_other_is_given(
    desk: Desk, teaching: Teaching, catalogue: LiveCatalogue, asked: str
) -> None:
    """Its policy alone is to change: nobody has to remember what it was called."""
    await a_failure(desk)
    await teaching.teach("77", name="frozen", words=WORDS, **BY)
    lesson = await teaching.teach(asked, words={"policy": "fail"}, **BY)

    assert (lesson["reason"], lesson["code"], lesson["meaning"]) == ("frozen", 77, "It is frozen.")
    assert catalogue.for_code("create_whatsapp", 77).policy is Policy.FAIL


async def test_a_code_of_two_taught_calls_must_be_told_apart(teaching: Teaching) -> None:
    """Else it would be anybody's guess which is meant."""
    await teaching.teach("77", name="frozen", words=WORDS, **BY)
    await teaching.teach("77", name="page_frozen", call="create_facebook", words=WORDS, **BY)

    with pytest.raises(TeachRefused, match="say --call create_") as caught:
        await teaching.teach("77", words={"policy": "fail"}, **BY)

    assert caught.value.field == "call"


@pytest.mark.parametrize(
    ("asked", "more", "field", "message"),
    [
        ("77", {"words": WORDS}, "name", "is to be called"),
        ("77", {"name": "frozen", "words": {"class": "bad_data"}}, "meaning", "is missing"),
        ("77", {"name": "frozen", "words": {**WORDS, "class": "bad_dat"}}, "class", "did you mean bad_data"),
        ("77", {"name": "Frozen!", "words": WORDS}, "name", "small letters"),
        (
            "77",
            {"name": "frozen", "call": "create_whatsap", "words": WORDS},
            "call",
            r"no such call.* Did you mean create_whatsapp\?",
        ),
        (
            "77",
            {"name": "frozen", "call": "xyz", "words": WORDS},
            "call",
            "no such call.* Known: access_token",
        ),
        ("4", {"words": WORDS}, "name", r"code 4 is number_invalid \(shared\).* reasons set number_invalid"),
        ("foreign_link", {"name": "other", "words": WORDS}, "name", "is a name already"),
        ("foreign_link", {"words": {"policy": "drop"}}, "policy", "is not known"),
        (
            "unknwn_21",
            {"name": "other", "words": WORDS},
            "name",
            r"no such reason.* Did you mean unknown_21\?",
        ),
        ("unknwn_21", {"words": WORDS}, "name", r"Did you mean unknown_21\?"),
        ("foregn_link", {"name": "other", "words": WORDS}, "name", r"Did you mean foreign_link\?"),
        ("77", {"name": "frozen", "words": {**WORDS, "class": "bad_dat"}}, "class", r"^class: .*bad_data\?$"),
    ],
)
async def test_what_cannot_be_used_is_named_and_nothing_is_kept(
    desk: Desk, teaching: Teaching, asked: str, more: dict[str, Any], field: str, message: str
) -> None:
    """By the reader of REASONS_FILE, with its words."""
    with pytest.raises(TeachRefused, match=message) as caught:
        await teaching.teach(asked, **more, **BY)

    assert caught.value.field == field
    assert await desk.ledger.taught.lessons() == []


async def test_what_was_taught_can_be_taken_back(teaching: Teaching, catalogue: LiveCatalogue) -> None:
    """By the group's name, the code or the reason's name."""
    for asked in ("unknown_77", "77", "frozen"):
        await teaching.teach("77", name="frozen", words=WORDS, **BY)
        assert (await teaching.unteach(asked, **BY))["untaught"]
        assert catalogue.for_code("create_whatsapp", 77).name == "unknown_77"

    with pytest.raises(TeachRefused, match="nothing was taught"):
        await teaching.unteach("frozen", **BY)


async def test_a_name_that_other_codes_go_by_is_not_taken_away(
    teaching: Teaching, catalogue: LiveCatalogue
) -> None:
    """Else these would lose their meaning in silence."""
    await teaching.teach("77", name="frozen", words=WORDS, **BY)
    await teaching.teach("78", name="frozen", words={}, **BY)

    with pytest.raises(TeachRefused, match="other codes go by the name frozen"):
        await teaching.unteach("77", **BY)

    assert catalogue.for_code("create_whatsapp", 78).meaning == "It is frozen."
    await teaching.unteach("78", **BY)
    await teaching.unteach("77", **BY)


async def test_the_form_of_an_unknown_group_offers_what_may_be_said(desk: Desk, teaching: Teaching) -> None:
    """The code, whose it is, how many jobs wait, and every class and policy."""
    await a_failure(desk)
    form = await teaching.form("unknown_77")

    assert (form["code"], form["calls"], form["standing"], form["is_known"]) == (
        77,
        ["create_whatsapp"],
        1,
        False,
    )
    assert "bad_data" in form["classes"]
    assert form["policies"] == ["fail", "retry", "snooze", "discard"]


async def test_the_list_says_where_each_reason_comes_from(
    teaching: Teaching, catalogue: LiveCatalogue
) -> None:
    """And which codes mean it."""
    await teaching.teach("77", name="frozen", words=WORDS, **BY)
    items = {each["reason"]: each for each in reasons_view(catalogue)["items"]}

    assert items["frozen"]["from"] == "taught"
    assert items["frozen"]["taught_by"] == "cli:dana"
    assert items["frozen"]["taught_at"] is not None
    assert items["frozen"]["codes"] == [{"call": "create_whatsapp", "code": 77}]
    assert items["partner_timeout"]["from"] == "shipped"


async def test_what_failed_before_is_of_the_class_that_was_taught(desk: Desk, teaching: Teaching) -> None:
    """However that was: by a name of its own, by that of a reason that is known, under its old name; until taken back."""

    async def found(reason_class: str) -> int:
        return (await desk.ledger.queries.find(JobFilter(reason_class=reason_class))).total

    await a_failure(desk)
    await teaching.teach("77", name="frozen", words=WORDS, **BY)
    assert (await found("bad_data"), await found("unknown")) == (1, 0)
    await teaching.teach("frozen", words={"class": "not_registered"}, **BY)
    assert (await found("not_registered"), await found("bad_data")) == (1, 0)
    with pytest.raises(TeachRefused, match="frozen, or more was taught of it"):
        await teaching.unteach("77", **BY)
    await teaching.unteach("frozen", **BY)
    assert (await found("bad_data"), await found("not_registered")) == (1, 0)
    await teaching.unteach("77", **BY)
    assert (await found("unknown"), await found("not_registered")) == (1, 0)

    await teaching.teach("77", name="already_onboarded", words={}, **BY)
    assert (await found("already_onboarded"), await found("unknown")) == (1, 0)
    await teaching.unteach("77", **BY)

    await teaching.teach("unknown_77", words=WORDS, **BY)
    assert (await found("bad_data"), await found("unknown")) == (1, 0)
