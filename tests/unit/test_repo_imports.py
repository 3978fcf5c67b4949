"""House rules on imports that import-linter cannot see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.repo import ROOT, sources

#: `aiohttp` is client and server in one; calling out is the business of these only. The demo plays a CRM that calls us.
MAY_CALL_OUT = (
    "worker/partner/",
    "worker/dispatch/",
    "producers/crm/",
    "producers/backfill/logos.py",
    "linkferry/demo.py",
)
CLIENT_NAMES = {"ClientSession", "request", "TCPConnector", "UnixConnector"}
#: Besides the settings, children of the supervisor get their ids, and an embedded server its surroundings.
MAY_READ_ENVIRONMENT = ("worker/settings.py", "worker/workshop.py", "linkferry/")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _names_used(path: Path, module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module:
            yield node.attr


def test_only_the_adapters_call_out_by_http() -> None:
    """The partner, the providers and the CRMs are each called from one place."""
    found = {
        _name(path): used
        for path in sources("linkferry", "producers", "worker")
        if (used := CLIENT_NAMES & set(_names_used(path, "aiohttp")))
        and not _name(path).startswith(MAY_CALL_OUT)
    }
    assert found == {}


def test_the_environment_is_read_in_one_place() -> None:
    """Whoever wants a setting asks `worker.settings`, so that the docs know every one."""
    found = [
        _name(path)
        for path in sources("producers", "worker")
        if {"environ", "getenv"} & set(_names_used(path, "os"))
        and not _name(path).startswith(MAY_READ_ENVIRONMENT)
    ]
    assert found == []


def test_logs_are_structlog_only() -> None:
    """A stray standard logger would write lines that nothing masks."""
    found = [
        _name(path)
        for path in sources("producers", "worker")
        if "getLogger" in set(_names_used(path, "logging")) and path.name != "telemetry.py"
    ]
    assert found == []
