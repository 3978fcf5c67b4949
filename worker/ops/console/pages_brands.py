"""`/brands`: who messages say they are from. All may look; admins add, change and remove, and choose the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from worker.domain.brand import BRAND_FIELDS
from worker.domain.fields import Problem
from worker.domain.roles import Role
from worker.ops.brands import Branding, BrandRefused
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import N_
from worker.ops.console.pages_acts import why_of
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.edit import problem_view

LABELS: Mapping[str, str] = {
    "name_he": N_("Name in Hebrew"),
    "name_en": N_("Name in English"),
    "contact_person": N_("Contact person"),
    "phone": N_("Telephone"),
    "reply_to": N_("Answers to mails go to"),
    "sms_sender": N_("Sender of SMS"),
    "logo": N_("Logo (https address)"),
    "colour": N_("Colour"),
    "privacy_url": N_("Privacy page"),
    "verify_url": N_("“Is this message real?” page"),
}
_LONGEST = 1_000


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of the brands."""
    pages = _Brands(deps)
    return [
        web.get("/brands", pages.show_all),
        web.post("/brands", pages.add),
        # No brand's name holds an underscore.
        web.post("/brands/no_default", pages.take_no_default),
        web.get("/brands/{name}", pages.show),
        web.post("/brands/{name}", pages.edit),
        web.post("/brands/{name}/default", pages.make_default),
        web.post("/brands/{name}/remove", pages.remove),
    ]


class _Brands:
    def __init__(self, deps: ConsoleDeps) -> None:
        self._live = deps.brands
        self._ledger = deps.ledger
        self._branding = Branding(deps.ledger, region=deps.settings.default_region)

    @requires(Role.VIEWER)
    async def show_all(self, request: web.Request) -> web.StreamResponse:
        """List the brands."""
        return await self._list(request)

    @requires(Role.ADMIN)
    async def add(self, request: web.Request) -> web.StreamResponse:
        """Keep a new brand."""
        form = await read_form(request)
        name, fields = form.word("name")[:_LONGEST], _fields(form)
        try:
            kept = await self._branding.add(name, fields, by=operator_of(request).by, why=why_of(form))
        except BrandRefused as refused:
            return await self._list(request, typed={**fields, "name": name}, refused=refused)
        return await self._done(_path(kept.brand["name"]), "brand")

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show one brand, to admins as a form."""
        return await self._page(request)

    @requires(Role.ADMIN)
    async def edit(self, request: web.Request) -> web.StreamResponse:
        """Keep what the form says of a brand, unless somebody else has changed it meanwhile."""
        form, name = await read_form(request), request.match_info["name"]
        fields, seen = _fields(form), form.word("seen")
        try:
            await self._branding.edit(
                name,
                fields,
                by=operator_of(request).by,
                why=why_of(form),
                seen=int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else None,
            )
        except BrandRefused as refused:
            return await self._page(request, typed=fields, refused=refused)
        return await self._done(_path(name), "brand")

    @requires(Role.ADMIN)
    async def make_default(self, request: web.Request) -> web.StreamResponse:
        """Let requests that name no brand have this one."""
        name = request.match_info["name"]
        return await self._choose(request, name)

    @requires(Role.ADMIN)
    async def take_no_default(self, request: web.Request) -> web.StreamResponse:
        """Let requests that name no brand have what the settings say."""
        return await self._choose(request, None)

    @requires(Role.ADMIN)
    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Forget a brand that is not the default."""
        form = await read_form(request)
        try:
            await self._branding.remove(
                request.match_info["name"], by=operator_of(request).by, why=why_of(form)
            )
        except BrandRefused as refused:
            return await self._page(request, refused=refused)
        return await self._done("/brands", "brand_removed")

    async def _choose(self, request: web.Request, name: str | None) -> web.StreamResponse:
        form = await read_form(request)
        try:
            await self._branding.make_default(name, by=operator_of(request).by, why=why_of(form))
        except BrandRefused as refused:
            return await self._list(request, refused=refused)
        return await self._done("/brands", "brand_default")

    async def _done(self, path: str, told: str) -> web.Response:
        await self._ledger.brands.refresh(self._live)  # this process need not wait for its turn
        return see(path, told=told)

    async def _list(
        self,
        request: web.Request,
        *,
        typed: Mapping[str, str] | None = None,
        refused: BrandRefused | None = None,
    ) -> web.Response:
        found = await self._branding.list()
        return await render(
            request,
            "brands.html",
            status=422 if refused else 200,
            brands=found["items"],
            default=found["default"],
            own=self._live.own,
            labels=LABELS,
            typed=typed or {},
            **_shown(refused, {"name", *BRAND_FIELDS}),
        )

    async def _page(
        self,
        request: web.Request,
        *,
        typed: Mapping[str, str] | None = None,
        refused: BrandRefused | None = None,
    ) -> web.Response:
        try:
            brand = await self._branding.show(request.match_info["name"])
        except BrandRefused:
            raise web.HTTPNotFound from None
        return await render(
            request,
            "brand.html",
            status=422 if refused else 200,
            brand=brand,
            labels=LABELS,
            typed={**{field: brand[field] or "" for field in BRAND_FIELDS}, **(typed or {})},
            **_shown(refused, BRAND_FIELDS),
        )


def _fields(form: Form) -> dict[str, str]:
    return {field: form.text(field)[:_LONGEST] for field in BRAND_FIELDS if form.has(field)}


def _shown(refused: BrandRefused | None, fields: Iterable[str]) -> dict[str, Any]:
    """Return the problems by their field, and those of no field that the form has."""
    problems: tuple[Problem, ...] = refused.problems if refused else ()
    known = set(fields)
    return {
        "errors": {each.field: problem_view(each) for each in reversed(problems) if each.field in known},
        "others": [problem_view(each) for each in problems if each.field not in known],
    }


def _path(name: str) -> str:
    return f"/brands/{quote(name, safe='')}"
