"""What a role may not do is not offered, and refused when it is asked for all the same."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.stage import Stage
from tests.browser.tour import Tour
from worker.domain.roles import Role
from worker.domain.states import JobState

#: The pages on which somebody else may act.
WITH_ACTS = ("failed_job", "linked_job", "group", "jobs", "customer", "preview", "dead", "batch", "holds")
FORCED = """async ([path, fields]) => {
  const body = new URLSearchParams({ _csrf: document.querySelector("[name=_csrf]").value, ...fields });
  return (await fetch(path, { method: "POST", body, redirect: "manual" })).status;
}"""


async def test_a_viewer_is_offered_no_act(stage: Stage, tour: Tour) -> None:
    """Where an operator finds forms that post, a viewer finds none."""
    async with stage.visit(Role.VIEWER) as visit:
        for name in WITH_ACTS:
            await visit.go(tour.path(name))
            forms = visit.page.locator("main form[method=post]:has(button:visible, input:visible)")
            assert (name, await forms.count()) == (name, 0)


async def test_a_viewers_forced_act_is_refused_and_recorded(stage: Stage) -> None:
    """A POST with his own good token is answered 403; the job stays, and the audit tells of the try."""
    job, _ = await stage.failed(code=4)
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go(f"/jobs/{job}")
        statuses = [
            await visit.page.evaluate(FORCED, [path, {"why": "mine"}])
            for path in (
                f"/jobs/{job}/requeue",
                f"/jobs/{job}/discard",
                f"/jobs/{job}/reveal",
                f"/jobs/{job}/edit",
            )
        ]
        assert statuses == [403] * 4
        visit.forget("403")
    assert await stage.state(job) is JobState.FAILED
    refused = (await stage.ledger.trail.find(by="user:vera", limit=50)).items
    assert any("refused" in entry.act for entry in refused)


@pytest.mark.parametrize("path", ["/users", "/keys"])
async def test_an_operator_does_not_manage_people_or_keys(stage: Stage, path: str) -> None:
    """The pages of admins say whose they are, and are not in the navigation."""
    async with stage.visit(Role.OPERATOR) as visit:
        response = await visit.go(path)
        assert response.status == 403
        await expect(visit.page.locator("main")).to_contain_text("admin")
        await expect(visit.page.locator(f".sidebar a[href='{path}']")).to_have_count(0)
        visit.forget("403")


async def test_a_stale_token_changes_nothing(stage: Stage) -> None:
    """A form that carries another session's token is refused."""
    job, _ = await stage.failed(code=4)
    async with stage.visit(Role.OPERATOR) as visit:
        await visit.go(f"/jobs/{job}")
        assert await visit.page.evaluate(FORCED, [f"/jobs/{job}/discard", {"_csrf": "0" * 64}]) == 403
        visit.forget("403")
    assert await stage.state(job) is JobState.FAILED
