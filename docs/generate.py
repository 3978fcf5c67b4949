"""Write the generated parts of the docs again, from the code that they describe: `make docs`.

A generated part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`. With `--check` nothing is
written and the exit code is 1 when some part no longer says what the code says; `make check` runs it so.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from worker.domain.reasons import Catalogue, Reason, ReasonClass
from worker.domain.states import ENDED_STATES, TRANSITIONS, DeliveryState, JobState
from worker.settings import describe_settings, load_settings

DOCS = Path(__file__).parent
_PART = re.compile(r"(<!-- generated: (?P<name>[a-z_]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def state_diagram() -> str:
    """Draw the states of a job: an arrow per pair of states, labelled with the verbs that make the move."""
    verbs: dict[tuple[JobState, JobState], list[str]] = {}
    for verb, move in TRANSITIONS.items():
        for pair in ((source, target) for source in move.sources for target in move.targets):
            verbs.setdefault(pair, []).append(verb)
    order = list(JobState)
    pairs = sorted(verbs, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))
    lines = [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> available: accept",
        "    [*] --> scheduled: accept",
    ]
    lines += [f"    {source} --> {target}: {', '.join(verbs[source, target])}" for source, target in pairs]
    lines += [f"    {state} --> [*]" for state in order if state in ENDED_STATES and not _leaves(state)]
    return "\n".join([*lines, "```"])


def _leaves(state: JobState) -> bool:
    return any(state in move.sources for move in TRANSITIONS.values())


def verbs() -> str:
    """List every ledger verb with the moves it may make."""
    rows = [
        (f"`{verb}`", _words(move.sources, JobState), _words(move.targets, JobState))
        for verb, move in TRANSITIONS.items()
    ]
    return _table(("verb", "from", "to"), [("`accept`", "(new)", "`available` `scheduled`"), *rows])


def delivery_states() -> str:
    """List the states of a delivery."""
    return " ".join(f"`{state}`" for state in DeliveryState)


def _words(states: Iterable[JobState], order: type[JobState]) -> str:
    members = set(states)
    return " ".join(f"`{state}`" for state in order if state in members)


def reasons() -> str:
    """Tell of every reason of the catalogue: what it means and what to do, class by class."""
    shipped = sorted(Catalogue.shipped().all(), key=lambda reason: reason.name)
    parts = []
    for reason_class in ReasonClass:
        members = [reason for reason in shipped if reason.reason_class == reason_class]
        if members:
            parts += [
                f"### {reason_class}",
                _table(("reason", "means", "what to do"), map(_reason_row, members)),
            ]
    return "\n\n".join(parts)


def _reason_row(reason: Reason) -> tuple[str, str, str]:
    return f"`{reason.name}`", reason.meaning, reason.remedy


def settings() -> str:
    """Explain every setting with its default, group by group."""
    notes = describe_settings(load_settings(environ={}, env_file=None))
    parts = []
    for group in dict.fromkeys(note.group for note in notes):
        rows = [(f"`{note.name}`", note.value, note.description) for note in notes if note.group == group]
        parts += [f"## {group}", _table(("name", "default", "meaning"), rows)]
    return "\n\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PARTS: dict[str, Callable[[], str]] = {
    "state_diagram": state_diagram,
    "verbs": verbs,
    "delivery_states": delivery_states,
    "reasons": reasons,
    "settings": settings,
}


def renewed(text: str) -> str:
    """Return *text* with each of its generated parts written anew. Raises KeyError for a part of an unknown name."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n\n{part[3]}", text)


def main(arguments: list[str]) -> int:
    """Renew all docs, or say which are out of date."""
    stale = []
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = renewed(before)
        if after != before:
            stale.append(page)
            if "--check" not in arguments:
                page.write_text(after, encoding="utf-8")
    for page in stale:
        print(
            f"{page.relative_to(DOCS.parent)}: {'out of date; run `make docs`' if '--check' in arguments else 'written'}"
        )
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
