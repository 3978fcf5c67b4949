"""A sandbox on a thread of its own, for tests whose commands have the loop to themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from worker.partner.sandbox.serve import RunningSandbox, serve_sandbox
from worker.partner.sandbox.settings import SandboxSettings


@contextmanager
def a_sandbox(settings: SandboxSettings | None = None) -> Iterator[RunningSandbox]:
    """Serve a sandbox while the block lasts; its state may be looked at and changed from here."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        running = asyncio.run_coroutine_threadsafe(serve_sandbox(settings=settings), loop).result(30)
        yield running
        asyncio.run_coroutine_threadsafe(running.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
