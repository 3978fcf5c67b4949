"""Logins and encryption: what is refused there is our own side's trouble, and nothing travels in the clear by mistake."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.integration.dispatch_server import a_dispatcher, a_message, a_server, yes
from worker.dispatch.smtp_pool import SmtpAddress
from worker.domain.outcome import ChannelDown, Sent

# aiosmtpd warns of what these tests do on purpose: a login without TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

# A key and a certificate for localhost and 127.0.0.1, valid from 2020 to 2120, made for these tests alone.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJ77tXXLgbHZ6pgg
AWipni3inaXJ2JC06I9obc9S816warCe1O3xKi/8lPN0yVw1rcP1M/xU7QFUB4do
7XAOGVKjXjBcMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E
BTADAQH/MA4GA1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUlFqP7GQyjEOvLHII0Wux
bXhjir4wCgYIKoZIzj0EAwIDRwAwRAIgC9HQ9MiWihdp23jby94VNVVWr73P1aev
V1SLItVubOMCIGiVojfB4nMddmy+Pvky6kTI6VszKJcNvBvwYndsX2gb
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgF8jl1okzFMfYlMvy
JkOuZePvQf/qq60nqiGQd+pY61yhRANCAASe+7V1y4Gx2eqYIAFoqZ4t4p2lydiQ
tOiPaG3PUvNesGqwntTt8Sov/JTzdMlcNa3D9TP8VO0BVAeHaO1wDhlS
-----END PRIVATE KEY-----
"""


def _authenticate(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: Any
) -> AuthResult:
    return AuthResult(success=(login.login, login.password) == (b"us er", b"p@ss:word"), handled=False)


@pytest.mark.parametrize(("login", "passes"), [("us%20er:p%40ss%3Aword", True), ("us%20er:wrong", False)])
async def test_a_refused_login_is_ours_and_not_the_recipients(login: str, *, passes: bool) -> None:
    """The channel pauses; percent signs in the URL are decoded."""
    options: dict[str, Any] = {
        "authenticator": _authenticate,
        "auth_required": True,
        "auth_require_tls": False,
    }
    url = f"smtp://{login}@127.0.0.1:{{port}}"
    async with a_server(**options) as server, a_dispatcher(server, url=url) as dispatcher:
        outcome = await dispatcher.dispatch(a_message(), before_data=yes)

    if passes:
        assert isinstance(outcome, Sent)
        return
    assert isinstance(outcome, ChannelDown)
    assert outcome.fail.reason == "mail_auth_refused"
    assert not server.received


async def test_a_login_that_is_wanted_or_not_offered_is_ours_too() -> None:
    """530 to MAIL without one; and a server without AUTH when we have one."""
    async with (
        a_server(authenticator=_authenticate, auth_required=True, auth_require_tls=False) as strict,
        a_dispatcher(strict) as without_login,
        a_server() as plain,
        a_dispatcher(plain, url="smtp://u:p@127.0.0.1:{port}") as with_login,
    ):
        outcomes = [await one.dispatch(a_message(), before_data=yes) for one in (without_login, with_login)]

    for outcome in outcomes:
        assert isinstance(outcome, ChannelDown)
        assert outcome.fail.reason == "mail_auth_refused"


@pytest.fixture
def server_tls(tmp_path: Path) -> ssl.SSLContext:
    """Return the TLS side of the servers."""
    (tmp_path / "cert.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


@pytest.fixture
def our_tls() -> ssl.SSLContext:
    """Return a client side that trusts the test's certificate."""
    return ssl.create_default_context(cadata=CERTIFICATE)


async def test_starttls_encrypts_before_anything_is_said(
    server_tls: ssl.SSLContext, our_tls: ssl.SSLContext
) -> None:
    """The server takes mail in no other way."""
    url = "smtp://127.0.0.1:{port}?starttls=1"
    async with (
        a_server(tls_context=server_tls, require_starttls=True) as server,
        a_dispatcher(server, url=url, tls_context=our_tls) as dispatcher,
    ):
        outcomes = [await dispatcher.dispatch(a_message(), before_data=yes) for _ in range(2)]

    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert server.was_encrypted
    assert len(server.sessions) == 1


async def test_smtps_encrypts_from_the_first_byte(
    server_tls: ssl.SSLContext, our_tls: ssl.SSLContext
) -> None:
    """`smtps://`."""
    async with (
        a_server(tls=server_tls) as server,
        a_dispatcher(server, url="smtps://127.0.0.1:{port}", tls_context=our_tls) as dispatcher,
    ):
        outcome = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(outcome, Sent)


async def test_a_certificate_of_a_stranger_gets_nothing(server_tls: ssl.SSLContext) -> None:
    """Neither the message nor a login."""
    async with (
        a_server(tls_context=server_tls) as server,
        a_dispatcher(server, url="smtp://127.0.0.1:{port}?starttls=1") as dispatcher,
    ):
        outcome = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(outcome, ChannelDown)
    assert outcome.fail.reason == "mail_unreachable"
    assert "ertificate" in outcome.fail.detail
    assert not server.received


async def test_starttls_that_is_not_offered_sends_nothing_in_the_clear() -> None:
    """No quiet fall back."""
    async with (
        a_server() as server,
        a_dispatcher(server, url="smtp://127.0.0.1:{port}?starttls=1") as dispatcher,
    ):
        outcome = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(outcome, ChannelDown)
    assert outcome.fail.reason == "mail_unreachable"
    assert not server.received


@pytest.mark.parametrize(
    "url", ["http://x", "smtp://", "smtp://u:secret@h?starttls=maybe", "smtp://u:secret@h:x"]
)
def test_a_bad_address_is_refused_without_its_password(url: str) -> None:
    """The message may end up in a log."""
    with pytest.raises(ValueError, match=r".") as caught:
        SmtpAddress.parse(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "port", "is_tls", "is_starttls"),
    [
        ("smtp://mail.example", 25, False, False),
        ("smtp://u:p@mail.example", 587, False, True),
        ("smtp://u:p@mail.example?starttls=0", 25, False, False),
        ("smtp://u:p@127.0.0.1:1025", 1025, False, False),
        ("smtp://u:p@mail.example:2525?starttls=1", 2525, False, True),
        ("smtps://u:p@mail.example", 465, True, False),
    ],
)
def test_a_login_to_another_machine_is_encrypted_unless_forbidden(
    url: str, port: int, *, is_tls: bool, is_starttls: bool
) -> None:
    """Ports follow from the way of talking."""
    address = SmtpAddress.parse(url)

    assert (address.port, address.is_tls, address.is_starttls) == (port, is_tls, is_starttls)
    assert ":p" not in repr(address)
