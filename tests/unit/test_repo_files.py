"""What the repository's files may and must not hold."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.repo import ROOT, sources, tracked_files

#: Put together here, so that this file does not name them itself.
INDEX_MARKS = [
    "pypi" + ".org",
    "python" + "hosted",
    "--index" + "-url",
    "--extra" + "-index",
    "--find" + "-links",
    "/opt/" + "pypi",
]


def test_no_file_names_a_package_index() -> None:
    """Each machine uses the index it is set up for: no pin, script or page names one."""
    found = [
        (str(path.relative_to(ROOT)), mark)
        for path in tracked_files()
        for mark in INDEX_MARKS
        if mark.encode() in path.read_bytes()
    ]
    assert found == []


@pytest.mark.parametrize("name", ["base", "build", "dev"])
def test_each_requirement_is_pinned_with_a_hash(name: str) -> None:
    """What is installed is what was tested, byte for byte."""
    pins = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in pins.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9.-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:", line), line


@pytest.mark.parametrize("name", ["base", "build", "dev"])
def test_each_wanted_requirement_is_compiled(name: str) -> None:
    """A name added to a requirements file without `make requirements` is noticed."""
    pinned = set(re.findall(r"^([a-z0-9.-]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))
    wanted = re.findall(r"^([a-zA-Z0-9.-]+)", (ROOT / f"requirements/{name}.in").read_text(), re.MULTILINE)
    missing = {each.lower() for each in wanted if not each.startswith("-")} - pinned
    assert missing == set()


def test_pins_shared_by_two_files_agree() -> None:
    """Tools are installed beside what runs, so a package has one version in all files."""
    versions: dict[str, set[str]] = {}
    for name in ("base", "build", "dev"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        for package, version in re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE):
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_no_secret_or_data_is_tracked() -> None:
    """Settings with secrets, result files and the embedded server's data stay out."""
    names = [str(path.relative_to(ROOT)) for path in tracked_files()]
    assert not [
        name
        for name in names
        if name == ".env" or name.startswith("var/") or name.endswith((".failed.csv", ".aof", ".rdb"))
    ]


def test_no_source_file_is_longer_than_four_hundred_lines() -> None:
    """A file that is longer has two subjects."""
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources("linkferry", "producers", "worker")
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_no_test_sleeps() -> None:
    """A test that sleeps to be in time is slow on a good day and wrong on a bad one."""
    call = "time." + "sleep("
    assert [str(path.relative_to(ROOT)) for path in sources("tests") if call in path.read_text()] == []


def test_shell_scripts_parse() -> None:
    """The scripts behind `make` are at least shell."""
    for name in ("setup", "requirements", "run"):
        script = ROOT / ".ci" / name
        shell = script.read_text().splitlines()[0].rsplit("/", 1)[-1].replace("env ", "")
        assert script.stat().st_mode & 0o111, f"{name} is not executable"
        checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
