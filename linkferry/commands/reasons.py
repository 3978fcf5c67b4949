"""`linkferry reasons …`: why things fail, and what operators teach of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry import frame
from linkferry.commands import acting, filters
from linkferry.frame import FAILED, USAGE, CommandError, command, complain, flags
from linkferry.output import confirm, emit, instant, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.ops.teach import TeachRefused

Call = Annotated[
    str | None,
    typer.Option("--call", help="Whose code it is, such as `create_whatsapp`; by its failed jobs."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="reasons", help="Why things fail: the catalogue of reasons, and teaching it.")
    _register_list(group)
    _register_teaching(group)


def _register_list(group: typer.Typer) -> None:
    command(group, "list")(list_reasons)


def list_reasons(
    is_taught: Annotated[bool, typer.Option("--taught", help="Only what was taught here.")] = False,
) -> int:
    """List every reason: what it means, what to do, what Linkferry does by itself, and who says so.

    Example: `linkferry reasons list --taught`
    """
    document = _listed()
    if is_taught:
        items = [each for each in document["items"] if each["from"] == "taught"]
        document = {**document, "items": items, "total": len(items)}
    emit(document, lambda: print_reasons(document["items"]))
    return 0


def _listed() -> dict[str, Any]:
    """Return the catalogue with what was taught; without, where Redis is not there."""
    from linkferry.embedded import EmbeddedError
    from worker.ledger import LedgerUnavailable
    from worker.ops.teach import reasons_view

    found: list[dict[str, Any]] = []

    async def look(session: Session) -> int:
        found.append(reasons_view(session.catalogue))
        return 0

    try:
        frame.in_session(look)
    except (LedgerUnavailable, EmbeddedError) as exc:
        complain(f"Without what was taught: Redis does not answer ({exc}).")
        return reasons_view(frame.settings().load_catalogue())
    return found[0]


def _register_teaching(group: typer.Typer) -> None:
    command(group, "set")(teach)
    command(group, "unset")(unteach)


async def teach(
    session: Session,
    *,
    reason: Annotated[
        str, typer.Argument(metavar="NAME_OR_CODE", help="A reason, `unknown_77`, or the code `77`.")
    ],
    call: Call = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What the code is to be called, such as `number_frozen`.")
    ] = None,
    reason_class: Annotated[
        str | None, typer.Option("--class", help="Whose trouble it is, such as `bad_data`.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="What happens by itself: fail, retry, snooze, discard.")
    ] = None,
    meaning: Annotated[str | None, typer.Option("--meaning", help="One sentence: what it means.")] = None,
    remedy: Annotated[str | None, typer.Option("--remedy", help="One sentence: what to do.")] = None,
    is_own_data: Annotated[
        bool | None,
        typer.Option("--own-data/--not-own-data", help="The row itself is at fault, not its neighbours."),
    ] = None,
    why: filters.Why = "",
    is_requeue: Annotated[
        bool, typer.Option("--requeue", help="Then requeue the jobs that failed with it, unasked.")
    ] = False,
) -> int:
    """Give a code of the partner's that nobody knew its name, class and policy, or describe a reason anew.

    It holds at once for every worker, wins over REASONS_FILE, and is kept in the ledger. What you do not say stays as
    it is. Jobs that failed with it before are described by it too, and may be requeued.

    Example: `linkferry reasons set unknown_77 --name number_frozen --class bad_data --policy fail --meaning "The
    number is frozen." --remedy "Ask the customer for another number."`
    """
    from worker.ops.teach import TeachRefused

    words = {
        "class": reason_class,
        "policy": policy,
        "meaning": meaning,
        "remedy": remedy,
        "own_data": is_own_data,
    }
    if name is None and all(value is None for value in words.values()):
        raise CommandError(_say_what(reason), exit_code=USAGE)
    try:
        lesson = await session.teaching.teach(
            reason, by=filters.operator(), why=why, call=call, name=name, words=words
        )
    except TeachRefused as exc:
        _say_with_call(
            exc, ["set", reason], {"name": name, **words, "why": why, "requeue": is_requeue or None}
        )
        return USAGE
    standing = lesson["standing"] + lesson["standing_messages"]
    if not (is_requeue and flags().is_json and standing):  # then the act's document is the answer
        emit(lesson, lambda: _say_lesson(lesson))
    return await _requeue(session, lesson, why, is_sure=is_requeue) if standing else 0


async def unteach(
    session: Session,
    reason: Annotated[str, typer.Argument(metavar="NAME_OR_CODE", help="What was taught.")],
    call: Call = None,
    why: filters.Why = "",
) -> int:
    """Take back what was taught of a reason or code: what is shipped, or in REASONS_FILE, holds again.

    Example: `linkferry reasons unset unknown_77`
    """
    from worker.ops.teach import TeachRefused

    try:
        document = await session.teaching.unteach(reason, by=filters.operator(), why=why, call=call)
    except TeachRefused as exc:
        _say_with_call(exc, ["unset", reason], {"why": why})
        return FAILED
    emit(document, lambda: say(f"Taken back: {_about(document)}."))
    return 0


def _say_what(reason: str) -> str:
    """Return what is lacking where nothing was said of a reason; a code that nobody knew takes all of it."""
    from worker.domain.lessons import code_in
    from worker.domain.reasons import is_code

    text = "Say what to teach: --name, --class, --policy, --meaning, --remedy or --own-data."
    if not is_code(reason.strip()) and code_in(reason.strip()) is None:
        return text
    lesson = (
        '--name number_frozen --class bad_data --meaning "The number is frozen." --remedy "Ask for another."'
    )
    return f"{text} Such as: linkferry reasons set {shlex.quote(reason.strip())} {lesson}"


def _say_with_call(exc: TeachRefused, words: Sequence[str], options: Mapping[str, str | bool | None]) -> None:
    """Say what is refused; where only the call is missing, the command with each call that it may be, to be pasted."""
    complain(str(exc))
    for call in exc.calls:
        typed = [*words, "--call", call]
        for name, value in options.items():
            option = f"--{'not-' if value is False else ''}{name.replace('_', '-')}"
            typed += (
                [] if value in {None, ""} else [option] if isinstance(value, bool) else [option, str(value)]
            )
        complain(f"  linkferry reasons {shlex.join(typed)}")


async def _requeue(session: Session, lesson: dict[str, Any], why: str, *, is_sure: bool) -> int:
    """Offer to requeue the jobs that failed before it was known why; return the exit code."""
    from worker.domain.act import Act
    from worker.domain.states import JobState
    from worker.ledger import JobFilter

    reason, count = lesson["stood_as"], lesson["standing"] + lesson["standing_messages"]
    if not is_sure and (flags().is_json or not confirm(f"Requeue the {count:,} that failed with it?")):
        say(f"To requeue them: linkferry failed requeue --reason {reason}")
        return 0
    manner = acting.Manner(why=why or f"{reason} was taught: {lesson['reason']}", is_sure=True)
    wanted = JobFilter(reason=reason)
    return await acting.on_filter(session, Act.REQUEUE, wanted, [JobState.FAILED], manner)


def _say_lesson(lesson: dict[str, Any]) -> None:
    say(f"Taught: {_about(lesson)} ({lesson['class']}, {lesson['policy']}): {lesson['meaning']}")
    if replaced := lesson["replaced"]:
        said = ", ".join(f"{word} {_quoted(value)}" for word, value in replaced["words"].items())
        say(f"It replaces what {replaced['by']} taught ({instant(replaced['at'])}): {said}")
    say("Every worker goes by it: at once where the code was not known, else within 5 s.")
    for count, one in ((lesson["standing"], "job"), (lesson["standing_messages"], "message")):
        if count:
            say(f"{count:,} failed {one}{' stands' if count == 1 else 's stand'} under {lesson['stood_as']}.")


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"“{value}”" if " " in str(value) else str(value)


def _about(document: dict[str, Any]) -> str:
    if document["call"] is None:
        return str(document["reason"])
    return f"code {document['code']} of {document['call']} is {document['reason']}"


_COLUMNS = (
    "reason",
    Column("class", rank=1),
    Column("policy", rank=1),
    Column("from", rank=3),
    Column("codes", rank=5),
    Column("what it means", rank=2, is_text=True),
    Column("what to do", is_text=True),
    Column("taught", rank=4),
)


def print_reasons(items: list[dict[str, Any]]) -> None:
    """Print the catalogue for people."""
    if not items:
        say("None. Teach with: linkferry reasons set")
        return
    rows = [
        (
            each["reason"],
            each["reason_class"],
            each["policy"],
            each["from"],
            ", ".join(str(code["code"]) for code in each["codes"]),
            each["meaning"],
            each["remedy"],
            f"{each['taught_by']}, {instant(each['taught_at'])}" if each["taught_by"] else "",
        )
        for each in items
    ]
    print_table(_COLUMNS, rows)
