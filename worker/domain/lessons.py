"""What operators teach: lessons about reasons and the partner's codes, laid over the catalogue while work goes on.

A lesson says the same as an entry of REASONS_FILE and is read by the same reader. It wins over the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.reasons import Catalogue, Reason, ReasonClass, ReasonsFileError

#: How a reason is called that nobody has described: by its code.
_BY_CODE = re.compile(r"unknown_(-?\d{1,17})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What an operator says of a reason, or of one call's code; what is None is left as it is."""

    name: str  #: of the reason
    call: str | None = None  #: whose *code* means it; None: only the reason itself is described
    code: int | None = None
    reason_class: str | None = None
    policy: str | None = None
    meaning: str | None = None
    remedy: str | None = None
    is_own_data: bool | None = None
    by: str = ""
    why: str = ""
    at_ms: int = 0

    @property
    def key(self) -> str:
        """Return what the lesson is about: `call:code`, or the reason's name."""
        return self.name if self.call is None else f"{self.call}:{self.code}"

    @property
    def stood_as(self) -> str | None:
        """Return the reason that jobs failed with before the code was taught (`unknown_77`), or None: it is about none."""
        if self.code is not None:
            return f"unknown_{self.code}"
        return None if code_in(self.name) is None else self.name

    @property
    def words(self) -> dict[str, Any]:
        """Return the lesson's words as a table of REASONS_FILE holds them."""
        words = {
            "class": self.reason_class,
            "meaning": self.meaning,
            "remedy": self.remedy,
            "policy": self.policy,
            "own_data": self.is_own_data,
        }
        return {word: value for word, value in words.items() if value is not None}

    def document(self) -> dict[str, Any]:
        """Return the lesson ready for JSON, without who taught it and when."""
        return {"name": self.name, "call": self.call, "code": self.code, **self.words}

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], *, by: str = "", why: str = "", at_ms: int = 0
    ) -> Lesson:
        """Return the lesson that `document` wrote; raises KeyError for a document without a name."""
        return cls(
            name=document["name"],
            call=document.get("call"),
            code=document.get("code"),
            reason_class=document.get("class"),
            policy=document.get("policy"),
            meaning=document.get("meaning"),
            remedy=document.get("remedy"),
            is_own_data=document.get("own_data"),
            by=by,
            why=why,
            at_ms=at_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a reason's words come from."""

    kind: str  #: `shipped`, `file` (REASONS_FILE) or `taught`
    by: str | None = None  #: who taught it
    at_ms: int | None = None


class LiveCatalogue(Catalogue):
    """A catalogue that takes lessons while others read it: each look-up sees them all, or none of the new ones."""

    def __init__(self, base: Catalogue) -> None:
        """Begin as *base*: what is shipped, under the operator's file."""
        super().__init__({}, {})
        self._base = base
        self._current = base
        self._lessons: tuple[Lesson, ...] = ()
        self._describes: dict[str, Lesson] = {}  # by the name of the reason whose words it changed
        self._by_old_name: dict[str, Reason] = {}
        self.version: int | None = None  #: of the lessons it has taken; None: none yet

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """Return the lessons that it has taken."""
        return self._lessons

    def take(self, lessons: Sequence[Lesson], *, version: int) -> list[tuple[Lesson, str]]:
        """Lay *lessons* over the base, in their order; return those that can't be used, each with why not.

        One that can't be used (a word that this version does not know) is left out: it must not stop a worker.
        """
        current, taken, left_out = self._base, [], []
        describes: dict[str, Lesson] = {}
        for lesson in lessons:
            try:
                after = with_lesson(current, lesson)
            except ReasonsFileError as exc:
                left_out.append((lesson, str(exc)))
                continue
            taken.append(lesson)
            if after.named(lesson.name) != current.named(lesson.name):
                describes[lesson.name] = lesson
            current = after
        self._current, self._lessons, self.version = current, tuple(taken), version
        self._describes = describes
        self._by_old_name = {
            name: _taught_of(each, current) for each in taken if (name := each.stood_as) is not None
        }
        return left_out

    def try_out(self, lessons: Iterable[Lesson]) -> Catalogue:
        """Return the catalogue as it would be with *lessons* in place of those it has taken.

        Raises:
            ReasonsFileError: one of them can't be used.
        """
        current = self._base
        for lesson in lessons:
            current = with_lesson(current, lesson)
        return current

    def origin(self, name: str) -> Origin:
        """Return where the words of the reason called *name* come from."""
        if lesson := self._describes.get(name):
            return Origin(kind="taught", by=lesson.by, at_ms=lesson.at_ms)
        is_shipped = Catalogue.shipped().named(name) == self._base.named(name)
        return Origin(kind="shipped" if is_shipped else "file")

    def with_overrides(self, text: str) -> Catalogue:
        """See `Catalogue`; the result takes no lessons."""
        return self._current.with_overrides(text)

    def for_code(self, call: str, code: int | None) -> Reason:
        """See `Catalogue`."""
        return self._current.for_code(call, code)

    def named(self, name: str) -> Reason:
        """See `Catalogue`; a code's old name (`unknown_77`) gives what has been taught of that code."""
        found = self._current.named(name)
        if found.reason_class is ReasonClass.UNKNOWN and name in self._by_old_name:
            return self._by_old_name[name]
        return found

    def all(self) -> tuple[Reason, ...]:
        """See `Catalogue`."""
        return self._current.all()

    def codes(self) -> tuple[tuple[str, int, Reason], ...]:
        """See `Catalogue`."""
        return self._current.codes()

    def calls(self) -> tuple[str, ...]:
        """See `Catalogue`."""
        return self._current.calls()


def with_lesson(catalogue: Catalogue, lesson: Lesson) -> Catalogue:
    """Return *catalogue* with *lesson* laid over it; raises ReasonsFileError where it can't be used."""
    if lesson.call is None:
        document: dict[str, Any] = {"reasons": {lesson.name: lesson.words}}
    elif any(lesson.name == each.name for each in catalogue.all()):
        # A reason that is known keeps its words; the code's own deviate where the lesson says so.
        document = {"codes": {lesson.call: {str(lesson.code): {"name": lesson.name, **lesson.words}}}}
    else:
        document = {
            "reasons": {lesson.name: lesson.words},
            "codes": {lesson.call: {str(lesson.code): lesson.name}},
        }
    return catalogue.with_overrides(json.dumps(document))


def classes_of(lessons: Iterable[Lesson], catalogue: Catalogue) -> dict[str, str]:
    """Return the classes of what failed before it was taught, by `stood_as`; *catalogue* has taken the lessons."""
    return {
        name: _taught_of(each, catalogue).reason_class.value
        for each in lessons
        if (name := each.stood_as) is not None
    }


def _taught_of(lesson: Lesson, catalogue: Catalogue) -> Reason:
    if lesson.call is None:
        return catalogue.named(lesson.name)
    return catalogue.for_code(lesson.call, lesson.code)


def code_in(name: str) -> int | None:
    """Return the partner's code in the name of a reason that nobody has described (`unknown_77`), else None."""
    found = _BY_CODE.fullmatch(name)
    return None if found is None else int(found[1])
