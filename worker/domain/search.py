"""By what a customer's jobs are found: number, e-mail, names, external id, reference; and what a text typed may mean.

An invitation has a handful of *terms* in the ledger's search index. A term is the bucket it stands in (four signs)
and what it stands there by:

- whole values (numbers, addresses, ids, references) by a checksum of 30 bits. Two values may share one, so that what
  is found is compared with the request before it is shown;
- words of names by their first letters.

A bucket is made of two signs for the value or the word's beginning and two for the moment of the invitation. So the
terms that a backfill brings at once fall into few buckets, which makes writing them cheap, and a word that a million
customers share is spread over a thousand buckets, all of which a search reads.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, fields
from enum import StrEnum
from zlib import crc32

from worker.domain.ids import ALPHABET, is_invitation_id, is_job_id
from worker.domain.names import QUOTES, clean_text
from worker.domain.phone import PhoneNumber, normalise_number
from worker.domain.request import OnboardingRequest

BEGINNING = 3  #: letters that a word's beginning must have to be looked up by
WORD_LETTERS = 10  #: of a word that the index knows
WORDS_KEPT = 16  #: of all names of one request
#: The signs of an invitation's id that tell its 32 ms within half a minute.
_MOMENT = slice(7, 9)
_SHORTEST_NUMBER = 7  #: digits; fewer are nobody's number
_words = re.compile(r"[^\W_]+").findall
#: Nearly every name is made of these alone: nothing to be made plain but its quotes.
_is_simple = re.compile(r"[ -~א-ת׳״]*").fullmatch
_is_hebrew = re.compile(r"[א-ת]{2,}").fullmatch
_PREFIXES = "הובל"  #: the, and, in, for: of all that are written before a word, those that names have
_WORDS_VARIED = 4
_drop_quotes = re.compile("[" + re.escape("".join(sorted(QUOTES))) + "]").sub
_DROPPED = frozenset({"Mn", "Pi", "Pf"})
_BUCKETS = tuple(f"{nth:02x}" for nth in range(64))


class Kind(StrEnum):
    """What a whole value is; the letter keeps an id apart from a reference that reads the same."""

    NUMBER = "n"
    EMAIL = "e"
    EXTERNAL_ID = "x"
    REFERENCE = "r"


_SEEDS = {kind: crc32(kind.encode()) for kind in Kind}
_NUMBER, _EMAIL = _SEEDS[Kind.NUMBER], _SEEDS[Kind.EMAIL]
_EXTERNAL_ID, _REFERENCE = _SEEDS[Kind.EXTERNAL_ID], _SEEDS[Kind.REFERENCE]


class SearchEntries:
    """What the invitations of one write add to the search index, by bucket."""

    def __init__(self) -> None:
        self._moments: dict[str, defaultdict[int, list[str]]] = {}

    def add(self, request: OnboardingRequest, invitation_id: str) -> None:
        """Add the entries of one invitation."""
        moment = invitation_id[_MOMENT]
        buckets = self._moments.get(moment)
        if buckets is None:
            buckets = self._moments[moment] = defaultdict(list)
        for checksum in _checksums(request):
            buckets[checksum >> 26].append(f"\n={checksum & 0xFFFFFF:06x}{invitation_id}")
        for word in _name_words(request):
            bucket = crc32(word[:BEGINNING].encode()) & 63
            buckets[bucket].append(f"\n{word[:WORD_LETTERS]} {invitation_id}")

    def args(self) -> list[str]:
        """Return each bucket's name and, behind it, its entries in one text."""
        args: list[str] = []
        for moment, buckets in self._moments.items():
            for bucket, entries in buckets.items():
                args += (_BUCKETS[bucket] + moment, "".join(entries))
        return args


def terms_of(request: OnboardingRequest, invitation_id: str) -> list[str]:
    """Return the terms by which the invitation of *request* is found: each a bucket and what stands in it."""
    entries = SearchEntries()
    entries.add(request, invitation_id)
    args = entries.args()
    return [
        bucket + entry.removesuffix(invitation_id)
        for bucket, whole in zip(args[::2], args[1::2], strict=True)
        for entry in whole[1:].split("\n")
    ]


def changed_terms(
    before: OnboardingRequest, after: OnboardingRequest, invitation_id: str
) -> tuple[list[str], list[str]]:
    """Return the terms that an invitation loses and gains where its request is edited."""
    old, new = terms_of(before, invitation_id), terms_of(after, invitation_id)
    return [each for each in old if each not in new], [each for each in new if each not in old]


def number_term(digits: str | None, invitation_id: str) -> str:
    """Return the term of a number that became known later (coexistence), or nothing for none."""
    if not digits:
        return ""
    sought = _sought_value(_NUMBER, digits)
    return f"{sought.bucket}{invitation_id[_MOMENT]}{sought.beginning}"


def words_of(text: str) -> list[str]:
    """Return the words of a name as they are compared: without case, points, accents and quotes."""
    is_simple = text.isascii() or _is_simple(text) is not None
    if is_simple and text.replace(" ", "").isalnum():
        return text.lower().split()
    return _words(_drop_quotes("", text if is_simple else _plain(text)).lower())


def prefixed_otherwise(text: str) -> list[str]:
    """Return a name with the letter that Hebrew writes before a word taken off it, or put before it: a word at a time.

    What is called פרחים on the telephone may be written הפרחים, and the other way round.
    """
    words, found = words_of(text)[:_WORDS_VARIED], list[str]()
    for nth, word in enumerate(words):
        if not _is_hebrew(word):
            continue
        others = [letter + word for letter in _PREFIXES]
        if word[0] in _PREFIXES and len(word) > BEGINNING - 1:
            others.append(word[1:])
        found += [" ".join([*words[:nth], other, *words[nth + 1 :]]) for other in others]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchKeys:
    """By what a customer is looked for; all that is given must fit."""

    number: str | None = None
    email: str | None = None
    name: str | None = None
    external_id: str | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        """Write ids as requests hold them: who copies one from his file has its double spaces, too."""
        for name in ("external_id", "reference"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, clean_text(value))

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) is not None for each in fields(self))

    @property
    def sought(self) -> list[Sought]:
        """Return where in the index they stand, whole values first; an invitation stands in all of them."""
        values = (
            (_NUMBER, self.number),
            (_EMAIL, self.email and self.email.casefold()),
            (_EXTERNAL_ID, self.external_id),
            (_REFERENCE, self.reference),
        )
        whole = [_sought_value(seed, value) for seed, value in values if value is not None]
        return whole + ([] if self.name is None else _sought_words(words_of(self.name)))

    @property
    def is_impossible(self) -> bool:
        """Tell whether nothing can match: a name without any letter."""
        return self.name is not None and not words_of(self.name)

    def match(self, request: OnboardingRequest, *, allotted: str | None = None) -> bool:
        """Tell whether *request* is one that is looked for; *allotted*: its number, where the partner chose it."""
        contact = request.contact
        if self.number is not None and self.number not in {request.number, contact.phone, allotted}:
            return False
        if self.email is not None and self.email.casefold() != _email_of(request):
            return False
        if self.external_id is not None and self.external_id != request.external_id:
            return False
        if self.reference is not None and self.reference != request.reference:
            return False
        return self.name is None or _is_named(words_of(self.name), _name_words(request))


@dataclass(frozen=True, slots=True)
class Sought:
    """Where the index has a value, a word or all words of one beginning: in the buckets of every moment."""

    bucket: str  #: its first two signs; two for a moment follow
    beginning: str  #: of the entries in it that count


def moments() -> list[str]:
    """Return what the names of the buckets of one value or beginning end in."""
    return [first + second for first in ALPHABET for second in ALPHABET]


class Guess(StrEnum):
    """What a text typed into a search field seems to be."""

    JOB_ID = "job_id"
    NUMBER = "number"
    EMAIL = "email"
    OTHER = "other"  #: an external id, a reference or a name


@dataclass(frozen=True, slots=True)
class SearchGuess:
    """What a text seems to be, and that in the form in which it is looked for."""

    kind: Guess
    value: str  #: a job's or invitation's id; digits with country code; else the text without outer spaces


def guess(text: str, *, region: str = "IL") -> SearchGuess:
    """Return what *text* seems to be; a number without a country code is one of *region*."""
    typed = text.strip()
    bare = typed.lower().partition(".")[0]  # a message's id begins with its invitation's
    if is_job_id(bare) or is_invitation_id(bare):
        return SearchGuess(Guess.JOB_ID, bare)
    if "@" in typed and " " not in typed:
        return SearchGuess(Guess.EMAIL, typed)
    if sum(sign.isdigit() for sign in typed) >= _SHORTEST_NUMBER:
        number = normalise_number(typed, region=region)
        if isinstance(number, PhoneNumber):
            return SearchGuess(Guess.NUMBER, number.digits)
    return SearchGuess(Guess.OTHER, typed)


def _checksums(request: OnboardingRequest) -> list[int]:
    """Return those of the whole values. Written out: every backfilled row pays for it."""
    number, contact, sums = request.number, request.contact, []
    if number:
        sums.append(crc32(number.encode(), _NUMBER))
    if contact.phone and contact.phone != number:
        sums.append(crc32(contact.phone.encode(), _NUMBER))
    if email := _email_of(request):
        sums.append(crc32(email.encode(), _EMAIL))
    if request.external_id:
        sums.append(crc32(request.external_id.encode(), _EXTERNAL_ID))
    if request.reference:
        sums.append(crc32(request.reference.encode(), _REFERENCE))
    return sums


def _email_of(request: OnboardingRequest) -> str:
    """Return where the customer is written to: the invitation's address, else the business's."""
    return (request.contact.email or request.business_email or "").casefold()


def _name_words(request: OnboardingRequest) -> list[str]:
    """Return the words of the business's names, whichever way they are written; the contact's where it has none."""
    text = name = request.business_name or ""
    written, shown = request.business_name_written, request.display_name
    if written and written != name:
        text = f"{text} {written}"
    if shown and shown != name:
        text = f"{text} {shown}"
    words = words_of(text or request.contact.name or "")
    return list(dict.fromkeys(words))[:WORDS_KEPT] if len(words) > 1 else words


def _plain(text: str) -> str:
    """Return *text* without accents, vowel points and quotes, full-width signs as plain ones."""
    text = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join([s for s in text if unicodedata.category(s) not in _DROPPED]))


def _is_beginning(word: str, nth: int) -> bool:
    """Tell whether the *nth* word asked for may be the beginning of a longer one: a short one only after others."""
    return nth > 0 or len(word) >= BEGINNING


def _is_named(asked: list[str], words: list[str]) -> bool:
    return all(
        any(word == each or (_is_beginning(each, nth) and word.startswith(each)) for word in words)
        for nth, each in enumerate(asked)
    ) and bool(asked)


def _sought_value(seed: int, value: str) -> Sought:
    checksum = crc32(value.encode(errors="surrogatepass"), seed)
    return Sought(_BUCKETS[checksum >> 26], f"={checksum & 0xFFFFFF:06x}")


def _sought_words(asked: list[str]) -> list[Sought]:
    sought = []
    for nth, word in enumerate(asked):
        if nth > 0 and len(word) < BEGINNING:
            continue  # it may begin words that stand in any bucket: left to `match`
        is_whole = len(word) < BEGINNING or len(word) >= WORD_LETTERS
        bucket = _BUCKETS[crc32(word[:BEGINNING].encode()) & 63]
        sought.append(Sought(bucket, word[:WORD_LETTERS] + (" " if is_whole else "")))
    return sought
