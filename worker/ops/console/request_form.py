"""A job's request as a form: what the page that edits it and the page that replaces its link share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from worker.domain.canonical import EDITABLE_FIELDS
from worker.domain.parse import LOCALES, ParseRules
from worker.ledger.records import Mended
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of
from worker.ops.console.i18n import LANGUAGES, N_, Translator
from worker.ops.console.view import render, translator_of
from worker.ops.edit import EditCheck, problem_view
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
_NO_YES = (("", N_("no")), ("1", N_("yes")))
#: What may stand in a field of few words, as it is kept, each with its name. A brand's are those that there are.
CHOICES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "locale": tuple((code, LANGUAGES[code]) for code in LOCALES),
    "channels": (
        ("email;sms", N_("e-mail, then SMS")),
        ("sms;email", N_("SMS, then e-mail")),
        ("email", N_("e-mail alone")),
        ("sms", N_("SMS alone")),
        ("none", N_("none: nothing is sent")),
    ),
    "channel_policy": (
        ("all", N_("all that have an address")),
        ("first", N_("the first that works")),
    ),
    "agreed": _NO_YES,
    "basic_templates": _NO_YES,
}
#: What a field is for, where its name does not say it.
HELP: Mapping[str, str] = {
    "whatsapp": N_(
        "With its country code, or as it is written at home. “coexistence” where the number stays in the app."
    ),
    "agreed": N_("Yes: the message says that the link comes as agreed."),
    "onboarding_logo": N_("A png or jpg that anybody can fetch."),
    "business_name": N_("Letters, digits, hyphens and spaces, at most 100."),
}


class Forms(Protocol):
    """Where a job's form comes from: `Editing`, or `Changing` with its plan."""

    async def form(self, job_id: str, *, is_revealed: bool = False) -> dict[str, Any] | None:
        """Return it, what is personal masked unless revealed; None: there is no such job."""
        ...


class RequestForm:
    """The form of one kind of page: read, revealed, and shown with what its changes come to."""

    def __init__(self, deps: ConsoleDeps, forms: Forms, *, kind: str) -> None:
        """Take the forms from *forms*; *kind* is the template's name and what a reveal is recorded as."""
        self._forms, self._queries = forms, deps.queries
        self._settings, self._brands = deps.settings, deps.brands
        self._trail = AuditTrail(deps.ledger)
        self._kind = kind

    async def read(self, request: web.Request, *, is_revealed: bool = False) -> dict[str, Any]:
        """Return the form of the job that *request* is about; raises HTTPNotFound."""
        form = await self._forms.form(request.match_info["job_id"], is_revealed=is_revealed)
        if form is None:
            raise web.HTTPNotFound
        return form

    async def show(self, request: web.Request) -> web.Response:
        """Answer with the form, what is personal masked: what comes back masked stays as it is."""
        return await self.page(request, await self.read(request))

    async def reveal(self, request: web.Request) -> web.Response:
        """Answer with the form, everything in it whole but what was typed; that is recorded before it is shown."""
        form, sent = await self.read(request), await read_form(request)
        await self._trail.reveal(by=operator_of(request).by, subject=form["job_id"], what=self._kind)
        whole = await self.read(request, is_revealed=True)
        return await self.page(request, as_sent(whole, sent, _typed(sent, form)))

    async def page(
        self,
        request: web.Request,
        form: dict[str, Any],
        check: EditCheck | None = None,
        mended: Mended | None = None,
        *,
        why: str = "",
    ) -> web.Response:
        """Answer with *form*, what its changes come to, and why nothing was done."""
        problems = check.problems if check else ()
        errors = {each.field: problem_view(each) for each in reversed(problems)}
        refusal = mended.refusal if mended else None
        context = {
            "form": form,
            "job": await self._queries.job(form["job_id"]),
            "groups": _shown_groups(form),
            "labels": LABELS,
            "choices": self._choices(form["fields"], translator_of(request)),
            "helps": HELP,
            "errors": {name: each for name, each in errors.items() if name in form["fields"]},
            "others": [problem_view(each) for each in problems if each.field not in form["fields"]],
            "check": _shown(check, form) if check else None,
            "is_fit": check is not None and check.request is not None,
            "refusal": said(f"why_not.{refusal}") if refusal else None,
            "why": why,
        }
        status = 422 if problems or refusal else 200
        return await render(request, f"{self._kind}.html", status=status, **context)

    def _choices(self, fields: Mapping[str, str], texts: Translator) -> dict[str, list[tuple[str, str]]]:
        """Return what each field of few words may hold, with its name; what stands there already is among it."""
        offered = {
            name: [(value, texts.gettext(label)) for value, label in each] for name, each in CHOICES.items()
        }
        offered["brand"] = [(name, name) for name in self._brands.names]
        for name, usual in self._usual(texts).items():
            label = (
                texts.gettext("as usual: %(what)s") % {"what": usual} if usual else texts.gettext("as usual")
            )
            offered[name].insert(0, ("", label))
        for name, each in offered.items():
            present = fields.get(name, "")
            if present not in dict(each):
                each.append((present, present))
        return offered

    def _usual(self, texts: Translator) -> dict[str, str]:
        """Return what holds where a request leaves it open: the settings' own."""
        channels = ", ".join(texts.term("channel", each.value) for each in self._settings.channels)
        policy = dict(CHOICES["channel_policy"])[self._settings.channel_policy.value]
        return {
            "channels": channels or texts.gettext("none: nothing is sent"),
            "channel_policy": texts.gettext(policy),
            "brand": self._brands.default or "",
        }


def rules_of(deps: ConsoleDeps) -> ParseRules:
    """Return the door's own rules, by which a changed request is read."""
    settings = deps.settings
    return ParseRules(region=settings.default_region, locale=settings.default_locale, brands=deps.brands)


def fields_of(sent: Form) -> dict[str, str]:
    """Return the fields that came with the form."""
    return {name: sent.text(name) for name in EDITABLE_FIELDS if sent.has(name)}


def as_sent(form: Mapping[str, Any], sent: Form, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the form with *fields* as they were typed, and the request that was seen then."""
    return {**form, "fields": {**form["fields"], **fields}, "seen": sent.word("seen") or form["seen"]}


def _typed(sent: Form, form: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that do not come back as the form showed them."""
    return {name: text for name, text in fields_of(sent).items() if text.strip() != form["fields"][name]}


def _shown(check: EditCheck, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an edit comes to: who typed a value may see what it is read as."""
    document = check.document()
    whole = {each.field: each.after for each in check.changes}
    for each in document["changes"]:
        if form["fields"].get(each["field"]) not in {each["before"], each["after"]}:
            each["after"] = whole[each["field"]]
    return document


def _shown_groups(form: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Return the groups with the fields that the form has; one that this module does not know comes last."""
    groups = [
        (title, {name: label for name, label in fields.items() if name in form["fields"]})
        for title, fields in GROUPS
    ]
    unknown = {name: name for name in form["fields"] if name not in LABELS}
    return [*groups, (N_("More"), unknown)] if unknown else groups
