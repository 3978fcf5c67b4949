"""The options of `linkferry backfill`, each with its help."""

from __future__ import annotations

from typing import Annotated

import typer

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="CSV, Excel or OpenDocument with a header (CSV may be .gz); `-` is standard input.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check every row and say what would come of it; record nothing.")
]
IsPreflight = Annotated[
    bool,
    typer.Option(
        "--preflight",
        help="First ask the partner's two lists which numbers are registered, near expiry, linked or onboarded.",
    ),
]
OnlyReady = Annotated[
    bool,
    typer.Option(
        "--only-ready",
        help="Preflight, then record only rows whose number is ready; the others go into the unprocessed file.",
    ),
]
CheckLogos = Annotated[
    bool,
    typer.Option("--check-logos", help="First fetch each distinct logo once: https, png or jpg, 200×60."),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report", help="With --dry-run: write bad rows into a failed file, with all that is wrong."
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Of the text, where it does not show: windows-1255."),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter", metavar="CHAR", help="Between cells: comma, semicolon, tab, pipe, or the character."
    ),
]
SheetName = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", help="Which sheet of a workbook, by its name or number."),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="Which column a field is in; may be repeated."),
]
ChannelWords = Annotated[
    list[str] | None,
    typer.Option("--channel", help="`email`, `sms` or `none`, for rows that do not say; may be repeated."),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until every job has come to its end. Exit code 3 if some failed.")
]
Resume = Annotated[
    str | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped.")
]
BrandName = Annotated[
    str | None,
    typer.Option("--brand", metavar="NAME", help="Who messages are from, for rows that do not say."),
]
AcceptNames = Annotated[
    bool, typer.Option("--accept-names", help="Send names in the form the partner accepts where it differs.")
]
MaxErrors = Annotated[
    int | None, typer.Option("--max-errors", min=0, help="Stop when more rows than this are bad.")
]
SuccessFile = Annotated[
    bool, typer.Option("--success-file", help="Also write down the rows that stand, each with its jobs.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
