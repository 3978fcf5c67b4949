"""`make shots`: fill a sandbox with a day's work, and photograph the console and the messages for the docs.

python -m tests.browser.shots [FOLDER] [NAME…]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.browser.past import Past
from tests.browser.pictures import shrunk
from tests.browser.shots_messages import photograph_messages
from tests.browser.stage import Stage, a_stage
from tests.browser.visit import PHONE
from worker.domain.act import Act
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter

ROOT = Path(__file__).parents[2]
MOST_BYTES = 150_000
TALL = {"width": 1280, "height": 1060}  #: the overview with its charts
#: Name → path, and how the window differs from the ordinary one.
SHOTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "login": ("/login", {"signed_out": True}),
    "overview": ("/", {"viewport": TALL}),
    "overview-dark": ("/", {"viewport": TALL, "color_scheme": "dark"}),
    "overview-he": ("/", {"viewport": TALL, "lang": "he"}),
    "overview-phone": ("/", {"viewport": PHONE}),
    "groups": ("/failed", {}),
    "group": ("/failed/number_invalid", {}),
    "jobs": ("/jobs?state=failed", {}),
    "job": ("/jobs/{job}", {}),
    "job-dark": ("/jobs/{job}", {"color_scheme": "dark"}),
    "job-he": ("/jobs/{job}", {"lang": "he"}),
    "job-phone": ("/jobs/{job}", {"viewport": PHONE}),
    "edit": ("/jobs/{job}/edit", {}),
    "customer": ("/customers?q={number}", {}),
    "preview": ("/acts/{preview}", {}),
    "act": ("/acts/{act}", {}),
    "dead": ("/dead", {}),
    "audit": ("/audit", {}),
    "holds": ("/holds", {}),
    "batches": ("/batches", {}),
    "mailbox": ("/mailbox", {}),
}
VISITORS = (
    ("Harbor Bikes", "Sam", "en"),
    ("קפה הטיילת", "Roni", "he"),
    ("Lilac Studio", "Lily", "en"),
    ("סטודיו אורן", "Oren", "he"),
)


async def main(folder: Path, names: Sequence[str]) -> None:
    """Make the pictures *names*, or all, in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lf-") as place:
        async with a_stage(Path(place), provider_rate=12, workers=0) as stage:
            known = await a_day(stage)
            for name in names or SHOTS:
                path, options = SHOTS[name]
                await shoot(stage, folder / f"{name}.png", path.format(**known), dict(options))
    if not names:
        await photograph_messages(folder / "messages")


async def shoot(stage: Stage, picture: Path, path: str, options: dict[str, Any]) -> None:
    """Photograph one page; raises AssertionError for a picture that is too heavy for a page of docs."""
    language, is_signed_out = options.pop("lang", "en"), options.pop("signed_out", False)
    window = stage.stranger(**options) if is_signed_out else stage.visit(Role.ADMIN, **options)
    async with window as visit:
        await visit.go(f"/login?lang={language}")
        await visit.go(path)
        await visit.page.evaluate("document.fonts.ready")
        picture.write_bytes(
            await shrunk(visit.page, await visit.page.screenshot(animations="disabled", caret="hide"))
        )
    assert picture.stat().st_size <= MOST_BYTES, f"{picture.name}: {picture.stat().st_size} bytes"


async def a_day(stage: Stage) -> dict[str, str]:
    """Fill the stage; return what the addresses of the pages are made with."""
    past = Past(stage, now_ms=round(time.time() * 1000))
    # Else a look-up would explain them: the partner's list says whose number is not registered.
    await stage.numbers(registered=past.unexplained())
    await past.make()
    await past.held("branches-north.csv", 24, reason="unknown_31")
    stage.stack.start_worker()
    stage.stack.start_worker()
    await _give_up(stage)
    act = await _mend(stage)
    job = await _of_interest(stage)
    preview = await stage.session.acts.preview(
        Act.REQUEUE, JobFilter(), states=[JobState.FAILED], by="user:oren"
    )
    await _visitors(stage)
    await _alerted(stage)
    found = await stage.ledger.queries.job(job)
    assert found is not None
    return {"job": job, "number": str(found.request.number), "act": act, "preview": str(preview["act_id"])}


async def _give_up(stage: Stage) -> None:
    """Let some be dead letters."""
    page = await stage.session.queries.jobs(JobFilter(state=JobState.FAILED, reason="foreign_link"), limit=4)
    whys = ("closed the shop", "asked us to stop", "a double of CRM-1031", "moved to another agency")
    for each, why in zip(page["items"], whys, strict=False):
        await stage.ledger.discard(each["job_id"], by="user:oren", why=why)


async def _mend(stage: Stage) -> str:
    """Requeue one reason's jobs, of which a few fail again; return the act."""
    page = await stage.session.queries.jobs(
        JobFilter(state=JobState.FAILED, reason="number_not_registered"), limit=50, is_revealed=True
    )
    await stage.refuse(*[each["number"] for each in page["items"][6::9]], code=4)
    wanted = JobFilter(reason="number_not_registered")
    act = await stage.session.acts.preview(Act.REQUEUE, wanted, states=[JobState.FAILED], by="user:oren")
    await stage.session.acts.start(act["act_id"], by="user:oren", why="registered by the agency this morning")

    async def is_done() -> bool:
        document = await stage.session.acts.get(act["act_id"])
        return document is not None and document["state"] == "done"

    await stage.stack.until(is_done, "the act is done", within_s=60)
    return str(act["act_id"])


async def _of_interest(stage: Stage) -> str:
    """Return a job with a story: refused, requeued, refused again."""
    names = {"business_name": "פרחי דנה", "display_name": "פרחי דנה"}
    job, _ = await stage.failed(code=4, source="crm:hubspot", reference="CRM-1212", **names)
    await stage.ledger.requeue(job, by="user:oren", why="the customer says the number is right")
    stage.stack.bell.ring([job], Lane.LIVE)
    await stage.reaches(JobState.FAILED, job)
    return job


async def _alerted(stage: Stage) -> None:
    """Let the hold be told of: else it depends on the machine's speed which pictures count it."""

    async def is_open() -> bool:
        return await stage.ledger.incidents.open_count() > 0

    await stage.stack.until(is_open, "an alert is open", within_s=60)


async def _visitors(stage: Stage) -> None:
    """Let a few customers of this minute in, for the mailbox."""
    jobs = []
    for name, person, locale in VISITORS:
        contact = Contact(name=person, email=f"{person.lower()}@example.com", locale=locale)
        names = {"business_name": name, "display_name": name}
        jobs.append(await stage.accept(source="crm:hubspot", contact=contact, **names))
    await stage.reaches(JobState.LINKED, *jobs)

    async def are_sent() -> bool:
        return len(await stage.stack.outbox()) >= len(jobs)

    await stage.stack.until(are_sent, "the mails are sent")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "images"), sys.argv[2:]))
