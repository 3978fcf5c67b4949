"""How the failed queue is shown by reason."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from linkferry.commands.status import sparkline
from linkferry.commands.story import say_wrapped
from linkferry.output import ago, instant, print_fields, say
from linkferry.tables import Column, number, of_name, print_table, when

Document = dict[str, Any]
_COLUMNS = (
    number("count"),
    "reason",
    Column("trend", rank=1),
    Column("since", rank=3),
    Column("last", rank=2),
    Column("again", rank=5),
    Column("last day", rank=6),
    Column("code", rank=7),
    Column("class", rank=8),
    Column("of", rank=9),
    Column("what it means", rank=4, is_text=True),
    Column("what to do", is_text=True, least=21),
)
_SAMPLES = ("job", of_name(rank=1), when("failed", rank=2), Column("what came back", is_text=True))
_GROUPS_TOLD = 5  #: with what to type, the largest first
_DAY_POINTS = 12  #: of a sparkline: two hours each


def print_groups(document: Document) -> None:
    """Print the failed queue by reason for people."""
    items = document["items"]
    if not items:
        say("The failed queue is empty.")
        return
    print_table(_COLUMNS, [_row(item) for item in items])
    again = sum(item["failed_again"]["count"] for item in items)
    if again:
        least = "at least " if any(item["failed_again"]["is_at_least"] for item in items) else ""
        say(f"{least}{again} of them failed again after a requeue.".capitalize())
    twins = _twins(items)
    for item in items[:_GROUPS_TOLD]:
        for line in _next_steps(item, is_twin=item["reason"] in twins):
            say(line)
    if (others := len(items) - _GROUPS_TOLD) > 0:
        say(f"Of the {others} others: linkferry failed list --reason REASON")
    say("All of one reason, with what came back: linkferry failed groups REASON")


def print_one_reason(items: list[Document]) -> None:
    """Print one reason for people: since when, how it goes, what it means, what to do, what came back lately."""
    for item in items:  # of jobs, and of messages
        _print_group(item, is_twin=len(items) > 1)


def _print_group(item: Document, *, is_twin: bool) -> None:
    kind = "job" if item["stage"] == "link" else "message"
    say(f"{item['reason']}: {item['count']:,} failed {kind}{'' if item['count'] == 1 else 's'}")
    again = item["failed_again"]
    print_fields(
        {
            "taught as": item["taught_as"],
            "class": item["reason_class"],
            "code": item["code"],
            "first": _seen(item["first_at"]),
            "last": _seen(item["last_at"]),
            "trend": item["trend"]["said"]["text"],
            "last day": sparkline(item["trend"]["hours"], len(item["trend"]["hours"])),
            "again": f"{_again(again)} failed again after a requeue" if again["count"] else None,
        }
    )
    for title, text in (("What it means", item["meaning"]), ("What to do", item["remedy"])):
        say(title)
        say_wrapped(text, indent="  ")
    if item["samples"]:
        say("The latest")
        columns = _SAMPLES if item["stage"] == "link" else ("message", *_SAMPLES[1:])
        print_table(columns, [_sample(each) for each in item["samples"]])
    for line in _next_steps(item, is_twin=is_twin):
        say(line)


def _sample(each: Document) -> tuple[object, ...]:
    return each["id"], each["name"], instant(each["at"]), each["answer"] or each["detail"]


def _seen(at: str | None) -> str:
    return f"{instant(at)} ({_ago(at)})" if at else ""


def _ago(at: str | None) -> str:
    return ago(round(datetime.fromisoformat(at).timestamp() * 1000)) if at else ""


def _row(item: Document) -> tuple[object, ...]:
    return (
        f"{item['count']:,}",
        f"{item['reason']} ({item['taught_as']})" if item["taught_as"] else item["reason"],
        item["trend"]["word"],
        _ago(item["first_at"]).removesuffix(" ago"),
        _ago(item["last_at"]),
        _again(item["failed_again"]),
        sparkline(item["trend"]["hours"], _DAY_POINTS),
        item["code"],
        item["reason_class"],
        "job" if item["stage"] == "link" else "message",
        item["meaning"],
        item["remedy"],
    )


def _again(again: Document) -> str:
    if not again["count"]:
        return ""
    return f"{again['count']}{'+' if again['is_at_least'] else ''}"


def _next_steps(group: Document, *, is_twin: bool) -> list[str]:
    """Return what to type about a group, to be pasted: to look, and to do what its remedy says, where a command does that.

    *is_twin*: messages, or jobs, failed with the same reason as well, and are meant by no command.
    """
    reason = f"--reason {shlex.quote(group['reason'])}"
    if group["stage"] == "delivery":
        of_it = f"--stage delivery {reason}"
        return [f"Look: linkferry failed list {of_it}", *_sending_steps(group, of_it)]
    of_it = f"--stage link {reason}" if is_twin else reason
    return [f"Look: linkferry failed list {of_it}", *_mending_steps(group, reason, of_it)]


def _sending_steps(group: Document, of_it: str) -> list[str]:
    requeue = f"linkferry failed requeue {of_it}"
    match group["reason_class"]:
        case "unknown":
            return _teaching_steps(group, requeue)
        case "doubt":
            return [f"To send them once more, though some may have arrived: {requeue}"]
        case "recipient":
            return [f"To try them once more, to the addresses that they have by now: {requeue}"]
    return [f"{_when(group)}: {requeue}"]


def _mending_steps(group: Document, reason: str, of_it: str) -> list[str]:
    from worker.ops.remedies import mending_command

    remedy, requeue = (group["remedy"] or "").lower(), f"linkferry failed requeue {of_it}"
    discard = f"linkferry failed discard {of_it}"
    match group["reason_class"], mending_command(group["reason_class"], remedy):
        case "unknown", _:
            return _teaching_steps(group, requeue)
        case _, "failed discard":
            return [f"Then: {discard}"]
        case _, "job replace":
            return [f"Then: linkferry job replace --state failed {reason}"]
        case "link_exists", _:
            return [f"Once it is deleted: {requeue}", f"To leave it there: {discard}"]
        case _, "failed edit":
            job = group["samples"][0]["id"] if group["samples"] else "JOB"
            export = f"linkferry failed export {shlex.quote(group['reason'])}.csv {reason}"
            return [f"Correct one: linkferry failed edit {job}", f"Many, in a spreadsheet: {export}"]
    return [f"{_when(group)}: {requeue}"] if group["taught_as"] or "requeue" in remedy else []


def _teaching_steps(group: Document, requeue: str) -> list[str]:
    lesson = f"linkferry reasons set {shlex.quote(group['reason'])}"
    return [f"When you know what it means: {lesson}", f"Then: {requeue}"]


def _when(group: Document) -> str:
    return "To have them go by what was taught" if group["taught_as"] else "When it is mended"


def _twins(items: Sequence[Document]) -> set[str]:
    """Return the reasons that both jobs and messages failed with."""
    stages: dict[str, set[str]] = {}
    for item in items:
        stages.setdefault(item["reason"], set()).add(item["stage"])
    return {reason for reason, found in stages.items() if len(found) > 1}
