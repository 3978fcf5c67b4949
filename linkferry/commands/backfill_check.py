"""Looking a file over before anything is recorded: the dry run, the partner's lists, the logos."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from linkferry.commands.backfill_view import why_missing
from linkferry.frame import USAGE, CommandError
from linkferry.onlooker import open_onlooker
from linkferry.progress import checking_progress
from linkferry.session import quiet_logs
from producers.backfill.checks import RowCheck
from producers.backfill.dry_run import RUN, DryRunResult, Scope, dry_run
from producers.backfill.forecast import Forecast
from producers.backfill.intake import BackfillOptions
from producers.backfill.logos import LogoCheck, LogoFetcher
from producers.backfill.preflight import Missing, Preflight
from worker.domain.brand import LiveBrands, read_brand
from worker.domain.fields import Notes
from worker.domain.parse import Problem
from worker.domain.reasons import Catalogue
from worker.settings import Settings

PROBLEMS_KEPT = 10_000  #: rows whose problems `--json` prints; the report has all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be looked at besides the rows' own text."""

    is_preflight: bool = False
    is_only_ready: bool = False
    has_logos: bool = False
    has_report: bool = False  #: bad rows go into a file
    is_quiet: bool = False
    run: str = RUN  #: for the names of the result files


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was found."""

    result: DryRunResult
    forecast: Forecast
    preflight: Preflight | None
    logos: LogoCheck | None
    problems: list[tuple[int, tuple[Problem, ...]]] = field(default_factory=list)  #: the first rows'

    def as_document(self, catalogue: Catalogue) -> dict[str, Any]:
        """Return it as `--json` prints a dry run."""
        expected = self.forecast
        return {
            **self.result.as_document(),
            "calls": expected.calls,
            "eta_s": round(expected.eta_s, 1),
            "rate": expected.rate,
            "waiting_ahead": expected.waiting_ahead,
            "calls_stopped": expected.stopped,
            "problems": [_problem_view(line, problems) for line, problems in self.problems],
            "problems_left_out": self.result.tally.rejected - len(self.problems),
            **self.checks_document(catalogue),
        }

    def checks_document(self, catalogue: Catalogue) -> dict[str, Any]:
        """Return what the checks found, as `--json` prints it; empty where none was asked for."""
        document: dict[str, Any] = {}
        if self.preflight is not None:
            document["preflight"] = self.preflight.as_document()
            for missing in document["preflight"]["missing"].values():
                missing["why"] = why_missing(Missing(**missing), catalogue)
        if self.logos is not None:
            document["logos"] = self.logos.as_document()
        return document


def _problem_view(line: int, problems: tuple[Problem, ...]) -> dict[str, Any]:
    return {
        "line": line,
        "problems": [
            {"field": each.field, "code": each.code, "message": each.message, "remedy": each.remedy}
            for each in problems
        ],
    }


def look_over(
    settings: Settings, source: Path | BinaryIO, options: BackfillOptions, wishes: Wishes
) -> Looked:
    """Read the whole file and return what was found; *settings* as `onlooker.on_known_redis` gives them.

    Raises:
        InputProblemError: what would stop a run before its first row.
        SchemaMismatch: the ledger is another version's.
    """
    quiet_logs()
    return asyncio.run(_look_over(settings, source, options, wishes))


def with_brands(options: BackfillOptions, brands: LiveBrands) -> BackfillOptions:
    """Return the options with the brands that rows may name; raises CommandError for a `--brand` that is none."""
    notes = Notes()
    if options.rules.brand is not None and read_brand(options.rules.brand, brands, notes) is None:
        [problem] = notes.errors
        message = f"--brand: {problem.message}. {problem.remedy} Nothing was recorded."
        raise CommandError(message, exit_code=USAGE)
    return replace(options, rules=replace(options.rules, brands=brands))


async def _look_over(
    settings: Settings, source: Path | BinaryIO, options: BackfillOptions, wishes: Wishes
) -> Looked:
    problems: list[tuple[int, tuple[Problem, ...]]] = []

    def keep(line: int, found: tuple[Problem, ...]) -> None:
        if len(problems) < PROBLEMS_KEPT:
            problems.append((line, found))

    async with AsyncExitStack() as stack:
        onlooker = await stack.enter_async_context(open_onlooker(settings))
        options = with_brands(options, await onlooker.brands())
        preflight = None
        if wishes.is_preflight:
            preflight = Preflight(
                onlooker.lists, run=wishes.run, ours=onlooker.ours, region=settings.default_region
            )
        logos = await _logos(settings, stack, wishes)
        checks: list[RowCheck] = [check for check in (preflight, logos) if check is not None]
        scope = Scope(
            known=onlooker.known,
            checks=checks,
            has_report=wishes.has_report,
            on_errors=keep,
            progress=stack.enter_context(checking_progress(is_quiet=wishes.is_quiet)),
        )
        result = await dry_run(source, options=options, scope=scope)
        calls = result.tally.jobs
        if preflight is not None and wishes.is_only_ready:
            calls -= preflight.unready_jobs
        expected = await onlooker.expect(calls)
    return Looked(result=result, forecast=expected, preflight=preflight, logos=logos, problems=problems)


async def _logos(settings: Settings, stack: AsyncExitStack, wishes: Wishes) -> LogoCheck | None:
    if not wishes.has_logos:
        return None
    # Where everything is on this machine, so may the logos be.
    fetcher = LogoFetcher(is_private_allowed=settings.is_sandbox)
    return LogoCheck(await stack.enter_async_context(fetcher), run=wishes.run)
