"""A command that looks something up starts quickly: what it has no use for is not loaded."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys

import pytest

import worker.ledger

#: Each takes a tenth of a command's start, or more.
HEAVY = {"aiohttp", "argon2", "dramatiq", "jinja2", "phonenumbers", "prometheus_client", "rich", "structlog"}
#: What a command loads when it is first asked for.
LEDGER = {each.name for each in pkgutil.iter_modules(worker.ledger.__path__, "worker.ledger.")}
DESK = {"worker.ops.acts", "worker.ops.commands", "worker.ops.queries", "worker.ops.scene"}
SHOW_LOADED = """
import sys
from linkferry.cli import main
sys.argv[0] = "linkferry"
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
SHOW_GARBAGE = """
import gc, importlib, sys
from linkferry.cli import main
module, _, name = sys.argv.pop().rpartition(".")
sys.argv[0] = "linkferry"
setattr(importlib.import_module(module), name, lambda *_, **__: print(gc.get_threshold()[0], gc.get_freeze_count() > 0))
try:
    main()
finally:
    print(*(name for name in sys.modules if name.startswith("worker.")), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("failed", "list"),
        ("failed", "groups"),
        ("job", "find", "0501234567"),
        ("job", "list", "--name", "Dana", "--state", "failed"),
        ("batch", "list"),
        ("act", "list"),
        ("audit",),
        ("holds",),
    ],
    ids=" ".join,
)
def test_a_command_loads_nothing_heavy(valkey_url: str, words: tuple[str, ...]) -> None:
    """An answer as JSON needs neither the mails' templates nor the logs' colours nor the numbers' metadata."""
    answer = subprocess.run(
        [sys.executable, "-c", SHOW_LOADED, *words, "--json"],
        env=os.environ | {"LINKFERRY_REDIS_URL": valkey_url, "LINKFERRY_NAMESPACE": "start"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert json.loads(answer.stdout) is not None
    assert HEAVY & set(answer.stderr.split()) == set()


@pytest.mark.parametrize(
    ("word", "runs", "later"),
    [
        ("web", "linkferry.web.run", {*LEDGER, *DESK}),
        ("worker", "worker.main.run_worker", LEDGER),
        ("up", "linkferry.up.run", set()),
    ],
)
def test_what_stays_clears_up_often_and_is_whole(
    valkey_url: str, word: str, runs: str, later: set[str]
) -> None:
    """Refused requests leave garbage, with their bodies; and what commands load later is loaded at the start.

    Else the files of an upgrade would be mixed with what runs.
    """
    answer = subprocess.run(
        [sys.executable, "-c", SHOW_GARBAGE, word, runs],
        env=os.environ | {"LINKFERRY_REDIS_URL": valkey_url, "LINKFERRY_NAMESPACE": "start"},
        capture_output=True,
        text=True,
        check=False,
    )
    every, is_start_left_alone = answer.stdout.split()
    loaded = set(answer.stderr.split())

    assert int(every) <= 5_000
    assert is_start_left_alone == "True"
    assert later <= loaded
