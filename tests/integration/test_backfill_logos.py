"""Logos are fetched over real TLS: once each, judged by their bytes, and never from our own network."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from producers.backfill import logos
from producers.backfill.checks import CheckedRow
from producers.backfill.intake import BackfillOptions, Intake
from producers.backfill.logos import AT_ONCE, LogoCheck, LogoFetcher, LogoFinding
from tests.factories import a_request
from tests.integration.logo_server import LogoServer, a_logo_server, trusting


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LogoServer]:
    async with a_logo_server(tmp_path) as server:
        yield server


@pytest.fixture
async def fetcher(server: LogoServer) -> AsyncIterator[LogoFetcher]:
    async with LogoFetcher(is_private_allowed=True, tls=trusting()) as fetcher:
        yield fetcher


@pytest.mark.parametrize(
    ("path", "finding", "detail"),
    [
        ("fine.png", LogoFinding.FINE, "200×60"),
        ("fine.jpg", LogoFinding.FINE, "200×60"),
        ("to//fine.png", LogoFinding.FINE, "200×60"),
        ("big.png", LogoFinding.WRONG_SIZE, "400×120"),
        ("page.png", LogoFinding.NOT_AN_IMAGE, ""),
        ("empty.png", LogoFinding.NOT_AN_IMAGE, ""),
        ("heavy.png", LogoFinding.TOO_LARGE, ""),
        ("missing.png", LogoFinding.NOT_GIVEN, "HTTP 404"),
        ("to/http://localhost/fine.png", LogoFinding.NOT_HTTPS, ""),
        ("to/file:///etc/passwd", LogoFinding.NOT_HTTPS, ""),
        ("to/https://[nonsense/", LogoFinding.UNREACHABLE, ""),
        ("loop", LogoFinding.TOO_MANY_REDIRECTS, ""),
    ],
)
async def test_a_logo_is_judged_by_what_lies_there(
    server: LogoServer, fetcher: LogoFetcher, path: str, finding: LogoFinding, detail: str
) -> None:
    """Its bytes decide, not its name or its type."""
    judged = await fetcher.judge(server.url(path))

    assert judged.finding is finding
    assert detail in judged.detail


async def test_our_own_network_is_never_called(server: LogoServer) -> None:
    """By name, by address, by the short forms of an address: the server hears nothing."""
    async with LogoFetcher(tls=trusting()) as fetcher:
        found = {
            host: (await fetcher.judge(server.url("fine.png", host=host))).finding
            for host in (
                "localhost",
                "127.0.0.1",
                "127.1",
                "2130706433",
                "0x7f000001",
                "[::1]",
                "[::ffff:7f00:1]",
            )
        }

    assert set(found.values()) <= {LogoFinding.PRIVATE_ADDRESS, LogoFinding.UNREACHABLE}
    assert found["localhost"] is found["127.0.0.1"] is found["[::1]"] is LogoFinding.PRIVATE_ADDRESS
    assert not server.asked


async def test_a_redirect_into_our_own_network_is_not_followed(
    server: LogoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public server that points at the cloud's credentials, or at a name that resolves to them."""
    monkeypatch.setattr(logos, "is_public", lambda address: address == "127.0.0.1")
    async with LogoFetcher(tls=trusting()) as fetcher:
        inwards = await fetcher.judge(server.url("to/https://169.254.169.254/latest/"))
        onwards = await fetcher.judge(server.url("to/" + server.url("fine.png", host="127.0.0.1")))

    assert inwards.finding is LogoFinding.PRIVATE_ADDRESS
    assert onwards.finding is LogoFinding.FINE


@pytest.mark.parametrize("path", ["slow.png", "trickle.png"])
async def test_a_slow_server_costs_its_deadline_and_no_more(server: LogoServer, path: str) -> None:
    """Silence, or a byte now and then: one deadline for all of it."""
    async with LogoFetcher(is_private_allowed=True, tls=trusting(), deadline_s=0.2) as fetcher:
        judged = await fetcher.judge(server.url(path))

    assert judged.finding is LogoFinding.TOO_SLOW


async def test_who_is_not_trusted_is_unreachable(server: LogoServer) -> None:
    """The partner's browsers would not show it either."""
    async with LogoFetcher(is_private_allowed=True) as fetcher:
        judged = await fetcher.judge(server.url("fine.png"))

    assert judged.finding is LogoFinding.UNREACHABLE


def a_row(line: int, logo: str | None) -> CheckedRow:
    return CheckedRow(line, a_request(onboarding_logo=logo))


async def test_each_logo_is_fetched_once_and_told_by_row(
    server: LogoServer, fetcher: LogoFetcher, tmp_path: Path
) -> None:
    """Two looks, a hundred rows, three logos; the list has the rows to be seen to and nothing else."""
    check = LogoCheck(fetcher, run="dry-run")
    stream = io.BytesIO(b"whatsapp,business_name,display_name\n")
    check.begin(Intake(stream, BackfillOptions(report_folder=tmp_path)))
    named = [server.url("fine.png"), server.url("big.png"), None]

    await check.examine([a_row(line, named[line % 3]) for line in range(2, 52)])
    await check.examine([a_row(line, named[line % 3]) for line in range(52, 102)])
    check.close()

    document = check.as_document()
    assert server.asked == {"fine.png": 1, "big.png": 1}
    assert (document["distinct"], document["fine"], document["wrong_size"]) == (2, 1, 1)
    assert document["rows_in_trouble"] == sum(line % 3 == 1 for line in range(2, 102))
    assert check.listing.path is not None
    lines = check.listing.path.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "line,logo,finding,detail,remedy"
    assert lines[1] == f"4,{server.url('big.png')},wrong_size,400×120,Make it 200×60 pixels."
    assert len(lines) == 1 + document["rows_in_trouble"]
    assert check.listing.path.stat().st_mode & 0o777 == 0o600


async def test_no_more_than_eight_at_a_time(server: LogoServer, fetcher: LogoFetcher) -> None:
    """However many distinct ones a file names."""
    check = LogoCheck(fetcher, run="dry-run")

    await check.examine([a_row(line, server.url(f"fine.png?{line}")) for line in range(60)])

    assert server.asked["fine.png"] == 60
    assert 1 < server.most_at_once <= AT_ONCE
