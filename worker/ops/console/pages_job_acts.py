"""`/jobs/{id}/requeue`, `discard`, `restore`, `cancel`, `revoke` and `resend`: what is done to one job, from its page."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web

from worker.domain.act import Act
from worker.domain.job import JobRecord
from worker.domain.roles import Role
from worker.domain.states import Channel
from worker.ledger import Readdress
from worker.ops.commands import Resent
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import why_of
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.readdress import ReaddressError, readdressed

#: Where a cancelled job stands then → what is said of it.
_CANCELLED = {
    "running": "cancel_asked",
    "in_doubt": "cancel_asked",
    "linked": "called_off",
    "revoked": "revoked",
    "available": "revoking",
    "scheduled": "revoking",
}


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of acts on one job."""
    pages = JobActPages(deps)
    return [
        web.post("/jobs/{job_id}/requeue", pages.requeue),
        web.post("/jobs/{job_id}/discard", pages.discard),
        web.post("/jobs/{job_id}/restore", pages.restore),
        web.post("/jobs/{job_id}/cancel", pages.cancel),
        web.post("/jobs/{job_id}/resend", pages.resend),
        web.post("/jobs/{job_id}/revoke", pages.revoke),
    ]


class JobActPages:
    """One job is let try again, given up, taken back, cancelled; its message is sent again."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._ledger, self._commands = deps.ledger, deps.commands
        self._region = deps.settings.default_region

    @requires(Role.OPERATOR)
    async def requeue(self, request: web.Request) -> web.StreamResponse:
        """Let the job try again."""
        return await self._do(request, Act.REQUEUE)

    @requires(Role.OPERATOR)
    async def discard(self, request: web.Request) -> web.StreamResponse:
        """Give the job up: a dead letter."""
        return await self._do(request, Act.DISCARD)

    @requires(Role.OPERATOR)
    async def restore(self, request: web.Request) -> web.StreamResponse:
        """Take a dead letter back into the failed queue."""
        return await self._do(request, Act.RESTORE)

    @requires(Role.OPERATOR)
    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Cancel the job, or ask for it where its call is under way."""
        return await self._do(request, Act.CANCEL)

    @requires(Role.OPERATOR)
    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Have the job's link deleted at the partner for good."""
        return await self._do(request, Act.REVOKE)

    async def _do(self, request: web.Request, act: Act) -> web.StreamResponse:
        job = await self._job(request)
        why, by = why_of(await read_form(request)), operator_of(request).by
        verb = getattr(self._commands, act.value)
        done = await verb(job.id, by=by, why=why)
        if not done["done"]:
            return see(job_path(job.id), refused=done["refusal"])
        told = _CANCELLED.get(done["state"], act.value) if act is Act.CANCEL else act.value
        return see(job_path(job.id), told=told)

    @requires(Role.OPERATOR)
    async def resend(self, request: web.Request) -> web.StreamResponse:
        """Send the job's message again, perhaps to another address; the partner is not called."""
        job, form = await self._job(request), await read_form(request)
        try:
            channel, readdress = self._whither(job, form)
        except ReaddressError as error:
            context = {"job_id": job.id, "typed": form.word("to"), "channel": form.word("channel")}
            return await render(request, "resend.html", status=422, problem=error.problem, **context)
        resent = await self._commands.resend(
            job.id, channel=channel, to=readdress, by=operator_of(request).by, why=why_of(form)
        )
        return _told_of(job.id, resent)

    def _whither(self, job: JobRecord, form: Form) -> tuple[Channel | None, Readdress | None]:
        try:
            channel = Channel(form.word("channel")) if form.word("channel") else None
        except ValueError:
            raise web.HTTPBadRequest from None
        to = form.word("to")
        if not to:
            return channel, None
        return readdressed(job.request, to, region=self._region, wanted=channel)

    async def _job(self, request: web.Request) -> JobRecord:
        job = await self._ledger.queries.job(request.match_info["job_id"])
        if job is None:
            raise web.HTTPNotFound
        return job


def job_path(job_id: str) -> str:
    """Return a job's page."""
    return f"/jobs/{quote(job_id, safe='')}"


def _told_of(job_id: str, resent: list[Resent]) -> web.Response:
    if not resent:
        return see(job_path(job_id), told="no_message")
    if any(each.done for each in resent):
        return see(job_path(job_id), told="resend")
    return see(job_path(job_id), refused=resent[0].refusal)
