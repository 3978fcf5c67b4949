"""Cells that a spreadsheet program would run as formulas, made harmless and given back as they were."""

from __future__ import annotations

import re

_STARTS = "=+\\-@'\uff1d\uff0b\uff0d\uff20"
#: A spreadsheet takes a cell that begins with one of these for a formula (the wide forms in some locales). The
#: apostrophe is guarded as well, so that taking one away always gives back what was there.
GUARDED = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Where a program takes the semicolon or the tab for the delimiter, or loses track of the quotes, what follows one of
# these begins a cell of its own.
_SPLITS = re.compile(rf"([;\t\r\n])(?=[{_STARTS}])")
_GUARDED_SPLITS = re.compile(r"([;\t\r\n])'")


def guard(cell: str) -> str:
    """Return the cell so that no spreadsheet program runs it, or a part of it."""
    if cell.startswith(GUARDED):
        cell = "'" + cell
    return _SPLITS.sub(r"\1'", cell) if _SPLITS.search(cell) else cell


def unguard(cell: str) -> str:
    """Return what `guard` was given."""
    return _GUARDED_SPLITS.sub(r"\1", cell.removeprefix("'")) if "'" in cell else cell
