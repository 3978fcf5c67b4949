"""Where a request comes from: whose address, by which way, and from which page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from worker.ops.console.errors import ForeignOriginError
from worker.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOTICES = ("told=", "not=", "done=")  # what came of an earlier form
_UNKNOWN = "unknown"  # a unix socket has no address
_IPV6_CUSTOMER = 64  # bits that one subscriber has to himself: he has all of what follows
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whence:
    """What is known of the way that a request took."""

    address: str  #: of the client, as far as our own proxies can be believed
    host: str  #: as the browser named us, with the port where it is not the usual one
    is_https: bool

    @property
    def is_private(self) -> bool:
        """Tell whether nobody in between can read along: TLS, or it never leaves the machine."""
        return self.is_https or is_loopback(self.host)

    @property
    def subscriber(self) -> str:
        """Return what stands for the client in the throttle: of IPv6 the /64."""
        parsed = _parsed(self.address)
        if isinstance(parsed, IPv6Address):
            return str(ip_network((parsed, _IPV6_CUSTOMER), strict=False))
        return self.address


def whence(request: web.Request, settings: Settings) -> Whence:
    """Return where *request* comes from; forwarding headers are believed from TRUSTED_PROXIES only."""
    trusted = _networks(settings.trusted_proxies)
    peer = _peer(request)
    is_proxied = _is_in(peer, trusted)
    forwarded = request.headers.getall("X-Forwarded-For", ()) if is_proxied else ()
    proto = request.headers.getall("X-Forwarded-Proto", ("",))[-1] if is_proxied else ""
    host = host_of(request)
    public = None if settings.public_url is None else urlsplit(settings.public_url)
    # Only a browser that reached us by PUBLIC_URL names its host; where it lies (by hand), it harms nobody else.
    is_public_https = (
        public is not None and public.scheme == "https" and _plain(host, "https") == _host(public.geturl())
    )
    return Whence(
        address=client_address(peer, forwarded, trusted),
        host=host,
        is_https=request.secure or proto.rpartition(",")[2].strip().lower() == "https" or is_public_https,
    )


def client_address(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """Return the nearest address that is none of our proxies'; a forged head of the header is never reached."""
    found = peer
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    for hop in reversed(hops):
        if not _is_in(found, trusted) or _parsed(hop) is None:
            break
        found = str(_parsed(hop))
    return found


def host_of(request: web.Request) -> str:
    """Return the host that a request names, in small letters; of one that no browser would name, nothing."""
    host = request.host.lower()
    return host if host.isascii() and host.isprintable() else ""


def parts_of(address: str) -> SplitResult:
    """Return the parts of an address that anybody wrote; of one that is none, nothing."""
    try:
        return urlsplit(address)
    except ValueError:  # `http://[::1`, or letters that turn into a slash
        return urlsplit("")


def is_loopback(host: str) -> bool:
    """Tell whether a host names this machine itself, by any of the names that browsers hold to be safe."""
    name = parts_of(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    parsed = _parsed(name)
    return parsed is not None and parsed.is_loopback


def sent_from(request: web.Request) -> str | None:
    """Return the page that a form was sent from, by its Referer where that is one of ours, without its notices."""
    sender = request.headers.get("Referer", "")
    parts = parts_of(sender if sender.isascii() and sender.isprintable() else "")
    is_ours = parts.netloc.lower() == host_of(request) != ""
    if not (is_ours and parts.path.startswith("/")) or parts.path.startswith(("//", "/\\")):
        return None
    kept = "&".join(each for each in parts.query.split("&") if each and not each.startswith(_NOTICES))
    return f"{parts.path}?{kept}" if kept else parts.path


def check_origin(request: web.Request, settings: Settings) -> None:
    """See that our own page sent the request: by its Origin, else its Referer, else by what the browser says of it.

    Raises:
        ForeignOriginError: another's page sent it, or nothing says that ours did.
    """
    named = request.headers.get("Origin") or request.headers.get("Referer")
    if named is None:
        if request.headers.get("Sec-Fetch-Site") != "same-origin":
            raise ForeignOriginError
        return
    came_by = whence(request, settings)
    is_public = settings.public_url is not None and _origin(named) == _origin(settings.public_url)
    # With PUBLIC_URL, another name is somebody else's idea; but whoever sits at the machine itself may come directly.
    may_be_host = settings.public_url is None or is_loopback(came_by.host)
    is_host = bool(came_by.host) and _host(named) == _plain(came_by.host, parts_of(named).scheme)
    if not (is_public or (may_be_host and is_host)):
        raise ForeignOriginError


def _origin(address: str) -> tuple[str, str]:
    return parts_of(address).scheme, _host(address)


def _host(address: str) -> str:
    parts = parts_of(address)
    return _plain(parts.netloc.lower(), parts.scheme)


def _plain(host: str, scheme: str) -> str:
    return host.removesuffix(_DEFAULT_PORT.get(scheme, ""))


def _peer(request: web.Request) -> str:
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else _UNKNOWN


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


@lru_cache(maxsize=4)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(each, strict=False) for each in trusted)
