"""Holds and pauses, batches, dead letters, the trail, incidents and the mailbox in the console, over HTTP."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from linkferry.sandbox import address_of
from tests.contract.ledger_desk import own_fail
from tests.integration.console_mending import (
    UNKNOWN,
    XSS,
    MendingDesk,
    a_mending_desk,
    post,
    preview_all,
    preview_ids,
    rows,
)
from tests.integration.sandbox_thread import a_sandbox
from worker.domain.alerts import AlertKind, Trouble
from worker.domain.outcome import Refused
from worker.domain.roles import Role
from worker.domain.states import Channel, JobState, Lane
from worker.ops.views import iso

DAY_S = 86_400


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis, dead_keep="90d") as desk:
        yield desk
        await desk.balance()


# --- holds and pauses --------------------------------------------------------------------------------------


async def test_a_hold_is_cleared_having_seen_why_it_stands(desk: MendingDesk) -> None:
    """The page shows the jobs whose answers made it, numbers masked; clearing is said and recorded."""
    jobs = await desk.held()
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await browser.get("/holds")
    assert "code 77" in page.text
    assert sum(job in page.text for job in jobs) == 5
    numbers = [job.number or "" for job in await desk.ledger.queries.jobs(jobs)]
    assert not any(number in page.text for number in numbers)
    assert "15 jobs wait behind it" in page.text
    answer = await post(browser, "/holds/clear", target="batch:b", why="the partner mended it")

    assert answer.place == "/holds?told=clear"
    assert await desk.ledger.batches.holds() == {}
    [entry] = await desk.console.trail("clear_hold")
    assert (entry.by, entry.why, entry.subject) == ("user:oren", "the partner mended it", "batch:b")
    assert "Nothing is held" in (await browser.get("/holds")).text
    again = await post(browser, "/holds/clear", target="batch:b", why="")
    assert again.place == "/holds?told=not_held"


@pytest.mark.parametrize("target", ["live", "bulk", "channel:email", "channel:sms"])
async def test_lanes_and_channels_are_paused_and_resumed(desk: MendingDesk, target: str) -> None:
    """Who did it and why is shown while it lasts."""
    browser = await desk.console.signed_in(Role.OPERATOR)
    await post(browser, "/holds/pause", target=target, why=f"upkeep {XSS}")
    assert await desk.ledger.batches.pauses() == {target}
    page = await browser.get("/holds")
    assert "user:oren" in page.text
    assert "upkeep &lt;script&gt;" in page.text
    assert "<script>alert" not in page.text
    overview = await browser.get("/")
    assert overview.status == 200
    assert "paused by an operator" in overview.text
    await post(browser, "/holds/resume", target=target)

    assert await desk.ledger.batches.pauses() == set()


async def test_a_target_that_is_none_is_refused(desk: MendingDesk) -> None:
    """Nothing of somebody's making is paused."""
    browser = await desk.console.signed_in(Role.OPERATOR)
    for path in ("/holds/pause", "/holds/resume", "/holds/clear"):
        assert (await post(browser, path, target="moon")).status == 400
    assert await desk.ledger.batches.pauses() == set()


async def test_a_paused_channel_is_shown_with_what_waits(desk: MendingDesk) -> None:
    """Messages wait behind it, and none is begun."""
    delivery = await desk.a_delivery()
    browser = await desk.console.signed_in(Role.OPERATOR)
    await post(browser, "/holds/pause", target="channel:email", why="")

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == []
    assert "1 message waits" in (await browser.get("/")).text
    await post(browser, "/holds/resume", target="channel:email")
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == [delivery]


# --- batches -----------------------------------------------------------------------------------------------


async def test_a_batch_is_paused_resumed_and_cancelled(desk: MendingDesk) -> None:
    """Each is said on its page and recorded; what had not ended is cancelled."""
    await desk.ledger.batches.open("b", name=f"october {XSS}", source="csv", by="cli:dana", total=3)
    jobs = await desk.accept_batch("b", 3)
    browser = await desk.console.signed_in(Role.OPERATOR)
    listed = await browser.get("/batches")
    assert "october &lt;script&gt;" in listed.text
    assert "<script>alert" not in listed.text
    page = await browser.get("/batches/b")
    assert "0 of 3 ended" in page.text
    assert (await post(browser, "/batches/b/pause", why="look")).place == "/batches/b?told=pause"
    assert "batch:b" in await desk.ledger.batches.pauses()
    assert "It is paused, or its lane is." in (await browser.get("/batches/b")).text
    await post(browser, "/batches/b/resume")
    assert await desk.ledger.batches.pauses() == set()
    await post(browser, "/batches/b/cancel", why="wrong list")

    assert [await desk.state(job) for job in jobs] == [JobState.CANCELLED] * 3
    over = (await browser.get("/batches/b")).text
    assert "3 of 3 ended" in over
    assert "left at the present rate" not in over
    [entry] = await desk.console.trail("batch_cancel")
    assert entry.why == "wrong list"
    assert (await browser.get("/batches/none")).status == 404
    assert (await post(browser, "/batches/none/cancel")).status == 404


async def test_a_batchs_report_is_downloaded_and_recorded(desk: MendingDesk) -> None:
    """A row for each job with its end; no cell runs as a formula."""
    await desk.accept_batch("b", 5)
    await desk.drain(Lane.BULK, Refused(fail=own_fail()))
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, "/batches/b/report")

    assert answer.headers["Content-Disposition"] == 'attachment; filename="batch-b.report.csv"'
    table = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row["reason"] for row in table] == ["name_refused"] * 5
    [entry] = await desk.console.trail("export")
    assert (entry.by, entry.subject) == ("user:oren", "batch:b")
    assert entry.detail == {"count": "5", "to": "batch-b.report.csv"}


# --- dead letters ------------------------------------------------------------------------------------------


async def test_dead_letters_say_who_made_them_and_until_when(desk: MendingDesk) -> None:
    """A person with his why, or the reason's policy; and they are taken back from there."""
    [job] = await desk.failed()
    await desk.ledger.discard(job, by="user:oren", why=f"closed {XSS}")
    policy = await desk.job_in(JobState.DEAD)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await browser.get("/dead")
    assert set(rows(page)) == {job, policy}
    assert "closed &lt;script&gt;" in page.text
    assert "<script>alert" not in page.text
    assert "its reason's policy" in page.text
    assert page.text.count(f'datetime="{iso(desk.now_ms + 90 * DAY_S * 1000)}"') == 2

    preview = (await preview_ids(browser, "restore", [job])).place
    await post(browser, f"{preview}/start", why="")
    await desk.driven(preview.removeprefix("/acts/"))
    assert await desk.state(job) is JobState.FAILED


async def test_those_that_expire_within_a_day_are_warned_of(desk: MendingDesk) -> None:
    """They have a list of their own, from which they are requeued as a whole."""
    old = await desk.job_in(JobState.DEAD)
    desk.advance(89.5 * DAY_S)
    new = await desk.job_in(JobState.DEAD)
    browser = await desk.console.signed_in(Role.OPERATOR)
    assert "1 dead letter is deleted within a day" in (await browser.get("/dead")).text
    expiring = await browser.get("/dead?expiring=1")
    assert rows(expiring) == [old]
    wanted = expiring.text.partition('name="filter" value="')[2].partition('"')[0].replace("&#34;", '"')
    preview = await preview_all(browser, "requeue", **json.loads(wanted))
    await post(browser, f"{preview}/start", why="")
    await desk.driven(preview.removeprefix("/acts/"))

    assert (await desk.state(old), await desk.state(new)) == (JobState.LINKED, JobState.DEAD)


async def test_an_export_is_recorded_and_whole(desk: MendingDesk) -> None:
    """A spreadsheet with the numbers as they are, guarded against formulas; the trail says who, and how many."""
    [job] = await desk.failed(reference="=1+1")
    await desk.ledger.discard(job, by="user:oren", why="")
    record = await desk.ledger.queries.job(job)
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, "/export", filter=json.dumps({"state": "dead"}))

    assert answer.headers["Content-Type"].startswith("text/csv")
    [row] = csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert record is not None
    assert row["_job_id"] == job
    assert (record.number or "")[-7:] in row["whatsapp"]
    assert not row["reference"].startswith("=")
    [entry] = await desk.console.trail("export")
    assert (entry.by, entry.detail["count"]) == ("user:oren", "1")
    refused = await post(browser, "/export", filter=json.dumps({"state": "linked"}))
    assert refused.place == "/jobs?told=bad_filter"


# --- the trail ---------------------------------------------------------------------------------------------


async def test_the_trail_is_filtered_and_escaped(desk: MendingDesk) -> None:
    """By who, what, to what and when; nothing of it is markup."""
    [one, two] = await desk.failed(2)
    await desk.ledger.discard(one, by="cli:dana", why=XSS)
    desk.advance(7200)
    await desk.ledger.requeue(two, by="user:oren", why="later")
    browser = await desk.console.signed_in(Role.VIEWER)
    everything = await browser.get("/audit")
    assert "&lt;script&gt;" in everything.text
    assert "<script>alert" not in everything.text
    assert f'href="/jobs/{one}"' in everything.text

    for query, shown, hidden in (
        ("by=dana", one, two),
        ("act=requeue", two, one),
        (f"subject={one}", one, two),
        ("since=1h", two, one),
    ):
        page = await browser.get(f"/audit?{query}")
        assert f'href="/jobs/{shown}"' in page.text, query
        assert f'href="/jobs/{hidden}"' not in page.text, query
    wrong = await browser.get("/audit?since=yesterday")
    assert wrong.status == 400
    assert "length of time" in wrong.text
    assert (await browser.get("/audit?cursor=%00")).status in {200, 303}


async def test_an_entry_shows_before_and_after_masked_until_it_is_revealed(desk: MendingDesk) -> None:
    """An operator may look; that is an entry of its own. A viewer may not."""
    [job] = await desk.failed(business_name="Dana Flowers")
    oren = await desk.console.signed_in(Role.OPERATOR)
    vera = await desk.console.signed_in(Role.VIEWER)
    form = await oren.get(f"/jobs/{job}/edit")
    seen = form.text.partition('name="seen" value="')[2].partition('"')[0]
    await post(oren, f"/jobs/{job}/edit", seen=seen, email="noa@example.com", do="requeue")
    [entry] = await desk.console.trail("edit")
    masked = await vera.get(f"/audit/{entry.id}")
    assert masked.status == 200
    assert "n***@example.com" in masked.text
    assert "noa@example.com" not in masked.text
    assert "/reveal" not in masked.text
    assert (await post(vera, f"/audit/{entry.id}/reveal")).status == 403
    whole = await post(oren, f"/audit/{entry.id}/reveal")

    assert "dana@example.com" in whole.text
    assert "noa@example.com" in whole.text
    [reveal] = await desk.console.trail("reveal")
    assert reveal.by == "user:oren"
    assert (await vera.get("/audit/999999999")).status == 404


# --- incidents ---------------------------------------------------------------------------------------------


async def test_incidents_are_listed_open_ones_first(desk: MendingDesk) -> None:
    """With what it means, what to do and where; one that is over stands below."""
    trouble = Trouble(
        kind=AlertKind.REASON_SURGES,
        scope="odd<b>",
        count=40,
        params={"reason": "odd<b>", "usual": 1, "total": 40},
    )
    await desk.ledger.incidents.stands(trouble, sinks=("webhook",))
    browser = await desk.console.signed_in(Role.VIEWER)
    page = await browser.get("/alerts")

    assert "40 jobs failed with odd&lt;b&gt;" in page.text
    assert 'href="/failed/odd%3Cb%3E"' in page.text
    assert "odd<b>" not in page.text
    hebrew = await browser.get("/alerts", Accept_Language="he")
    assert "40 jobs failed" not in hebrew.text
    part = await browser.get("/alerts", HX_Request="true", X_Poll="1")
    assert "<html" not in part.text
    for cursor in ("x", "-1", "99999999999999999999"):
        assert (await browser.get(f"/alerts?cursor={cursor}")).place == "/alerts?told=bad_cursor"


# --- the mailbox -------------------------------------------------------------------------------------------

MAIL = (
    b"From: a@b.example\r\nTo: dana@example.com\r\nSubject: Your link <b>now</b>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: text/html; charset="utf-8"\r\n\r\n<h1>Dana</h1><script>document.title="owned"</script>'
)


async def test_the_mailbox_shows_what_customers_would_have_got(
    real_redis: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """A list, each message, and a mail's HTML in a frame that its own headers lock up."""
    with a_sandbox() as running:
        running.outbox.add_mail("a@b.example", ["dana@example.com"], MAIL)
        running.outbox.add_sms("Linkferry", "972501111111", f"A text {XSS}", headers={"provider": "x"})
        async with a_mending_desk(real_redis, sandbox=True, data_dir=tmp_path) as desk:
            address_of(running).write(desk.console.deps.settings.sandbox_address_file)
            browser = await desk.console.signed_in(Role.VIEWER)
            listed = await browser.get("/mailbox")
            assert "dana@example.com" in listed.text
            assert "Your link &lt;b&gt;now&lt;/b&gt;" in listed.text
            assert "972501111111" not in (await browser.get("/mailbox?to=dana")).text
            assert "dana@" not in (await browser.get("/mailbox?kind=sms")).text
            text = await browser.get("/mailbox/000002")
            assert "A text &lt;script&gt;" in text.text
            assert "<script>alert" not in text.text
            mail = await browser.get("/mailbox/000001")
            assert 'src="/mailbox/000001/html" sandbox="allow-popups"' in mail.text
            assert "<h1>Dana</h1>" not in mail.text
            assert "frame-src 'self'" in mail.headers["Content-Security-Policy"]
            framed = await browser.get("/mailbox/000001/html")

            assert "<h1>Dana</h1>" in framed.text
            policy = framed.headers["Content-Security-Policy"]
            assert policy.startswith("sandbox allow-popups;")
            assert "script-src" not in policy
            assert "default-src 'none'" in policy
            assert (await browser.get("/mailbox/999999")).status == 404
            assert (await browser.get("/mailbox/..%2f..")).status == 404
            stranger = desk.console.browser()
            assert (await stranger.get("/mailbox/000001/html")).status == 303


async def test_a_sandbox_that_is_away_is_said(real_redis: redis.asyncio.Redis, tmp_path: Path) -> None:
    """The page says how to start it, and is no error."""
    async with a_mending_desk(real_redis, sandbox=True, data_dir=tmp_path) as desk:
        browser = await desk.console.signed_in(Role.VIEWER)
        page = await browser.get("/mailbox")

        assert page.status == 200
        assert "The sandbox does not answer" in page.text


async def test_there_is_no_mailbox_outside_the_sandbox(desk: MendingDesk) -> None:
    """Nothing real is captured, so there is nothing to see."""
    browser = await desk.console.signed_in(Role.ADMIN)
    assert (await browser.get("/mailbox")).status == 404
    assert "/mailbox" not in (await browser.get("/")).text


# --- who may -----------------------------------------------------------------------------------------------


async def test_a_viewer_switches_and_downloads_nothing(desk: MendingDesk) -> None:
    """The pages may be looked at; every act on them is refused, recorded, and not offered."""
    await desk.held()
    [job] = await desk.failed(fail=UNKNOWN)
    await desk.ledger.discard(job, by="x", why="")
    vera = await desk.console.signed_in(Role.VIEWER)
    for path in ("/holds", "/batches", "/batches/b", "/dead", "/audit", "/alerts", "/acts"):
        page = await vera.get(path)
        assert page.status == 200, path
        posts = [line for line in page.text.splitlines() if 'method="post"' in line and "/logout" not in line]
        assert [line for line in posts if "/acts/preview" not in line] == [], path
    acts = [
        ("/holds/clear", "batch:b"),
        ("/holds/pause", "live"),
        ("/holds/resume", "live"),
        ("/batches/b/pause", ""),
        ("/batches/b/resume", ""),
        ("/batches/b/cancel", ""),
        ("/batches/b/report", ""),
        ("/export", ""),
    ]
    for path, target in acts:
        answer = await post(vera, path, target=target, filter='{"state": "dead"}')
        assert answer.status == 403, path

    assert "batch:b" in await desk.ledger.batches.holds()
    assert await desk.ledger.batches.pauses() == set()
    assert await desk.console.trail("export") == []
    assert len(await desk.console.trail("role_refused")) == len(acts)


async def test_without_a_session_or_with_a_stale_token_nothing_is_switched(desk: MendingDesk) -> None:
    """The way in for the one, a page that says so for the other."""
    stranger = desk.console.browser()
    for path in ("/holds", "/batches", "/dead", "/audit", "/alerts", "/acts"):
        assert (await stranger.get(path)).place.startswith("/login"), path
    old = await (await desk.console.signed_in(Role.OPERATOR)).csrf()
    browser = await desk.console.signed_in(Role.OPERATOR)
    for path in ("/holds/pause", "/export", "/batches/b/cancel"):
        assert (await browser.post(path, {"target": "live"}, csrf=old)).status == 403, path

    assert await desk.ledger.batches.pauses() == set()
