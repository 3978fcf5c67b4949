"""The text of an SMS: all links whole, and as much of the names as the budget of parts leaves room for.

Budget: one link in Hebrew two parts (134 letters), in English one (160 letters of GSM-7); each further link adds a
part. All links of an invitation travel in one text, each on a line of its own. Where no name fits, the names
go; where not even the links alone fit, they are sent all the same and the parts are counted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from worker.dispatch.segments import Encoding, is_gsm7, measure
from worker.dispatch.wording import Wording

_SHORTEST_NAME = 6  #: shorter than that a cut name tells nobody anything
_TYPOGRAPHIC = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‑": "-", "…": "..."}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsParts:
    """What goes into one text."""

    kind: str  #: `one`, `several` or `further`: which heading
    brand: str
    business: str
    platform: str
    lines: Sequence[str]  #: the links, labelled where there are several


def budget_segments(links: int, encoding: Encoding) -> int:
    """Return the parts that a text with that many *links* may take."""
    return (1 if encoding is Encoding.GSM7 else 2) + max(links, 1) - 1


def compose_text(parts: SmsParts, wording: Wording) -> str:
    """Return the text: the fullest heading that fits over the links, which are never cut."""
    bare = _joined(wording.sms[f"{parts.kind}_bare"].format(platform=parts.platform), parts)
    encoding = measure(bare).encoding
    limit = budget_segments(len(parts.lines), encoding)
    if encoding is Encoding.GSM7:
        parts = _in_gsm7(parts)

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
    """Yield texts, the best first: both names, the business's cut, ours alone, ours cut."""
    mark = "." if measure(_joined("", parts)).encoding is Encoding.GSM7 and wording.locale == "en" else "…"

    def text(kind: str, brand: str, business: str) -> str:
        head = wording.sms[kind].format(brand=brand, business=business, platform=parts.platform)
        return _joined(head, parts)

    if parts.business:
        kind = parts.kind if parts.brand else f"{parts.kind}_unbranded"
        yield from _cut_to_fit(parts.business, mark, lambda name: text(kind, parts.brand, name), fits)
    if parts.brand:
        yield from _cut_to_fit(parts.brand, mark, lambda name: text(f"{parts.kind}_nameless", name, ""), fits)


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


def _in_gsm7(parts: SmsParts) -> SmsParts:
    return SmsParts(
        kind=parts.kind,
        brand=gsm7_name(parts.brand),
        business=gsm7_name(parts.business),
        platform=parts.platform,
        lines=parts.lines,
    )


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


def _joined(head: str, parts: SmsParts) -> str:
    return "\n".join([head, *parts.lines])
