"""Screenshots made small enough for a page of docs: 256 colours do for a page that has few."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

from playwright.async_api import Page

_PALETTE = Path(__file__).with_name("palette.js").read_text(encoding="utf-8")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3  # PNG's colour type


async def shrunk(page: Page, picture: bytes) -> bytes:
    """Return a PNG with at most 256 colours; *page* may show anything, its canvas does the counting."""
    found = await page.evaluate(_PALETTE, base64.b64encode(picture).decode())
    width, height = found["width"], found["height"]
    pixels = base64.b64decode(found["pixels"])
    rows = b"".join(b"\0" + pixels[start : start + width] for start in range(0, width * height, width))
    head = struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", bytes(found["palette"])),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return _SIGNATURE + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
