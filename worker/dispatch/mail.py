"""E-mail by SMTP, written so that it is always known whether the message may have left.

The body goes out first; then the ledger is told that the send begins (`before_data`); then the final dot, which
alone hands the message over. Before the dot every trouble means *surely not sent*. After it only a reply can tell,
and its loss is a doubt (RFC 1047 calls it the second cause of duplicate mail).
"""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from worker.dispatch.fails import fail
from worker.dispatch.messages import MailMessage, Sender, envelope_address
from worker.dispatch.replies import AUTH_PAUSE_S, TEMPORARY_DELAYS_S, Stage, enhanced_code, outcome_of_reply
from worker.dispatch.smtp_pool import SmtpAddress, SmtpPool
from worker.domain.outcome import (
    ChannelDown,
    DeliveryDoubt,
    DeliveryOutcome,
    DeliveryRetry,
    Sent,
    Undelivered,
)
from worker.domain.phone import mask_text

#: Ten minutes: RFC 5321, 4.5.3.2.6. Shorter waits than the server's own work make duplicates (fact F2).
ANSWER_TIMEOUT_S = 600.0
UNREACHABLE_PAUSE_S = 30.0
LEASE_LOST_DELAY_S = 1.0
#: Our own slowness says nothing about the recipient: it must not use his tries up.
LEASE_LOST_MAX_FAILURES = 100
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)
_REMEMBERED_REFUSALS = 1000
_GO_AHEAD = 354
_DETAIL_LIMIT = 300

BeforeData = Callable[[], Awaitable[bool]]


class MailDispatcher:
    """Sends e-mails through one server. Belongs to one event loop; many messages may be on their way at once."""

    def __init__(
        self,
        smtp_url: str,
        sender: Sender | str,
        *,
        max_connections: int = 16,
        tls_context: ssl.SSLContext | None = None,
        connect_timeout_s: float = 10.0,
        command_timeout_s: float = 30.0,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """Take *smtp_url* and the *sender* whose address goes on the envelope; raises ValueError for a bad one.

        Allow as many connections as messages may be claimed at once: a wait for one eats into the lease.
        """
        self._envelope_from = (sender if isinstance(sender, Sender) else Sender.parse(sender)).address
        self._command_timeout_s = command_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._refusals = _PolicyRefusals()
        self._pool = SmtpPool(
            SmtpAddress.parse(smtp_url),
            size=max_connections,
            connect_timeout_s=connect_timeout_s,
            command_timeout_s=command_timeout_s,
            tls_context=tls_context,
        )

    async def aclose(self) -> None:
        """Close the connections kept for reuse."""
        await self._pool.aclose()

    async def dispatch(
        self, message: MailMessage, *, before_data: BeforeData, deadline_s: float | None = None
    ) -> DeliveryOutcome:
        """Send *message* and return what came of it; raises only what *before_data* raises.

        Args:
            message: what to send.
            before_data: awaited once, just before the final dot: records that the send begins. False (the lease
                is lost): the connection is dropped and nothing was sent.
            deadline_s: seconds the lease has left. All up to the dot must be done by then, looked at once more
                right before it is written, so that a process stopped and continued sends nothing late. The answer
                may take `answer_timeout_s` beyond it: it is worth having, for it ends a doubt.
        """
        recipient = envelope_address(message.to)
        if recipient is None:
            return Undelivered(fail=fail("mailbox_unknown", detail="not an address that SMTP can carry"))
        ends_in_s = math.inf if deadline_s is None else deadline_s
        send = _Send(
            message=message,
            recipient=recipient,
            before_data=before_data,
            deadline_s=deadline_s,
            must_begin_by_s=asyncio.get_running_loop().time() + ends_in_s,
        )
        outcome = await self._attempt(send)
        return self._refusals.judge(message.delivery_id, outcome)

    async def _attempt(self, send: _Send) -> DeliveryOutcome:
        """Run one conversation; every way it can break becomes an outcome here and nowhere else."""
        try:
            async with asyncio.timeout(send.deadline_s) as limit, self._pool.connection() as smtp:
                send.is_connected = True
                return await self._converse(smtp, send, limit)
        except _LeaseLostError:
            return _lease_lost()
        except (aiosmtplib.SMTPException, OSError) as exc:
            return _broken(exc, send, is_late=limit.expired())

    async def _converse(self, smtp: aiosmtplib.SMTP, send: _Send, limit: asyncio.Timeout) -> DeliveryOutcome:
        """Go through envelope, body, the ledger's word, the dot, the answer."""
        try:
            await smtp.mail(self._envelope_from, timeout=self._command_timeout_s)
            await smtp.rcpt(send.recipient, timeout=self._command_timeout_s)
        except aiosmtplib.SMTPResponseException as exc:
            if exc.code < 0:
                raise
            # Refused in good order: the connection is as good as before.
            return send.outcome_of(exc.code, exc.message, _stage_of(exc))
        go_ahead = await smtp.execute_command(b"DATA", timeout=self._command_timeout_s)
        protocol = smtp.protocol
        if go_ahead.code != _GO_AHEAD or protocol is None:
            return send.outcome_of(go_ahead.code, go_ahead.message, Stage.DATA)
        await _write_all(protocol, _LEADING_DOT.sub(b"..", send.message.encode()), self._command_timeout_s)
        await send.begin()
        if not protocol.is_connected:
            raise aiosmtplib.SMTPServerDisconnected("closed before the final dot")
        limit.reschedule(None)
        send.is_dotted = True
        # Nothing is awaited between the dot and the reading, so that the answer can't be missed.
        protocol.write(b".\r\n")
        answer = await protocol.read_response(timeout=self._answer_timeout_s)
        return send.outcome_of(answer.code, answer.message, Stage.END)


class _LeaseLostError(Exception):
    """The lease was lost before the final dot."""


@dataclass(slots=True, kw_only=True)
class _Send:
    """One message on its way, and how far it has got."""

    message: MailMessage
    recipient: str
    before_data: BeforeData
    deadline_s: float | None
    must_begin_by_s: (
        float  #: the deadline on the event loop's clock, which goes on while a process is stopped
    )
    is_connected: bool = False
    is_dotted: bool = False

    async def begin(self) -> None:
        """Have the ledger told; raises _LeaseLostError where the message must not leave."""
        if not await self.before_data() or asyncio.get_running_loop().time() >= self.must_begin_by_s:
            raise _LeaseLostError

    def outcome_of(self, code: int, text: str, stage: Stage) -> DeliveryOutcome:
        """Return what a reply means for this message."""
        return outcome_of_reply(code, enhanced_code(text), text, stage=stage, failures=self.message.failures)


class _PolicyRefusals:
    """Tell a server that refuses *us* from one that refuses one message.

    Both say `554 5.7.1`. The first refusal pauses the channel; when the same message is refused again though others
    were taken in between, it is the message, and it must not stop the channel a second time.
    """

    def __init__(self) -> None:
        self._sent = 0
        self._sent_at_refusal: OrderedDict[str, int] = OrderedDict()

    def judge(self, delivery_id: str, outcome: DeliveryOutcome) -> DeliveryOutcome:
        """Return *outcome*, or Undelivered where it is the message's own fault."""
        if isinstance(outcome, Sent):
            self._sent += 1
        if not isinstance(outcome, ChannelDown) or not _may_be_the_message(outcome):
            return outcome
        sent_before = self._sent_at_refusal.pop(delivery_id, self._sent)
        if sent_before < self._sent:
            refused = outcome.fail
            return Undelivered(
                fail=fail("mail_refused", code=refused.code, raw=refused.raw, detail=refused.detail)
            )
        self._sent_at_refusal[delivery_id] = self._sent
        if len(self._sent_at_refusal) > _REMEMBERED_REFUSALS:
            self._sent_at_refusal.popitem(last=False)
        return outcome


def _broken(exc: Exception, send: _Send, *, is_late: bool) -> DeliveryOutcome:
    """Return what a broken conversation means: it depends on how far it got."""
    if send.is_dotted:
        return DeliveryDoubt(fail=fail("mail_in_doubt", detail=_described(exc)))
    if is_late:
        return _lease_lost()
    if send.is_connected:
        delay_s = TEMPORARY_DELAYS_S[min(send.message.failures, len(TEMPORARY_DELAYS_S) - 1)]
        return DeliveryRetry(fail=fail("mail_connection_lost", detail=_described(exc)), delay_s=delay_s)
    if isinstance(exc, aiosmtplib.SMTPResponseException) and exc.code > 0:
        return send.outcome_of(exc.code, exc.message, _stage_of(exc))
    if type(exc) is aiosmtplib.SMTPException and "auth" in str(exc).lower():
        # The library's word for "this server offers no login that I can make".
        return ChannelDown(fail=fail("mail_auth_refused", detail=_described(exc)), pause_s=AUTH_PAUSE_S)
    return ChannelDown(fail=fail("mail_unreachable", detail=_described(exc)), pause_s=UNREACHABLE_PAUSE_S)


def _stage_of(exc: aiosmtplib.SMTPResponseException) -> Stage:
    match exc:
        case aiosmtplib.SMTPAuthenticationError():
            return Stage.AUTH
        case aiosmtplib.SMTPSenderRefused():
            return Stage.MAIL
        case aiosmtplib.SMTPRecipientRefused():
            return Stage.RCPT
        case _:
            return Stage.CONNECT


def _may_be_the_message(outcome: ChannelDown) -> bool:
    stage = outcome.fail.detail.partition(" ")[0]
    return outcome.fail.reason == "mail_refused_policy" and stage in {Stage.RCPT, Stage.DATA, Stage.END}


def _lease_lost() -> DeliveryRetry:
    return DeliveryRetry(
        fail=fail("lease_lost"), delay_s=LEASE_LOST_DELAY_S, max_failures=LEASE_LOST_MAX_FAILURES
    )


def _described(exc: Exception) -> str:
    cause = exc.__cause__ or exc
    return f"{type(cause).__name__}: {mask_text(str(exc))}"[:_DETAIL_LIMIT]


async def _write_all(protocol: SMTPProtocol, body: bytes, timeout_s: float) -> None:
    """Write *body* and wait until the system has taken it, so that the dot after it leaves when it is written."""
    protocol.write(body)
    transport = cast("asyncio.WriteTransport", protocol.transport)
    pause_s = 0.0
    async with asyncio.timeout(timeout_s):
        while transport.get_write_buffer_size() and not transport.is_closing():
            await asyncio.sleep(pause_s)  # the library's transport tells nobody when it is empty
            pause_s = 0.005
