"""Whom to forget: what a customer is known by, found in what others wrote, and taken out of it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus

from worker.domain.job import JobRecord
from worker.domain.stop_list import contacts_of

ERASED = "(erased)"  #: stands where something personal stood
_SHORTEST_NAME = 3  #: letters; a shorter one is anybody's word
_SHORTEST_ID = 4
_SHORTEST_NUMBER = 6  #: digits, without the country's; fewer are anybody's figures
#: What people put between the digits of a number; editors and chats add signs of their own.
_BETWEEN = "[ +\\t().\\-/\u00a0\u202f\u2010-\u2015\u200e\u200f\u202a-\u202e\u2066-\u2069]{0,3}"
_escape = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_WHITE = dict.fromkeys("nrtbf", "\n")  # what a letter behind a backslash stands for, where it is not itself
_NESTED = 3  #: JSON in the texts of JSON, so deep
#: Names in the filters of lists and bulk acts that say who was looked for.
_WHO_IN_FILTERS = frozenset({"number", "email", "name", "external_id", "reference"})


@dataclass(frozen=True, kw_only=True)
class Person:
    """All that one customer is known by; `own` things nobody else's request holds."""

    numbers: frozenset[str] = frozenset()  #: digits with country code, nobody else's
    emails: frozenset[str] = frozenset()  #: in small letters, nobody else's
    links: frozenset[str] = frozenset()
    #: of the business and of whoever is written to; others may share them
    names: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()  #: external ids, references, register numbers, addresses of the street
    invitations: frozenset[str] = frozenset()

    @property
    def contacts(self) -> tuple[str, ...]:
        """Return what the stop list may know him by."""
        return (*sorted(self.emails), *sorted(self.numbers))

    def is_in(self, text: str) -> bool:
        """Tell whether *text* holds a number, an address or a link of his, however it is written."""
        return any(pattern is not None and pattern.search(text) for pattern in (self._found, self._dialled))

    def is_in_document(self, text: str) -> bool:
        """Tell the same of a text that is JSON or a form, perhaps, or a part of it, with letters written as escapes."""
        for _ in range(_NESTED):
            if self.is_in(text):
                return True
            plain = _escape.sub(_unescaped, text)
            plain = unquote_plus(plain) if "%" in plain else plain
            if plain == text:
                return False
            text = plain
        return self.is_in(text)

    def is_named_in(self, text: str) -> bool:
        """Tell whether *text* holds anything at all of his, his names and ids included."""
        return self.is_in(text) or (self._named is not None and bool(self._named.search(text)))

    def scrub(self, text: str, *, is_own: bool = False) -> str:
        """Return *text* without him; *is_own*: it is about him, so that his ids and shortest names go as well."""
        for pattern in (self._found, self._dialled, self._named if is_own else self._known):
            text = text if pattern is None else pattern.sub(ERASED, text)
        return text

    def scrub_filter(self, text: str) -> str:
        """Return a filter's JSON without what it looks for him by; a text that is no such JSON is scrubbed."""
        try:
            asked = json.loads(text)
        except ValueError:
            return self.scrub(text)
        if not isinstance(asked, dict):
            return self.scrub(text)
        clean = {name: ERASED if self._is_meant(name, value) else value for name, value in asked.items()}
        return text if clean == asked else json.dumps(clean, ensure_ascii=False, separators=(",", ":"))

    def _is_meant(self, name: str, value: Any) -> bool:
        if name not in _WHO_IN_FILTERS or not isinstance(value, str):
            return False
        sought = value.casefold().strip()
        if name == "name":
            return len(sought) >= _SHORTEST_NAME and any(sought in each.casefold() for each in self.names)
        return self.is_in(value) or sought in {each.casefold() for each in self.ids}

    @cached_property
    def _dialled(self) -> re.Pattern[str] | None:
        # Each number by itself, and not whatever looks like one: `050-1234567 2 times` is one run of digits.
        known = [each for each in self.numbers if len(_national(each)) >= _SHORTEST_NUMBER]
        parts = [_dialled(each) for each in sorted(known, key=len, reverse=True)]
        return re.compile(f"(?<![\\w.])(?:{'|'.join(parts)})(?!\\w)") if parts else None

    @cached_property
    def _found(self) -> re.Pattern[str] | None:
        return _any_of((*self.emails, *self.links), before=r"(?<![\w.+%-])", after=r"(?![\w-]|\.\w)")

    @cached_property
    def _known(self) -> re.Pattern[str] | None:
        # One word may be anybody's name; two are his, wherever they stand.
        return _any_of((each for each in self.names if " " in each), before=r"(?<!\w)", after=r"(?!\w)")

    @cached_property
    def _named(self) -> re.Pattern[str] | None:
        names = [each for each in self.names if len(each) >= _SHORTEST_NAME]
        ids = [each for each in self.ids if len(each) >= _SHORTEST_ID]
        return _any_of((*names, *ids), before=r"(?<!\w)", after=r"(?!\w)")


def person_of(jobs: Iterable[JobRecord], *, shared: Iterable[str] = ()) -> Person:
    """Return the customer whose jobs these are; *shared* numbers and addresses are others' as well: not his own."""
    numbers, emails, links, names, ids = set[str](), set[str](), set[str](), set[str](), set[str]()
    invitations = set[str]()
    for job in jobs:
        requests = [job.request] if job.next_request is None else [job.request, job.next_request]
        for request in requests:
            contact = request.contact
            numbers |= {each for each in (job.number, request.number, contact.phone) if each}
            emails |= {each.casefold() for each in (contact.email, request.business_email) if each}
            names |= {
                each
                for each in (
                    request.business_name,
                    request.business_name_written,
                    request.display_name,
                    contact.name,
                )
                if each
            }
            ids |= {
                each
                for each in (
                    request.external_id,
                    request.reference,
                    request.business_id,
                    request.business_address,
                )
                if each
            }
        links |= {each for each in (job.link, job.landing_page) if each}
        invitations.add(job.invitation_id)
    others = set(shared)
    return Person(
        numbers=frozenset(numbers - others),
        emails=frozenset(emails - others),
        links=frozenset(links),
        names=frozenset(names),
        ids=frozenset(ids),
        invitations=frozenset(invitations),
    )


def reached_by(job: JobRecord) -> set[str]:
    """Return the numbers and addresses in a job's request, as `person_of` takes them."""
    contacts = contacts_of(job.request)
    business = job.request.business_email
    return {*contacts, *([business.casefold()] if business else []), *([job.number] if job.number else [])}


def _national(number: str) -> str:
    """Return the digits of a number that every way to write it has: without country code and trunk zero."""
    if number.startswith("972"):
        return number[3:]
    return number[-9:] if len(number) > 11 else number[-7:]


def _any_of(words: Iterable[str], *, before: str, after: str) -> re.Pattern[str] | None:
    # The longest first: of `Dana Flowers Ltd` nothing is to be left by `Dana Flowers`.
    parts = [re.escape(each) for each in sorted(words, key=len, reverse=True)]
    return re.compile(f"{before}(?:{'|'.join(parts)}){after}", re.IGNORECASE) if parts else None


def _dialled(number: str) -> str:
    """Return the pattern of *number* in all ways to write it: with country and area code, a part of them, or neither."""
    national = _national(number)
    code = ""
    for digit in number.removesuffix(national):
        code = f"(?:{code}{digit}{_BETWEEN})?"
    zero = f"0{_BETWEEN}"
    return rf"\+?(?:{zero}){{0,2}}{code}(?:{zero})?{_BETWEEN.join(national)}"


def _unescaped(escape: re.Match[str]) -> str:
    code, sign = escape.groups()
    return chr(int(code, 16)) if code else _WHITE.get(sign, sign)
