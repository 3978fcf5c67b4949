"""The embedded Valkey: one for all who want it, there as long as anybody does, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from linkferry import embedded, keeper

ROOT = Path(__file__).parents[2]
_USER = """
import sys
from pathlib import Path
from linkferry import embedded
use = embedded.enter(Path(sys.argv[1]))
print(use.url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    until(lambda: not keeper.answers(socket_of(tmp_path)), "no server is left behind")


def socket_of(data_dir: Path) -> str:
    return embedded.socket_path((data_dir / "valkey").resolve())


def until(is_true: Callable[[], bool], what: str, within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    waiter = __import__("threading").Event()
    while not is_true():
        assert time.monotonic() < deadline, what
        waiter.wait(0.02)


def server_pid(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def start_user(data_dir: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _USER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end_user(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def test_it_keeps_what_was_written_and_evicts_nothing(data_dir: Path) -> None:
    """Append-only file, no eviction, no TCP port; stopped and started again, all is there."""
    with embedded.entered(data_dir) as url, redis.Redis.from_url(url) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port") == {"port": "0"}
        client.set("kept", "yes")
    until(lambda: not keeper.answers(socket_of(data_dir)), "the last one out stops it")

    with embedded.entered(data_dir) as url, redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_the_second_user_gets_the_same_server_and_the_last_one_out_stops_it(data_dir: Path) -> None:
    """Commands beside `up` work on its ledger."""
    first = embedded.enter(data_dir)
    second = embedded.enter(data_dir)
    pid = server_pid(first.url)

    assert server_pid(second.url) == pid
    first.close()
    assert server_pid(second.url) == pid
    second.close()
    until(lambda: not keeper.is_running(pid), "the last one out stops it")


def test_many_who_come_at_once_share_one_server(data_dir: Path) -> None:
    """Ten commands started by a script start one Valkey, not ten."""
    with ThreadPoolExecutor(10) as pool:
        uses = list(pool.map(lambda _: embedded.enter(data_dir), range(10)))

    assert len({server_pid(use.url) for use in uses}) == 1
    for use in uses:
        use.close()


def test_a_user_killed_outright_counts_as_gone(data_dir: Path) -> None:
    """`kill -9` of the only user: the server ends by itself."""
    process, url = start_user(data_dir)
    pid = server_pid(url)

    end_user(process)

    until(lambda: not keeper.is_running(pid), "nobody uses it any more")


def test_the_server_outlives_the_user_who_started_it(data_dir: Path) -> None:
    """Whoever started it and was killed must not take the ledger away from the others."""
    process, url = start_user(data_dir)
    with embedded.entered(data_dir) as mine:
        pid = server_pid(url)
        end_user(process)

        assert server_pid(mine) == pid


def test_a_killed_server_is_started_again_with_its_data(data_dir: Path) -> None:
    """The keeper sees it die; users connect anew to the same address."""
    with embedded.entered(data_dir) as url:
        with redis.Redis.from_url(url) as client:
            client.set("kept", "yes")
        os.kill(server_pid(url), signal.SIGKILL)

        until(lambda: keeper.answers(socket_of(data_dir)), "it is started again")

        with redis.Redis.from_url(url) as client:
            assert client.get("kept") == b"yes"


def test_a_killed_keeper_is_replaced_by_the_next_user(data_dir: Path) -> None:
    """The orphaned server is adopted, used and stopped in the end."""
    with embedded.entered(data_dir) as url:
        pid = server_pid(url)
        parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        os.kill(parent, signal.SIGKILL)
        until(lambda: embedded._is_place_free(data_dir / "valkey"), "the keeper is gone")

        with embedded.entered(data_dir) as again:
            assert server_pid(again) == pid
    until(lambda: not keeper.is_running(pid), "the adopted server is stopped, too")


def test_a_stale_socket_is_no_server(data_dir: Path) -> None:
    """What a power cut leaves behind does not stand in the way."""
    folder = data_dir / "valkey"
    folder.mkdir()
    (folder / "valkey.sock").touch()
    (folder / "valkey.pid").write_text("999999")

    with embedded.entered(data_dir) as url:
        assert server_pid(url) != 999999


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """The kernel takes some hundred bytes; deep folders have more."""
    deep = tmp_path / ("very-long-name-" * 6) / "data"
    with embedded.entered(deep) as url:
        assert str(deep) not in url
        assert server_pid(url)
    until(lambda: not keeper.answers(socket_of(deep)), "it is stopped")


def test_a_server_that_cannot_start_is_one_line_that_says_why(data_dir: Path) -> None:
    """A damaged file: the line names the log."""
    folder = data_dir / "valkey"
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")

    with pytest.raises(embedded.EmbeddedError, match=r"valkey\.log"), embedded.entered(data_dir):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A file in the way, or no permission."""
    (tmp_path / "file").touch()

    with pytest.raises(embedded.EmbeddedError, match="LINKFERRY_DATA_DIR"):
        embedded.enter(tmp_path / "file")
