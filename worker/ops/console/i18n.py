"""The console's languages: English as it stands in the code, Hebrew from `locale/he.toml` keyed by that English.

What the code says for the command line, and the console does itself, has console words in `locale/en.toml`.

Three kinds of text are translated: sentences of templates and code (`_("…")`), words for codes such as states (`term`),
and sentences that the views of `worker.ops` hand over as code and parameters (`said`). What has no translation is shown
in English; a test sees to it that nothing lacks one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from worker.domain.reasons import Catalogue
from worker.ops.console.shown import Shown, absolute, count
from worker.ops.remedies import MESSAGE_USED_UP, USED_UP, without_job
from worker.ops.words import WORDS, Tongue, render


def N_(text: str) -> str:  # noqa: N802 - the name that gettext's tools know
    """Mark *text* as one that is translated where it is shown."""
    return text


LANGUAGES: Mapping[str, str] = {"en": "English", "he": "עברית"}  #: by code, in their own words
DEFAULT_LANGUAGE = "en"
_RTL = frozenset({"he"})
_PERCENT_SLOT = re.compile(r"(?<!%)%\(\w+\)s")
_BRACE_SLOT = re.compile(r"\{\w+\}")
#: A command within a sentence, its slots included.
_COMMAND = re.compile(r"\blinkferry(?: (?:[\w{}\u2068\u2069-]|%\(\w+\)s|…)+)+", re.ASCII)
_NO_SLOT = re.compile(r"(?!)")
_CODE = re.compile(r"unknown_(-?\d+)")
_UNKNOWN_CODE = N_("The partner refused it with code %(code)s, whose meaning is not known.")
_UNKNOWN = N_("No description of %(name)s is known.")
# Isolates: a Latin name or an id inside a Hebrew sentence must not turn the words around it about.
_OPEN_ISOLATE, _CLOSE_ISOLATE = "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class Translator:
    """All texts in one language; every method falls back to English."""

    language: str
    texts: Mapping[str, str] = field(default_factory=dict)  #: by the English text
    plurals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  #: by the English plural
    terms: Mapping[str, str] = field(default_factory=dict)  #: by `kind.code`
    words: Mapping[str, str] = field(default_factory=dict)  #: templates by the code of a view's sentence
    reasons: Mapping[str, str] = field(default_factory=dict)  #: by `meaning.<reason>` and `remedy.<reason>`

    @property
    def direction(self) -> str:
        """Return `ltr` or `rtl`."""
        return "rtl" if self.language in _RTL else "ltr"

    def gettext(self, text: str) -> str:
        """Return *text* in this language; its slots are `%(name)s`."""
        return self.texts.get(text, text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the form of a text that goes with *number* of things; Hebrew has one for two of them."""
        forms = self.plurals.get(many)
        if forms is None:
            return one if number == 1 else many
        form = {1: "one", 2: "two"}.get(number, "other")
        return forms.get(form, forms["other"])

    def term(self, kind: str, code: str | None) -> str:
        """Return the word for a code of the system, such as a state; one that nobody named is shown as it is."""
        if code is None:
            return ""
        key = f"{kind}.{code}"
        return self.terms.get(key) or self.words.get(key) or WORDS.get(key) or code.replace("_", " ")

    def said(self, view: Mapping[str, Any] | str | None) -> str:
        """Return a view's sentence, `{"code", "params", "text"}`, in this language."""
        if view is None or isinstance(view, str):
            return self.texts.get(view, view) if view else ""
        params = view.get("params", {})
        try:
            return render(str(view.get("code")), params, self.tongue(params))
        except KeyError:
            return str(view["text"])

    def reason_text(self, name: str | None, kind: str, text: str | None) -> str:
        """Return a reason's `meaning` or `remedy`: the translated one, unless an operator described it anew."""
        if not name or not text:
            return ""
        plain = without_job(text)
        if plain == WORDS[MESSAGE_USED_UP]:  # what was to be tried again by itself, and is not any more
            return self.words.get(MESSAGE_USED_UP, text)
        if kind == "remedy" and text == Catalogue.shipped().named(USED_UP).remedy:
            name = USED_UP
        shipped = Catalogue.shipped().named(name)
        if plain != getattr(shipped, kind):
            return text
        is_described = name in _described()
        if kind == "meaning" and not is_described:
            code = _CODE.fullmatch(name)
            return (
                self.gettext(_UNKNOWN_CODE) % {"code": code[1]}
                if code
                else self.gettext(_UNKNOWN) % {"name": name}
            )
        return self.reasons.get(f"{kind}.{name if is_described else 'unknown'}", text)

    def tongue(self, params: Mapping[str, Any]) -> Tongue:
        """Return how this language writes a view's sentence with *params*."""
        reason = params.get("reason")
        own = {
            f"{kind}.{reason}": self.reason_text(reason, kind, params[kind])
            for kind in ("meaning", "remedy")
            if reason and params.get(kind)
        }
        shown = Shown(self)
        return Tongue(
            words={**self.words, **self.terms, **own},
            span=shown.duration,
            instant=absolute,
            number=count,
        )


@cache
def _described() -> frozenset[str]:
    return frozenset(reason.name for reason in Catalogue.shipped().all())


@cache
def translator(language: str) -> Translator:
    """Return the texts of *language*; of one that is not known, the English ones."""
    known = language if language in LANGUAGES else DEFAULT_LANGUAGE
    path = files("worker.ops.console").joinpath("locale", f"{known}.toml")
    return from_tables(known, tomllib.loads(path.read_text(encoding="utf-8")))


def from_tables(language: str, tables: Mapping[str, Any]) -> Translator:
    """Return the translator that a locale file's *tables* make."""
    is_rtl = language in _RTL
    return Translator(
        language=language,
        texts={
            key: isolated(text, _PERCENT_SLOT) if is_rtl else text
            for key, text in tables.get("text", {}).items()
        },
        plurals={
            key: {form: isolated(text, _PERCENT_SLOT) if is_rtl else text for form, text in forms.items()}
            for key, forms in tables.get("plural", {}).items()
        },
        terms={
            f"{kind}.{code}": text
            for kind, table in tables.get("terms", {}).items()
            for code, text in table.items()
        },
        words={
            code: isolated(text, _BRACE_SLOT) if is_rtl else text
            for code, text in tables.get("words", {}).items()
        },
        reasons={
            f"{kind}.{name}": isolated(text, _NO_SLOT) if is_rtl else text
            for name, both in tables.get("reasons", {}).items()
            for kind, text in both.items()
        },
    )


def isolated(text: str, slot: re.Pattern[str]) -> str:
    """Return *text* with every slot and every command kept from disturbing the direction of what is around it."""

    def close_off(found: re.Match[str]) -> str:
        return f"{_OPEN_ISOLATE}{found.group()}{_CLOSE_ISOLATE}"

    return _COMMAND.sub(close_off, slot.sub(close_off, text))


def accepted_language(header: str) -> str:
    """Return the language that an `Accept-Language` header likes best among ours."""
    best, best_weight = DEFAULT_LANGUAGE, 0.0
    for part in header.split(","):
        tag, _, weight_text = part.partition(";q=")
        language = tag.strip().lower().partition("-")[0]
        language = "he" if language == "iw" else language  # Hebrew's name of old
        try:
            weight = float(weight_text or 1)
        except ValueError:
            continue
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best
