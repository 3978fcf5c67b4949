"""Who may come in: every console route says which role it takes, and is refused until it has said so.

A handler is declared with `requires(Role.OPERATOR)` (or `public`, for the way in itself) and finds who is signed in
with `operator_of(request)`. The middleware here has then checked the session, where the request comes from and its
CSRF token; `requires` checks the role. What it refuses, `pages_errors` turns into a page.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.csrf import check_token
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.errors import NotSignedInError, RoleMissingError, UndeclaredRouteError
from worker.ops.console.forms import read_form
from worker.ops.console.roles import USER, SignedIn, user_of
from worker.ops.console.sessions import who_is_it
from worker.ops.console.whence import check_origin

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Declared = TypeVar("Declared", bound=Callable[..., Awaitable[web.StreamResponse]])

_ACCESS = "console_access"
_PUBLIC = "public"
_UNGUARDED = "console_unguarded"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def requires(role: Role) -> Callable[[Declared], Declared]:
    """Declare that a handler (function or method) is for *role* and those above it."""

    def declare(handler: Declared) -> Declared:
        @functools.wraps(handler)
        async def gated(*args: Any) -> web.StreamResponse:
            user = operator_of(args[-1])
            if not user.may(role):
                raise RoleMissingError(role)
            return await handler(*args)

        setattr(gated, _ACCESS, role)
        return gated  # type: ignore[return-value]  # the same signature, which functools.wraps cannot say

    return declare


def public(handler: Declared) -> Declared:
    """Declare that a handler is for everybody: the sign-in page and the static files, nothing else."""
    setattr(handler, _ACCESS, _PUBLIC)
    return handler


def unguarded(handler: Declared) -> Declared:
    """Declare that a handler checks the form's token itself: the sign-in, which shows its page again instead."""
    setattr(handler, _UNGUARDED, True)
    return handler


def access_of(handler: object) -> Role | str | None:
    """Return the role that a handler is declared for, `public`, or None where it is not declared."""
    declared: Role | str | None = getattr(handler, _ACCESS, None)
    return declared


def operator_of(request: web.Request) -> SignedIn:
    """Return who is signed in; raises NotSignedInError, which leads to the sign-in page."""
    user = user_of(request)
    if user is None:
        raise NotSignedInError
    return user


def gate_middleware(deps: ConsoleDeps) -> Any:
    """Return the middleware that lets in who may come in, and no request that somebody else's page made him send."""

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if deps.is_machine(request.path):
            return await handler(request)
        if request.match_info.http_exception is not None:
            await _note_user(request, deps)
            return await handler(request)
        access = access_of(request.match_info.handler)
        if access is None:
            raise UndeclaredRouteError
        if access != _PUBLIC:
            await _note_user(request, deps)
            operator_of(request)
        if request.method not in _SAFE:
            check_origin(request, deps.settings)
            form = await read_form(request)
            if not getattr(request.match_info.handler, _UNGUARDED, False):
                check_token(request, form)
        return await handler(request)

    return gate


async def _note_user(request: web.Request, deps: ConsoleDeps) -> None:
    """Note who is signed in, if anybody is: also a page of errors shows him its navigation."""
    user = await who_is_it(request, deps)
    if user is not None:
        request[USER] = user
