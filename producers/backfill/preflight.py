"""What the partner's two lists say of a file's numbers, before a single create is spent on them.

A WhatsApp link needs a number that a person with the phone has registered, of which at most 500 wait at a time; and
a number carries one link only, whoever made it. Coexistence, Facebook and Instagram need neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from producers.backfill.checks import CheckedRow, Listing
from producers.backfill.intake import Intake
from worker.clock import Clock, SystemClock
from worker.domain.ids import is_job_id
from worker.domain.outcome import AccountEntry, RegisteredNumber
from worker.domain.phone import PhoneNumber, normalise_number

WAVE = 500  #: documented: so many registered numbers wait at most, each for 90 days
NEAR_EXPIRY_S = 7 * 86_400.0
_LISTS = 2
_COLUMNS = ("line", "number", "finding", "wave", "expires", "job", "remedy")


class Standing(StrEnum):
    """How a number stands with the partner."""

    READY = "ready"  #: registered, and without a link
    NEAR_EXPIRY = "near_expiry"  #: the same, and its registration ends within a week
    NOT_REGISTERED = "not_registered"
    LINKED_BY_US = "linked_by_us"  #: its link is from this ledger and waits for the customer
    LINKED_BY_OTHERS = "linked_by_others"
    ONBOARDED = "onboarded"  #: the customer has finished, whoever made the link
    UNKNOWN = "unknown"  #: the list that would tell could not be had


REMEDIES = {
    Standing.READY: "",
    Standing.NEAR_EXPIRY: "Send it now; once the registration has ended it has to be registered anew.",
    Standing.NOT_REGISTERED: "Register it with the partner (a person with the phone is needed).",
    Standing.LINKED_BY_US: "Nothing: its link is made. See linkferry job show {job}",
    Standing.LINKED_BY_OTHERS: "Send the existing link, or delete it at the partner first.",
    Standing.ONBOARDED: "Leave the row out: the customer has finished.",
    Standing.UNKNOWN: "Ask again when the partner's list can be had.",
}
_WOULD_SUCCEED = frozenset({Standing.READY, Standing.NEAR_EXPIRY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why one of the partner's lists could not be had."""

    reason: str  #: a name of the reasons catalogue
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerLists:
    """The partner's lists as they were when the file was looked over: each whole, or not at all."""

    registered: Sequence[RegisteredNumber] | Missing
    accounts: Sequence[AccountEntry] | Missing

    @property
    def missing(self) -> dict[str, Missing]:
        """Return why a list is not there, by the name of its call."""
        lists = {"getRegisteredNumbers": self.registered, "getAccounts": self.accounts}
        return {call: each for call, each in lists.items() if isinstance(each, Missing)}


AskLists = Callable[[], Awaitable[PartnerLists]]
OursOf = Callable[[Sequence[str]], Awaitable[set[str]]]  #: job ids → those of them that the ledger holds


@dataclass(frozen=True, slots=True)
class _Registration:
    expires_s: int  #: 0: not told
    has_link: bool


@dataclass(frozen=True, slots=True)
class _Account:
    is_finished: bool
    reference: str


class Numbers:
    """Both lists, by number: some 200 bytes for each of the partner's entries."""

    def __init__(self, lists: PartnerLists, *, region: str, now_s: float) -> None:
        """Index the lists; numbers are compared in the form that a file's numbers are brought to, too."""
        self._now_s = now_s
        self._registered: dict[str, _Registration] | None = None
        self._accounts: dict[str, _Account] | None = None
        if not isinstance(lists.registered, Missing):
            self._registered = {
                _normal(each.whatsapp, region): _Registration(each.expires_s, each.link is not None)
                for each in lists.registered
            }
        if not isinstance(lists.accounts, Missing):
            self._accounts = {}
            for entry in lists.accounts:
                _keep_finished(self._accounts, _normal(entry.whatsapp, region), entry)

    @property
    def waiting(self) -> int | None:
        """Return how many registered numbers wait already, or None where the list could not be had."""
        return None if self._registered is None else len(self._registered)

    def reference_of(self, number: str) -> str:
        """Return the reference of the number's link where it has the shape of our own, else nothing."""
        account = (self._accounts or {}).get(number)
        return account.reference if account and is_job_id(account.reference) else ""

    def expires_s(self, number: str) -> int:
        """Return when the number's registration ends, in unix seconds; 0: not told or not registered."""
        registration = (self._registered or {}).get(number)
        return registration.expires_s if registration else 0

    def has_account(self, number: str) -> bool:
        """Tell whether a link of the number is in the list of accounts."""
        return number in (self._accounts or {})

    def standing_of(self, number: str, *, is_ours: bool) -> Standing:
        """Return how *number* stands; *is_ours*: a link that stands on it is from this ledger."""
        account = (self._accounts or {}).get(number)
        registration = (self._registered or {}).get(number)
        if account is not None and account.is_finished:
            return Standing.ONBOARDED
        if account is not None or (registration is not None and registration.has_link):
            return Standing.LINKED_BY_US if is_ours else Standing.LINKED_BY_OTHERS
        if self._registered is None or (registration is None and self._accounts is None):
            # A number leaves the registered ones when it is connected, too: only the accounts tell which.
            return Standing.UNKNOWN
        return self._by_registration(registration)

    def _by_registration(self, registration: _Registration | None) -> Standing:
        if registration is None or 0 < registration.expires_s <= self._now_s:
            return Standing.NOT_REGISTERED
        is_near = 0 < registration.expires_s <= self._now_s + NEAR_EXPIRY_S
        return Standing.NEAR_EXPIRY if is_near else Standing.READY


def _normal(written: str, region: str) -> str:
    found = normalise_number(written, region=region)
    return found.digits if isinstance(found, PhoneNumber) else written


def _keep_finished(accounts: dict[str, _Account], number: str, entry: AccountEntry) -> None:
    """Keep one entry for each number; a finished onboarding outweighs one that waits."""
    if number not in accounts or entry.is_finished:
        accounts[number] = _Account(entry.is_finished, (entry.reference or "").strip().lower())


def wave_of(nth: int, free: int) -> int:
    """Return in which wave the *nth* number (from 0) can be registered, when *free* places are left now.

    The first wave fills what is free; where nothing is, it is a whole one, for when places are free again.
    """
    first = free or WAVE
    return 1 if nth < first else 2 + (nth - first) // WAVE


class LineSet:
    """A set of line numbers, a bit each: a million lines are 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.count = 0

    def add(self, line: int) -> None:
        """Add a line."""
        if line in self:
            return
        if len(self._bits) <= line >> 3:
            self._bits.extend(bytes((line >> 3) + 4096 - len(self._bits)))
        self._bits[line >> 3] |= 1 << (line & 7)
        self.count += 1

    def __contains__(self, line: object) -> bool:
        if not isinstance(line, int) or line < 0 or line >> 3 >= len(self._bits):
            return False
        return bool(self._bits[line >> 3] & 1 << (line & 7))


class Preflight:
    """Tells of each row's number whether a create can succeed. Each list is asked for once, by the first number."""

    def __init__(
        self, ask: AskLists, *, run: str, ours: OursOf, region: str = "IL", clock: Clock | None = None
    ) -> None:
        """List every row that has a number in `<stem>.<run>.preflight.csv`.

        Args:
            ask: gets both lists.
            run: for the file's name.
            ours: tells which job ids are in the ledger.
            region: where numbers without a country code belong.
            clock: for tests.
        """
        self._ask = ask
        self._ours = ours
        self._region = region
        self._clock = clock or SystemClock()
        self._numbers: Numbers | None = None
        self._by_standing: Counter[Standing] = Counter()
        self._waves: Counter[int] = Counter()
        self.missing: Mapping[str, Missing] = {}  #: lists that could not be had, by the name of the call
        self.not_needed = 0  #: rows without a number: coexistence, Facebook, Instagram
        self.unready = LineSet()  #: new rows whose create would surely fail, or nobody can tell
        self.unready_jobs = 0  #: links that these rows ask for, each counted once
        self.listing = Listing(run, "preflight", _COLUMNS)

    def begin(self, intake: Intake) -> None:
        """Take note of the file that the rows are from."""
        self.listing.begin(intake)

    async def examine(self, rows: Sequence[CheckedRow]) -> None:
        """Look the rows' numbers up, count them and list them."""
        numbered = [(row, number) for row in rows if (number := row.request.number)]
        self.not_needed += len(rows) - len(numbered)
        if not numbered:
            return
        numbers = self._numbers or await self._ask_lists()
        references = {number: numbers.reference_of(number) for _, number in numbered}
        asked = sorted({reference for reference in references.values() if reference})
        ours = await self._ours(asked) if asked else set()
        for row, number in numbered:
            self._note(row, number, numbers, references[number] if references[number] in ours else "")

    async def _ask_lists(self) -> Numbers:
        lists = await self._ask()
        self.missing = lists.missing
        self._numbers = Numbers(lists, region=self._region, now_s=self._clock.now().timestamp())
        return self._numbers

    def _note(self, row: CheckedRow, number: str, numbers: Numbers, linked: str) -> None:
        """Count and list a row; *linked* is our own job that the number's link was made for, if there is one."""
        job = linked or (row.known.job_ids[0] if row.known is not None else "")
        is_ours = bool(linked or (job and not numbers.has_account(number)))
        standing = numbers.standing_of(number, is_ours=is_ours)
        if row.known is None and standing not in _WOULD_SUCCEED:
            # What the ledger knows already spends no create: it answers that, whatever the number's standing.
            self.unready.add(row.line)
            self.unready_jobs += len(row.request.products) if row.is_first else 0
        if not row.is_first:
            return
        wave = self._wave(numbers) if standing is Standing.NOT_REGISTERED else 0
        self._by_standing[standing] += 1
        remedy = REMEDIES[standing].format(job=job)
        if wave and job:
            remedy += " Its job goes on by itself then."
        if self.is_answered:
            expires = _day(numbers.expires_s(number))
            self.listing.write(row.line, number, standing, str(wave or ""), expires, job, remedy)

    def _wave(self, numbers: Numbers) -> int:
        nth = self._by_standing[Standing.NOT_REGISTERED]
        wave = wave_of(nth, max(0, WAVE - (numbers.waiting or 0)))
        self._waves[wave] += 1
        return wave

    def close(self) -> None:
        """Finish the list."""
        self.listing.close()

    @property
    def is_answered(self) -> bool:
        """Tell whether at least one of the lists could be had."""
        return len(self.missing) < _LISTS

    @property
    def numbers(self) -> int:
        """Return how many distinct numbers were looked up."""
        return self._by_standing.total()

    def count(self, standing: Standing) -> int:
        """Return how many distinct numbers stand so."""
        return self._by_standing[standing]

    @property
    def waves(self) -> list[int]:
        """Return how many numbers each wave of registering has, the first one first."""
        return [self._waves[wave] for wave in sorted(self._waves)]

    @property
    def waiting(self) -> int | None:
        """Return how many numbers of the account are registered and wait now; None: not known."""
        return self._numbers.waiting if self._numbers else None

    def as_document(self) -> dict[str, Any]:
        """Return what was found as `--json` prints it: distinct numbers by their standing."""
        return {
            "numbers": self.numbers,
            **{standing.value: self._by_standing[standing] for standing in Standing},
            "not_needed": self.not_needed,
            "registered_waiting": self.waiting,
            "waves": self.waves,
            "unready_rows": self.unready.count,
            "file": str(self.listing.path) if self.listing.path else None,
            "missing": {
                call: {"reason": each.reason, "detail": each.detail} for call, each in self.missing.items()
            },
        }


def _day(at_s: int) -> str:
    try:
        return datetime.fromtimestamp(at_s, UTC).date().isoformat() if at_s else ""
    except (OverflowError, ValueError, OSError):
        return ""  # a year that no calendar has
