"""One of each thing that the console shows, and every page to see it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.browser.stage import Stage
from worker.domain.act import Act
from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ledger.records import JobFilter

#: Name → path. What stands in braces is of the tour's own making.
PAGES: Mapping[str, str] = {
    "overview": "/",
    "groups": "/failed",
    "group": "/failed/number_invalid",
    "unknown_group": "/failed/{unknown_reason}",
    "jobs": "/jobs",
    "filtered": "/jobs?state=failed&reason=number_invalid&reference=CRM-77",
    "no_jobs": "/jobs?state=failed&reason=none_such",
    "failed_job": "/jobs/{failed}",
    "linked_job": "/jobs/{linked}",
    "edit": "/jobs/{failed}/edit",
    "search": "/search?q={number}",
    "nothing_found": "/search?q=nobody",
    "customers": "/customers",
    "customer": "/customers?q={number}",
    "watch": "/watch",
    "suppressed": "/suppressed",
    "acts": "/acts",
    "preview": "/acts/{preview}",
    "dead": "/dead",
    "audit": "/audit",
    "alerts": "/alerts",
    "batches": "/batches",
    "batch": "/batches/{batch}",
    "holds": "/holds",
    "mailbox": "/mailbox",
    "teach": "/failed/{unknown_reason}/teach",
    "entry": "/audit/{entry}",
    "account": "/account",
    "users": "/users",
    "keys": "/keys",
}


@dataclass(frozen=True)
class Tour:
    """What there is to see."""

    known: Mapping[str, str]
    texts: Mapping[str, Sequence[str]]

    def path(self, name: str, **query: str) -> str:
        """Return where a page is."""
        path = PAGES[name].format(**self.known)
        return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}" if query else path

    def says(self, name: str) -> Sequence[str]:
        """Return what has to stand in a page."""
        return self.texts.get(name, ())


async def a_tour(stage: Stage) -> Tour:
    """Make one of each thing."""
    failed, number = await stage.failed(code=4, business_name="Cedar Photography", reference="CRM-77")
    await stage.failed(code=777)
    given_up, _ = await stage.failed(code=4, business_name="Harbor Bikes")
    await stage.ledger.discard(given_up, by="cli:test", why="closed their shop")
    linked = await stage.accept(business_name="פרחי דנה")
    batch = await stage.batch("spring.csv", 3)
    await stage.reaches(JobState.LINKED, linked)
    preview = await stage.session.acts.preview(
        Act.REQUEUE, JobFilter(reason="number_invalid"), states=[JobState.FAILED], by="user:oren"
    )
    [entry, *_] = (await stage.ledger.trail.find(act="discard")).items
    known = {
        "failed": failed,
        "linked": linked,
        "number": number,
        "unknown_reason": "unknown_777",
        "batch": batch,
        "preview": str(preview["act_id"]),
        "entry": entry.id,
    }
    texts = {
        "overview": ("Overview", "failed"),
        "groups": ("number_invalid", "Correct the number"),
        "group": ("Correct the number",),
        "unknown_group": ("unknown_777",),
        "jobs": ("WhatsApp",),
        "filtered": (failed,),
        "no_jobs": ("No job matches",),
        "failed_job": ("Cedar Photography", "number_invalid", "Correct the number", "CRM-77"),
        "linked_job": ("פרחי דנה",),
        "search": (failed,),
        "customer": (failed,),
        "dead": ("number_invalid",),
        "audit": ("signed in",),
        "batches": ("spring.csv",),
        "users": (Role.VIEWER.value, "vera"),
        "nothing_found": ("Nothing found",),
    }
    return Tour(known, texts)
