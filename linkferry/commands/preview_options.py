"""The options of `linkferry preview` and `test-send`: whose message, in which language, in whose name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from linkferry.frame import USAGE, CommandError

File = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="Show a row of this list, CSV or workbook.")
]
RowNumber = Annotated[
    int | None,
    typer.Option("--row", min=1, help="Which row, as reports count them (the header is 1); else the first."),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="Of FILE: which column a field is in."),
]
Sheet = Annotated[str | None, typer.Option("--sheet", metavar="NAME", help="Of FILE: which sheet.")]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Of FILE, where it does not show: windows-1255."),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="CHAR", help="Of FILE, where it does not show: semicolon."),
]
Job = Annotated[str | None, typer.Option("--job", metavar="JOB", help="Show the message of this job.")]
FixtureName = Annotated[
    str | None,
    typer.Option("--fixture", metavar="NAME", help="Which variant; `linkferry preview --list` names them."),
]
LocaleName = Annotated[str | None, typer.Option("--locale", help="`he` or `en`; else the customer's own.")]
BrandName = Annotated[
    str | None, typer.Option("--brand", metavar="NAME", help="In whose name; see `linkferry brand list`.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose message is wanted, as it was typed."""

    file: Path | None = None
    row: int | None = None
    mapping: tuple[str, ...] = ()
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    job: str | None = None
    fixture: str | None = None
    locale: str | None = None
    brand: str | None = None

    def __post_init__(self) -> None:
        """Raise CommandError for options that contradict each other."""
        if self.locale not in {None, "he", "en"}:
            _refuse(f"--locale {self.locale}: say `he` or `en`.")
        if self.file is not None and self.job is not None:
            _refuse("FILE and --job: show the one or the other.")
        of_file = (self.row, self.mapping or None, self.sheet, self.encoding, self.delimiter)
        if self.file is None and any(each is not None for each in of_file):
            _refuse(
                "--row, --map, --sheet, --encoding and --delimiter go with FILE: "
                "linkferry preview customers.csv --row 3"
            )


def _refuse(message: str) -> None:
    raise CommandError(message, exit_code=USAGE)
