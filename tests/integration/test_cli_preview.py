"""`preview`, `test-send` and `templates`: what customers will read, seen and tried by an operator alone."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from linkferry.commands.preview_picture import in_dark
from linkferry.commands.preview_send import send_to
from tests.integration.cli_in_process import Cli, cli_on, link_one
from tests.integration.dispatch_server import a_server
from worker.dispatch.preview import FIXTURES, SAMPLE_BRAND
from worker.domain.brand import Brand
from worker.ledger import Ledger
from worker.settings import load_settings

pytestmark = pytest.mark.redis

_LIST = """whatsapp,business_name,display_name,email,phone,name
0501234567,Dana Flowers,Dana Flowers,dana@example.com,0501234567,Dana
12,,,,,
"""


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def test_every_variant_is_named_and_shown_by_its_name(cli: Cli) -> None:
    """In both languages."""
    names = [item["name"] for item in cli.json("preview", "--list")["items"]]

    assert names == list(FIXTURES)
    shown = cli.json("preview", "--fixture", "replaced", "--locale", "en")
    assert "Replaces the link of 3 March" in shown["email"]["text"]
    assert shown["sms"]["segments"] == 1
    assert "תזכורת" in cli.json("preview", "--fixture", "reminder", "--locale", "he")["email"]["subject"]


def test_a_row_of_a_file_is_shown_as_its_customer_will_read_it(cli: Cli, tmp_path: Path) -> None:
    """By the number that reports give it; the first one without."""
    path = tmp_path / "customers.csv"
    path.write_text(_LIST)

    for words in ((), ("--row", "2")):
        shown = cli.json("preview", str(path), *words, "--locale", "en")
        assert "Hello Dana," in shown["email"]["text"]
        assert shown["about"].startswith("row 2 of customers.csv")


def test_a_row_that_makes_no_message_says_why(cli: Cli, tmp_path: Path) -> None:
    """The field and its remedy; and a row that is not there says which is the last."""
    path = tmp_path / "customers.csv"
    path.write_text(_LIST)

    bad, missing = (cli("preview", str(path), "--row", number) for number in ("3", "9"))

    assert bad.exit_code == 1
    assert "business_name" in bad.stderr
    assert missing.exit_code == 2
    assert "the last one is 3" in missing.stderr


def test_rows_are_named_as_they_are(cli: Cli, tmp_path: Path) -> None:
    """The header and an empty row are no row; a file of a header alone has none."""
    path = tmp_path / "customers.csv"
    header, row, _ = _LIST.splitlines()
    path.write_text(f"{header}\n\n{row}\n")

    said = {number: cli("preview", str(path), "--row", number).stderr for number in ("1", "2", "9")}
    path.write_text(f"{header}\n")
    empty = cli("preview", str(path))

    assert "no customer stands in that row; the first is row 3" in said["1"]
    assert "no customer stands in that row; the first is row 3" in said["2"]
    assert "the last one is 3" in said["9"]
    assert empty.exit_code == 2
    assert "no row below its header" in empty.stderr


def test_a_list_in_an_old_encoding_is_read_as_it_is_said_to_be(cli: Cli, tmp_path: Path) -> None:
    """What the reader proposes to add can be added."""
    path = tmp_path / "customers.csv"
    text = _LIST.replace(",", ";").replace("Dana\n", "דנה\n")
    path.write_bytes(text.encode("cp862"))

    words = ("--encoding", "cp862", "--delimiter", "semicolon", "--locale", "he")
    shown = cli.json("preview", str(path), *words)

    assert "שלום דנה," in shown["email"]["text"]


def test_made_up_links_are_said_to_be(cli: Cli) -> None:
    """Of a job whose link is gone at the partner the old one is not shown, and nothing passes for it."""
    job = cli.on_ledger(link_one)

    async def vanish(ledger: Ledger) -> None:
        soon_ms = round(time.time() * 1000) + 1_000  # two complete lists that do not hold it
        for began_ms in (soon_ms, soon_ms + 1):
            await ledger.completing.vanish(job, began_ms, grace_s=0.0, apart_s=0.0)

    cli.on_ledger(vanish)

    shown = cli.json("preview", "--job", job, "--locale", "en")

    assert "made up" in shown["about"]
    assert "https://onboarding.example/1\n" not in shown["email"]["text"]


def test_a_page_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    """The picture, where the page beside it was written."""
    page, picture = tmp_path / "mail.html", tmp_path / "nowhere" / "mail.png"

    result = cli("preview", "--fixture", "whatsapp", "--html", str(page), "--png", str(picture))

    if "none is found" in result.stderr:
        pytest.skip("Chromium is not installed")
    assert result.exit_code == 1
    assert str(picture) in result.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("you..me@example.com", "is no e-mail address"),
        ("you@example", "is no e-mail address"),
        ("Dana <you@example.com>", "the bare address"),
        ("you@gmial.com", "Did you mean @gmail.com?"),
        ("12", "no address and no number"),
    ],
)
def test_a_test_to_a_mistyped_address_is_not_sent(cli: Cli, address: str, said: str) -> None:
    """A job's real links would go to a stranger; what is wrong is said, and nothing breaks."""
    result = cli("test-send", address)

    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())


def test_a_jobs_message_is_shown_with_its_own_link_and_that_leaves_a_trail(cli: Cli) -> None:
    """Whoever looks at it sees a customer's name and link."""
    job = cli.on_ledger(link_one)

    shown = cli.json("preview", "--job", job, "--locale", "en")

    assert "https://onboarding.example/1" in shown["email"]["text"]
    assert shown["about"] == f"job {job}"
    seen = cli.json("audit")["items"][0]
    assert (seen["act"], seen["subject"]) == ("reveal", job)


def test_a_job_can_be_shown_as_another_variant(cli: Cli) -> None:
    """How its reminder would read."""
    job = cli.on_ledger(link_one)

    shown = cli.json("preview", "--job", job, "--fixture", "last-reminder", "--locale", "en")

    assert "last reminder" in shown["email"]["text"]
    assert "https://onboarding.example/1" in shown["email"]["text"]


def test_a_message_is_shown_in_the_name_of_a_brand(cli: Cli) -> None:
    """The one that is named, else the default."""

    async def keep(ledger: Ledger) -> None:
        await ledger.brands.keep(SAMPLE_BRAND, seen=None, by="test")
        other = Brand(name="north", name_en="North Agency")
        await ledger.brands.keep(other, seen=None, by="test")
        await ledger.brands.make_default("north", by="test")

    cli.on_ledger(keep)

    named = cli.json("preview", "--brand", "acme", "--locale", "en")
    assert named["email"]["from"].startswith("Acme Digital <")
    assert named["email"]["reply_to"] == "help@acme.example"
    assert named["sms"]["from"] == "ACME"
    assert cli.json("preview", "--locale", "en")["email"]["from"].startswith("North Agency <")
    unknown = cli("preview", "--brand", "nobody")
    assert unknown.exit_code == 2
    assert "Known: acme, north" in unknown.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fixture", "nope"), "--fixture nope: say one of several, whatsapp"),
        (("--locale", "fr"), "say `he` or `en`"),
        (("--row", "3"), "go with FILE"),
        (("--dark",), "goes with --html"),
        (("--sms", "--html", "x.html"), "leave out --sms"),
        (("nowhere.csv",), "nowhere.csv"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_does(cli: Cli, words: tuple[str, ...], said: str) -> None:
    """Exit code 2."""
    result = cli("preview", *words)

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_broken_template_is_told_of_instead_of_shown(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its line; `templates check` says the same."""
    own = tmp_path / "own"
    assert cli("templates", "export", str(own)).exit_code == 0
    assert cli("templates", "export", str(own)).exit_code == 1
    assert cli.json("templates", "check", str(own))["findings"][0]["level"] == "ok"
    (own / "invitation.txt.j2").write_text("{{ nobody }}")
    monkeypatch.setenv("LINKFERRY_TEMPLATES_DIR", str(own))

    shown, checked = cli("preview"), cli("templates", "check")

    assert shown.exit_code == 2
    assert "invitation.txt.j2, line 1: 'nobody' is undefined" in shown.stderr
    assert checked.exit_code == 1
    assert "invitation.txt.j2, line 1" in checked.stdout


def test_a_page_in_dark_mode_is_dark_everywhere(cli: Cli, tmp_path: Path) -> None:
    """Whatever the reader's own screen is set to."""
    cli("preview", "--html", str(tmp_path / "mail.html"), "--dark")

    page = (tmp_path / "mail.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme" not in page
    assert in_dark(page) == page


def test_a_picture_is_as_high_as_the_mail(cli: Cli, tmp_path: Path) -> None:
    """By the Chromium of this machine."""
    result = cli("preview", "--fixture", "whatsapp", "--png", str(tmp_path / "mail.png"))

    if "none is found" in result.stderr:
        pytest.skip("Chromium is not installed")
    assert result.exit_code == 0, result.output
    width, height = struct.unpack(">II", (tmp_path / "mail.png").read_bytes()[16:24])
    assert width == 680
    assert 900 < height < 3_000


@pytest.mark.parametrize(
    ("is_opened", "said"), [(True, "Opened in the browser"), (False, "No browser is found")]
)
def test_what_no_browser_shows_is_not_said_to_be_open(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, *, is_opened: bool, said: str
) -> None:
    """On a server there is none: the file is named all the same."""
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address) or is_opened)

    result = cli("preview", "--fixture", "whatsapp", "--open")

    path = Path(unquote(urlsplit(shown[0]).path))
    assert said in result.stdout
    assert path.name in result.stdout.replace("\n", "")
    assert "<!doctype html>" in path.read_text(encoding="utf-8")
    path.unlink()


def test_without_chromium_a_picture_says_what_to_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install it, name it, or take the page."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)

    result = cli("preview", "--png", "mail.png")

    assert result.exit_code == 1
    assert "--html FILE" in result.stderr


def test_a_test_without_a_channel_says_what_to_set(cli: Cli) -> None:
    """And exit code 1."""
    result = cli("test-send", "you@example.com")

    assert result.exit_code == 1
    assert "No email is set up" in result.stderr


async def test_a_test_goes_to_the_address_given_and_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Marked as a test in its subject; the customer's own contact gets nothing."""
    monkeypatch.chdir(tmp_path)
    async with a_server() as server:
        monkeypatch.setenv("LINKFERRY_SMTP_URL", f"smtp://127.0.0.1:{server.port}")
        monkeypatch.setenv("LINKFERRY_EMAIL_FROM", "links@acme.example")
        settings = await asyncio.to_thread(load_settings)
        delivery = FIXTURES["reminder"].delivery("en")

        finding = await send_to(settings, "me@acme.example", delivery, SAMPLE_BRAND)

        assert finding.level == "ok", finding.text
        assert [each.rcpt_tos for each in server.received] == [["me@acme.example"]]
        assert b"[Test] Reminder" in server.contents[0]
        assert b"dana@example.com" not in server.contents[0]


def test_the_allowlist_holds_for_tests_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is sent to who is not on it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINKFERRY_RECIPIENT_ALLOWLIST", "@acme.example")
    settings = load_settings()
    delivery = FIXTURES["whatsapp"].delivery("en")

    finding = asyncio.run(send_to(settings, "eve@other.example", delivery, SAMPLE_BRAND))

    assert finding.level == "bad"
    assert "RECIPIENT_ALLOWLIST" in finding.text


LIST = (
    "Our customers,,,\nwhatsapp,display_name,business_name,email\n"
    "0501234567,Anna,Anna,anna@example.com\n0501234568,Ben,Ben,ben@example.com\n"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--row", "1"), "no customer stands in that row; the first is row 3"),
        (("--row", "2"), "no customer stands in that row; the first is row 3"),
        (("--row", "99"), "the last one is 4"),
        (("--fixture", "instagram"), "--fixture instagram is made-up data"),
    ],
)
def test_what_a_list_does_not_hold_is_said(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """A row above the first, one below the last, and data that are not the customer's."""
    (tmp_path / "my.csv").write_text(LIST, encoding="utf-8")
    result = cli("preview", "my.csv", *words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_a_row_as_a_variant_says_which(cli: Cli, tmp_path: Path) -> None:
    """The customer's own message, as a reminder."""
    (tmp_path / "my.csv").write_text(LIST, encoding="utf-8")
    shown = cli.json("preview", "my.csv", "--row", "3", "--fixture", "reminder")
    assert shown["about"] == "row 3 of my.csv, as the first reminder; its links are made up"


def test_a_file_that_is_missing_is_named_once(cli: Cli) -> None:
    """By the error itself."""
    assert cli("preview", "nowhere.csv").stderr.count("nowhere.csv") == 1
