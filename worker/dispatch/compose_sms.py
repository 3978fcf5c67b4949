"""The text of an SMS: all links whole, and as much of the names as the budget of parts leaves room for.

Budget: one link in Hebrew two parts (134 letters), in English one (160 letters of GSM-7); each further link adds a
part. All links of an invitation travel in one text, each on a line of its own. Where no name fits, the names
go; where not even the links alone fit, they are sent all the same, and names fill what their parts leave over.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from worker.dispatch.segments import Encoding, is_gsm7, measure
from worker.dispatch.wording import Wording, fill_text

_SHORTEST_NAME = 6  #: shorter than that a cut name tells nobody anything
_TYPOGRAPHIC = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‑": "-", "…": "..."}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsParts:
    """What goes into one text."""

    whats: Sequence[
        str
    ]  #: what is sent, the form to be preferred first: `as agreed, your link …`, `your link …`
    brand: str
    business: str
    lines: Sequence[str]  #: the links, labelled where there are several
    tail: str = ""  #: whom to call in doubt; the first thing to go


def budget_segments(links: int, encoding: Encoding) -> int:
    """Return the parts that a text with that many *links* may take."""
    return (1 if encoding is Encoding.GSM7 else 2) + max(links, 1) - 1


def compose_text(parts: SmsParts, wording: Wording) -> str:
    """Return the text: the fullest heading that fits over the links, which are never cut."""
    bare = _text("bare", parts, wording)
    encoding, limit = measure(bare).encoding, measure(bare).segments
    limit = max(limit, budget_segments(len(parts.lines), encoding))
    if encoding is Encoding.GSM7:
        parts = replace(parts, brand=gsm7_name(parts.brand), business=gsm7_name(parts.business))

    def fits(text: str) -> bool:
        size = measure(text)
        return size.encoding is encoding and size.segments <= limit

    return next((text for text in _candidates(parts, wording, fits) if fits(text)), bare)


def shortened(name: str, length: int, mark: str) -> str:
    """Return *name* in at most *length* letters, *mark* included where something was cut; no accent loses its letter."""
    if len(name) <= length:
        return name
    cut = max(length - len(mark), 0)
    while cut and unicodedata.category(name[cut]).startswith("M"):
        cut -= 1
    return name[:cut].rstrip(" -.,") + mark


def _candidates(parts: SmsParts, wording: Wording, fits: Callable[[str], bool]) -> Iterator[str]:
    """Yield texts, the best first: all in full, without the tail, the business's name cut, ours alone, ours cut."""
    is_plain = measure(_text("bare", parts, wording)).encoding is Encoding.GSM7
    mark = "." if is_plain and wording.locale == "en" else "…"
    frame = _frame(parts)
    for what in parts.whats:
        for tail in dict.fromkeys((parts.tail, "")):
            yield _text(frame, parts, wording, what=what, tail=tail)
    plain = {"what": parts.whats[-1], "tail": ""}
    if parts.business:
        yield from _cut_to_fit(
            parts.business, mark, lambda name: _text(frame, parts, wording, business=name, **plain), fits
        )
    if parts.brand:
        yield from _cut_to_fit(
            parts.brand, mark, lambda name: _text("nameless", parts, wording, brand=name, **plain), fits
        )


def _frame(parts: SmsParts) -> str:
    if parts.brand:
        return "full" if parts.business else "nameless"
    return "unbranded" if parts.business else "bare"


def _text(frame: str, parts: SmsParts, wording: Wording, **changes: str) -> str:
    values = {"what": parts.whats[-1], "brand": parts.brand, "business": parts.business} | changes
    head = fill_text(wording.sms[frame], values)
    # Where no name stands before it, what is sent begins the sentence.
    text = "\n".join(filter(None, [head[:1].upper() + head[1:], *parts.lines, changes.get("tail", "")]))
    # One curly quote in own words would more than halve an English text's room.
    typed = text.translate(_TYPOGRAPHIC)
    return typed if is_gsm7(typed) else text


def _cut_to_fit(
    name: str, mark: str, text_with: Callable[[str], str], fits: Callable[[str], bool]
) -> Iterator[str]:
    """Yield the text with the longest form of *name* that fits, if one of at least six letters does."""
    low, high = min(_SHORTEST_NAME, len(name)), len(name)
    best: str | None = None
    while low <= high:
        middle = (low + high + 1) // 2
        text = text_with(shortened(name, middle, mark))
        if fits(text):
            best, low = text, middle + 1
        else:
            high = middle - 1
    if best is not None:
        yield best


def gsm7_name(name: str) -> str:
    """Return *name* in GSM-7 letters, or nothing where its letters have no place there (Hebrew, Arabic, …)."""
    letters = []
    for letter in name.translate(_TYPOGRAPHIC):
        plain = letter if is_gsm7(letter) else unicodedata.normalize("NFKD", letter)[:1]
        if is_gsm7(plain):
            letters.append(plain)
        elif unicodedata.category(letter)[0] not in "SM":
            return ""
    return " ".join("".join(letters).split())
