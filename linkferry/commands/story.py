"""How a story is printed: instants beside sentences, wrapped to the terminal, what is to be copied left whole."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from linkferry.frame import hint
from linkferry.output import console, instant, say

_STEP = "  "
_INSTANT = 20  #: columns of 2026-11-21T10:02:03Z


def wrapped(text: str, *, indent: str = "", hanging: str | None = None) -> list[str]:
    """Return a sentence as lines within the terminal's width, the further ones under *hanging* (else *indent*)."""
    return textwrap.wrap(
        hint(text),
        width=max(40, console().width),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def say_wrapped(text: str, *, indent: str = "", hanging: str | None = None) -> None:
    """Print a sentence within the terminal's width."""
    for line in wrapped(text, indent=indent, hanging=hanging):
        say(line)


def print_timeline(entries: Iterable[Mapping[str, Any]], *, of_jobs: Mapping[str, str] | None = None) -> None:
    """Print what happened, oldest first, what the partner answered under its attempt.

    *of_jobs*: what the jobs are called, where the story is that of several.
    """
    margin = _STEP + " " * (_INSTANT + 2)
    for entry in entries:
        head = f"{_STEP}{instant(entry['at']):<{_INSTANT}}{_STEP}"
        whose = f"[{of_jobs[entry['job_id']]}] " if of_jobs else ""
        say_wrapped(f"{whose}{entry['text']}", indent=head, hanging=margin)
        for line in _details(entry["detail"]):
            say_wrapped(line, indent=margin, hanging=margin + _STEP)


def _details(detail: Mapping[str, Any]) -> Iterator[str]:
    if detail.get("duration_s") is not None and detail.get("call_s") is not None:
        waited_s = detail["duration_s"] - detail["call_s"]
        if waited_s >= 1:
            yield f"took {detail['duration_s']:.1f} s in all"
    marks = [str(detail[name]) for name in ("reason",) if detail.get(name)]
    if detail.get("code") is not None:
        marks.append(f"the partner's code {detail['code']}")
    if marks:
        yield ", ".join(marks)
    if detail.get("answered"):
        yield f"answered: {detail['answered']}"


def stopped_line(each: Mapping[str, Any]) -> str:
    """Return what is said of a contact on the stop list."""
    why = f" ({each['why']})" if each["why"] else ""
    return f"On the stop list since {instant(each['since'])}, by {each['by']}{why}: {each['contact']} gets no message."


def fields_line(fields: Mapping[str, Any]) -> str:
    """Return names and values in one line."""
    return ", ".join(f"{name} {value}" for name, value in fields.items())
