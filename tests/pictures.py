"""The first bytes of pictures, as encoders write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def a_png(width: int, height: int) -> bytes:
    """Return a PNG as far as its size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + b"IHDR" + header + b"\0\0\0\0"


def a_jpeg(width: int, height: int, *, before: Sequence[tuple[int, bytes]] = (), frame: int = 0xC0) -> bytes:
    """Return a JPEG as far as its frame header, behind segments of marker and content."""
    segments = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content for marker, content in before
    )
    header = bytes([0xFF, frame]) + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + segments + header
