"""`linkferry audit`: who did what, when and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import FAILED, command, complain
from linkferry.output import emit, instant, print_fields, say
from linkferry.tables import Column, print_end, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session

_COLUMNS = (
    "entry",
    when("when"),
    "who",
    "did",
    Column("to what", rank=2),
    Column("why", rank=1, is_text=True, least=14),
    Column("more", rank=3, is_text=True),
)
_DAY = "`30m`, `2h` or `7d`"


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "audit")(audit)


async def audit(
    session: Session,
    *,
    entry: Annotated[str | None, typer.Argument(help="One entry, to see all of it.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Only by this person or key: `dana`, or `cli:dana`.")
    ] = None,
    act: Annotated[
        str | None, typer.Option("--act", help="Only this act, such as `discard` or `clear_hold`.")
    ] = None,
    job: Annotated[str | None, typer.Option("--job", help="Only what was done to this job.")] = None,
    since: Annotated[str | None, typer.Option("--since", help=f"Only within the last {_DAY}.")] = None,
    limit: filters.Limit = 50,
    cursor: filters.Cursor = None,
    is_revealed: filters.Reveal = False,
) -> int:
    """Show what operators did, newest first: who, when, to what, why, before and after.

    Entries about a job are kept as long as the job. Bulk acts stand here once, with their filter and counts; of one job
    (--job) those are shown as well that its history tells of.

    Example: `linkferry audit --by dana --act discard --since 2d`
    """
    if entry is not None:
        return await _show(session, entry.strip(), is_revealed=is_revealed)
    page = await filters.page(
        session.trail.find(
            by=by,
            act=act,
            subject=None if job is None else job.strip(),
            since_s=None if since is None else filters.seconds(since, "--since"),
            cursor=cursor,
            limit=limit,
            is_revealed=is_revealed,
        )
    )
    shown = sum(1 for each in page["items"] if "filter" in each["detail"] or "changes" in each["detail"])
    if is_revealed:
        await session.trail.reveal(by=filters.operator(), shown=shown, what="audit")
    emit(page, lambda: print_trail(page))
    if act is not None and not page["items"] and not page["next"]:
        _note_act(act)
    return 0


def _note_act(act: str) -> None:
    """Say where no act is called so."""
    from worker.ops.trail import ACTS

    if act not in ACTS:
        near = filters.did_you_mean(act, ACTS) or " `linkferry audit` shows what there is."
        complain(f"--act {act}: no act is called so.{near}")


async def _show(session: Session, entry_id: str, *, is_revealed: bool) -> int:
    document = await session.trail.entry(entry_id, is_revealed=is_revealed)
    if document is None:
        complain(f"There is no entry {entry_id}. `linkferry audit` shows what there is.")
        return FAILED
    if is_revealed:
        await session.trail.reveal(by=filters.operator(), subject=document["subject"], what="audit")
    emit(document, lambda: print_entry(document))
    return 0


def print_trail(page: dict[str, Any]) -> None:
    """Print a page of the trail for people."""
    rows = [
        (
            each["id"].lstrip("0"),
            instant(each["at"]),
            each["by"],
            each["act"],
            each["subject"] or _file_of(each),
            each["why"],
            _brief(each["detail"]),
        )
        for each in page["items"]
    ]
    if rows:
        print_table(_COLUMNS, rows)
        say(f"All of one: linkferry audit {rows[0][0]}")
    print_end(page)


def print_entry(document: dict[str, Any]) -> None:
    """Print all of one entry for people."""
    from worker.domain.forgetting import ERASED

    say(f"{document['by']} {document['text']}")
    detail = document["detail"]
    shown = {name: _plain(value) for name, value in detail.items() if name != "changes" or value == ERASED}
    if isinstance(detail.get("filter"), dict):
        shown["filter"] = filters.in_words(detail["filter"])
    fields = {"when": instant(document["at"]), "to what": document["subject"], "why": document["why"]}
    print_fields({**fields, **shown})
    for change in detail.get("changes", []) if isinstance(detail.get("changes"), list) else []:
        say(f"  {change['field']}: {change['before'] or '(empty)'} → {change['after'] or '(empty)'}")


def _file_of(entry: dict[str, Any]) -> str:
    """Return where an export went."""
    return str(entry["detail"].get("to", "")) if entry["act"] == "export" else ""


def _brief(detail: dict[str, Any]) -> str:
    """Return the numbers of an entry, what it was about, or what it changed, in a few words."""
    if isinstance(detail.get("changes"), list):
        return "changed " + ", ".join(change["field"] for change in detail["changes"])
    parts = [
        _in_words(name, value)
        for name, value in detail.items()
        if isinstance(value, str) and value and len(value) <= 40 and name not in {"before", "after"}
    ]
    parts = [part for part in parts if part]
    if isinstance(detail.get("filter"), dict):
        parts.append(f"of {filters.in_words(detail['filter'])}")
    return ", ".join(parts)


#: What an entry tells beside its act → how that reads; `{}` is the value.
_SAYS = {
    "was": "it was {}",
    "state": "it was {}",
    "reason": "for {}",
    "channel": "by {}",
    "shown": "{} shown",
    "what": "in {}",
    "count": "{} rows",
    "total": "{} in all",
    "done": "{} done",
    "failed": "{} failed",
    "waiting": "{} waiting",
    "act": "a {}",
    "source": "from {}",
    "address": "from {}",
    "sink": "to {}",
    "to": "to {}",
    "sessions_ended": "{} sessions ended",
    "contact": "{}",
}
#: Counts of a bulk act, of which none is no news.
_COUNTED = frozenset({"done", "linked", "sent", "revoked", "failed", "failed_again", "waiting"})
_CANARY = {"1": "the first few ahead", "0": "all at once"}
_CHANNELS = {"email": "e-mail", "sms": "SMS"}
_READDRESSED = {"1": "to another address", "0": ""}


def _in_words(name: str, value: str) -> str:
    if name == "readdressed":
        return _READDRESSED.get(value, value)
    if name == "canary":
        return _CANARY.get(value, value)
    if name in _COUNTED and value == "0":
        return ""
    words = _CHANNELS.get(value, value) if name == "channel" else value.replace("_", " ")
    return _SAYS.get(name, f"{name.replace('_', ' ')} {{}}").format(
        value if name in {"to", "reason", "was"} else words
    )


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) or "(nothing)"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)
