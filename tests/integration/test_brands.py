"""Brands from end to end: the command line, files, the API, CRMs, the console."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import a_number
from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.console_desk import ConsoleDesk, a_console
from tests.integration.crm_web import GENERIC, SOURCE, Desk, a_desk, customer
from tests.integration.mending_desk import a_failed, the_act
from worker.domain.brand import Brand
from worker.domain.event import EventState
from worker.domain.job import JobRecord
from worker.domain.roles import Role
from worker.ledger import Ledger

MAP = json.dumps({"brand": ["from_", {"const": "acme"}], "agreed": {"const": "yes"}})
HEADER = "whatsapp,business_name,display_name,email"
ENQUEUE = (
    *("enqueue", "whatsapp", "0501234567", "--business-name", "Dana", "--display-name", "Dana"),
    *("--email", "dana@example.com"),
)


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def add(cli: Cli, name: str = "acme", *words: str) -> dict[str, Any]:
    return dict(cli.json("brand", "add", name, "--name-en", name.title(), *words))


def job_of(cli: Cli, job_id: str) -> JobRecord:
    async def read(ledger: Ledger) -> JobRecord | None:
        return await ledger.queries.job(job_id)

    job: JobRecord | None = cli.on_ledger(read)
    assert job is not None
    return job


# --- the commands --------------------------------------------------------------------------------------------


def test_a_brand_is_added_shown_changed_and_listed(cli: Cli) -> None:
    """What is not named stays, an empty text clears; each change is in the trail."""
    add(cli, "acme", "--phone", "03-6201234", "--contact", "Noa", "--why", "new agency")

    edited = cli.json("brand", "edit", "ACME", "--contact", "", "--colour", "0B6E4F")

    assert (edited["phone"], edited["contact_person"], edited["colour"]) == ("97236201234", None, "#0b6e4f")
    shown = cli("brand", "show", "acme").stdout
    assert "+97236201234" in shown
    assert "#0b6e4f" in shown
    [item] = cli.json("brand", "list")["items"]
    assert (item["name"], item["is_default"]) == ("acme", False)
    assert the_act(cli, "brand_add")["why"] == "new agency"
    assert the_act(cli, "brand_edit")["subject"] == "acme"


def test_the_list_keeps_names_and_default_in_a_narrow_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person looks for first stands at 80 columns."""
    add(cli, "acme", "--default", "--name-he", "אקמי", "--phone", "03-6201234", "--sms-sender", "ACME")
    monkeypatch.setenv("COLUMNS", "80")

    lines = cli("brand", "list").stdout.splitlines()

    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split()[:2] == ["name", "default"]
    assert [word in lines[1] for word in ("acme", "yes", "אקמי", "Acme")] == [True] * 4


def test_what_is_wrong_is_told_by_the_option(cli: Cli) -> None:
    """All of it at once, and nothing is kept."""
    result = cli("brand", "add", "acme", "--colour", "red", "--verify", "acme.example")

    assert result.exit_code == 1
    assert "--colour: colour “red” is not of the form #rrggbb" in result.stderr
    assert "--verify: verify_url must be a web address that begins with https://" in result.stderr
    assert "--name-he: a brand needs the name" in result.stderr
    assert cli.json("brand", "list")["items"] == []
    problems = cli.json("brand", "add", "acme", expect=1)["problems"]
    assert [(each["field"], each["code"]) for each in problems] == [("name_he", "needs_a_name")]


def test_a_name_that_stands_or_is_missing_is_told_of(cli: Cli) -> None:
    """With what to type instead."""
    add(cli)

    assert "brand edit acme" in cli("brand", "add", "acme", "--name-en", "Other").stderr
    unknown = cli("brand", "show", "acne")
    assert unknown.exit_code == 1
    assert "Did you mean acme?" in unknown.stderr
    unchanged = cli("brand", "edit", "acme", "--name-en", "Acme").stderr.casefold()
    assert (unchanged.count("nothing is changed"), unchanged.count("nothing was changed")) == (1, 0)
    unnamed = cli("brand", "edit", "acme")
    assert (unnamed.exit_code, unnamed.stderr.count("Nothing was changed")) == (2, 1)


def test_the_default_is_chosen_and_given_up(cli: Cli) -> None:
    """It is not removed while it is that."""
    add(cli)
    assert cli.json("brand", "default", "acme") == {"default": "acme"}
    assert cli.json("brand", "list")["default"] == "acme"

    assert "First choose another" in cli("brand", "remove", "acme", "--yes").stderr
    assert "First choose another" in cli("brand", "remove", "acme").stderr, "said at once"
    assert cli.json("brand", "default", "--none") == {"default": None}
    assert cli("brand", "remove", "acme").exit_code == 2, "nobody said yes"
    assert cli.json("brand", "remove", "acme", "--yes") == {"name": "acme", "removed": True}
    assert cli("brand", "default").exit_code == 2


def test_a_single_request_names_its_brand(cli: Cli) -> None:
    """One that is not there is refused with the nearest, and nothing is recorded."""
    add(cli)

    refused = cli(*ENQUEUE, "--brand", "acm")
    assert refused.exit_code == 1
    assert "Did you mean acme?" in refused.stderr

    job = job_of(cli, cli.json(*ENQUEUE, "--brand", "acme", "--agreed")["job_id"])
    assert (job.request.brand, job.request.is_agreed) == ("acme", True)
    shown = cli.json("job", "show", job.id)
    assert (shown["brand"], shown["is_agreed"]) == ("acme", True)


def test_a_failed_request_is_given_another_brand(cli: Cli) -> None:
    """By the same rules; and an export has both columns."""
    add(cli)
    job_id = a_failed(cli)

    wrong = cli("failed", "edit", job_id, "--set", "brand=acm", "--yes")
    assert "Did you mean acme?" in wrong.stderr
    cli.json("failed", "edit", job_id, "--set", "brand=acme", "--set", "agreed=yes", "--yes")

    job = job_of(cli, job_id)
    assert (job.request.brand, job.request.is_agreed) == ("acme", True)


def test_an_export_can_be_read_again(cli: Cli, tmp_path: Path) -> None:
    """With the brand that each request has."""
    add(cli)
    a_failed(cli, brand="acme", agreed="1")

    cli("failed", "export", str(tmp_path / "out.csv"))

    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["brand"], row["agreed"]) == ("acme", "1")


# --- files ---------------------------------------------------------------------------------------------------


def a_file(folder: Path, *rows: str, header: str = HEADER) -> str:
    path = folder / "in.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_a_batch_has_a_brand_for_rows_that_do_not_say(cli: Cli, tmp_path: Path) -> None:
    """A row's own wins, one nobody knows is that row's error, and the way to go on keeps the option."""
    add(cli, "acme")
    add(cli, "north")
    file = a_file(
        tmp_path,
        f"{a_number()},Dana,Dana,d@example.com,,כן",
        f"{a_number()},Noa,Noa,n@example.com,North,",
        f"{a_number()},Gil,Gil,g@example.com,nort,",
        header=f"{HEADER},מותג,סוכם",
    )

    dry = cli.json("backfill", file, "--dry-run", "--brand", "acme", expect=3)
    [bad] = dry["problems"]
    assert (bad["line"], bad["problems"][0]["field"]) == (4, "brand")
    assert "Did you mean north?" in bad["problems"][0]["remedy"]

    done = cli.json("backfill", file, "--brand", "acme", expect=3)

    [failed] = tmp_path.glob("in.*.failed.csv")
    assert "Did you mean north?" in failed.read_text(encoding="utf-8-sig")
    requests = sorted_requests(cli)
    assert [(each.brand, each.is_agreed) for each in requests] == [("acme", True), ("north", False)]
    resumed = cli("backfill", file, "--resume", done["run"])
    assert resumed.exit_code == 2
    assert f"--brand acme --resume {done['run']}" in resumed.stderr
    again = cli.json("backfill", file, "--brand", "acme", "--resume", done["run"], expect=3)
    assert again["duplicates"] == 2


def sorted_requests(cli: Cli) -> list[Any]:
    items = cli.json("job", "list")["items"]
    jobs = [job_of(cli, each["job_id"]) for each in items]
    return [job.request for job in sorted(jobs, key=lambda job: job.line or 0)]


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_batchs_brand_has_to_be_there(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    """One line says so, instead of one for every row."""
    add(cli, "acme")

    result = cli(
        "backfill", a_file(tmp_path, f"{a_number()},D,Dana,d@example.com"), "--brand", "acne", *words
    )

    assert result.exit_code == 2
    assert "--brand: brand “acne” is not known. Did you mean acme?" in result.stderr
    assert cli.json("job", "list")["items"] == []


def test_an_old_files_brand_column_is_told_where_it_belongs(cli: Cli, tmp_path: Path) -> None:
    """Before profiles it was read as the name that WhatsApp shows."""
    file = a_file(
        tmp_path,
        f"{a_number()},Dana Ltd,Dana Flowers,d@example.com",
        header="whatsapp,business_name,brand,email",
    )

    result = cli("backfill", file, "--dry-run")

    assert result.exit_code == 1
    assert "display_name" in result.stderr
    assert cli.json("backfill", file, "--map", "display_name=brand")["accepted"] == 1


def test_a_column_of_other_names_is_told_where_it_belongs(cli: Cli, tmp_path: Path) -> None:
    """Row by row: such a cell is no brand."""
    file = a_file(tmp_path, f"{a_number()},Dana,Dana,d@example.com,Dana Flowers", header=f"{HEADER},Brand")

    [bad] = cli.json("backfill", file, "--dry-run", expect=1)["problems"]

    assert "the name that WhatsApp shows belongs in display_name" in bad["problems"][0]["remedy"]


# --- over HTTP -----------------------------------------------------------------------------------------------


@pytest.fixture
async def web(real_redis: Any, valkey_url: str) -> AsyncIterator[Desk]:
    async with a_desk(valkey_url, {**GENERIC, "CRM_GENERIC_MAP": MAP, "API_KEYS": "k"}) as desk:
        await desk.ledger.brands.keep(Brand(name="acme", name_en="Acme"), seen=None, by="test")
        await desk.ledger.brands.refresh(desk.session.brands)
        yield desk


async def asked(desk: Desk, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {
        "whatsapp": a_number(),
        "business_name": "Dana",
        "display_name": "Dana",
        "contact": {"email": "dana@example.com"},
    }
    answer = await desk.client.post(
        "/v1/onboardings", json=body | fields, headers={"Authorization": "Bearer k"}
    )
    return answer.status, await answer.json()


async def test_the_api_takes_a_brand_and_refuses_one_nobody_knows(web: Desk) -> None:
    """422, with the nearest that is known."""
    status, answer = await asked(web, brand="acme", agreed=True)
    assert status == 202, answer
    job = await web.ledger.queries.job(answer["job_id"])
    assert job is not None
    assert (job.request.brand, job.request.is_agreed) == ("acme", True)

    status, answer = await asked(web, brand="acne")
    assert status == 422
    [error] = answer["errors"]
    assert error["field"] == "brand"
    assert "Did you mean acme?" in error["remedy"]


async def test_a_brand_added_now_can_be_named_soon(web: Desk) -> None:
    """The web process takes it up by itself."""
    await web.ledger.brands.keep(Brand(name="north", name_en="North"), seen=None, by="test")

    async with asyncio.timeout(15):
        while (await asked(web, brand="north"))[0] != 202:
            await asyncio.sleep(0.05)


async def test_a_crms_map_says_whose_its_messages_are(web: Desk) -> None:
    """By a constant; one that is not there waits for a person, with the remedy."""
    await web.post(customer(a_number(), event_id="e1"))
    await web.post(customer(a_number(), event_id="e2", from_="acne"))
    door = web.session.door()
    await web.worker(door=door).take(SOURCE)

    [done] = await web.events(EventState.DONE)
    job = await web.ledger.queries.job(done.job_ids[0])
    assert job is not None
    assert (job.request.brand, job.request.is_agreed) == ("acme", True)
    [failed] = await web.events(EventState.FAILED)
    [problem] = failed.problems
    assert problem.field == "brand"
    assert "Did you mean acme?" in problem.remedy


# --- the console ---------------------------------------------------------------------------------------------


@pytest.fixture
async def desk(real_redis: Any) -> AsyncIterator[ConsoleDesk]:
    async with a_console(real_redis) as desk:
        yield desk


async def test_an_admin_adds_changes_chooses_and_removes(desk: ConsoleDesk) -> None:
    """Each with its entry in the trail, and said on the page that follows."""
    browser = await desk.signed_in(Role.ADMIN)
    csrf = await browser.csrf()

    added = await browser.post("/brands", {"name": "acme", "name_he": "אקמי", "why": "new"}, csrf=csrf)
    assert (added.status, added.place) == (303, "/brands/acme?told=brand")
    page = await browser.get(added.place)
    assert "Kept. Messages sent from now on follow it." in page.text
    assert 'value="אקמי"' in page.text

    edited = await browser.post("/brands/acme", {"name_he": "אקמי", "phone": "03-6201234"}, csrf=csrf)
    assert edited.status == 303
    chosen = await browser.post("/brands/acme/default", {}, csrf=csrf)
    assert chosen.status == 303
    listed = (await browser.get("/brands")).text
    assert "+97236201234" in listed
    assert desk.deps.brands.default == "acme"
    refused = await browser.post("/brands/acme/remove", {}, csrf=csrf)
    assert refused.status == 422
    assert "First choose another" in refused.text
    await browser.post("/brands/no_default", {}, csrf=csrf)
    assert (await browser.post("/brands/acme/remove", {}, csrf=csrf)).place == "/brands?told=brand_removed"
    assert (await browser.get("/brands/acme")).status == 404
    [entry] = await desk.trail("brand_add")
    assert (entry.why, entry.by) == ("new", "user:adina")


async def test_what_is_wrong_is_marked_at_its_field(desk: ConsoleDesk) -> None:
    """What was typed stays in the form; in Hebrew it is said in Hebrew."""
    browser = await desk.signed_in(Role.ADMIN)
    fields = {"name": "acme", "name_en": "Acme & Sons", "colour": "red"}

    page = await browser.post("/brands", fields, csrf=await browser.csrf())

    assert page.status == 422
    assert "is not of the form #rrggbb" in page.text
    assert 'value="Acme &amp; Sons"' in page.text
    browser.cookies["linkferry_lang"] = "he"
    page = await browser.post("/brands", fields, csrf=await browser.csrf())
    assert "הצבע נכתב כשש ספרות הקסדצימליות" in page.text
    assert await desk.ledger.brands.all() == []


async def test_two_who_change_one_brand_are_told(desk: ConsoleDesk) -> None:
    """The form names what it saw."""
    await desk.ledger.brands.keep(Brand(name="acme", name_en="Acme"), seen=None, by="test")
    [record] = await desk.ledger.brands.all()
    await desk.ledger.brands.keep(Brand(name="acme", name_en="Theirs"), seen=record.version, by="test")
    browser = await desk.signed_in(Role.ADMIN)

    page = await browser.post(
        "/brands/acme", {"name_en": "Mine", "seen": str(record.version)}, csrf=await browser.csrf()
    )

    assert page.status == 422
    assert "Somebody else has changed the brand since you looked" in page.text
    [record] = await desk.ledger.brands.all()
    assert record.brand.name_en == "Theirs"


async def test_others_look_and_change_nothing(desk: ConsoleDesk) -> None:
    """No form is shown to them, and none is taken from them."""
    await desk.ledger.brands.keep(
        Brand(name="acme", name_en="Acme", phone="97236201234"), seen=None, by="test"
    )
    for role in (Role.VIEWER, Role.OPERATOR):
        browser = await desk.signed_in(role)
        page = await browser.get("/brands/acme")
        assert "+97236201234" in page.text
        assert 'action="/brands' not in page.text + (await browser.get("/brands")).text
        csrf = await browser.csrf()
        for path in ("/brands", "/brands/acme", "/brands/acme/default", "/brands/acme/remove"):
            assert (await browser.post(path, {"name": "b", "name_en": "B"}, csrf=csrf)).status == 403
