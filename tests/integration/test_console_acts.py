"""Bulk acts in the console, over HTTP: previewed, started once, followed, stopped, undone, and by whom."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import own_fail
from tests.integration.console_mending import (
    XSS,
    MendingDesk,
    a_mending_desk,
    post,
    preview_all,
    preview_ids,
)
from worker.domain.act import Act
from worker.domain.outcome import Fail, Refused, Undelivered
from worker.domain.roles import Role
from worker.domain.states import Channel, JobState, Lane
from worker.ledger import JobFilter


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


async def test_a_filter_is_previewed_started_and_worked_off(desk: MendingDesk) -> None:
    """The preview says how many, by reason, and what it costs; started with a why, it ends with a result."""
    jobs = await desk.failed(8)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")

    preview = await browser.get(page)
    assert preview.status == 200
    assert "name_refused" in preview.text
    assert "Requeue 8" in preview.text
    assert "1.6 s" in preview.text  # 8 calls at 5/s
    started = await post(browser, f"{page}/start", why="names are mended", canary="1")
    assert (started.status, started.place) == (303, f"{page}?told=start")
    act = await desk.driven(page.removeprefix("/acts/"))
    result = await browser.get(page)

    assert act["linked"] == 8
    assert "names are mended" in result.text
    assert "user:oren" in result.text
    assert "Linked: 8" in result.text or "linked: 8" in result.text
    # Else "State failed" would seem to be how the act stands.
    about, chosen_by = result.text.split("Chosen by")
    assert ">State<" not in about.partition("What it is about")[2]
    assert ">State<" in chosen_by
    assert [await desk.state(job) for job in jobs] == [JobState.LINKED] * 8
    assert [entry.why for entry in await desk.console.trail("act_start")] == ["names are mended"]


async def test_started_twice_it_runs_once(desk: MendingDesk) -> None:
    """A double click, or a second operator on the same preview, is told that it runs already."""
    await desk.failed(3)
    oren = await desk.console.signed_in(Role.OPERATOR)
    adina = await desk.console.signed_in(Role.ADMIN)
    page = await preview_all(oren, "requeue", state="failed")
    await post(oren, f"{page}/start", why="once")
    for browser in (oren, adina):
        again = await post(browser, f"{page}/start", why="twice")
        assert again.place == f"{page}?told=started_before"
        assert "had been started already" in (await browser.get(again.place)).text

    act = await desk.driven(page.removeprefix("/acts/"))
    assert (act["done"], act["linked"], act["why"]) == (3, 3, "once")


async def test_more_than_one_needs_a_why(desk: MendingDesk) -> None:
    """Without it nothing is started, and the page says so beside the field."""
    [one, *_] = await desk.failed(2)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")
    answer = await post(browser, f"{page}/start", why="  ")

    assert answer.status == 422
    assert 'aria-invalid="true"' in answer.text
    assert "Say why" in answer.text
    assert await desk.state(one) is JobState.FAILED


async def test_what_changed_since_the_preview_is_left_alone_and_said(desk: MendingDesk) -> None:
    """Of three jobs one was discarded between the preview and the run."""
    [discarded, *others] = await desk.failed(3)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "discard", state="failed")
    await desk.ledger.requeue(discarded, by="dana", why="meanwhile")
    await post(browser, f"{page}/start", why="gone for good")
    act = await desk.driven(page.removeprefix("/acts/"))
    result = await browser.get(f"{page}?outcome=refused")

    assert (act["done"], act["refused"]) == (2, {"is_available": 1})
    assert discarded in result.text
    assert "it is available" in result.text
    assert others[0] not in result.text
    assert [await desk.state(job) for job in others] == [JobState.DEAD] * 2


async def test_the_ticked_are_previewed_and_nothing_else(desk: MendingDesk) -> None:
    """Two of three boxes were ticked; the linked one among them is not fit, and it says why."""
    [ticked, left] = await desk.failed(2)
    linked = await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await preview_ids(browser, "requeue", [ticked, linked, ticked])
    page = await browser.get(answer.place)

    assert ticked in page.text
    assert left not in page.text
    assert "it is linked" in page.text
    # One job alone may be requeued without a why.
    await post(browser, f"{answer.place}/start", why="")
    assert (await desk.driven(answer.place.removeprefix("/acts/")))["linked"] == 1
    assert await desk.state(left) is JobState.FAILED


async def test_failed_messages_are_sent_again_as_a_group(desk: MendingDesk) -> None:
    """Their group's page leads to the preview: no call to the partner, and a message each."""
    delivery = await desk.a_delivery()
    bounced = Undelivered(fail=Fail(reason="mailbox_unknown", reason_class="recipient"))
    await desk.ledger.deliveries.settle(await desk.send(delivery), bounced, can_resend=True)
    await desk.failed(fail=Fail(reason="mailbox_unknown", reason_class="bad_data", is_own_data=True))
    browser = await desk.console.signed_in(Role.OPERATOR)
    group = await browser.get("/failed/mailbox_unknown?stage=delivery")
    assert "Preview: send all of them again" in group.text
    page = await preview_all(browser, "requeue", state="failed", reason="mailbox_unknown", stage="delivery")
    preview = await browser.get(page)

    assert delivery in preview.text
    assert "1 message is sent again without one" in preview.text
    assert "Requeue 1" in preview.text
    await post(browser, f"{page}/start", why="")
    await desk.console.deps.acts.step(page.removeprefix("/acts/"))
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == [delivery]


async def test_nothing_ticked_leads_back_to_the_list(desk: MendingDesk) -> None:
    """The list that it came from says so."""
    browser = await desk.console.signed_in(Role.OPERATOR)
    csrf = await browser.csrf()
    answer = await browser.post(
        "/acts/preview",
        {"act": "requeue", "scope": "ticked"},
        csrf=csrf,
        Referer=f"{desk.console.base}/jobs?state=failed",
    )
    assert answer.place == "/jobs?state=failed&told=nothing_ticked"
    assert "Nothing was ticked" in (await browser.get(answer.place)).text


@pytest.mark.parametrize(
    "fields",
    [
        {"act": "explode", "scope": "all", "filter": "{}"},
        {"act": "requeue", "scope": "all", "filter": "not json"},
        {"act": "requeue", "scope": "all", "filter": "[1]"},
        {"act": "requeue", "scope": "all", "filter": '{"state": "smoked"}'},
        {"act": "requeue", "scope": "all", "filter": '{"older_than_s": "1; drop"}'},
        {"act": "requeue", "scope": "all", "filter": '{"reason": {"a": 1}}'},
        {"act": "requeue", "scope": "all", "filter": '{"stage": "moon"}'},
        {"act": "requeue", "scope": "all", "filter": '{"lane": ' + "[" * 5000 + "]" * 5000 + "}"},
    ],
)
async def test_a_forged_filter_is_refused(desk: MendingDesk, fields: dict[str, str]) -> None:
    """What comes from a browser is anybody's: nothing is frozen of it, and nothing breaks."""
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, "/acts/preview", **fields)

    assert answer.place == "/jobs?told=bad_filter"


async def test_it_stops_itself_and_goes_on_again(desk: MendingDesk) -> None:
    """The canary failed again: the page says how many of how many, and by which reason; a person lets it go on."""
    await desk.failed(12)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")
    await post(browser, f"{page}/start", why="hope", canary="1")
    act_id = page.removeprefix("/acts/")
    for _ in range(10):
        act = await desk.console.deps.acts.step(act_id)
        assert act is not None
        if act["state"] == "stopped":
            break
        for lane in Lane:
            await desk.drain(lane, Refused(fail=own_fail()))
    stopped = await browser.get(page)

    assert "It stopped by itself" in stopped.text
    assert "failed again" in stopped.text
    assert "name_refused" in stopped.text
    assert act["waiting"] > 0
    answer = await post(browser, f"{page}/continue", why="mended now")
    assert answer.place == f"{page}?told=continue"
    assert (await desk.driven(act_id))["state"] == "done"


async def test_a_person_stops_it(desk: MendingDesk) -> None:
    """Who did, and why, is shown; what was not touched stays as it was."""
    jobs = await desk.failed(7)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")
    await post(browser, f"{page}/start", why="hm", canary="1")
    answer = await post(browser, f"{page}/stop", why=f"wrong list {XSS}")
    stopped = await browser.get(answer.place)

    assert "It was stopped" in stopped.text
    assert "wrong list &lt;script&gt;" in stopped.text
    assert "<script>alert" not in stopped.text
    assert [await desk.state(job) for job in jobs] == [JobState.FAILED] * 7
    again = await post(browser, f"{page}/stop", why="")
    assert again.place == f"{page}?not=not_running"
    assert "It does not run." in (await browser.get(again.place)).text


async def test_a_discard_is_undone(desk: MendingDesk) -> None:
    """Undo previews exactly those that it discarded; started, they stand in the failed queue again."""
    jobs = await desk.failed(3)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "discard", state="failed")
    await post(browser, f"{page}/start", why="a mistake")
    await desk.driven(page.removeprefix("/acts/"))
    assert {await desk.state(job) for job in jobs} == {JobState.DEAD}
    done = await browser.get(page)
    assert "Undo: preview taking back 3" in done.text

    undo = (await post(browser, f"{page}/undo")).place
    assert "Take 3 back" in (await browser.get(undo)).text
    await post(browser, f"{undo}/start", why="taken back")
    await desk.driven(undo.removeprefix("/acts/"))

    assert {await desk.state(job) for job in jobs} == {JobState.FAILED}
    assert "taken back by another act" in (await browser.get(page)).text
    twice = await post(browser, f"{page}/undo")
    assert twice.place == f"{page}?not=not_undoable"


async def test_an_expired_preview_is_explained_and_made_anew(desk: MendingDesk) -> None:
    """After an hour nothing is started; the same filter is previewed again with one click."""
    await desk.failed(2)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")
    desk.advance(3700)
    browser = await desk.console.signed_in(Role.OPERATOR)
    late = await post(browser, f"{page}/start", why="late")
    assert late.place == f"{page}?not=expired"
    assert "preview it again" in (await browser.get(late.place)).text
    await desk.ledger.acts.prune(older_than_s=1e9)
    expired = await browser.get(page)
    assert "This preview has expired" in expired.text
    assert f'action="{page}/again"' in expired.text

    anew = (await post(browser, f"{page}/again")).place
    assert anew != page
    assert "Requeue 2" in (await browser.get(anew)).text


async def test_a_preview_made_anew_looks_where_the_first_did(desk: MendingDesk) -> None:
    """One of failed jobs, from the command line: what somebody discarded does not come back by it."""
    [failed, discarded] = await desk.failed(2)
    await desk.ledger.discard(discarded, by="dana", why="gave up")
    first = await desk.console.deps.acts.preview(
        Act.REQUEUE, JobFilter(stage="link"), states=[JobState.FAILED], by="cli:dana"
    )
    browser = await desk.console.signed_in(Role.OPERATOR)
    anew = (await post(browser, f"/acts/{first['act_id']}/again")).place
    act = await desk.console.deps.acts.get(anew.removeprefix("/acts/"))
    page = await browser.get(anew)

    assert act is not None
    assert (act["filter"], act["total"]) == (first["filter"], 1)
    assert failed in page.text
    assert discarded not in page.text


async def test_a_preview_that_broke_says_so_in_every_process(desk: MendingDesk) -> None:
    """The act itself knows it: the page does not wait, and previews anew."""
    acts = desk.console.deps.acts
    act_id = await acts.begin_preview(Act.REQUEUE, JobFilter(), states=[JobState.FAILED], by="user:oren")
    await acts.give_up(act_id)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await browser.get(f"/acts/{act_id}")

    assert "The preview could not be made" in page.text
    assert "Something unexpected broke the preview" in page.text
    assert "This preview has expired" not in page.text
    assert "every 2s" not in page.text
    assert f'action="/acts/{act_id}/again"' in page.text


async def test_an_act_behind_a_hold_promises_no_end_and_calls_nothing_done(desk: MendingDesk) -> None:
    """What was only taken is said to be taken; while its lane is held, nobody knows how long it takes."""
    await desk.failed(6)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")
    await post(browser, f"{page}/start", why="go", canary="1")
    await desk.console.deps.acts.step(page.removeprefix("/acts/"))
    await desk.ledger.batches.hold("bulk", "unknown_77")
    stands = (await browser.get(page)).text

    waiting = await desk.console.deps.acts.get(page.removeprefix("/acts/"))
    assert waiting is not None
    assert waiting["waits_for"] is not None
    assert "5 of 6 taken" in stands
    assert "left at the present rate" not in stands


async def test_a_part_is_renewed_until_the_state_changes(desk: MendingDesk) -> None:
    """htmx gets the moving part alone; when the act has ended, it is told to load the page anew."""
    await desk.failed(2)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")
    await post(browser, f"{page}/start", why="go")
    polled = await browser.get(f"{page}?was=running", HX_Request="true", X_Poll="1")
    assert "<html" not in polled.text
    assert "HX-Refresh" not in polled.headers
    assert 'hx-trigger="every 2s' in (await browser.get(page)).text
    await desk.driven(page.removeprefix("/acts/"))
    ended = await browser.get(f"{page}?was=running", HX_Request="true", X_Poll="1")

    assert ended.headers["HX-Refresh"] == "true"
    assert "every 2s" not in (await browser.get(page)).text
    assert "Started." not in (await browser.get(f"{page}?told=start")).text


async def test_the_list_shows_what_was_started(desk: MendingDesk) -> None:
    """Newest first, with who, why and how far; a cursor that is none begins anew."""
    await desk.failed(2)
    browser = await desk.console.signed_in(Role.OPERATOR)
    assert "No bulk act yet" in (await browser.get("/acts")).text
    page = await preview_all(browser, "discard", state="failed")
    await post(browser, f"{page}/start", why=XSS)
    listed = await browser.get("/acts")

    assert page in listed.text
    assert "0 of 2" in listed.text
    assert "&lt;script&gt;" in listed.text
    assert "<script>alert" not in listed.text
    assert (await browser.get("/acts?cursor=x")).place == "/acts?told=bad_cursor"
    assert (await browser.get("/acts/a000000-gone00")).status == 404


async def test_a_viewer_looks_and_does_nothing(desk: MendingDesk) -> None:
    """Every act is refused by the handler and recorded; the preview itself may be looked at, without its form."""
    await desk.failed(2)
    oren = await desk.console.signed_in(Role.OPERATOR)
    vera = await desk.console.signed_in(Role.VIEWER)
    page = await preview_all(oren, "requeue", state="failed")
    seen = await vera.get(page)
    assert seen.status == 200
    assert f"{page}/start" not in seen.text
    whole = {"act": "requeue", "scope": "all", "filter": json.dumps({"state": "failed"})}
    for path in (
        "/acts/preview",
        *(f"{page}/{verb}" for verb in ("start", "stop", "continue", "undo", "again")),
    ):
        assert (await post(vera, path, why="mine", **whole)).status == 403, path

    act = await desk.console.deps.acts.get(page.removeprefix("/acts/"))
    assert act is not None
    assert act["state"] == "previewed"
    assert len(await desk.console.trail("role_refused")) == 6


async def test_a_stale_token_starts_nothing(desk: MendingDesk) -> None:
    """A form that was made for another session is refused."""
    await desk.failed(2)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await preview_all(browser, "requeue", state="failed")
    old = await browser.csrf()
    anew = await desk.console.signed_in(Role.OPERATOR)
    answer = await anew.post(f"{page}/start", {"why": "stale"}, csrf=old)

    assert answer.status == 403
    act = await desk.console.deps.acts.get(page.removeprefix("/acts/"))
    assert act is not None
    assert act["state"] == "previewed"
