"""The programs that the decisions rest on still show what they are quoted with."""

from __future__ import annotations

import subprocess
import sys

from tests.repo import ROOT


def test_a_brokers_retry_gets_lost_when_its_server_dies() -> None:
    """Should Dramatiq ever keep that message, docs/decisions/0001 wants a second reading."""
    program = ROOT / "docs/decisions/reproductions/retry_lost_when_redis_dies.py"

    shown = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=110, check=False
    )

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "LOST: one message" in shown.stdout
    quoted = (ROOT / "docs/decisions/0001-the-ledger-is-the-truth.md").read_text()
    # Where the message lies just after the failure is a matter of milliseconds; how it ends is not.
    certain = [line for line in shown.stdout.splitlines() if "after the failure" not in line]
    assert [line for line in certain if line not in quoted] == []
