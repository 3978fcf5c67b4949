"""Identifiers. They sort by time, carry nothing personal, and a job's id names its invitation."""

from __future__ import annotations

from worker.domain.request import Product

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_TIME_DIGITS = 10
_CHANCE_DIGITS = 10
INVITATION_ID_LENGTH = _TIME_DIGITS + _CHANCE_DIGITS


def new_invitation_id(*, now_ms: int, chance: int) -> str:
    """Return a new invitation id: ten digits of time, ten of *chance* (50 random bits are used)."""
    return _base32(now_ms) + _base32(chance)


def new_event_id(*, now_ms: int, chance: int) -> str:
    """Return a new id for an event that came in, made like an invitation's."""
    return new_invitation_id(now_ms=now_ms, chance=chance)


def job_id(invitation_id: str, product: Product) -> str:
    """Return the id of the invitation's job for *product*: the invitation's own plus one character."""
    return invitation_id + product.code


def invitation_of(job: str) -> str:
    """Return the id of the invitation that the job belongs to."""
    return job[:-1]


def product_of(job: str) -> Product:
    """Return the product that the job is for."""
    return Product.of_code(job[-1])


def is_job_id(text: str) -> bool:
    """Tell whether *text* has the shape of a job id (it may still be nobody's)."""
    codes = {product.code for product in Product}
    return is_invitation_id(text[:-1]) and text[-1] in codes


def is_invitation_id(text: str) -> bool:
    """Tell whether *text* has the shape of an invitation's id (it may still be nobody's)."""
    return len(text) == INVITATION_ID_LENGTH and all(letter in ALPHABET for letter in text)


# Two digits at a time: every backfilled row pays for this.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


def _base32(number: int) -> str:
    """Return the lowest 50 bits of *number* as ten digits."""
    return (
        _PAIRS[number >> 40 & 1023]
        + _PAIRS[number >> 30 & 1023]
        + _PAIRS[number >> 20 & 1023]
        + _PAIRS[number >> 10 & 1023]
        + _PAIRS[number & 1023]
    )
