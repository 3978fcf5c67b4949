"""What `linkferry doctor` says of the console: whether people can sign in, and by a way that nobody listens on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from worker.domain.roles import Role
from worker.ops.console.whence import is_loopback

if TYPE_CHECKING:
    from linkferry.doctor import Finding
    from worker.ledger import Ledger
    from worker.settings import Settings


def is_open_without_tls(settings: Settings) -> bool:
    """Tell whether `web` is to be reached from outside without an address with TLS that it knows of."""
    has_tls = settings.public_url is not None and settings.public_url.startswith("https://")
    return not has_tls and not is_loopback(_bracketed(settings.web_host))


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """Yield what the settings alone tell."""
    from linkferry.doctor import warn

    if is_open_without_tls(settings):
        yield warn(
            "console",
            f"WEB_HOST {settings.web_host} takes callers from outside, and no PUBLIC_URL with https:// is set: "
            "over plain http nobody can sign in to the console.",
            "Put a proxy with TLS before it and set LINKFERRY_PUBLIC_URL, or set LINKFERRY_WEB_HOST=127.0.0.1; "
            "see docs/console.md.",
        )
    elif settings.public_url is not None and not settings.trusted_proxies:
        yield warn(
            "console",
            "PUBLIC_URL is set, but no TRUSTED_PROXIES: everybody seems to come from the proxy's address, so one who "
            "mistypes his password slows down the others' sign-in.",
            "Set LINKFERRY_TRUSTED_PROXIES to the proxy's address, such as 127.0.0.1.",
        )


async def look_at_users(ledger: Ledger) -> list[Finding]:
    """Return what the accounts tell; raises LedgerUnavailable."""
    from linkferry.doctor import ok, warn

    users = [user for user in await ledger.users.list() if not user.is_disabled]
    if not users:
        remedy = "linkferry user add NAME --role admin"
        return [warn("console", "Nobody can sign in to the console yet.", remedy)]
    if not any(user.role is Role.ADMIN for user in users):
        remedy = "linkferry user role NAME admin"
        return [warn("console", "None of the console's users is an admin.", remedy)]
    count = "1 person" if len(users) == 1 else f"{len(users)} people"
    return [ok("console", f"{count} may sign in to the console.")]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
