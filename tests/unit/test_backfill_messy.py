"""Every messy file of `tests/fixtures` comes to its expected account, through the real reader and parser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from producers.backfill.intake import BackfillOptions, Intake
from producers.backfill.reader import InputProblemError, ReadOptions
from tests.fixtures.make_messy import ALL, make_messy
from tests.fixtures.messy import Messy
from worker.domain.parse import InvalidRequest

#: That a row names no contact is no matter of reading; nearly all of these files leave it out.
_OF_CONTACTS = {"no_contact"}


def options_of(messy: Messy) -> BackfillOptions:
    return BackfillOptions(reading=ReadOptions(**messy.options), mapping=messy.mapping)


def read_all(path: Path, messy: Messy) -> tuple[Intake, list[str], dict[int, set[str]], dict[int, set[str]]]:
    """Return the intake, the good rows' numbers, errors and warnings by line."""
    intake = Intake(path, options_of(messy))
    numbers: list[str] = []
    errors: dict[int, set[str]] = {}
    warnings: dict[int, set[str]] = {}
    try:
        while rows := intake.next_chunk():
            for row in rows:
                _, parsed = intake.read(row)
                if isinstance(parsed, InvalidRequest):
                    errors[row.line] = {f"{found.field}:{found.code}" for found in parsed.problems}
                    continue
                numbers.append(parsed.request.whatsapp or "")
                if codes := {found.code for found in parsed.warnings} - _OF_CONTACTS:
                    warnings[row.line] = codes
    finally:
        intake.close()
    return intake, numbers, errors, warnings


@pytest.mark.parametrize("messy", ALL, ids=lambda each: each.name)
def test_a_messy_file_comes_to_its_expected_account(messy: Messy, tmp_path: Path) -> None:
    """What it assumed, each good row's number, each error and warning by line; or one clear refusal."""
    path = tmp_path / messy.name
    path.write_bytes(messy.content)

    if messy.refused is not None:
        with pytest.raises(InputProblemError) as caught:
            read_all(path, messy)
        assert caught.value.code == messy.refused
        assert caught.value.remedy
        return
    intake, numbers, errors, warnings = read_all(path, messy)

    assumed = intake.sheet.assumptions.as_document()
    assert {name: assumed.get(name) for name in messy.assumed} == messy.assumed
    assert tuple(numbers) == messy.numbers
    assert errors == messy.errors
    assert warnings == messy.warnings
    assert tuple(found.field for found in intake.columns.warnings) == messy.column_warnings


def test_the_files_are_written_with_their_accounts(tmp_path: Path) -> None:
    """A person can try each of them by hand, and read beside it what is to come."""
    make_messy(tmp_path)

    accounts = json.loads((tmp_path / "expected.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {*accounts, "expected.json"}
    assert len(accounts) == len(ALL) > 70
