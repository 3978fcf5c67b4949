"""Every sentence that explains something to an operator, as a template with a name: to be translated as a whole.

A document carries a sentence as `{"code", "params", "text"}`: `text` is the English one, and whoever shows it in
another language renders `params` into a template of his own by the same code. Params are raw. How one is written
follows from its name: `…_s` is a length of time, `…_at` an instant (ISO 8601), a whole number is grouped (but a line's or a
code's), and a name of `KINDS` is a word of ours (`state.failed`; `channels` is a list of them). Where *count* is 1, a template
called `<code>.one` is taken, if any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.ops.wordlist import WORDS

__all__ = ["ENGLISH", "KINDS", "WORDS", "Said", "Tongue", "instant_text", "render", "said", "span_text"]

Said = dict[str, Any]

#: Params whose values are words of ours, translated by `<name>.<value>`.
KINDS = frozenset({"state", "delivery_state", "channel", "lane", "product", "reason_class", "source"})
#: Numbers that name a thing, to be looked for as they are: never grouped.
_NAMING = frozenset({"line", "code"})
_MARK = re.compile(r"\{(\w+)\}")
_NUMBERED = {1: ".one", 2: ".two"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    """How one language writes things; what *words* lacks is taken from the English ones."""

    words: Mapping[str, str]
    span: Callable[[float], str]  #: seconds
    instant: Callable[[str], str]  #: ISO 8601
    number: Callable[[int], str]


def said(code: str, /, **params: Any) -> Said:
    """Return a sentence as documents carry it; raises KeyError for a code without a template."""
    return {"code": code, "params": params, "text": render(code, params)}


def render(code: str, params: Mapping[str, Any], tongue: Tongue | None = None) -> str:
    """Return the sentence *code* with its *params* written out; raises KeyError for an unknown code or param."""
    tongue = tongue or ENGLISH
    return _MARK.sub(lambda mark: _written(mark[1], params, tongue), _template(code, params, tongue))


def _template(code: str, params: Mapping[str, Any], tongue: Tongue) -> str:
    ending = _NUMBERED.get(params.get("count", 0), "")
    for words in (tongue.words, WORDS):
        for name in (f"{code}{ending}", code):
            if name in words:
                return words[name]
    raise KeyError(code)


def _written(name: str, params: Mapping[str, Any], tongue: Tongue) -> str:
    value = params[name]
    if name == "channels":
        return ", ".join(_word("channel", each, tongue) for each in value)
    if name in KINDS:
        return _word(name, value, tongue)
    if name in {"meaning", "remedy"} and "reason" in params:
        return tongue.words.get(f"{name}.{params['reason']}", str(value))
    if isinstance(value, Mapping):
        return render(value["code"], value["params"], tongue)  # a sentence within a sentence
    return _plain(name, value, tongue)


def _plain(name: str, value: Any, tongue: Tongue) -> str:
    if value is None:
        return ""
    if name.endswith("_at"):
        return tongue.instant(str(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in _NAMING:
        return tongue.span(float(value)) if name.endswith("_s") else tongue.number(round(value))
    return str(value)


def _word(kind: str, value: Any, tongue: Tongue) -> str:
    return tongue.words.get(f"{kind}.{value}", WORDS.get(f"{kind}.{value}", str(value)))


def span_text(seconds: float) -> str:
    """Return a length of time in English: `40 ms`, `1.4 s`, `12 s`, `5 min`, `3 h`, `4 days`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} days"


def instant_text(iso: str) -> str:
    """Return an instant in English: `2026-11-21 10:02:03 UTC`."""
    return re.sub(r"(\.\d+)?Z$", " UTC", iso.replace("T", " "))


ENGLISH = Tongue(words=WORDS, span=span_text, instant=instant_text, number=lambda number: f"{number:,}")
