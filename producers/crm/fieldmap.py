"""Field maps: which part of a CRM's object becomes which field of a request. Pure.

A map is JSON: `{"business_name": "company", "whatsapp": ["mobile", "phone"], "product": {"const": "whatsapp"}}`. What a
source is (a JSON pointer, a property, a column's id) is the CRM module's business: it hands in a *lookup*.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from producers.crm.model import Unwanted, Wanted
from worker.domain.parse import CANONICAL_FIELDS, nearest_field

#: Returns what the object holds at a source, or None where it holds nothing.
Lookup = Callable[[str], str | None]

ONLY_IF = "only_if"
INCOMPLETE = "incomplete"
FILTERED = "filtered"
#: What `Wanted.origins` says of a field that no source gave.
CONSTANT = "a constant of the map"
SAME_AS_BUSINESS_NAME = "the same as business_name"


class FieldMapError(ValueError):
    """A field map that makes no sense. The text says where and what to write instead; it holds no customer's data."""


@dataclass(frozen=True, slots=True)
class Const:
    """A text that stands in the map itself."""

    text: str


Source = str | Const


@dataclass(frozen=True, slots=True)
class FieldMap:
    """For each field of a request where it comes from, and which objects are to be followed at all."""

    targets: Mapping[
        str, tuple[Source, ...]
    ]  #: canonical field → sources, the first that holds something wins
    #: source → values let through, casefolded
    only_if: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None, *, defaults: Mapping[str, Any]) -> FieldMap:
        """Return the map that *text* (JSON) describes, field by field over *defaults*, which are written the same way.

        None or an empty text is the defaults alone. A field set to `null` is taken out of them.

        Raises:
            FieldMapError: naming the field and what to write instead.
        """
        return cls.of(read_map(text), defaults=defaults)

    @classmethod
    def of(cls, document: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None) -> FieldMap:
        """Return the map that *document* describes over *defaults*. Raises FieldMapError."""
        merged = {**(defaults or {}), **document}
        conditions = merged.pop(ONLY_IF, None)
        for name in merged:
            _require_known(name)
        targets = {name: _sources(name, each) for name, each in merged.items() if each is not None}
        return cls(targets, _conditions(conditions))

    def sources(self) -> tuple[str, ...]:
        """Return every source that the map looks at, each once: what a CRM has to be asked for."""
        of_targets = (each for sources in self.targets.values() for each in sources if isinstance(each, str))
        return tuple(dict.fromkeys([*of_targets, *self.only_if]))

    def fields(self, lookup: Lookup) -> Wanted | Unwanted:
        """Return what an object asks for: `filtered` where `only_if` says no, `incomplete` without a needed number."""
        for source, values in self.only_if.items():
            if (lookup(source) or "").strip().casefold() not in values:
                return Unwanted(FILTERED, f"{ONLY_IF}: {source} has none of the values asked for")
        found = dict(self._found(lookup))
        fields = {name: text for name, (text, _) in found.items()}
        origins = {name: found[name][1] if name in found else self._nothing_at(name) for name in self.targets}
        is_for_whatsapp = "whatsapp" in fields.get("product", "whatsapp").casefold()
        if is_for_whatsapp and "whatsapp" not in fields:
            return Unwanted(INCOMPLETE, f"whatsapp: {self._nothing_at('whatsapp')}")
        if is_for_whatsapp and "display_name" not in fields and "business_name" in fields:
            fields["display_name"] = fields["business_name"]
            origins["display_name"] = SAME_AS_BUSINESS_NAME
        return Wanted(fields=fields, origins=origins)

    def _found(self, lookup: Lookup) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, sources in self.targets.items():
            for source in sources:
                if isinstance(source, Const):
                    yield name, (source.text, CONSTANT)
                    break
                if (text := (lookup(source) or "").strip()) != "":
                    yield name, (text, source)
                    break

    def _nothing_at(self, name: str) -> str:
        looked_at = [each for each in self.targets.get(name, ()) if isinstance(each, str)]
        return f"nothing at {', '.join(looked_at)}" if looked_at else "the map names no source for it"


def read_map(text: str | None) -> dict[str, Any]:
    """Return the JSON object that *text* holds, an empty one for none. Raises FieldMapError."""
    if text is None or not text.strip():
        return {}
    try:
        document = json.loads(text, object_pairs_hook=_refuse_twice_named)
    except json.JSONDecodeError as error:
        raise FieldMapError(f"line {error.lineno}, column {error.colno}: {error.msg}. Write JSON.") from None
    except RecursionError:
        raise FieldMapError("it is nested too deeply.") from None
    if not isinstance(document, dict):
        raise FieldMapError('it must be one JSON object, such as {"whatsapp": ["mobile", "phone"]}.')
    return document


def _refuse_twice_named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FieldMapError(f"{twice} is mapped twice. Write one list of sources for it.")
    return members


def _require_known(name: str) -> None:
    if name not in CANONICAL_FIELDS:
        near = nearest_field(name)
        advice = f"Did you mean {near}?" if near else f"Known: {', '.join(CANONICAL_FIELDS)}."
        raise FieldMapError(f"{name} is no field of a request. {advice}")


def _sources(name: str, written: Any) -> tuple[Source, ...]:
    if not isinstance(written, list):
        return (_source(name, written),)
    if not written:
        raise FieldMapError(f"{name}: the list is empty. Name a source, or write null for none.")
    return tuple(_source(name, each) for each in written)


def _source(name: str, written: Any) -> Source:
    if isinstance(written, str) and written.strip():
        return written.strip()
    if isinstance(written, dict) and set(written) == {"const"}:
        text = as_text(written["const"])
        if text is not None:
            return Const(text)
    raise FieldMapError(f'{name}: write a source, a list of sources, {{"const": "text"}} or null.')


def _conditions(written: Any) -> dict[str, frozenset[str]]:
    if written is None:
        return {}
    if not isinstance(written, dict):
        raise FieldMapError(f'{ONLY_IF}: write {{"source": "value"}} or {{"source": ["value", "value"]}}.')
    return {source.strip(): _values(source, values) for source, values in written.items()}


def _values(source: str, written: Any) -> frozenset[str]:
    values = [as_text(each) for each in (written if isinstance(written, list) else [written])]
    if not source.strip() or not values or None in values:
        raise FieldMapError(f"{ONLY_IF}: {source or '(no source)'} needs a value, or a list of values.")
    return frozenset(value.strip().casefold() for value in values if value is not None)


def as_text(value: Any) -> str | None:
    """Return a JSON value as a field's text; None for what is empty or no text (an object).

    A list of such values is joined by semicolons, as several products or channels are written.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        # A number that went through a spreadsheet or JavaScript: 972501234567.0 is a telephone number.
        is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        return str(int(value)) if is_whole else str(value)
    if isinstance(value, list):
        texts = [as_text(each) for each in value if not isinstance(each, (list, dict))]
        return ";".join(text for text in texts if text) or None
    return value.strip() or None if isinstance(value, str) else None


def pointer_lookup(document: Any) -> Lookup:
    """Return a lookup of JSON pointers (RFC 6901) in *document*; a source without a slash is a member at the top."""

    def lookup(source: str) -> str | None:
        return as_text(at_pointer(document, source))

    return lookup


def at_pointer(document: Any, pointer: str) -> Any:
    """Return what *document* holds at a JSON pointer (or at the member of that name), or None."""
    if not pointer.startswith("/"):
        return document.get(pointer) if isinstance(document, dict) else None
    here = document
    for part in pointer[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict):
            here = here.get(name)
        elif isinstance(here, list) and name.isascii() and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            return None
    return here
