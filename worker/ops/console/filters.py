"""The filter of a list as it stands in its address: read, checked, and told what is wrong with it, field by field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.domain.phone import PhoneNumber, normalise_number
from worker.domain.reasons import ReasonClass
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter
from worker.ops.console.i18n import N_, Translator

_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smhd])", re.ASCII)
_SPAN_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
STAGES = ("link", "delivery")
_MOST_SIGNS = 320  # as long as the longest e-mail address
_MOST_TIMES = 1_000_000

_NO_SUCH_WORD = N_("There is no such choice.")
_NO_SPAN = N_("Write a length of time such as 30m, 2h or 3d.")
_NO_COUNT = N_("Write a whole number, 1 or more.")
_NO_NUMBER = N_("This is no telephone number; write it with its country code, such as +972 52 123 4567.")
_TOO_LONG = N_("This is too long.")


class _WrongError(Exception):
    """What stands in a field cannot be used; the message says why, in English that is translated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterForm:
    """A filter as it was written, and what it means."""

    values: Mapping[str, str]  #: as written, by the field's name; only what is not empty
    wanted: JobFilter
    errors: Mapping[str, str] = field(default_factory=dict)  #: by the field's name

    @property
    def is_open(self) -> bool:
        """Tell whether anything is asked for beyond the state and the reason, which have places of their own."""
        return bool(set(self.values) - {"state", "reason"})


def read_filter(query: Mapping[str, str], texts: Translator, *, region: str) -> FilterForm:
    """Return the filter in an address' parameters; what cannot be read is left out of it and told in `errors`.

    A number without a country code is one of *region*.
    """
    values = {name: query[name].strip() for name in FIELDS if query.get(name, "").strip()}
    wanted: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, text in values.items():
        target, read = FIELDS[name]
        try:
            wanted[target] = _digits(text, region) if name == "number" else read(_short(text))
        except _WrongError as exc:
            errors[name] = texts.gettext(str(exc))
    return FilterForm(values=values, wanted=JobFilter(**wanted), errors=errors)


def _short(text: str) -> str:
    if len(text) > _MOST_SIGNS:
        raise _WrongError(_TOO_LONG)
    return text


def _word(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise _WrongError(_NO_SUCH_WORD) from None

    return read


def _stage(text: str) -> str:
    if text not in STAGES:
        raise _WrongError(_NO_SUCH_WORD)
    return text


def _class(text: str) -> str:
    return str(_word(ReasonClass)(text))


def _span(text: str) -> float:
    match = _SPAN.fullmatch(text.lower())
    if match is None:
        raise _WrongError(_NO_SPAN)
    return float(match[1]) * _SPAN_S[match[2]]


def _times(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= _MOST_TIMES:
        raise _WrongError(_NO_COUNT)
    return int(text)


def _digits(text: str, region: str) -> str:
    number = normalise_number(_short(text), region=region)
    if not isinstance(number, PhoneNumber):
        raise _WrongError(_NO_NUMBER)
    return number.digits


#: Parameter → the attribute of `JobFilter` that it is, and how it is read.
FIELDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "stage": ("stage", _stage),
    "state": ("state", _word(JobState)),
    "reason": ("reason", str),
    "class": ("reason_class", _class),
    "lane": ("lane", _word(Lane)),
    "batch": ("batch", str),
    "source": ("source", str),
    "number": ("number", str),
    "email": ("email", str),
    "name": ("name", str),
    "external_id": ("external_id", str),
    "reference": ("reference", str),
    "older_than": ("older_than_s", _span),
    "newer_than": ("newer_than_s", _span),
    "attempts": ("min_attempts", _times),
    "requeues": ("min_requeues", _times),
}
