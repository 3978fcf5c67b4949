"""The invitation as a mail program lays it out: nothing is cut, and nothing is wider than its reader's screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.browser.stage import Stage
from worker.dispatch import Composer
from worker.dispatch.preview import FIXTURES, SAMPLE_BRAND, SAMPLE_DATE, SAMPLE_SENDER

_TELLS_WIDTHS = "[document.documentElement.scrollWidth, document.querySelector('.sheet').offsetWidth]"


@pytest.mark.parametrize(("width", "sheet"), [(320, 320), (700, 600)])
@pytest.mark.parametrize("locale", ["he", "en"])
async def test_words_without_a_space_make_no_mail_wider(
    stage: Stage, locale: str, width: int, sheet: int
) -> None:
    """Names, an address and links of one long word, on a telephone and on a desk."""
    word = "W" * 60
    delivery = FIXTURES["several"].delivery(locale)
    contact = replace(delivery.request.contact, name=word, email=f"{word}@{word}.example")
    request = replace(delivery.request, business_name_written=word, contact=contact)
    links = tuple(replace(each, link=each.link + word) for each in delivery.links)
    brand = replace(SAMPLE_BRAND, logo=None, name_he=word, name_en=word, contact_person=word)
    mail = Composer(sender=SAMPLE_SENDER).compose_mail(
        replace(delivery, request=request, links=links), brand=brand, dated_at=SAMPLE_DATE
    )
    page = await stage.browser.new_page(viewport={"width": width, "height": 800})
    try:
        await page.set_content(mail.html)

        assert await page.evaluate(_TELLS_WIDTHS) == [width, sheet]
    finally:
        await page.close()
