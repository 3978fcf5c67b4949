"""E-mails as bytes: headers that nothing can break out of, and the same bytes every time."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import a_request
from worker.dispatch import Sender, preview_invitation, sample_request
from worker.dispatch.messages import MailMessage, header_name
from worker.domain.request import Contact

_SENDER = Sender.parse("אקמי דיגיטל <links@acme.example>", reply_to="help@acme.example")


def _parsed(message: MailMessage) -> email.message.EmailMessage:
    parsed = email.message_from_bytes(message.encode(), policy=email.policy.default)
    assert isinstance(parsed, email.message.EmailMessage)
    return parsed


def test_an_email_carries_what_a_mailbox_needs() -> None:
    """Both twins, who it is from and to, when, and that a machine sent it."""
    message = replace(preview_invitation(sample_request(), sender=_SENDER).mail, to="dana@example.com")
    parsed = _parsed(message)

    assert parsed["From"] == "אקמי דיגיטל <links@acme.example>"
    assert parsed["To"] == "דנה לוי <dana@example.com>"
    assert parsed["Reply-To"] == "help@acme.example"
    assert parsed["Date"].datetime == message.dated_at
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Message-ID"] == message.message_id
    assert parsed["Message-ID"].endswith("@acme.example>")
    assert parsed["Subject"] == message.subject
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    text, html = (part.get_content().splitlines() for part in parsed.iter_parts())
    assert text == message.text.splitlines()
    assert html == message.html.splitlines()


def test_a_message_is_the_same_bytes_every_time() -> None:
    """A resend after doubt is the same mail, not a similar one; another delivery is another."""
    first, second = (preview_invitation(sample_request()).mail for _ in range(2))

    assert first.encode() == second.encode()
    assert first.message_id != replace(first, delivery_id="another").message_id
    assert first.encode().isascii()
    assert b"\n" not in first.encode().replace(b"\r\n", b"")
    assert max(len(line) for line in first.encode().split(b"\r\n")) <= 998


_NAMES = st.text(max_size=120) | st.text(st.characters(codec="utf-8"), max_size=120).map(
    lambda text: f'{text}\r\nBcc: eve@evil.example, "x" <y@evil.example>; {text}'
)


@given(name=_NAMES, business=_NAMES)
def test_no_name_breaks_out_of_its_header(name: str, business: str) -> None:
    """Whatever the names hold: one recipient, one line of subject, no header of their own."""
    request = a_request(
        business_name=business, contact=Contact(name=name, email="dana@example.com", locale="en")
    )
    parsed = _parsed(preview_invitation(request).mail)

    assert [address.addr_spec for address in parsed["To"].addresses] == ["dana@example.com"]
    assert parsed["Bcc"] is None
    assert "\n" not in parsed["Subject"]
    assert sorted(parsed.keys()) == [
        "Auto-Submitted",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Subject",
        "To",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('פרחי דנה בע"מ', "פרחי דנה בע״מ"),
        ("פרחי דנה בע״מ", "פרחי דנה בע״מ"),
        ('דנה "הפרחים" לוי', "דנה הפרחים לוי"),
        ("O'Brien & Co.", "O'Brien & Co"),
        ("\r\n", ""),
    ],
)
def test_a_display_name_keeps_letters_and_little_else(name: str, shown: str) -> None:
    """Quotes, commas and angles mean something in an address; gershayim are a letter's."""
    assert header_name(name) == shown


@pytest.mark.parametrize("text", ["", "Acme", "Acme <>", "Acme <links@>", "Acme <@acme.example>"])
def test_a_sender_without_an_address_is_refused(text: str) -> None:
    """The setting is named."""
    with pytest.raises(ValueError, match="EMAIL_FROM"):
        Sender.parse(text)


def test_answers_may_go_to_an_address_in_any_form() -> None:
    """With a name, or in a domain of Hebrew letters, which a header carries in punycode."""
    named, hebrew = (
        Sender.parse("a@acme.example", reply_to=reply_to)
        for reply_to in ("Help <help@acme.example>", "help@דוגמה.example")
    )
    mails = [replace(preview_invitation(sample_request(), sender=each).mail) for each in (named, hebrew)]

    assert _parsed(mails[0])["Reply-To"] == "help@acme.example"
    assert _parsed(mails[1])["Reply-To"] == "help@xn--6dbbec0c.example"


@pytest.mark.parametrize("text", ["nonsense", "a..b@acme.example", "x y@acme.example"])
def test_an_address_for_answers_that_no_mail_could_carry_is_refused(text: str) -> None:
    """At start, not at each mail; the setting is named."""
    with pytest.raises(ValueError, match="MAIL_REPLY_TO"):
        Sender.parse("a@acme.example", reply_to=text)


def test_the_brand_is_the_display_name_unless_set() -> None:
    """An address alone shows its domain."""
    assert Sender.parse("Acme <a@acme.example>").brand_name == "Acme"
    assert Sender.parse("a@acme.example").brand_name == "acme.example"
    assert Sender.parse("Acme <a@acme.example>", brand_name="Other").brand_name == "Other"
