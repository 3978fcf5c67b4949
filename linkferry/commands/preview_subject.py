"""Whose message is shown: a made-up customer's, that of a row of a file, or that of a job."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from linkferry.commands import filters
from linkferry.commands.preview_options import Wanted
from linkferry.frame import USAGE, CommandError
from linkferry.onlooker import on_known_redis
from linkferry.session import run_session
from producers.backfill.columns import read_map
from producers.backfill.intake import BackfillOptions, Intake
from producers.backfill.problems import InputProblemError
from producers.backfill.reading import ReadOptions
from worker.dispatch.preview import (
    FIXTURES,
    SAMPLE_DATE,
    Fixture,
    sample_delivery,
    sample_links,
)
from worker.domain.brand import Brand, LiveBrands
from worker.domain.ids import invitation_of, job_id
from worker.domain.job import ClaimedDelivery, JobRecord, LinkToSend
from worker.domain.parse import InvalidRequest, ParseRules
from worker.domain.request import OnboardingRequest
from worker.domain.states import JobState
from worker.ledger import Ledger, LedgerUnavailable, open_redis
from worker.main import own_brand
from worker.settings import Settings

if TYPE_CHECKING:
    from linkferry.session import Session

DEFAULT_FIXTURE = "several"
_ROW = "--row"
#: What a customer's own message can be shown as; the other fixtures differ in their made-up data alone.
_VARIANTS = {
    "further": "a link that came later",
    "replaced": "a link that replaces one",
    "reminder": "the first reminder",
    "last-reminder": "the second reminder",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A message to be shown: its delivery, in whose name, and when it is written."""

    delivery: ClaimedDelivery
    brand: Brand
    told_at: datetime
    about: str  #: what it is, for the reader


def find_subject(settings: Settings, wanted: Wanted) -> Subject:
    """Return the message that was asked for; raises CommandError where there is none of that name, SettingsError."""
    fixture = _fixture(wanted.fixture)
    if wanted.fixture not in {None, *_VARIANTS} and (wanted.job or wanted.file):
        message = (
            f"--fixture {wanted.fixture} is made-up data. Of a customer's own message show one of "
            f"{', '.join(_VARIANTS)}; or leave out FILE and --job."
        )
        raise CommandError(message, exit_code=USAGE)
    if wanted.job is not None:
        return _of_job(settings, wanted, fixture)
    if wanted.file is None:
        locale = wanted.locale or settings.default_locale
        chosen = fixture or FIXTURES[DEFAULT_FIXTURE]
        delivery, about = chosen.delivery(locale), f"made-up data: {chosen.about}"
    else:
        request, line = _row(settings, wanted, wanted.file)
        delivery = _as_fixture(sample_delivery(_in(request, wanted.locale)), fixture)
        about = f"row {line} of {wanted.file.name}{_variant(wanted)}; its links are made up"
    brand = _known_brand(settings, wanted.brand, delivery.request)
    told_at = datetime.now(UTC) if wanted.file else SAMPLE_DATE
    return Subject(delivery=delivery, brand=brand, told_at=told_at, about=about)


# --- a row -------------------------------------------------------------------------------------------------


def _row(settings: Settings, wanted: Wanted, path: Path) -> tuple[OnboardingRequest, int]:
    rules = ParseRules(region=settings.default_region, locale=settings.default_locale, accept_names=True)
    try:
        options = BackfillOptions(
            rules=rules,
            mapping=tuple(read_map(text) for text in wanted.mapping),
            reading=ReadOptions(encoding=wanted.encoding, delimiter=wanted.delimiter, sheet=wanted.sheet),
        )
        intake = Intake(path, options)
        try:
            return _read_row(intake, wanted.row)
        finally:
            intake.close()
    except InputProblemError as problem:
        # One about the file itself names it.
        is_named = problem.message.startswith(str(path))
        message = f"{'' if is_named else f'{path.name}: '}{problem.message} {problem.remedy}"
        raise CommandError(message, exit_code=USAGE) from problem


def _read_row(intake: Intake, wanted: int | None) -> tuple[OnboardingRequest, int]:
    last = 0
    for row in intake.rows():
        if wanted is not None and row.line > wanted:
            where = (
                "nothing stands in that row"
                if last
                else f"no customer stands in that row; the first is row {row.line}"
            )
            message = f"{_ROW} {wanted}: {where}. Rows are counted as reports count them."
            raise CommandError(message, exit_code=USAGE)
        last = row.line
        if wanted is not None and row.line < wanted:
            continue
        _, parsed = intake.read(row)
        if isinstance(parsed, InvalidRequest):
            wrong = "; ".join(f"{each.message}. {each.remedy}" for each in parsed.problems)
            message = f"{_ROW} {row.line}: no message is made for it: {wrong}"
            raise CommandError(message)
        return parsed.request, row.line
    if not last:
        message = "The file has no row below its header."
        raise CommandError(message, exit_code=USAGE)
    message = (
        f"{_ROW} {wanted}: the file has no such row; the last one is {last}. "
        "Rows are counted as reports count them."
    )
    raise CommandError(message, exit_code=USAGE)


# --- a job -------------------------------------------------------------------------------------------------


def _of_job(settings: Settings, wanted: Wanted, fixture: Fixture | None) -> Subject:
    found: list[Subject] = []

    async def look(session: Session) -> int:
        found.append(await _job_subject(session, wanted, fixture))
        return 0

    run_session(settings, look)
    return found[0]


async def _job_subject(session: Session, wanted: Wanted, fixture: Fixture | None) -> Subject:
    job = (wanted.job or "").strip()
    record = await session.ledger.queries.job(job)
    if record is None:
        message = f"There is no job {job}. See `linkferry job list`."
        raise CommandError(message)
    # Whoever looks at the message sees its customer's name and links.
    await session.trail.reveal(by=filters.operator(), subject=job, what="message")
    invitation = invitation_of(record.id)
    products = record.request.products
    records = await session.ledger.queries.jobs([job_id(invitation, each) for each in products])
    request = _in(record.request, wanted.locale)
    linked = [each for each in records if each.link and each.state in {JobState.LINKED, JobState.ONBOARDED}]
    delivery = replace(
        sample_delivery(request, _links(request, linked, invitation)), invitation_id=invitation
    )
    about = f"job {record.id}{_variant(wanted)}" + (
        "" if linked else "; it has no link, so that those shown are made up"
    )
    return Subject(
        delivery=_as_fixture(delivery, fixture),
        brand=_chosen(session.brands, wanted.brand, request),
        told_at=datetime.now(UTC),
        about=about,
    )


def _links(request: OnboardingRequest, linked: list[JobRecord], invitation: str) -> list[LinkToSend]:
    """Return the links that stand; where there is none (yet, or any more), made-up ones for all products."""
    if not linked:
        return [replace(each, job_id=job_id(invitation, each.product)) for each in sample_links(request)]
    return [
        LinkToSend(
            job_id=each.id,
            product=each.product,
            link=each.link or "",
            number=each.number,
            replaces_at_ms=each.replaced_at_ms,
        )
        for each in linked
    ]


# --- both --------------------------------------------------------------------------------------------------


def _fixture(name: str | None) -> Fixture | None:
    if name is None:
        return None
    if name not in FIXTURES:
        message = (
            f"--fixture {name}: say one of {', '.join(FIXTURES)}; `linkferry preview --list` explains them."
        )
        raise CommandError(message, exit_code=USAGE)
    return FIXTURES[name]


def _variant(wanted: Wanted) -> str:
    return f", as {_VARIANTS[wanted.fixture]}" if wanted.fixture else ""


def _as_fixture(delivery: ClaimedDelivery, fixture: Fixture | None) -> ClaimedDelivery:
    """Return *delivery* as the variant that *fixture* is: a reminder, a replacement, …."""
    return delivery if fixture is None else fixture.variant_of(delivery)


def _in(request: OnboardingRequest, locale: str | None) -> OnboardingRequest:
    return replace(request, contact=replace(request.contact, locale=locale or request.contact.locale))


def _known_brand(settings: Settings, name: str | None, request: OnboardingRequest) -> Brand:
    """Return the brand by the ledger where there is one; nothing is made there just to be looked at."""
    brands = LiveBrands(partial(own_brand, settings))
    with on_known_redis(settings, is_calling=False) as known:
        if known.redis_url is not None:
            _refresh(brands, known, is_needed=bool(name))
    return _chosen(brands, name, request)


def _refresh(brands: LiveBrands, settings: Settings, *, is_needed: bool) -> None:
    async def refresh() -> None:
        redis = open_redis(settings.redis_url_required)
        try:
            await Ledger(redis, namespace=settings.namespace).brands.refresh(brands)
        finally:
            await redis.aclose()

    if is_needed:
        asyncio.run(refresh())
        return
    with suppress(LedgerUnavailable):
        asyncio.run(refresh())


def _chosen(brands: LiveBrands, name: str | None, request: OnboardingRequest) -> Brand:
    if name is None:
        return brands.chosen(request.brand)
    brand = brands.named(name.strip().casefold())
    if brand is None:
        known = ", ".join(brands.names) or "none"
        message = f"--brand {name}: there is no such brand. Known: {known}. See `linkferry brand list`."
        raise CommandError(message, exit_code=USAGE)
    return brand
