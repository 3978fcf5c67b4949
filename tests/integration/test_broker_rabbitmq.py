"""RabbitMQ carries the bells as well: a real server, real workers; the ledger stays on Valkey."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import an_invitation
from tests.stack import Stack, free_port
from worker.domain.states import DeliveryState, JobState, Lane

pytestmark = pytest.mark.rabbitmq


@contextlib.contextmanager
def a_rabbitmq(folder: Path) -> Iterator[str]:
    """Run a RabbitMQ of the test's own; yields its address."""
    # Not the one in the path, which becomes the system's own user and could not read our folder.
    server = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin")
    assert server, "rabbitmq-server is not installed: apt-get install rabbitmq-server"
    port, name = free_port(), f"linkferry{os.getpid()}@localhost"
    for each in ("data", "log"):
        (folder / each).mkdir(parents=True)
    environment = os.environ | {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_START_ARGS": "-setcookie linkferry-test",
        "ERL_EPMD_PORT": str(free_port()),
    }
    log = (folder / "out").open("wb")
    process = subprocess.Popen(
        [server], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    log.close()
    try:
        yield f"amqp://guest:guest@127.0.0.1:{port}/"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


async def test_jobs_are_linked_and_told_with_bells_over_rabbitmq(tmp_path: Path) -> None:
    """Thirty customers through two workers: each linked and told once; a worker stops in good order."""
    with a_rabbitmq(tmp_path / "rabbit") as url:
        port = int(url.rpartition(":")[2].strip("/"))
        async with Stack(tmp_path / "stack", broker_url=url) as stack:

            def listens() -> bool:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return True
                return False

            await stack.until(listens, "RabbitMQ listens")
            workers = [stack.start_worker() for _ in range(2)]
            for _ in range(30):
                await stack.ledger.accept([an_invitation(lane=Lane.BULK)], max_waiting=100)

            async def are_linked() -> bool:
                return (await stack.ledger.queries.counts())[JobState.LINKED] == 30

            async def are_told() -> bool:
                return len(await stack.outbox()) == 30

            await stack.until(are_linked, "all are linked")
            await stack.until(are_told, "all are told")
            for worker in workers:
                worker.terminate()
            await stack.until(lambda: all(w.poll() is not None for w in workers), "the workers have stopped")

            assert [worker.returncode for worker in workers] == [0, 0]
            assert (await stack.ledger.deliveries.counts())[DeliveryState.SENT] == 30
            assert (await stack.ledger.queries.audit()).difference == 0
