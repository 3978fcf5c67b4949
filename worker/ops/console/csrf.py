"""The token that every form carries: it proves that the page was ours, and made for this very session."""

from __future__ import annotations

import hmac
import secrets

from aiohttp import web

from worker.ops.console.errors import StaleTokenError
from worker.ops.console.forms import Form
from worker.ops.console.roles import user_of

FIELD = "_csrf"
HEADER = "X-CSRF-Token"
#: Before anybody is signed in, a cookie of its own stands for the session: the sign-in form is guarded as well.
LOGIN_COOKIE = "__Host-linkferry-login"
_SECRET_BYTES = 32
_MOST_COOKIE_LETTERS = 128


def token_of(secret: str) -> str:
    """Return the token that goes with a session's id, which it does not betray."""
    return hmac.digest(secret.encode("utf-8", "surrogateescape"), b"linkferry-csrf", "sha256").hex()


def login_token(request: web.Request) -> tuple[str, str]:
    """Return the secret for the sign-in form's cookie, the browser's own where it has one, and the form's token."""
    secret = _login_secret(request) or secrets.token_urlsafe(_SECRET_BYTES)
    return secret, token_of(secret)


def check_token(request: web.Request, form: Form) -> None:
    """See that the request carries the token of its session; raises StaleTokenError."""
    user = user_of(request)
    secret = _login_secret(request)
    expected = user.csrf if user else token_of(secret) if secret else None
    given = request.headers.get(HEADER) or form.text(FIELD)
    if expected is None or not hmac.compare_digest(
        expected.encode(), given.encode("utf-8", "surrogateescape")
    ):
        raise StaleTokenError


def _login_secret(request: web.Request) -> str | None:
    secret = request.cookies.get(LOGIN_COOKIE, "")
    return secret if _SECRET_BYTES <= len(secret) <= _MOST_COOKIE_LETTERS else None
