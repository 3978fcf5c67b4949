"""How the failed queue is shown by reason."""

from __future__ import annotations

from typing import Any

from linkferry.commands.status import sparkline
from linkferry.output import say
from linkferry.tables import Column, print_table

Document = dict[str, Any]
_COLUMNS = (
    "how many",
    "reason",
    Column("trend", rank=1),
    Column("again", rank=3),
    Column("last day", rank=4),
    Column("code", rank=5),
    Column("class", rank=6),
    Column("of", rank=7),
    Column("what it means", rank=2, is_text=True),
    Column("what to do", is_text=True),
)
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
    for item in items[:_GROUPS_TOLD]:
        for line in _next_steps(item):
            say(line)
    if (others := len(items) - _GROUPS_TOLD) > 0:
        say(f"Of the {others} others: linkferry failed list --reason REASON")


def _row(item: Document) -> tuple[object, ...]:
    return (
        f"{item['count']:,}",
        item["reason"],
        item["trend"]["word"],
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


def _next_steps(group: dict[str, Any]) -> list[str]:
    """Return what to type about a group: to look, and to do what its remedy says, where a command does that."""
    reason, remedy = group["reason"], (group["remedy"] or "").lower()
    if group["stage"] == "delivery":
        return [f"Look: linkferry failed list --stage delivery --reason {reason}"]
    look = f"Look: linkferry failed list --reason {reason}"
    if group["reason_class"] == "already_onboarded":
        return [look, f"Then: linkferry failed discard --reason {reason}"]
    requeue = f"linkferry failed requeue --reason {reason}"
    if group["reason_class"] == "unknown":
        return [look, f"When you know what it means: linkferry reasons set {reason}, then: {requeue}"]
    if "linkferry job replace" in remedy:
        return [look, f"Then: linkferry job replace --state failed --reason {reason}"]
    if group["reason_class"] == "link_exists":
        discard = f"linkferry failed discard --reason {reason}"
        return [look, f"Once it is deleted: {requeue}", f"To leave it there: {discard}"]
    is_by_requeueing = "requeue" in remedy and group["reason_class"] != "bad_data"
    return [look, f"When it is mended: {requeue}"] if is_by_requeueing else [look]
