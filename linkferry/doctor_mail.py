"""What `linkferry doctor` asks the DNS about the sender's domain: SPF, DKIM, DMARC, and whether answers arrive.

Receivers go by these records: without them invitations land among the junk, or nowhere. Selectors of DKIM can't be
listed, so that a key may exist that is not found here; what can't be known is said.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from email.utils import parseaddr
from ipaddress import ip_address
from urllib.parse import urlsplit

from linkferry.doctor import Finding, bad, ok, warn
from linkferry.mail_dns import MOST_LOOKUPS, Address, DnsUnreachableError, MailDns, Spf, read_spf
from worker.dispatch import Sender
from worker.settings import Settings

_is_dmarc = re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)", re.IGNORECASE).match
_DOCS = "docs/mail-domain.md"
#: All questions together: `doctor` is not to hang on a name server that is slow.
_PATIENCE_S = 12.0
_NOBODYS = (
    "invalid", "example", "test", "localhost", "local", "internal", "example.com", "example.net", "example.org",
)  # fmt: skip
#: What a provider's customers include, by the end of its SMTP host's name.
_INCLUDES = {
    "gmail.com": "_spf.google.com",
    "google.com": "_spf.google.com",
    "office365.com": "spf.protection.outlook.com",
    "outlook.com": "spf.protection.outlook.com",
    "amazonaws.com": "amazonses.com",
    "sendgrid.net": "sendgrid.net",
    "mailgun.org": "mailgun.org",
    "mailjet.com": "spf.mailjet.com",
    "brevo.com": "spf.brevo.com",
    "sendinblue.com": "spf.brevo.com",
    "zoho.com": "zohomail.com",
    "sparkpostmail.com": "sparkpostmail.com",
    "mandrillapp.com": "spf.mandrillapp.com",
    "messagingengine.com": "spf.messagingengine.com",
}
#: Where keys stand by custom, of programs and of providers.
SELECTORS = (
    "default", "dkim", "mail", "email", "smtp", "mta", "s1", "s2", "k1", "k2", "k3", "key1", "key2", "selector1",
    "selector2", "google", "mailjet", "brevo1", "brevo2", "zoho", "zmail", "mandrill", "mte1", "mte2", "fm1", "fm2",
    "fm3", "pm", "scph", "mailo", "pic", "mx",
)  # fmt: skip


def sending_domain(address: str | None) -> str | None:
    """Return the domain that an address sends from, or None for one that is nobody's (`.example`, `.invalid`)."""
    domain = parseaddr(address or "")[1].rpartition("@")[2].lower().rstrip(".")
    if "." not in domain or any(domain == each or domain.endswith(f".{each}") for each in _NOBODYS):
        return None
    return domain


async def examine(settings: Settings, resolver: MailDns | None = None) -> list[Finding]:
    """Return what the DNS says of the domain that invitations come from; nothing where none is really sent from.

    Before it, an address of the settings that no mail could carry. Never raises and never waits for long: a DNS that
    does not answer is said.
    """
    if settings.email_from is not None:
        try:
            Sender.parse(settings.email_from, reply_to=settings.mail_reply_to)
        except ValueError as exc:
            return [bad("email", f"Workers refuse to start: LINKFERRY_{exc}.", "Correct the setting.")]
    domain = sending_domain(settings.email_from)
    if settings.is_sandbox or domain is None or settings.smtp_url is None:
        return []
    host = urlsplit(settings.smtp_url.get_secret_value()).hostname or ""
    look = _Look(resolver or MailDns(), domain, host.lower())
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for each in look.all(sending_domain(settings.mail_reply_to) or domain):
                findings.append(each)  # noqa: PERF401 - what is known by the time-out is told
    except (DnsUnreachableError, TimeoutError) as exc:
        other = "other " if findings else ""
        text = f"The DNS could not be asked about {domain} ({type(exc).__name__}): its {other}records are not known."
        findings.append(warn("mail domain", text, f"Look from another network, or by hand: {_DOCS}"))
    return findings


class _Look:
    """Looks at one domain."""

    def __init__(self, resolver: MailDns, domain: str, host: str) -> None:
        self._dns = resolver
        self._domain = domain
        self._host = host  #: SMTP server that the mails are handed to

    async def all(self, reply_domain: str) -> AsyncIterator[Finding]:
        if not await self._dns.exists(self._domain):
            yield bad(
                "mail domain",
                f"{self._domain}, which EMAIL_FROM sends from, does not exist.",
                "Correct LINKFERRY_EMAIL_FROM, or register the domain.",
            )
            return
        for finding in await self._spf():
            yield finding
        yield await self._dmarc()
        yield await self._dkim()
        for finding in await self._replies(reply_domain):
            yield finding

    # --- SPF ---------------------------------------------------------------------------------------------

    async def _spf(self) -> list[Finding]:
        spf = await read_spf(self._dns, self._domain)
        if spf.near is not None:
            text = (
                f"A text at {self._domain} holds v=spf1 and does not begin with it: receivers pass it over."
            )
            remedy = "Let it begin with v=spf1, without a space or quotation mark before it."
            return [warn("SPF", text, remedy)]
        if not spf.records:
            text = f"{self._domain} has no SPF record: receivers can't tell its mail from a forger's."
            return [
                warn("SPF", text, f'Add a TXT record at {self._domain}: "v=spf1 {self._mechanism()} ~all"')
            ]
        if len(spf.records) > 1:
            text = f"{self._domain} has {len(spf.records)} SPF records: receivers take none of them."
            return [bad("SPF", text, "Join them to one TXT record: v=spf1, all their parts, ~all.")]
        wrong = [*self._wrong_with(spf)]
        covered = await self._coverage(spf)
        if covered is not None:
            wrong.append(covered)
        return wrong or [ok("SPF", f"{self._domain} lets {self._host} send ({spf.lookups} of 10 look-ups).")]

    def _wrong_with(self, spf: Spf) -> list[Finding]:
        wrong = []
        if spf.ending == "+":
            text = f"{self._domain}'s SPF record lets the whole world send (+all)."
            wrong.append(bad("SPF", text, "End it with ~all, or with -all once all is well."))
        elif spf.ending not in {"-", "~"}:
            text = f"{self._domain}'s SPF record says nothing of all others."
            wrong.append(warn("SPF", text, "End it with ~all, or with -all once all is well."))
        if spf.wrong:
            text = f"{self._domain}'s SPF record holds “{spf.wrong[0][:60]}”, which is no part of SPF: it counts as broken."
            wrong.append(bad("SPF", text, "Correct that word; no space stands within one."))
        if spf.lookups > MOST_LOOKUPS:
            text = f"{self._domain}'s SPF record takes {spf.lookups} look-ups or more; with more than 10 it counts as broken."
            wrong.append(warn("SPF", text, "Take out includes of services that you no longer send by."))
        if spf.broken:
            text = (
                f"{self._domain}'s SPF record includes {spf.broken[0]}, which has none: it counts as broken."
            )
            wrong.append(warn("SPF", text, "Correct the name, or take the include out."))
        return wrong

    async def _coverage(self, spf: Spf) -> Finding | None:
        wanted = self._include()
        if wanted is not None:
            if wanted in spf.names:
                return None
            text = f"{self._domain}'s SPF record does not include {wanted}, by which {self._host} sends."
            remedy = f"Add include:{wanted} to it, unless your provider gives these mails a return path of its own."
            return warn("SPF", text, remedy)
        if spf.covers(await self._addresses()) or _family(self._host) in {
            _family(each) for each in spf.names
        }:
            return None
        more = " (a part of it only receivers can work out)" if spf.is_part_unknown else ""
        text = f"Whether {self._domain}'s SPF record lets {self._host} send can't be told from here{more}."
        remedy = f"Compare it with what your mail provider asks for; your own server: add {self._mechanism()}"
        return warn("SPF", text, remedy)

    def _include(self) -> str | None:
        fits = (
            include
            for end, include in _INCLUDES.items()
            if self._host == end or self._host.endswith(f".{end}")
        )
        return next(fits, None)

    def _mechanism(self) -> str:
        include = self._include()
        if include is not None:
            return f"include:{include}"
        try:
            address = ip_address(self._host)
        except ValueError:
            return f"a:{self._host}" if "." in self._host else "a"
        return f"ip{address.version}:{address}" if address.is_global else "a"

    async def _addresses(self) -> list[Address]:
        try:
            return [ip_address(self._host)]
        except ValueError:
            return await self._dns.addresses(self._host) if "." in self._host else []

    # --- DMARC -------------------------------------------------------------------------------------------

    async def _dmarc(self) -> Finding:
        name, records = self._domain, await self._dmarc_records(self._domain)
        while not records and name.count(".") > 1:  # a subdomain is under its parent's policy
            name = name.partition(".")[2]
            records = await self._dmarc_records(name)
        if not records and await self._dns.txt(f"_dmarc.{self._domain}"):
            text = f"The text at _dmarc.{self._domain} does not begin with v=DMARC1: receivers pass it over."
            return warn("DMARC", text, "Let it begin with v=DMARC1; and a p= after it.")
        if not records:
            return warn(
                "DMARC",
                f"{self._domain} has no DMARC record: large receivers ask senders for one.",
                f'Add a TXT record at _dmarc.{self._domain}: "v=DMARC1; p=none; rua=mailto:postmaster@{self._domain}"',
            )
        if len(records) > 1:
            text = f"_dmarc.{name} has {len(records)} DMARC records: receivers take none of them."
            return warn("DMARC", text, "Leave one of them.")
        tags = _tags(records[0])
        policy = tags.get("sp", tags.get("p", "")) if name != self._domain else tags.get("p", "")
        return self._policy(name, policy.lower(), tags)

    def _policy(self, name: str, policy: str, tags: dict[str, str]) -> Finding:
        strict = [what for what, tag in (("SPF", "aspf"), ("DKIM", "adkim")) if tags.get(tag) == "s"]
        needs = f" {' and '.join(strict)} must be of {self._domain} itself (strict)." if strict else ""
        if policy in {"quarantine", "reject"} and (tags.get("t") == "y" or tags.get("pct") == "0"):
            text = (
                f"{name} has p={policy} on trial (t=y or pct=0): forgers of your name are let through.{needs}"
            )
            return warn("DMARC", text, "Once its reports show your own mail passing, take t= or pct= out.")
        if policy in {"quarantine", "reject"}:
            text = f"{name} has p={policy}: what neither SPF nor DKIM vouches for in its name is turned away.{needs}"
            return ok("DMARC", text)
        if policy == "none":
            text = f"{name} only watches (p=none): forgers of your name are let through.{needs}"
            remedy = "Once its reports show your own mail passing, set p=quarantine, later p=reject."
            return warn("DMARC", text, remedy)
        text = f"The DMARC record at _dmarc.{name} has no policy that is known: receivers pass it over."
        return warn("DMARC", text, "Give it p=none, p=quarantine or p=reject.")

    async def _dmarc_records(self, name: str) -> list[str]:
        return [each for each in await self._dns.txt(f"_dmarc.{name}") if _is_dmarc(each)]

    # --- DKIM --------------------------------------------------------------------------------------------

    async def _dkim(self) -> Finding:
        names = [f"{each}._domainkey.{self._domain}" for each in SELECTORS]
        answers = await asyncio.gather(*(self._dns.txt(name) for name in names), return_exceptions=True)
        # A selector of a provider long left may lead nowhere; that all of them are silent is the DNS's fault.
        silent = [each for each in answers if isinstance(each, BaseException)]
        if len(silent) == len(answers) or any(not isinstance(each, DnsUnreachableError) for each in silent):
            raise silent[0]
        keys = {
            selector: _tags(text)
            for selector, found in zip(SELECTORS, answers, strict=True)
            if not isinstance(found, BaseException)
            for text in found
            # Behind a wildcard stands any text at all.
            if "p" in _tags(text) and _tags(text).get("v", "DKIM1") == "DKIM1"
        }
        good = [selector for selector, tags in keys.items() if tags["p"]]
        if good:
            text = f"{self._domain} has keys at {', '.join(good[:4])}; that your mails are signed, only a received one shows."
            return ok("DKIM", text)
        if keys:
            text = f"The key of {self._domain} at {next(iter(keys))} is withdrawn (p= is empty), and no other is found."
            return warn("DKIM", text, "Set up signing at your mail provider, and its key in the DNS.")
        return warn(
            "DKIM",
            f"No key of {self._domain} stands at a usual place; selectors can't be listed, so one may stand elsewhere.",
            "Send yourself a mail (`linkferry doctor --send-test you@…`) and look for dkim=pass in its source; without "
            f"it, set up signing at your mail provider ({_DOCS}).",
        )

    # --- answers -----------------------------------------------------------------------------------------

    async def _replies(self, domain: str) -> list[Finding]:
        servers = await self._dns.mx(domain)
        if servers == ["."]:
            text = (
                f"{domain} takes no mail (null MX): customers' answers, and bounces, come back undelivered."
            )
        elif not servers and not await self._dns.addresses(domain):
            text = f"{domain} has no mail server (MX): customers' answers, and bounces, reach nobody."
        else:
            return []
        remedy = "Set LINKFERRY_MAIL_REPLY_TO to an address that is read, or give the domain a mail server."
        return [warn("replies", text, remedy)]


def _tags(text: str) -> dict[str, str]:
    """Return the tags of a DKIM or DMARC record."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, equals, value in pairs if equals}


def _family(host: str) -> str:
    """Return the last two names of a host: its owner's, nearly always."""
    return ".".join(host.rstrip(".").split(".")[-2:])
