"""What operators and CRMs wrote about a customer: whether it is about him, and the same without him. Pure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import suppress

from worker.domain.forgetting import ERASED, Person
from worker.domain.ids import INVITATION_ID_LENGTH
from worker.domain.report import REPORT_SOURCES, unpacked
from worker.ledger.forgetting import Held
from worker.ledger.keys import UNIT_SEPARATOR

#: Fields of an event that came in that hold what its sender wrote.
_OF_EVENTS = ("body", "v", "k")
_SOURCE = "o"
#: Fields of the hashes of entries and acts; of an act's, the reasons why it stopped are JSON.
_WHY, _SUBJECT, _DETAIL = "w", "s", "d"
_OF_ACTS = ("why", "stop")


def is_about(held: Held, person: Person) -> bool:
    """Tell whether there is something of *person* in it that is to go."""
    if held.kind == "event":
        jobs = held.words.get("j", "")
        return any(each in jobs for each in person.invitations) or any(
            map(person.is_in_document, _told_by(held.words))
        )
    return bool(cleaned(held, person))


def _told_by(words: Mapping[str, str]) -> Iterator[str]:
    """Yield what an event's sender wrote; of a report of the partner's that is no text, what can be read of it."""
    yield from (words.get(name, "") for name in _OF_EVENTS)
    if words.get(_SOURCE) in REPORT_SOURCES:
        with suppress(ValueError):
            body, _, is_base64 = unpacked(words.get("body", ""))
            yield b64decode(body).decode("utf-8", "replace") if is_base64 else ""


def cleaned(held: Held, person: Person) -> dict[str, str]:
    """Return the fields of an entry of the trail or of a bulk act that are to be others, as they are to be."""
    clean = _clean_entry(held.words, person) if held.kind == "trail" else _clean_act(held.words, person)
    return {name: words for name, words in clean.items() if words != held.words.get(name, "")}


def _clean_entry(words: dict[str, str], person: Person) -> dict[str, str]:
    why, detail = words.get(_WHY, ""), words.get(_DETAIL, "")
    is_of_his_job = words.get(_SUBJECT, "")[:INVITATION_ID_LENGTH] in person.invitations
    # What holds his number is about him: then his name goes as well.
    is_own = is_of_his_job or person.is_in_document(why) or person.is_in_document(detail)
    parts = detail.split(UNIT_SEPARATOR)
    for at in range(0, len(parts) - 1, 2):
        parts[at + 1] = _clean_detail(parts[at], parts[at + 1], person, is_own=is_own)
    return {_WHY: person.scrub(why, is_own=is_own), _DETAIL: UNIT_SEPARATOR.join(parts)}


def _clean_detail(name: str, value: str, person: Person, *, is_own: bool) -> str:
    if name == "changes" and is_own:
        return ERASED
    return person.scrub_filter(value) if name == "filter" else person.scrub(value, is_own=is_own)


def _clean_act(words: dict[str, str], person: Person) -> dict[str, str]:
    asked = words.get("filter", "")
    clean = {"filter": person.scrub_filter(asked)}
    is_own = clean["filter"] != asked
    return clean | {name: person.scrub(words.get(name, ""), is_own=is_own) for name in _OF_ACTS}
