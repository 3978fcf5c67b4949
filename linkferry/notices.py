"""What an operator has to hear before he waits in vain: no worker here, no credentials, or the wrong ledger."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from linkferry import up_lock
from linkferry.frame import complain, flags
from linkferry.hints import short_path
from linkferry.output import instant
from worker.settings_kinds import without_password

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.settings import Settings

_CREDENTIALS = "LINKFERRY_PROVIDER_CLIENT_ID and LINKFERRY_PROVIDER_CLIENT_SECRET"


async def tell_what_is_missing(session: Session) -> None:
    """Say on standard error that the jobs of this ledger get nowhere; raises LedgerUnavailable."""
    notice = await what_is_missing(session)
    if notice and flags().is_json:
        sys.stderr.write(json.dumps({"notice": notice}, ensure_ascii=False) + "\n")
    elif notice:
        complain(notice)


async def what_is_missing(session: Session) -> str:
    """Return in one line why the jobs of this ledger get nowhere, or nothing; raises LedgerUnavailable."""
    settings = session.settings
    said = []
    has_workers = bool(await session.ledger.fleet.workers())
    if not has_workers:
        said.append(f"No worker runs on this ledger ({_where(session)})")
    if not settings.has_credentials:
        said.append(
            "the partner's credentials are missing" if said else "The partner's credentials are missing"
        )
    if not said:
        return ""
    if not has_workers and (sandbox := sandbox_beside(settings)):
        return f"{' and '.join(said)}. {sandbox}"
    remedies = [] if has_workers else ["start some with linkferry up"]
    remedies += [] if settings.has_credentials else [f"set {_CREDENTIALS}"]
    return f"{' and '.join(said)}: {' and '.join(remedies)}."


async def erased_notice(session: Session, job_id: str) -> str | None:
    """Return by whom, when and why a job was erased, or None where it was not; raises LedgerUnavailable."""
    wanted = job_id.strip()
    entry = await session.trail.erased(wanted)
    if entry is None:
        return None
    why = f": {entry['why']}" if entry["why"] else ""
    return f"Job {wanted} was erased by {entry['by']}, {instant(entry['at'])}{why}. Nothing of its customer is left."


def sandbox_beside(settings: Settings) -> str:
    """Return a line that asks whether the sandbox was meant, where one runs beside this real ledger."""
    if settings.is_sandbox or up_lock.holder(settings.data_dir / "sandbox") is None:
        return ""
    return "A sandbox runs here; did you mean linkferry --sandbox …?"


def tell_if_sandbox_beside(session: Session) -> None:
    """Say on standard error that something is about to change in the real ledger while a sandbox runs here."""
    if sandbox_beside(session.settings):
        complain(f"This is the real ledger ({_where(session)}). {sandbox_beside(session.settings)}")


def _where(session: Session) -> str:
    if session.is_embedded:
        path = short_path(session.settings.data_dir)
        return f"folder {path if path.startswith('/') else f'./{path}'}"
    return without_password(session.settings.redis_url_required)
