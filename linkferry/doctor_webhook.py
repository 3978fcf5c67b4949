"""What `linkferry doctor` says of completions: whether the partner's webhook leads here, and what came by it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from linkferry.doctor import Finding, bad, ok, warn
from linkferry.output import ago
from worker.domain.event import EventState
from worker.domain.report import FORWARD_SOURCE, WEBHOOK_SOURCE
from worker.ledger import Ledger
from worker.limits import Limits
from worker.settings import Settings

_ABOUT = "webhook"
_SET = "linkferry provider webhook set"


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """Yield what the settings alone tell of the partner's webhook."""
    if settings.provider_webhook_secret is None:
        yield warn(
            _ABOUT,
            "PROVIDER_WEBHOOK_SECRET is not set: WhatsApp completions are heard of by the poll alone, Facebook ones never.",
            f"Set LINKFERRY_PROVIDER_WEBHOOK_SECRET (openssl rand -hex 24), then: {_SET}",
        )
        return
    if settings.public_url is None:
        yield warn(
            _ABOUT,
            "PUBLIC_URL is not set, so the address for the partner's webhook is not known.",
            f"Set LINKFERRY_PUBLIC_URL, then: {_SET}",
        )
    elif not settings.trusted_proxies:
        yield warn(
            _ABOUT,
            "Without TRUSTED_PROXIES the sender's address cannot be told behind a proxy: only the path protects the webhook.",
            "Set LINKFERRY_TRUSTED_PROXIES to the proxy's address, such as 127.0.0.1.",
        )
    else:
        yield ok(_ABOUT, "The partner's webhook is listened to, from PROVIDER_WEBHOOK_FROM alone.")


async def look_at_reports(ledger: Ledger, settings: Settings) -> list[Finding]:
    """Return what the reports tell that came in; raises LedgerUnavailable."""
    counts, view = await ledger.intake.counts(), await ledger.completing.view()
    findings = []
    if view.hinted_at_ms is not None:
        findings.append(ok(_ABOUT, f"The partner last reported a completion {ago(view.hinted_at_ms)}."))
    if view.refused_at_ms is not None and view.refused_from is not None:
        findings.append(_turned_away(view.refused_at_ms, view.refused_from, settings))
    if view.suspicious_since_ms is not None:
        findings.append(
            bad(
                _ABOUT,
                f"{view.missing} of our links are missing from the partner's list at once, since {ago(view.suspicious_since_ms)}.",
                "None was given up. Check that PROVIDER_CLIENT_ID is the account they were made with, and ask the partner.",
            )
        )
    for source, what in (
        (WEBHOOK_SOURCE, "reports need a person"),
        (FORWARD_SOURCE, "reports could not be passed on"),
    ):
        if failed := counts.get(source, {}).get(EventState.FAILED, 0):
            look = f"linkferry crm events --state failed --source {source}"
            findings.append(warn(_ABOUT, f"{failed} {what}.", look))
    left = counts.get(FORWARD_SOURCE, {}).get(EventState.WAITING, 0)
    if left and settings.forward_url is None:
        told = f"{left} reports wait to be passed on, and FORWARD_URL is not set (any more)."
        look = f"linkferry crm events --state waiting --source {FORWARD_SOURCE}"
        findings.append(warn(_ABOUT, told, f"Set it, or look ({look}) and: linkferry crm discard ID"))
    return findings


def _turned_away(at_ms: int, address: str, settings: Settings) -> Finding:
    if _is_our_proxy(address, settings):
        # To let the proxy itself in would be to let everybody in.
        return warn(
            _ABOUT,
            f"A report was turned away {ago(at_ms)}: your proxy {address} does not say whose it is.",
            "Let it add X-Forwarded-For, an address without a port (docs/console.md shows how).",
        )
    return warn(
        _ABOUT,
        f"Somebody who knows the webhook's path was turned away {ago(at_ms)}: {address}.",
        "If the partner has moved, add the address to LINKFERRY_PROVIDER_WEBHOOK_FROM; else change the secret.",
    )


def _is_our_proxy(address: str, settings: Settings) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in ip_network(each, strict=False) for each in settings.trusted_proxies)


async def look_at_partner(settings: Settings, limits: Limits) -> list[Finding]:
    """Ask the partner where its webhook leads; nothing is said where nothing is listened to."""
    from linkferry.listening import webhook_address
    from linkferry.partner_webhook import WebhookUnknownError, is_of_ours, masked, read_webhook

    ours = webhook_address(settings)
    if ours is None:
        return []
    try:
        leads = await read_webhook(settings, limits)
    except WebhookUnknownError as exc:
        return [
            warn(_ABOUT, f"The partner does not say where its webhook leads ({exc}).", "Look again later.")
        ]
    if leads.url == ours:
        return [ok(_ABOUT, "The partner's webhook leads here.")]
    if leads.url is not None and is_of_ours(leads.url, settings):
        told = "The partner's webhook leads here by another PROVIDER_WEBHOOK_SECRET: nothing that comes is taken."
        return [bad(_ABOUT, told, f"{_SET} --replace")]
    where = masked(leads.url, settings) or "nowhere"
    return [
        bad(
            _ABOUT,
            f"The partner's webhook leads to {where}, not here: Facebook completions are never heard of.",
            _SET if leads.url is None else f"Look: linkferry provider webhook get. Then: {_SET} --replace",
        )
    ]
