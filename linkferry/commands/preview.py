"""`linkferry preview`, `test-send` and `templates`: see what customers will read, before any of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry import frame
from linkferry.commands import filters
from linkferry.commands.preview_options import (
    BrandName,
    Delimiter,
    Encoding,
    File,
    FixtureName,
    Job,
    LocaleName,
    Mapping,
    RowNumber,
    Sheet,
    Wanted,
)
from linkferry.frame import DONE, FAILED, USAGE, CommandError, command, complain
from linkferry.output import emit, say

if TYPE_CHECKING:
    from worker.dispatch.preview import Preview

Output = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the mail's page there.")]
Picture = Annotated[
    Path | None, typer.Option("--png", metavar="FILE", help="Write a picture of the mail there (Chromium).")
]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    _register_preview(app)
    _register_test_send(app)
    _register_templates(app)


def _register_preview(app: typer.Typer) -> None:
    @command(app, "preview")
    def preview(
        *,
        file: File = None,
        row: RowNumber = None,
        job: Job = None,
        fixture: FixtureName = None,
        is_list: Annotated[bool, typer.Option("--list", help="Name the variants, and show none.")] = False,
        locale: LocaleName = None,
        brand: BrandName = None,
        channel: Annotated[
            str | None, typer.Option("--channel", help="`email` or `sms`; both without it.")
        ] = None,
        is_sms: Annotated[bool, typer.Option("--sms", help="The SMS alone.")] = False,
        html: Output = None,
        is_open: Annotated[bool, typer.Option("--open", help="Show the mail in the browser.")] = False,
        png: Picture = None,
        is_dark: Annotated[
            bool, typer.Option("--dark", help="The mail's page or picture in dark mode.")
        ] = False,
        mapping: Mapping = None,
        sheet: Sheet = None,
        encoding: Encoding = None,
        delimiter: Delimiter = None,
    ) -> None:
        """Show the messages that a customer would get. Nothing is sent and nothing recorded, but that a job was looked at.

        Examples: `linkferry preview customers.csv --row 3`, `linkferry preview --fixture reminder --locale en --open`
        """
        if is_list:
            return _list()
        wanted = Wanted(
            file=file,
            row=row,
            mapping=tuple(mapping or ()),
            sheet=sheet,
            encoding=encoding,
            delimiter=delimiter,
            job=job,
            fixture=fixture,
            locale=locale,
            brand=brand,
        )
        document = _document(wanted, "sms" if is_sms else channel)
        page = document.get("email", {}).get("html")
        _write_pages(page, html, png, is_open=is_open, is_dark=is_dark)
        return emit(document, lambda: _print_preview(document))


def _register_test_send(app: typer.Typer) -> None:
    @command(app, "test-send")
    def test_send(
        *,
        address: Annotated[str, typer.Argument(help="Your own e-mail address or number.")],
        file: File = None,
        row: RowNumber = None,
        job: Job = None,
        fixture: FixtureName = None,
        locale: LocaleName = None,
        brand: BrandName = None,
    ) -> int:
        """Send one message to yourself by the real channel; a mail's subject says that it is a test.

        No customer gets anything.

        The links of a job are its real ones; all others lead nowhere.

        Example: `linkferry test-send you@example.com --fixture replaced --locale he`
        """
        from linkferry.commands.preview_send import send_to
        from linkferry.commands.preview_subject import find_subject
        from linkferry.session import quiet_logs

        settings = frame.settings()
        quiet_logs()
        wanted = Wanted(file=file, row=row, job=job, fixture=fixture, locale=locale, brand=brand)
        subject = find_subject(settings, wanted)
        finding = asyncio.run(send_to(settings, address, subject.delivery, subject.brand))
        document = {"sent": finding.level == "ok", "text": finding.text, "remedy": frame.hint(finding.remedy)}
        if finding.level == "ok":
            emit(document, lambda: say(f"{finding.text} It shows {subject.about}."))
            return DONE
        emit(document, lambda: complain(f"{finding.text} {finding.remedy}"))
        return FAILED


def _register_templates(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group, name="templates", help="The words and the layout of messages, to make your own from."
    )

    @command(group, "export")
    def export(
        folder: Annotated[Path, typer.Argument(help="A folder for them; nothing in it is overwritten.")],
    ) -> None:
        """Write the shipped templates into a folder, to be changed and named in TEMPLATES_DIR.

        Example: `linkferry templates export templates`
        """
        from worker.dispatch.compose_templates import export_templates

        try:
            written = export_templates(folder)
        except FileExistsError as exc:
            message = f"{exc.args[0]} is there already. Name an empty folder, or remove it first."
            raise CommandError(message) from exc
        except OSError as exc:
            message = f"{folder} cannot be written to: {exc.strerror or type(exc).__name__}."
            raise CommandError(message) from exc
        document = {"folder": str(folder), "files": [each.name for each in written]}
        emit(document, lambda: _print_export(folder, written))

    @command(group, "check")
    def check(
        folder: Annotated[Path | None, typer.Argument(help="Else TEMPLATES_DIR's.")] = None,
    ) -> int:
        """Try your own templates: every variant in both languages. Exit code 1 where they can't serve.

        Example: `linkferry templates check ./templates`
        """
        from linkferry.commands.check import print_findings
        from linkferry.doctor import Level
        from linkferry.doctor_templates import look_at_folder

        findings = list(look_at_folder(folder or frame.settings().templates_dir))
        documents = [each.document() | {"remedy": frame.hint(each.remedy)} for each in findings]
        emit({"findings": documents}, lambda: print_findings(findings))
        return FAILED if any(each.level is Level.BAD for each in findings) else DONE


def _list() -> None:
    from worker.dispatch.preview import FIXTURES

    items = [{"name": name, "about": each.about} for name, each in FIXTURES.items()]
    width = max(len(name) for name in FIXTURES)

    def print_all() -> None:
        for item in items:
            say(f"  {item['name']:<{width}}  {item['about']}")

    emit({"items": items, "next": None, "total": len(items)}, print_all)


def _document(wanted: Wanted, channel: str | None) -> dict[str, Any]:
    from linkferry.commands.preview_subject import find_subject
    from linkferry.session import quiet_logs
    from worker.dispatch.preview import previewed
    from worker.domain.states import Channel
    from worker.main import build_composer, build_sender

    settings = frame.settings()
    quiet_logs()
    chosen = None if channel is None else filters.choice(Channel, channel, "--channel")
    subject = find_subject(settings, wanted)
    composer = build_composer(settings, build_sender(settings))
    shown = previewed(composer, subject.delivery, brand=subject.brand, dated_at=subject.told_at)
    return _shown(shown, chosen) | {"about": subject.about}


def _shown(shown: Preview, channel: str | None) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if channel in {None, "email"}:
        mail = shown.mail
        document["email"] = {
            "from": f"{mail.sender.brand_name} <{mail.sender.address}>",
            "reply_to": mail.sender.reply_to,
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
        }
    if channel in {None, "sms"}:
        sms = shown.sms
        document["sms"] = {
            "from": sms.sender,
            "text": sms.text,
            "letters": len(sms.text),
            "segments": sms.segments,
        }
    return document


def _write_pages(
    page: str | None, html: Path | None, png: Path | None, *, is_open: bool, is_dark: bool
) -> None:
    from linkferry.commands.preview_picture import in_dark, open_in_browser, photograph

    if not (html or png or is_open):
        if is_dark:
            message = "--dark goes with --html, --open or --png."
            raise CommandError(message, exit_code=USAGE)
        return
    if page is None:
        message = "--html, --open and --png show the mail: leave out --sms and --channel sms."
        raise CommandError(message, exit_code=USAGE)
    page = in_dark(page) if is_dark else page
    if html is not None:
        with _writing(html):
            html.write_text(page, encoding="utf-8")
        say(f"HTML written to {html}")
    if png is not None:
        with _writing(png):
            photograph(page, png)
        say(f"Picture written to {png}")
    if is_open:
        path, is_open = open_in_browser(page)
        told = "Opened in the browser" if is_open else "No browser is found here; open this file in one"
        say(f"{told}: {path}. Delete it when you have seen it.")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        message = f"{path} cannot be written: {exc.strerror or type(exc).__name__}."
        raise CommandError(message) from exc


def _print_preview(document: dict[str, Any]) -> None:
    say(f"Shown: {document['about']}.")
    if "email" in document:
        mail = document["email"]
        say(f"\nE-mail from {mail['from']}")
        say(f"Subject: {mail['subject']}\n")
        say(mail["text"])
    if "sms" in document:
        sms = document["sms"]
        sender = f" from {sms['from']}" if sms["from"] else ""
        parts = "1 part" if sms["segments"] == 1 else f"{sms['segments']} parts"
        say(f"\nSMS{sender}, {sms['letters']} letters in {parts}:\n")
        say(sms["text"])


def _print_export(folder: Path, written: list[Path]) -> None:
    for each in written:
        say(f"  {each}")
    say(
        f"Change what you want, delete what stays as it is, and set LINKFERRY_TEMPLATES_DIR={folder}. "
        "`linkferry preview` shows the result."
    )
