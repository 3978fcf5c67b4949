"""A thousand names, kind and unkind: whoever the customer is, his message is whole and within its budget."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from worker.dispatch import Composer, MailMessage, SmsMessage
from worker.dispatch.links import OwnAddresses, check_mail
from worker.dispatch.preview import BARE_BRAND, FIXTURES, SAMPLE_BRAND, SAMPLE_DATE, SAMPLE_SENDER
from worker.dispatch.segments import Encoding, measure
from worker.domain.brand import Brand
from worker.domain.job import ClaimedDelivery
from worker.domain.states import Channel

_COUNT = 1_000
_WORDS_HE = (
    "פרחי",
    "דנה",
    'בע"מ',
    "ושות'",
    "האחים",
    "כהן־לוי",
    "קפה",
    "הטיילת",
    "מוסך",
    "צ'רלי",
    "נַעֲמָה",
    "סטודיו",
)
_WORDS_EN = (
    "Dana",
    "Flowers",
    "Ltd.",
    "O'Brien",
    "& Sons",
    "Café",
    "Łódź",
    '"The Best"',
    "Čapek",
    "Studio",
    "24/7",
    "Co-op",
)
_TROUBLE = (
    "🌸", "👩🏽‍🌾", "\u202e", "\u200f", "\u2066", "https://evil.example/x", "www.evil.example", "<b>", "{brand}", "%s", "\t",
    "ﷺ", "e\u0301" * 5, "[~]", "€" * 9, "x" * 90, "שם ארוך " * 12,
)  # fmt: skip
_NAMELESS_LINK = "https://onboarding.direct/1234567"


def _names(words: tuple[str, ...], seed: int) -> list[str]:
    chance = random.Random(seed)

    def one(nth: int) -> str:
        parts = chance.choices(words, k=chance.randint(1, 6))
        if nth % 3 == 0:
            parts.insert(chance.randint(0, len(parts)), chance.choice(_TROUBLE))
        return " ".join(parts)

    return [one(nth) for nth in range(_COUNT)]


def _deliveries(locale: str, channel: Channel) -> list[ClaimedDelivery]:
    """Return the variants in turn, each for another name."""
    names = _names(_WORDS_HE if locale == "he" else _WORDS_EN, seed=5)
    fixtures = itertools.cycle(FIXTURES.values())
    return [_named(next(fixtures).delivery(locale, channel), name) for name in names]


def _named(delivery: ClaimedDelivery, name: str) -> ClaimedDelivery:
    request = delivery.request
    contact = replace(request.contact, name=name)
    links = tuple(replace(link, link=f"{_NAMELESS_LINK}{nth}") for nth, link in enumerate(delivery.links))
    return replace(
        delivery,
        links=links,
        request=replace(request, business_name=name, business_name_written=None, contact=contact),
    )


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(sender=SAMPLE_SENDER)


@pytest.mark.parametrize("brand", [SAMPLE_BRAND, BARE_BRAND], ids=["full", "bare"])
@pytest.mark.parametrize(("locale", "most"), [("he", 134), ("en", 160)])
def test_every_text_is_within_its_limit_with_its_whole_link(
    composer: Composer, locale: str, most: int, brand: Brand
) -> None:
    """One link: 134 letters in Hebrew, 160 in English; each further link a part more, and all in one text."""
    for delivery in _deliveries(locale, Channel.SMS):
        sms = composer.compose(delivery, brand=brand, dated_at=SAMPLE_DATE)

        assert isinstance(sms, SmsMessage)
        size = measure(sms.text)
        assert size.encoding is (Encoding.UCS2 if locale == "he" else Encoding.GSM7)
        assert all(link.link in sms.text.split() for link in delivery.links), sms.text
        if len(delivery.links) == 1:
            assert size.units <= most, sms.text
        assert sms.segments <= (2 if locale == "he" else 1) + len(delivery.links) - 1, sms.text
        assert "evil" not in sms.text or "://" not in sms.text.replace(_NAMELESS_LINK, "")


@pytest.mark.parametrize("locale", ["he", "en"])
def test_every_mail_can_be_read_and_holds_its_links_and_its_brands_alone(
    composer: Composer, locale: str
) -> None:
    """As a mail program would: parsed from its bytes, both twins, nothing of another's to open or fetch."""
    for delivery in _deliveries(locale, Channel.EMAIL):
        mail = composer.compose(delivery, brand=SAMPLE_BRAND, dated_at=SAMPLE_DATE)

        assert isinstance(mail, MailMessage)
        parsed = message_from_bytes(mail.encode(), policy=policy.default)
        twins = [part.get_content() for part in parsed.walk() if not part.is_multipart()]
        assert len(twins) == 2
        assert all(link.link in twin for link in delivery.links for twin in twins)
        own = OwnAddresses.of(SAMPLE_BRAND)
        assert check_mail(mail.html, mail.text, delivery.links, own) is None
        assert "{" not in twins[0].replace("{brand}", "")
        assert len(str(parsed["Subject"]).splitlines()) == 1
