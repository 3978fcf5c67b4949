"""What commands print where the reader is odd: one that leaves early, or has not all letters."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from linkferry.frame import DONE, guarded
from linkferry.output import console, print_json, say

HEBREW = "פרחי דנה"


def plain_stdout(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Return what is written to a standard output that has Latin letters only."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    return written


def test_letters_that_the_terminal_has_not_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign stands for each, so that columns stay where they are; nothing else of the line is lost."""
    written = plain_stdout(monkeypatch)

    say(f"{HEBREW}  01k8  ×2")

    assert written.getvalue().decode("ascii").strip() == "???? ???  01k8  ?2"


def test_json_is_whole_wherever_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters beyond the terminal's are escaped as JSON has it, also those beyond the first plane."""
    document = {"name": f"{HEBREW} 🌸"}
    written = plain_stdout(monkeypatch)

    print_json(document)

    assert json.loads(written.getvalue()) == document


def test_a_reader_who_leaves_early_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """`linkferry failed list | head -1` ends well, as a script with `pipefail` asks."""
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8", buffering=1) as stream:  # noqa: PTH123 - a descriptor
        os.close(reading)
        monkeypatch.setattr(sys, "stdout", stream)

        def body() -> int:
            console().print("a line")
            return 7

        assert guarded(body) == DONE
