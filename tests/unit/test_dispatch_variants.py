"""What each variant of the message says, and what it takes care not to say."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.factories import a_request
from worker.dispatch import Composer, MailMessage, SmsMessage
from worker.dispatch.compose_colours import (
    DARK_CARD,
    EDGE_CONTRAST,
    LIGHT_CARD,
    TEXT_CONTRAST,
    contrast,
    dark_button,
    light_button,
)
from worker.dispatch.links import FOREIGN_LINK, OwnAddresses, check_mail
from worker.dispatch.preview import (
    BARE_BRAND,
    FIXTURES,
    SAMPLE_BRAND,
    SAMPLE_DATE,
    SAMPLE_SENDER,
    Preview,
    previewed,
    sample_links,
)
from worker.dispatch.wording import Wording
from worker.domain.brand import Brand
from worker.domain.outcome import Skipped
from worker.domain.states import Channel

_COMPOSER = Composer(sender=SAMPLE_SENDER)
_LOCALES = ("he", "en")
_AGREED = {"he": "כפי שסיכמנו", "en": "As agreed"}


def _shown(name: str, locale: str, brand: Brand = SAMPLE_BRAND) -> Preview:
    return previewed(_COMPOSER, FIXTURES[name].delivery(locale), brand=brand)


@pytest.mark.parametrize("locale", _LOCALES)
@pytest.mark.parametrize("name", FIXTURES)
def test_every_variant_says_what_a_wary_owner_wants_to_know(name: str, locale: str) -> None:
    """Who, how long, where the link leads, where the password belongs, whom to call, what is granted, how to undo it."""
    text = _shown(name, locale).mail.text

    for needed in (
        "Acme Digital" if locale == "en" else "אקמי דיגיטל",
        "minutes" if locale == "en" else "דקות",
        "onboarding.example",
        "facebook.com",
        "never ask" if locale == "en" else "לא מבקשים אותה אף פעם",
        "3-555-0100",
        "Noa",
        "https://acme.example/is-it-us",
        "https://acme.example/privacy",
        "We may" if locale == "en" else "נוכל",
        "take it back" if locale == "en" else "לביטול",
        "did not expect" if locale == "en" else "לא ציפיתם",
    ):
        assert needed in text


@pytest.mark.parametrize("locale", _LOCALES)
@pytest.mark.parametrize("name", FIXTURES)
def test_as_agreed_stands_only_where_the_request_says_so(name: str, locale: str) -> None:
    """A claim of an agreement that never was costs all trust."""
    mail = _shown(name, locale).mail

    assert (_AGREED[locale] in mail.text) is FIXTURES[name].is_agreed
    assert (_AGREED[locale] in mail.html) is FIXTURES[name].is_agreed


@pytest.mark.parametrize("locale", _LOCALES)
def test_a_replacement_names_the_day_and_claims_only_what_is_sure(locale: str) -> None:
    """WhatsApp's earlier link is deleted at the partner; Facebook's may still open."""
    gone = "no longer works" if locale == "en" else "אינו פעיל"
    day = "3 March" if locale == "en" else "3 במרץ"

    whatsapp, facebook = (_shown(name, locale).mail.text for name in ("replaced", "replaced-facebook"))

    assert day in whatsapp
    assert day in facebook
    assert gone in whatsapp
    assert gone not in facebook


def test_reminders_say_when_the_first_message_came_and_which_is_the_last() -> None:
    """And that whoever is done has nothing left to do."""
    first, last = (_shown(name, "en") for name in ("reminder", "last-reminder"))

    assert "We sent you a personal link on 3 March" in first.mail.text
    assert "last reminder" not in first.mail.text
    assert "last reminder" in last.mail.text
    assert "Already done?" in last.mail.text
    assert "rather not be reminded" in first.mail.text
    assert first.mail.subject.startswith("Reminder")
    assert "a reminder:" in first.sms.text


def test_a_reminder_of_an_unknown_first_message_names_no_day() -> None:
    """Nobody's record of it is left."""
    delivery = replace(FIXTURES["reminder"].delivery("he"), first_sent_at_ms=None)

    assert "לפני כמה ימים" in previewed(_COMPOSER, delivery, brand=BARE_BRAND).mail.text


@pytest.mark.parametrize("locale", _LOCALES)
def test_five_products_are_one_mail_and_one_text(locale: str) -> None:
    """Six parts in Hebrew at most, five in English."""
    shown = _shown("all", locale)

    assert shown.mail.html.count('class="button"') == 5
    assert shown.sms.text.count("https://") == 5
    assert shown.sms.segments <= (6 if locale == "he" else 5)


def test_a_brand_without_anything_has_no_empty_places() -> None:
    """No picture, no number, no pages: the sender's own name, and an answer to the mail."""
    shown = _shown("whatsapp", "en", BARE_BRAND)

    assert "<img" not in shown.mail.html
    assert "tel:" not in shown.mail.html
    assert "Just answer this e-mail" in shown.mail.text
    assert shown.mail.sender.brand_name == "Acme"
    assert shown.sms.sender is None
    assert "\n\n\n" not in shown.mail.text


def test_the_brand_is_the_messages_sender() -> None:
    """By its name in the customer's language, with its reply-to; the address stays the one that may send."""
    shown = _shown("whatsapp", "he")
    email = shown.mail.as_email()

    assert email["From"] == "אקמי דיגיטל <links@acme.example>"
    assert email["Reply-To"] == "help@acme.example"
    assert shown.sms.sender == "ACME"


@pytest.mark.parametrize(
    "markup",
    [
        '<a href="https://acme.example/other">x</a>',
        '<a href="https://acme.example/logo.png">x</a>',
        '<img src="https://acme.example/privacy">',
        '<img src="https://acme.example/logo.png?c=1">',
        '<a href="tel:+972500000000">x</a>',
        '<link href="https://acme.example/privacy">',
        "<p>https://acme.example/</p>",
    ],
)
def test_a_brands_addresses_stand_each_in_its_place_and_nothing_else_does(markup: str) -> None:
    """A page is linked to, the logo is shown; another page of the same site is foreign."""
    delivery = FIXTURES["whatsapp"].delivery("en")
    mail = previewed(_COMPOSER, delivery, brand=SAMPLE_BRAND).mail
    own = OwnAddresses.of(SAMPLE_BRAND)

    assert check_mail(mail.html, mail.text, delivery.links, own) is None
    assert check_mail(mail.html + markup, mail.text, delivery.links, own) == FOREIGN_LINK
    assert check_mail(mail.html, mail.text, delivery.links) == FOREIGN_LINK


def test_an_unsound_address_of_a_brand_is_left_out() -> None:
    """Rather a message without its page than none."""
    brand = replace(SAMPLE_BRAND, privacy_url="http://acme.example/privacy", logo="javascript:alert(1)")
    message = _COMPOSER.compose(FIXTURES["whatsapp"].delivery("en"), brand=brand, dated_at=SAMPLE_DATE)

    assert isinstance(message, MailMessage)
    assert "http://acme" not in message.html
    assert "<img" not in message.html


def test_the_logo_has_words_and_a_fixed_size() -> None:
    """It is the same picture for everybody, and a mail that hides pictures still says who writes."""
    html = _shown("whatsapp", "en").mail.html

    assert re.search(
        r'<img src="https://acme\.example/logo\.png" alt="Acme Digital" width="160" height="48"', html
    )


@pytest.mark.parametrize("level", range(0, 256, 15))
def test_a_buttons_text_can_be_read_whatever_the_brands_colour(level: int) -> None:
    """4.5 to 1 for the text, 3 to 1 for the button itself, by day and in dark mode."""
    for colour in (
        f"#{level:02x}{level:02x}{level:02x}",
        f"#{level:02x}ff00",
        f"#ff{level:02x}40",
        f"#0040{level:02x}",
    ):
        for button, card in ((light_button(colour), LIGHT_CARD), (dark_button(colour), DARK_CARD)):
            assert contrast(button.text, button.background) >= TEXT_CONTRAST
            assert contrast(button.edge, card) >= EDGE_CONTRAST
        assert light_button(colour).background == colour


def test_dates_are_israels_and_bear_another_years_number() -> None:
    """Half past eleven at night in London is the next day here."""
    wording = Wording.load("en")
    at_ms = round(datetime(2025, 12, 31, 22, 30, tzinfo=UTC).timestamp() * 1000)

    assert wording.date(at_ms, told_at=SAMPLE_DATE) == "1 January"
    assert wording.date(at_ms - 86_400_000, told_at=SAMPLE_DATE) == "31 December 2025"


@pytest.mark.parametrize(
    ("digits", "hebrew", "english"),
    [
        ("972501234567", "050-123-4567", "+972 50-123-4567"),
        ("97235550100", "03-555-0100", "+972 3-555-0100"),
        ("12125550100", "\u200e+12125550100", "+12125550100"),
    ],
)
def test_numbers_read_as_people_write_them(digits: str, hebrew: str, english: str) -> None:
    """Landlines too; a plus keeps its place in Hebrew."""
    assert Wording.load("he").number(digits) == hebrew
    assert Wording.load("en").number(digits) == english


def test_lines_of_a_hebrew_text_all_run_from_right_to_left() -> None:
    """One that begins with a Latin name would be laid out from the left."""
    text = _shown("several", "he").mail.text

    begun = [line for line in text.splitlines() if re.match(r"[*\s-]*[A-Za-z]", line)]
    assert all("://" in line for line in begun)


def test_a_foreign_link_in_a_reminder_is_not_sent_either() -> None:
    """The rule holds for every template."""
    delivery = FIXTURES["reminder"].delivery("en", Channel.SMS)
    foreign = replace(delivery.links[0], job_id="z" * 20 + "w")

    outcome = _COMPOSER.compose(replace(delivery, links=(foreign,)), brand=SAMPLE_BRAND, dated_at=SAMPLE_DATE)

    assert outcome == Skipped(reason=FOREIGN_LINK)


def test_the_phone_goes_before_any_name_is_cut() -> None:
    """In a text that is full it is the first thing left out."""
    name = "Dana Flowers And All Her Sisters Of Upper Galilee And The Golan"
    delivery = FIXTURES["whatsapp"].delivery("en", Channel.SMS)
    request = a_request(business_name=name, contact=delivery.request.contact)
    sms = _COMPOSER.compose(
        replace(delivery, request=request, links=tuple(sample_links(request))),
        brand=SAMPLE_BRAND,
        dated_at=SAMPLE_DATE,
    )

    assert isinstance(sms, SmsMessage)
    assert name in sms.text
    assert "555" not in sms.text
