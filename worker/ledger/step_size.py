"""How much of a bulk act one script does: less where the server is slow to answer, and more again as it recovers."""

from __future__ import annotations

from worker.domain.ramp import CANARY

SLOW_MS = 4.0  #: a round trip that took longer kept others waiting


class StepSize:
    """The ids of the next step, learnt from how long the last ones took: halved at once, and grown back little by little.

    Never less than a canary: fewer would be judged in its place.
    """

    def __init__(self, most: int) -> None:
        """Begin with *most*, which it never exceeds."""
        self._most = most
        self._ids = most

    @property
    def ids(self) -> int:
        """Return how many ids the next step may take at most."""
        return self._ids

    def took(self, round_trip_ms: float, *, ids: int) -> None:
        """Learn how long a step of so many *ids* took, its way to the server and back included."""
        if round_trip_ms > SLOW_MS:
            self._ids = max(CANARY, self._ids // 2)
        elif ids >= self._ids:
            self._ids = min(self._most, self._ids + 2)
