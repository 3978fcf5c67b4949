"""Who is signed in, and where a handler finds it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from worker.domain.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """The person behind a request, as the ledger knew him when it came."""

    name: str
    role: Role
    csrf: str  #: goes into every form as `_csrf`, or into a request's `X-CSRF-Token`
    session: str  #: the digest that the session is kept under; never the cookie itself
    language: str | None = None  #: what he chose for his account; None: as the browser asks
    theme: str | None = None  #: `light`, `dark`, or None: as the system has it

    @property
    def by(self) -> str:
        """Return how the trail names him."""
        return f"user:{self.name}"

    def may(self, role: Role) -> bool:
        """Tell whether he may do what *role* may; for what a template shows. Handlers are gated by `requires`."""
        return self.role.covers(role)


#: Set by the gate's middleware on every request with a living session.
USER: web.RequestKey[SignedIn] = web.RequestKey("user", SignedIn)


def user_of(request: web.Request) -> SignedIn | None:
    """Return who is signed in, or None: on the sign-in page, and where an error came before the gate."""
    return request.get(USER)


__all__ = ["USER", "Role", "SignedIn", "user_of"]
