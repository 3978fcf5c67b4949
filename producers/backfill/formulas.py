"""Cells that a spreadsheet program would run as formulas, made harmless and given back as they were."""

from __future__ import annotations

#: A spreadsheet takes a cell that begins with one of these for a formula (the wide forms in some locales). The
#: apostrophe is guarded as well, so that taking one away always gives back what was there.
GUARDED = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def guard(cell: str) -> str:
    """Return the cell so that no spreadsheet program runs it."""
    return "'" + cell if cell.startswith(GUARDED) else cell


def unguard(cell: str) -> str:
    """Return what `guard` was given."""
    return cell.removeprefix("'")
