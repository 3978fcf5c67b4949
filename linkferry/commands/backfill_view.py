"""What `linkferry backfill` says to people: of a dry run, of the partner's lists and the logos, of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from linkferry.frame import complain
from linkferry.output import say, span
from producers.backfill.dry_run import DryRunResult
from producers.backfill.forecast import Forecast
from producers.backfill.logos import LogoCheck, LogoFinding
from producers.backfill.preflight import WAVE, Missing, Preflight, Standing
from producers.backfill.results import BackfillResult, Tally
from worker.domain.parse import Problem
from worker.domain.reasons import Catalogue, ReasonClass

if TYPE_CHECKING:
    from linkferry.commands.backfill_check import Looked
    from worker.settings import Settings

MOST_SHOWN = 20  #: rows whose errors or notes are shown
_KEPT = "stand in the failed queue and keep their numbers"
_WAVES_SHOWN = 8
_STANDING_WORDS = {
    Standing.READY: "ready",
    Standing.NEAR_EXPIRY: "ready, but registered for less than 7 days more",
    Standing.NOT_REGISTERED: "not registered",
    Standing.LINKED_BY_US: "linked by us",
    Standing.LINKED_BY_OTHERS: "linked by others",
    Standing.ONBOARDED: "onboarded already",
    Standing.UNKNOWN: "of which nobody can tell",
}
_LOGO_WORDS = {
    LogoFinding.FINE: "fine",
    LogoFinding.WRONG_SIZE: "not 200×60",
    LogoFinding.NOT_AN_IMAGE: "no png or jpg",
    LogoFinding.TOO_LARGE: "larger than 1 MiB",
    LogoFinding.NOT_GIVEN: "not given",
    LogoFinding.UNREACHABLE: "unreachable",
    LogoFinding.TOO_SLOW: "too slow",
    LogoFinding.NOT_HTTPS: "not https",
    LogoFinding.PRIVATE_ADDRESS: "at a private address",
    LogoFinding.TOO_MANY_REDIRECTS: "behind too many redirects",
}


# --- looking a file over -----------------------------------------------------------------------------------


def say_dry_run(looked: Looked, settings: Settings, catalogue: Catalogue) -> None:
    """Say all of a dry run."""
    result = looked.result
    _say_assumed(result)
    say_column_warnings(result.column_warnings)
    _say_problems(looked)
    say_warnings(result.tally)
    say_checks(looked, settings, catalogue)
    _say_counts(result)
    _say_forecast(looked.forecast)
    if result.stop is not None:
        complain(f"{result.stop.message} {result.stop.remedy}")


def say_checks(looked: Looked, settings: Settings, catalogue: Catalogue) -> None:
    """Say what the partner's lists and the logos came to; nothing where they were not asked for."""
    if looked.preflight is not None:
        _say_preflight(looked.preflight, catalogue, is_sandbox=settings.is_sandbox)
    if looked.logos is not None:
        _say_logos(looked.logos)


def _say_assumed(result: DryRunResult | BackfillResult) -> None:
    if result.assumed is not None:
        say(result.assumed.sentence())


def _say_problems(looked: Looked) -> None:
    for line, problems in looked.problems[:MOST_SHOWN]:
        for each in problems:
            say(f"Line {line}: {each.field}: {each.message}. {each.remedy}")
    result = looked.result
    if result.failed_file is not None and result.report_error is None:
        say(f"Bad rows, each with all that is wrong: {result.failed_file} (mend them there)")
    elif result.report_error is not None:
        complain(f"The failed file cannot be written: {result.report_error}.")
    elif result.tally.rejected > MOST_SHOWN:
        say(f"… {result.tally.rejected} bad rows in all; add --report to have every one in a file.")


def _say_counts(result: DryRunResult) -> None:
    tally = result.tally
    known = "" if result.known is None else f"{result.known} known already, "
    say(
        f"Dry run, nothing recorded: {tally.rows} rows, {tally.accepted} good, {known}"
        f"{tally.duplicates} twice in the file, {tally.rejected} bad."
    )
    if result.known is None:
        complain("Redis does not answer, so nobody can tell which rows are known already.")


def _say_forecast(expected: Forecast) -> None:
    if not expected.calls:
        say("No links to make.")
        return
    slowed = f" (the partner has asked for less than {expected.ceiling:g})" if expected.is_slowed else ""
    ahead = f", behind {expected.waiting_ahead} jobs that wait already" if expected.waiting_ahead else ""
    say(
        f"{expected.calls} links to make: about {span(expected.eta_s)} at {expected.rate:g} calls/s{slowed}{ahead}."
    )
    if expected.stopped is not None and not expected.pause_s:
        say(f"Calls stand still now ({expected.stopped}): the time counts from when they go on.")


def _counted(words: Mapping[Standing, str] | Mapping[LogoFinding, str], counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])


def _say_preflight(preflight: Preflight, catalogue: Catalogue, *, is_sandbox: bool) -> None:
    for line in _missing_lines(preflight, catalogue):
        complain(line)
    if not preflight.numbers:
        say("No row needs a registered number.")
    if not preflight.numbers or not preflight.is_answered:
        return
    counts = {standing.value: preflight.count(standing) for standing in Standing}
    say(f"Numbers: {preflight.numbers} looked up at the partner: {_counted(_STANDING_WORDS, counts)}.")
    if preflight.waves:
        say(_waves_line(preflight))
    if is_sandbox and preflight.count(Standing.NOT_REGISTERED):
        say("(The sandbox lists the numbers that were registered in it; its creates take others, too.)")
    if preflight.listing.path is not None:
        say(f"Each number, and what to do: {preflight.listing.path}")
    elif preflight.listing.error is not None:
        complain(f"The list of numbers cannot be written: {preflight.listing.error}.")


def _missing_lines(preflight: Preflight, catalogue: Catalogue) -> Iterator[str]:
    calls: dict[Missing, list[str]] = {}
    for call, missing in preflight.missing.items():
        calls.setdefault(missing, []).append(call)
    for missing, names in calls.items():
        yield f"{' and '.join(names)} could not be had: {why_missing(missing, catalogue)}"


def why_missing(missing: Missing, catalogue: Catalogue) -> str:
    """Return why a list could not be had, and what to do."""
    if missing.detail.endswith("."):  # written for this very place; other details are the partner's words
        return missing.detail
    reason = catalogue.named(missing.reason)
    if reason.reason_class is not ReasonClass.TRANSIENT:
        return f"{reason.meaning} {reason.remedy}"
    # The catalogue speaks of creates there, which may have been done.
    said = f"{missing.reason} ({missing.detail})" if missing.detail else missing.reason
    return f"{said}. Try again in a while; if it lasts: linkferry doctor --live"


def _waves_line(preflight: Preflight) -> str:
    waves = preflight.waves
    shown = ", ".join(str(size) for size in waves[:_WAVES_SHOWN])
    more = f" and {len(waves) - _WAVES_SHOWN} more" if len(waves) > _WAVES_SHOWN else ""
    waiting = f" ({preflight.waiting} wait already)" if preflight.waiting else ""
    if (preflight.waiting or 0) >= WAVE:
        waiting += ", so none fits now; once those are connected"
    waves_word = "1 wave" if len(waves) == 1 else f"{len(waves)} waves"
    return (
        f"At most {WAVE} registered numbers wait at a time{waiting}: register them in {waves_word} of {shown}{more}, "
        "by the column `wave`."
    )


def _say_logos(logos: LogoCheck) -> None:
    document = logos.as_document()
    if not document["distinct"]:
        say("No row names a logo.")
        return
    say(f"Logos: {document['distinct']} fetched: {_counted(_LOGO_WORDS, document)}.")
    if document["file"]:
        say(f"{document['rows_in_trouble']} rows are concerned: {document['file']}")
    elif logos.listing.error is not None:
        complain(f"The list of logos cannot be written: {logos.listing.error}.")


# --- a run -------------------------------------------------------------------------------------------------


def say_result(result: BackfillResult, jobs: dict[str, int] | None) -> None:
    """Say what a run came to; *jobs* by state where they were waited for."""
    tally = result.tally
    _say_assumed(result)
    say_column_warnings(result.column_warnings)
    _say_errors(tally)
    say_warnings(tally)
    say(
        f"Run {result.run}: {tally.rows} rows, {tally.accepted} accepted, {tally.duplicates} known already, "
        f"{tally.rejected} bad, in {result.elapsed_s:.1f} s."
    )
    if result.accepted_before:
        say(_whole_run_line(result))
    if tally.in_failed_queue:
        for line in _failed_lines(tally):
            say(line)
    if result.failed_file:
        say(f"Bad rows: {result.failed_file} (mend them there and backfill that file)")
    if result.unprocessed_file and result.stop is None:
        say(
            f"{tally.unprocessed} rows held back, as their numbers are not ready: {result.unprocessed_file} "
            "(backfill that file once they are)"
        )
    elif result.unprocessed_file:
        say(f"Rows not come to: {result.unprocessed_file}")
    _say_jobs(result.run, jobs, is_any_accepted=bool(tally.accepted))


def _whole_run_line(result: BackfillResult) -> str:
    """Return what a resumed run came to with what it had done before."""
    tally, before = result.tally, result.accepted_before
    return (
        f"With what it had accepted before it was resumed: {before + tally.accepted} accepted, "
        f"{max(0, tally.duplicates - before)} known already."
    )


def _failed_lines(tally: Tally) -> Iterator[str]:
    """Say why rows known already are not asked for anew, and what to do."""
    count = tally.in_failed_queue
    stand = "stands in the failed queue and keeps its number" if count == 1 else _KEPT
    yield f"{count} of those known already {stand}: nothing was asked for anew. The first: {tally.first_failed}"
    yield "  To try them again as they stand: linkferry failed requeue (ids, or the filters of the export)"
    yield "  To bring these rows in instead: linkferry failed discard (likewise), then backfill this file again"


def _say_jobs(run: str, jobs: dict[str, int] | None, *, is_any_accepted: bool) -> None:
    if jobs is None:
        if is_any_accepted:
            say(f"Follow it: linkferry batch watch {run}")
        return
    say("Jobs: " + (", ".join(f"{state} {count}" for state, count in jobs.items()) or "none"))
    if jobs.get("failed"):
        say(f"Why: linkferry failed list --batch {run}")


def _say_errors(tally: Tally) -> None:
    for noted in tally.errors[:MOST_SHOWN]:
        say(f"Line {noted.line}: {noted.problem.field}: {noted.problem.message}. {noted.problem.remedy}")
    if tally.rejected > len({noted.line for noted in tally.errors}):
        say(f"… {tally.rejected} bad rows in all, each with its reason in the failed file.")


def say_column_warnings(warnings: Iterable[Problem]) -> None:
    """Say which columns are not used, or are missing for WhatsApp links."""
    for warning in warnings:
        say(f"Column {warning.field}: {warning.message}. {warning.remedy}")


def say_warnings(tally: Tally) -> None:
    """Say the first notes."""
    if not tally.warnings:
        return
    for noted in tally.warned[:MOST_SHOWN]:
        say(f"Line {noted.line}: note: {noted.problem.field}: {noted.problem.message}")
    if tally.warnings > MOST_SHOWN:
        say(f"… {tally.warnings} rows with a note in all.")
