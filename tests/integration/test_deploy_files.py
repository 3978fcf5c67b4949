"""The deploy folder, checked as far as it can be without an engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from tests.repo import ROOT, is_command
from worker.settings import load_settings
from worker.settings_fields import describe_settings

DEPLOY = ROOT / "deploy"
OURS = ("web", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return the compose file as it is read."""
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def _settings() -> set[str]:
    return {note.name for note in describe_settings(load_settings(environ={}, env_file=None))}


def _dockerfile() -> list[str]:
    text = (DEPLOY / "Dockerfile").read_text()
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def test_compose_has_the_whole_stack(compose: dict[str, Any]) -> None:
    """Ledger, web, workers and a catcher for mails, each with a health check of its own or its image's."""
    services = compose["services"]
    assert set(services) == {"valkey", "web", "worker", "mailpit"}
    assert all("healthcheck" in services[name] for name in ("valkey", "worker", "mailpit"))
    assert any(line.startswith("HEALTHCHECK") for line in _dockerfile())


def test_compose_keeps_the_ledger(compose: dict[str, Any]) -> None:
    """Valkey writes every change to a volume and evicts nothing."""
    valkey = compose["services"]["valkey"]
    words = valkey["command"]
    assert valkey["image"].startswith("valkey/valkey:8")
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--appendfsync") + 1] == "always"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert valkey["volumes"] == ["valkey-data:/data"]
    assert "valkey-data" in compose["volumes"]
    assert "ports" not in valkey


@pytest.mark.parametrize("name", OURS)
def test_compose_runs_commands_that_exist(compose: dict[str, Any], name: str) -> None:
    """The containers' commands are commands of the CLI."""
    service = compose["services"][name]
    program, *words = service["command"]
    assert program == "linkferry"
    assert is_command(words)
    assert service["depends_on"]["valkey"]["condition"] == "service_healthy"


def test_compose_health_commands_exist(compose: dict[str, Any]) -> None:
    """A health check that cannot run would restart healthy workers for ever."""
    check = compose["services"]["worker"]["healthcheck"]["test"][1]
    command = re.match(r"linkferry ([a-z ]+) --json", check)
    assert command
    assert is_command(command[1].split())


def test_compose_sets_nothing_that_is_no_setting(compose: dict[str, Any]) -> None:
    """Each LINKFERRY_ name in the stack is a setting."""
    names = set(dotenv_values(DEPLOY / "compose.env"))
    for name in OURS:
        names |= set(compose["services"][name]["environment"])
    assert names <= _settings()


def test_composes_own_settings_are_valid(compose: dict[str, Any]) -> None:
    """The stack starts with what it ships: the settings are read without a complaint."""
    values = dotenv_values(DEPLOY / "compose.env") | compose["services"]["web"]["environment"]
    settings = load_settings(environ={name: str(value) for name, value in values.items()}, env_file=None)
    assert settings.redis_url == "redis://valkey:6379/0"
    assert settings.has_smtp
    assert not settings.has_credentials


def test_composes_mails_stay_in_the_catcher_until_told_otherwise(compose: dict[str, Any]) -> None:
    """A stack that is started to have a look reaches nobody; a real server in .env wins."""
    for name in OURS:
        files = [each["path"] for each in compose["services"][name]["env_file"]]
        assert files == ["compose.env", "../.env"]
        assert "LINKFERRY_SMTP_URL" not in compose["services"][name]["environment"]
    assert dotenv_values(DEPLOY / "compose.env")["LINKFERRY_SMTP_URL"] == "smtp://mailpit:1025"


def test_compose_gives_workers_time_to_finish(compose: dict[str, Any]) -> None:
    """The grace period outlives the longest call by a margin."""
    grace_s = float(compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > load_settings(environ={}, env_file=None).provider_timeout + 15


def test_compose_is_understood_by_docker() -> None:
    """Docker's own parser takes the file, where that plugin is at hand."""
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        return  # read as YAML by the tests above
    read = subprocess.run(
        [docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr
    assert set(json.loads(read.stdout)["services"]) == {"valkey", "web", "worker", "mailpit"}


def test_the_image_copies_what_exists_and_what_is_let_through() -> None:
    """Each file that is copied is there, and not kept back from the builder."""
    let_through = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    for line in _dockerfile():
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] in let_through, source


def test_the_image_holds_every_package_that_is_installed() -> None:
    """A new top-level package must not be forgotten in the image."""
    import tomllib

    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"][
        "include"
    ]
    copied = {line.split()[1] for line in _dockerfile() if line.startswith("COPY") and "--from" not in line}
    assert {name.rstrip("*") for name in packages} <= copied


def test_the_image_installs_by_hash_and_runs_as_nobody_special() -> None:
    """Pins are checked; the process is neither root nor able to become it by name."""
    lines = _dockerfile()
    stages = [line for line in lines if line.startswith("FROM")]
    last_stage = lines[lines.index(stages[-1]) :]
    users = [line.split()[1] for line in last_stage if line.startswith("USER")]
    assert len(stages) == 2
    assert all(line.split()[1] == "python:3.12-slim" for line in stages)
    assert any("--require-hashes -r requirements/base.txt" in line for line in lines)
    assert users
    assert users[-1].isdigit()
    assert int(users[-1]) > 0


def test_the_images_command_and_settings_exist() -> None:
    """What the image runs by default is a command; what it sets are settings."""
    text = "\n".join(_dockerfile())
    command = json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
    assert command[0] == "linkferry"
    assert is_command(command[1:])
    assert set(re.findall(r"(LINKFERRY_[A-Z_]+)=", text)) <= _settings()


def test_procfile_commands_exist() -> None:
    """`web` and `worker` are what a platform starts."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert set(lines) == {"web", "worker"}
    for line in lines.values():
        program, *words = line.split()
        assert program == "linkferry"
        assert is_command(words)


def test_web_honours_the_port_a_platform_gives() -> None:
    """Platforms with a Procfile name the port in PORT."""
    assert load_settings(environ={"PORT": "5000"}, env_file=None).web_port == 5000


@pytest.mark.parametrize("name", ["linkferry-web.service", "linkferry-worker@.service"])
def test_units_run_commands_that_exist_hardened(name: str) -> None:
    """Each unit starts a real command as a user of its own and takes rights away."""
    text = (DEPLOY / "systemd" / name).read_text()
    program, *words = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)[0].split()
    assert program == "/opt/linkferry/bin/linkferry"
    assert is_command(words)
    assert set(re.findall(r"(LINKFERRY_[A-Z_]+)=", text)) <= _settings()
    for wanted in ("User=linkferry", "NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=always"):
        assert wanted in text


def test_units_are_understood_by_systemd(tmp_path: Path) -> None:
    """systemd's own check finds nothing to complain of, where it is at hand."""
    for unit in (DEPLOY / "systemd").iterdir():
        # The program is put where it is found on this machine; an instance stands for the template.
        name = unit.name.replace("@.", "@1.")
        (tmp_path / name).write_text(unit.read_text().replace("/opt/linkferry/bin/linkferry", "/bin/true"))
    analyze = shutil.which("systemd-analyze")
    units = sorted(str(path) for path in tmp_path.iterdir())
    assert len(units) == 3
    if analyze is None:
        return  # parsed by the test above
    checked = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in checked.stderr.splitlines() if "linkferry" in line]
    assert checked.returncode == 0, checked.stderr
    assert ours == []
