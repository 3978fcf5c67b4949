"""The sandbox partner seen through the real client: faithful to what is documented, and as bad as it is told to be."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.partner_fakes import FixedToken, MemoryGuard, MemoryTokens, RecordingGate, a_client, leap
from worker.domain.outcome import Answered, Ending, NotDone, Unanswered
from worker.partner import PartnerClient, TokenKeeper
from worker.partner.sandbox import Faults, RunningSandbox, SandboxSettings, serve_sandbox

_numbers = itertools.count(972_501_000_000)


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """Return a sandbox without limits or faults."""
    running = await serve_sandbox()
    yield running
    await running.stop()


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[PartnerClient]:
    """Return a client of it."""
    async with a_client(sandbox.api_url, timeout_s=30.0) as client:
        yield client


def a_body(**changes: Any) -> dict[str, Any]:
    body = {
        "whatsapp": str(next(_numbers)),
        "business_name": "פרחי דנה",
        "display_name": "Dana Flowers",
        "reference": "job1",
    }
    return body | changes


def code_of(ending: Ending) -> int | None:
    assert isinstance(ending, Answered), ending
    return ending.code


async def post(sandbox: RunningSandbox, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.post(sandbox.url + path, json=body) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def test_a_link_is_made_listed_deleted_and_made_again(
    sandbox: RunningSandbox, client: PartnerClient
) -> None:
    """One link per number: a second create is refused until the first link is deleted."""
    body = a_body()
    made = await client.create_whatsapp(body)
    again = await client.create_whatsapp(body)
    entries = await client.get_accounts()
    deleted = await client.delete_account(body["whatsapp"])
    anew = await client.create_whatsapp(body)

    assert isinstance(made, Answered)
    assert made.body["onboarding_link"].startswith(f"{sandbox.url}/o/")
    assert code_of(again) == 22
    assert isinstance(entries, list)
    assert [(entry.whatsapp, entry.reference) for entry in entries] == [(body["whatsapp"], "job1")]
    assert (code_of(deleted), code_of(anew)) == (1, 1)
    told = sandbox.state.as_dict()["numbers"][body["whatsapp"]]
    assert (len(told["links"]), told["live"], told["live_max"], told["refused_second"]) == (2, 1, 1, 1)


async def test_a_landing_page_needs_its_three_fields(client: PartnerClient) -> None:
    """Name, address and id together make one; any less do not."""
    full = await client.create_whatsapp(a_body(business_address="Herzl 1", business_id="512345678"))
    part = await client.create_whatsapp(a_body(business_id="512345678"))

    assert isinstance(full, Answered)
    assert isinstance(part, Answered)
    assert full.body["landing_page"]
    assert not part.body["landing_page"]


async def test_coexistence_gets_a_temporary_number_each_time(client: PartnerClient) -> None:
    """The number 1 asks for it; any number of links may be made."""
    first, second = [await client.create_whatsapp(a_body(whatsapp="1")) for _ in range(2)]

    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    assert first.body["whatsapp"].startswith("97257")
    assert first.body["whatsapp"] != second.body["whatsapp"]


async def test_facebook_makes_as_many_links_as_wanted(sandbox: RunningSandbox, client: PartnerClient) -> None:
    """Each create makes a link, the same reference or not."""
    endings = [await client.create_facebook({"type": 3, "reference": "job2"}) for _ in range(2)]

    assert [code_of(ending) for ending in endings] == [1, 1]
    assert len(sandbox.state.as_dict()["facebook"]["job2"]) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"whatsapp": "+972501234567"}, 4),
        ({"whatsapp": ""}, 4),
        ({"business_name": 'בע"מ'}, 5),
        ({"business_name": None}, 5),
        ({"display_name": "x" * 51}, 6),
        ({"business_email": "nobody"}, 7),
        ({"business_id": "51-2"}, 8),
        ({"business_address": "x" * 301}, 9),
        ({"onboarding_logo": "http://plain.example/logo.png"}, 10),
        ({"onboarding_message": "Hello!"}, 11),
        ({"basic_templates": 2}, 12),
        ({"reference": "x" * 51}, 20),
        ({"reference": {"a": 1}}, 20),
    ],
)
async def test_field_rules_are_checked(client: PartnerClient, changes: dict[str, Any], code: int) -> None:
    """A request that the documentation forbids is refused, and nothing is made."""
    assert code_of(await client.create_whatsapp(a_body(**changes))) == code


@pytest.mark.parametrize(
    "body", [{}, {"type": "1"}, {"type": 5}, {"type": True}, {"type": 1, "account_id": "7"}]
)
async def test_facebooks_rules_are_checked(client: PartnerClient, body: dict[str, Any]) -> None:
    """The type and the ids are integers."""
    assert code_of(await client.create_facebook(body)) in {14, 16}


async def test_demo_numbers_have_the_past_their_ending_says() -> None:
    """So a demo knows beforehand what will happen to which row."""
    settings = SandboxSettings(
        unregistered_suffixes=("404",), foreign_suffixes=("409",), finished_suffixes=("425",)
    )
    running = await serve_sandbox(settings=settings)
    async with a_client(running.url) as client:
        codes = [
            code_of(await client.create_whatsapp(a_body(whatsapp=f"972500000{ending}")))
            for ending in ("404", "409", "425", "200")
        ]
        running.state.register("972500000404")
        entries = await client.get_accounts()
        registered = await client.get_registered()
        late = await client.create_whatsapp(a_body(whatsapp="972500000404"))
    await running.stop()

    assert codes == [21, 22, 25, 1]
    assert isinstance(entries, list)
    found = {entry.whatsapp[-3:]: (entry.reference, entry.is_finished) for entry in entries}
    assert found == {"409": ("someone-else", False), "425": ("someone-else", True), "200": ("job1", False)}
    assert isinstance(registered, list)
    assert {number.whatsapp[-3:] for number in registered} == {"404", "409", "200"}
    assert code_of(late) == 1


async def test_a_number_is_registered_in_two_steps_with_three_codes_at_most(sandbox: RunningSandbox) -> None:
    """A fourth code request blocks the number for an hour."""
    sandbox.state.unregister("972501111111")
    token = (await post(sandbox, "/api/settings/accessToken", _credentials()))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{sandbox.url}/api/whatsapp/registerNumber"

    async def register(number: str, **fields: Any) -> int:
        async with aiohttp.ClientSession(headers=headers) as session:
            answer = await (await session.post(url, json={"whatsapp": number, **fields})).json()
            return int(answer["reason"])

    assert await register("972501111111", method=1) == 1
    assert await register("972501111111", code="000000") == 23
    assert await register("972501111111", code="123456") == 1
    assert "972501111111" in sandbox.state.registered
    codes = [await register("972502222222", method=2) for _ in range(5)]
    assert codes == [1, 1, 1, 24, 24]


async def test_a_call_without_a_good_token_fails_with_3(sandbox: RunningSandbox) -> None:
    """The client drops such a token; the sandbox counts the refusal."""
    tokens = FixedToken()
    async with a_client(sandbox.api_url, tokens=tokens) as client:
        ending = await client.create_whatsapp(a_body())

    assert isinstance(ending, NotDone)
    assert tokens.dropped == ["fixed"]
    assert sandbox.state.token_refusals == 1


async def test_wrong_credentials_lock_the_address_out(sandbox: RunningSandbox) -> None:
    """After five wrong tries even the right ones are refused with 3 for a while."""
    wrong = {"client_id": "sandbox-client", "client_secret": "no"}
    codes = [(await post(sandbox, "/settings/accessToken", wrong))["reason"] for _ in range(6)]
    right = await post(sandbox, "/settings/accessToken", _credentials())

    assert codes == [2, 2, 2, 2, 2, 3]
    assert right["reason"] == 3


async def test_refused_credentials_cost_one_token_call(sandbox: RunningSandbox) -> None:
    """Fifty creates at once with wrong credentials: one token call, and none of them is sent."""
    keeper = TokenKeeper(MemoryTokens(), guard=MemoryGuard())
    async with a_client(sandbox.api_url, tokens=keeper, client_secret="wrong") as client:
        endings = await asyncio.gather(*(client.create_whatsapp(a_body()) for _ in range(50)))

    assert {ending.reason for ending in endings if isinstance(ending, NotDone)} == {"token_refused"}
    assert sandbox.state.token_calls == 1
    assert sandbox.state.calls["create_whatsapp"] == 0


async def test_tokens_that_live_two_seconds_lose_no_call(sandbox: RunningSandbox) -> None:
    """Through three lives of a token every create is made; renewal happens in the background."""
    sandbox.faults.update({"token_life_s": 2.0})
    endings: list[Ending] = []
    async with a_client(sandbox.api_url) as client:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            endings += await asyncio.gather(*(client.create_whatsapp(a_body()) for _ in range(5)))
            await asyncio.sleep(0.05)

    refused = [ending for ending in endings if isinstance(ending, NotDone)]
    assert all(isinstance(ending, Answered | NotDone) for ending in endings)
    # Its end is told in whole seconds, so a call may meet a token that has just run out: not done, and told so.
    assert len(refused) <= len(endings) // 10
    assert sandbox.state.token_calls <= 8


@pytest.mark.parametrize(
    ("fault", "reason", "is_made"),
    [
        ("drop_before", "partner_dropped", False),
        ("drop_after", "partner_dropped", True),
        ("garbage", "partner_unreadable", True),
        ("empty", "partner_unreadable", True),
        ("html", "partner_unreadable", True),
        ("huge", "partner_unreadable", True),
        ("trickle", "partner_timeout", True),
        ("error_before", "partner_error", False),
        ("error_after", "partner_error", True),
        ("wrong_types", "partner_unreadable", True),
    ],
)
async def test_each_fault_leaves_the_outcome_unknown(
    sandbox: RunningSandbox, fault: str, reason: str, is_made: bool
) -> None:
    """The client cannot know; the sandbox's truth does."""
    sandbox.faults.update({fault: 1.0})
    body = a_body()
    async with a_client(sandbox.api_url, timeout_s=1.0 if fault == "trickle" else 30.0) as client:
        await client.token()
        ending = await client.create_whatsapp(body)

    assert isinstance(ending, Unanswered)
    assert ending.reason == reason
    assert bool(sandbox.state.live_link(body["whatsapp"])) is is_made
    assert sandbox.state.suffered[fault] == 1


async def test_half_of_the_hanging_calls_have_acted(sandbox: RunningSandbox) -> None:
    """Silence tells nothing, and a caller that hangs up leaves nothing running."""
    sandbox.faults.update({"hang": 1.0})
    async with a_client(sandbox.api_url, timeout_s=60.0) as client:
        await client.token()
        calls = [asyncio.create_task(client.create_whatsapp(a_body())) for _ in range(20)]
        while sandbox.state.suffered["hang"] < 20 or not sandbox.state.links:
            await asyncio.sleep(0)
        leap(60.0)
        endings = await asyncio.gather(*calls)

    assert {ending.reason for ending in endings if isinstance(ending, Unanswered)} == {"partner_timeout"}
    assert 0 < len(sandbox.state.links) < 20


async def test_lower_case_is_read_as_well(sandbox: RunningSandbox, client: PartnerClient) -> None:
    """`ok` and `fail` are what they say."""
    sandbox.faults.update({"lower_case": 1.0})
    body = a_body()

    assert code_of(await client.create_whatsapp(body)) == 1
    assert code_of(await client.create_whatsapp(body)) == 22


async def test_wanted_failures_come_by_number_and_by_share(
    sandbox: RunningSandbox, client: PartnerClient
) -> None:
    """So a test can make one code refuse everything, or a single number."""
    sandbox.faults.update({"fail_numbers": {"972503333333": 19}})
    assert code_of(await client.create_whatsapp(a_body(whatsapp="972503333333"))) == 19
    assert code_of(await client.create_whatsapp(a_body())) == 1
    sandbox.faults.update({"fail_code": 30})
    assert code_of(await client.create_facebook({"type": 1})) == 30


async def test_a_lagging_list_shows_a_link_later_and_a_broken_one_is_unknown(
    sandbox: RunningSandbox, client: PartnerClient
) -> None:
    """Absence from one list proves nothing yet."""
    await client.create_whatsapp(a_body())
    sandbox.faults.update({"list_lag_s": 60.0})
    assert await client.get_accounts() == []
    sandbox.faults.update({"list_lag_s": 0.0, "list_broken": 1.0})
    assert isinstance(await client.get_accounts(), Unanswered)
    sandbox.faults.update({"list_broken": 0.0, "list_error": 1.0})
    assert isinstance(await client.get_accounts(), Unanswered)
    sandbox.faults.reset()
    entries = await client.get_accounts()
    assert isinstance(entries, list)
    assert len(entries) == 1


async def test_the_rate_limit_is_strict_but_for_one_call_of_jitter() -> None:
    """Two calls may come at once, a third is refused with the time to wait."""
    running = await serve_sandbox(settings=SandboxSettings(rate=2.0))
    gate = RecordingGate()
    async with a_client(running.api_url, tokens=FixedToken(), gate=gate) as client:
        endings = [await client.create_whatsapp(a_body()) for _ in range(3)]
    await running.stop()

    assert [ending.reason for ending in endings if isinstance(ending, NotDone)][-1] == "partner_throttled"
    assert running.state.refused_429 == 1
    assert gate.told[-1][1]["Retry-After"] == "1"


async def test_a_wrong_method_fails_with_13(sandbox: RunningSandbox) -> None:
    """As documented for every call."""
    async with aiohttp.ClientSession() as session:
        for method, path in (("GET", "/api/whatsapp/createAccount"), ("POST", "/api/whatsapp/getAccounts")):
            async with session.request(method, sandbox.url + path) as response:
                answer = await response.json()
    token = (await post(sandbox, "/api/settings/accessToken", _credentials()))["access_token"]
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(f"{sandbox.url}/api/whatsapp/createAccount") as response,
    ):
        with_token = await response.json()

    assert answer["status"] == "FAIL"
    assert with_token["reason"] == 13


async def test_the_testers_customer_finishes_and_the_webhook_tells(
    sandbox: RunningSandbox, client: PartnerClient
) -> None:
    """The page names the business; its button finishes, and then nothing can be deleted any more."""
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hook(request: web.Request) -> web.Response:
        await heard.put(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await client.set_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    body = a_body(business_name="דנה <b>")  # refused: not letters
    assert code_of(await client.create_whatsapp(body)) == 5
    body["business_name"] = "פרחי דנה"
    made = await client.create_whatsapp(body)
    assert isinstance(made, Answered)
    link = made.body["onboarding_link"]
    async with aiohttp.ClientSession() as session:
        page = await (await session.get(link)).text()
        english = await (await session.get(f"{link}?lang=en")).text()
        done = await (await session.post(link)).text()
    event = await asyncio.wait_for(heard.get(), 5)
    late = await client.delete_account(body["whatsapp"])
    webhook = await client.get_webhook()
    await runner.cleanup()

    assert "פרחי דנה" in page
    assert 'dir="rtl"' in page
    assert "Finish onboarding" in english
    assert "<button>" not in done
    assert (event["reference"], event["whatsapp"]) == ("job1", body["whatsapp"])
    assert code_of(late) == 25
    assert isinstance(webhook, Answered)
    assert webhook.body["url"].endswith("/hook")


async def test_links_survive_a_restart(tmp_path: Path) -> None:
    """The journal brings back what was made, deleted, finished and registered."""
    settings = SandboxSettings(state_file=tmp_path / "state.jsonl")
    kept, gone, done = (a_body(reference=name) for name in ("kept", "gone", "done"))
    first = await serve_sandbox(settings=settings)
    async with a_client(first.url) as client:
        for body in (kept, gone, done):
            await client.create_whatsapp(body)
        await client.create_whatsapp(a_body(whatsapp="1", reference="coex"))
        await client.delete_account(gone["whatsapp"])
    await post(first, "/sandbox/finish", {"references": ["done", "coex"]})
    first.state.register("972504444444")
    await first.stop()
    with settings.state_file.open("a") as journal:  # type: ignore[union-attr]  # set above
        journal.write('{"event": "link", "co')  # killed in the midst of a line
    second = await serve_sandbox(settings=settings)
    async with a_client(second.url) as client:
        entries = await client.get_accounts()
    await second.stop()

    assert isinstance(entries, list)
    assert {entry.reference: entry.is_finished for entry in entries} == {
        "kept": False,
        "done": True,
        "coex": True,
    }
    assert "972504444444" in second.state.registered


async def test_the_testers_controls(sandbox: RunningSandbox, client: PartnerClient) -> None:
    """Faults are set all or none; the state is told as JSON; a reset forgets."""
    assert "error" in await post(sandbox, "/sandbox/faults", {"drop_after": 0.5, "no_such": 1})
    assert "error" in await post(sandbox, "/sandbox/faults", {"drop_after": "often"})
    assert sandbox.faults == Faults()
    assert (await post(sandbox, "/sandbox/faults", {"drop_after": 0.5}))["drop_after"] == 0.5
    await post(sandbox, "/sandbox/faults", {"drop_after": 0})
    await post(sandbox, "/sandbox/numbers", {"unregistered": ["972505555555"], "foreign": ["972506666666"]})
    assert code_of(await client.create_whatsapp(a_body(whatsapp="972505555555"))) == 21
    assert code_of(await client.create_whatsapp(a_body(whatsapp="972506666666"))) == 22
    async with aiohttp.ClientSession() as session:
        state = await (await session.get(f"{sandbox.url}/sandbox/state")).json()
        calls = await (await session.get(f"{sandbox.url}/sandbox/calls")).json()
        index = await (await session.get(sandbox.url)).text()
    assert (state["token_calls"], state["calls"]["create_whatsapp"], state["refused_429"]) == (1, 2, 0)
    assert [call["call"] for call in calls["items"]] == ["access_token", "create_whatsapp", "create_whatsapp"]
    assert "SANDBOX" in index
    await post(sandbox, "/sandbox/reset", {})
    assert sandbox.state.as_dict()["numbers"] == {}


async def test_the_page_says_how_to_make_it_misbehave() -> None:
    """Who opens it finds which numbers fail, the command that sets a fault, and which are on."""
    running = await serve_sandbox(settings=SandboxSettings(foreign_suffixes=("409",)))
    try:
        async with aiohttp.ClientSession() as session:
            quiet = await (await session.get(f"{running.url}/sandbox/")).text()
            body = re.search(r"-d '(\{.*?\})'", quiet)
            assert body
            address = re.search(r"curl -X POST (\S+)", quiet)
            assert address
            await session.post(address[1], data=body[1])
            loud = await (await session.get(f"{running.url}/sandbox/")).text()
    finally:
        await running.stop()
    assert running.sandbox.faults.switched_on() == {"fail_code": 77, "fail_share": 0.1}
    assert "<b>409</b> have somebody else&#39;s link" in quiet
    assert "No fault is switched on." in quiet
    assert "Faults switched on: <code>" in loud


def _credentials() -> dict[str, str]:
    return {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
