"""Where a request comes from: whom to believe about an address, and whose page sent it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request

from worker.ops.console.errors import ForeignOriginError
from worker.ops.console.whence import Whence, check_origin, client_address, is_loopback, whence
from worker.settings import Settings, load_settings

PROXIES = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"), ip_network("fd00::/8")]


def settings(**given: object) -> Settings:
    return load_settings(environ={}, env_file=None, **given)


class Transport:
    """A connection from somewhere."""

    def __init__(self, peer: str | None) -> None:
        self._peer = (peer, 1234) if peer else ""

    def get_extra_info(self, name, default=None):
        return self._peer if name == "peername" else default


def a_request(method: str = "GET", *, peer: str | None = "203.0.113.9", host: str = "x", **headers: str):
    sent = {"Host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request(method, "/", headers=sent, transport=Transport(peer))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("unknown", ["1.2.3.4"], "unknown"),
    ],
)
def test_only_our_own_proxies_are_believed_about_an_address(
    peer: str, forwarded: list[str], expected: str
) -> None:
    """Read from its end: what a client wrote at its head is never reached."""
    assert client_address(peer, forwarded, PROXIES) == expected


def test_forwarding_headers_are_nothing_without_trusted_proxies() -> None:
    """By default everybody is who the connection says."""
    request = a_request(X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="https")

    assert whence(request, settings()) == Whence(address="203.0.113.9", host="x", is_https=False)


def test_a_trusted_proxy_says_whence_and_that_it_was_tls() -> None:
    """The last word of the header is the proxy's own."""
    request = a_request(peer="10.1.1.1", X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="http, https")

    found = whence(request, settings(trusted_proxies="10.0.0.0/8"))

    assert (found.address, found.is_https, found.is_private) == ("1.2.3.4", True, True)


@pytest.mark.parametrize(
    ("host", "is_https"),
    [
        ("ops.example", True),
        ("OPS.example", True),
        ("ops.example:443", True),
        ("ops.example:8080", False),
        ("10.0.0.5:8080", False),
    ],
)
def test_who_came_by_a_public_url_with_tls_came_by_tls(host: str, is_https: bool) -> None:
    """So a proxy that keeps the Host header needs no further setting."""
    assert whence(a_request(host=host), settings(public_url="https://ops.example")).is_https is is_https


def test_a_unix_socket_has_no_address() -> None:
    """The throttle then counts all of its callers as one."""
    found = whence(a_request(peer=None), settings(trusted_proxies="10.0.0.0/8"))

    assert (found.address, found.subscriber) == ("unknown", "unknown")


def test_one_subscriber_of_ipv6_is_one_in_the_throttle() -> None:
    """He has 2^64 addresses to choose from."""
    first = whence(a_request(peer="2001:db8:1:2::a"), settings())
    second = whence(a_request(peer="2001:db8:1:2:ffff::b"), settings())

    assert first.address != second.address
    assert first.subscriber == second.subscriber == "2001:db8:1:2::/64"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "app.localhost", "[::1]:8080", "127.9.9.9"]
)
def test_names_of_this_machine(host: str) -> None:
    """Browsers hold them to be safe without TLS."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0:8080",
        "10.0.0.1",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil",
        "[::1",
        "a℀b",
    ],
)
def test_other_names_are_not(host: str) -> None:
    """Whatever they begin with."""
    assert not is_loopback(host)


PUBLIC = {"public_url": "https://ops.example"}


@pytest.mark.parametrize(
    ("given", "host", "headers"),
    [
        ({}, "127.0.0.1:8080", {"Origin": "http://127.0.0.1:8080"}),
        ({}, "ops.example", {"Origin": "https://ops.example"}),
        ({}, "ops.example", {"Referer": "https://ops.example/jobs?x=1"}),
        ({}, "ops.example", {"Sec_Fetch_Site": "same-origin"}),
        (PUBLIC, "ops.example", {"Origin": "https://ops.example"}),
        (PUBLIC, "127.0.0.1:8080", {"Origin": "https://ops.example"}),  # a proxy that changes the Host
        (PUBLIC, "127.0.0.1:8080", {"Origin": "http://127.0.0.1:8080"}),  # by hand, on the machine itself
        ({"public_url": "https://ops.example:443/"}, "ops.example", {"Origin": "https://ops.example"}),
    ],
)
def test_our_own_pages_may_post(given: dict[str, str], host: str, headers: dict[str, str]) -> None:
    """By Origin, else Referer, else by what the browser says of it."""
    check_origin(a_request("POST", host=host, **headers), settings(**given))


@pytest.mark.parametrize(
    ("given", "host", "headers"),
    [
        ({}, "ops.example", {"Origin": "https://evil.example"}),
        ({}, "ops.example", {"Origin": "null"}),
        ({}, "ops.example", {"Origin": "https://ops.example.evil.example"}),
        ({}, "ops.example:8080", {"Origin": "http://ops.example:9090"}),
        ({}, "ops.example", {"Referer": "https://evil.example/ops.example"}),
        ({}, "ops.example", {"Sec_Fetch_Site": "cross-site"}),
        ({}, "ops.example", {"Sec_Fetch_Site": "same-site"}),
        ({}, "ops.example", {}),
        (PUBLIC, "ops.example", {"Origin": "http://ops.example"}),
        (PUBLIC, "other.example", {"Origin": "https://other.example"}),
        (PUBLIC, "127.0.0.1:8080", {"Origin": "http://127.0.0.1:3000"}),
        ({}, "127.0.0.1:8080", {"Origin": "http://localhost:8080"}),
        ({}, "ops.example", {"Origin": "http://[::1"}),
        ({}, "[::1", {"Origin": "http://[::1"}),
        ({}, "", {"Origin": "null"}),
        (PUBLIC, "ops.example", {"Origin": "https://[ops.example"}),
    ],
)
def test_others_pages_may_not(given: dict[str, str], host: str, headers: dict[str, str]) -> None:
    """Also a request of which nothing says that it is ours."""
    with pytest.raises(ForeignOriginError):
        check_origin(a_request("POST", host=host, **headers), settings(**given))
