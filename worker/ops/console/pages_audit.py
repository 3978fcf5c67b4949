"""`/audit`: who did what, when and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from worker.domain.act import Act
from worker.domain.forgetting import ERASED
from worker.domain.ids import is_job_id
from worker.domain.roles import Role
from worker.domain.states import Channel, DeliveryState, JobState
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.filters import read_filter
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import Translator
from worker.ops.console.told import see
from worker.ops.console.view import render, translator_of
from worker.ops.trail import ACTS, AuditTrail
from worker.ops.words import WORDS

_PER_PAGE = 50
_FIELDS = ("by", "act", "subject", "since")
_LONGEST = 200
#: What entries tell beside who, when and why; one that is not here is shown by its own name.
DETAILS = (
    "act",
    "total",
    "done",
    "linked",
    "sent",
    "revoked",
    "failed_again",
    "canary",
    "undo_of",
    "waiting",
    "reason",
    "was",
    "channel",
    "readdressed",
    "holds_cleared",
    "role",
    "address",
    "sessions_ended",
    "count",
    "to",
    "shown",
    "what",
    "method",
    "needed",
    "cause",
    "cancelled",
    "running",
    "in_doubt",
    "before",
    "after",
    "call",
    "target",
    "code",
    "name",
    "contact",
    "source",
    "sink",
    "state",
    "failed",
    "events",
    "jobs",
    "messages",
    "trail",
    "acts",
    "stop_list",
    "accepted_at",
    "changed_at",
    "batch",
)
#: Why a sign-in or a request was refused.
CAUSES = ("unknown_name", "disabled", "wrong_password", "too_many_tries", "stale_token", "foreign_origin")
#: What somebody saw whole.
LOOKED_AT = (
    "job",
    "customer",
    "message",
    "edit",
    "replace",
    "audit",
    "suppressed",
    "watch",
    "crm event",
    "act show",
    "job list",
    "job find",
    "failed list",
)
YES_NO = ("0", "1")
_SOURCES = frozenset(code.removeprefix("source.") for code in WORDS if code.startswith("source."))
_LONG = frozenset({"before", "after"})  #: need a table
#: Parts of an entry that have a place of their own on its page.
_OWN_PLACE = frozenset({"changes", "filter"})
_PERSONAL = _OWN_PLACE | {"contact"}  #: what may be masked
#: Parts of an entry whose values are codes → the kinds of word that these may be (`Translator.term`).
_CODES: Mapping[str, Mapping[str, Collection[str]]] = {
    "act": {"act": frozenset(Act)},
    "was": {"state": frozenset(JobState), "delivery_state": frozenset(DeliveryState)},
    "state": {"state": frozenset(JobState)},
    "source": {"source": _SOURCES},
    "channel": {"channel": frozenset(Channel)},
    "role": {"role": frozenset(Role)},
    "needed": {"role": frozenset(Role)},
    "before": {"role": frozenset(Role)},
    "after": {"role": frozenset(Role)},
    "cause": {"cause": CAUSES},
    "what": {"looked_at": LOOKED_AT},
    "readdressed": {"yes_no": YES_NO},
    "canary": {"yes_no": YES_NO},
}


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of the trail."""
    pages = AuditPages(deps)
    return [
        web.get("/audit", pages.list),
        web.get("/audit/{entry}", pages.show),
        web.post("/audit/{entry}/reveal", pages.reveal),
    ]


class AuditPages:
    """The trail, and one entry of it."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._trail = AuditTrail(deps.ledger)
        self._region = deps.settings.default_region

    @requires(Role.VIEWER)
    async def list(self, request: web.Request) -> web.StreamResponse:
        """Answer with the acts that match the filter in the address, newest first."""
        texts = translator_of(request)
        values = {name: request.query.get(name, "").strip()[:_LONGEST] for name in _FIELDS}
        span = read_filter({"newer_than": values["since"]}, texts, region=self._region)
        page: dict[str, Any] = {"items": [], "next": None, "total": 0, "is_total_exact": True}
        if not span.errors:
            try:
                page = await self._trail.find(
                    by=values["by"] or None,
                    act=values["act"] or None,
                    subject=values["subject"] or None,
                    since_s=span.wanted.newer_than_s,
                    cursor=request.query.get("cursor") or None,
                    limit=_PER_PAGE,
                )
            except ValueError:
                return see("/audit", told="bad_cursor")
        return await render(
            request,
            "audit.html",
            status=400 if span.errors else 200,
            page={**page, "items": [_listed(each, texts) for each in page["items"]]},
            values=values,
            error=span.errors.get("newer_than"),
            acts=ACTS,
        )

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with all of one entry, what is personal in it masked."""
        return await self._answer(request, is_revealed=False)

    @requires(Role.OPERATOR)
    async def reveal(self, request: web.Request) -> web.StreamResponse:
        """Answer with all of one entry, whole; that is recorded before it is shown."""
        return await self._answer(request, is_revealed=True)

    async def _answer(self, request: web.Request, *, is_revealed: bool) -> web.Response:
        texts = translator_of(request)
        entry = await self._trail.entry(request.match_info["entry"], is_revealed=is_revealed)
        if entry is None:
            raise web.HTTPNotFound
        if is_revealed:
            await self._trail.reveal(by=operator_of(request).by, subject=entry["subject"], what="audit")
        return await render(
            request,
            "audit_entry.html",
            entry=_listed(entry, texts),
            acts=ACTS,
            plain=_plain(entry["detail"], texts),
            is_revealed=is_revealed,
            has_personal=bool(_PERSONAL & set(entry["detail"])),
        )


def _listed(entry: Mapping[str, Any], texts: Translator) -> dict[str, Any]:
    """Return the entry with where its subject leads to, and what of its detail fits into a line."""
    short = {
        name: in_words(name, value, texts)
        for name, value in entry["detail"].items()
        if isinstance(value, str) and value not in {"", "0"} and len(value) <= 40 and name not in _LONG
    }
    return {**entry, "to": _subject_path(str(entry["subject"] or "")), "short": short}


def _subject_path(subject: str) -> str | None:
    """Return the page of what an act was done to."""
    kind, _, name = subject.partition(":")
    if is_job_id(subject):
        return f"/jobs/{subject}"
    if kind == "batch" and name:
        return f"/batches/{quote(name, safe='')}"
    if subject.startswith("a") and "-" in subject and subject.partition("-")[0][1:].isdecimal():
        return f"/acts/{quote(subject, safe='')}"
    return None


def in_words(name: str, value: str, texts: Translator) -> str:
    """Return the word for a part of an entry where it is a code of the system; anything else as it is."""
    for kind, codes in _CODES.get(name, {}).items():
        if value in codes:
            return texts.term(kind, value)
    return value


def _plain(detail: Mapping[str, Any], texts: Translator) -> dict[str, str]:
    return {
        name: in_words(name, value, texts) if isinstance(value, str) else _flat(value)
        for name, value in detail.items()
        if name not in _OWN_PLACE or value == ERASED
    }


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_flat(each) for each in value)
    return str(value)
