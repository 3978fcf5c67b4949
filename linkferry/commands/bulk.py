"""What every bulk command shares: tell what would be done, ask, ask why, and tell what came of it."""

from __future__ import annotations

from collections.abc import Mapping

from linkferry.frame import USAGE, CommandError
from linkferry.output import ask, confirm, say

_MOST_REASONS = 20


def announce(
    title: str,
    by_reason: Mapping[str, int],
    not_eligible: Mapping[str, int],
    words: Mapping[str, str] | None = None,
) -> None:
    """Print what would be done, by reason, the most frequent first, and what is left out; *words* explain why."""
    say(f"{title}:")
    for reason, number in list(by_reason.items())[:_MOST_REASONS]:
        say(f"  {number:>7,}  {reason}")
    if (others := len(by_reason) - _MOST_REASONS) > 0:
        say(f"  and {others} more reasons")
    if not_eligible:
        say(left_out(not_eligible, words))


def left_out(counts: Mapping[str, int], words: Mapping[str, str] | None = None) -> str:
    """Return what is left out and why, as a line; nothing where nothing is. *words* explain the codes."""
    return f"Left out: {reasons(counts, words)}." if counts else ""


def reasons(counts: Mapping[str, int], words: Mapping[str, str] | None = None) -> str:
    """Return counts by reason as a phrase: `3 (it waits already), 1 (it is linked)`."""
    known = words or {}
    return ", ".join(f"{count:,} ({known.get(why, why)})" for why, count in counts.items())


def require_consent(question: str) -> None:
    """Ask a person; raises CommandError (2) where the answer is no, or nobody is there to ask."""
    if not confirm(question):
        message = "Nothing done. Add --yes to go ahead without being asked."
        raise CommandError(message, exit_code=USAGE)


def reason_for(why: str, count: int, *, is_asked: bool) -> str:
    """Return why it is done: what `--why` said, or what a person answers where *is_asked*.

    One job needs no reason. Raises CommandError (2) where more than one is to be touched without.
    """
    if why.strip() or count <= 1:
        return why.strip()
    answer = ask("Why?") if is_asked else ""
    if not answer:
        message = (
            f'Nothing done. {count:,} are to be touched: say why with --why "…"; it is kept in the trail.'
        )
        raise CommandError(message, exit_code=USAGE)
    return answer


def report(done: int, past: str, refused: Mapping[str, int], words: Mapping[str, str] | None = None) -> str:
    """Return what came of it as a line: how many are done, and how many not, and why."""
    rest = f" Not: {reasons(refused, words)}." if refused else ""
    return f"{done:,} {past}.{rest}"
