"""The SMTP side of the outbox: takes every mail, delivers none, and fails as it is told to."""

from __future__ import annotations

import asyncio
import random
import warnings
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from worker.partner.sandbox.outbox import Outbox
from worker.partner.sandbox.settings import Faults, SandboxSettings

_MOST_BYTES = 32 * 1024 * 1024
_BOUNCING = "bounce"  #: a local part that begins so belongs to nobody


class MailCatcher:
    """Accepts mail for anybody and captures it."""

    def __init__(self, settings: SandboxSettings, outbox: Outbox, faults: Faults) -> None:
        self._settings = settings
        self._outbox = outbox
        self._faults = faults
        self._chance = random.Random(settings.seed)  # noqa: S311 - chance for tests, not for secrets
        self._put_off: set[str] = set()
        self.open: set[asyncio.BaseTransport] = set()

    def protocol(self) -> SMTP:
        """Return the protocol of one connection."""
        with warnings.catch_warnings():
            # It warns of passwords without TLS; these passwords open nothing.
            warnings.simplefilter("ignore")
            return _Smtp(
                self,
                catcher=self,
                hostname="sandbox.invalid",
                ident="Linkferry sandbox: nothing is delivered",
                data_size_limit=_MOST_BYTES,
                enable_SMTPUTF8=True,
                auth_required=self._faults.mail_auth,
                auth_require_tls=False,
                authenticator=self._check_login,
                loop=asyncio.get_running_loop(),
            )

    def close(self) -> None:
        """Reset every connection: a client that keeps one for reuse must notice that the sandbox is gone."""
        for transport in list(self.open):
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    def is_dropped_midway(self) -> bool:
        """Tell whether this message's connection is to be reset before its end."""
        return self._chance.random() < self._faults.mail_drop_before

    async def handle_RCPT(  # noqa: N802 - name and form are aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer one recipient."""
        if self._faults.mail_refuse is not None:
            code = self._faults.mail_refuse
            return f"{code} {code // 100}.7.1 Refused by the sandbox, as it was told to"
        if address.lower().startswith(_BOUNCING):
            return "550 5.1.1 No such user here"
        if self._faults.mail_greylist and address.lower() not in self._put_off:
            self._put_off.add(address.lower())
            return "451 4.7.1 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - the name is aiosmtpd's
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Capture one whole message."""
        is_answer_lost = self._chance.random() < self._faults.mail_drop_after
        content = envelope.original_content or b""
        entry = self._outbox.add_mail(
            envelope.mail_from or "",
            list(envelope.rcpt_tos),
            content,
            note="answer lost" if is_answer_lost else "",
        )
        if is_answer_lost:
            _reset(server)
        await asyncio.sleep(self._faults.mail_delay_s)
        return f"250 2.0.0 Captured as {entry.id}"

    def _check_login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: Any
    ) -> AuthResult:
        if not isinstance(login, LoginPassword):
            return AuthResult(success=False, handled=False)
        expected = (self._settings.smtp_user.encode(), self._settings.smtp_password.encode())
        # Where no login is asked for, any will do.
        is_right = not self._faults.mail_auth or (login.login, login.password) == expected
        return AuthResult(success=is_right, handled=is_right)


class _Smtp(SMTP):
    def __init__(self, handler: Any, *, catcher: MailCatcher, **kwargs: Any) -> None:
        self._catcher = catcher
        super().__init__(handler, **kwargs)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._catcher.open.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None:
            self._catcher.open.discard(self.transport)
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - the name is aiosmtpd's
        if self._catcher.is_dropped_midway():
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            _reset(self)
            return
        await super().smtp_DATA(arg)


def _reset(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.Transport):
        server.transport.abort()
