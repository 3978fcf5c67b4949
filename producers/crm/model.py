"""What every CRM module is made of: verify the raw request, read it into events, and say what an event asks for.

The receiver and the worker know this shape only. All of it but `fetch` is pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """One HTTP request as it came in."""

    method: str
    headers: Mapping[str, str]  #: names in lower case
    body: bytes
    received_at: datetime  #: aware UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the CRM is told once everything is recorded."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmEvent:
    """One event of a request."""

    key: str  #: its identity at the CRM, the same for every redelivery
    digest: str  #: of what may not differ between redeliveries (`digest_of`)
    body: Mapping[str, Any]  #: what is recorded, as JSON: what `fetch` and `fields` need, and no secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a verified request holds."""

    events: Sequence[CrmEvent] = ()
    skipped: Sequence[str] = ()  #: a reason for each event that is not to be followed; acked and counted
    answer: Answer = field(default_factory=Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an event asks for: fields by the CSV's canonical names, ready for `parse_request`."""

    fields: Mapping[str, str]
    #: field → the source that gave it, or where nothing was
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unwanted:
    """An event that is deliberately not followed."""

    reason: str  #: `incomplete`, `filtered`, `deleted`, `own_write_back`, …
    detail: str = ""  #: which source or condition it was, for `crm test`; no customer's data


class NotAuthenticError(Exception):
    """The request is not surely the CRM's: 401. `code` is for the log and the metrics, never secret."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnreadableError(Exception):
    """An authentic request that makes no sense: 400. The text names what is wrong, without its content."""


class FetchLaterError(Exception):
    """The CRM can't be asked now. *delay_s* None: our own backoff; *is_failure* False uses up no try."""

    def __init__(self, reason: str, *, delay_s: float | None = None, is_failure: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delay_s = delay_s
        self.is_failure = is_failure


class FetchRefusedError(Exception):
    """The CRM will not tell, however often it is asked (token refused, no such scope): a person is needed."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class QuestionRefusedError(FetchRefusedError):
    """The CRM does not take this question: of the bodies that were asked for at once, one may spoil it for all."""


class Crm(Protocol):
    """One CRM, configured."""

    name: str  #: `hubspot`; the path's first part and the source's second

    def verify(self, request: RawRequest) -> None:
        """Raise NotAuthenticError unless the request surely is the CRM's. Sees raw bytes; parses nothing of the body."""
        ...

    def read(self, request: RawRequest) -> Reading:
        """Return the events of a verified request; raises UnreadableError."""
        ...

    async def fetch(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        """Return for each recorded body the whole object that it is about; None: it is gone.

        A CRM whose events are whole returns them as they are. Raises FetchLaterError, FetchRefusedError
        (QuestionRefusedError where fewer bodies at once might be answered).
        """
        ...

    def wanted(self, whole: Mapping[str, Any]) -> Wanted | Unwanted:
        """Return what a whole object asks for, by the field map."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...
