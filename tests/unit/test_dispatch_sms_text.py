"""Short texts: names give way, links never do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.factories import a_request
from worker.dispatch.compose_sms import budget_segments, gsm7_name, shortened
from worker.dispatch.preview import SAMPLE_SENDER, preview_invitation, sample_links
from worker.dispatch.segments import Encoding, measure
from worker.domain.request import Contact, Product

_LONG = "The Very Old And Very Honourable Company Of Gardeners And Flower Growers Of Upper Galilee"


def _text(locale: str = "en", brand: str = "Acme", **changes: object) -> str:
    contact = Contact(phone="972501234567", locale=locale)
    request = a_request(contact=contact, **changes)
    return preview_invitation(request, sender=replace(SAMPLE_SENDER, brand_name=brand)).sms.text


def test_an_english_text_names_who_and_whom() -> None:
    """One part, the link on a line of its own."""
    text = _text()

    assert text == "Acme: Dana Flowers, your link to connect WhatsApp:\nhttps://onboarding.example/123456"


def test_a_hebrew_text_names_who_and_whom() -> None:
    """Two parts."""
    text = _text("he", business_name="פרחי דנה")

    assert text == "כאן Acme. פרחי דנה, הקישור שלכם לחיבור ל-WhatsApp:\nhttps://onboarding.example/123456"


def test_a_long_name_is_cut_and_the_link_is_not() -> None:
    """In letters that GSM-7 has: an ellipsis would turn the text into UCS-2."""
    text = _text(business_name=_LONG, brand="A Rather Long Name Of Ours")

    assert measure(text).segments == 1
    assert measure(text).encoding is Encoding.GSM7
    assert text.endswith("\nhttps://onboarding.example/123456")
    assert "The Very Old" in text


def test_a_hebrew_name_stays_out_of_an_english_text() -> None:
    """One letter of it would cost the text more than half its room."""
    text = _text(business_name="פרחי דנה", brand="אקמי")

    assert text == "Your link to connect WhatsApp:\nhttps://onboarding.example/123456"


def test_one_text_holds_all_links() -> None:
    """Each labelled, each on its line; a part more for each beyond the first."""
    text = _text(products=(Product.WHATSAPP, Product.FACEBOOK_MESSENGER, Product.INSTAGRAM_PAGE))

    assert text.splitlines()[1:] == [
        "WhatsApp: https://onboarding.example/123456",
        "Messenger: https://onboarding.example/f/123457",
        "Instagram: https://onboarding.example/f/123458",
    ]
    assert measure(text).segments <= budget_segments(3, Encoding.GSM7) == 3


def test_a_link_too_long_for_the_budget_is_sent_whole_all_the_same() -> None:
    """The parts are what they are, and are counted; names take what is left of them and no part more."""
    request = a_request(contact=Contact(phone="972501234567", locale="en"))
    link = replace(sample_links(request)[0], link="https://onboarding.example/" + "x" * 300)
    sms = preview_invitation(request, [link]).sms

    assert sms.text == f"Acme: Dana Flowers, your link to connect WhatsApp:\n{link.link}"
    assert sms.segments == 3


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Dana’s “Flowers” – Ltd…", 'Dana\'s "Flowers" - Ltd...'),
        ("Café Müller", "Café Müller"),
        ("Čapek", "Capek"),
        ("Dana 🌸 Flowers", "Dana Flowers"),
        ("פרחי דנה", ""),
        ("Dana פרחים", ""),
    ],
)
def test_a_name_in_gsm7(name: str, plain: str) -> None:
    """Accents and typography are made plain; other scripts can't be."""
    assert gsm7_name(name) == plain


def test_a_cut_name_keeps_its_accents() -> None:
    """A letter and the mark on it go together."""
    assert shortened("Dana Flowers", 7, ".") == "Dana F."
    assert shortened("Dana Flowers", 12, ".") == "Dana Flowers"
    assert shortened("abcde\u0301fgh", 6, "…") == "abcd…"
    assert shortened("Dana Flowers", 6, "…") == "Dana…"


@pytest.mark.parametrize("locale", ["he", "en"])
def test_links_that_fill_the_budget_leave_the_name_what_their_parts_have_left(locale: str) -> None:
    """Who asks is said where it costs no part more."""
    request = a_request(
        products=(Product.WHATSAPP, Product.FACEBOOK_MESSENGER, Product.INSTAGRAM_MESSENGER),
        contact=Contact(phone="972501234567", locale=locale),
    )
    links = [replace(each, link=f"{each.link}{'x' * 110}") for each in sample_links(request)]
    sms = preview_invitation(request, links, sender=replace(SAMPLE_SENDER, brand_name="Acme")).sms

    bare = "\n".join([sms.text.splitlines()[0].replace("Acme", ""), *sms.text.splitlines()[1:]])
    assert measure(bare).segments > budget_segments(3, measure(bare).encoding)
    assert "Acme" in sms.text
    assert sms.segments == measure(bare).segments
