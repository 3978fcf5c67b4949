"""`linkferry failed edit`: correct a failed job's request, see before and after, and let it try again."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.commands.bulk import reason_for, require_consent
from linkferry.commands.jobs import no_such_job
from linkferry.frame import FAILED, USAGE, CommandError, command, complain, flags
from linkferry.output import confirm, emit, say

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ops.edit import EditCheck, Edited

_EDITORS = ("VISUAL", "EDITOR")
_USUAL_EDITOR = "vi"
_HEAD = """\
# Job {job_id}, which is {state}. Change what is wrong, then save and close; change nothing to leave it as it is.
# An empty value clears a field.{masked}
# Links asked for: {products} (that can't be changed here).
"""
_MASKED = " A masked value (with stars) that you leave alone stays as it is; --reveal shows it."
Form = dict[str, Any]


def register(group: typer.Typer) -> None:
    """Add the command to *group*."""
    command(group, "edit")(edit)


async def edit(
    session: Session,
    *,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field and its new value; empty clears it."),
    ] = None,
    why: filters.WhyOfMany = "",
    is_sure: filters.Yes = False,
    is_revealed: filters.Reveal = False,
) -> int:
    """Correct a failed job's request and let it try again. Without --set your editor opens with all of it.

    The fields are those of a backfill's columns. They are read by the same rules, all that is wrong is told at once,
    and before and after are shown before anything is done. Both are kept: `linkferry audit --job JOB`.

    An edit whose request other jobs share touches those too, and so needs a why.

    Example: `linkferry failed edit 01k8…w --set whatsapp=0501234567 --why "customer called"`
    """
    form = await session.editing.form(job_id.strip(), is_revealed=is_revealed)
    if form is None:
        return await no_such_job(session, job_id)
    if is_revealed:
        await session.trail.reveal(by=filters.operator(), subject=form["job_id"], what="edit")
    if not form["can_edit"]:
        complain(f"{form['job_id']} is {form['state']}: only a failed job or a dead letter can be edited.")
        return FAILED
    if changes:
        check = await session.editing.check(form["job_id"], read_changes(changes), seen=form["seen"])
    else:
        check = await _in_editor(session, form)
    if check.request is None:
        return _refuse(check)
    show_changes(check, is_revealed=is_revealed)
    if not is_sure:
        require_consent("Requeue it with these changes?")
    why = reason_for(why, 1 + len(check.also_applies_to), is_asked=not is_sure)
    edited = await session.editing.requeue_edited(
        form["job_id"], _fields_of(check), by=filters.operator(), why=why, seen=form["seen"]
    )
    return _report(edited, is_revealed=is_revealed)


def read_changes(changes: list[str]) -> dict[str, str]:
    """Return the fields of `--set` options; raises CommandError (2) for one that is none."""
    fields: dict[str, str] = {}
    for each in changes:
        name, sign, value = each.partition("=")
        if not sign:
            message = f"--set {each}: say FIELD=VALUE, such as --set whatsapp=0501234567."
            raise CommandError(message, exit_code=USAGE)
        fields[name.strip()] = value
    return fields


def _fields_of(check: EditCheck) -> dict[str, str]:
    return {each.field: each.after for each in check.changes}


async def _in_editor(session: Session, form: Form) -> EditCheck:
    """Return what was made of the form in the operator's editor, who may mend it as long as it is wrong."""
    if not is_on_terminal():
        message = "Say what to change: --set FIELD=VALUE (an editor opens on a terminal only)."
        raise CommandError(message, exit_code=USAGE)
    text = form_text(form)
    while True:
        after = _edited(text)
        check = await session.editing.check(form["job_id"], read_form(after), seen=form["seen"])
        if check.request is not None or after == text:
            return check
        say_problems(check)
        if not confirm("Mend it in the editor?"):
            return check
        text = after


def is_on_terminal() -> bool:
    """Tell whether an editor can talk to somebody."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stdout.isatty())


def form_text(form: Form) -> str:
    """Return the form as a text to be edited: a field a line."""
    head = _HEAD.format(
        job_id=form["job_id"],
        state=form["state"],
        products=", ".join(form["products"]),
        masked="" if form["is_revealed"] else _MASKED,
    )
    also = "".join(f"# Also changes the request of job {each}.\n" for each in form["also_applies_to"])
    width = max(len(name) for name in form["fields"]) + 1
    lines = [
        f"{name + ':':<{width}} {value}".rstrip()
        for name, value in form["fields"].items()
        if name not in form["locked"]
    ]
    return head + also + "\n" + "\n".join(lines) + "\n"


def read_form(text: str) -> dict[str, str]:
    """Return the fields of an edited form; raises CommandError (2) for a line that is none."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, sign, value = line.partition(":")
        if not sign:
            message = f"The line {line.strip()[:40]!r} is not `field: value`; nothing done."
            raise CommandError(message, exit_code=USAGE)
        fields[name.strip()] = value.strip()
    return fields


def _edited(text: str) -> str:
    """Return *text* as the operator's editor left it; raises CommandError where that would not run."""
    editor = next((os.environ[name] for name in _EDITORS if os.environ.get(name)), _USUAL_EDITOR)
    with tempfile.TemporaryDirectory(prefix="linkferry-") as folder:  # for its owner only
        path = Path(folder) / "request.txt"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        try:
            code = subprocess.call([*shlex.split(editor), str(path)])  # noqa: S603 - the operator's own editor
        except OSError as exc:
            message = f"The editor {editor} would not start ({exc.strerror}): set EDITOR, or use --set."
            raise CommandError(message, exit_code=USAGE) from exc
        if code:
            message = f"The editor ended with {code}; nothing done."
            raise CommandError(message)
        return path.read_text(encoding="utf-8")


def _refuse(check: EditCheck) -> int:
    emit(check.document() | {"done": False}, lambda: None)
    say_problems(check)
    return FAILED


def say_problems(check: EditCheck) -> None:
    """Tell all that is wrong with an edit."""
    for each in check.problems:
        complain(f"{each.field}: {each.message}. {each.remedy}".strip())


def show_changes(check: EditCheck, *, is_revealed: bool) -> None:
    """Show before and after; what the operator has written himself is shown whole."""
    if flags().is_json:
        return
    say(f"Job {check.job_id}:")
    for each in check.changes:
        before = each.document(is_revealed=is_revealed)["before"]
        say(f"  {each.field}: {before or '(empty)'} → {each.after or '(empty)'}")
    for warning in check.warnings:
        complain(f"{warning.field}: {warning.message}. {warning.remedy}".strip())
    if check.also_applies_to:
        say(f"  Also the request of: {', '.join(check.also_applies_to)}")


def _report(edited: Edited, *, is_revealed: bool) -> int:
    from worker.ops.edit import refusal_text

    emit(edited.document(is_revealed=is_revealed), lambda: say(_done_line(edited)) if edited.done else None)
    if edited.mended is None:
        say_problems(edited.check)
    elif not edited.done:
        complain(f"Not requeued: {refusal_text(edited.mended)}.")
    return 0 if edited.done else FAILED


def _done_line(edited: Edited) -> str:
    return f"Edited and requeued: {edited.check.job_id}. Follow it: linkferry job show {edited.check.job_id}"
