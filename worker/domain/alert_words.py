"""What is said of an incident: one title, what it means, what to do, the very command, the page of the console.

English templates by code; `alert_text` fills them. A console in another language fills its own by the same codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from string import Formatter
from typing import Any, Final
from urllib.parse import quote

from worker.domain.alerts import AlertKind, AlertPhase, Incident
from worker.domain.targets import BATCH

#: By `alert.<kind>.<part>`, or `alert.<kind>.<variant>.<part>` where incidents of a kind differ.
ALERT_WORDS: Final[Mapping[str, str]] = {
    "alert.calls_stopped.title": "No calls to the partner: {reason}. {count} jobs wait",
    "alert.calls_stopped.ended": "Calls to the partner go again ({reason} is over)",
    "alert.calls_stopped.credentials_held.means": (
        "The partner refused the client id or secret. Every call is held; jobs wait and lose no try."
    ),
    "alert.calls_stopped.credentials_held.do": (
        "Correct LINKFERRY_PROVIDER_CLIENT_ID and LINKFERRY_PROVIDER_CLIENT_SECRET and restart the workers."
    ),
    "alert.calls_stopped.credentials_missing.means": (
        "No client id or secret of the partner is set. No call is made; jobs wait and lose no try."
    ),
    "alert.calls_stopped.credentials_missing.do": (
        "Set LINKFERRY_PROVIDER_CLIENT_ID and LINKFERRY_PROVIDER_CLIENT_SECRET and restart the workers."
    ),
    "alert.calls_stopped.breaker_open.means": (
        "The partner keeps failing (no answer, 5xx or garbage). Calls rest and are then tried one by one."
    ),
    "alert.calls_stopped.breaker_open.do": (
        "Ask the partner. Nothing is lost, and all goes on by itself once the partner answers."
    ),
    "alert.calls_stopped.partner_throttled.means": (
        "The partner has asked for a long pause, which the whole fleet obeys."
    ),
    "alert.calls_stopped.partner_throttled.do": (
        "It goes on by itself. If it comes again and again, lower LINKFERRY_PROVIDER_RATE."
    ),
    "alert.calls_stopped.paused.means": "An operator paused all calls; the pause may have been forgotten.",
    "alert.calls_stopped.paused.do": "Let them go on when the reason for the pause is gone.",
    "alert.lane_paused.title": "The {lane} lane is paused, and {count} jobs wait behind the pause",
    "alert.lane_paused.ended": "The {lane} lane is no longer paused, or nothing waits behind the pause",
    "alert.lane_paused.means": "An operator paused it; the pause may have been forgotten.",
    "alert.lane_paused.do": "Let it go on when the reason for the pause is gone.",
    "alert.hold.title": "{target} is held: {reason}. {count} jobs wait",
    "alert.hold.ended": "{target} is no longer held",
    "alert.hold.batch.title": "Batch {name} is held: {reason}. {count} jobs wait",
    "alert.hold.batch.ended": "Batch {name} is no longer held",
    "alert.hold.means": (
        "Its last five endings were all the same FAIL ({reason}), which is not the rows' own data. It was stopped so "
        "that the rest of it is not drained into the failed queue; its jobs wait and lose nothing."
    ),
    "alert.hold.do": "Look why they failed, mend the cause, then let it go on.",
    "alert.hold.explaining.do": (
        "Nothing yet: the partner's lists are being looked at. If the failures turn out to be the rows' own data, the "
        "hold is cleared by itself."
    ),
    "alert.live_late.title": "{count} live jobs wait, the oldest for {oldest_s} s",
    "alert.live_late.ended": "Live jobs are worked on in time again",
    "alert.live_late.means": (
        "Single customers wait for their links longer than the {late_s} s allowed, though nothing holds them."
    ),
    "alert.live_late.do": (
        "See whether workers are alive and how late their loops are; see whether LINKFERRY_PROVIDER_RATE is enough for "
        "what comes in."
    ),
    "alert.bulk_stalled.title": "Backfills stand still: {count} jobs wait, no call for {still_s} s",
    "alert.bulk_stalled.ended": "Backfills make progress again, or nothing of them waits",
    "alert.bulk_stalled.means": "Bulk jobs wait that neither a pause nor a hold keeps, and none was begun meanwhile.",
    "alert.bulk_stalled.do": (
        "See whether live customers use the whole rate up, and whether workers are alive and well."
    ),
    "alert.failed_grows.title": "The failed queue grows: {count} jobs failed within an hour, {total} wait for a person",
    "alert.failed_grows.ended": "The failed queue no longer grows",
    "alert.failed_grows.means": "Many jobs failed for good, for several reasons.",
    "alert.failed_grows.do": "Look at them by reason; mend the causes, then requeue them.",
    "alert.reason_surges.title": "{count} jobs failed with {reason} within ten minutes (usual: {usual})",
    "alert.reason_surges.ended": "No longer more failures with {reason} than usual",
    "alert.reason_surges.means": "One and the same reason fails many more jobs than it usually does.",
    "alert.reason_surges.do": "Look what the reason means and what to do about it; mend the cause, then requeue them.",
    "alert.expiring.dead.title": "{count} dead letters will be deleted on {day} (UTC)",
    "alert.expiring.dead.ended": "No more dead letters are deleted on {day} (UTC)",
    "alert.expiring.dead.means": (
        "They have been kept as long as LINKFERRY_DEAD_KEEP says, and are deleted for good that day."
    ),
    "alert.expiring.dead.do": "Keep a copy, requeue what is still wanted, or raise LINKFERRY_DEAD_KEEP.",
    "alert.expiring.failed.title": "{count} failed jobs will be deleted on {day} (UTC)",
    "alert.expiring.failed.ended": "No more failed jobs are deleted on {day} (UTC)",
    "alert.expiring.failed.means": (
        "They have waited for a person as long as LINKFERRY_FAILED_KEEP says, and are deleted for good that day."
    ),
    "alert.expiring.failed.do": "Keep a copy, requeue what is still wanted, or raise LINKFERRY_FAILED_KEEP.",
    "alert.messages_fail.title": "{count} messages by {channel} failed within a quarter of an hour, {sent} were sent",
    "alert.messages_fail.ended": "Messages by {channel} go out again, or none fails",
    "alert.messages_fail.means": "Most messages of this channel fail for good: these customers do not get their links.",
    "alert.messages_fail.do": "Look why, mend it, then resend them. No further partner call is needed.",
    "alert.channel_stopped.title": "{count} messages by {channel} wait, and none goes out",
    "alert.channel_stopped.ended": "Messages by {channel} go out again, or none waits",
    "alert.channel_stopped.means": (
        "No provider is set up for them, or nobody sends them. They wait and lose no try."
    ),
    "alert.channel_stopped.refused.means": (
        "The provider refuses us, or can't be reached (the last time: {fault}). The messages wait and lose no try."
    ),
    "alert.channel_stopped.paused.means": "An operator paused the channel; the pause may have been forgotten.",
    "alert.channel_stopped.paused.do": "Let it go on when the reason for the pause is gone.",
    "alert.channel_stopped.do": "See what is missing or refused; they go out by themselves once it is mended.",
    "alert.events_stopped.title": "Our events are not told to {sink}: {trouble}. {count} wait",
    "alert.events_stopped.ended": "Our events are told to {sink} again ({trouble} is over)",
    "alert.events_stopped.endpoint_gone.means": "It answered 410: it wants no more events. They are kept and wait.",
    "alert.events_stopped.endpoint_gone.do": "Mend it, or correct its address; then turn it on again.",
    "alert.events_stopped.endpoint_down.means": (
        "It failed again and again; it is asked with one event at a time, the others wait and lose no try."
    ),
    "alert.events_stopped.endpoint_down.do": "See what comes back. All of them follow once it takes one.",
    "alert.events_stopped.events_failed.means": "Some events could not be told in ten tries over three days.",
    "alert.events_stopped.events_failed.do": "See why, then tell them again.",
    "alert.events_stopped.events_dropped.means": "Too many events wait for it: further ones are counted and not kept.",
    "alert.events_stopped.events_dropped.do": "Mend the receiver, or switch it off.",
    "alert.links_missing.title": "{count} of our links are missing from the partner's list at once",
    "alert.links_missing.ended": "Our links are in the partner's list again, or few are missing",
    "alert.links_missing.means": (
        "So many do not go at once: the list is another account's, or wrong. No job was given up for it."
    ),
    "alert.links_missing.do": "Check that PROVIDER_CLIENT_ID is the account they were made with; else ask the partner.",
    "alert.other.title": "Something is wrong: {scope}",
    "alert.other.ended": "It is over: {scope}",
    "alert.other.means": "This version of Linkferry has no words for it.",
    "alert.other.do": "See the console, or the version of the worker that told it.",
}

_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "calls_stopped": ("linkferry doctor",),
    "calls_stopped.paused": ("linkferry resume",),
    "calls_stopped.breaker_open": ("linkferry status",),
    "lane_paused": ("linkferry resume --lane {lane}",),
    "hold": ("linkferry failed list --reason {reason}", "{resume}"),
    "live_late": ("linkferry status",),
    "bulk_stalled": ("linkferry doctor",),
    "failed_grows": ("linkferry failed groups",),
    "reason_surges": ("linkferry failed list --reason {reason}", "linkferry failed groups"),
    "expiring": (
        "linkferry failed export {state}.csv --state {state}",
        "linkferry failed list --state {state}",
    ),
    "messages_fail": ("linkferry failed list --stage delivery",),
    "channel_stopped": ("linkferry doctor",),
    "channel_stopped.paused": ("linkferry resume --channel {channel}",),
    "events_stopped": ("linkferry events list", "linkferry events test"),
    "events_stopped.endpoint_gone": ("linkferry events test", "linkferry events retry --all"),
    "events_stopped.events_failed": ("linkferry events list", "linkferry events retry --all"),
    "links_missing": ("linkferry doctor --live",),
    "other": ("linkferry alerts list",),
}
_PAGES: Final[Mapping[AlertKind, str]] = {
    AlertKind.CALLS_STOPPED: "/",
    AlertKind.HOLD: "/holds",
    AlertKind.LANE_PAUSED: "/holds",
    AlertKind.FAILED_GROWS: "/failed",
    AlertKind.REASON_SURGES: "/failed/{reason}",
    AlertKind.EXPIRING: "/{state}",
    AlertKind.LIVE_LATE: "/",
    AlertKind.BULK_STALLED: "/",
    AlertKind.MESSAGES_FAIL: "/failed?stage=delivery",
    AlertKind.CHANNEL_STOPPED: "/holds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """An incident in words, with the codes of their templates."""

    codes: Mapping[str, str]  #: title, means, do → code of the template
    params: Mapping[str, str | int]
    title: str
    means: str
    do: str
    commands: tuple[str, ...]  #: as typed, in the order of use
    page: str  #: of the console


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where an alert comes from."""

    is_sandbox: bool
    namespace: str
    public_url: str | None = None  #: of the console

    @property
    def name(self) -> str:
        """Return `live` or `sandbox`."""
        return "sandbox" if self.is_sandbox else "live"

    @property
    def label(self) -> str:
        """Return what stands in front of every alert, with a namespace of one's own named."""
        own = self.namespace.removesuffix("-sandbox") if self.is_sandbox else self.namespace
        return f"Linkferry {self.name}" if own == "linkferry" else f"Linkferry {self.name}, {own}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNotice:
    """One phase of an incident as it is told. The same telling has the same id however often it is told."""

    id: str
    phase: AlertPhase
    subject: str
    at_ms: int  #: when it happened
    lines: tuple[str, ...]  #: of a mail's body, after the subject
    commands: tuple[str, ...]
    url: str | None
    data: Mapping[str, Any]

    @property
    def type(self) -> str:
        """Return the event's type, as a webhook says it."""
        return f"alert.{self.phase.value}"

    def document(self) -> dict[str, Any]:
        """Return it as Standard Webhooks has it; `text` is for chat tools, which show that and ignore the rest."""
        return {"type": self.type, "timestamp": iso(self.at_ms), "text": self.text, "data": dict(self.data)}

    @property
    def text(self) -> str:
        """Return it for a chat: what is wrong, what to do, where to look."""
        return "\n".join(filter(None, [self.subject, *self.lines, *self.commands, self.url or ""]))


def alert_words(incident: Incident, *, is_ended: bool) -> Words:
    """Return *incident* in English, as it stands, or in its last words."""
    params = _params(incident)
    codes = {
        "title": _code(incident, "ended" if is_ended else "title"),
        "means": _code(incident, "means"),
        "do": _code(incident, "do"),
    }
    texts = {part: ALERT_WORDS[code].format_map(params) for part, code in codes.items()}
    special = (_COMMANDS.get(f"{incident.kind}.{variant}") for variant in _variants(incident))
    commands = next(filter(None, special), _COMMANDS[incident.kind.value])
    page = _PAGES.get(incident.kind, "/alerts")
    return Words(
        codes=codes,
        params=params,
        **texts,
        commands=tuple(command.format_map(params) for command in commands),
        page=page.format_map({name: quote(str(value), safe="") for name, value in params.items()}),
    )


def alert_notice(incident: Incident, phase: AlertPhase, where: Environment) -> AlertNotice:
    """Return what is told of *incident*, as it is known now."""
    is_end = phase is AlertPhase.ENDED
    words = alert_words(incident, is_ended=is_end)
    ended_ms = incident.ended_at_ms
    subject = f"[{where.label}] {'Over: ' if is_end else ''}{words.title}"
    commands = () if is_end else tuple(_typed(command, where) for command in words.commands)
    url = None if where.public_url is None else where.public_url.rstrip("/") + words.page
    return AlertNotice(
        id=f"{incident.id}_{phase.value}",
        phase=phase,
        subject=subject,
        at_ms=(ended_ms or incident.last_seen_ms) if is_end else incident.opened_at_ms,
        lines=_lines(incident, words, is_end=is_end),
        commands=commands,
        url=url,
        data={
            "incident_id": incident.id,
            "kind": incident.kind.value,
            "scope": incident.scope,
            "state": "open" if ended_ms is None else "ended",
            "environment": where.name,
            "namespace": where.namespace,
            "title": words.title,
            "means": words.means,
            "what_to_do": words.do,
            "commands": list(commands),
            "url": url,
            "count": incident.count,
            "peak": incident.peak,
            "began_at": iso(incident.began_at_ms),
            "opened_at": iso(incident.opened_at_ms),
            "last_seen_at": iso(incident.last_seen_ms),
            "ended_at": None if ended_ms is None else iso(ended_ms),
            "params": {name: value for name, value in words.params.items() if value != ""},
        },
    )


def sample_notice(notice_id: str, now_ms: int, where: Environment) -> AlertNotice:
    """Return a sample that an operator sends to see whether alerts arrive."""
    subject = f"[{where.label}] A test alert: nothing is wrong"
    url = None if where.public_url is None else where.public_url.rstrip("/") + "/alerts"
    return AlertNotice(
        id=notice_id,
        phase=AlertPhase.TEST,
        subject=subject,
        at_ms=now_ms,
        lines=("Sent by `linkferry alerts test`. Alerts of this Linkferry arrive here.",),
        commands=(),
        url=url,
        data={"environment": where.name, "namespace": where.namespace, "title": "A test alert", "url": url},
    )


def iso(at_ms: int) -> str:
    """Return an instant as ISO 8601 in UTC, to the second."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _lines(incident: Incident, words: Words, *, is_end: bool) -> tuple[str, ...]:
    if is_end:
        ended = iso(incident.ended_at_ms or incident.last_seen_ms)
        return (f"Since {iso(incident.began_at_ms)}, over at {ended}. At its peak: {incident.peak}.",)
    over = "" if incident.ended_at_ms is None else f" It was over at {iso(incident.ended_at_ms)}."
    return (f"Since {iso(incident.began_at_ms)}.{over} {words.means}", f"What to do: {words.do}")


def _variants(incident: Incident) -> tuple[str, ...]:
    """Return what tells incidents of one kind apart in their words, where anything does."""
    params = incident.params
    match incident.kind:
        case AlertKind.CALLS_STOPPED:
            return (incident.scope,)
        case AlertKind.EVENTS_STOPPED:
            return (incident.scope.rpartition(":")[2],)
        case AlertKind.EXPIRING:
            return (incident.scope.partition(":")[0],)
        case AlertKind.CHANNEL_STOPPED:
            fault = params.get("fault")
            return ("paused",) if fault == "paused" else ("refused",) if fault else ()
        case AlertKind.HOLD:
            named = ("batch",) if incident.scope.startswith(BATCH) else ()
            return (*named, "explaining") if params.get("outlook") == "explaining" else named
        case _:
            return ()


def _code(incident: Incident, part: str) -> str:
    special = (f"alert.{incident.kind}.{variant}.{part}" for variant in _variants(incident))
    codes = (*special, f"alert.{incident.kind}.{part}")
    return next((code for code in codes if code in ALERT_WORDS), f"alert.other.{part}")


def _params(incident: Incident) -> dict[str, str | int]:
    """Return what the templates ask for, under every name that a template of its kind uses."""
    params: dict[str, str | int] = {
        **_BLANK,
        **incident.params,
        "count": incident.count,
        "scope": incident.scope,
    }
    if incident.kind is AlertKind.HOLD:
        batch = incident.scope.removeprefix(BATCH)
        is_batch = batch != incident.scope
        # A file's name may tell whose it is: whoever shows it to people of the house, and to nobody else, puts it in.
        params["name"] = incident.params.get("name", batch)
        params["resume"] = (
            f"linkferry batch resume {batch}" if is_batch else f"linkferry resume --lane {batch}"
        )
    return params


def _names() -> Iterator[str]:
    for template in chain(ALERT_WORDS.values(), *_COMMANDS.values(), _PAGES.values()):
        yield from (name for _, name, _, _ in Formatter().parse(template) if name)


#: Every name that a template asks for: an incident that another version left may lack some.
_BLANK: Final[Mapping[str, str | int]] = dict.fromkeys(_names(), "")


def _typed(command: str, where: Environment) -> str:
    return command.replace("linkferry ", "linkferry --sandbox ", 1) if where.is_sandbox else command
