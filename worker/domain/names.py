"""Text as it is kept, and names as the partner takes them: letters, numbers, hyphens and spaces."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Nearly every name is made of these alone; the general rule below says the same of them, more slowly.
_is_plain = re.compile("[ -]*[0-9A-Za-zא-ת][0-9A-Za-zא-ת -]*").fullmatch
# Dropped without a trace: בע"מ becomes בעמ, Dana's becomes Danas. Includes geresh, gershayim and primes.
QUOTES = frozenset("\"'`´׳״′″‴＂＇«»")
_QUOTE_CATEGORIES = frozenset({"Pi", "Pf"})
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})  # controls, bidi and format marks, lone surrogates
_MARK_CATEGORIES = frozenset({"Mn", "Mc"})
_VARIATION_SELECTORS = frozenset(chr(code) for code in range(0xFE00, 0xFE10))
_MINUS_SIGN = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class AcceptableName:
    """A name in the form that the partner takes; empty where nothing of it could be kept."""

    text: str
    is_altered: bool  #: differs from what was written by more than white space and invisible marks


def clean_text(text: str) -> str:
    """Return *text* in NFC, without control and bidi marks, each run of white space as one space."""
    if not text.isprintable():
        text = "".join([sign for sign in text if _is_visible(sign)])
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "  " in text or text[:1] == " " or text[-1:] == " " or not text.isprintable():
        return " ".join(text.split())
    return text


def ascii_digits(text: str) -> str:
    """Return *text* with the digits of every script (Arabic-Indic, full width) written as 0 to 9."""
    if text.isascii():
        return text
    return "".join([str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text])


def is_plain_name(text: str, limit: int) -> bool:
    """Tell, quickly, whether a cleaned *text* is surely acceptable; False means: ask `acceptable_name`."""
    return len(text) <= limit and _is_plain(text) is not None


def acceptable_name(text: str, limit: int) -> AcceptableName:
    """Return *text* as the partner takes it, at most *limit* characters.

    Quotes and gershayim are dropped, dashes become hyphens, any other sign becomes a space. Too long a name
    is cut at a word's end. Nothing but signs gives an empty name.
    """
    cleaned = clean_text(text)
    if is_plain_name(cleaned, limit):
        return AcceptableName(cleaned, is_altered=False)
    mended = _shorten(_mend(cleaned), limit)
    return AcceptableName(mended, is_altered=mended != cleaned)


def is_acceptable_name(text: str, limit: int) -> bool:
    """Tell whether the partner takes *text* as it stands."""
    return bool(text) and acceptable_name(text, limit) == AcceptableName(text, is_altered=False)


def _is_visible(sign: str) -> bool:
    return sign.isspace() or unicodedata.category(sign) not in _INVISIBLE_CATEGORIES


def _mend(text: str) -> str:
    kept: list[str] = []
    can_take_mark = False  # a vowel point or accent stays on its letter, and falls with anything else
    for sign in text:
        mended = _mended_sign(sign, can_take_mark=can_take_mark)
        kept.append(mended)
        can_take_mark = mended != "" and unicodedata.category(mended)[0] in "LM"
    mended = " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
    return mended if any(sign.isalnum() for sign in mended) else ""


def _mended_sign(sign: str, *, can_take_mark: bool) -> str:
    category = unicodedata.category(sign)
    if category[0] == "L" or category == "Nd":
        return sign
    if category in _MARK_CATEGORIES or category == "Me":
        is_kept = can_take_mark and category != "Me" and sign not in _VARIATION_SELECTORS
        return sign if is_kept else ""
    if sign in QUOTES or category in _QUOTE_CATEGORIES:
        return ""
    return "-" if category == "Pd" or sign == _MINUS_SIGN else " "


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    cut = text[:limit]
    if text[limit] != " " and " " in cut[limit // 2 :]:
        cut = cut[: cut.rindex(" ")]
    return cut.rstrip(" -")
