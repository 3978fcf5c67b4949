"""Messy files through the command that people type: what it assumed, what it refuses, what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.make_messy import ALL
from tests.fixtures.messy import Messy
from tests.integration.cli_in_process import Cli, cli_on

pytestmark = pytest.mark.redis

BY_NAME = {each.name: each for each in ALL}


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def words_for(messy: Messy, path: Path | str) -> list[str]:
    options = [word for name, value in messy.options.items() for word in (f"--{name}", value)]
    return ["backfill", str(path), "--dry-run", *options]


def dry_run(cli: Cli, messy: Messy, tmp_path: Path, *, expect: int) -> Any:
    path = tmp_path / messy.name
    path.write_bytes(messy.content)
    return cli.json(*words_for(messy, path), expect=expect)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "cp1255.csv",
            "utf16_excel.txt",
            "sep_line.csv",
            "packed.csv.gz",
            "title_above.csv",
            "cp862_said.csv",
        ),
        *("lost_zeros.xlsx", "lost_zeros.xls", "lost_zeros.xlsb", "lost_zeros.ods", "second_by_number.ods"),
    ],
)
def test_a_dry_run_says_what_it_assumed_and_finds_all_rows_good(cli: Cli, tmp_path: Path, name: str) -> None:
    """The same account as the reader's, through options and all."""
    messy = BY_NAME[name]

    document = dry_run(cli, messy, tmp_path, expect=0)

    assert document["valid"] == len(messy.numbers)
    assert {key: document["assumed"].get(key) for key in messy.assumed} == messy.assumed


@pytest.mark.parametrize("name", ["no_numbers.csv", "no_numbers.xlsx", "faulty_rows.csv", "formulas.xlsx"])
def test_a_dry_run_tells_of_every_error_with_its_line(cli: Cli, tmp_path: Path, name: str) -> None:
    """Each row that is not good is told of, by the line where it is found."""
    messy = BY_NAME[name]

    document = dry_run(cli, messy, tmp_path, expect=3 if messy.numbers else 1)

    told = {
        each["line"]: {f"{problem['field']}:{problem['code']}" for problem in each["problems"]}
        for each in document["problems"]
    }
    assert told == messy.errors


@pytest.mark.parametrize(
    "name", ["cp862.csv", "password.xlsx", "macros.xlsm", "no_such_sheet.xlsx", "phone_only.csv"]
)
def test_a_file_that_cannot_be_read_is_refused_with_the_remedy(cli: Cli, tmp_path: Path, name: str) -> None:
    """One error, one thing to do, and no traceback."""
    messy = BY_NAME[name]
    path = tmp_path / messy.name
    path.write_bytes(messy.content)

    result = cli(*words_for(messy, path))

    assert result.exit_code in {1, 2}
    assert isinstance(result.exception, SystemExit)
    assert "Nothing was recorded" in result.output


def test_what_comes_through_a_pipe_is_read_too(cli: Cli) -> None:
    """Text in Windows-1255, and a workbook."""
    hebrew, book = BY_NAME["cp1255.csv"], BY_NAME["lost_zeros.xlsx"]

    for messy in (hebrew, book):
        result = cli(*words_for(messy, "-"), stdin=messy.content)
        assert result.exit_code == 0, result.output
        assert "Read as" in result.output
