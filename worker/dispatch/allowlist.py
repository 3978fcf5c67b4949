"""Who may get messages at all, while an operator tries things out."""

from __future__ import annotations

from collections.abc import Iterable


class RecipientAllowlist:
    """Addresses (`dana@example.com`), whole domains (`@example.com`) and numbers (`+972 50-123-4567`, `0501234567`).

    Empty, it allows everybody: the setting was not made.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = frozenset(_canonical(pattern) for pattern in patterns if pattern.strip())

    def allows(self, recipient: str) -> bool:
        """Tell whether *recipient*, an address or a number, may be sent a message."""
        if not self._patterns:
            return True
        canonical = _canonical(recipient)
        if "@" not in canonical:
            return canonical in self._patterns
        domain = canonical[canonical.rindex("@") :]
        return canonical in self._patterns or domain in self._patterns


def _canonical(text: str) -> str:
    """Return an address in lower case, or a number as digits with its country code (Israel's, if it has none)."""
    stripped = text.strip().lower()
    if "@" in stripped:
        return stripped
    digits = "".join(letter for letter in stripped if letter.isascii() and letter.isdigit())
    if digits.startswith("00"):
        return digits[2:]
    return f"972{digits[1:]}" if digits.startswith("0") else digits
