"""Fetches each logo that a file names once, and says whether the partner will like it: https, png or jpg, 200×60.

The addresses come out of somebody's spreadsheet, so they may lead anywhere: no address of this machine or its
network is called, whatever a name resolves to and wherever a redirect leads.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from producers.backfill.checks import CheckedRow, Listing
from producers.backfill.image_size import read_picture
from producers.backfill.intake import Intake

AT_ONCE = 8
DEADLINE_S = 5.0  #: for one logo: name look-up, redirects and all
SIZE_CAP = 1024 * 1024  #: bytes; the partner names no limit, but 200×60 pixels need a hundredth of it
WANTED = (200, 60)  #: pixels, as the partner documents them
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COLUMNS = ("line", "logo", "finding", "detail", "remedy")


class LogoFinding(StrEnum):
    """What is to be said of a logo."""

    FINE = "fine"
    WRONG_SIZE = "wrong_size"
    NOT_AN_IMAGE = "not_an_image"
    TOO_LARGE = "too_large"
    NOT_GIVEN = "not_given"  #: the server answered something else than a picture
    UNREACHABLE = "unreachable"
    TOO_SLOW = "too_slow"
    NOT_HTTPS = "not_https"
    PRIVATE_ADDRESS = "private_address"
    TOO_MANY_REDIRECTS = "too_many_redirects"


_OPEN_IT = "Open the address in a browser that is logged in nowhere, and correct it."
REMEDIES = {
    LogoFinding.FINE: "",
    LogoFinding.WRONG_SIZE: "Make it 200×60 pixels.",
    LogoFinding.NOT_AN_IMAGE: "Put a png or jpg there, not a page that shows one.",
    LogoFinding.TOO_LARGE: "Make it smaller than 1 MiB.",
    LogoFinding.NOT_GIVEN: _OPEN_IT,
    LogoFinding.UNREACHABLE: _OPEN_IT,
    LogoFinding.TOO_SLOW: "Put it on a server that answers within 5 seconds.",
    LogoFinding.NOT_HTTPS: "Write the https address that it leads to in the end.",
    LogoFinding.PRIVATE_ADDRESS: "Put it where the whole internet can see it.",
    LogoFinding.TOO_MANY_REDIRECTS: "Write the address that it leads to in the end.",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One logo's finding, and what was seen there."""

    finding: LogoFinding
    detail: str = ""  #: such as `400×120` or `HTTP 404`


class LogoFetcher:
    """Fetches and judges logos. Use as an async context manager."""

    def __init__(
        self,
        *,
        is_private_allowed: bool = False,
        tls: ssl.SSLContext | None = None,
        deadline_s: float = DEADLINE_S,
        size_cap: int = SIZE_CAP,
    ) -> None:
        """Prepare to fetch; nothing is connected yet.

        Args:
            is_private_allowed: addresses of this machine and its network are called, too: for the sandbox.
            tls: whom to trust; None: the system's authorities.
            deadline_s: seconds for one logo.
            size_cap: bytes that are read of one.
        """
        self._is_private_allowed = is_private_allowed
        self._tls = tls
        self._deadline_s = deadline_s
        self._size_cap = size_cap
        self._places = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._resolver = _Resolver(is_private_allowed=self._is_private_allowed)
        connector = aiohttp.TCPConnector(
            limit=AT_ONCE, resolver=self._resolver, ssl=self._tls or True, force_close=True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `judge` has the one deadline
            headers={
                "User-Agent": "linkferry",
                "Accept": "image/png, image/jpeg",
                "Accept-Encoding": "identity",
            },
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def judge(self, address: str) -> Judged:
        """Fetch one logo and say what it is; never raises for what is wrong with it."""
        async with self._places:
            try:
                async with asyncio.timeout(self._deadline_s):
                    return await self._follow(address)
            except TimeoutError:
                return Judged(LogoFinding.TOO_SLOW)
            except _PrivateAddressError:
                return Judged(LogoFinding.PRIVATE_ADDRESS)
            except (aiohttp.ClientError, OSError, ValueError) as exc:
                # ValueError: an address that is none, in the file or in a redirect.
                return Judged(LogoFinding.UNREACHABLE, type(exc).__name__)

    async def _follow(self, address: str) -> Judged:
        url = URL(address)
        for _ in range(_MOST_REDIRECTS + 1):
            if url.scheme != "https" or not url.host:
                return Judged(LogoFinding.NOT_HTTPS)
            found = await self._get(url.with_user(None))
            if isinstance(found, Judged):
                return found
            url = url.join(found)
        return Judged(LogoFinding.TOO_MANY_REDIRECTS)

    async def _get(self, url: URL) -> Judged | URL:
        """Return what lies at *url*, or where it leads on to."""
        if self._session is None:
            raise RuntimeError("the fetcher has not been entered")
        if _looks_numeric(url.host or ""):
            # The client looks up names only: what already is an address never meets its resolver.
            await self._resolver.resolve(url.host or "", url.port or 0)
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status in _REDIRECTS and "Location" in response.headers:
                return URL(response.headers["Location"])
            if response.status != 200:
                return Judged(LogoFinding.NOT_GIVEN, f"HTTP {response.status}")
            body = await _read(response, self._size_cap)
        return Judged(LogoFinding.TOO_LARGE) if body is None else judge_picture(body)


def judge_picture(data: bytes) -> Judged:
    """Return what is to be said of a file as a logo."""
    picture = read_picture(data)
    if picture is None:
        return Judged(LogoFinding.NOT_AN_IMAGE)
    size = (picture.width, picture.height)
    return Judged(LogoFinding.FINE if size == WANTED else LogoFinding.WRONG_SIZE, "{}×{}".format(*size))


async def _read(response: aiohttp.ClientResponse, cap: int) -> bytes | None:
    """Return the whole body, or None where it is larger than *cap* bytes."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > cap:
            response.close()
            return None
    return bytes(body)


# --- who may be called -------------------------------------------------------------------------------------


class _PrivateAddressError(Exception):
    """The address is this machine's, or its network's."""


class _Resolver(AbstractResolver):
    """Looks names up and gives back public addresses only: what was checked is what is connected to."""

    def __init__(self, *, is_private_allowed: bool) -> None:
        self._inner = ThreadedResolver()
        self._is_private_allowed = is_private_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not self._is_private_allowed and not all(is_public(each["host"]) for each in found):
            raise _PrivateAddressError
        return found

    async def close(self) -> None:
        await self._inner.close()


def _looks_numeric(host: str) -> bool:
    return ":" in host or host[-1:].isdigit()


def is_public(address: str) -> bool:
    """Tell whether *address*, an IP address as text, is one of the internet at large."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (inner := _ipv4_within(ip)) is not None:
        return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _ipv4_within(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one leads to by a gateway, or None."""
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


# --- row by row --------------------------------------------------------------------------------------------


class LogoCheck:
    """Looks at the logos of rows; each distinct address is fetched once, however many rows name it."""

    def __init__(self, fetcher: LogoFetcher, *, run: str) -> None:
        """List what is wrong in `<stem>.<run>.logos.csv`."""
        self._fetcher = fetcher
        self._judged: dict[int, Judged] = {}  # by a hash of the address: about 100 bytes each
        self._by_finding: Counter[LogoFinding] = Counter()  # distinct logos
        self._rows = 0
        self._rows_in_trouble = 0
        self.listing = Listing(run, "logos", _COLUMNS)

    def begin(self, intake: Intake) -> None:
        """Take note of the file that the rows are from."""
        self.listing.begin(intake)

    async def examine(self, rows: Sequence[CheckedRow]) -> None:
        """Fetch what is new among the rows' logos, and list the rows whose logo is not fine."""
        named = [(row.line, logo, _mark(logo)) for row in rows if (logo := row.request.onboarding_logo)]
        fresh = {mark: logo for _, logo, mark in named if mark not in self._judged}
        found = await asyncio.gather(*map(self._fetcher.judge, fresh.values()))
        for mark, judged in zip(fresh, found, strict=True):
            self._judged[mark] = judged
            self._by_finding[judged.finding] += 1
        for line, logo, mark in named:
            self._note(line, logo, self._judged[mark])

    def _note(self, line: int, logo: str, judged: Judged) -> None:
        self._rows += 1
        if judged.finding is not LogoFinding.FINE:
            self._rows_in_trouble += 1
            self.listing.write(line, logo, judged.finding, judged.detail, REMEDIES[judged.finding])

    def close(self) -> None:
        """Finish the list."""
        self.listing.close()

    def as_document(self) -> dict[str, Any]:
        """Return what was found as `--json` prints it: distinct logos by finding, and the rows concerned."""
        return {
            "distinct": len(self._judged),
            **{finding.value: self._by_finding[finding] for finding in LogoFinding},
            "rows": self._rows,
            "rows_in_trouble": self._rows_in_trouble,
            "file": str(self.listing.path) if self.listing.path else None,
        }


def _mark(logo: str) -> int:
    return int.from_bytes(blake2b(logo.encode(errors="surrogatepass"), digest_size=7).digest())
