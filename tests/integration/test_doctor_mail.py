"""What `linkferry doctor` finds in the DNS about the sender's domain; a real name server on loopback answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from linkferry.doctor import Finding, Level
from linkferry.doctor_mail import SELECTORS, examine, sending_domain
from linkferry.mail_dns import MailDns
from tests.integration.cli_in_process import cli_on
from tests.integration.dns_server import NameServer, a_name_server
from worker.settings import Settings, load_settings

DOMAIN = "agency.co.il"
KEY = '"v=DKIM1; k=rsa; " "p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"'
GOOD: dict[tuple[str, str], list[str]] = {
    (DOMAIN, "SOA"): ["ns1.agency.co.il. host.agency.co.il. 1 2 3 4 5"],
    (DOMAIN, "TXT"): ['"v=spf1 include:_spf.google.com ~all"', '"google-site-verification=x"'],
    (DOMAIN, "MX"): ["10 mx.agency.co.il."],
    ("_spf.google.com", "TXT"): ['"v=spf1 ip4:192.0.2.0/24 ~all"'],
    (f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1; p=quarantine; rua=mailto:a@agency.co.il"'],
    (f"google._domainkey.{DOMAIN}", "TXT"): [KEY],
}


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """Run a name server that knows a domain in good order."""
    async with a_name_server(dict(GOOD)) as running:
        yield running


def agency(**changes: Any) -> Settings:
    """Return the settings of an agency that sends by Google."""
    given = {
        "smtp_url": "smtp://user:secret@smtp.gmail.com:587",
        "email_from": f"Agency <links@{DOMAIN}>",
        "redis_url": "redis://127.0.0.1:1",
    }
    return load_settings(environ={}, env_file=None, **(given | changes))


async def look(server: NameServer, *, timeout_s: float = 30.0, **changes: Any) -> list[Finding]:
    """Examine the agency's domain."""
    return await examine(agency(**changes), MailDns([server.address], timeout_s=timeout_s))


def of(findings: list[Finding], about: str) -> Finding:
    """Return the one finding about that."""
    [found] = [each for each in findings if each.about == about]
    return found


async def test_a_domain_in_good_order_needs_nobody(server: NameServer) -> None:
    """SPF covers the provider, a key stands at its selector, DMARC has a policy, answers arrive."""
    findings = await look(server)

    assert [(each.about, each.level) for each in findings] == [
        ("SPF", Level.OK),
        ("DMARC", Level.OK),
        ("DKIM", Level.OK),
    ]
    assert "smtp.gmail.com" in of(findings, "SPF").text
    assert "google" in of(findings, "DKIM").text
    assert "secret" not in str(findings)


async def test_a_domain_without_any_record_is_told_what_to_add(server: NameServer) -> None:
    """Each remedy is a record that can be copied."""
    server.records.clear()
    server.records[(DOMAIN, "SOA")] = GOOD[(DOMAIN, "SOA")]

    findings = await look(server)

    assert '"v=spf1 include:_spf.google.com ~all"' in of(findings, "SPF").remedy
    assert f"_dmarc.{DOMAIN}" in of(findings, "DMARC").remedy
    assert "can't be listed" in of(findings, "DKIM").text
    assert "reach nobody" in of(findings, "replies").text
    assert {each.level for each in findings} == {Level.WARN}


async def test_a_domain_that_does_not_exist_is_bad(server: NameServer) -> None:
    """A slip in EMAIL_FROM: nothing else is worth asking."""
    findings = await look(server, email_from="Agency <links@agnecy.co.il>")

    assert [(each.about, each.level) for each in findings] == [("mail domain", Level.BAD)]


SPF_CASES = (
    (['"v=spf1 include:_spf.google.com ~all"', '"v=spf1 a ~all"'], Level.BAD, "2 SPF records"),
    (['"v=spf1 include:_spf.google.com +all"'], Level.BAD, "whole world"),
    (['"v=spf1 include:_spf.google.com"'], Level.WARN, "says nothing of all others"),
    (['"v=spf1 include:_spf.google.com ?all"'], Level.WARN, "says nothing of all others"),
    (['"v=spf1 include:gone.example.net include:_spf.google.com -all"'], Level.WARN, "includes gone.example.net"),
    (['"v=spf1 ip4:192.0.2.1 -all"'], Level.WARN, "does not include _spf.google.com"),
    (
        ['"v=spf1 include:_spf.google.com ' + " ".join(f"exists:h{n}.example.net" for n in range(10)) + ' -all"'],
        Level.WARN,
        "11 look-ups",
    ),
    (['"v=spf1 -all include:_spf.google.com"'], Level.WARN, "does not include _spf.google.com"),
    (['"v=spf1 -include:_spf.google.com ~all"'], Level.WARN, "does not include _spf.google.com"),
    (['"v=spf1 include:_spf.google.com ip4:1.2.3 ~all"'], Level.BAD, "holds “ip4:1.2.3”, which is no part of SPF"),
    (['"v=spf1 include:_spf.google.com inlcude:x.example.net ~all"'], Level.BAD, "holds “inlcude:x.example.net”"),
    (['"v=spf1 include:agency.co.il include:_spf.google.com -all"'], Level.WARN, "look-ups or more"),
    (['" v=spf1 include:_spf.google.com ~all"'], Level.WARN, "does not begin with it"),
    (['"v=spf1 include:a..b include:\\255.com include:_spf.google.com ~all"'], Level.WARN, "includes a..b"),
    (['"V=SPF1 INCLUDE:_SPF.GOOGLE.COM. ~ALL"'], Level.OK, "lets smtp.gmail.com send"),
    (['"v=spf1 redirect=_spf.google.com"'], Level.OK, "lets smtp.gmail.com send"),
    (['"v=spf1 inclu" "de:_spf.google.com -all"'], Level.OK, "lets smtp.gmail.com send"),
)  # fmt: skip


@pytest.mark.parametrize(("texts", "level", "says"), SPF_CASES)
async def test_what_is_wrong_with_an_spf_record(
    server: NameServer, texts: list[str], level: Level, says: str
) -> None:
    """Several of them, no end, too many look-ups, a broken include, a provider that is missing."""
    server.records[(DOMAIN, "TXT")] = texts

    found = next(each for each in await look(server) if each.about == "SPF" and says in each.text)

    assert found.level is level


@pytest.mark.parametrize(
    ("record", "is_covered"),
    [
        ("v=spf1 ip4:203.0.113.0/24 -all", True),
        ("v=spf1 a:relay.agency.co.il -all", True),
        ("v=spf1 mx -all", True),
        ("v=spf1 mx/24 -all", True),
        ("v=spf1 include:_spf.google.com -all", False),
        ("v=spf1 -ip4:203.0.113.7 -all", False),
        ("v=spf1 include:spf.agency.co.il -all", True),
    ],
)
async def test_an_own_server_is_looked_for_by_its_address(
    server: NameServer, record: str, is_covered: bool
) -> None:
    """By ip4, a, mx or an include of the same owner; where it can't be told, that is said and no more."""
    relay = "relay.agency.co.il" if "spf.agency" not in record else "out.agency.co.il"
    server.records |= {
        (DOMAIN, "TXT"): [f'"{record}"'],
        ("mx.agency.co.il", "A"): ["203.0.113.9" if "/24" in record else "203.0.113.7"],
        ("relay.agency.co.il", "A"): ["203.0.113.7"],
        ("out.agency.co.il", "A"): ["198.51.100.7"],
        ("spf.agency.co.il", "TXT"): ['"v=spf1 ip4:192.0.2.0/24 -all"'],
    }

    found = of(await look(server, smtp_url=f"smtp://{relay}:25"), "SPF")

    assert (found.level is Level.OK) is is_covered
    if not is_covered:
        assert "can't be told" in found.text


DMARC_CASES = (
    (["v=DMARC1; p=none"], Level.WARN, "only watches"),
    (["v=DMARC1; p=reject; aspf=s; adkim=s"], Level.OK, "SPF and DKIM must be of agency.co.il itself"),
    (["v=DMARC1; p=reject", "v=DMARC1; p=none"], Level.WARN, "2 DMARC records"),
    (["v=DMARC1; pct=10"], Level.WARN, "no policy that is known"),
    (["v=DMARC1; p=reject; pct=0"], Level.WARN, "on trial"),
    (["v=DMARC1; p=reject; t=y"], Level.WARN, "on trial"),
    (["p=reject"], Level.WARN, "does not begin with v=DMARC1"),
    (["v = DMARC1; p=reject"], Level.OK, "turned away"),
)


@pytest.mark.parametrize(("texts", "level", "says"), DMARC_CASES)
async def test_what_a_dmarc_record_says(
    server: NameServer, texts: list[str], level: Level, says: str
) -> None:
    """Its policy, in words; what is strict; records that receivers pass over."""
    server.records[(f"_dmarc.{DOMAIN}", "TXT")] = [f'"{text}"' for text in texts]

    found = of(await look(server), "DMARC")

    assert found.level is level
    assert says in found.text


async def test_a_subdomain_is_under_its_parent_s_policy(server: NameServer) -> None:
    """`sp=` where it is given, of the parent's record."""
    sub = f"mail.{DOMAIN}"
    server.records[(sub, "SOA")] = GOOD[(DOMAIN, "SOA")]
    server.records[(f"_dmarc.{DOMAIN}", "TXT")] = ['"v=DMARC1; p=reject; sp=none"']

    found = of(await look(server, email_from=f"Agency <links@{sub}>"), "DMARC")

    assert "only watches (p=none)" in found.text


async def test_a_withdrawn_key_is_no_key(server: NameServer) -> None:
    """An empty p= says that nothing is signed with it any more."""
    server.records[(f"google._domainkey.{DOMAIN}", "TXT")] = ['"v=DKIM1; p="']

    assert "withdrawn" in of(await look(server), "DKIM").text


async def test_what_a_wildcard_answers_is_no_key(server: NameServer) -> None:
    """The DMARC record of a domain that has `*` stands at every selector, too."""
    del server.records[(f"google._domainkey.{DOMAIN}", "TXT")]
    server.records |= {(f"{each}._domainkey.{DOMAIN}", "TXT"): ['"v=DMARC1; p=none"'] for each in SELECTORS}

    assert "No key" in of(await look(server), "DKIM").text


async def test_a_selector_that_leads_nowhere_hides_no_other(server: NameServer) -> None:
    """A provider long left, whose name servers are silent: the key that is found counts, and answers are looked at."""
    original = server.datagram_received

    def silent_on_one(data: bytes, addr: object) -> None:
        if b"mandrill" not in data:
            original(data, addr)

    server.datagram_received = silent_on_one  # type: ignore[method-assign]

    assert [(each.about, each.level) for each in await look(server, timeout_s=2.0)][-1] == ("DKIM", Level.OK)


async def test_the_usual_selectors_are_asked_for_once_each(server: NameServer) -> None:
    """No more questions than that, and none twice."""
    await look(server)

    asked = [name for name, _ in server.asked if "_domainkey" in name]
    assert sorted(asked) == sorted(f"{each}._domainkey.{DOMAIN}" for each in SELECTORS)
    assert len(set(server.asked)) == len(server.asked)


async def test_a_domain_that_takes_no_mail_can_t_be_answered(server: NameServer) -> None:
    """Null MX at the address that customers answer to, which may be another than the sender's."""
    server.records[("elsewhere.co.il", "MX")] = ["0 ."]

    findings = await look(server, mail_reply_to="desk@elsewhere.co.il")

    assert "elsewhere.co.il takes no mail" in of(findings, "replies").text


@pytest.mark.parametrize("trouble", ["is_silent", "is_failing"])
async def test_a_dns_that_does_not_answer_is_said_and_no_more(server: NameServer, trouble: str) -> None:
    """No network, or a firewall: one warning, no failure, and soon."""
    setattr(server, trouble, True)

    findings = await look(server, timeout_s=0.3)

    assert [(each.about, each.level) for each in findings] == [("mail domain", Level.WARN)]
    assert "could not be asked" in findings[0].text


async def test_what_was_learnt_before_the_dns_fell_silent_is_told(server: NameServer) -> None:
    """An include that nobody answers for: what is known is said, and that the rest is not."""
    original = server.datagram_received

    def silent_on_dmarc(data: bytes, addr: object) -> None:
        if b"_dmarc" not in data:
            original(data, addr)

    server.datagram_received = silent_on_dmarc  # type: ignore[method-assign]

    findings = await look(server, timeout_s=2.0)

    assert [each.about for each in findings] == ["SPF", "mail domain"]


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("Agency <links@agency.co.il>", "agency.co.il"),
        ("links@AGENCY.co.il", "agency.co.il"),
        ("Acme <links@acme.example>", None),
        ("x@example.com", None),
        ("Linkferry <nobody@linkferry.invalid>", None),
        ("root@localhost", None),
        (None, None),
    ],
)
def test_only_a_real_domain_is_asked_about(address: str | None, domain: str | None) -> None:
    """Names that are nobody's are left alone."""
    assert sending_domain(address) == domain


async def test_an_address_that_no_mail_could_carry_is_told_of(server: NameServer) -> None:
    """Workers refuse to start with it; the DNS is not asked."""
    [finding] = await look(server, mail_reply_to="desk at agency.co.il")

    assert finding.level is Level.BAD
    assert "LINKFERRY_MAIL_REPLY_TO names no usable address" in finding.text
    assert server.asked == []


async def test_the_sandbox_asks_nobody(server: NameServer) -> None:
    """Nothing real is sent from there."""
    settings = load_settings(environ={}, env_file=None, sandbox=True)

    assert await examine(settings, MailDns([server.address])) == []
    assert server.asked == []


def test_doctor_tells_of_the_window_and_of_a_dns_that_is_away(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both are part of `linkferry doctor`; neither makes it fail."""
    monkeypatch.setattr("linkferry.doctor_mail.MailDns", lambda: MailDns([("127.0.0.1", 9)], timeout_s=0.1))
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        monkeypatch.setenv("LINKFERRY_SEND_WINDOW", "daily 00:00-24:00; tz=UTC")
        monkeypatch.setenv("LINKFERRY_SMTP_URL", "smtp://smtp.gmail.com:587")
        monkeypatch.setenv("LINKFERRY_EMAIL_FROM", f"links@{DOMAIN}")

        findings = {each["about"]: each for each in json.loads(cli("doctor", "--json").stdout)["findings"]}

    assert findings["send window"]["text"] == "Open now (daily 00:00-24:00; tz=UTC)."
    assert (findings["mail domain"]["level"], "could not be asked" in findings["mail domain"]["text"]) == (
        "warn",
        True,
    )
