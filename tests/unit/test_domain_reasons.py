"""The reasons catalogue: complete, and open to an operator's file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.lessons import code_in
from worker.domain.reasons import Catalogue, Policy, Reason, ReasonClass, ReasonsFileError
from worker.domain.report import REPORT_REASONS

SHIPPED = Catalogue.shipped()
PARTNER_CALLS = ("create_whatsapp", "create_facebook", "get_accounts", "get_registered", "delete_account")


def test_every_shipped_reason_teaches():
    """A sentence of meaning, a remedy, a class and a policy."""
    assert len(SHIPPED.all()) > 50
    for reason in SHIPPED.all():
        assert re.fullmatch("[a-z0-9_]+", reason.name)
        assert reason.meaning.endswith(".")
        assert len(reason.remedy) > 5
        assert isinstance(reason.reason_class, ReasonClass)
        assert isinstance(reason.policy, Policy)


@pytest.mark.parametrize(
    ("call", "code", "name"),
    [
        ("create_whatsapp", 4, "number_invalid"),
        ("create_whatsapp", 2, "token_refused"),
        ("create_whatsapp", 3, "token_expired"),
        ("create_facebook", 20, "reference_invalid"),
        ("access_token", 2, "token_refused"),
        ("access_token", 3, "token_blocked"),
        ("delete_account", 25, "already_onboarded"),
        ("delete_account", 26, "onboarding_not_found"),
        ("set_webhook", 13, "settings_url_invalid"),
        ("get_accounts", 13, "wrong_method"),
        ("sms_99digital", 3, "sms_sender_not_verified"),
        ("sms_99digital", 6, "sms_auth_refused"),
        ("sms_twilio", 21610, "sms_recipient_refused"),
    ],
)
def test_documented_codes_have_their_names(call, code, name):
    """Shared codes hold for every call to the partner, and a call's own win."""
    assert SHIPPED.for_code(call, code).name == name


@pytest.mark.parametrize("call", PARTNER_CALLS)
def test_shared_codes_hold_for_every_partner_call(call):
    """Wrong credentials are wrong everywhere."""
    assert SHIPPED.for_code(call, 2).reason_class is ReasonClass.CREDENTIALS


def test_the_partners_shared_codes_say_nothing_about_texts():
    """20 is a bad reference at the partner and nothing known at the SMS gateway."""
    assert SHIPPED.for_code("sms_99digital", 20).reason_class is ReasonClass.UNKNOWN


@given(st.one_of(st.none(), st.integers()), st.text(max_size=20))
def test_any_code_of_any_call_has_a_reason(code, call):
    """An unknown code is an ordinary case: it fails, with its number in its name."""
    reason = SHIPPED.for_code(call, code)

    assert re.fullmatch(r"[a-z0-9_-]{1,60}", reason.name)
    assert reason.remedy


@pytest.mark.parametrize(
    ("code", "name"),
    [(17, "unknown_17"), (None, "unknown_none"), (-1, "unknown_-1"), (10**300, "unknown_other")],
)
def test_an_unknown_code_waits_for_a_person(code, name):
    """Class unknown, policy fail, and not blamed on the row."""
    reason = SHIPPED.for_code("create_whatsapp", code)

    assert (reason.name, reason.reason_class, reason.policy) == (name, ReasonClass.UNKNOWN, Policy.FAIL)
    assert not reason.is_own_data


@pytest.mark.parametrize("name", ["from_the_future", "unknown_" + "9" * 5000, "unknown_\u0663", "unknown_"])
def test_a_name_that_nobody_described_is_no_crash(name):
    """A newer process may have written it, or anybody an address of the console; Python reads no number of any length."""
    assert SHIPPED.named(name).reason_class is ReasonClass.UNKNOWN
    assert SHIPPED.named(name).name == name
    assert code_in(name) is None


def test_every_reason_named_in_the_source_is_described():
    """The drift test: a Fail or a Snoozed never carries a name the catalogue does not know; reports have their own."""
    names = {reason.name for reason in SHIPPED.all()} | REPORT_REASONS
    pattern = re.compile(r'(?:reason=|named\()"([a-z0-9_]+)"')
    missing = {
        f"{path.name}: {name}"
        for folder in ("domain", "partner", "dispatch", "execution", "maintenance")
        for path in (Path(__file__).parents[2] / "worker" / folder).rglob("*.py")
        if "sandbox" not in path.parts
        for name in pattern.findall(path.read_text(encoding="utf-8"))
        if name not in names
    }

    assert not missing


# --- an operator's file ------------------------------------------------------------------------------------

TOML = """
[reasons.number_not_registered]
remedy = "Ask Ruth."

[codes.create_whatsapp]
17 = "number_not_registered"
18 = { name = "logo_unreachable", class = "bad_data", meaning = "No logo.", remedy = "Check it.", own_data = true }
4 = { name = "number_invalid", policy = "discard" }
"""


def as_json():
    """Return the same file as JSON."""
    return json.dumps(
        {
            "reasons": {"number_not_registered": {"remedy": "Ask Ruth."}},
            "codes": {
                "create_whatsapp": {
                    "17": "number_not_registered",
                    "18": {
                        "name": "logo_unreachable",
                        "class": "bad_data",
                        "meaning": "No logo.",
                        "remedy": "Check it.",
                        "own_data": True,
                    },
                    "4": {"name": "number_invalid", "policy": "discard"},
                }
            },
        }
    )


@pytest.mark.parametrize("text", [TOML, as_json(), "\ufeff" + TOML, "  \n" + as_json()])
def test_an_operators_file_wins_key_by_key(text):
    """What it says is taken, the rest stays as shipped, other calls are untouched."""
    catalogue = SHIPPED.with_overrides(text)

    registered = catalogue.for_code("create_whatsapp", 17)
    assert registered.remedy == "Ask Ruth."
    assert registered.reason_class is ReasonClass.NOT_REGISTERED
    assert catalogue.named("logo_unreachable") == Reason(
        name="logo_unreachable",
        reason_class=ReasonClass.BAD_DATA,
        meaning="No logo.",
        remedy="Check it.",
        is_own_data=True,
    )
    assert catalogue.for_code("create_whatsapp", 4).policy is Policy.DISCARD
    assert catalogue.for_code("delete_account", 4).policy is Policy.FAIL
    assert SHIPPED.for_code("create_whatsapp", 17).name == "unknown_17"


def test_a_reason_described_anew_counts_for_its_codes():
    """`remedy` of token_expired is what code 3 says from then on."""
    catalogue = SHIPPED.with_overrides('[reasons.token_expired]\nremedy = "Wait a second."')

    assert catalogue.for_code("create_whatsapp", 3).remedy == "Wait a second."


@pytest.mark.parametrize("text", ["", "# nothing yet", "{}", "[codes.create_whatsapp]"])
def test_an_empty_file_changes_nothing(text):
    """It is a fine place to begin."""
    assert SHIPPED.with_overrides(text).all() == SHIPPED.all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[reasons.x\n", "line 1"),
        ('{"codes": }', "line 1, column 11"),
        ("[1, 2]", "not a list"),
        ("[code]", "code: no such key; did you mean codes?"),
        ("[codes.create_whatsap]", "did you mean create_whatsapp?"),
        (
            "[codes.create_whatsapp]\nx = 'foreign_link'",
            "codes.create_whatsapp.x: the partner's codes are whole",
        ),
        ("[codes.create_whatsapp]\n7 = 'foreign_lnk'", "did you mean foreign_link?"),
        ("[codes.create_whatsapp]\n7 = 8", "codes.create_whatsapp.7: must be a table"),
        ("[codes.create_whatsapp]\n7 = {policy = 'fail'}", "codes.create_whatsapp.7.name: is missing"),
        ("[reasons.foreign_link]\npolicy = 'retyr'", "'retyr' is not known; did you mean retry?"),
        ("[reasons.foreign_link]\nclass = 3", "reasons.foreign_link.class"),
        ("[reasons.foreign_link]\nremdy = 'x'", "did you mean remedy?"),
        ("[reasons.foreign_link]\nremedy = ' '", "must be a sentence"),
        ("[reasons.foreign_link]\nown_data = 1", "must be true or false"),
        ("[reasons.brand_new]\nclass = 'bad_data'", "reasons.brand_new.meaning: is missing"),
        ("[reasons.'No Good']\nclass = 'bad_data'", "small letters"),
        ("reasons = 3", "reasons: must be a table"),
    ],
)
def test_a_bad_file_gives_one_clear_error(text, words):
    """Naming the line or the key, and the nearest known word."""
    with pytest.raises(ReasonsFileError) as caught:
        SHIPPED.with_overrides(text)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


#: Words of such a file, so that what is generated comes further than its first line.
WORDS = st.sampled_from(
    ("reasons", "codes", "create_whatsapp", "shared", "foreign_link", "brand_new", "7", "-1", "two\nlines",
     "class", "meaning", "remedy", "policy", "own_data", "name", "bad_data", "retry")
)  # fmt: skip
DOCUMENTS = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=6)
    ),
)


@given(st.text(max_size=80) | DOCUMENTS.map(json.dumps))
def test_any_file_is_read_or_refused(text):
    """Refused in one line and by no other error; read, it takes away nothing that was known."""
    catalogue, refusal = SHIPPED, "none"
    try:
        catalogue = SHIPPED.with_overrides(text)
    except ReasonsFileError as exc:
        refusal = str(exc)

    assert len(refusal.splitlines()) == 1
    assert {each.name for each in SHIPPED.all()} <= {each.name for each in catalogue.all()}
    assert {each[:2] for each in SHIPPED.codes()} <= {each[:2] for each in catalogue.codes()}


def test_every_code_has_one_meaning_however_it_is_asked_for():
    """By the call's own table or the shared one, or by its name: the same reason, whose class is one."""
    for call, code, reason in SHIPPED.codes():
        assert SHIPPED.for_code(call, code) is reason
        assert SHIPPED.named(reason.name) is reason
    for call in PARTNER_CALLS:
        shared = {code: reason for table, code, reason in SHIPPED.codes() if table == "shared"}
        own = {code for table, code, _ in SHIPPED.codes() if table == call}
        assert all(
            SHIPPED.for_code(call, code) is reason for code, reason in shared.items() if code not in own
        )


def test_the_tables_can_be_listed():
    """For `linkferry reasons list`."""
    assert ("access_token", 3, SHIPPED.named("token_blocked")) in SHIPPED.codes()
    assert {"shared", *PARTNER_CALLS} <= set(SHIPPED.calls())
