"""A file that leaves the console piece by piece, for as long as who asked for it may have it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.errors import DownloadCutOffError
from worker.ops.console.gate import operator_of
from worker.ops.console.sessions import who_is_it
from worker.ops.trail import AuditTrail

_LETTERS_AT_ONCE = 64 * 1024


async def send_file(
    request: web.Request, deps: ConsoleDeps, name: str, head: str, lines: AsyncIterator[str]
) -> web.StreamResponse:
    """Answer with a file *name*, a name of ours, a piece of its *lines* in memory at a time.

    Before each piece it is asked whether the session still stands and may export: who is disabled meanwhile, demoted or
    signed out gets no more of it, and that is in the trail. What has left by then breaks off, and is no whole file.

    Raises:
        DownloadCutOffError: his session has ended, or it may not export any more.
        LedgerUnavailable, LedgerFull: see `errors`; the file breaks off.
    """
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
    )
    await response.prepare(request)
    piece, rows, sent = head, 0, 0
    async for line in lines:
        piece, rows = piece + line, rows + 1
        if len(piece) > _LETTERS_AT_ONCE:
            await _check(request, deps, name, sent)
            await response.write(piece.encode())
            piece, sent = "", rows
    await _check(request, deps, name, sent)
    await response.write(piece.encode())
    await response.write_eof()
    return response


async def _check(request: web.Request, deps: ConsoleDeps, name: str, sent: int) -> None:
    user = await who_is_it(request, deps, is_active=False)
    if user is not None and user.may(Role.OPERATOR):
        return
    await AuditTrail(deps.ledger).cut_off(by=operator_of(request).by, count=sent, to=name)
    raise DownloadCutOffError
