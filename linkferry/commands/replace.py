"""`linkferry job replace` and `job revoke`: change a link that was made, or have it deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import acting, filters
from linkferry.commands.bulk import require_consent
from linkferry.commands.failed_edit import read_changes, say_problems, show_changes
from linkferry.commands.jobs import no_such_job
from linkferry.commands.resend import until_window
from linkferry.frame import DONE, FAILED, USAGE, CommandError, command, complain, flags
from linkferry.output import emit, say

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.domain.act import Act
    from worker.domain.job import JobRecord
    from worker.domain.states import JobState, Lane
    from worker.ops.change import Replaced
    from worker.ops.words import Said

JobIds = Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids; or use the filters.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="A field of the new link; empty clears it. One job only."
    ),
]
NewNumber = Annotated[
    str | None,
    typer.Option(
        "--new-number", metavar="NUMBER", help="The same as --set whatsapp=NUMBER: another onboarding number."
    ),
]
_NUMBER_HINT = "--number chooses jobs. For a link with another number say --new-number, with the job's id."


def register(group: typer.Typer) -> None:
    """Add the commands to `linkferry job`."""
    _register_replace(group)
    _register_revoke(group)


def _register_replace(group: typer.Typer) -> None:
    @command(group, "replace")
    @filters.filtered("stage")
    async def replace(
        session: Session,
        *,
        job_ids: JobIds = None,
        chosen: filters.Chosen,
        changes: Changes = None,
        new_number: NewNumber = None,
        why: filters.Why = "",
        is_sure: filters.Yes = False,
        is_detached: acting.Detach = False,
        has_no_canary: acting.NoCanary = False,
    ) -> int:
        """Give customers another link: the old one is deleted at the partner, then one is made with the data as asked.

        The customer gets a message which says that it replaces the earlier one. With --set the new link has other data,
        read by the rules of a new request; the fields are a backfill's columns. Until the old link is deleted it can be
        called off with `linkferry job cancel`. What will happen is said and asked about first; many at once (by filter:
        linked ones, unless --state says otherwise) are previewed, and five go first. A Facebook or Instagram link can't be deleted: it stays valid
        beside the new one.

        Example: `linkferry job replace 01k8…w --set display_name="Dana's" --why "new brand"`
        """
        manner = acting.Manner(why=why, is_sure=is_sure, is_canary=not has_no_canary, is_detached=is_detached)
        fields = read_changes(changes or [])
        if new_number is not None:
            fields["whatsapp"] = new_number
        if not fields:
            return await _change(session, "replace", job_ids, chosen, manner)
        if len(job_ids or []) != 1:
            raise CommandError(_one_at_a_time(chosen), exit_code=USAGE)
        _refuse_filters(chosen)
        return await _with_data(session, (job_ids or [""])[0].strip(), fields, manner)


def _register_revoke(group: typer.Typer) -> None:
    @command(group, "revoke")
    @filters.filtered("stage")
    async def revoke(
        session: Session,
        *,
        job_ids: JobIds = None,
        chosen: filters.Chosen,
        why: filters.Why = "",
        is_sure: filters.Yes = False,
        is_detached: acting.Detach = False,
        has_no_canary: acting.NoCanary = False,
    ) -> int:
        """Have links deleted at the partner for good: the customer can't open them, and the numbers are free again.

        No message says so. A link that a customer has finished with can't be deleted, nor can one of Facebook or
        Instagram. You are asked first; many at once (by filter) are previewed, and five go first.

        Example: `linkferry job revoke 01k8…w --why "left us"`
        """
        manner = acting.Manner(why=why, is_sure=is_sure, is_canary=not has_no_canary, is_detached=is_detached)
        return await _change(session, "revoke", job_ids, chosen, manner)


async def _change(
    session: Session, verb: str, job_ids: list[str] | None, chosen: filters.Chosen, manner: acting.Manner
) -> int:
    """Act on what was named: ids, or all that the filters match."""
    from worker.domain.act import Act

    act = Act(verb)
    if job_ids:
        _refuse_filters(chosen)
        return await _on_ids(session, act, job_ids, manner)
    if not chosen.is_any:
        message = f"Say which links to {verb}: ids, or filters such as --state linked --batch RUN."
        raise CommandError(message, exit_code=USAGE)
    states = _states(chosen.state)
    return await acting.on_filter(session, act, await chosen.read(session, state=None), states, manner)


async def _on_ids(session: Session, act: Act, job_ids: list[str], manner: acting.Manner) -> int:
    wanted = list(dict.fromkeys(each.strip() for each in job_ids))
    if len(wanted) == 1:
        job = await session.ledger.queries.job(wanted[0])
        if job is None:
            return await no_such_job(session, wanted[0])
        await _consent_to_one(session, act, job, manner)
    code = await acting.on_ids(session, act, wanted, manner, is_asked=not manner.is_sure)
    if code == DONE and len(wanted) == 1 and not flags().is_json:
        say(f"Follow it: linkferry job show {wanted[0]}")
    return code


async def _consent_to_one(session: Session, act: Act, job: JobRecord, manner: acting.Manner) -> None:
    """Say what will happen to the job's link, and ask; a job that is not fit is refused without."""
    from worker.domain.act import Act
    from worker.domain.change import REPLACEABLE_STATES
    from worker.domain.request import Product
    from worker.ops.change import revoke_plan

    is_replace = act is Act.REPLACE
    if job.state not in REPLACEABLE_STATES or not (is_replace or job.product is Product.WHATSAPP):
        return
    plan = await session.changing.plan(job.id) if is_replace else revoke_plan(job)
    _say_plan(plan, session, job.lane if is_replace else None)
    if not manner.is_sure:
        require_consent(f"{act.value.capitalize()} the link of {job.id}?")


def _say_plan(plan: list[Said], session: Session, lane: Lane | None) -> None:
    """Say what will happen; a message to a customer of *lane* may have to wait."""
    if flags().is_json:
        return
    for step in plan:
        say(f"  {step['text']}")
    if (
        lane is not None
        and plan
        and plan[-1]["code"] == "plan_told"
        and (when := until_window(session.settings, lane))
    ):
        say(f"  It is sent{when}.")


def _refuse_filters(chosen: filters.Chosen) -> None:
    if chosen.is_any:
        hint = f" {_NUMBER_HINT}" if chosen.number is not None else ""
        message = f"Say ids or filters, not both.{hint}"
        raise CommandError(message, exit_code=USAGE)


def _one_at_a_time(chosen: filters.Chosen) -> str:
    """Return why new data can't be given to many at once, and how they are given to those that were meant."""
    text = (
        "--set and --new-number give one job's link other data, which are checked and shown before the old link is "
        "deleted: say the job's id."
    )
    if not chosen.is_any:
        return text
    if chosen.state != "failed":
        named = chosen.typed(state=chosen.state or "linked")
        return f"{text} For many say it of each; these are: linkferry job list {named}"
    export = f"linkferry failed export mend.csv {chosen.typed(without=('state',))}".rstrip()
    return (
        f"{text} Many failed jobs are mended in a spreadsheet: {export}, then discard them here "
        "(linkferry failed discard --file mend.csv), mend the rows, and bring them in: linkferry backfill mend.csv"
    )


def _states(state: str | None) -> list[JobState]:
    from worker.domain.change import REPLACEABLE_STATES
    from worker.domain.states import JobState

    if state is None:
        return [JobState.LINKED]
    found: JobState = filters.choice(JobState, state, "--state")
    if found not in REPLACEABLE_STATES:
        message = f"--state {state}: only the links of `linked` and `failed` jobs can be changed."
        raise CommandError(message, exit_code=USAGE)
    return [found]


async def _with_data(session: Session, job_id: str, fields: dict[str, str], manner: acting.Manner) -> int:
    form = await session.changing.form(job_id)
    if form is None:
        return await no_such_job(session, job_id)
    check = await session.changing.check(job_id, fields, seen=form["seen"])
    if check.request is None:
        emit(check.document() | {"done": False}, lambda: None)
        say_problems(check)
        return FAILED
    show_changes(check, is_revealed=False)
    job = await session.ledger.queries.job(job_id)
    plan = await session.changing.plan(job_id, fields, check)
    _say_plan(plan, session, job.lane if job else None)
    if not manner.is_sure:
        require_consent(f"Replace the link of {job_id}?")
    replaced = await session.changing.replace(
        job_id, fields, by=filters.operator(), why=manner.why, seen=form["seen"]
    )
    return _report(replaced)


def _report(replaced: Replaced) -> int:
    from worker.ops.acts import WHY_NOT

    document: dict[str, Any] = replaced.document()
    line = f"The link is being replaced: {replaced.job_id}. Follow it: linkferry job show {replaced.job_id}"
    emit(document, lambda: say(line) if replaced.done else None)
    if replaced.mended is None and replaced.check is not None:
        say_problems(replaced.check)
    elif not replaced.done:
        refusal = document["refusal"]
        complain(f"Not replaced: {WHY_NOT.get(refusal, refusal)}.")
    return DONE if replaced.done else FAILED
