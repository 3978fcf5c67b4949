"""Pages of jobs and failed messages by a filter, and all that a text typed into a search field may mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.ids import is_job_id
from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.reasons import Catalogue
from worker.domain.search import Guess, SearchGuess, guess, prefixed_otherwise
from worker.domain.states import DeliveryState
from worker.ledger import JobFilter, Ledger
from worker.ledger.finding_messages import concerns_messages
from worker.ledger.search import keys_of
from worker.ops.names import names_of
from worker.ops.views import delivery_view, job_view

Page = dict[str, Any]
_NOT_OURS = "not one of our cursors"


@dataclass(frozen=True, slots=True)
class Looking:
    """What looking for jobs works with."""

    ledger: Ledger
    catalogue: Catalogue
    is_revealed: bool = False

    def view(self, job: JobRecord) -> dict[str, Any]:
        """Return a job as a row of a list."""
        return job_view(job, self.catalogue, is_revealed=self.is_revealed)

    async def views_of(self, messages: Sequence[DeliveryRecord]) -> list[dict[str, Any]]:
        """Return messages as rows of a list, with whom each is for; raises LedgerUnavailable."""
        names = await names_of(self.ledger, [each.id for each in messages], is_revealed=self.is_revealed)
        return [delivery_view(each, self.catalogue) | {"name": names[each.id]} for each in messages]


def page_of(items: list[dict[str, Any]], following: str | None, total: int, *, is_exact: bool = True) -> Page:
    """Return a page of a list, ready for JSON; a total that is not exact is the least there are."""
    return {"items": items, "next": following, "total": total, "is_total_exact": is_exact}


async def jobs_page(looking: Looking, wanted: JobFilter, *, cursor: str | None, limit: int) -> Page:
    """Return a page of jobs, newest first; raises LedgerUnavailable, ValueError (cursor)."""
    page = await looking.ledger.queries.find(wanted, cursor=cursor, limit=limit)
    items = [looking.view(record) for record in page.items]
    return page_of(items, page.next, page.total, is_exact=page.is_total_exact)


# --- the failed queue ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """Whose turn it is on a page of the failed queue: jobs come first, then messages."""

    is_of_jobs: bool = True
    others: int | None = None  #: how many there are of the other kind, once they were counted
    is_exact: bool = True
    cursor: str | None = None

    @classmethod
    def read(cls, cursor: str | None) -> _Turn:
        if cursor is None:
            return cls()
        parts = re.fullmatch(r"(link|message):(\d{1,15})(\+?):(.*)", cursor, re.ASCII)
        if parts is None:
            raise ValueError(_NOT_OURS)
        return cls(parts[1] == "link", int(parts[2]), not parts[3], parts[4] or None)

    def write(self) -> str:
        kind = "link" if self.is_of_jobs else "message"
        return f"{kind}:{self.others or 0}{'' if self.is_exact else '+'}:{self.cursor or ''}"


async def failed_page(looking: Looking, wanted: JobFilter, *, cursor: str | None, limit: int) -> Page:
    """Return a page of the failed queue: jobs, newest first, then messages (`stage` tells them apart).

    Its total is of both, `by_stage` of each. Raises LedgerUnavailable, ValueError (cursor).
    """
    turn = _Turn.read(cursor)
    if not turn.is_of_jobs:
        return await _messages_page(looking, wanted, turn, limit)
    find_messages = looking.ledger.deliveries.failed
    page = await looking.ledger.queries.find(wanted, cursor=turn.cursor, limit=limit)
    items = [looking.view(record) for record in page.items]
    messages, is_exact, following = turn.others, turn.is_exact, None
    if page.next is None and concerns_messages(wanted):
        rest = await find_messages(wanted, limit=limit - len(items))
        items += await looking.views_of(rest.items)
        messages, is_exact = rest.total, rest.is_total_exact
        if rest.next or (messages and len(items) == limit and not rest.items):
            following = _Turn(
                is_of_jobs=False, others=page.total, is_exact=page.is_total_exact, cursor=rest.next
            ).write()
    elif messages is None:
        counted = await find_messages(wanted, limit=0)
        messages, is_exact = counted.total, counted.is_total_exact
    if page.next is not None:
        following = _Turn(others=messages, is_exact=is_exact, cursor=page.next).write()
    by_stage = {"link": page.total, "delivery": messages or 0}
    return _failed_page_of(items, following, by_stage, is_exact=is_exact and page.is_total_exact)


def _failed_page_of(
    items: list[dict[str, Any]], following: str | None, by_stage: dict[str, int], *, is_exact: bool
) -> Page:
    return page_of(items, following, sum(by_stage.values()), is_exact=is_exact) | {"by_stage": by_stage}


async def _messages_page(looking: Looking, wanted: JobFilter, turn: _Turn, limit: int) -> Page:
    page = await looking.ledger.deliveries.failed(wanted, cursor=turn.cursor, limit=limit)
    following = None
    if page.next is not None:
        following = _Turn(
            is_of_jobs=False, others=turn.others, is_exact=turn.is_exact, cursor=page.next
        ).write()
    items = await looking.views_of(page.items)
    by_stage = {"link": turn.others or 0, "delivery": page.total}
    return _failed_page_of(items, following, by_stage, is_exact=page.is_total_exact and turn.is_exact)


async def messages_page(looking: Looking, state: DeliveryState, *, cursor: str | None, limit: int) -> Page:
    """Return a page of messages in *state*, as the failed queue shows them; raises LedgerUnavailable, ValueError (cursor)."""
    page = await looking.ledger.deliveries.find(state, cursor=cursor, limit=limit)
    items = await looking.views_of(page.items)
    by_stage = {"link": 0, "delivery": page.total}
    return _failed_page_of(items, page.next, by_stage, is_exact=page.is_total_exact)


# --- search ----------------------------------------------------------------------------------------------------


async def search_page(
    looking: Looking, text: str, *, cursor: str | None, limit: int, region: str
) -> dict[str, Any]:
    """Return the jobs that *text* may mean, by whatever it is, with what it seems to be (`kind`).

    What is meant for certain comes first: number, e-mail, external id, reference; then names.
    Raises LedgerUnavailable, ValueError (cursor).
    """
    guessed = guess(text, region=region)
    if guessed.kind is Guess.JOB_ID:
        page = await _by_id(looking, guessed.value)
    elif guessed.value:
        page = await _by_meaning_or_like(looking, guessed, text.strip(), cursor, limit)
    else:
        page = page_of([], None, 0)
    return {**page, "kind": guessed.kind.value}


async def _by_meaning_or_like(
    looking: Looking, guessed: SearchGuess, typed: str, cursor: str | None, limit: int
) -> Page:
    """Return what *typed* means; where that is nothing, what is called so but for a letter before a word."""
    meanings = _meanings(guessed, typed)
    like = [JobFilter(name=each) for each in prefixed_otherwise(typed)] if guessed.kind is Guess.OTHER else []
    if cursor is not None:
        is_like = _Reached.read(cursor).nth >= len(meanings)
        return await _by_meaning(looking, [*meanings, *(like if is_like else ())], cursor, limit)
    page = await _by_meaning(looking, meanings, None, limit)
    if like and not page["items"] and page["next"] is None:
        return await _by_meaning(looking, [*meanings, *like], None, limit)
    return page


def _meanings(guessed: SearchGuess, typed: str) -> list[JobFilter]:
    by_id = [JobFilter(external_id=typed), JobFilter(reference=typed)]
    match guessed.kind:
        case Guess.NUMBER:
            return [JobFilter(number=guessed.value), *by_id, JobFilter(name=typed)]
        case Guess.EMAIL:
            return [JobFilter(email=guessed.value), *by_id]
        case _:
            return [*by_id, JobFilter(name=typed)]


async def _by_id(looking: Looking, subject: str) -> Page:
    ids = [subject] if is_job_id(subject) else [subject + code for code in "w1234"]
    jobs = await looking.ledger.queries.jobs(ids)
    return page_of([looking.view(job) for job in jobs], None, len(jobs))


@dataclass(frozen=True, slots=True)
class _Reached:
    """Where a search goes on: in which of its meanings, and what was counted of all of them."""

    nth: int = 0
    total: int = 0
    is_exact: bool = True
    cursor: str | None = None

    @classmethod
    def read(cls, cursor: str) -> _Reached:
        parts = re.fullmatch(r"(\d{1,2}):(\d{1,15})(\+?):(.*)", cursor, re.ASCII)
        if parts is None:
            raise ValueError(_NOT_OURS)
        return cls(int(parts[1]), int(parts[2]), not parts[3], parts[4] or None)

    def write(self) -> str:
        return f"{self.nth}:{self.total}{'' if self.is_exact else '+'}:{self.cursor or ''}"


async def _by_meaning(
    looking: Looking, meanings: Sequence[JobFilter], cursor: str | None, limit: int
) -> Page:
    place = None if cursor is None else _Reached.read(cursor)
    if place is not None and place.nth >= len(meanings):
        raise ValueError(_NOT_OURS)
    start, inner = (0, None) if place is None else (place.nth, place.cursor)
    items: list[dict[str, Any]] = []
    following: tuple[int, str | None] | None = None
    totals: list[tuple[int, bool]] = []
    for nth, wanted in enumerate(meanings[start:], start=start):
        # Behind a page that goes on, what else there is is only counted, and that once.
        if following is not None and place is not None:
            break
        room = 0 if following is not None else limit - len(items)
        page = await looking.ledger.queries.find(wanted, cursor=inner, limit=room)
        items += [looking.view(job) for job in page.items if not _is_met(job, meanings[:nth])]
        totals.append((page.total, page.is_total_exact))
        if following is None and (page.next or (page.total and not room)):
            following = nth, page.next
        inner = None
    if following is None:
        total, is_exact = (len(items), True) if place is None else (place.total, place.is_exact)
        return page_of(items, None, total, is_exact=is_exact)
    total, is_exact = _sum(totals) if place is None else (place.total, place.is_exact)
    return page_of(
        items, _Reached(following[0], total, is_exact, following[1]).write(), total, is_exact=is_exact
    )


def _sum(totals: Sequence[tuple[int, bool]]) -> tuple[int, bool]:
    """Return how many there are of all meanings: what has two of them is one."""
    meant = [each for each in totals if each[0]]
    return max(meant, default=(0, True)) if len(meant) < 2 else (max(meant)[0], False)


def _is_met(job: JobRecord, meanings: Sequence[JobFilter]) -> bool:
    return any(keys_of(wanted).match(job.request, allotted=job.number) for wanted in meanings)
