"""What to say and do in a call about one link: how it stands, what is known of it, and advice, in sentences. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.domain.change import under_way
from worker.domain.job import DeliveryRecord
from worker.domain.phone import mask_number
from worker.domain.states import DeliveryState, JobState
from worker.ledger.reminding import REMINDER, Outlook
from worker.ops.here import Case
from worker.ops.link_messages import of_present_link
from worker.ops.remedies import failed_with, mending_command
from worker.ops.views import change_view, class_now, iso
from worker.ops.words import Said, said

_ADVISED = 5
_NOBODY_TO_TELL = "no_contact"
_WINDOW = "window"
_VANISHED = "link_vanished"
#: What the partner says of a link that it does not know.
_MISSING = frozenset({"partner_absent", "partner_foreign", "partner_registered"})
_OVER = frozenset({JobState.DEAD, JobState.CANCELLED, JobState.REVOKED})
_UNDER_WAY = frozenset({JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING})
_ON_ITS_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})
#: Of the stages of a link, those that a sum of several calls waiting, and made.
_BEING_MADE = ("waiting", "changing", "doubt")
_MADE = ("sent", "bounced", "telling", "window", "suppressed", "linked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One link, with all that a person who answers the telephone may know of it."""

    case: Case
    outlook: Outlook | None = None  #: what it may still be reminded of
    reminders_s: Sequence[float] = ()
    partner: Said | None = None  #: what the partner says right now
    is_revealed: bool = False
    messages: list[DeliveryRecord] = field(init=False)  #: with the link, the latest last
    earlier: list[DeliveryRecord] = field(init=False)  #: that went out with a link before it

    def __post_init__(self) -> None:
        """Put the messages in order."""
        found = [each for each in self.case.deliveries if each.template != REMINDER]
        found = sorted(found, key=lambda each: each.changed_at_ms)
        mine = of_present_link(self.case.job, found)
        object.__setattr__(self, "messages", mine)
        earlier = [each for each in found if each not in mine and each.state is DeliveryState.SENT]
        object.__setattr__(self, "earlier", earlier)

    @property
    def is_suppressed(self) -> bool:
        """Tell whether the customer is on the stop list."""
        return self.case.is_suppressed

    def latest(self, *states: DeliveryState) -> DeliveryRecord | None:
        """Return the message that came into one of these states last, or None."""
        return next((each for each in reversed(self.messages) if each.state in states), None)

    @property
    def has_finished_there(self) -> bool:
        """Tell whether the partner says that the customer has finished."""
        return self.partner is not None and self.partner["code"] == "partner_finished"

    @property
    def is_missing_there(self) -> bool:
        """Tell whether the partner, asked right now, has another link for the number or none at all."""
        return self.partner is not None and self.partner["code"] in _MISSING


# --- how it stands -----------------------------------------------------------------------------------------


def headline(calls: list[Call]) -> Said:
    """Return in a sentence how the customer stands."""
    stages = [(_stage(call), call) for call in calls]
    current = [(stage, call) for stage, call in stages if stage != "ended"]
    if not current:
        return said("customer_ended")
    if len({stage for stage, _ in current}) == 1:
        stage, call = current[0]
        waits = _waits_for_window(call) if stage == "window" else None
        return said(f"customer_{stage}", **({} if waits is None else {"until_at": iso(waits.due_at_ms)}))
    counts = Counter(stage for stage, _ in current)
    return said(
        "customer_mixed",
        count=len(current),
        onboarded=counts["onboarded"] + counts["finished_there"],
        linked=sum(counts[stage] for stage in _MADE),
        waiting=sum(counts[stage] for stage in _BEING_MADE),
        failed=counts["failed"] + counts["vanished"],
    )


def _stage(call: Call) -> str:
    job = call.case.job
    if job.state is not JobState.ONBOARDED and call.has_finished_there:
        return "finished_there"
    if job.state in _UNDER_WAY:
        return "changing" if under_way(job.op, job.state, job.product) else "waiting"
    if job.state is JobState.LINKED:
        return _stage_of_message(call)
    if job.state in _OVER:
        return "ended"
    if job.state is JobState.FAILED and job.reason == _VANISHED:
        return "vanished"
    return "doubt" if job.state is JobState.IN_DOUBT else job.state.value


def _stage_of_message(call: Call) -> str:
    if call.latest(DeliveryState.SENT):
        return "sent"
    if call.is_suppressed:
        return "suppressed"
    if _waits_for_window(call):
        return "window"
    if call.latest(*_ON_ITS_WAY):
        return "telling"
    return "bounced" if call.latest(DeliveryState.FAILED) else "linked"


def _waits_for_window(call: Call) -> DeliveryRecord | None:
    waiting = call.latest(DeliveryState.PENDING)
    return waiting if waiting is not None and waiting.waits_for == _WINDOW else None


# --- what is known -----------------------------------------------------------------------------------------


def facts(call: Call) -> list[Said]:
    """Return what is known of one link, a sentence for each thing, in the order in which it is told."""
    job = call.case.job
    change = change_view(job)
    found = [] if change is None else [change]
    if job.replaced_at_ms and job.link:
        found.append(said("fact_replaced", made_at=iso(job.replaced_at_ms)))
    found += [
        said("fact_sent_earlier", channel=each.channel.value, sent_at=iso(each.changed_at_ms))
        for each in call.earlier
    ]
    found += [_fact_of(each, call) for each in call.messages]
    if job.state is JobState.ONBOARDED:
        found.append(_finished(call))
    reminders = [each for each in call.case.deliveries if each.template == REMINDER]
    found += [_fact_of_reminder(each, call) for each in reminders]
    found += reminders_to_come(call)
    if call.partner is not None:
        found.append(call.partner)
    return found


def _fact_of(each: DeliveryRecord, call: Call) -> Said:
    channel, at = each.channel.value, iso(each.changed_at_ms)
    if each.state is DeliveryState.SENT:
        code = "fact_sent_by_request" if _asked_again(each, call) else "fact_sent"
        return said(code, channel=channel, sent_at=at)
    if each.state is DeliveryState.FAILED:
        return said("fact_bounced", channel=channel, failed_at=at, **call.case.because(each.reason))
    if each.state is DeliveryState.SKIPPED:
        return said("fact_skipped", channel=channel, **call.case.because(each.reason))
    if each.state is DeliveryState.IN_DOUBT:
        return said("fact_unsure", channel=channel, sent_at=at)
    return _fact_of_waiting(each, call)


def _fact_of_waiting(each: DeliveryRecord, call: Call) -> Said:
    channel = each.channel.value
    if call.is_suppressed and each.state is DeliveryState.PENDING:
        return said("fact_waits_suppressed", channel=channel)
    if each.waits_for == _WINDOW:
        code = "fact_again_window" if each.has_gone_out else "fact_waits_window"
        return said(code, channel=channel, until_at=iso(each.due_at_ms))
    return said("fact_waits", channel=channel)


def _fact_of_reminder(each: DeliveryRecord, call: Call) -> Said:
    channel = each.channel.value
    if each.state is DeliveryState.SENT:
        return said("fact_reminded", channel=channel, sent_at=iso(each.changed_at_ms))
    if each.state in _ON_ITS_WAY:
        if each.waits_for == _WINDOW:
            return said("fact_reminder_window", channel=channel, until_at=iso(each.due_at_ms))
        return said("fact_reminder_waits", channel=channel)
    return said("fact_reminder_dropped", channel=channel, **call.case.because(each.reason))


def reminders_to_come(call: Call) -> list[Said]:
    """Return what is to be said of reminders to come: nothing where none could, or where one is on its way."""
    if call.case.job.state is not JobState.LINKED or not call.reminders_s:
        return []
    outlook, waiting = call.outlook, call.latest(*_ON_ITS_WAY)
    if outlook is not None and outlook.is_reminding:
        return []
    if waiting is None and call.latest(DeliveryState.SENT) is None:
        return []
    if call.is_suppressed:
        return [said("fact_reminder_none")]
    made = max((each.generation for each in call.case.deliveries if each.template == REMINDER), default=0)
    if outlook is None and waiting is not None and made < len(call.reminders_s):
        return [said("fact_reminder_later")]
    next_ms = None if outlook is None else outlook.next_at_ms(call.reminders_s, now_ms=call.case.now_ms)
    return [
        said("fact_reminder_none") if next_ms is None else said("fact_reminder_next", next_at=iso(next_ms))
    ]


def _finished(call: Call) -> Said:
    job, at = call.case.job, iso(call.case.job.changed_at_ms)
    if job.request.is_coexistence and job.number:
        number = job.number if call.is_revealed else mask_number(job.number)
        return said("fact_finished_number", finished_at=at, number=number)
    return said("fact_finished", finished_at=at)


def _asked_again(each: DeliveryRecord, call: Call) -> str | None:
    """Return who had asked for the message that was sent, or None where nobody had: a new link's is no old one's."""
    if not each.asked_again:
        return None
    asked = [
        entry
        for entry in call.case.history
        if entry.event == "resend"
        and entry.detail.get("channel") == each.channel.value
        and entry.at_ms <= each.changed_at_ms
    ]
    return str(asked[-1].detail.get("by") or "?") if asked else None


# --- what to say and do ------------------------------------------------------------------------------------


def advised(calls: list[Call]) -> list[dict[str, Any]]:
    """Return what to say or do about each link, with its command: what has ended only where nothing else is left.

    Of links that one message brings it is said once, with all of their `job_ids`.
    """
    current = [call for call in calls if call.case.job.state not in _OVER]
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for call in current or calls:
        advice = _advice(call)
        told = found.setdefault(_told_once(call, advice), advice)
        if told is not advice:
            told["job_ids"] += advice["job_ids"]
    return list(found.values())[:_ADVISED]


def _told_once(call: Call, advice: dict[str, Any]) -> tuple[str, ...]:
    """Return what two links share whose advice is one and the same."""
    messages = tuple(sorted(each.id for each in call.messages))
    if call.case.job.state is not JobState.LINKED or not messages:
        return (call.case.job.id,)
    return (*messages, advice["text"])


def _advice(call: Call) -> dict[str, Any]:
    what, command = _to_do(call)
    job = call.case.job
    return {**what, "command": command, "job_id": job.id, "job_ids": [job.id], "product": job.product.value}


def _to_do(call: Call) -> tuple[Said, str | None]:
    job = call.case.job
    if job.state is not JobState.ONBOARDED and call.has_finished_there:
        return said("advice_finished_there"), None
    if job.state is JobState.LINKED and call.is_missing_there:
        return said("advice_missing_there"), f"linkferry job replace {job.id}"
    if job.state is JobState.LINKED:
        return _about_messages(call)
    if job.state is JobState.FAILED:
        return _about_failure(call.case)
    if job.state in _UNDER_WAY:
        return _about_waiting(call.case), None
    command = f"linkferry failed requeue {job.id}" if job.state is JobState.DEAD else None
    return said(f"advice_{job.state.value}"), command


def _about_waiting(case: Case) -> Said:
    if case.stops:
        return said("advice_stopped", cause=case.stops[0].what())
    return said("advice_changing" if case.job.op else "advice_in_line")


def _about_failure(case: Case) -> tuple[Said, str | None]:
    reason = case.job.reason or "unknown_none"
    known = failed_with(reason, case.catalogue)
    reason_class = class_now(case.job.reason_class or known.reason_class, known.reason_class)
    command = mending_command(reason_class, known.remedy)
    what = said("advice_failed", reason=reason, remedy=known.remedy)
    return what, f"linkferry {command} {case.job.id}" if command else None


def _about_messages(call: Call) -> tuple[Said, str | None]:
    """Return advice by what came last: a message under way, then one that did not go out, then the one that did."""
    sent = call.latest(DeliveryState.SENT)
    if call.is_suppressed:
        return _about_suppressed(sent, call), "linkferry suppress remove ADDRESS"
    if waiting := _waits_for_window(call):
        code = "advice_window_replaced" if call.earlier else "advice_window"
        return said(code, channel=waiting.channel.value, until_at=iso(waiting.due_at_ms)), None
    if waiting := call.latest(*_ON_ITS_WAY):
        code = "advice_telling_replaced" if call.earlier else "advice_telling"
        return said(code, channel=waiting.channel.value), None
    resend = f"linkferry resend {call.case.job.id}"
    undone = call.latest(DeliveryState.FAILED, DeliveryState.IN_DOUBT) or call.latest(DeliveryState.SKIPPED)
    return _about_sent(sent, call, resend) if sent else _about_undone(undone, call, resend)


def _about_suppressed(sent: DeliveryRecord | None, call: Call) -> Said:
    if sent is None:
        waits = call.latest(DeliveryState.PENDING)
        return said("advice_suppressed_waits" if waits else "advice_suppressed")
    return said("advice_suppressed_since", channel=sent.channel.value, sent_at=iso(sent.changed_at_ms))


def _about_sent(sent: DeliveryRecord, call: Call, resend: str) -> tuple[Said, str | None]:
    sent_at, failed = iso(sent.changed_at_ms), call.latest(DeliveryState.FAILED)
    if failed is not None and failed.changed_at_ms > sent.changed_at_ms:
        params = {"channel": failed.channel.value, **call.case.because(failed.reason)}
        return said("advice_sent_not_again", sent_at=sent_at, **params), f"{resend} --to ADDRESS"
    if by := _asked_again(sent, call):
        return said("advice_sent_again", channel=sent.channel.value, sent_at=sent_at, by=by), resend
    return said(f"advice_sent_{sent.channel.value}", sent_at=sent_at), resend


def _about_undone(undone: DeliveryRecord | None, call: Call, resend: str) -> tuple[Said, str | None]:
    if undone is None or undone.reason == _NOBODY_TO_TELL:
        if undone is None and call.case.where.late_since_ms is not None:
            return said("advice_in_line"), None
        return said("advice_no_contact"), f"{resend} --to ADDRESS"
    if undone.state is DeliveryState.IN_DOUBT:
        params = {"channel": undone.channel.value, "sent_at": iso(undone.changed_at_ms)}
        return said("advice_message_doubt", **params), resend
    because = call.case.because(undone.reason)
    return said("advice_not_sent", channel=undone.channel.value, **because), f"{resend} --to ADDRESS"
