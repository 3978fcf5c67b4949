"""What to do about what stands in the failed queue, and by which command."""

from __future__ import annotations

import re
from dataclasses import replace

from worker.domain.ids import is_job_id
from worker.domain.reasons import Catalogue, Policy, Reason, ReasonClass
from worker.domain.states import JobState
from worker.ops.words import WORDS

#: The reason of what waits for a person because its tries are used up, whatever it failed with last.
USED_UP = "tries_used_up"
#: the sentence that tells of a message what USED_UP tells of a job
MESSAGE_USED_UP = "remedy_message_used_up"
FOR_GOOD = frozenset(
    {JobState.FAILED, JobState.DEAD}
)  #: states of jobs that are not tried again by themselves
_JOB_MARK = re.compile(r"(?<=linkferry resend )JOB\b")
_PUT_IN = re.compile(r"(?<=linkferry resend )\w+\b")
_BY_ITSELF = frozenset({Policy.RETRY, Policy.SNOOZE})


def failed_with(name: str, catalogue: Catalogue, *, is_message: bool = False) -> Reason:
    """Return a reason as it is for a job, or a message, that has failed for good.

    The shipped remedies of what is tried again by itself say so; of what is in the failed queue that is no longer true.
    """
    reason = catalogue.named(name)
    is_our_text = reason.remedy == Catalogue.shipped().named(reason.name).remedy
    if reason.policy not in _BY_ITSELF or not is_our_text:
        return reason
    remedy = WORDS[MESSAGE_USED_UP] if is_message else catalogue.named(USED_UP).remedy
    return replace(reason, remedy=remedy)


def with_job(remedy: str, job_id: str) -> str:
    """Return a message's remedy with one of its jobs in the commands: to be typed as they stand."""
    return _JOB_MARK.sub(job_id, remedy)


def without_job(remedy: str) -> str:
    """Return a remedy as the catalogue has it, whatever job was put into its commands."""
    return _PUT_IN.sub(lambda found: "JOB" if is_job_id(found[0]) else found[0], remedy)


def mending_command(reason_class: str | None, remedy: str | None) -> str | None:
    """Return the command that does what the remedy of failed jobs says (`failed edit`), or None where none does."""
    said = (remedy or "").lower()
    if reason_class == ReasonClass.ALREADY_ONBOARDED:
        return "failed discard"
    if reason_class == ReasonClass.NOT_REGISTERED:
        return None  # it goes on by itself, once somebody has registered the number
    if "linkferry job replace" in said:
        return "job replace"
    is_of_data = reason_class == ReasonClass.BAD_DATA and not said.startswith("requeue")
    return "failed edit" if is_of_data else "failed requeue"
