"""`/jobs/{id}/edit`: a failed job's request, corrected, checked by the door's own rules and requeued."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from worker.domain.canonical import EDITABLE_FIELDS
from worker.domain.parse import ParseRules
from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import N_
from worker.ops.console.pages_acts import why_of
from worker.ops.console.pages_job_acts import job_path
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.edit import EditCheck, Edited, Editing, problem_view
from worker.ops.trail import AuditTrail
from worker.ops.words import said

#: The fields in groups as a person thinks of them, each with its name.
GROUPS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (
        N_("The number and the business"),
        {
            "whatsapp": N_("WhatsApp number"),
            "business_name": N_("Business name"),
            "display_name": N_("Display name"),
            "business_email": N_("E-mail of the business"),
            "business_id": N_("Business id"),
            "business_address": N_("Address"),
        },
    ),
    (
        N_("Whom the link is sent to"),
        {
            "name": N_("Contact's name"),
            "email": N_("Contact's e-mail"),
            "phone": N_("Contact's telephone"),
            "locale": N_("Language"),
            "channels": N_("Channels"),
            "channel_policy": N_("Which of them"),
            "brand": N_("Brand"),
            "agreed": N_("As agreed"),
        },
    ),
    (
        N_("The page that the customer sees"),
        {
            "onboarding_logo": N_("Logo (https address)"),
            "onboarding_message": N_("Greeting"),
            "basic_templates": N_("Basic templates"),
        },
    ),
    (
        N_("What it is known by"),
        {
            "reference": N_("Reference"),
            "external_id": N_("External id"),
            "server": N_("Server"),
            "account_id": N_("Account id"),
            "inbox_id": N_("Inbox id"),
        },
    ),
)
LABELS: Mapping[str, str] = {name: label for _, fields in GROUPS for name, label in fields.items()}


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of editing."""
    pages = EditPages(deps)
    return [
        web.get("/jobs/{job_id}/edit", pages.show),
        web.post("/jobs/{job_id}/edit", pages.submit),
        web.post("/jobs/{job_id}/edit/reveal", pages.reveal),
    ]


class EditPages:
    """The form, what its changes come to, and the requeue with them."""

    def __init__(self, deps: ConsoleDeps) -> None:
        rules = ParseRules(
            region=deps.settings.default_region, locale=deps.settings.default_locale, brands=deps.brands
        )
        self._editing = Editing(deps.ledger, rules)
        self._trail = AuditTrail(deps.ledger)

    @requires(Role.OPERATOR)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form, what is personal masked: what comes back masked stays as it is."""
        return await self._page(request, await self._form(request))

    @requires(Role.OPERATOR)
    async def reveal(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form, everything in it whole but what was typed; that is recorded before it is shown."""
        form, sent = await self._form(request), await read_form(request)
        await self._trail.reveal(by=operator_of(request).by, subject=form["job_id"], what="edit")
        whole = await self._form(request, is_revealed=True)
        typed = _typed(sent, form)
        seen = sent.word("seen") or whole["seen"]
        return await self._page(request, {**whole, "fields": {**whole["fields"], **typed}, "seen": seen})

    @requires(Role.OPERATOR)
    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Check what was typed and show before and after; on `requeue`, let the job try again with it."""
        form, sent = await self._form(request), await read_form(request)
        fields = {name: sent.text(name) for name in EDITABLE_FIELDS if sent.has(name)}
        seen, why = sent.word("seen") or None, why_of(sent)
        typed = {**form, "fields": {**form["fields"], **fields}, "seen": seen or form["seen"]}
        if sent.word("do") != "requeue":
            check = await self._editing.check(form["job_id"], fields, seen=seen)
            return await self._page(request, typed, Edited(check=check), why=why)
        edited = await self._editing.requeue_edited(
            form["job_id"], fields, by=operator_of(request).by, why=why, seen=seen
        )
        if edited.done:
            return see(job_path(form["job_id"]), told="edit")
        return await self._page(request, typed, edited, why=why)

    async def _form(self, request: web.Request, *, is_revealed: bool = False) -> dict[str, Any]:
        form = await self._editing.form(request.match_info["job_id"], is_revealed=is_revealed)
        if form is None:
            raise web.HTTPNotFound
        return form

    async def _page(
        self, request: web.Request, form: dict[str, Any], edited: Edited | None = None, *, why: str = ""
    ) -> web.Response:
        problems = edited.check.problems if edited else ()
        errors = {each.field: problem_view(each) for each in reversed(problems)}
        refusal = edited.mended.refusal if edited and edited.mended else None
        context = {
            "form": form,
            "groups": shown_groups(form),
            "labels": LABELS,
            "errors": {name: each for name, each in errors.items() if name in form["fields"]},
            "others": [problem_view(each) for each in problems if each.field not in form["fields"]],
            "check": _shown(edited.check, form) if edited else None,
            "is_fit": edited is not None and edited.check.request is not None,
            "refusal": said(f"why_not.{refusal}") if refusal else None,
            "why": why,
        }
        return await render(request, "edit.html", status=422 if problems or refusal else 200, **context)


def _typed(sent: Form, form: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that do not come back as the form showed them."""
    fields = {name: sent.text(name) for name in EDITABLE_FIELDS if sent.has(name)}
    return {name: text for name, text in fields.items() if text.strip() != form["fields"][name]}


def _shown(check: EditCheck, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an edit comes to: who typed a value may see what it is read as."""
    document = check.document()
    whole = {each.field: each.after for each in check.changes}
    for each in document["changes"]:
        if form["fields"].get(each["field"]) not in {each["before"], each["after"]}:
            each["after"] = whole[each["field"]]
    return document


def shown_groups(form: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Return the groups with the fields that the form has; one that this module does not know comes last."""
    groups = [
        (title, {name: label for name, label in fields.items() if name in form["fields"]})
        for title, fields in GROUPS
    ]
    unknown = {name: name for name in form["fields"] if name not in LABELS}
    return [*groups, (N_("More"), unknown)] if unknown else groups
