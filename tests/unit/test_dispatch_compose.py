"""What a customer reads: his own links and no others, in his language, in HTML that no name can break."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import a_request
from worker.dispatch import Composer, MailMessage, RecipientAllowlist, Sender, SmsMessage, check_links
from worker.dispatch.links import FOREIGN_LINK, check_mail, is_sound
from worker.dispatch.preview import (
    BARE_BRAND,
    SAMPLE_DATE,
    SAMPLE_SENDER,
    preview_invitation,
    sample_delivery,
    sample_links,
    sample_request,
)
from worker.domain.ids import job_id
from worker.domain.job import LinkToSend
from worker.domain.outcome import Skipped
from worker.domain.request import Contact, Product
from worker.domain.states import Channel

_ALL = tuple(Product)
_NASTY = '<script>alert(1)</script>&"\'<a href="https://evil.example/x">'


@pytest.mark.parametrize("locale", ["he", "en"])
@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize("products", [(product,) for product in _ALL] + [_ALL])
def test_every_product_has_a_button_and_its_plain_link(
    locale: str, generation: int, products: tuple[Product, ...]
) -> None:
    """Each link stands twice in the HTML, as a button and to be copied, and once in the text."""
    request = replace(sample_request(locale), products=products)
    mail = preview_invitation(request, generation=generation).mail

    for link in sample_links(request):
        assert mail.html.count(f'href="{link.link}"') == 2
        assert mail.html.count(f">{link.link}<") == 1
        assert mail.text.count(link.link) == 1
    assert check_mail(mail.html, mail.text, sample_links(request)) is None
    assert "facebook.com" in mail.text
    assert "onboarding.example" in mail.text
    assert "Acme" in mail.text
    assert f'dir="{"rtl" if locale == "he" else "ltr"}"' in mail.html


@pytest.mark.parametrize("locale", ["he", "en"])
def test_html_fetches_nothing(locale: str) -> None:
    """No picture, script, form or font from elsewhere: nobody learns that a mail was opened."""
    html = preview_invitation(sample_request(locale)).mail.html

    assert re.search(r"<(img|script|form|link|iframe|object)\b|src=|@import|url\(", html) is None


def test_coexistence_speaks_of_the_app_and_not_of_a_temporary_number() -> None:
    """The number that the partner allots until the end is none of the customer's business."""
    request = a_request(whatsapp="1", contact=Contact(email="d@example.com", locale="en"))
    links = [replace(sample_links(request)[0], number="972570000001")]
    mail = preview_invitation(request, links).mail

    assert "QR code" in mail.text
    assert "57-000" not in mail.text


def test_later_links_come_in_words_of_their_own() -> None:
    """A second generation says that it adds to the first."""
    first = preview_invitation(sample_request("en")).mail
    second = preview_invitation(sample_request("en"), generation=2).mail

    assert "further links" in second.subject
    assert "stay as they are" in second.text
    assert first.message_id != second.message_id


def test_the_business_is_called_as_it_calls_itself() -> None:
    """The partner got the name without its gershayim; the customer reads it with them."""
    mail = preview_invitation(sample_request("he")).mail

    assert 'פרחי דנה בע"מ' in mail.text
    assert "פרחי דנה בע&#34;מ" in mail.html


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Call bit.ly/x1 now", "Call bit.ly x1 now"),
        ("evil.example:8080/login", "evil.example login"),
        ("https://evil.example?a=1", "https evil.example a=1"),
        ("Booking.com", "Booking.com"),
        ("Levi/Cohen", "Levi/Cohen"),
    ],
)
def test_a_name_leads_to_no_page(name: str, shown: str) -> None:
    """Programs make a link of `bit.ly/x` without a scheme, too; a business may be called by its domain."""
    request = a_request(business_name=name, contact=Contact(email="d@example.com", locale="en"))
    shown_both = preview_invitation(request)

    assert f"connects {shown} to" in shown_both.mail.text
    assert shown in shown_both.sms.text


@pytest.mark.parametrize("generation", [1, 2])
def test_a_name_that_ends_in_a_full_stop_ends_its_sentence(generation: int) -> None:
    """`for Dana Ltd..` reads as a slip."""
    request = a_request(
        business_name="Dana Ltd.", contact=Contact(email="d@example.com", phone="972501234567", locale="en")
    )
    sender = replace(SAMPLE_SENDER, brand_name="Acme Ltd.")
    for locale in ("en", "he"):
        shown = preview_invitation(request, locale=locale, sender=sender, generation=generation)

        assert ".." not in shown.mail.text + shown.sms.text
        assert "Ltd.</bdi>." not in shown.mail.html
        assert "Acme Ltd. " in shown.mail.text


def test_a_hebrew_prefix_stays_with_its_word() -> None:
    """No line ends after the hyphen of `ל-WhatsApp`."""
    html = preview_invitation(sample_request("he")).mail.html

    assert "ל-\u2060WhatsApp" in html
    assert not re.search(r">[^<]*[א-ת]-[A-Za-z][^<]*</p>", html)


@pytest.mark.parametrize("locale", ["he", "en"])
def test_of_several_links_only_those_that_replace_one_are_said_to(locale: str) -> None:
    """A bundle may go out again after one of its links was replaced: the others are what they were."""
    delivery = sample_delivery(sample_request(locale))
    links = (replace(delivery.links[0], replaces_at_ms=1_772_528_400_000), *delivery.links[1:])
    text = (
        Composer(sender=SAMPLE_SENDER)
        .compose_mail(replace(delivery, links=links), brand=BARE_BRAND, dated_at=SAMPLE_DATE)
        .text
    )

    said = {
        "he": ("אם אחד מהם מחליף", "מחליף את הקישור מ-3 במרץ"),
        "en": ("Where one replaces", "link of 3 March"),
    }
    assert [text.count(each) for each in said[locale]] == [1, 1]


def test_names_are_escaped() -> None:
    """Markup in a name is shown, not obeyed, and its address is defused."""
    request = a_request(
        business_name=_NASTY, contact=Contact(name=_NASTY, email="d@example.com", locale="en")
    )
    mail = preview_invitation(request).mail

    assert "<script" not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert "evil.example" not in re.findall(r'href="([^"]*)"', mail.html)
    assert check_mail(mail.html, mail.text, sample_links(request)) is None


@given(
    name=st.text(max_size=200),
    business=st.text(max_size=200),
    brand=st.text(max_size=100),
    locale=st.sampled_from(["he", "en"]),
    products=st.sampled_from([_ALL, _ALL[:1], _ALL[1:3]]),
    generation=st.integers(1, 2),
)
def test_whatever_the_names_a_message_is_fit_to_send(
    name: str, business: str, brand: str, locale: str, products: tuple[Product, ...], generation: int
) -> None:
    """No name brings in an address, a second subject line, or costs a part of an SMS too many."""
    request = a_request(
        products=products,
        business_name=business,
        contact=Contact(name=name, email="d@example.com", phone="972501234567", locale=locale),
    )
    composer = Composer(
        sender=replace(SAMPLE_SENDER, brand_name=Sender.parse("a@b.example", brand_name=brand).brand_name)
    )
    mail = composer.compose(
        sample_delivery(request, generation=generation), brand=BARE_BRAND, dated_at=SAMPLE_DATE
    )
    sms = composer.compose(
        sample_delivery(request, generation=generation, channel=Channel.SMS),
        brand=BARE_BRAND,
        dated_at=SAMPLE_DATE,
    )

    assert isinstance(mail, MailMessage)
    assert len(mail.subject.splitlines()) == 1
    assert isinstance(sms, SmsMessage)
    assert sms.segments <= (2 if locale == "he" else 1) + len(products) - 1
    assert all(link.link in sms.text.split() for link in sample_links(request))


def test_nobody_to_send_to_is_skipped() -> None:
    """And so is who is not on the list, before anything is rendered."""
    nobody = a_request(contact=Contact(name="Dana"))
    composer = Composer(sender=SAMPLE_SENDER, allowlist=RecipientAllowlist(["@acme.example"]))

    assert composer.compose(sample_delivery(nobody), brand=BARE_BRAND, dated_at=SAMPLE_DATE) == Skipped(
        reason="no_contact"
    )
    outcome = composer.compose(sample_delivery(a_request()), brand=BARE_BRAND, dated_at=SAMPLE_DATE)
    assert outcome == Skipped(reason="not_in_allowlist")


@pytest.mark.parametrize("channel", list(Channel))
def test_another_customers_link_is_never_sent(channel: Channel) -> None:
    """Promise 5: the job's id names its invitation."""
    own = sample_links(a_request())[0]
    foreign = replace(own, job_id=job_id("z" * 20, Product.WHATSAPP))
    delivery = sample_delivery(a_request(), [own, foreign], channel=channel)

    assert check_links(delivery) == FOREIGN_LINK
    outcome = Composer(sender=SAMPLE_SENDER).compose(delivery, brand=BARE_BRAND, dated_at=SAMPLE_DATE)
    assert outcome == Skipped(reason=FOREIGN_LINK)


def test_a_template_that_adds_an_address_sends_nothing(tmp_path: Path) -> None:
    """An operator's own template is no way around the rule: not by a picture, not by a link."""
    (tmp_path / "invitation.html.j2").write_text(
        '{% for p in products %}<a href="{{ p.link }}">{{ p.link }}</a>{% endfor %}<img src="//t.example/p.gif">'
    )
    composer = Composer(tmp_path, sender=SAMPLE_SENDER)

    outcome = composer.compose(sample_delivery(a_request()), brand=BARE_BRAND, dated_at=SAMPLE_DATE)
    assert outcome == Skipped(reason=FOREIGN_LINK)


def test_a_template_that_forgets_a_link_sends_nothing(tmp_path: Path) -> None:
    """Half an invitation is none."""
    (tmp_path / "invitation.txt.j2").write_text("{{ products[0].link }}")
    composer = Composer(tmp_path, sender=SAMPLE_SENDER)
    request = replace(sample_request(), products=_ALL)

    assert composer.compose(sample_delivery(request), brand=BARE_BRAND, dated_at=SAMPLE_DATE) == Skipped(
        reason=FOREIGN_LINK
    )


@pytest.mark.parametrize(
    ("link", "sound"),
    [
        ("https://onboarding.direct/123456", True),
        ("https://onboarding.direct/f/1?a=b&c=d#e", True),
        ("http://127.0.0.1:8099/o/1", True),
        ("http://localhost:8099/o/1", True),
        ("http://onboarding.direct/1", False),
        ("https://user@onboarding.direct/1", False),
        ("https://", False),
        ("https://[bad/1", False),
        ("https://x.example:port/1", False),
        ("javascript:alert(1)", False),
        ("https://x.example/a b", False),
        ("https://x.example/a\nb", False),
        ('https://x.example/"><script>', False),
        ("https://x.example/שלום", False),
        ("https://x.example/" + "a" * 2000, False),
    ],
)
def test_a_link_is_a_plain_https_address(link: str, *, sound: bool) -> None:
    """Anything else never reaches a customer."""
    assert is_sound(link) is sound


def test_a_message_without_links_is_not_sent() -> None:
    """There would be nothing to open."""
    assert check_links(sample_delivery(a_request(), [])) == FOREIGN_LINK


def test_a_link_with_an_ampersand_arrives_whole() -> None:
    """Escaped in HTML, plain in text."""
    request = a_request()
    link = LinkToSend(
        job_id=sample_links(request)[0].job_id,
        product=Product.WHATSAPP,
        link="https://x.example/o?a=1&b=2",
        number=request.number,
    )
    mail = Composer(sender=SAMPLE_SENDER).compose(
        sample_delivery(request, [link]), brand=BARE_BRAND, dated_at=SAMPLE_DATE
    )

    assert isinstance(mail, MailMessage)
    assert "a=1&amp;b=2" in mail.html


@pytest.mark.parametrize(
    ("patterns", "recipient", "allowed"),
    [
        ([], "anybody@example.com", True),
        ([" "], "anybody@example.com", True),
        (["dana@example.com"], "Dana@Example.com", True),
        (["dana@example.com"], "eve@example.com", False),
        (["@example.com"], "eve@EXAMPLE.com", True),
        (["@example.com"], "eve@sub.example.com", False),
        (["@example.com"], "eve@notexample.com", False),
        (["0501234567"], "972501234567", True),
        (["+972 50-123-4567"], "972501234567", True),
        (["00972501234567"], "972501234567", True),
        (["@example.com"], "972501234567", False),
        (["0501234567"], "972501234568", False),
        (["0501234567"], "dana@example.com", False),
    ],
)
def test_the_allowlist_lets_through(patterns: list[str], recipient: str, *, allowed: bool) -> None:
    """Addresses, whole domains and numbers however written; empty, everybody."""
    assert RecipientAllowlist(patterns).allows(recipient) is allowed
