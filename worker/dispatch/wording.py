"""The words of the messages, by language: data files that an operator may replace, and how they are filled in."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from worker.domain.job import LinkToSend
from worker.domain.request import OnboardingRequest, Product

SHIPPED_TEMPLATES = Path(__file__).parent / "templates"
LOCALES = ("he", "en")
_ISRAEL = "972"
#: Lists made of our own words: isolated, `WhatsApp ו-Facebook` would be laid out from left to right.
_IN_OUR_DIRECTION = frozenset({"platforms", "domains"})


class Wording:
    """All texts of one language."""

    def __init__(self, locale: str, table: Mapping[str, Any]) -> None:
        self.locale = locale
        self.direction: str = table["direction"]
        self.subject: Mapping[str, str] = table["subject"]
        self.mail: Mapping[str, Any] = table["mail"]
        self.sms: Mapping[str, str] = table["sms"]
        self._products: Mapping[str, Mapping[str, str]] = table["products"]
        self._comma: str = table["list_comma"]
        self._and: str = table["list_and"]

    @classmethod
    def load(cls, locale: str, folder: Path | None = None) -> Wording:
        """Return the language *locale* from *folder*, or as shipped where the folder has none of it.

        Raises OSError, tomllib.TOMLDecodeError or KeyError for a file that can't serve.
        """
        own = folder / f"{locale}.toml" if folder else None
        path = own if own is not None and own.is_file() else SHIPPED_TEMPLATES / f"{locale}.toml"
        return cls(locale, tomllib.loads(path.read_text(encoding="utf-8")))

    def product(self, link: LinkToSend, request: OnboardingRequest) -> Mapping[str, str]:
        """Return the texts for one link's product; coexistence has its own."""
        is_coexistence = link.product is Product.WHATSAPP and request.is_coexistence
        return self._products["coexistence" if is_coexistence else link.product.value]

    def listed(self, words: Iterable[str]) -> str:
        """Return *words* as a list in this language, each once: `WhatsApp, Facebook and Instagram`."""
        once = list(dict.fromkeys(words))
        if len(once) < 2:
            return "".join(once)
        return self._comma.join(once[:-1]) + self._and + once[-1]

    def number(self, digits: str) -> str:
        """Return a number as its owner reads it: in Hebrew the local form, else the international one."""
        if not digits.startswith(_ISRAEL) or len(digits) != 12:
            return f"+{digits}"
        local = f"{digits[3:5]}-{digits[5:8]}-{digits[8:]}"
        return f"0{local}" if self.locale == "he" else f"+972 {local}"


def fill_text(template: str, values: Mapping[str, str]) -> str:
    """Return *template* with its braces filled in, plain."""
    return template.format_map(values)


def fill_html(template: str, values: Mapping[str, str]) -> Markup:
    """Return *template* as safe HTML: every value escaped, and names isolated so that their direction harms nothing."""
    marked = {
        name: escape(value) if name in _IN_OUR_DIRECTION else Markup("<bdi>{}</bdi>").format(value)
        for name, value in values.items()
    }
    return escape(template).format_map(marked)
