"""The words of the messages, by language: data files that an operator may replace, and how they are filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from worker.dispatch.wording_file import LOCALES, read_wording
from worker.domain.job import LinkToSend
from worker.domain.request import OnboardingRequest, Product

_ISRAEL = "972"
_LEFT_TO_RIGHT = "\u200e"
_UNBROKEN = "\u2060"
#: A prefix and what it belongs to: `ל-WhatsApp` is one word, and no line may end after its hyphen.
_PREFIX = re.compile(r"(?<=[\u05d0-\u05ea]-)(?=[A-Za-z0-9<])")
#: Lists made of our own words: isolated, `WhatsApp ו-Facebook` would be laid out from left to right.
_IN_OUR_DIRECTION = frozenset({"platforms", "domains", "date", "when", "minutes"})

__all__ = ["LOCALES", "Wording", "fill_html", "fill_text"]


class Wording:
    """All texts of one language."""

    def __init__(self, locale: str, table: Mapping[str, Any]) -> None:
        self.locale = locale
        self.direction: str = table["direction"]
        self.subject: Mapping[str, str] = table["subject"]
        self.mail: Mapping[str, Any] = table["mail"]
        self.sms: Mapping[str, str] = table["sms"]
        self._table = table
        self._products: Mapping[str, Mapping[str, Any]] = table["products"]

    @classmethod
    def load(cls, locale: str, folder: Path | None = None) -> Self:
        """Return the language *locale*: as shipped, but for what *folder* words otherwise.

        Raises BadTemplateError for an own file that can't serve.
        """
        return cls(locale, read_wording(locale, folder).table)

    def product(self, link: LinkToSend, request: OnboardingRequest) -> Mapping[str, Any]:
        """Return the texts for one link's product; coexistence has its own."""
        is_coexistence = link.product is Product.WHATSAPP and request.is_coexistence
        return self._products["coexistence" if is_coexistence else link.product.value]

    def listed(self, words: Iterable[str]) -> str:
        """Return *words* as a list in this language, each once: `WhatsApp, Facebook and Instagram`."""
        once = list(dict.fromkeys(words))
        if len(once) < 2:
            return "".join(once)
        return str(self._table["list_comma"].join(once[:-1]) + self._table["list_and"] + once[-1])

    def number(self, digits: str) -> str:
        """Return a number as its owner reads it: in Hebrew Israel's in the local form, else the international one."""
        if not digits.startswith(_ISRAEL) or len(digits) not in {11, 12}:
            # In Hebrew a plus would go over to the number's other end.
            return f"{_LEFT_TO_RIGHT if self.direction == 'rtl' else ''}+{digits}"
        area, rest = digits[3:-7], digits[-7:]
        local = f"{area}-{rest[:3]}-{rest[3:]}"
        return f"0{local}" if self.locale == "he" else f"+{_ISRAEL} {local}"

    def date(self, at_ms: int, *, told_at: datetime) -> str:
        """Return the day of *at_ms* as it is said at *told_at* (aware): with its year where that is another."""
        day = datetime.fromtimestamp(at_ms / 1000, _zone())
        is_this_year = day.year == told_at.astimezone(_zone()).year
        form: str = self._table["date" if is_this_year else "date_with_year"]
        return form.format(day=day.day, month=self._table["months"][day.month - 1], year=day.year)

    def when(self, at_ms: int | None, *, told_at: datetime) -> str:
        """Return when something was: `on 3 March`, or `a few days ago` where nobody knows."""
        if at_ms is None:
            return str(self._table["when_undated"])
        return str(self._table["when_dated"].format(date=self.date(at_ms, told_at=told_at)))


@cache
def _zone() -> ZoneInfo:
    # Customers are Israel's: a link of one in the morning is that day's, whatever the server's clock shows.
    return ZoneInfo("Asia/Jerusalem")


def fill_text(template: str, values: Mapping[str, str]) -> str:
    """Return *template* with its braces filled in, plain."""
    return _single_stops(template, values).format_map(values)


def fill_html(template: str, values: Mapping[str, str]) -> Markup:
    """Return *template* as safe HTML: every value escaped, and names isolated so that their direction harms nothing.

    A Hebrew prefix and the Latin word after it stay on one line.
    """
    marked = {name: _marked(name, value) for name, value in values.items()}
    filled = escape(_single_stops(template, values)).format_map(marked)
    return Markup(_PREFIX.sub(_UNBROKEN, filled))  # noqa: S704 - escaped above, and nothing that could be markup is added


def _marked(name: str, value: str) -> Markup:
    if name in _IN_OUR_DIRECTION:
        return escape(value)
    # A number is read out whole: no line ends within it.
    mark = '<bdi style="white-space:nowrap">{}</bdi>' if name == "number" else "<bdi>{}</bdi>"
    return Markup(mark).format(value)  # noqa: S704 - one of the two above


def _single_stops(template: str, values: Mapping[str, str]) -> str:
    """Return *template* without the full stops that would follow a name's own: `Dana Ltd..`."""
    for name, value in values.items():
        if value.endswith((".", "…")):
            template = template.replace(f"{{{name}}}.", f"{{{name}}}")
    return template
