"""`linkferry resend`: a message once more, without another partner call."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.commands.jobs import no_such_job
from linkferry.frame import FAILED, USAGE, CommandError, command, complain
from linkferry.output import emit, instant, say
from worker.domain.states import Channel, Lane

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.domain.request import OnboardingRequest
    from worker.ledger import Readdress
    from worker.settings import Settings

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job whose link the message carries.")]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="ADDRESS", help="Another e-mail address or mobile number; kept from then on."
    ),
]
Only = Annotated[
    str | None, typer.Option("--channel", help="Only this channel, `email` or `sms`; without it, each one.")
]


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "resend")
    async def resend(
        session: Session, job_id: JobId, only: Only = None, to: To = None, why: filters.Why = ""
    ) -> int:
        """Send a customer's message again: the same links, no partner call. Also ends a doubt about a text.

        Example: `linkferry resend 01k8…w --channel email --to dana@example.com`
        """
        job = await session.ledger.queries.job(job_id.strip())
        if job is None:
            return await no_such_job(session, job_id)
        channel = None if only is None else filters.choice(Channel, only, "--channel")
        readdress = None
        if to is not None:
            channel, readdress = _readdressed(
                job.request, to, session.settings.default_region, wanted=channel
            )
        resent = await session.commands.resend(
            job.id, channel=channel, to=readdress, by=filters.operator(), why=why
        )
        documents = [each.document() for each in resent]
        pauses = await session.ledger.batches.pauses()
        where = _where(readdress, channel)
        to_whom = f" to {where}" if where else ""
        lines = [_line(each, to_whom + _when(session.settings, job.lane, each, pauses)) for each in documents]
        if where and any(each.done for each in resent):
            lines.append(f"{where} is the customer's from now on: later messages go there, too.")
        document = {"job_id": job.id, "messages": documents, "to": where}
        emit(document, lambda: say("\n".join(lines)) if lines else None)
        if not resent:
            complain(
                f"It has no such message ({job.id} is {job.state.value}): one is made when the job is linked, for the "
                "channels asked for."
            )
        return 0 if any(each.done for each in resent) else FAILED


def _when(settings: Settings, lane: Lane, document: dict[str, Any], pauses: AbstractSet[str]) -> str:
    """Return when a message goes out, for a line, where that is not at once."""
    if f"channel:{document['channel']}" in pauses:
        return f" once its channel is resumed: linkferry resume --channel {document['channel']}"
    return until_window(settings, lane)


def until_window(settings: Settings, lane: Lane) -> str:
    """Return until when a message waits for the send window, for a line; nothing while it need not."""
    from worker.domain.send_window import closed_until
    from worker.ops.views import iso

    if settings.send_window_live and lane is Lane.LIVE:
        return ""
    opens = closed_until(settings.send_window, datetime.now(UTC))
    if opens is None:
        return ""
    return f" when the send window opens, at {instant(iso(round(opens.timestamp() * 1000)))}"


def _where(readdress: Readdress | None, channel: Channel | None) -> str | None:
    """Return the new address as it may be shown; None: it goes where it went."""
    from worker.domain.phone import mask_email, mask_number

    if readdress is None:
        return None
    contact = readdress.contact
    if channel is Channel.EMAIL:
        return mask_email(contact.email) if contact.email else None
    return mask_number(contact.phone) if contact.phone else None


def _line(document: dict[str, Any], how: str) -> str:
    from worker.ops.acts import WHY_NOT

    if document["done"]:
        return f"{document['channel']}: will be sent again{how}"
    return f"{document['channel']}: not sent again, {WHY_NOT.get(document['refusal'], document['refusal'])}"


def _readdressed(
    request: OnboardingRequest, to: str, region: str, *, wanted: Channel | None
) -> tuple[Channel, Readdress]:
    """Return the channel that *to* belongs to and the contact with it; raises CommandError (2)."""
    from worker.ops.readdress import ReaddressError, readdressed

    try:
        return readdressed(request, to, region=region, wanted=wanted)
    except ReaddressError as error:
        message = f"--to {to}: {error}"
        if wanted is not None and error.problem.code == "other_channel":
            message = f"--to {to} is for another channel, but --channel says {wanted.value}."
        raise CommandError(message, exit_code=USAGE) from None
