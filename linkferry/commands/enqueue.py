"""`linkferry enqueue …` and `linkferry backfill`: requests from the command line."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.frame import FAILED, CommandError, command, complain
from linkferry.notices import tell_what_is_missing
from linkferry.output import emit, say

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.domain.job import JobRecord, Receipt
    from worker.domain.parse import InvalidRequest, ParsedRequest

_LOOK_EVERY_S = 0.2
_EXPLAINED_WITHIN_S = 20.0  # a look-up begins within ten seconds; a code it cannot explain stays as it is


def _text(option: str, help_text: str) -> Any:
    return typer.Option(option, help=help_text)


Email = Annotated[str, _text("--email", "Where the invitation is mailed.")]
Phone = Annotated[str, _text("--phone", "Where the invitation is texted.")]
Name = Annotated[str, _text("--name", "Whom the message greets.")]
Locale = Annotated[str, _text("--locale", "Language of the message: `he` or `en`.")]
Channels = Annotated[str, _text("--channels", "`email`, `sms`, `email,sms` or `none`.")]
ChannelPolicy = Annotated[str, _text("--channel-policy", "`all`, or the `first` that works.")]
BrandName = Annotated[str, _text("--brand", "Who the messages are from; see `linkferry brand list`.")]
IsAgreed = Annotated[bool, typer.Option("--agreed", help="The customer asked for it: messages say so.")]
Reference = Annotated[str, _text("--reference", "Your own reference; comes back in answers and reports.")]
ExternalId = Annotated[str, _text("--external-id", "The customer's id in your CRM.")]
Key = Annotated[str, _text("--key", "Idempotency key: the same key again makes nothing new.")]
BusinessName = Annotated[str, _text("--business-name", "The business's name.")]
AcceptNames = Annotated[
    bool, typer.Option("--accept-names", help="Send names in the form the partner accepts where it differs.")
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait", help="Wait for the links and print them. Exit code 1 if a job failed or the time is up."
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait with --wait.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="enqueue", help="Ask for one customer's links, ahead of any backfill.")
    command(group, "whatsapp")(whatsapp)
    command(group, "facebook")(facebook)


async def whatsapp(
    session: Session,
    *,
    number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The number to connect; `1` for coexistence.")
    ],
    business_name: BusinessName,
    display_name: Annotated[str, _text("--display-name", "What WhatsApp shows; cannot be changed later.")],
    business_email: Annotated[str, _text("--business-email", "The business's own address.")] = "",
    business_id: Annotated[str, _text("--business-id", "Digits only.")] = "",
    business_address: Annotated[str, _text("--business-address", "Free text.")] = "",
    onboarding_logo: Annotated[str, _text("--onboarding-logo", "https URL, 200×60 px.")] = "",
    onboarding_message: Annotated[str, _text("--onboarding-message", "Shown on the page.")] = "",
    basic_templates: Annotated[
        bool, typer.Option("--basic-templates", help="Also submit templates.")
    ] = False,
    email: Email = "",
    phone: Phone = "",
    name: Name = "",
    locale: Locale = "",
    channels: Channels = "",
    channel_policy: ChannelPolicy = "",
    brand: BrandName = "",
    is_agreed: IsAgreed = False,
    reference: Reference = "",
    external_id: ExternalId = "",
    key: Key = "",
    is_accepting_names: AcceptNames = False,
    is_waiting: Wait = False,
    timeout_s: Timeout = 120.0,
) -> int:
    """Ask for a WhatsApp link.

    Example: `linkferry enqueue whatsapp 0501234567 --business-name "Dana Flowers" --display-name "Dana Flowers"
    --email dana@example.com --wait`
    """
    fields = {
        "product": "whatsapp",
        "whatsapp": number,
        "business_name": business_name,
        "display_name": display_name,
        "business_email": business_email,
        "business_id": business_id,
        "business_address": business_address,
        "onboarding_logo": onboarding_logo,
        "onboarding_message": onboarding_message,
        "basic_templates": "1" if basic_templates else "",
        "email": email,
        "phone": phone,
        "name": name,
        "locale": locale,
        "channels": channels,
        "channel_policy": channel_policy,
        "brand": brand,
        "agreed": "1" if is_agreed else "",
        "reference": reference,
        "external_id": external_id,
    }
    wait_s = timeout_s if is_waiting else None
    return await _enqueue(session, fields, key, accept_names=is_accepting_names, wait_s=wait_s)


async def facebook(
    session: Session,
    *,
    types: Annotated[
        list[int],
        typer.Option(
            "--type",
            min=1,
            max=4,
            help="1 Messenger, 2 Instagram, 3 Facebook page, 4 Instagram page; may be repeated.",
        ),
    ],
    server: Annotated[str, _text("--server", "Server URL (omni-channel only).")] = "",
    account_id: Annotated[str, _text("--account-id", "Number (omni-channel only).")] = "",
    inbox_id: Annotated[str, _text("--inbox-id", "Number (omni-channel only).")] = "",
    business_name: BusinessName = "",
    email: Email = "",
    phone: Phone = "",
    name: Name = "",
    locale: Locale = "",
    channels: Channels = "",
    channel_policy: ChannelPolicy = "",
    brand: BrandName = "",
    is_agreed: IsAgreed = False,
    reference: Reference = "",
    external_id: ExternalId = "",
    key: Key = "",
    is_waiting: Wait = False,
    timeout_s: Timeout = 120.0,
) -> int:
    """Ask for Facebook and Instagram links, one per --type.

    Example: `linkferry enqueue facebook --type 1 --type 3 --email dana@example.com --external-id 4711`
    """
    fields = {
        "product": ";".join(f"facebook:{number}" for number in dict.fromkeys(types)),
        "server": server,
        "account_id": account_id,
        "inbox_id": inbox_id,
        "business_name": business_name,
        "email": email,
        "phone": phone,
        "name": name,
        "locale": locale,
        "channels": channels,
        "channel_policy": channel_policy,
        "brand": brand,
        "agreed": "1" if is_agreed else "",
        "reference": reference,
        "external_id": external_id,
    }
    return await _enqueue(session, fields, key, wait_s=timeout_s if is_waiting else None)


async def _enqueue(
    session: Session,
    fields: dict[str, str],
    key: str,
    *,
    accept_names: bool = False,
    wait_s: float | None,
) -> int:
    """Take one request through the door and say what became of it."""
    from producers.enqueue import Origin, row_text
    from worker.domain.job import Verdict
    from worker.domain.parse import InvalidRequest, parse_request
    from worker.domain.states import Lane

    door = session.door(accept_names=accept_names)
    parsed = parse_request(fields, door.rules)
    if isinstance(parsed, InvalidRequest):
        return _refuse(parsed)
    origin = Origin(source="cli", lane=Lane.LIVE, idempotency_key=key or None, row_text=row_text(fields))
    receipt = await door.enqueue(parsed, origin)
    if receipt.verdict is Verdict.FULL:
        message = (
            "The ledger is full (LINKFERRY_MAX_WAITING jobs wait): nothing was recorded. Try again later."
        )
        raise CommandError(message)
    if wait_s is None or receipt.verdict is Verdict.CONFLICT:
        emit(_document(receipt, parsed), lambda: _say_receipt(receipt, parsed))
        if receipt.verdict is Verdict.CONFLICT:
            return FAILED
        await tell_what_is_missing(session)
        return 0
    return await _wait(session, receipt, parsed, wait_s)


def _refuse(invalid: InvalidRequest) -> int:
    problems = [
        {"field": each.field, "code": each.code, "message": each.message, "remedy": each.remedy}
        for each in invalid.problems
    ]
    emit({"problems": problems}, lambda: None)
    for each in invalid.problems:
        complain(f"{each.field}: {each.message}. {each.remedy}")
    complain("Nothing was recorded.")
    return FAILED


def _document(receipt: Receipt, parsed: ParsedRequest) -> dict[str, Any]:
    from worker.domain.job import Verdict

    document: dict[str, Any] = {
        "job_id": receipt.job_ids[0],
        "state": receipt.state.value,
        "duplicate": receipt.verdict is Verdict.DUPLICATE,
    }
    if len(receipt.job_ids) > 1:
        document["job_ids"] = list(receipt.job_ids)
    if receipt.verdict is Verdict.CONFLICT:
        document |= {"conflict": True, "replaceable": receipt.is_replaceable}
    if parsed.warnings:
        document["warnings"] = [f"{each.field}: {each.message}" for each in parsed.warnings]
    return document


def _say_receipt(receipt: Receipt, parsed: ParsedRequest) -> None:
    from worker.domain.job import Verdict

    ids = " ".join(receipt.job_ids)
    match receipt.verdict:
        case Verdict.ACCEPTED:
            say(f"Accepted: {ids}")
        case Verdict.DUPLICATE:
            say(f"Known already, nothing new was recorded: {ids} ({receipt.state.value})")
        case _ if receipt.is_anothers_id:
            complain(
                f"Another source gave this external_id (or key) to another contact: {ids} ({receipt.state.value}). "
                "Nothing was recorded. Two customers: give this one an external_id of its own. "
                "One customer: write the contact that stands."
            )
        case _:
            complain(
                f"Another request stands for this number, with other data: {ids} ({receipt.state.value}). "
                "Nothing was recorded."
            )
    if receipt.contact_differs:
        complain("The contact differs from the first request's; the first stands.")
    for warning in parsed.warnings:
        complain(f"{warning.field}: {warning.message}")


async def _wait(session: Session, receipt: Receipt, parsed: ParsedRequest, wait_s: float) -> int:
    """Wait until every job has come to its end, and print the links."""
    _say_receipt(receipt, parsed)
    await tell_what_is_missing(session)
    deadline = time.monotonic() + wait_s
    records = await _records(session, receipt)
    while not all(_is_over(record) for record in records) and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_EVERY_S)
        records = await _records(session, receipt)
    document = _document(receipt, parsed) | {
        "state": records[0].state.value,
        "jobs": [
            {"job_id": each.id, "state": each.state.value, "link": each.link, "reason": each.reason}
            for each in records
        ],
    }
    emit(document, lambda: _say_endings(session, records))
    return 0 if all(record.link for record in records) else FAILED


async def _records(session: Session, receipt: Receipt) -> list[JobRecord]:
    return [each for each in await session.ledger.queries.jobs(list(receipt.job_ids)) if each is not None]


def _is_over(record: JobRecord) -> bool:
    from worker.domain.states import ENDED_STATES

    return record.state in ENDED_STATES and not _is_being_explained(record)


def _is_being_explained(record: JobRecord) -> bool:
    """Tell whether the partner's lists are still to say what a FAIL of an unknown code was about: it takes seconds."""
    from worker.domain.reasons import ReasonClass
    from worker.domain.request import Product
    from worker.domain.states import JobState

    is_unclear = record.state is JobState.FAILED and record.reason_class == ReasonClass.UNKNOWN
    age_s = time.time() - record.changed_at_ms / 1000
    return is_unclear and record.product is Product.WHATSAPP and age_s < _EXPLAINED_WITHIN_S


def _say_endings(session: Session, records: list[JobRecord]) -> None:
    for record in records:
        if record.link:
            say(f"{record.id}  {record.product.value}  {record.state.value}  {record.link}")
        elif record.reason:
            reason = session.catalogue.named(record.reason)
            say(
                f"{record.id}  {record.product.value}  {record.state.value}  {record.reason}: {reason.meaning} {reason.remedy}"
            )
        else:
            say(f"{record.id}  {record.product.value}  {record.state.value}")
