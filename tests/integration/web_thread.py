"""The web server on a thread and a loop of its own, for tests whose clients block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from linkferry.listening import listen
from linkferry.session import Session, open_session
from linkferry.web import build_app
from worker.settings import load_settings

T = TypeVar("T")


@dataclass(frozen=True)
class RunningWeb:
    """The server, and the session that it works with."""

    session: Session
    runner: web.AppRunner
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def server(self) -> web.Server:
        assert self.runner.server
        return self.runner.server

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        """Run *body* where the server runs and return what it comes to."""
        return asyncio.run_coroutine_threadsafe(body, self.loop).result(30)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait, where the server runs, until something there is so."""
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.01)


@contextmanager
def a_web(valkey_url: str, **given: Any) -> Iterator[RunningWeb]:
    """Serve the whole app, as `linkferry web` does, on a free port of this machine while the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ready: asyncio.Queue[RunningWeb] = asyncio.Queue()
    stop = asyncio.Event()
    settings = load_settings(environ={}, env_file=None, redis_url=valkey_url, **given)

    async def serve() -> None:
        async with open_session(settings) as session:
            runner = web.AppRunner(build_app(session))
            await runner.setup()
            listener = await listen(runner, "127.0.0.1", 0)
            port = listener.sockets[0].getsockname()[1]
            await ready.put(RunningWeb(session=session, runner=runner, port=port, loop=loop))
            await stop.wait()
            listener.close()
            await runner.cleanup()

    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    try:
        yield asyncio.run_coroutine_threadsafe(ready.get(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(stop.set)
        serving.result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
