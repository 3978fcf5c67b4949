"""Alerts on their way to people: posted to ALERT_URL, mailed to each address in ALERT_EMAIL.

At least once: a try whose end nobody recorded is made again, with the same `webhook-id` or Message-ID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Protocol

from worker.clock import Clock
from worker.dispatch.mail import MailDispatcher
from worker.dispatch.messages import MailMessage, Sender
from worker.dispatch.webhook import WebhookSink
from worker.domain.alert_words import AlertNotice
from worker.domain.alerts import WEBHOOK, mail_sink
from worker.domain.outcome import (
    ChannelDown,
    DeliveryDoubt,
    DeliveryOutcome,
    Fail,
    Sent,
    Skipped,
    Undelivered,
)
from worker.domain.outgoing import NeverTold, NotTold, TellFault, Telling, Told
from worker.domain.reasons import ReasonClass
from worker.domain.standard_webhooks import SigningSecret

#: A mail has to be on its way by then; its answer may take longer.
MAIL_DEADLINE_S = 30.0
MAIL_ANSWER_S = 60.0
_CONNECTIONS = 4
_DETAIL_LIMIT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one try."""

    telling: Telling
    detail: str = ""  #: what the other side said, for a person


class AlertSink(Protocol):
    """Tells alerts to one receiver."""

    @property
    def name(self) -> str:
        """Return what the ledger knows it by: no address."""
        ...

    async def tell(self, notice: AlertNotice) -> Tried:
        """Tell *notice* and return what came of it; raises nothing it expects."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class WebhookAlerts:
    """Posts alerts to one address, as our own events are posted."""

    def __init__(self, url: str, secrets: Sequence[SigningSecret], *, clock: Clock) -> None:
        """Post to *url*, signed where there are *secrets*."""
        self._sink = WebhookSink(url, secrets, clock=clock)

    @property
    def name(self) -> str:
        """Return what the ledger knows it by."""
        return WEBHOOK

    async def tell(self, notice: AlertNotice) -> Tried:
        """Post *notice* and return what came of it; raises nothing."""
        posted = await self._sink.post(notice)
        return Tried(telling=posted.telling, detail=(posted.answer or posted.error)[:_DETAIL_LIMIT])

    async def aclose(self) -> None:
        """Close what is open."""
        await self._sink.aclose()


class MailAlerts:
    """Mails alerts to one address."""

    def __init__(self, smtp_url: str, sender: Sender, address: str) -> None:
        """Mail to *address*; raises ValueError for an SMTP_URL that makes no sense."""
        self._sender = sender
        self._address = address
        self._dispatcher = MailDispatcher(
            smtp_url, sender, max_connections=_CONNECTIONS, answer_timeout_s=MAIL_ANSWER_S
        )

    @property
    def name(self) -> str:
        """Return what the ledger knows it by."""
        return mail_sink(self._address)

    async def tell(self, notice: AlertNotice) -> Tried:
        """Mail *notice* and return what came of it; raises nothing it expects."""
        message = compose_alert(notice, self._sender, self._address)
        outcome = await self._dispatcher.dispatch(message, before_data=_go_on, deadline_s=MAIL_DEADLINE_S)
        return _tried(outcome)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._dispatcher.aclose()


def compose_alert(notice: AlertNotice, sender: Sender, address: str) -> MailMessage:
    """Return the mail that tells *notice* to *address*; the same bytes however often it is sent."""
    commands = [f"    {command}" for command in notice.commands]
    parts = [notice.subject, *notice.lines, *(["\n".join(commands)] if commands else [])]
    if notice.url:
        parts.append(f"Console: {notice.url}")
    return MailMessage(
        delivery_id=f"{notice.id} {mail_sink(address)}",
        sender=sender,
        to=address,
        to_name=None,
        subject=notice.subject,
        html=_html(notice),
        text="\n\n".join(parts) + "\n",
        dated_at=datetime.fromtimestamp(notice.at_ms / 1000, UTC),
    )


def _html(notice: AlertNotice) -> str:
    head, *rest = [escape(line) for line in (notice.subject, *notice.lines)]
    parts = [f"<p><strong>{head}</strong></p>", *(f"<p>{line}</p>" for line in rest)]
    if notice.commands:
        parts.append(f"<pre>{escape(chr(10).join(notice.commands))}</pre>")
    if notice.url:
        parts.append(f'<p><a href="{escape(notice.url)}">{escape(notice.url)}</a></p>')
    return f'<!doctype html><html lang="en"><body>{"".join(parts)}</body></html>\n'


async def _go_on() -> bool:
    return True  # the try was counted when it was claimed


def _tried(outcome: DeliveryOutcome) -> Tried:
    if isinstance(outcome, Sent):
        return Tried(telling=Told())
    if isinstance(outcome, Skipped):
        return Tried(telling=NeverTold(fault=TellFault.NOT_CONCERNED), detail=outcome.reason)
    detail = _why(outcome.fail)
    if isinstance(outcome, Undelivered):
        # The mailbox itself: asking again and again would only harm our name.
        return Tried(telling=NeverTold(fault=TellFault.REFUSED), detail=detail)
    if isinstance(outcome, DeliveryDoubt):
        fault = TellFault.TIMED_OUT
    elif outcome.fail.reason_class == ReasonClass.CREDENTIALS:
        fault = TellFault.CREDENTIALS_REFUSED
    else:
        fault = TellFault.UNREACHABLE if isinstance(outcome, ChannelDown) else TellFault.UNAVAILABLE
    return Tried(telling=NotTold(fault=fault), detail=detail)


def _why(fail: Fail) -> str:
    return "; ".join(filter(None, (fail.reason, fail.detail, fail.raw)))[:_DETAIL_LIMIT]
