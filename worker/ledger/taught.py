"""What operators taught about reasons, kept beside the jobs so that every process knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from worker.domain.lessons import Lesson, LiveCatalogue
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.scripts import Scripts, text
from worker.telemetry import log

_NONE: Mapping[str, str] = MappingProxyType({})


class Taught:
    """The lessons of one namespace."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def teach(self, lesson: Lesson, *, classes: Mapping[str, str] = _NONE) -> None:
        """Keep *lesson* in place of an earlier one about the same; raises LedgerUnavailable, LedgerFull.

        *classes*: of which class what failed with a reason that nobody knew then (`unknown_77`) is from now on; by it the
        filters find it. Nothing for a class: of none but that which it failed with.
        """
        words = json.dumps(lesson.document(), ensure_ascii=False, separators=(",", ":"))
        await self._scripts.run("teach", lesson.key, words, lesson.by, lesson.why, *_flat(classes))

    async def unteach(self, key: str, *, by: str, why: str, classes: Mapping[str, str] = _NONE) -> bool:
        """Forget the lesson about *key* (see `Lesson.key`); return False when there is none. *classes*: see `teach`.

        Raises LedgerUnavailable, LedgerFull.
        """
        return int(await self._scripts.run("teach", key, "", by, why, *_flat(classes))) == 1

    async def lessons(self) -> list[Lesson]:
        """Return the lessons, oldest first; raises LedgerUnavailable."""
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.taught)
        lessons = [_lesson(text(value)) for value in rows.values()]
        return sorted(lessons, key=lambda each: (each.at_ms, each.key))

    async def version(self) -> int:
        """Return a number that rises with each lesson that is kept or forgotten; raises LedgerUnavailable."""
        with translated():
            found = await self._scripts.redis.hget(self._keys.meta, "taught")
        return int(text(found)) if found is not None else 0

    async def refresh(self, catalogue: LiveCatalogue) -> bool:
        """Let *catalogue* take the lessons that it does not know; return whether there was anything new.

        One small read where nothing is new. Raises LedgerUnavailable.
        """
        # Read first: a lesson kept in between is taken with a number too low, and once more with the next call.
        version = await self.version()
        if version == catalogue.version:
            return False
        for lesson, why in catalogue.take(await self.lessons(), version=version):
            log.warning("lesson_left_out", about=lesson.key, error=why)
        return True


def _flat(classes: Mapping[str, str]) -> list[str]:
    return [part for pair in classes.items() for part in pair]


def _lesson(value: str) -> Lesson:
    words, at_ms, by, why = value.split(UNIT_SEPARATOR, 3)
    return Lesson.from_document(json.loads(words), by=by, why=why, at_ms=int(at_ms))
