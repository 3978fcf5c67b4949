"""A batch in words: how far it is, what stops it, what failed and why."""

from __future__ import annotations

from typing import Any

from linkferry.output import instant, span

Document = dict[str, Any]
_THROUGH = ("linked", "onboarded", "revoked")
_IMPORTS = {
    "done": "done",
    "running": "running",
    "cut_off": "cut off",
    "cancelled": "cancelled",
    "unknown": "",
}


def share(document: Document) -> float:
    """Return how much of the batch's jobs has ended, in percent; 0 where there are none."""
    progress = document["progress"]
    return 100.0 * progress["ended"] / progress["jobs"] if progress["jobs"] else 0.0


def counts(document: Document) -> str:
    """Return the batch's jobs by state."""
    return ", ".join(f"{count:,} {state}" for state, count in document["jobs"].items() if count) or "no jobs"


def expectation(document: Document) -> str:
    """Return when it will be done, or why nobody can say."""
    progress, jobs = document["progress"], document["jobs"]
    if progress["is_over"]:
        return ""
    if progress["stops"]:
        return "stopped: " + "; ".join(_stop(each) for each in progress["stops"])
    if progress["eta_s"] is not None:
        later = f", and {jobs['scheduled']:,} that wait for a later try" if jobs["scheduled"] else ""
        return f"done in about {span(progress['eta_s'])}{later}"
    if progress["is_stuck"]:
        return "nothing moves, and nothing is known to stop it: see linkferry doctor"
    waits = [("scheduled", "for a later try"), ("in_doubt", "for a look-up at the partner")]
    waiting = [f"{jobs[state]:,} wait {why}" for state, why in waits if jobs[state]]
    return ", ".join(waiting) or "no time is known"


def _stop(stop: Document) -> str:
    until = f" until {instant(stop['until'])}" if stop["until"] else ""
    return f"{stop['text']}{until}"


def remedies(document: Document) -> list[str]:
    """Return what lifts each of the stops."""
    return [str(stop["remedy"]) for stop in document["progress"]["stops"]]


def neighbours(document: Document) -> str:
    """Return what is worked on before it or in turn with it; nothing where nothing is."""
    ahead, parts = document["progress"]["ahead"], []
    if ahead["live"]:
        parts.append(f"{ahead['live']:,} live jobs go first")
    if ahead["batches"]:
        others = "another batch" if ahead["batches"] == 1 else f"{ahead['batches']:,} other batches"
        parts.append(f"the lane is shared with {others}")
    return ", ".join(parts)


def failures(document: Document, most: int | None = None) -> list[str]:
    """Return the failed jobs by reason, the most frequent first."""
    found = document["progress"]["failures"]
    return [f"{each['count']:,} {each['reason']}" for each in found[:most]]


def importing(document: Document) -> str:
    """Return how far the file's rows have come in; nothing where that is not known."""
    progress, total = document["progress"], document["total"]
    state = _IMPORTS[progress["import"]]
    if progress["import"] not in {"running", "cut_off"} or progress["read"] is None:
        return state
    of_total = f" of about {total:,}" if total else ""
    where = "at " if progress["import"] == "cut_off" else ""
    return f"{state} {where}{progress['read']:,}{of_total} rows"


def way_to_go_on(document: Document) -> str:
    """Return how to record the rest of a file whose import was cut off."""
    from producers.backfill.runs import command_of

    progress = document["progress"]
    command = command_of(document["batch"], path=progress["file"], options=progress["options"])
    how = command or "give the same rows in again, what was recorded is not done twice"
    return f"Not all of the file was recorded. To go on: {how}"


def got_through(document: Document) -> str:
    """Return what became of the calls that were under way at a cancel; nothing where there were none."""
    spared = document["progress"]["spared"] or {}
    if not sum(spared.values()):
        return ""
    parts = [
        (sum(spared.get(state, 0) for state in _THROUGH), "got through"),
        (spared.get("failed", 0) + spared.get("dead", 0), "failed"),
        (spared.get("cancelled", 0), "cancelled after all"),
        (spared.get("running", 0) + spared.get("available", 0) + spared.get("scheduled", 0), "under way still"),
        (spared.get("in_doubt", 0), "in doubt: a look-up will tell"),
    ]  # fmt: skip
    told = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    return f"of {sum(spared.values()):,} calls that were under way at the cancel: {told}"


def closing(document: Document) -> str:
    """Return how the batch ended, in a line."""
    batch, progress = document["batch"], document["progress"]
    if progress["import"] == "cancelled":
        through = got_through(document)
        return f"Batch {batch} was cancelled: {counts(document)}" + (f"; {through}." if through else ".")
    pruned = progress["jobs"] - sum(document["jobs"].values())
    gone = f", {pruned:,} deleted since" if pruned > 0 else ""
    if progress["import"] == "cut_off":
        return f"Batch {batch} has come to its end, but its import was {importing(document)}: {counts(document)}{gone}."
    return f"Batch {batch} has ended: {counts(document)}{gone}."
