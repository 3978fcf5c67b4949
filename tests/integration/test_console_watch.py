"""The console's pages of what is watched, the stop list, and a customer whom the partner is asked about."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.factories import a_request
from tests.integration.console_desk import Browser, a_console
from tests.integration.console_looker import NUMBER, Looker, words_of
from worker.domain.outcome import AccountEntry
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ops.partner_view import PartnerLists

DANA = "dana@flowers.example"
ASKED: list[str] = []


async def ask() -> PartnerLists:
    """Answer as the partner would."""
    ASKED.append("asked")
    return PartnerLists(accounts=[AccountEntry(whatsapp=NUMBER, reference=None, link="")])


@pytest.fixture
async def looker(fake_redis: redis.asyncio.Redis) -> AsyncIterator[Looker]:
    """A console over an empty ledger."""
    ASKED.clear()
    async with a_console(fake_redis, sandbox=True) as console:
        console.deps.ask_partner = ask
        yield Looker(console, fake_redis)


@pytest.fixture
async def operator(looker: Looker) -> Browser:
    """Somebody who may act."""
    return await looker.console.signed_in(Role.OPERATOR)


async def dana(looker: Looker) -> str:
    """Return the job of a customer who has a link."""
    contact = Contact(email=DANA, phone="972502222222")
    request = a_request(whatsapp=NUMBER, business_name="Dana Flowers", contact=contact)
    return await looker.desk.job_in(JobState.LINKED, request=request)


async def test_what_is_open_for_long_leads_to_its_list(looker: Looker, operator: Browser) -> None:
    """Numbers masked; the list has the same filter, so that bulk acts begin there."""
    assert "Nothing needs looking after" in words_of(await operator.get("/watch"))
    await dana(looker)
    looker.console.advance(20 * 86_400)
    operator = await looker.console.signed_in(Role.OPERATOR)  # the session is over by now

    page = await operator.get("/watch")

    assert "1 customer has had the link for more than 14 days" in words_of(page)
    assert NUMBER not in page.text
    path = "/jobs?state=linked&amp;older_than=14d"
    assert path in page.text
    assert "Dana Flowers" in (await operator.get(path.replace("&amp;", "&"))).text


async def test_a_contact_is_put_on_the_list_and_taken_off(looker: Looker, operator: Browser) -> None:
    """By being typed; it is shown masked, and whoever did it is in the trail."""
    csrf = await operator.csrf()
    done = await operator.post("/suppressed/add", {"contact": DANA, "why": "asked"}, csrf=csrf)
    assert done.place == "/suppressed?told=suppress"
    page = await operator.get(done.place)
    assert "d***@flowers.example" in words_of(page)
    assert DANA not in page.text
    [entry] = await looker.console.trail("suppress")
    assert (entry.by, entry.why) == ("user:oren", "asked")

    gone = await operator.post("/suppressed/remove", {"contact": DANA}, csrf=csrf)

    assert gone.place == "/suppressed?told=unsuppress"
    assert "Nobody is on the stop list" in words_of(await operator.get("/suppressed"))
    again = await operator.post("/suppressed/remove", {"contact": DANA}, csrf=csrf)
    assert "does not stand on the stop list" in words_of(await operator.get(again.place))


async def test_what_is_no_contact_is_said_so(operator: Browser) -> None:
    """And nothing is done."""
    done = await operator.post("/suppressed/add", {"contact": "nobody"}, csrf=await operator.csrf())

    assert "neither an e-mail address nor a number" in words_of(await operator.get(done.place))


async def test_a_customer_is_put_on_the_list_with_all_that_he_is_known_by(
    looker: Looker, operator: Browser
) -> None:
    """From his own page, which then says so; and back."""
    job = await dana(looker)
    csrf = await operator.csrf()

    done = await operator.post("/customers/suppress", {"q": job}, csrf=csrf)

    assert done.place == f"/customers?q={job}&told=suppress"
    assert set(await looker.desk.ledger.suppressing.holds([DANA, "972502222222", NUMBER])) == {
        DANA,
        "972502222222",
        NUMBER,
    }
    page = await operator.get(done.place)
    assert "On the stop list: no message goes to this customer" in words_of(page)
    await operator.post("/customers/unsuppress", {"q": job}, csrf=csrf)
    assert (await looker.desk.ledger.suppressing.list()).total == 0
    assert (await operator.post("/customers/suppress", {"q": "none"}, csrf=csrf)).status == 404


async def test_the_partner_is_asked_by_a_button_only(looker: Looker, operator: Browser) -> None:
    """Looking costs no call; asking shows what it says."""
    job = await dana(looker)
    page = await operator.get(f"/customers?q={job}")
    assert "Ask the partner now" in words_of(page)
    assert ASKED == []

    asked = await operator.post("/customers/ask", {"q": job}, csrf=page.csrf)

    assert "The partner says: the number has a link that is not this one." in words_of(asked)
    assert "Ask the partner now" not in words_of(asked)
    assert NUMBER not in asked.text


async def test_who_may_only_look_may_neither_ask_nor_stop(looker: Looker) -> None:
    """He sees both pages."""
    job = await dana(looker)
    viewer = await looker.console.signed_in(Role.VIEWER)
    csrf = await viewer.csrf()

    assert (await viewer.get("/suppressed")).status == 200
    assert (await viewer.get("/watch")).status == 200
    assert "Ask the partner now" not in words_of(await viewer.get(f"/customers?q={job}"))
    for path in ("/customers/ask", "/customers/suppress", "/suppressed/add"):
        assert (await viewer.post(path, {"q": job, "contact": DANA}, csrf=csrf)).status == 403
    assert ASKED == []
