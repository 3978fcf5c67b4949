"""What comes from outside stays text: a name, an answer, an address that would be a script."""

from __future__ import annotations

from urllib.parse import quote

from playwright.async_api import expect

from tests.browser.stage import Stage
from tests.browser.visit import Visit
from worker.domain.outcome import Fail
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import JobState

PAYLOAD = """"'><script>window.taken=1</script><img src=x onerror="window.taken=2"><svg onload=alert(3)>{{7*7}}${7*7}</title></textarea>"""
REASON = "unknown_<script>alert(1)</script>"
WATCH = """() => {
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
}"""

PUT_IN = """() => {
  const script = document.createElement("script");
  script.textContent = "window.taken = 1";
  document.body.append(script);
  return window.taken ?? null;
}"""


async def untouched(visit: Visit) -> None:
    """See that nothing of the payload ran, and that nothing had to be stopped from running."""
    assert await visit.page.evaluate("[window.taken ?? null, window.violations]") == [None, []]


async def test_what_customers_and_the_partner_write_stays_text(stage: Stage) -> None:
    """A business called by a script, and an answer that is one: shown to the letter on every page they come to."""
    contact = Contact(name=PAYLOAD, email="dana@example.com", phone="972501111111", locale="en")
    fail = Fail(
        reason=REASON,
        reason_class="unknown",
        code=66,
        raw=f'{{"status": "FAIL", "reason": "{PAYLOAD}"}}',
        detail=PAYLOAD,
    )
    job = await stage.failed_saying(
        fail,
        business_name=PAYLOAD,
        display_name=PAYLOAD,
        contact=contact,
        reference=PAYLOAD,
        external_id=PAYLOAD,
    )
    found = await stage.ledger.queries.job(job)
    assert found is not None
    number = found.request.number
    async with stage.visit(Role.OPERATOR) as visit:
        await visit.context.add_init_script(f"({WATCH})()")
        for path in (
            f"/jobs/{job}", f"/jobs/{job}/edit", "/jobs?state=failed", "/failed", f"/failed/{quote(REASON, safe='')}", "/", "/audit",
            f"/customers?q={number}", f"/search?q={number}",
        ):  # fmt: skip
            await visit.go(path)
            await expect(visit.page.locator("html.has-script")).to_be_attached()
            await untouched(visit)
        await visit.go(f"/jobs/{job}")
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text(PAYLOAD)
        await expect(visit.page.locator("main img, main script, main svg[onload]")).to_have_count(0)
        await expect(visit.page.locator("main")).to_contain_text('"reason": "' + PAYLOAD[:40])


async def test_a_files_name_and_a_message_stay_text(stage: Stage) -> None:
    """A batch called by a script, and the mail to a customer who calls himself so."""
    batch = await stage.batch(PAYLOAD, 1)
    job = await stage.accept(business_name="Plain", business_name_written=PAYLOAD)
    await stage.reaches(JobState.LINKED, job)

    async def the_mail() -> str | None:
        mails = [each for each in await stage.stack.outbox() if PAYLOAD[:12] in each.get("subject", "")]
        return str(mails[0]["id"]) if mails else None

    mail = await stage.stack.until(the_mail, "the mail is sent")
    async with stage.visit(Role.OPERATOR) as visit:
        await visit.context.add_init_script(f"({WATCH})()")
        for path in ("/batches", f"/batches/{batch}", "/mailbox", f"/mailbox/{mail}"):
            await visit.go(path)
            await expect(visit.page.locator("main")).to_contain_text("<script>window.taken=1</script>")
            await untouched(visit)


async def test_what_is_typed_stays_text(stage: Stage) -> None:
    """A search, a filter and a why are shown as they were typed."""
    job, _ = await stage.failed(code=4)
    await stage.ledger.discard(job, by="user:oren", why=PAYLOAD)
    async with stage.visit(Role.OPERATOR) as visit:
        await visit.context.add_init_script(f"({WATCH})()")
        await visit.go("/")
        await visit.page.get_by_role("searchbox").fill(PAYLOAD)
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.locator("main")).to_contain_text(PAYLOAD)
        await untouched(visit)
        await visit.go("/dead")
        await expect(visit.page.locator("main")).to_contain_text(PAYLOAD)
        await untouched(visit)


async def test_a_script_that_is_put_into_the_page_does_not_run(stage: Stage) -> None:
    """The policy stops what no template would let through."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/")
        assert await visit.page.evaluate(PUT_IN) is None
        visit.forget("Content Security Policy")
