"""Erasing a customer who asks for it: what is held of him, what stands in the way, and the erasing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from worker.domain.forgetting import Person, person_of, reached_by
from worker.domain.ids import INVITATION_ID_LENGTH
from worker.domain.job import JobRecord
from worker.domain.request import Product
from worker.domain.search import Guess, SearchGuess, guess
from worker.domain.states import ENDED_STATES, DeliveryState, JobState
from worker.ledger import JobFilter, Ledger
from worker.ledger.forgetting import Held
from worker.ops.forgetting_words import cleaned, is_about
from worker.ops.kin import EVERY, all_of, customers_of, look_for, of_invitations
from worker.ops.scene import Scene
from worker.ops.views import iso, shown_number
from worker.ops.words import Said, said

_CANDIDATES = 20
_MOST_PAGES = 20  #: of jobs that share a number or an address with the customer's
_LINK_STANDS = "forget_link_stands"
#: States in which the partner was asked for something, and keeps what it was told.
_AT_PARTNER = frozenset({JobState.LINKED, JobState.ONBOARDED, JobState.REVOKED})


class ForgetRefusedError(Exception):
    """Nothing is erased; the text says why and what to do."""

    def __init__(self, code: str) -> None:
        """Refuse for *code*, which is among `WORDS`."""
        self.said = said(code)
        super().__init__(self.said["text"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands in the way of erasing one job."""

    job_id: str
    code: str

    @property
    def needs_revoke(self) -> bool:
        """Tell whether deleting the link at the partner would clear it away."""
        return self.code == _LINK_STANDS

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"job_id": self.job_id, "code": self.code, "text": said(self.code)["text"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is held of one customer."""

    kind: Guess
    person: Person
    jobs: tuple[JobRecord, ...] = ()
    messages: int = 0
    held: tuple[Held, ...] = ()  #: events that came in, entries of the trail and bulk acts that tell of him
    stopped: tuple[str, ...] = ()  #: his contacts that stand on the stop list
    blocks: tuple[Block, ...] = ()
    shared: int = 0  #: numbers and addresses that are others' as well
    #: where several customers fit: nothing else is looked at
    candidates: tuple[tuple[JobRecord, ...], ...] = ()
    is_whole: bool = True

    @property
    def is_anything(self) -> bool:
        """Tell whether there is anything to erase."""
        return bool(self.jobs or self.held or self.stopped)

    def count(self, kind: str) -> int:
        """Return how many things of a kind are held: `event`, `trail`, `act`."""
        return sum(each.kind == kind for each in self.held)

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON; nothing in it is personal."""
        return {
            "kind": self.kind.value,
            "found": self.is_anything or bool(self.candidates),
            "candidates": [_candidate(jobs) for jobs in self.candidates[:_CANDIDATES]],
            "customers": len(self.candidates) or int(self.is_anything),
            "jobs": [_row(job) for job in self.jobs],
            "counts": {
                "jobs": len(self.jobs),
                "messages": self.messages,
                "events": self.count("event"),
                "trail": self.count("trail"),
                "acts": self.count("act"),
                "stop_list": len(self.stopped),
            },
            "blocked": [each.document() for each in self.blocks],
            "notes": list(_notes(self)),
            "done": False,
        }


class Forgetting:
    """Finds what is held of a customer, and erases it."""

    def __init__(self, scene: Scene) -> None:
        """Look and erase in the ledger of *scene*."""
        self._scene = scene
        self._ledger: Ledger = scene.ledger

    async def look(self, query: str, *, is_all: bool = False) -> Found:
        """Return what is held of the customer that *query* means: a number, an e-mail address or a job's id.

        Where several fit, they are `candidates`, unless *is_all* means all of them. Nothing is changed.

        Raises:
            ForgetRefusedError: it is none of these.
            LedgerUnavailable: see `errors`.
        """
        wanted = guess(query, region=self._scene.region)
        if wanted.kind is Guess.OTHER:
            raise ForgetRefusedError("forget_nobody")
        jobs, is_whole = await self._jobs_of(wanted)
        customers = customers_of(jobs)
        if wanted.kind is Guess.JOB_ID:
            customers = customers[:1]
        if len(customers) > 1 and not is_all:
            return Found(kind=wanted.kind, person=Person(), candidates=tuple(map(tuple, customers)))
        # All at once: thousands may share an agency's address, and each would read all of the others.
        meant = [job for members in customers for job in members]
        kin, has_all = await all_of(self._scene, meant, most=EVERY)
        direct = {job.invitation_id for job in meant}
        # What *query* leads to goes last: said again after a crash, it still leads to the rest.
        kin.sort(key=lambda job: job.invitation_id in direct)
        # An invitation is erased as a whole.
        jobs = await of_invitations(self._scene, (job.invitation_id for job in kin))
        return await self._whole(wanted, jobs, is_whole=is_whole and has_all)

    async def erase(
        self,
        found: Found,
        *,
        by: str,
        why: str,
        is_stopped: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> tuple[dict[str, int], list[Block]]:
        """Erase what was found, and return what went, by kind, and what stands in the way of the rest.

        *is_stopped*: a fingerprint of his contacts stays on the stop list, so that nobody writes to him again. What
        others wrote goes first and his jobs last, each invitation at once: said again after a crash, it goes on.
        *on_progress* hears how many of his jobs are erased, and of how many.

        Raises:
            ForgetRefusedError: *why* names him.
            LedgerUnavailable, LedgerFull: some may be erased; say it again.
        """
        if found.person.is_named_in(why):
            raise ForgetRefusedError("forget_why_names")
        if found.blocks:
            return {}, list(found.blocks)
        counts = {name: count for name, count in found.document()["counts"].items() if count}
        # Said first: an erasing that breaks off is in the trail as well.
        await self._ledger.trail.record("forget", by=by, why=why, detail=counts)
        gone = {"events": 0, "words": 0, "stop_list": 0, "jobs": 0, "messages": 0, "told": 0}
        for each in found.held:
            if not await self._clean(each, found.person, gone):
                # It may make a new job of his: what leads to it stays until it has ended.
                return gone, [Block(job_id="", code="forget_event_working")]
        for contact in found.person.contacts:
            kept = await self._ledger.forgetting.contact(contact, is_added=is_stopped, by=by, why=why)
            gone["stop_list"] += kept
        await self._forget_numbers(found.person)
        tell = on_progress or _tell_nobody
        return gone, await self._erase_jobs(found, gone, tell, by=by, why=why)

    async def _erase_jobs(
        self, found: Found, gone: dict[str, int], tell: Callable[[int, int], None], *, by: str, why: str
    ) -> list[Block]:
        blocks = []
        for invitation in dict.fromkeys(job.invitation_id for job in found.jobs):
            erased = await self._ledger.forgetting.invitation(invitation, by=by, why=why)
            if erased.refusal is not None:
                blocks.append(Block(job_id=str(erased.subject), code=f"forget_{erased.refusal}"))
            gone["jobs"] += erased.jobs
            gone["messages"] += erased.messages
            gone["told"] += erased.events
            tell(gone["jobs"], len(found.jobs))
        return blocks

    async def _clean(self, held: Held, person: Person, gone: dict[str, int]) -> bool:
        """Take what tells of him away; False where an event is being worked on. Raises LedgerUnavailable."""
        if held.kind != "event":
            gone["words"] += await self._ledger.forgetting.words(held, cleaned(held, person))
            return True
        is_gone = await self._ledger.forgetting.event(held.id)
        gone["events"] += is_gone
        return is_gone or await self._ledger.intake.get(held.id) is None

    async def _forget_numbers(self, person: Person) -> None:
        """Take his numbers out of what was last seen at the partner; raises LedgerUnavailable."""
        numbers = (await self._ledger.completing.view()).numbers
        others = [
            each
            for each in numbers
            if each.number not in person.numbers
            and (each.job_id or "")[:INVITATION_ID_LENGTH] not in person.invitations
        ]
        if len(others) < len(numbers):
            await self._ledger.completing.note(numbers=others)

    # --- looking -----------------------------------------------------------------------------------------------

    async def _jobs_of(self, wanted: SearchGuess) -> tuple[list[JobRecord], bool]:
        """Return the jobs that are looked for, by the search index and by a look at every request."""
        jobs, is_whole = await look_for(self._scene, wanted, most=EVERY)
        if wanted.kind is Guess.JOB_ID:
            return jobs, is_whole
        known = {job.invitation_id for job in jobs}
        value = wanted.value.casefold()
        async for some in self._ledger.forgetting.held("request"):
            for each in some:
                if each.id not in known and value in each.words["record"].casefold():
                    found = await of_invitations(self._scene, [each.id])
                    jobs += [job for job in found if value in reached_by(job)]
        return jobs, is_whole

    async def _whole(self, wanted: SearchGuess, jobs: list[JobRecord], *, is_whole: bool) -> Found:
        person, shared = await self._person(wanted, jobs)
        blocks = [Block(job_id=job.id, code=code) for job in jobs if (code := _block_of(job))]
        messages = 0
        for invitation in person.invitations:
            for each in await self._ledger.deliveries.of_invitation(invitation):
                messages += 1
                if each.state is DeliveryState.SENDING:
                    blocks.append(Block(job_id=each.job_ids[0], code="forget_being_sent"))
        held = []
        async for some in self._ledger.forgetting.held("trail", "act", "event"):
            held += [each for each in some if is_about(each, person)]
        if any(each.kind == "event" and each.words.get("s") == "working" for each in held):
            blocks.append(Block(job_id="", code="forget_event_working"))
        stopped = await self._ledger.suppressing.named(sorted(person.contacts))
        return Found(
            kind=wanted.kind,
            person=person,
            jobs=tuple(jobs),
            messages=messages,
            held=tuple(held),
            stopped=tuple(stopped),
            blocks=tuple(blocks),
            shared=shared,
            is_whole=is_whole,
        )

    async def _person(self, wanted: SearchGuess, jobs: list[JobRecord]) -> tuple[Person, int]:
        """Return whom to forget, and how many of his numbers and addresses are others' as well."""
        reached = {each for job in jobs for each in reached_by(job)}
        invitations = {job.invitation_id for job in jobs}
        shared = {each for each in sorted(reached) if await self._is_anothers(each, invitations)}
        person = person_of(jobs, shared=shared)
        if wanted.kind is Guess.NUMBER:
            person = replace(person, numbers=person.numbers | {wanted.value})
        elif wanted.kind is Guess.EMAIL:
            person = replace(person, emails=person.emails | {wanted.value.casefold()})
        return person, len(shared)

    async def _is_anothers(self, contact: str, invitations: set[str]) -> bool:
        wanted = JobFilter(email=contact) if "@" in contact else JobFilter(number=contact)
        cursor = None
        for _ in range(_MOST_PAGES):
            page = await self._ledger.queries.find(wanted, cursor=cursor)
            if any(job.invitation_id not in invitations for job in page.items):
                return True
            cursor = page.next
            if cursor is None:
                break
        return False


def _tell_nobody(_erased: int, _total: int) -> None:
    """Be told of progress in vain."""


def _block_of(job: JobRecord) -> str | None:
    """Return why the job can't be erased yet; `forget.lua` decides the same when it comes to it."""
    if job.state in {JobState.RUNNING, JobState.IN_DOUBT}:
        return f"forget_is_{job.state.value}"
    if job.op and job.state not in ENDED_STATES:
        return "forget_change_pending"
    if job.product is not Product.WHATSAPP:
        return None
    may_stand = job.op in {"rd", "v"} or job.reason == "replaced_link_stands"
    is_open = job.state is JobState.LINKED or (job.state is JobState.FAILED and may_stand)
    return _LINK_STANDS if is_open else None


def _row(job: JobRecord) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "product": job.product.value,
        "state": job.state.value,
        "number": shown_number(job.number, is_revealed=False),
        "source": job.source,
        "accepted_at": iso(job.accepted_at_ms),
        "changed_at": iso(job.changed_at_ms),
    }


def _candidate(jobs: tuple[JobRecord, ...]) -> dict[str, Any]:
    return {**_row(jobs[0]), "jobs": len(jobs)}


def _notes(found: Found) -> Iterable[Said]:
    """Yield what stays elsewhere."""
    if any(job.state in _AT_PARTNER or job.attempt for job in found.jobs):
        yield said("forget_note_partner")
    if any(job.product is not Product.WHATSAPP and job.state is JobState.LINKED for job in found.jobs):
        yield said("forget_note_facebook")
    for source in sorted({job.source for job in found.jobs if job.source.startswith("crm:")}):
        yield said("forget_note_crm", source=source)
    if found.shared:
        yield said("forget_note_shared", count=found.shared)
    if found.is_anything:
        yield said("forget_note_files")
    if not found.is_whole:
        yield said("forget_note_more")
