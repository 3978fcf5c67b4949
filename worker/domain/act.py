"""Bulk acts: what may be done to many jobs at once, how such an act stands, and why it may leave one alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from worker.domain.change import REPLACEABLE_STATES
from worker.domain.states import JobState


class Act(StrEnum):
    """What may be done to a job that stands."""

    REQUEUE = "requeue"  #: let it try again; a message that failed is sent again
    DISCARD = "discard"  #: give it up: a dead letter
    CANCEL = "cancel"
    RESTORE = "restore"  #: a dead letter stands in the failed queue again, with the reason it had
    REPLACE = "replace"  #: delete its link at the partner and make another
    REVOKE = "revoke"  #: delete its link at the partner for good


#: Acts whose jobs then go to the partner: each comes to an end of its own, and a canary goes first.
CALLING_ACTS = frozenset({Act.REQUEUE, Act.REPLACE, Act.REVOKE})


#: Act → the states in which a job is fit for it. `FIT` in mending.lua says the same.
FIT_STATES: Mapping[Act, frozenset[JobState]] = {
    Act.REQUEUE: frozenset({JobState.FAILED, JobState.DEAD}),
    Act.DISCARD: frozenset({JobState.FAILED}),
    Act.CANCEL: frozenset({JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING}),
    Act.RESTORE: frozenset({JobState.DEAD}),
    Act.REPLACE: REPLACEABLE_STATES,
    Act.REVOKE: REPLACEABLE_STATES,
}
_WAIT = frozenset({JobState.AVAILABLE, JobState.SCHEDULED})


def unfit_for(act: Act, state: JobState) -> str | None:
    """Return why no job in *state* is fit for *act*, in a word; None: it may be. `job_refusal` says the same."""
    if state in FIT_STATES[act]:
        return None
    return "waits_already" if act is Act.REQUEUE and state in _WAIT else f"is_{state.value}"


class ActState(StrEnum):
    """How a bulk act stands."""

    PREVIEWING = "previewing"  #: its set is being frozen
    PREVIEWED = "previewed"  #: the set is frozen; nothing is done until somebody starts it
    RUNNING = "running"
    STOPPED = "stopped"  #: by a person, or by itself; it may go on
    DONE = "done"
    EXPIRED = "expired"  #: it was not started in time


class ActOutcome(StrEnum):
    """What became of one of an act's jobs."""

    WAITING = "waiting"  #: its turn has not come
    DONE = "done"  #: where calls follow: it waits, runs, or tries again
    LINKED = "linked"  #: requeued, and it has its link
    SENT = "sent"  #: the message went out
    REVOKED = "revoked"  #: its link is deleted
    FAILED_AGAIN = "failed_again"
    ENDED_OTHERWISE = "ended_otherwise"  #: cancelled meanwhile, or the message in doubt
    REFUSED = "refused"  #: left alone; `REFUSALS` says why


#: Letter in an act's marks → what became of the job at that place. A place not come to holds a zero byte.
OUTCOME_OF: Mapping[str, ActOutcome] = {
    "\0": ActOutcome.WAITING,
    "d": ActOutcome.DONE,
    "l": ActOutcome.LINKED,
    "s": ActOutcome.SENT,
    "r": ActOutcome.REVOKED,
    "a": ActOutcome.FAILED_AGAIN,
    "o": ActOutcome.ENDED_OTHERWISE,
}
#: Letter in an act's marks → why the job was left alone. `acting.lua` writes the same letters.
REFUSALS: Mapping[str, str] = {
    "G": "gone",
    "W": "waits_already",
    "R": "is_running",
    "D": "is_in_doubt",
    "L": "is_linked",
    "O": "is_onboarded",
    "V": "is_revoked",
    "F": "is_failed",
    "X": "is_dead",
    "C": "is_cancelled",
    "B": "is_available",
    "U": "is_scheduled",
    "A": "claimed_by_another",
    "H": "changed_since",
    "M": "is_message",
    "S": "is_sent",
    "P": "change_pending",
    "K": "link_stands",
    "I": "facebook_stays",
    "N": "no_link",
    "E": "past_cancelling",
    "T": "link_replaced",
}
