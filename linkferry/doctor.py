"""`linkferry doctor`: what is missing or unsafe, in plain words, each with what to do about it."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from linkferry.commands.holds import how_to_lift
from worker.clock import SystemClock
from worker.domain.outgoing import SinkRecord
from worker.domain.states import Channel, DeliveryState, JobState
from worker.domain.targets import BATCH
from worker.ledger import (
    Audit,
    Ledger,
    LedgerFull,
    LedgerUnavailable,
    SchemaMismatch,
    open_redis,
)
from worker.limits import Limits, LimitsStatus, LimitsUnavailable
from worker.ops.queries import stopped_view
from worker.settings import Settings, unknown_names

_CLOCK_SKEW_S = 5.0


class Level(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    level: Level
    about: str
    text: str
    remedy: str = ""

    def document(self) -> dict[str, str]:
        """Return it ready for JSON."""
        return asdict(self)


def ok(about: str, text: str) -> Finding:
    """Return a finding that needs nobody."""
    return Finding(Level.OK, about, text)


def warn(about: str, text: str, remedy: str) -> Finding:
    """Return a finding to be known."""
    return Finding(Level.WARN, about, text, remedy)


def bad(about: str, text: str, remedy: str) -> Finding:
    """Return a finding to be mended."""
    return Finding(Level.BAD, about, text, remedy)


async def examine(settings: Settings, *, is_embedded: bool) -> list[Finding]:
    """Look at the settings and at the ledger; *settings* name a server. Never raises for what it is to find."""
    from linkferry import doctor_redis

    findings = [*look_at_settings(settings)]
    redis = open_redis(settings.redis_url_required)
    try:
        ledger = Ledger(redis, namespace=settings.namespace)
        limits = Limits(redis, namespace=settings.namespace, name="partner", ceiling=settings.provider_rate)
        findings += doctor_redis.look_at_room(await ledger.survey.fullness())
        findings += await _look_at_ledger(settings, ledger, limits, is_embedded=is_embedded)
        findings.append(_clock_finding(await ledger.now_ms()))
    except SchemaMismatch as exc:
        findings.append(
            bad("schema", str(exc), "Run the version of Linkferry that wrote it, or a newer one.")
        )
    except LedgerFull as exc:
        findings.append(
            bad(
                "redis",
                f"Redis takes no more writes ({exc}), so nothing further could be looked at.",
                "Give it memory or disk, then once more: linkferry doctor",
            )
        )
    except (LedgerUnavailable, LimitsUnavailable) as exc:
        findings.append(
            bad(
                "redis",
                f"Redis does not answer: {exc}",
                "Check that it runs and that LINKFERRY_REDIS_URL is right.",
            )
        )
    finally:
        await redis.aclose()
    return findings


# --- the settings ------------------------------------------------------------------------------------------


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """Yield what the settings alone tell."""
    from linkferry import doctor_alerts, doctor_console, doctor_crm, doctor_templates, doctor_webhook

    if settings.is_sandbox:
        yield ok("sandbox", "Sandbox: nothing reaches the real partner or a real customer.")
        if not settings.sandbox_address_file.exists():
            yield warn("sandbox", "The sandbox partner does not run.", "Start it: linkferry up --sandbox")
    else:
        yield _credentials(settings)
        yield from _channels(settings)
        yield from _events(settings)
        yield from doctor_alerts.look_at_settings(settings)
        yield from doctor_webhook.look_at_settings(settings)
    for name in unknown_names():
        yield warn("settings", f"{name} is no setting of Linkferry.", "Remove it, or see `linkferry config`.")
    if settings.recipient_allowlist:
        count = len(settings.recipient_allowlist)
        yield warn(
            "messages",
            f"RECIPIENT_ALLOWLIST is set: only {count} recipients or domains get messages, all others are skipped.",
            "Unset LINKFERRY_RECIPIENT_ALLOWLIST when you go live.",
        )
    yield from doctor_templates.look_at_folder(settings.templates_dir)
    yield from doctor_crm.look_at_settings(settings)
    yield from doctor_console.look_at_settings(settings)
    yield from _env_file(Path(".env"))


def _credentials(settings: Settings) -> Finding:
    if settings.has_credentials:
        return ok("credentials", "The partner's client id and secret are set.")
    return bad(
        "credentials",
        "The partner's credentials are missing: calls are held, jobs wait.",
        "Set LINKFERRY_PROVIDER_CLIENT_ID and LINKFERRY_PROVIDER_CLIENT_SECRET, or try `linkferry up --sandbox`.",
    )


def _channels(settings: Settings) -> Iterator[Finding]:
    if not settings.channels:
        yield ok("messages", "CHANNELS is none: links are made and nobody is told, as you asked.")
        return
    working = []
    for channel, has_it, names in (
        (Channel.EMAIL, settings.has_smtp, "LINKFERRY_SMTP_URL and LINKFERRY_EMAIL_FROM"),
        (
            Channel.SMS,
            settings.has_sms,
            "LINKFERRY_SMS_PROVIDER, LINKFERRY_SMS_API_KEY and LINKFERRY_SMS_FROM",
        ),
    ):
        if channel not in settings.channels:
            continue
        if has_it:
            working.append(channel)
            yield ok(channel.value, f"{channel.value} is set up.")
        else:
            yield warn(
                channel.value, f"No {channel.value}: its messages wait or are skipped.", f"Set {names}."
            )
    if not working:
        yield bad(
            "messages",
            "No channel works: links are made, but no customer hears of his.",
            "Set up e-mail or SMS, or say LINKFERRY_CHANNELS=none.",
        )


def _events(settings: Settings) -> Iterator[Finding]:
    if settings.events_url is not None:
        yield ok(
            "events", "Links, messages and failures are told to EVENTS_URL; `linkferry events test` tries it."
        )
    elif settings.events_secrets:
        yield warn(
            "events", "EVENTS_SECRET is set without EVENTS_URL: nothing is told.", "Set LINKFERRY_EVENTS_URL."
        )


def _env_file(path: Path) -> Iterator[Finding]:
    if path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield warn(
            "settings", "Others on this machine can read .env, which may hold secrets.", "chmod 600 .env"
        )


# --- the ledger --------------------------------------------------------------------------------------------


async def _look_at_ledger(
    settings: Settings, ledger: Ledger, limits: Limits, *, is_embedded: bool
) -> list[Finding]:
    from linkferry import doctor_alerts, doctor_console, doctor_crm, doctor_redis, doctor_webhook

    await ledger.open()
    findings = [*doctor_redis.look_at_server(await ledger.queries.server(), is_embedded=is_embedded)]
    findings.append(ok("schema", "The ledger's schema is the one this version knows."))
    findings += _partner_findings(await limits.status(), settings)
    findings += await _work_findings(ledger)
    findings += _event_findings(await ledger.outbox.sinks(), is_wanted=settings.events_url is not None)
    findings += doctor_alerts.look_at_incidents(await ledger.incidents.open())
    findings += await doctor_crm.look_at_events(settings, ledger)
    findings += await doctor_webhook.look_at_reports(ledger, settings)
    findings += await doctor_console.look_at_users(ledger)
    findings.append(_audit_finding(await ledger.queries.audit()))
    return findings


def _partner_findings(status: LimitsStatus, settings: Settings) -> Iterator[Finding]:
    if status.credentials.value == "held":
        yield bad(
            "credentials",
            f"The partner refused the credentials (reason {status.credentials_code}); calls are held, jobs wait.",
            "Correct LINKFERRY_PROVIDER_CLIENT_ID or _SECRET and restart, or say `linkferry resume` to try again now.",
        )
    if status.breaker.value != "closed":
        yield warn(
            "partner",
            "The partner keeps failing: calls pause and are tried again by themselves.",
            "Nothing to do but to ask the partner; jobs wait and lose no try.",
        )
    if status.is_paused:
        yield warn("partner", "Calls are paused by an operator.", "linkferry resume")
    if status.is_throttled:
        yield warn(
            "partner", "The partner asked for fewer calls; it is obeyed.", "Lower LINKFERRY_PROVIDER_RATE."
        )
    if status.rate < settings.provider_rate * 0.99:
        yield warn(
            "partner",
            f"Calls go at {status.rate:.2g}/s, below the {settings.provider_rate:g}/s allowed, after pushback.",
            "It recovers by itself; if it does not, lower LINKFERRY_PROVIDER_RATE.",
        )


async def _work_findings(ledger: Ledger) -> list[Finding]:
    counts = await ledger.queries.counts()
    waiting = counts.get(JobState.AVAILABLE, 0) + counts.get(JobState.SCHEDULED, 0)
    findings = [_workers_finding(len(await ledger.fleet.workers()), waiting)]
    for target, hold in sorted((await ledger.batches.holds()).items()):
        remedy = f"Look (`linkferry failed groups`), mend, then: {how_to_lift(target)}"
        findings.append(warn("holds", f"{target} is held: {hold.reason}.", remedy))
    findings += [
        warn("pauses", f"{target} is paused.", how_to_lift(target))
        for target in sorted(await ledger.batches.pauses())
        if await _stops_something(ledger, target)
    ]
    if failed := counts.get(JobState.FAILED, 0):
        findings.append(
            warn(
                "failed",
                f"{failed:,} {'job needs' if failed == 1 else 'jobs need'} a person.",
                "linkferry failed groups",
            )
        )
    return [*findings, *_message_findings(await ledger.deliveries.counts())]


async def _stops_something(ledger: Ledger, target: str) -> bool:
    """Tell whether a pause matters: a batch's does only while some of it waits."""
    if not target.startswith(BATCH):
        return True
    record = await ledger.batches.get(target.removeprefix(BATCH))
    return record is not None and stopped_view(record)["waiting"] > 0


def _workers_finding(alive: int, waiting: int) -> Finding:
    if alive:
        return ok("workers", f"{alive} alive.")
    if waiting:
        wait = "job waits" if waiting == 1 else "jobs wait"
        return bad("workers", f"No worker runs, and {waiting:,} {wait}.", "linkferry up, or linkferry worker")
    return warn("workers", "No worker runs; nothing waits either.", "linkferry up, or linkferry worker")


def _message_findings(counts: Mapping[DeliveryState, int]) -> Iterator[Finding]:
    if failed := counts.get(DeliveryState.FAILED, 0):
        yield warn(
            "messages", f"{failed} messages could not be sent.", "linkferry failed list --stage delivery"
        )
    if doubtful := counts.get(DeliveryState.IN_DOUBT, 0):
        yield warn(
            "messages",
            f"{doubtful} messages may or may not have arrived: the provider's answer was lost.",
            "linkferry failed list --stage delivery --state in_doubt",
        )


def _event_findings(sinks: Sequence[SinkRecord], *, is_wanted: bool) -> Iterator[Finding]:
    if is_wanted and not any(sink.is_enabled for sink in sinks):
        yield warn(
            "events",
            "EVENTS_URL is set here, but the worker that started last did not have it: no event is left.",
            "Give all workers the same settings and restart them.",
        )
    for sink in sinks:
        status = f", HTTP {sink.status}" if sink.status else ""
        if not sink.is_enabled:
            continue
        if sink.gone_since_ms is not None:
            yield bad(
                "events",
                f"{sink.name} answered 410: it is told nothing more, {sink.waiting} events wait.",
                "Mend the receiver, then: linkferry events retry --all",
            )
        elif sink.down_since_ms is not None:
            yield bad(
                "events",
                f"{sink.name} does not take our events ({sink.fault}{status}); {sink.waiting} wait.",
                "Look: linkferry events test. They are told as soon as it takes one.",
            )
        if sink.failed:
            yield warn(
                "events",
                f"{sink.failed} events could not be told to {sink.name} in three days.",
                "Look: linkferry events list. Then: linkferry events retry --all",
            )
        if sink.is_full:
            yield bad(
                "events",
                f"Too many events wait for {sink.name}: further ones are dropped ({sink.dropped} so far).",
                "Mend the receiver, or unset LINKFERRY_EVENTS_URL.",
            )


def _audit_finding(audit: Audit) -> Finding:
    if audit.wrong or audit.difference:
        details = "; ".join(audit.wrong[:3]) or f"{audit.difference:+d} jobs unaccounted for"
        return bad(
            "audit",
            f"The ledger does not add up ({audit.accepted} accepted): {details}.",
            "Please report this with the output of `linkferry doctor --json`.",
        )
    return ok("audit", f"The ledger adds up: {audit.accepted} jobs accepted, each of them accounted for.")


def _clock_finding(redis_ms: int) -> Finding:
    skew_s = (SystemClock().now_ms() - redis_ms) / 1000
    if abs(skew_s) > _CLOCK_SKEW_S:
        return warn(
            "clock", f"This machine's clock and Redis's differ by {skew_s:.0f} s.", "Run NTP on both."
        )
    return ok("clock", "This machine's clock and Redis's agree.")
