"""The Makefile and the scripts behind it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.repo import ROOT, pages


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_help_lists_every_target() -> None:
    """`make` alone says what one can do here."""
    listed = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(re.findall(r"^  make ([a-z-]+) +\S", listed.stdout, re.MULTILINE)) == _targets()


def test_every_make_target_in_the_docs_exists() -> None:
    """A page never sends a reader to a target that is gone."""
    spoken_of = {
        (page.name, target)
        for page in pages()
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {target for _, target in spoken_of} <= _targets(), spoken_of


def test_the_promised_targets_exist() -> None:
    """What newcomers and the build server call stays there."""
    assert {"help", "setup", "demo", "test", "check", "crash", "bench", "requirements"} <= _targets()


def test_setup_without_a_fitting_python_says_what_to_install(tmp_path: Path) -> None:
    """A machine with only an old Python gets one clear message, not a traceback."""
    for tool in ("sh", "touch"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    (tmp_path / "python3").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n'
    )
    (tmp_path / "python3").chmod(0o755)
    ended = subprocess.run(
        [str(ROOT / ".ci/setup"), "base"],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "VENV": str(tmp_path / "venv")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "needs Python 3.11 or newer" in ended.stderr
    assert "Python 3.9.2" in ended.stderr
    assert "apt install" in ended.stderr
    assert not (tmp_path / "venv").exists()


def test_nothing_is_installed_again_while_the_pins_stand() -> None:
    """A stamp newer than its requirements file means that `make` has nothing to do."""
    planned = subprocess.run(
        ["make", "-n", "setup", "VENV=" + os.devnull + "-none"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ".ci/setup base" in planned.stdout
    assert planned.stdout.index(".ci/setup base") < planned.stdout.index(".ci/setup dev")


def test_ci_runs_check_and_test_and_stops_at_the_first_failure() -> None:
    """The build server runs what a developer runs."""
    script = (ROOT / ".ci/run").read_text()
    assert "set -euo pipefail" in script
    assert script.index("make check") < script.index("make test")
    assert "CI=true" in script
