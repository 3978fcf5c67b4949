"""`linkferry doctor`: what is missing or unsafe, in plain words, each with what to do about it."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from worker.clock import SystemClock
from worker.domain.states import Channel, DeliveryState, JobState
from worker.ledger import Ledger, LedgerFull, LedgerUnavailable, SchemaMismatch, open_redis
from worker.limits import Limits, LimitsUnavailable
from worker.settings import Settings, unknown_names

_OLDEST_REDIS = (6, 2)  # BLMOVE, on which idle workers wait
_WAITAOF_SINCE = (7, 2)
_CLOCK_SKEW_S = 5.0
_KNOWN_POLICY = "noeviction"


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
    findings = [*look_at_settings(settings)]
    redis = open_redis(settings.redis_url_required)
    try:
        ledger = Ledger(redis, namespace=settings.namespace)
        limits = Limits(redis, namespace=settings.namespace, name="partner", ceiling=settings.provider_rate)
        findings += await _look_at_ledger(settings, ledger, limits, is_embedded=is_embedded)
        findings.append(_clock_finding(await ledger.now_ms()))
    except SchemaMismatch as exc:
        findings.append(
            bad("schema", str(exc), "Run the version of Linkferry that wrote it, or a newer one.")
        )
    except (LedgerUnavailable, LedgerFull, LimitsUnavailable) as exc:
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
    if settings.is_sandbox:
        yield ok("sandbox", "Sandbox: nothing reaches the real partner or a real customer.")
        if not settings.sandbox_address_file.exists():
            yield warn("sandbox", "The sandbox partner does not run.", "Start it: linkferry up --sandbox")
    else:
        yield _credentials(settings)
        yield from _channels(settings)
    for name in unknown_names():
        yield warn("settings", f"{name} is no setting of Linkferry.", "Remove it, or see `linkferry config`.")
    if settings.recipient_allowlist:
        count = len(settings.recipient_allowlist)
        yield warn(
            "messages",
            f"RECIPIENT_ALLOWLIST is set: only {count} recipients or domains get messages, all others are skipped.",
            "Unset LINKFERRY_RECIPIENT_ALLOWLIST when you go live.",
        )
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


def _env_file(path: Path) -> Iterator[Finding]:
    if path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield warn(
            "settings", "Others on this machine can read .env, which may hold secrets.", "chmod 600 .env"
        )


# --- the ledger --------------------------------------------------------------------------------------------


async def _look_at_ledger(
    settings: Settings, ledger: Ledger, limits: Limits, *, is_embedded: bool
) -> list[Finding]:
    await ledger.open()
    findings = [*_server_findings(await ledger.queries.server(), is_embedded=is_embedded)]
    findings.append(ok("schema", "The ledger's schema is the one this version knows."))
    findings += _partner_findings(await limits.status(), settings)
    findings += await _work_findings(ledger)
    findings.append(_audit_finding(await ledger.queries.audit()))
    return findings


def _server_findings(server: Any, *, is_embedded: bool) -> Iterator[Finding]:
    version = _version(server.version)
    kind = "Embedded Valkey" if is_embedded else "Redis or Valkey"
    if version < _OLDEST_REDIS:
        yield bad("redis", f"{kind} {server.version} is too old.", "Use Redis 7 or Valkey 8, or newer.")
    elif version < _WAITAOF_SINCE:
        yield warn(
            "redis",
            f"{kind} {server.version} lacks WAITAOF: what was accepted in the last second can be lost in a power cut.",
            "Use Redis 7.2 or Valkey, or set `appendfsync always`.",
        )
    else:
        yield ok("redis", f"{kind} {server.version}.")
    if server.is_aof:
        yield ok(
            "persistence", f"Append-only file, appendfsync {server.fsync}. Loss window: {server.loss_window}"
        )
    else:
        yield bad(
            "persistence",
            f"Redis keeps no append-only file. Loss window: {server.loss_window}",
            "Set `appendonly yes`; else a restart of Redis loses customers.",
        )
    if server.maxmemory_policy != _KNOWN_POLICY:
        yield bad(
            "eviction",
            f"Redis may throw jobs away when its memory is full (maxmemory-policy {server.maxmemory_policy}).",
            "Set `maxmemory-policy noeviction`, or give Linkferry a Redis of its own.",
        )


def _version(text: str) -> tuple[int, int]:
    parts = [part for part in text.split(".") if part.isdigit()]
    return (int(parts[0]), int(parts[1])) if len(parts) >= 2 else (0, 0)


def _partner_findings(status: Any, settings: Settings) -> Iterator[Finding]:
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
    workers = await ledger.fleet.workers()
    waiting = counts.get(JobState.AVAILABLE, 0) + counts.get(JobState.SCHEDULED, 0)
    findings: list[Finding] = []
    if workers:
        findings.append(ok("workers", f"{len(workers)} alive."))
    elif waiting:
        findings.append(
            bad("workers", f"No worker runs, and {waiting} jobs wait.", "linkferry up, or linkferry worker")
        )
    else:
        findings.append(
            warn("workers", "No worker runs; nothing waits either.", "linkferry up, or linkferry worker")
        )
    for target, hold in (await ledger.batches.holds()).items():
        findings.append(
            warn(
                "holds",
                f"{target} is held: {hold.reason}.",
                f"Look (`linkferry failed groups`), mend, then: {_go_on(target)}",
            )
        )
    findings += [
        warn("pauses", f"{target} is paused.", "linkferry resume") for target in await ledger.batches.pauses()
    ]
    if failed := counts.get(JobState.FAILED, 0):
        findings.append(warn("failed", f"{failed} jobs need a person.", "linkferry failed groups"))
    return findings


def _go_on(target: str) -> str:
    batch = target.removeprefix("batch:")
    return "linkferry resume" if batch == target else f"linkferry batch resume {batch}"


def _audit_finding(audit: Any) -> Finding:
    if audit.wrong:
        return bad(
            "audit",
            f"The ledger's indexes disagree with its jobs: {'; '.join(audit.wrong[:3])}",
            "Please report this with `linkferry doctor --json`.",
        )
    if audit.difference:
        return bad(
            "audit",
            f"The ledger does not add up: {audit.accepted} accepted, {audit.difference:+d} unaccounted for.",
            "Please report this with `linkferry status --json` and `linkferry doctor --json`.",
        )
    return ok("audit", f"The ledger adds up: {audit.accepted} jobs accepted, each of them accounted for.")


async def _look_at_clock(redis: Any) -> list[Finding]:
    from worker.clock import SystemClock

    seconds, _ = await redis.time()
    skew_s = SystemClock().now_ms() / 1000 - int(seconds)
    if abs(skew_s) > _CLOCK_SKEW_S:
        return [
            warn("clock", f"This machine's clock and Redis's differ by {skew_s:.0f} s.", "Run NTP on both.")
        ]
    return [ok("clock", "This machine's clock and Redis's agree.")]


# --- asking the real world ---------------------------------------------------------------------------------


async def examine_live(settings: Settings) -> list[Finding]:
    """Make the partner's read-only calls: a token and both lists. Creates nothing."""
    if not settings.has_credentials:
        return [bad("live", "No credentials to call the partner with.", "Set them first, see above.")]
    from worker.limits import TokenStore
    from worker.main import build_partner

    redis = open_redis(settings.redis_url_required)
    try:
        limits = Limits(redis, namespace=settings.namespace, name="partner", ceiling=settings.provider_rate)
        async with build_partner(
            settings, limits, TokenStore(redis, namespace=settings.namespace)
        ) as partner:
            token = await partner.token()
            if not isinstance(token, str):
                return [_not_done("access token", token)]
            return [
                ok("live", "The partner gave an access token."),
                await _list_finding("getAccounts", "links", partner.get_accounts),
                await _list_finding(
                    "getRegisteredNumbers", "registered numbers wait for a link", partner.get_registered
                ),
            ]
    finally:
        await redis.aclose()


async def _list_finding(call: str, what: str, ask: Callable[[], Awaitable[Any]]) -> Finding:
    answer = await ask()
    if isinstance(answer, list):
        return ok("live", f"{call}: {len(answer)} {what}.")
    return _not_done(call, answer)


def _not_done(call: str, ending: Any) -> Finding:
    detail = f" ({ending.detail})" if ending.detail else ""
    return bad("live", f"{call}: {ending.reason}{detail}", "linkferry reasons list says what it means.")


async def send_test(settings: Settings, address: str) -> Finding:
    """Send one sample invitation to *address*, an e-mail address or a number. Its links lead nowhere."""
    from worker.dispatch import RecipientAllowlist, preview_invitation, sample_request
    from worker.main import build_dispatchers, build_sender

    channel = Channel.EMAIL if "@" in address else Channel.SMS
    if not RecipientAllowlist(settings.recipient_allowlist).allows(address):
        return bad(
            "test", "RECIPIENT_ALLOWLIST does not allow this recipient.", "Add it there, or use another."
        )
    sender = build_sender(settings)
    dispatchers = build_dispatchers(settings, sender)
    dispatcher = dispatchers.get(channel)
    if dispatcher is None:
        return bad("test", f"No {channel.value} is set up.", "See the findings above for what to set.")
    request = _addressed(sample_request(settings.default_locale), address, channel, settings)
    if request is None:
        return bad("test", "That is no address and no number.", "Write dana@example.com or 0501234567.")
    preview = preview_invitation(request, sender=sender, templates_dir=settings.templates_dir)
    try:
        return _test_finding(channel, await _dispatch(dispatcher, preview, channel))
    finally:
        for each in dispatchers.values():
            await each.aclose()


async def _dispatch(dispatcher: Any, preview: Any, channel: Channel) -> Any:
    import secrets
    from dataclasses import replace
    from datetime import UTC, datetime

    async def go_on() -> bool:
        return True

    # A mark of its own: mailboxes drop a second mail with the same Message-ID.
    mark = f"test-{secrets.token_hex(6)}"
    if channel is Channel.EMAIL:
        message = replace(preview.mail, delivery_id=mark, dated_at=datetime.now(UTC))
    else:
        message = replace(preview.sms, delivery_id=mark)
    return await dispatcher.dispatch(message, before_data=go_on)


def _test_finding(channel: Channel, outcome: Any) -> Finding:
    from worker.domain.outcome import Sent

    if isinstance(outcome, Sent):
        return ok("test", f"One sample {channel.value} was taken by the provider; its links lead nowhere.")
    fail = getattr(outcome, "fail", None)
    why = f"{fail.reason} {fail.detail}".strip() if fail else getattr(outcome, "reason", "unknown")
    return bad(
        "test",
        f"The sample {channel.value} was not sent: {why}",
        "linkferry reasons list says what it means.",
    )


def _addressed(request: Any, address: str, channel: Channel, settings: Settings) -> Any:
    from dataclasses import replace

    from worker.domain.phone import PhoneNumber, normalise_number

    if channel is Channel.EMAIL:
        return replace(request, contact=replace(request.contact, email=address.strip()))
    found = normalise_number(address, region=settings.default_region)
    if not isinstance(found, PhoneNumber):
        return None
    return replace(request, contact=replace(request.contact, phone=found.digits))
