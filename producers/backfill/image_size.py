"""What a PNG or JPEG picture says of itself in its first bytes. Nothing is decoded. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"  # the signature, and the one chunk that must come first
_JPEG = b"\xff\xd8\xff"
_MOST_SIDE = 2**31 - 1
# C4, C8 and CC lie among the frame headers and are none: Huffman tables, an extension, arithmetic conditioning.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_FILL, _SCAN, _END = 0xFF, 0xDA, 0xD9


@dataclass(frozen=True, slots=True)
class Picture:
    """What kind of picture it is, and its size in pixels."""

    kind: str  #: `png` or `jpg`
    width: int
    height: int


def read_picture(data: bytes) -> Picture | None:
    """Return what the bytes say, or None where they begin neither a PNG nor a JPEG picture with a size."""
    if data.startswith(_PNG) and len(data) >= len(_PNG) + 8:
        return _sized("png", *struct.unpack_from(">II", data, len(_PNG)))
    return _read_jpeg(data) if data.startswith(_JPEG) else None


def _read_jpeg(data: bytes) -> Picture | None:
    """Go from marker to marker until one begins a frame: there the size stands."""
    at = 2
    while at + 4 <= len(data) and data[at] == _FILL:
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _FRAMES:
            if at + 9 > len(data):
                return None
            height, width = struct.unpack_from(">HH", data, at + 5)
            return _sized("jpg", width, height)
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            if marker in {_SCAN, _END} or length < 2:
                return None
            at += 2 + length
    return None


def _sized(kind: str, width: int, height: int) -> Picture | None:
    return Picture(kind, width, height) if 0 < width <= _MOST_SIDE and 0 < height <= _MOST_SIDE else None
