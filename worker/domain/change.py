"""Changing a link that was made: what is under way, and how a new link is told from the one that it replaces. Pure.

A link's data can't be changed at the partner. To replace one, it is deleted and another is made; the number has none in
between. The new link's reference names the same job and is another text, so that no look-up takes the one for the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from worker.domain.ids import is_job_id
from worker.domain.request import Product
from worker.domain.states import JobState


class Op(StrEnum):
    """What is being done to a link. Lua writes the same words into a job's field `op`."""

    REPLACE_DELETE = "rd"  #: to be replaced: it is to be deleted first
    REPLACE_CREATE = "rc"  #: to be replaced: nothing is in the new link's way any more
    REVOKE = "v"  #: to be deleted for good


#: What an attempt does by deleting, not by making, a link.
DELETING = frozenset({Op.REPLACE_DELETE.value, Op.REVOKE.value})
#: States in which a link can be replaced, and deleted for good. `FIT` in mending.lua says the same.
REPLACEABLE_STATES = frozenset({JobState.LINKED, JobState.FAILED})
_NTH = re.compile(r"r([1-9]\d{0,5})")
_ID_SIGNS = 21


def reference_of(job_id: str, replacements: int) -> str:
    """Return the partner's reference for a job's link, after so many replacements: the job's id, with `r1`, `r2`, … after it."""
    return f"{job_id}r{replacements}" if replacements else job_id


def job_id_of_reference(reference: str | None) -> str | None:
    """Return the id of the job whose link bears *reference*, the first or a later one; None: it is none of ours.

    Spaces around it and capital letters are let be, as the partner may write it anew.
    """
    text = (reference or "").strip().lower()
    job_id, nth = text[:_ID_SIGNS], text[_ID_SIGNS:]
    is_ours = len(job_id) == _ID_SIGNS and is_job_id(job_id) and (not nth or _NTH.fullmatch(nth) is not None)
    return job_id if is_ours else None


def under_way(op: str | None, state: JobState, product: Product) -> str | None:
    """Return what is being done to a job's link as a word (`changing_<word>` is among the words), or None."""
    if op is None or state not in _SAID[op]:
        return None
    if op == Op.REPLACE_CREATE and product is not Product.WHATSAPP:
        return _FACEBOOK[state]
    return _SAID[op][state]


def _stages(word: str) -> dict[JobState, str]:
    return {
        JobState.AVAILABLE: word,
        JobState.SCHEDULED: word,
        JobState.RUNNING: word,
        JobState.FAILED: f"{word}_failed",
        JobState.DEAD: f"{word}_given_up",
    }


_SAID: Mapping[str, Mapping[JobState, str]] = {
    Op.REPLACE_DELETE.value: _stages("deleting"),
    Op.REPLACE_CREATE.value: {**_stages("making"), JobState.IN_DOUBT: "making_in_doubt"},
    Op.REVOKE.value: _stages("revoking"),
}
_FACEBOOK: Mapping[JobState, str] = {**_stages("making_beside"), JobState.IN_DOUBT: "making_beside"}
