"""From endings to outcomes, and from lists to findings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.classify import Accounts, call_of, classify_create, finding_for, usable_link
from worker.domain.outcome import (
    Absent,
    AccountEntry,
    Answered,
    Doubtful,
    FoundForeign,
    FoundOurs,
    Linked,
    NotDone,
    Refused,
    Retry,
    Snoozed,
    Unanswered,
)
from worker.domain.reasons import Catalogue
from worker.domain.request import Product

SHIPPED = Catalogue.shipped()
LINK = "https://partners.example.com/o/abc"
FACEBOOK = Product.INSTAGRAM_PAGE
FACTS_OF_JOB = ("01hzy3v8k2aaaaaaaaaaw", "972501234567")


def classified(product, ending, *, failures=0, orphans=0, catalogue=SHIPPED, chance=0.5, **more):
    """Classify with ordinary circumstances."""
    return classify_create(
        product, ending, failures=failures, orphans=orphans, catalogue=catalogue, chance=chance, **more
    )


def answer(code=1, *, is_ok=None, **body):
    """Return an answer of the partner's."""
    return Answered(
        is_ok=code == 1 if is_ok is None else is_ok, code=code, body=body, http_status=200, raw="masked"
    )


# --- answered ----------------------------------------------------------------------------------------------


def test_ok_with_a_link_is_linked():
    """With its landing page, and the number it is for."""
    ending = answer(onboarding_link=LINK, landing_page=LINK + "/page", whatsapp="972501234567")

    assert classified(Product.WHATSAPP, ending, number="972501234567") == Linked(
        link=LINK, landing_page=LINK + "/page", number="972501234567"
    )


def test_a_coexistence_link_carries_the_temporary_number():
    """As text or as a JSON number."""
    for number in ("972571234567", 972571234567):
        outcome = classified(Product.WHATSAPP, answer(onboarding_link=LINK, whatsapp=number))
        assert outcome == Linked(link=LINK, number="972571234567")


@pytest.mark.parametrize("page", [None, "", "no page", 7, "javascript:alert(1)"])
def test_an_unusable_landing_page_is_none(page):
    """The link is what counts."""
    outcome = classified(Product.WHATSAPP, answer(onboarding_link=LINK, landing_page=page))

    assert outcome == Linked(link=LINK)


@pytest.mark.parametrize(
    "link",
    [None, "", "soon", 12, ["x"], "javascript:alert(1)", "https://", LINK + ' "', "https://x/" + "y" * 3000],
)
def test_ok_without_a_usable_link_is_unknown(link):
    """WhatsApp waits for a look-up, Facebook asks once more."""
    ending = answer(onboarding_link=link)

    assert isinstance(classified(Product.WHATSAPP, ending), Doubtful)
    again = classified(FACEBOOK, ending)
    assert isinstance(again, Retry)
    assert again.is_orphan


def test_a_link_for_another_number_is_never_believed():
    """It may be another customer's: only the list can tell."""
    ending = answer(onboarding_link=LINK, whatsapp="972507654321")

    assert isinstance(classified(Product.WHATSAPP, ending, number="972501234567"), Doubtful)


@pytest.mark.parametrize("product", [Product.WHATSAPP, FACEBOOK])
def test_an_unknown_code_fails_with_the_code(product):
    """Never a crash, never a blind retry."""
    outcome = classified(product, answer(17))

    assert isinstance(outcome, Refused)
    assert not outcome.is_discard
    assert (outcome.fail.reason, outcome.fail.reason_class, outcome.fail.code) == (
        "unknown_17",
        "unknown",
        17,
    )
    assert outcome.fail.raw == "masked"


def test_a_refusal_without_a_code_fails_too():
    """There is a reason for that as well."""
    outcome = classified(Product.WHATSAPP, answer(None))

    assert isinstance(outcome, Refused)
    assert outcome.fail.reason == "unknown_none"


def test_fail_with_the_code_of_success_is_unknown():
    """It contradicts itself, so the link may exist."""
    assert isinstance(classified(Product.WHATSAPP, answer(1, is_ok=False)), Doubtful)


@pytest.mark.parametrize(
    ("code", "reason", "least_s", "most_s"), [(3, "token_expired", 0.5, 3), (2, "token_refused", 20, 200)]
)
def test_trouble_with_the_token_uses_up_no_try(code, reason, least_s, most_s):
    """An expired one is renewed at once; refused credentials hold everything."""
    outcome = classified(FACEBOOK, answer(code))

    assert isinstance(outcome, Snoozed)
    assert outcome.reason == reason
    assert least_s <= outcome.delay_s <= most_s


@pytest.mark.parametrize(
    ("policy", "kind"), [("fail", Refused), ("discard", Refused), ("retry", Retry), ("snooze", Snoozed)]
)
def test_the_catalogues_policy_decides(policy, kind):
    """An operator's file changes what becomes of a code."""
    catalogue = SHIPPED.with_overrides(
        f"[codes.create_whatsapp]\n17 = {{ name = 'busy', class = 'transient', meaning = 'Busy.', "
        f"remedy = 'Wait.', policy = '{policy}' }}"
    )
    outcome = classified(Product.WHATSAPP, answer(17), catalogue=catalogue)

    assert isinstance(outcome, kind)
    if isinstance(outcome, Refused):
        assert outcome.is_discard == (policy == "discard")


# --- surely not done ---------------------------------------------------------------------------------------


def test_an_unreachable_partner_is_tried_again_without_doubt():
    """Nothing was done there, so a second create is safe."""
    outcome = classified(Product.WHATSAPP, NotDone(reason="partner_unreachable"), failures=2)

    assert isinstance(outcome, Retry)
    assert not outcome.is_orphan
    assert outcome.delay_s == 10.0
    assert outcome.max_failures > 8


@pytest.mark.parametrize(
    "reason",
    [
        "partner_throttled",
        "token_refused",
        "token_blocked",
        "token_expired",
        "token_unavailable",
        "credentials_missing",
        "breaker_open",
        "partner_not_found_path",
    ],
)
def test_what_is_not_the_jobs_fault_uses_up_no_try(reason):
    """Systemic trouble leaves jobs waiting."""
    outcome = classified(Product.WHATSAPP, NotDone(reason=reason))

    assert isinstance(outcome, Snoozed)
    assert outcome.reason == reason


def test_what_the_partner_asks_for_is_obeyed():
    """At least that long."""
    outcome = classified(Product.WHATSAPP, NotDone(reason="partner_throttled", retry_after_s=120.0))

    assert isinstance(outcome, Snoozed)
    assert outcome.delay_s >= 120.0


# --- unknown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason", ["partner_timeout", "partner_dropped", "partner_unreadable", "partner_error"]
)
@pytest.mark.parametrize("failures", [0, 7, 1000])
def test_an_unknown_whatsapp_create_is_always_in_doubt(reason, failures):
    """Never a blind second create, however often it happened."""
    outcome = classified(Product.WHATSAPP, Unanswered(reason=reason), failures=failures)

    assert isinstance(outcome, Doubtful)
    assert outcome.fail.reason == reason


def test_an_unknown_facebook_create_is_repeated_once():
    """Then it waits for a person, with what happened in the detail."""
    ending = Unanswered(reason="partner_timeout")
    first, second = (classified(FACEBOOK, ending, orphans=orphans) for orphans in (0, 1))

    assert isinstance(first, Retry)
    assert first.is_orphan
    assert isinstance(second, Refused)
    assert (second.fail.reason, second.fail.detail) == ("unknown_outcome", "partner_timeout")


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=3)
_ENDINGS = st.one_of(
    st.builds(
        Answered,
        is_ok=st.booleans(),
        code=st.none() | st.integers(-5, 40),
        body=st.dictionaries(st.sampled_from(["onboarding_link", "whatsapp", "landing_page", "type"]), _JSON),
        http_status=st.just(200),
    ),
    st.builds(NotDone, reason=st.sampled_from([reason.name for reason in SHIPPED.all()])),
    st.builds(Unanswered, reason=st.sampled_from(["partner_timeout", "partner_error"])),
)


@given(
    _ENDINGS,
    st.sampled_from(list(Product)),
    st.integers(0, 99),
    st.integers(0, 3),
    st.floats(0, 1, exclude_max=True),
)
def test_every_ending_has_an_outcome(ending, product, failures, orphans, chance):
    """Whatever the partner sends; and no WhatsApp create of unknown outcome is ever tried again blindly."""
    outcome = classified(product, ending, failures=failures, orphans=orphans, chance=chance)

    if product is Product.WHATSAPP and isinstance(ending, Unanswered):
        assert isinstance(outcome, Doubtful)
    if isinstance(outcome, Linked):
        assert usable_link(outcome.link) == outcome.link
    if isinstance(outcome, Retry):
        assert 1.0 <= outcome.delay_s <= 6 * 3600
        assert not outcome.is_orphan or product is not Product.WHATSAPP


def test_each_product_has_its_call():
    """The catalogue keeps their codes apart."""
    assert call_of(Product.WHATSAPP) == "create_whatsapp"
    assert {call_of(product) for product in Product} == {"create_whatsapp", "create_facebook"}


# --- look-ups ----------------------------------------------------------------------------------------------


def entry(reference, number="972501234567", link=LINK, **more):
    """Return one row of the partner's list."""
    return AccountEntry(whatsapp=number, reference=reference, link=link, **more)


def found(entries, *, is_coexistence=False):
    """Look the ordinary job up in a list."""
    job, number = FACTS_OF_JOB
    return finding_for(job, None if is_coexistence else number, is_coexistence, entries, 1000, SHIPPED)


def test_our_reference_is_our_link():
    """Whoever else stands on the number, and in whatever case it comes back."""
    ours = entry(FACTS_OF_JOB[0].upper(), landing_page=LINK + "/p")
    finding = found([entry("other", is_finished=True), ours])

    assert finding == FoundOurs(linked=Linked(link=LINK, landing_page=LINK + "/p", number="972501234567"))


def test_our_finished_link_is_told_apart():
    """The customer was quicker than the answer."""
    finding = found([entry(FACTS_OF_JOB[0], link="", is_finished=True)])

    assert isinstance(finding, FoundOurs)
    assert finding.is_finished


def test_our_link_without_an_address_waits_for_a_person():
    """There is nothing to send, and a second create would be refused."""
    finding = found([entry(FACTS_OF_JOB[0], link="")])

    assert isinstance(finding, FoundForeign)
    assert finding.fail.reason == "link_without_address"


@pytest.mark.parametrize(
    ("is_finished", "reason", "reason_class"),
    [(False, "foreign_link", "link_exists"), (True, "already_onboarded", "already_onboarded")],
)
@pytest.mark.parametrize("reference", [None, "", "somebody else's"])
def test_another_link_on_the_number_is_foreign(reference, is_finished, reason, reason_class):
    """With or without a reference; a finished one says more."""
    finding = found([entry(reference, is_finished=is_finished)])

    assert isinstance(finding, FoundForeign)
    assert (finding.fail.reason, finding.fail.reason_class) == (reason, reason_class)
    assert finding.fail.is_own_data


def test_absent_carries_when_the_list_began():
    """An empty list, or other customers' links."""
    assert found([]) == Absent(list_began_ms=1000)
    assert found([entry("x", number="972509999999")]) == Absent(list_began_ms=1000)


def test_coexistence_is_found_by_reference_alone():
    """It has no number that another link could stand on."""
    assert found([entry("x")], is_coexistence=True) == Absent(list_began_ms=1000)
    assert isinstance(found([entry(FACTS_OF_JOB[0])], is_coexistence=True), FoundOurs)


def test_one_list_serves_many_jobs():
    """Indexed once."""
    accounts = Accounts([entry("x", number=f"97250{nth:07d}") for nth in range(100)])

    assert accounts.of_number("972500000042") is not None
    assert isinstance(found(accounts), Absent)
