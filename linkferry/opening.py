"""Opening the ledger for the web server: until that has succeeded, no request and no task touches what may be another version's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from worker.ledger import Ledger, LedgerFull, LedgerUnavailable
from worker.telemetry import log

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Answered without the ledger: that this process lives, what the API is, and what a page of errors looks like.
_NEEDS_NO_LEDGER = ("/healthz", "/openapi.json", "/static/")
_AGAIN_S = 1.0  # a server that is away is asked again this often


class Opening:
    """Whether a ledger is open, and what brings that about; Redis may be away when the web server starts."""

    def __init__(self, ledger: Ledger, *, is_open: bool = False, again_s: float = _AGAIN_S) -> None:
        """Open *ledger*, every *again_s* seconds where it is away; *is_open*: somebody has opened it."""
        self._ledger = ledger
        self._again_s = again_s
        self._opened = asyncio.Event()
        if is_open:
            self._opened.set()

    @property
    def is_open(self) -> bool:
        """Tell whether the ledger was opened: its schema is ours."""
        return self._opened.is_set()

    async def wait(self) -> None:
        """Return when the ledger is open."""
        await self._opened.wait()

    async def attempt(self) -> bool:
        """Open the ledger where Redis answers, and tell whether it is open; raises SchemaMismatch."""
        try:
            await self._ledger.open()
        except (LedgerUnavailable, LedgerFull) as error:
            log.warning("ledger_awaited", error=str(error))
        else:
            self._opened.set()
        return self.is_open

    async def until(self, stop: asyncio.Event) -> None:
        """Return when *stop* is set, opening the ledger meanwhile; raises SchemaMismatch as soon as it shows."""
        opening, stopping = asyncio.create_task(self._open()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
                await stopping
        finally:
            for task in (opening, stopping):
                task.cancel()
            await asyncio.gather(opening, stopping, return_exceptions=True)

    async def _open(self) -> None:
        while True:
            if self.is_open or await self.attempt():
                return
            await asyncio.sleep(self._again_s)


def opening_middleware(opening: Opening) -> Middleware:
    """Return what answers as if Redis were away until the ledger is open; errors become answers further out."""

    @web.middleware
    async def awaiting(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not opening.is_open and not request.path.startswith(_NEEDS_NO_LEDGER):
            raise LedgerUnavailable("not opened yet")
        return await handler(request)

    return awaiting
