"""Connections to the mail server: opened with TLS and login, used again, never more than a few."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

#: Servers close what idles for five minutes or less (RFC 5321, 4.5.3.2.7); a good while before that we do.
_IDLE_LIMIT_S = 60.0
#: Many servers end a conversation after 100 messages.
_MESSAGES_PER_CONNECTION = 100
_GOODBYE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpAddress:
    """SMTP_URL, taken apart. The password is in no text that this class gives of itself."""

    host: str
    port: int
    is_tls: bool  #: TLS from the first byte (`smtps://`)
    is_starttls: bool  #: STARTTLS or nothing: never a quiet fall back to plain text
    credentials: Credentials | None

    @classmethod
    def parse(cls, url: str) -> SmtpAddress:
        """Return the address that *url* names: `smtp://user:pass@host:port?starttls=1` or `smtps://…`.

        Without `starttls=` a login to another machine asks for it; `starttls=0` forbids. Raises ValueError, which
        never holds the password.
        """
        parts = urlsplit(url.strip())
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ValueError("SMTP_URL must look like smtp://user:pass@host:port?starttls=1 or smtps://…")
        is_tls = parts.scheme == "smtps"
        credentials = Credentials.of(parts.username, parts.password)
        wanted = parse_qs(parts.query).get("starttls", [""])[-1].lower()
        if wanted not in {"", "0", "1", "true", "false"}:
            raise ValueError("SMTP_URL: starttls must be 1 or 0")
        by_default = credentials is not None and not _is_this_machine(parts.hostname)
        is_starttls = not is_tls and (wanted in {"1", "true"} or (wanted == "" and by_default))
        port = parts.port or (465 if is_tls else 587 if is_starttls else 25)
        return cls(
            host=parts.hostname, port=port, is_tls=is_tls, is_starttls=is_starttls, credentials=credentials
        )


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A login."""

    user: str
    password: str

    @classmethod
    def of(cls, user: str | None, password: str | None) -> Credentials | None:
        """Return the login of a URL's parts (percent signs decoded), or None without a user."""
        return cls(unquote(user), unquote(password or "")) if user else None

    def __repr__(self) -> str:
        return "Credentials(…)"


class SmtpPool:
    """At most `size` connections, each lent to one message at a time. Belongs to one event loop."""

    def __init__(
        self,
        address: SmtpAddress,
        *,
        size: int = 16,
        connect_timeout_s: float = 10.0,
        command_timeout_s: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._connect_timeout_s = connect_timeout_s
        self._command_timeout_s = command_timeout_s
        self._tls_context = tls_context
        self._places = asyncio.Semaphore(size)
        self._idle: list[_Idle] = []

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """Lend a connection that is open, logged in and clean. After an exception it is closed, not kept.

        Raises what aiosmtplib raises while one is opened: that, and the user's own trouble, are told apart by
        whether the block was entered.
        """
        async with self._places:
            lent = await self._reuse() or _Idle(await self._open(), 0, 0.0)
            try:
                yield lent.smtp
            except BaseException:
                lent.smtp.close()
                raise
            self._put_back(lent)

    async def aclose(self) -> None:
        """Say goodbye on every idle connection; at most two seconds each."""
        while self._idle:
            await _goodbye(self._idle.pop().smtp)

    async def _reuse(self) -> _Idle | None:
        """Return the freshest idle connection that still answers."""
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            idle = self._idle.pop()
            if idle.messages >= _MESSAGES_PER_CONNECTION or now_s - idle.since_s > _IDLE_LIMIT_S:
                await _goodbye(idle.smtp)
            elif await self._is_clean(idle.smtp):
                return idle
        return None

    async def _is_clean(self, smtp: aiosmtplib.SMTP) -> bool:
        """Reset the conversation: that forgets the last envelope and shows a connection gone stale, in one."""
        try:
            await smtp.rset(timeout=self._command_timeout_s)
        except (aiosmtplib.SMTPException, OSError):
            smtp.close()
            return False
        return smtp.is_connected

    def _put_back(self, lent: _Idle) -> None:
        if lent.smtp.is_connected:
            now_s = asyncio.get_running_loop().time()
            self._idle.append(_Idle(lent.smtp, lent.messages + 1, now_s))

    async def _open(self) -> aiosmtplib.SMTP:
        address = self._address
        smtp = aiosmtplib.SMTP(
            hostname=address.host,
            port=address.port,
            username=address.credentials.user if address.credentials else None,
            password=address.credentials.password if address.credentials else None,
            use_tls=address.is_tls,
            start_tls=address.is_starttls,
            tls_context=self._tls_context if address.is_tls or address.is_starttls else None,
            timeout=self._command_timeout_s,
            local_hostname=_hello_name(),
        )
        await smtp.connect(timeout=self._connect_timeout_s)
        return smtp


@dataclass(frozen=True, slots=True)
class _Idle:
    smtp: aiosmtplib.SMTP
    messages: int  #: sent through it so far
    since_s: float


async def _goodbye(smtp: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await smtp.quit(timeout=_GOODBYE_S)
    smtp.close()


def _hello_name() -> str:
    """Return the name to greet with; a machine without a full one gives an address literal (RFC 5321, 4.1.4)."""
    # The library would look itself up in DNS, for as long as a broken resolver takes.
    name = platform.node()
    return name if "." in name and name.isascii() and " " not in name else "[127.0.0.1]"


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
