"""What the DNS says of a mail domain: texts, mail servers, addresses, and how an SPF record reads as a whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: RFC 7208, 4.6.4: with more look-ups receivers take the record for broken.
MOST_LOOKUPS = 10
_WALKED = 20  #: look-ups after which a record is read no further
_SIZE = r"(?:/\d{1,3})?(?://\d{1,3})?"
_is_plain_term = re.compile(
    rf"all|ptr(?::\S+)?|(?:a|mx)(?::[^\s/]+)?{_SIZE}|(?:include|exists):\S+|[a-z][a-z0-9_.-]*=\S*",
    re.IGNORECASE,
).fullmatch


class DnsUnreachableError(Exception):
    """No name server answered, or none could say: nothing is known."""


class MailDns:
    """Asks the DNS, and remembers; what it says of a name that does not exist is nothing."""

    def __init__(
        self, nameservers: Sequence[tuple[str, int]] | None = None, *, timeout_s: float = 2.5
    ) -> None:
        """Ask *nameservers* (address and port), or those of this machine; *timeout_s* seconds for each question."""
        self._given = nameservers
        self._timeout_s = timeout_s
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._known: dict[tuple[str, str], list[Any]] = {}

    async def txt(self, name: str) -> list[str]:
        """Return the texts at a name, each whole; raises DnsUnreachableError."""
        rows = await self._ask(name, "TXT")
        return [b"".join(row.strings).decode("utf-8", errors="replace") for row in rows]

    async def mx(self, name: str) -> list[str]:
        """Return the mail servers of a domain, best first (`.`: it takes no mail); raises DnsUnreachableError."""
        rows = sorted(await self._ask(name, "MX"), key=lambda row: int(row.preference))
        return [row.exchange.to_text() for row in rows]

    async def addresses(self, name: str) -> list[Address]:
        """Return the addresses of a host; raises DnsUnreachableError."""
        rows = [*await self._ask(name, "A"), *await self._ask(name, "AAAA")]
        return [ip_address(row.address) for row in rows]

    async def exists(self, name: str) -> bool:
        """Tell whether a domain is there at all; raises DnsUnreachableError."""
        return bool(await self._ask(name, "SOA") or await self.mx(name) or await self.addresses(name))

    async def _ask(self, name: str, kind: str) -> list[Any]:
        key = (name.lower().rstrip("."), kind)
        if key not in self._known:
            self._known[key] = await self._answer(*key)
        return self._known[key]

    async def _answer(self, name: str, kind: str) -> list[Any]:
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):  # a name that no server could know
            return []
        try:
            answer = await self._opened().resolve(
                asked, kind, lifetime=self._timeout_s, search=False, raise_on_no_answer=False
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN):
            return []
        except (dns.exception.DNSException, OSError) as exc:
            raise DnsUnreachableError(type(exc).__name__) from exc
        return [] if answer.rrset is None else list(answer.rrset)

    def _opened(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            resolver = dns.asyncresolver.Resolver(configure=self._given is None)
            if self._given is not None:
                resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(address, port) for address, port in self._given
                ]
            self._resolver = resolver
        return self._resolver


@dataclass(slots=True)
class Spf:
    """An SPF record with all that it includes."""

    records: list[str] = field(default_factory=list)  #: of the domain itself: should be one
    near: str | None = None  #: a text that means to be one, and does not begin as one has to
    #: words that are no part of SPF: each breaks the whole record
    wrong: list[str] = field(default_factory=list)
    ending: str = ""  #: what holds for all others: `-`, `~`, `?`, `+`, or nothing
    lookups: int = 0  #: at least; counting ends a good way beyond what is allowed
    names: set[str] = field(default_factory=set)  #: domains whose servers it lets send, at any depth
    broken: list[str] = field(default_factory=list)  #: included, and without a record
    networks: list[Network] = field(default_factory=list)
    is_part_unknown: bool = False  #: it has macros, which only a receiver can work out

    def covers(self, addresses: Sequence[Address]) -> bool:
        """Tell whether it lets one of the addresses send."""
        return any(each in network for each in addresses for network in self.networks)


async def read_spf(resolver: MailDns, domain: str) -> Spf:
    """Return what a domain's SPF record says; raises DnsUnreachableError."""
    spf = Spf(records=await _spf_records(resolver, domain))
    if len(spf.records) == 1:
        await _walk(resolver, _Place((domain.lower(),)), spf.records[0], spf)
    if not spf.records:
        spf.near = next((each for each in await resolver.txt(domain) if "v=spf1" in each.lower()), None)
    return spf


async def _spf_records(resolver: MailDns, domain: str) -> list[str]:
    texts = await resolver.txt(domain)
    return [each for each in texts if each.lower() == "v=spf1" or each.lower().startswith("v=spf1 ")]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree of records one stands."""

    path: tuple[str, ...]  #: from the domain itself to the one that is read
    is_own: bool = True  #: its `all` is the domain's
    does_pass: bool = True  #: what it names may send, where the record itself is passed by `include`


async def _walk(resolver: MailDns, place: _Place, record: str, spf: Spf) -> None:
    words = record.split()[1:]
    end = next((nth for nth, word in enumerate(words) if word.lstrip("+-~?").lower() == "all"), None)
    if end is not None and place.is_own:
        spf.ending = words[end][0] if words[end][0] in "+-~?" else "+"
    for word in words[:end]:  # what stands behind it nobody reads
        if spf.lookups >= _WALKED:
            return
        if _is_term(word.lstrip("+-~?")):
            await _read_word(resolver, place, word, spf, has_end=end is not None)
        else:
            spf.wrong.append(word)


async def _read_word(resolver: MailDns, place: _Place, word: str, spf: Spf, *, has_end: bool) -> None:
    term, is_pass = word.lstrip("+-~?"), word[0] not in "-~?"
    if "%" in term:
        spf.lookups += 1
        spf.is_part_unknown = True
    elif term.lower().startswith("include:"):
        passes = place.does_pass and is_pass
        await _follow(resolver, _Place(place.path, is_own=False, does_pass=passes), term[8:], spf)
    elif term.lower().startswith("redirect=") and not has_end:
        await _follow(resolver, place, term[9:], spf)
    elif is_pass and "=" not in term:
        found = await _networks(resolver, place.path[-1], term.lower(), spf)
        spf.networks += found if place.does_pass else []


async def _follow(resolver: MailDns, place: _Place, named: str, spf: Spf) -> None:
    """Read the record of the domain that is *named* at *place*."""
    name = named.lower().rstrip(".")
    if name in place.path:
        spf.lookups = _WALKED  # round and round
        return
    spf.lookups += 1
    if name in spf.names:
        return
    if place.does_pass:
        spf.names.add(name)
    records = await _spf_records(resolver, name)
    if len(records) != 1:
        spf.broken.append(name)
        return
    await _walk(resolver, replace(place, path=(*place.path, name)), records[0], spf)


def _is_term(term: str) -> bool:
    """Tell whether a word of a record is one of SPF's (RFC 7208, 12)."""
    kind, _, value = term.partition(":")
    if kind.lower() in {"ip4", "ip6"}:
        try:
            return f"ip{ip_network(value, strict=False).version}" == kind.lower()
        except ValueError:
            return False
    return bool(_is_plain_term(term))


async def _networks(resolver: MailDns, domain: str, term: str, spf: Spf) -> list[Network]:
    kind, _, value = term.partition(":")
    if kind in {"ip4", "ip6"}:
        try:
            return [ip_network(value, strict=False)]
        except ValueError:
            return []
    kind, _, size = kind.partition("/")
    host, _, own_size = value.partition("/")
    if kind not in {"a", "mx", "exists", "ptr"}:
        return []
    spf.lookups += 1
    if kind in {"exists", "ptr"}:
        spf.is_part_unknown = True
        return []
    hosts = [host or domain] if kind == "a" else await resolver.mx(host or domain)
    found = [each for name in hosts if name != "." for each in await resolver.addresses(name)]
    return [_network(each, size or own_size) for each in found]


def _network(address: Address, size: str) -> Network:
    four = size.partition("/")[0]
    if isinstance(address, IPv4Address) and four.isdigit() and int(four) <= address.max_prefixlen:
        return ip_network(f"{address}/{four}", strict=False)
    return ip_network(address)
