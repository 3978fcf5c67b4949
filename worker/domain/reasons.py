"""The reasons catalogue: what each failure is called, what it means, what to do, and what happens by itself.

It is data (`reasons.toml`), keyed by call and by the partner's code, because the partner's tables are known
only in part: an operator's file adds to it without a release, and an unknown code is an ordinary case.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial
from importlib.resources import files
from typing import Any, TypeVar

SHARED = "shared"  #: codes that mean the same on every call to the partner
_OWN_TABLES = ("sms_",)  # prefixes of calls that do not go to the partner: its shared codes say nothing there
_LONGEST_CODE = 18  # signs; what is longer is no code of theirs, and Python reads no number of any length
_HIGHEST_NAMED_CODE = 99_999  # a code beyond it is noise, and must not make a metric of its own


class ReasonClass(StrEnum):
    """The kind of trouble: decides who is to act, and how retries are spaced."""

    TRANSIENT = "transient"  #: time mends it
    THROTTLED = "throttled"  #: we are too fast
    CREDENTIALS = "credentials"  #: our keys are refused or missing
    CONFIGURATION = "configuration"  #: another setting of ours is wrong
    BAD_DATA = "bad_data"  #: the request must be corrected
    NOT_REGISTERED = "not_registered"  #: the number is not registered with the partner yet
    LINK_EXISTS = "link_exists"  #: the number has a link already
    LINK_GONE = "link_gone"  #: the link is no longer at the partner
    ALREADY_ONBOARDED = "already_onboarded"  #: the customer has finished before
    EXHAUSTED = "exhausted"  #: tries used up
    DOUBT = "doubt"  #: nobody knows whether it was done
    RECIPIENT = "recipient"  #: this customer can't be reached by this channel
    SKIPPED = "skipped"  #: not sent on purpose
    UNKNOWN = "unknown"  #: the partner gave a code that nobody has explained yet


class Policy(StrEnum):
    """What happens by itself."""

    FAIL = "fail"  #: waits in the failed queue for a person
    RETRY = "retry"  #: again later; uses up a try
    SNOOZE = "snooze"  #: again later; uses up none
    DISCARD = "discard"  #: straight to the dead letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something failed, as the catalogue knows it."""

    name: str
    reason_class: ReasonClass
    meaning: str
    remedy: str
    policy: Policy = Policy.FAIL
    is_own_data: bool = False  #: the row itself is at fault: says nothing about its neighbours


class ReasonsFileError(ValueError):
    """The operator's reasons file can't be used; the message, one line, names the line or key and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # a key may hold a line's end


class Catalogue:
    """All reasons by name, and the partner's codes by call. Never changes; lookups never raise."""

    def __init__(self, named: Mapping[str, Reason], codes: Mapping[str, Mapping[int, Reason]]) -> None:
        self._named = dict(named)
        self._codes = {call: dict(table) for call, table in codes.items()}

    @classmethod
    def shipped(cls) -> Catalogue:
        """Return the catalogue that comes with Linkferry."""
        return _shipped()

    def with_overrides(self, text: str) -> Catalogue:
        """Return this catalogue with an operator's TOML or JSON *text* laid over it.

        Raises:
            ReasonsFileError: *text* can't be read, or a key or value in it is not known.
        """
        return _overlaid(self._named, self._codes, _read(text))

    def for_code(self, call: str, code: int | None) -> Reason:
        """Return what *code* means as the answer to *call* (`create_whatsapp`, `sms_99digital`, …)."""
        tables = (call,) if call.startswith(_OWN_TABLES) else (call, SHARED)
        for table in tables:
            reason = self._codes.get(table, {}).get(code) if code is not None else None
            if reason is not None:
                return reason
        unknown = _unknown_code(code)
        return self._named.get(unknown.name, unknown)  # somebody may have described `unknown_77` by that name

    def named(self, name: str) -> Reason:
        """Return the reason called *name*; one that nobody has described is of class unknown."""
        return self._named.get(name) or _undescribed(name)

    def all(self) -> tuple[Reason, ...]:
        """Return every reason that has a name, in alphabetical order."""
        return tuple(self._named[name] for name in sorted(self._named))

    def codes(self) -> tuple[tuple[str, int, Reason], ...]:
        """Return (call, code, reason) for every code that is known, in order."""
        return tuple(
            (call, code, table[code]) for call, table in sorted(self._codes.items()) for code in sorted(table)
        )

    def calls(self) -> tuple[str, ...]:
        """Return the calls that have a table of codes, `shared` among them."""
        return tuple(sorted(self._codes))


def _unknown_code(code: int | None) -> Reason:
    if code is None:
        return _unexplained("unknown_none", "The partner refused it without saying why.")
    known = abs(code) <= _HIGHEST_NAMED_CODE
    return _unexplained(
        f"unknown_{code}" if known else "unknown_other",
        f"The partner refused it with code {code}, whose meaning is not known."
        if known
        else "The partner refused it with a code far out of its range.",
    )


def is_code(text: str) -> bool:
    """Tell whether *text* is a whole number, as the partner's codes are."""
    return text.isascii() and text.removeprefix("-").isdecimal() and len(text) <= _LONGEST_CODE


def _undescribed(name: str) -> Reason:
    code = name.removeprefix("unknown_")
    if code != name and is_code(code):
        return _unknown_code(int(code))
    return _unexplained(name, f"No description of {name} is known.")


def _unexplained(name: str, meaning: str) -> Reason:
    return Reason(
        name=name,
        reason_class=ReasonClass.UNKNOWN,
        meaning=meaning,
        remedy="Read the raw answer, ask the partner what it means, and teach it (linkferry reasons set); then requeue.",
    )


# --- reading a file ----------------------------------------------------------------------------------------

_Word = TypeVar("_Word", bound=StrEnum)


@cache
def _shipped() -> Catalogue:
    text = files("worker.domain").joinpath("reasons.toml").read_text(encoding="utf-8")
    document = _read(text)
    calls: dict[str, dict[int, Reason]] = {call: {} for call in document["codes"]}
    return _overlaid({}, calls, document)


def _read(text: str) -> dict[str, Any]:
    """Return the tables of a TOML or JSON text, told apart by its first sign."""
    text = text.removeprefix("\ufeff")
    try:
        document: Any = (
            json.loads(text) if text.lstrip()[:1] in {"{", "["} and _is_json(text) else tomllib.loads(text)
        )
    except json.JSONDecodeError as exc:
        raise ReasonsFileError(f"line {exc.lineno}, column {exc.colno}: not valid JSON: {exc.msg}") from exc
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ReasonsFileError(f"not valid TOML: {exc}") from exc
    if not isinstance(document, dict):
        raise ReasonsFileError("the file must hold the tables reasons and codes, not a list")
    return document


def _is_json(text: str) -> bool:
    """Tell a JSON text from a TOML one that begins with a [table]."""
    return text.lstrip().startswith("{") or not text.lstrip()[1:2].isalpha()


def _overlaid(
    named: Mapping[str, Reason], codes: Mapping[str, Mapping[int, Reason]], document: Mapping[str, Any]
) -> Catalogue:
    _check_keys("", document, ("reasons", "codes"))
    all_named = dict(named)
    for name, entry in _table("reasons", document.get("reasons", {})).items():
        key = f"reasons.{name}"
        all_named[name] = _reason(key, name, _table(key, entry), all_named.get(name))
    all_codes = {call: dict(table) for call, table in codes.items()}
    for call, table in _table("codes", document.get("codes", {})).items():
        if call not in all_codes:
            raise ReasonsFileError(f"codes.{call}: no such call{_hint(call, all_codes)}")
        for code, entry in _table(f"codes.{call}", table).items():
            key = f"codes.{call}.{code}"
            reason = _reason_of_code(key, entry, all_named)
            all_named.setdefault(reason.name, reason)
            all_codes[call][_code(key, code)] = reason
    return Catalogue(all_named, _refreshed(all_codes, named, all_named))


def _refreshed(
    codes: Mapping[str, Mapping[int, Reason]], before: Mapping[str, Reason], after: Mapping[str, Reason]
) -> dict[str, dict[int, Reason]]:
    """Let a reason that was described anew take effect for the codes that bore its name before."""
    return {
        call: {
            code: after[reason.name] if reason is before.get(reason.name) else reason
            for code, reason in table.items()
        }
        for call, table in codes.items()
    }


def _reason_of_code(key: str, entry: object, named: Mapping[str, Reason]) -> Reason:
    if isinstance(entry, str):
        if entry not in named:
            raise ReasonsFileError(f"{key}: no reason is called {entry!r}{_hint(entry, named)}")
        return named[entry]
    table = dict(_table(key, entry))
    name = table.pop("name", None)
    if not isinstance(name, str) or not name:
        raise ReasonsFileError(
            f'{key}.name: is missing; write a reason\'s name, such as name = "number_invalid"'
        )
    return _reason(key, name, table, named.get(name))


def _reason(key: str, name: str, table: Mapping[str, Any], before: Reason | None) -> Reason:
    _check_keys(key, table, _READERS)
    _check_name(key, name)
    changes = {_READERS[word][0]: _READERS[word][1](f"{key}.{word}", value) for word, value in table.items()}
    if before is not None:
        return replace(before, **changes)
    for word in ("class", "meaning", "remedy"):
        if word not in table:
            raise ReasonsFileError(f"{key}.{word}: is missing, and {name} is a new reason")
    return Reason(name=name, **changes)


def _check_name(key: str, name: str) -> None:
    is_plain = name.isascii() and name.replace("_", "").isalnum() and name == name.lower() and len(name) <= 60
    if not is_plain:
        raise ReasonsFileError(f"{key}: a reason's name is made of small letters, digits and _ (at most 60)")


def _check_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    for word in table:
        if word not in known:
            raise ReasonsFileError(f"{f'{where}.' if where else ''}{word}: no such key{_hint(word, known)}")


def _table(key: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ReasonsFileError(f"{key}: must be a table, not {value!r}")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ReasonsFileError(f"{key}: must be a sentence, not {value!r}")
    return " ".join(value.split())


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ReasonsFileError(f"{key}: must be true or false, not {value!r}")
    return value


def _member(key: str, value: object, words: type[_Word]) -> _Word:
    known = [word.value for word in words]
    if not isinstance(value, str) or value not in known:
        raise ReasonsFileError(f"{key}: {value!r} is not known{_hint(str(value), known)}")
    return words(value)


def _code(key: str, text: str) -> int:
    if not is_code(text):
        raise ReasonsFileError(f"{key}: the partner's codes are whole numbers")
    return int(text)


def _hint(word: str, known: Iterable[str]) -> str:
    values = list(known)
    near = difflib.get_close_matches(word, values, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(values)}"


#: Key of a reason's table → the attribute it sets and how it is read.
_READERS: Mapping[str, tuple[str, Callable[[str, object], Any]]] = {
    "class": ("reason_class", partial(_member, words=ReasonClass)),
    "meaning": ("meaning", _text),
    "remedy": ("remedy", _text),
    "policy": ("policy", partial(_member, words=Policy)),
    "own_data": ("is_own_data", _flag),
}
