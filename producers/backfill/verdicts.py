"""What the ledger's verdicts on a row mean to the person who wrote it."""

from __future__ import annotations

from worker.domain.job import Receipt
from worker.domain.parse import Problem
from worker.domain.states import WAITING_STATES, JobState


def conflict(receipt: Receipt) -> Problem:
    """Return the problem of a row whose number stands with other data, or whose id another customer has."""
    job = _job_of(receipt)
    if receipt.is_anothers_id:
        return Problem(
            "external_id",
            "conflict",
            f"another source gave this external_id to another contact (job {job})",
            "Two customers: give this one an external_id of its own. One customer: write the contact that "
            f"linkferry job show {job} --reveal shows, or leave this row out.",
        )
    if receipt.state in WAITING_STATES:
        remedy = f"If this row is right: linkferry job cancel {job}, then this row again; else leave it out."
    elif receipt.state is JobState.FAILED:
        remedy = (
            f"If this row is right: linkferry failed edit {job} with its data, or linkferry failed discard {job} and "
            "then this row again; else leave it out."
        )
    else:
        remedy = f"See linkferry job show {job}; leave this row out if the first is right."
    message = f"this customer stands with other data already ({receipt.state.value}, job {job})"
    return Problem("whatsapp", "conflict", message, remedy)


def contact_differs(receipt: Receipt) -> Problem:
    """Return the warning of a row that stands already, with another contact."""
    return Problem(
        "email",
        "contact_differs",
        "the same request stands already, with another contact; the first contact stands",
        f"To send it elsewhere: linkferry resend {_job_of(receipt)} --to ADDRESS",
    )


def _job_of(receipt: Receipt) -> str:
    return receipt.job_ids[0] if receipt.job_ids else receipt.invitation_id


def in_file_conflict(first_line: int) -> Problem:
    """Return the problem of a row that contradicts an earlier one of the same file."""
    return Problem(
        "whatsapp",
        "conflict",
        f"line {first_line} asks for the same customer with other data",
        "Keep one of the two rows.",
    )
