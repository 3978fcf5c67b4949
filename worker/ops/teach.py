"""Teaching: giving a reason, or a code of the partner's that nobody knew, its name, class, policy, meaning and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.domain.change import DELETING
from worker.domain.classify import DELETE_CALL, call_of
from worker.domain.fields import nearest
from worker.domain.lessons import Lesson, LiveCatalogue, classes_of, code_in
from worker.domain.reasons import Catalogue, Policy, ReasonClass, ReasonsFileError, is_code
from worker.domain.states import JobState
from worker.ledger import JobFilter, Ledger
from worker.ops.views import iso

_LOOKED_AT = 200  #: failed jobs looked at to learn which call their code came from
_WORDS = frozenset({"class", "policy", "meaning", "remedy", "own_data"})
_SENTENCES = frozenset({"meaning", "remedy"})
_find_code = re.compile(r"-?\d+$", re.ASCII)
_COME_BY = "create_whatsapp"  #: whose code it is where nothing tells
_SMS = "sms_"  #: how the names of SMS providers' tables begin


class TeachRefused(ValueError):  # noqa: N818 - reads as what happened
    """A lesson can't be used; the text says what is wrong with it, `code` too, `field` where (None: with the whole).

    Where only the call is missing, `calls` are those that it may be.
    """

    def __init__(self, text: str, code: str, field: str | None = None, *, calls: Sequence[str] = ()) -> None:
        """Refuse with *text*; *code* is by what another language finds its own."""
        super().__init__(text)
        self.code = code
        self.field = field
        self.calls = tuple(calls)


class Teaching:
    """Teaches the ledger, and a catalogue of this process at once; all others follow within seconds."""

    def __init__(self, ledger: Ledger, catalogue: LiveCatalogue) -> None:
        """Keep lessons in *ledger*; *catalogue* takes them here."""
        self._ledger = ledger
        self._catalogue = catalogue

    async def form(self, reason: str) -> dict[str, Any]:
        """Return what is known of *reason* (or of `unknown_77`), to be taught; raises LedgerUnavailable."""
        await self._ledger.taught.refresh(self._catalogue)
        known, code = self._catalogue.named(reason), code_in(reason)
        calls = [] if code is None else await self._calls_of(reason)
        return {
            "reason": reason,
            "code": code,
            "calls": calls,
            "name": known.name,
            "class": known.reason_class.value,
            "policy": known.policy.value,
            "meaning": known.meaning,
            "remedy": known.remedy,
            "own_data": known.is_own_data,
            "is_known": known.reason_class is not ReasonClass.UNKNOWN,
            "classes": [each.value for each in ReasonClass],
            "policies": [each.value for each in Policy],
            "all_calls": list(self._catalogue.calls()),
            "origin": origin_view(self._catalogue, known.name),
            "standing": await self._standing(reason),
        }

    async def teach(
        self,
        reason_or_code: str,
        *,
        by: str,
        why: str = "",
        call: str | None = None,
        name: str | None = None,
        words: Mapping[str, str | bool | None],
    ) -> dict[str, Any]:
        """Describe a reason, or a code under the name *name*, by what *words* say; what they leave open stays.

        *words* are those of REASONS_FILE: `class`, `policy`, `meaning`, `remedy`, `own_data`.

        A code (`77`, or the name `unknown_77` of its group) is that of *call*; where that is not given, of the call whose
        jobs failed with it. Return the lesson with how many failed jobs, and messages, stand under it. Raises TeachRefused,
        LedgerUnavailable, LedgerFull.
        """
        lessons = await self._ledger.taught.lessons()
        asked = reason_or_code.strip()
        about = self._named_before(asked, call, name, lessons) or await self._about(asked, call, name)
        lesson = Lesson.from_document({**words, **about}, by=by, why=why)
        earlier = next((each for each in lessons if each.key == lesson.key), None)
        if earlier is not None:
            lesson = _over(earlier, lesson)
        after = [*(each for each in lessons if each.key != lesson.key), lesson]
        classes = _classes_after(lessons, after, self._try_out(after))
        await self._ledger.taught.teach(lesson, classes=classes)
        await self._ledger.taught.refresh(self._catalogue)
        known = self._catalogue.named(lesson.name)
        reason = f"unknown_{lesson.code}" if lesson.code is not None else lesson.name
        return {
            "reason": lesson.name,
            "call": lesson.call,
            "code": lesson.code,
            "class": known.reason_class.value,
            "policy": known.policy.value,
            "meaning": known.meaning,
            "remedy": known.remedy,
            "own_data": known.is_own_data,
            "stood_as": reason,
            "replaced": _replaced(earlier, lesson),
            "standing": await self._standing(reason),
            "standing_messages": await self._standing_messages(reason),
        }

    async def unteach(
        self, reason_or_code: str, *, by: str, why: str = "", call: str | None = None
    ) -> dict[str, Any]:
        """Forget what was taught of a reason or a code; what is shipped, or in REASONS_FILE, holds again.

        Raises TeachRefused, LedgerUnavailable, LedgerFull.
        """
        lessons = await self._ledger.taught.lessons()
        wanted = reason_or_code.strip()
        found = [each for each in lessons if _is_about(each, wanted) and call in {None, each.call}]
        # A code's name that was described further is itself; the code goes by its number.
        found = [each for each in found if each.key == wanted] or found
        if not found:
            message = f"{wanted}: nothing was taught of it. `linkferry reasons list --taught` shows what was."
            raise TeachRefused(message, "not_taught")
        if len(found) > 1:
            raise _of_several_calls(wanted, found)
        [lesson] = found
        try:
            after = [each for each in lessons if each.key != lesson.key]
            tried = self._catalogue.try_out(after)
        except ReasonsFileError as exc:
            rest = f"other codes go by the name {lesson.name}, or more was taught of it"
            message = f"{wanted}: {rest}: take that back first ({exc})."
            raise TeachRefused(message, "taught_further") from exc
        classes = _classes_after(lessons, after, tried)
        await self._ledger.taught.unteach(lesson.key, by=by, why=why, classes=classes)
        await self._ledger.taught.refresh(self._catalogue)
        return {"reason": lesson.name, "call": lesson.call, "code": lesson.code, "untaught": True}

    @staticmethod
    def _named_before(
        asked: str, call: str | None, name: str | None, lessons: Iterable[Lesson]
    ) -> dict[str, Any] | None:
        """Return what is meant by a code that was taught a name, where no other is given for it; else None.

        Raises TeachRefused where it means something else in each of several calls.
        """
        code = _code_of(asked)
        if code is None or name is not None:
            return None
        taught = [each for each in lessons if each.code == code and call in {None, each.call}]
        if len(taught) > 1:
            raise _of_several_calls(asked, taught)
        return {"name": taught[0].name, "call": taught[0].call, "code": code} if taught else None

    async def _about(self, asked: str, call: str | None, name: str | None) -> dict[str, Any]:
        """Return what the lesson is about: the reason's name, and the call and code that mean it, if any do."""
        code = _code_of(asked)
        if code is None or (name is None and call is None and not is_code(asked)):
            self._require_meant(asked, is_code_meant=name not in {None, asked})
            if name not in {None, asked}:
                text = f"name: {asked} is a name already; only a code takes one."
                raise TeachRefused(text, "named_already", "name")
            return {"name": asked, "call": None, "code": None}
        if name is None and is_code(asked):
            raise self._without_name(code)
        if call is None:
            calls = await self._calls_of(f"unknown_{code}")
            if len(calls) > 1:
                message = f"call: code {code} may be that of several calls; say one of {', '.join(calls)}."
                raise TeachRefused(message, "several_calls", "call", calls=calls)
            call = calls[0] if calls else _COME_BY
        self._require_call(call)
        return {"name": name or asked, "call": call, "code": code}

    def _without_name(self, code: int) -> TeachRefused:
        """Return what to say of a code that was given no name: to give one, or to use the one that it has."""
        known: dict[str, list[str]] = {}
        for call, its_code, reason in self._catalogue.codes():
            if its_code == code:
                known.setdefault(reason.name, []).append(call)
        if not known:
            text = f"name: say what code {code} is to be called, such as --name number_frozen."
            return TeachRefused(text, "code_needs_name", "name")
        has = " and ".join(f"{name} ({', '.join(calls)})" for name, calls in known.items())
        text = (
            f"name: code {code} is {has} already. To describe that anew: linkferry reasons set {next(iter(known))} …; "
            f"to give the code another name add --name."
        )
        return TeachRefused(text, "code_has_name", "name")

    def _require_call(self, call: str) -> None:
        known = self._catalogue.calls()
        if call not in known:
            near = nearest(call, known)
            hint = f"Did you mean {near}?" if near else f"Known: {', '.join(known)}."
            raise TeachRefused(f"call: there is no such call as {call}. {hint}", "no_such_call", "call")

    def _require_meant(self, asked: str, *, is_code_meant: bool) -> None:
        """Refuse what is no reason, and was to be a code's name (`unknwn_77`), or is given another name as only a code is."""
        known = [each.name for each in self._catalogue.all()]
        if asked in known or code_in(asked) is not None:
            return
        digits = _find_code.search(asked)
        by_code = [f"unknown_{digits[0]}"] if digits else []
        near = nearest(asked, by_code) or (nearest(asked, known) if is_code_meant else None)
        if near is not None or is_code_meant:
            hint = f" Did you mean {near}?" if near else " `linkferry reasons list` names what there is."
            text = f"{asked}: there is no such reason, nor is it a code.{hint}"
            raise TeachRefused(text, "no_such_reason", "name")

    def _try_out(self, lessons: Iterable[Lesson]) -> Catalogue:
        try:
            return self._catalogue.try_out(lessons)
        except ReasonsFileError as exc:
            where, _, what = str(exc).partition(": ")
            word = where.rpartition(".")[2]
            if word not in _WORDS:
                raise TeachRefused(_sentence(str(exc)), "not_a_reason_name", "name") from exc
            text = _sentence(f"{word}: {what}")
            if word in _SENTENCES:
                raise TeachRefused(text, "not_a_sentence", word) from exc
            raise TeachRefused(text, "unknown_value", word) from exc

    async def _calls_of(self, reason: str) -> list[str]:
        """Return the calls whose code it may be: those by which jobs failed with it, and SMS providers of messages."""
        page = await self._ledger.queries.find(
            JobFilter(state=JobState.FAILED, reason=reason), limit=_LOOKED_AT
        )
        calls = {DELETE_CALL if job.op in DELETING else call_of(job.product) for job in page.items}
        if await self._standing_messages(reason):
            # A message says by which channel it went, not by whose service.
            calls |= {call for call in self._catalogue.calls() if call.startswith(_SMS)}
        return sorted(calls)

    async def _standing(self, reason: str) -> int:
        page = await self._ledger.queries.find(JobFilter(state=JobState.FAILED, reason=reason), limit=1)
        return page.total

    async def _standing_messages(self, reason: str) -> int:
        wanted = JobFilter(reason=reason, stage="delivery")
        return (await self._ledger.deliveries.failed(wanted, limit=1)).total


def reasons_view(catalogue: LiveCatalogue) -> dict[str, Any]:
    """Return the catalogue: each reason with its class, meaning, remedy, policy, codes and where it comes from."""
    codes: dict[str, list[dict[str, Any]]] = {}
    for call, code, reason in catalogue.codes():
        codes.setdefault(reason.name, []).append({"call": call, "code": code})
    items = [
        {
            "reason": reason.name,
            "reason_class": str(reason.reason_class),
            "policy": str(reason.policy),
            "own_data": reason.is_own_data,
            "meaning": reason.meaning,
            "remedy": reason.remedy,
            "codes": codes.get(reason.name, []),
            **origin_view(catalogue, reason.name),
        }
        for reason in catalogue.all()
    ]
    return {"items": items, "next": None, "total": len(items)}


def origin_view(catalogue: LiveCatalogue, name: str) -> dict[str, Any]:
    """Return where a reason's words come from: `shipped`, `file` or `taught`, and by whom and when."""
    origin = catalogue.origin(name)
    return {"from": origin.kind, "taught_by": origin.by, "taught_at": iso(origin.at_ms)}


def _classes_after(before: Iterable[Lesson], after: Iterable[Lesson], tried: Catalogue) -> dict[str, str]:
    """Return of which class what failed before it was taught is from now on; nothing for what is taught no more."""
    untaught = dict.fromkeys((name for each in before if (name := each.stood_as) is not None), "")
    return untaught | classes_of(after, tried)


def _over(earlier: Lesson, later: Lesson) -> Lesson:
    """Return the later lesson with the earlier one's words where it says nothing; another name is another start."""
    if earlier.name != later.name:
        return later
    kept = ("reason_class", "policy", "meaning", "remedy", "is_own_data")
    return replace(later, **{word: getattr(earlier, word) for word in kept if getattr(later, word) is None})


def _sentence(text: str) -> str:
    return text if text.endswith(("?", ".")) else f"{text}."


def _replaced(earlier: Lesson | None, later: Lesson) -> dict[str, Any] | None:
    """Return what of an earlier lesson no longer holds, with whose it was; None where nothing is lost."""
    if earlier is None:
        return None
    before, after = earlier.words | {"name": earlier.name}, later.words | {"name": later.name}
    lost = {word: value for word, value in before.items() if after.get(word) != value}
    return {"by": earlier.by, "at": iso(earlier.at_ms), "words": lost} if lost else None


def _is_about(lesson: Lesson, wanted: str) -> bool:
    code = _code_of(wanted)
    is_by_code = code is not None and code in {lesson.code, code_in(lesson.name)}
    return lesson.name == wanted or is_by_code


def _code_of(asked: str) -> int | None:
    """Return the code that is asked for: `77`, or the name of its group, `unknown_77`."""
    return int(asked) if is_code(asked) else code_in(asked)


def _of_several_calls(asked: str, lessons: Iterable[Lesson]) -> TeachRefused:
    calls = [str(each.call) for each in lessons]
    said = "say --call " + " or --call ".join(calls)
    return TeachRefused(f"{asked}: taught for several calls; {said}.", "several_calls", "call", calls=calls)
