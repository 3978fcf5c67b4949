"""What `linkferry doctor` says of alerts: whether anybody is told, what is open, and what could not be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkferry.doctor import Finding, bad, ok, warn
from worker.domain.alerts import Incident, TellingState
from worker.settings import Settings


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """Yield what the settings alone tell."""
    addresses = len(settings.alert_email)
    told = [
        *(["ALERT_URL"] if settings.alert_url else []),
        *([f"{addresses} by e-mail"] if addresses else []),
    ]
    if addresses and not settings.has_smtp:
        from worker.main import ALERTS_NEED_MAIL

        yield bad(
            "alerts", ALERTS_NEED_MAIL, "Until then `linkferry up` and `linkferry worker` do not start."
        )
    elif told:
        yield ok("alerts", f"Trouble is told to {' and '.join(told)}; `linkferry alerts test` tries it.")
    else:
        yield warn(
            "alerts",
            "Nobody is told when something goes wrong.",
            "Set LINKFERRY_ALERT_EMAIL or LINKFERRY_ALERT_URL (docs/alerts.md), then: linkferry alerts test",
        )
    if settings.alert_secrets and not settings.alert_url:
        yield warn(
            "alerts", "ALERT_SECRET is set without ALERT_URL: nothing is posted.", "Set LINKFERRY_ALERT_URL."
        )


def look_at_incidents(incidents: Sequence[Incident]) -> Iterator[Finding]:
    """Yield what the incidents that are open tell."""
    if incidents:
        how_many = "1 incident is" if len(incidents) == 1 else f"{len(incidents)} incidents are"
        yield warn("alerts", f"{how_many} open.", "Look: linkferry alerts list")
    tellings = [telling for incident in incidents for telling in incident.tellings]
    if any(each.failures and each.state is not TellingState.TOLD for each in tellings):
        yield bad(
            "alerts",
            "Some of them could not be told so far.",
            "See why: linkferry alerts list. Then: linkferry alerts test",
        )
