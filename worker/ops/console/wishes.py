"""What a bulk act is wanted on, as a form says it: the ticked rows, or all that match a filter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from worker.domain.act import Act
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.ops.console.forms import Form

_LONGEST_ID = 128
_FLOATS = frozenset({"older_than_s", "newer_than_s"})
_COUNTS = frozenset({"min_attempts", "min_requeues"})
_OF_LINKS = frozenset({Act.REPLACE, Act.REVOKE})
_STAGES = frozenset({"link", "delivery"})


class WishError(ValueError):
    """The form cannot be acted on; `code` is a word of `told`."""

    def __init__(self, code: str) -> None:
        """Refuse for *code*."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An act, and what it is wanted on."""

    act: Act
    ids: tuple[str, ...] = ()
    wanted: JobFilter | None = None  #: None: the ids
    states: tuple[JobState, ...] = ()


def read_wish(form: Form) -> Wish:
    """Return what a form wishes; raises WishError."""
    try:
        act = Act(form.word("act"))
    except ValueError:
        raise WishError("bad_filter") from None
    if form.word("scope") != "all":
        ids = tuple(each for each in dict.fromkeys(form.all("job_id")) if 0 < len(each) <= _LONGEST_ID)
        if not ids:
            raise WishError("nothing_ticked")
        return Wish(act=act, ids=ids)
    wanted = read_filter_document(form.text("filter"))
    states = states_of(wanted)
    if act in _OF_LINKS and len(states) > 1:
        states = (JobState.LINKED,)  # a failed job's link is changed only where that is asked for
    return Wish(act=act, wanted=wanted, states=states)


def states_of(wanted: JobFilter) -> tuple[JobState, ...]:
    """Return the states whose jobs the filter's list shows."""
    if wanted.state is not None:
        return (wanted.state,)
    if wanted.stage == "delivery" or wanted.reason is not None or wanted.reason_class is not None:
        return (JobState.FAILED,)
    return tuple(JobState)


def read_filter_document(text: str) -> JobFilter:
    """Return the filter that a page wrote into its form; of no stage, it is about jobs. Raises WishError."""
    try:
        document = json.loads(text)
        json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        _check(document)
        return JobFilter.from_document({"stage": "link", **document})
    except (ValueError, TypeError, RecursionError):
        raise WishError("bad_filter") from None


def _check(document: Any) -> None:
    """See that each value is of its kind: what comes from a browser is anybody's."""
    if not isinstance(document, dict):
        message = "no filter"
        raise TypeError(message)
    for name, value in document.items():
        if name in _FLOATS:
            is_right = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e10
        elif name in _COUNTS:
            is_right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
        else:
            is_right = isinstance(value, str)
        if not is_right:
            raise ValueError(name)
    if document.get("stage", "link") not in _STAGES:
        message = "stage"
        raise ValueError(message)
