"""What the partner's webhook tells, found anywhere in it: its fields are documented nowhere, so none is relied on.

A report is a hint. Of WhatsApp nothing in it is believed but whose link to look up; of Facebook, which has no list, see
`Report.says_finished`. Pure.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from worker.domain.change import job_id_of_reference

#: The sources that the ledger keeps reports under: to be looked up, and to be passed on.
WEBHOOK_SOURCE = "provider:webhook"
FORWARD_SOURCE = "provider:forward"
REPORT_SOURCES = (WEBHOOK_SOURCE, FORWARD_SOURCE)
#: Every reason that a report can have; docs/completion.md tells what each means.
REPORT_REASONS = frozenset(
    {
        "forward_failed", "link_differs", "lookup_failed", "not_finished", "not_linked", "not_ours", "status_unknown",
        "unreadable",
    }
)  # fmt: skip

_DEEPEST = 32
_MOST_VALUES = 5_000
_MOST_FOUND = 20  #: jobs or numbers taken out of one report; the partner's tells of one
_BETWEEN_PARTS = re.compile(r"[\[\].]")
_SHORTEST_NUMBER, _LONGEST_NUMBER = 8, 15
_NUMBER_NAMES = ("whatsapp", "phone", "number", "msisdn")
_DONE_WORDS = frozenset(
    {"1", "true", "ok", "success", "succeeded", "finished", "completed", "complete", "done", "connected", "active",
     "approved"}
)  # fmt: skip
_NOT_DONE_WORDS = frozenset(
    {"0", "false", "fail", "failed", "error", "pending", "waiting", "started", "opened", "open", "created",
     "in_progress", "processing", "cancelled", "canceled", "rejected", "declined", "expired", "deleted"}
)  # fmt: skip


class Standing(StrEnum):
    """What a report's `status` says."""

    FINISHED = "finished"
    NOT_FINISHED = "not_finished"
    UNSAID = "unsaid"  #: it has no status at all: that it came says that something was finished
    UNKNOWN = "unknown"  #: a word that nobody has explained yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What could be found in one report."""

    job_ids: tuple[str, ...] = ()  #: texts shaped like our references, in order
    numbers: tuple[str, ...] = ()  #: digits
    links: tuple[str, ...] = ()
    standing: Standing = Standing.UNSAID

    @property
    def says_finished(self) -> bool:
        """Tell whether a Facebook customer may be believed to have finished."""
        return self.standing in {Standing.FINISHED, Standing.UNSAID}


def packed(body: str, *, content_type: str, is_base64: bool = False) -> str:
    """Return a report as it is recorded: as it came, with its type."""
    return json.dumps(
        {"content_type": content_type, "is_base64": is_base64, "body": body},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def unpacked(record: str) -> tuple[str, str, bool]:
    """Return body, type and whether the body is base64, out of a record; raises ValueError for anything else."""
    fields = json.loads(record)
    try:
        return str(fields["body"]), str(fields["content_type"]), fields["is_base64"] is True
    except (KeyError, TypeError) as exc:
        raise ValueError("not a recorded report") from exc


def read_report(body: str) -> Report | None:
    """Return what can be found in a report's *body* (JSON or a form, at any depth), or None where it is neither."""
    parsed = _parsed(body)
    if parsed is None:
        return None
    jobs, numbers, links, statuses = _Found(), _Found(), _Found(), _Found()
    for name, word in _values(parsed):
        if (job_id := job_id_of_reference(word)) is not None:
            jobs.add(job_id)
        elif _last_part(name) == "status":
            statuses.add(word.lower())
        elif word.lower().startswith(("https://", "http://")):
            links.add(word)
        elif any(part in name for part in _NUMBER_NAMES) and (digits := _digits(word)):
            numbers.add(digits)
    return Report(
        job_ids=tuple(jobs), numbers=tuple(numbers), links=tuple(links), standing=_standing(list(statuses))
    )


class _Found(dict[str, None]):
    """A few different texts, in the order in which they were found."""

    def add(self, text: str) -> None:
        """Take *text* in, if there is room."""
        if len(self) < _MOST_FOUND:
            self[text] = None


class _Pairs(list[tuple[str, Any]]):
    """An object or a form. Of a name that occurs twice both values count: readers disagree on which is meant."""


def _parsed(body: str) -> Any:
    """Return the JSON or the form's pairs that *body* holds, or None."""
    plain = body.removeprefix("\ufeff").strip()
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(plain, object_pairs_hook=_Pairs)
    with contextlib.suppress(ValueError):
        return _Pairs(parse_qsl(plain, max_num_fields=_MOST_VALUES)) or None
    return None


def _values(whole: Any) -> Iterator[tuple[str, str]]:
    """Yield every text, number and flag of *whole* with the name that it has, in small letters; JSON in a text too."""
    nodes, seen = deque([("", whole, 0)]), 0
    while nodes and seen < _MOST_VALUES:
        name, node, depth = nodes.popleft()
        seen += 1
        if isinstance(node, str) and node.lstrip()[:1] in {"{", "["} and depth < _DEEPEST:
            with contextlib.suppress(ValueError, RecursionError):
                node = json.loads(node, object_pairs_hook=_Pairs)
        if isinstance(node, list) and depth >= _DEEPEST:
            continue
        if isinstance(node, _Pairs):
            nodes.extend((key.strip().lower(), value, depth + 1) for key, value in node)
        elif isinstance(node, list):
            nodes.extend((name, value, depth + 1) for value in node)
        elif isinstance(node, str | int | float):
            yield name, str(node).strip()


def _last_part(name: str) -> str:
    """Return `status` of `data[status]`, as forms write what is nested."""
    parts = [part for part in _BETWEEN_PARTS.split(name) if part and not part.isdigit()]
    return parts[-1] if parts else ""


def _digits(word: str) -> str | None:
    """Return the digits of a number as it may be written, or None."""
    digits = "".join(letter for letter in word if letter.isascii() and letter.isdigit())
    is_plain = all(letter in "0123456789+-() ." for letter in word)
    return digits if is_plain and _SHORTEST_NUMBER <= len(digits) <= _LONGEST_NUMBER else None


def _standing(words: list[str]) -> Standing:
    """Return what all the words called `status` come to: one that says no outweighs those that say yes."""
    if not words:
        return Standing.UNSAID
    if any(word in _NOT_DONE_WORDS for word in words):
        return Standing.NOT_FINISHED
    return Standing.FINISHED if all(word in _DONE_WORDS for word in words) else Standing.UNKNOWN
