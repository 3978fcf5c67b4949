"""A server that is away while a command watches: told once, asked again, and not without end where nobody sits there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from linkferry.frame import FAILED, complain

GIVEN_UP_AFTER_S = 60.0  #: longer than a server takes to restart; on a terminal Ctrl-C decides


class Patience:
    """How long a command that watches asks a server again that does not answer."""

    def __init__(
        self, *, again: str, subject: str | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Watch *subject* (`Act a1`), which goes on without being watched; *again* is the command to look again."""
        self._subject = subject
        self._again = again
        self._now_s = now_s
        self._away_since_s: float | None = None

    def is_over(self, why: str) -> bool:
        """Note that the server does not answer, and say so once; tell whether it was long enough."""
        if self._away_since_s is None:
            self._away_since_s = self._now_s()
            goes_on = f"{self._subject} goes on where it stands; looking" if self._subject else "Looking"
            complain(f"Redis does not answer ({why}). {goes_on} again.")
        return not _is_somebody_there() and self._now_s() - self._away_since_s >= GIVEN_UP_AFTER_S

    def answered(self) -> None:
        """Note that the server answers."""
        self._away_since_s = None

    def give_up(self) -> int:
        """Say that nobody watches any more, what becomes of what was watched, and how to look again; return the exit code."""
        away_s = 0.0 if self._away_since_s is None else self._now_s() - self._away_since_s
        goes_on = f"; {self._subject} goes on in the workers once it is back" if self._subject else ""
        complain(
            f"Redis has not answered for {away_s:.0f} s: stopped watching{goes_on}. Look again: {self._again}"
        )
        return FAILED


def _is_somebody_there() -> bool:
    """Tell whether a person may be looking on, who can end it."""
    return any(stream is not None and stream.isatty() for stream in (sys.stderr, sys.stdout))
