"""How many parts a text message takes, counted as the networks do (3GPP TS 23.038 and 23.040; fact F6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENDED = frozenset("\f^{}\\[~]|€")  #: an escape and a letter: two units that no part may tear apart


class Encoding(StrEnum):
    """How a text travels. One letter outside GSM-7 turns all of it into UCS-2."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"

    @property
    def single_units(self) -> int:
        """Return the units that fit one part standing alone."""
        return 160 if self is Encoding.GSM7 else 70

    @property
    def part_units(self) -> int:
        """Return the units that fit each of several parts: six bytes of each go to the joining header."""
        return 153 if self is Encoding.GSM7 else 67


@dataclass(frozen=True, slots=True)
class SmsSize:
    """What a text comes to."""

    encoding: Encoding
    units: int
    segments: int  #: 0 for an empty text


def measure(text: str) -> SmsSize:
    """Return the encoding, units and parts of *text*; neither an emoji nor an escaped letter is torn apart."""
    encoding = Encoding.GSM7 if is_gsm7(text) else Encoding.UCS2
    widths = [_width(letter, encoding) for letter in text]
    units = sum(widths)
    if units <= encoding.single_units:
        return SmsSize(encoding, units, 1 if units else 0)
    return SmsSize(encoding, units, _packed(widths, encoding.part_units))


def is_gsm7(text: str) -> bool:
    """Tell whether every letter of *text* is in the GSM 7-bit alphabet or its extension."""
    return all(letter in _GSM7_BASIC or letter in _GSM7_EXTENDED for letter in text)


def _width(letter: str, encoding: Encoding) -> int:
    if encoding is Encoding.GSM7:
        return 2 if letter in _GSM7_EXTENDED else 1
    return 2 if ord(letter) > 0xFFFF else 1


def _packed(widths: Iterable[int], part_units: int) -> int:
    parts, used = 1, 0
    for width in widths:
        if used + width > part_units:
            parts, used = parts + 1, 0
        used += width
    return parts
