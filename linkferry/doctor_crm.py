"""What `linkferry doctor` says of CRMs: whether they are set up, whether they call, and what waits for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from linkferry.crms import last_event_ms, note_on
from linkferry.doctor import Finding, bad, ok, warn
from linkferry.output import ago
from producers.crm.config import CrmSetting, crm_settings, load_crms
from producers.crm.receiver import EVENTS, crm_of, source_of
from worker.domain.event import EventState
from worker.ledger import Ledger
from worker.settings import Settings, SettingsError
from worker.telemetry import stat_key

#: Reasons of waiting events that no waiting mends.
_NEEDS_A_PERSON = ("crm_refused", "fault")
_LOOKED_THROUGH = 100
_SAMPLE = {"salesforce": "sample.xml"}  # what its body is written in, where that is not JSON


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """Yield what the CRMs' settings alone tell; nothing where none is written."""
    try:
        load_crms(settings)
        known = crm_settings(settings)
    except SettingsError as error:
        yield bad("crm", str(error), "Mend it: until then neither `web` nor `worker` starts.")
        return
    for crm in known:
        if note := note_on(settings, crm):
            yield warn(
                "crm", f"{crm.name}: {note}", "Set it; see docs/crm/README.md and `linkferry crm list`."
            )
        elif crm.is_on:
            yield ok("crm", f"{crm.name} is set up.")


async def look_at_events(settings: Settings, ledger: Ledger) -> list[Finding]:
    """Return what the events tell that came in; raises LedgerUnavailable."""
    counts = await ledger.intake.counts()
    try:
        known = [crm for crm in crm_settings(settings) if crm.is_on]
    except SettingsError:  # told of above
        known = []
    findings = [await _last_event(ledger, crm) for crm in known]
    on = {source_of(crm.name) for crm in known}
    for source, states in counts.items():
        if source != source_of(crm_of(source)):
            continue  # the partner's reports, of which `doctor_webhook` tells
        findings += await _of_source(ledger, source, states, is_on=source in on)
    return findings


async def _last_event(ledger: Ledger, crm: CrmSetting) -> Finding:
    at_ms = await last_event_ms(ledger, source_of(crm.name))
    told = (await ledger.fleet.stats()).get(stat_key(EVENTS, {"crm": crm.name, "outcome": "recorded"}), 0)
    if at_ms is None and told:
        return ok("crm", f"{crm.name} has told of {told:.0f} events so far, and of none in the last days.")
    if at_ms is None:
        sample = _SAMPLE.get(crm.name, "sample.json")
        return warn(
            "crm",
            f"{crm.name} has told of no event yet.",
            f"Set it up at the CRM by docs/crm/, and try a body: linkferry crm test {crm.name} {sample}",
        )
    return ok("crm", f"{crm.name} last told of an event {ago(at_ms)}.")


async def _of_source(
    ledger: Ledger, source: str, states: Mapping[EventState, int], *, is_on: bool
) -> list[Finding]:
    name, findings = crm_of(source), []
    if failed := states.get(EventState.FAILED, 0):
        look = f"linkferry crm events --state failed --source {name}"
        findings.append(warn("crm", f"{failed} events of {name} need a person.", look))
    waiting = states.get(EventState.WAITING, 0)
    if waiting and not is_on:
        remedy = f"Set LINKFERRY_CRM_{name.upper()}_PATH again, or: linkferry crm discard --source {name}"
        findings.append(warn("crm", f"{waiting} events wait, but {name} is off.", remedy))
    if waiting and (reason := await _why_they_wait(ledger, source)):
        findings.append(
            bad(
                "crm",
                f"{name} can't be asked about its events ({reason}): they wait, and lose nothing.",
                "The worker's log says what to mend (`crm_refused_us`, `crm_event_upset`).",
            )
        )
    return findings


async def _why_they_wait(ledger: Ledger, source: str) -> str | None:
    page = await ledger.intake.find(source=source, state=EventState.WAITING, limit=_LOOKED_THROUGH)
    reasons = {event.reason for event in page.items}
    return next((reason for reason in _NEEDS_A_PERSON if reason in reasons), None)
