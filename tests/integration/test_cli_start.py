"""A command that looks something up starts quickly: what it has no use for is not loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

#: Each takes a tenth of a command's start, or more.
HEAVY = {"aiohttp", "argon2", "dramatiq", "jinja2", "phonenumbers", "prometheus_client", "rich", "structlog"}
SHOW_LOADED = """
import sys
from linkferry.cli import main
sys.argv[0] = "linkferry"
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
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
