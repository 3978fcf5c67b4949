"""Trying an operator's own templates before the first customer reads them: every variant, in every language."""

from __future__ import annotations

from worker.dispatch.compose import Composer
from worker.dispatch.compose_templates import MailTemplate
from worker.dispatch.links import OwnAddresses, is_html_clean, is_text_clean
from worker.dispatch.preview import BARE_BRAND, FIXTURES, SAMPLE_BRAND, SAMPLE_DATE
from worker.dispatch.wording_file import LOCALES, SHIPPED_TEMPLATES, BadTemplateError

_NOT_CLEAN = "leaves a link of the customer's out, or adds an address that is neither his nor the brand's"
_BRANDS = (SAMPLE_BRAND, BARE_BRAND)
#: Reading HTML takes thrice as long as writing it, and a message is read anyway before it is sent: so only where
#: whatever a layout may leave out stands in it.
_READ_WHOLE = frozenset({"several", "last-several"})


def prove(composer: Composer) -> None:
    """Write every variant in both languages, in turn for a brand with everything and for one with nothing.

    Raises BadTemplateError where an own template can't serve. Takes less than 50 ms, and nothing where both are the shipped
    ones: their words are checked as they are read.
    """
    if not any(_is_own(template) for template in (composer.html, composer.text)):
        return
    for nth, (name, fixture) in enumerate(FIXTURES.items()):
        for turn, locale in enumerate(LOCALES):
            brand = _BRANDS[(nth + turn) % len(_BRANDS)]
            delivery = fixture.delivery(locale)
            mail = composer.compose_mail(delivery, brand=brand, dated_at=SAMPLE_DATE)
            own = OwnAddresses.of(brand)
            if name in _READ_WHOLE and not is_html_clean(mail.html, delivery.links, own):
                raise BadTemplateError(composer.html.path, None, _NOT_CLEAN)
            if not is_text_clean(mail.text, delivery.links, own):
                raise BadTemplateError(composer.text.path, None, _NOT_CLEAN)


def _is_own(template: MailTemplate) -> bool:
    return template.path.parent != SHIPPED_TEMPLATES
