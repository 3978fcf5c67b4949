"""`linkferry provider webhook …`: where the partner reports completions to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import DONE, FAILED, USAGE, CommandError, command
from linkferry.output import ago, emit, print_fields, say

if TYPE_CHECKING:
    from linkferry.partner_webhook import Leads
    from linkferry.session import Session
    from worker.settings import Settings

Url = Annotated[
    str | None, typer.Argument(metavar="[URL]", help="Unset: PUBLIC_URL with /provider/webhook/<secret>.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Set it although it leads to another address now; that is told.")
]
Forward = Annotated[
    bool,
    typer.Option(
        "--forward", help="With --replace: only if FORWARD_URL passes reports on to the address replaced."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="provider", help="What is set at the partner: its webhook.")
    webhook = typer.Typer(no_args_is_help=True)
    group.add_typer(webhook, name="webhook", help="Where the partner reports completions to: look, set.")

    @command(webhook, "get")
    async def get(session: Session) -> int:
        """Show where the partner's webhook leads, whether that is here, and what came by it.

        Example: `linkferry provider webhook get`
        """
        document = await _state(session)
        emit(document, lambda: print_state(document))
        return DONE if document["is_known"] else FAILED

    @command(webhook, "set")
    async def set_(
        session: Session,
        url: Url = None,
        *,
        is_replacing: Replace = False,
        is_forwarding: Forward = False,
        why: filters.Why = "",
    ) -> int:
        """Let the partner's webhook lead here. Another system's address is never replaced without --replace.

        Example: `linkferry provider webhook set`, or with another listener: first LINKFERRY_FORWARD_URL=<its address>,
        then `linkferry provider webhook set --replace --forward`
        """
        wanted = _wanted(session.settings, url)
        before = await _known(session, is_replacing=is_replacing and not is_forwarding)
        was = None if before is None else before.url
        if was == wanted:
            document = _told(session.settings, wanted, was, is_changed=False)
        else:
            _check(session.settings, was, is_replacing=is_replacing, is_forwarding=is_forwarding)
            await _set(session, wanted, was, why)
            document = _told(session.settings, wanted, was, is_changed=True)
        emit(document, lambda: _print_set(document))
        return DONE


def _wanted(settings: Settings, url: str | None) -> str:
    """Return the address to set. Raises CommandError, exit code 2."""
    from linkferry.listening import webhook_address
    from linkferry.partner_webhook import LONGEST_URL

    if url is None:
        url = webhook_address(settings)
    if url is None:
        missing = "PROVIDER_WEBHOOK_SECRET" if settings.provider_webhook_secret is None else "PUBLIC_URL"
        message = (
            f"Set LINKFERRY_{missing} first, or name the whole address: linkferry provider webhook set URL"
        )
        raise CommandError(message, exit_code=USAGE)
    url = url.strip()
    if not url.startswith(("https://", "http://")) or len(url) > LONGEST_URL:
        message = f"URL: must begin with https:// and have no more than {LONGEST_URL} characters."
        raise CommandError(message, exit_code=USAGE)
    return url


async def _known(session: Session, *, is_replacing: bool) -> Leads | None:
    """Return where it leads now; None where the partner does not say and that is to be replaced unseen."""
    from linkferry.partner_webhook import WebhookUnknownError, read_webhook

    try:
        return await read_webhook(session.settings, session.limits)
    except WebhookUnknownError as exc:
        if is_replacing:
            return None
        message = (
            f"The partner does not say where its webhook leads now ({exc}), so nothing was changed. "
            "Look again later, or replace it unseen: linkferry provider webhook set --replace"
        )
        raise CommandError(message) from None


def _check(settings: Settings, was: str | None, *, is_replacing: bool, is_forwarding: bool) -> None:
    """See that nobody's address is replaced by mistake. Raises CommandError."""
    from linkferry.partner_webhook import bears_our_secret, is_of_ours

    if was is None:
        return
    if is_of_ours(was, settings) or bears_our_secret(was, settings):
        if not is_replacing or is_forwarding:
            raise CommandError(_already_ours(was, settings))
        return
    if not is_replacing:
        message = (
            f"The partner's webhook leads to another address: {was}  Nothing was changed. Whoever listens there hears "
            "no more once it is replaced: set LINKFERRY_FORWARD_URL to that address, restart, and then: "
            "linkferry provider webhook set --replace --forward"
        )
        raise CommandError(message)
    if is_forwarding and settings.forward_url != was:
        message = (
            f"LINKFERRY_FORWARD_URL is not {was}  Nothing was changed. Set it so, restart `web` and the workers, and "
            "ask again; or leave --forward away, and nobody hears of anything there any more."
        )
        raise CommandError(message)


def _already_ours(was: str, settings: Settings) -> str:
    from linkferry.listening import webhook_address
    from linkferry.partner_webhook import bears_our_secret, masked

    if was == webhook_address(settings):
        return (
            "The partner's webhook leads here. Nothing was changed. Linkferry hears of no completion by it once it leads "
            "to another address; if that is wanted, add --replace (without --forward)."
        )
    if bears_our_secret(was, settings):
        return (
            f"The partner's webhook leads here by another address: {masked(was, settings)}  Nothing was changed. "
            "To set the one that was named: add --replace (without --forward)."
        )
    return (
        "The partner's webhook leads to an address that this installation had under another "
        "PROVIDER_WEBHOOK_SECRET. Nothing was changed, and nobody listens there: "
        "linkferry provider webhook set --replace"
    )


async def _set(session: Session, wanted: str, was: str | None, why: str) -> None:
    from linkferry.partner_webhook import for_the_trail, masked, set_webhook, why_not
    from worker.domain.outcome import Answered, Unanswered

    settings = session.settings
    ending = await set_webhook(settings, session.limits, wanted)
    is_unknown = isinstance(ending, Unanswered)
    if not is_unknown and not (isinstance(ending, Answered) and ending.is_ok):
        hint = "It must be an address that the partner can reach." if isinstance(ending, Answered) else ""
        message = f"The partner did not take the address ({why_not(ending)}). {hint}".strip()
        raise CommandError(message)
    detail = {"to": for_the_trail(wanted, settings), "was": for_the_trail(was, settings)}
    if is_unknown:
        detail["reason"] = why_not(ending)
    await session.ledger.trail.record("webhook_set", by=filters.operator(), why=why, detail=detail)
    if is_unknown:
        before = "" if was is None else f"It led to {masked(was, settings)}  before. "
        message = (
            f"The partner's answer was lost ({why_not(ending)}): it may have taken the address or not. {before}"
            "Look: linkferry provider webhook get"
        )
        raise CommandError(message)


def _told(settings: Settings, wanted: str, was: str | None, *, is_changed: bool) -> dict[str, Any]:
    from linkferry.partner_webhook import bears_our_secret, is_of_ours, masked

    is_ours = was is not None and (is_of_ours(was, settings) or bears_our_secret(was, settings))
    is_replaced = is_changed and was is not None and not is_ours
    return {
        "url": masked(wanted, settings),
        "is_changed": is_changed,
        "replaced": was if is_replaced else None,
        "is_forwarded": is_replaced and settings.forward_url == was,
    }


def _print_set(document: dict[str, Any]) -> None:
    if not document["is_changed"]:
        say(f"The partner's webhook leads to {document['url']} already.")
        return
    say(f"The partner's webhook leads to {document['url']} now.")
    if document["replaced"] is None:
        return
    say(f"It led to {document['replaced']} before.")
    if document["is_forwarded"]:
        say("What arrives is passed on to there (LINKFERRY_FORWARD_URL).")
    else:
        say(
            "If somebody still listens there, set LINKFERRY_FORWARD_URL to that address and restart: what arrives is "
            "passed on as it came."
        )


async def _state(session: Session) -> dict[str, Any]:
    """Return where the webhook leads, and what came by it; raises LedgerUnavailable."""
    from linkferry.listening import webhook_address
    from linkferry.partner_webhook import WebhookUnknownError, is_of_ours, masked, read_webhook
    from worker.domain.report import FORWARD_SOURCE, WEBHOOK_SOURCE
    from worker.ops.views import iso

    settings, ours = session.settings, webhook_address(session.settings)
    leads, why = None, None
    try:
        leads = await read_webhook(settings, session.limits)
    except WebhookUnknownError as exc:
        why = str(exc)
    view = await session.ledger.completing.view()
    counts = await session.ledger.intake.counts()
    is_ours = leads is not None and ours is not None and leads.url == ours
    is_outdated = (
        not is_ours and leads is not None and leads.url is not None and is_of_ours(leads.url, settings)
    )
    return {
        "is_known": leads is not None,
        "why_not": why,
        "url": masked(leads.url, settings) if leads else None,
        "is_ours": is_ours,
        "is_outdated": is_outdated,
        "expected": masked(ours, settings),
        "has_secret": settings.provider_webhook_secret is not None,
        "forwarded_to": settings.forward_url,
        "reports": {state.value: count for state, count in counts.get(WEBHOOK_SOURCE, {}).items()},
        "forwards": {state.value: count for state, count in counts.get(FORWARD_SOURCE, {}).items()},
        "last_report_at": iso(view.hinted_at_ms),
        "last_refused_at": iso(view.refused_at_ms),
        "last_refused_from": view.refused_from,
        "last_list_at": iso(view.listed_at_ms),
        "links_missing": view.missing,
        "is_list_doubted": view.suspicious_since_ms is not None,
    }


def print_state(document: dict[str, Any]) -> None:
    """Print where the webhook leads for people."""
    if document["is_outdated"]:
        say(
            "The partner's webhook leads here by another PROVIDER_WEBHOOK_SECRET: nothing that comes is taken."
        )
    elif document["is_known"]:
        leads = document["url"] or "nowhere"
        say(f"The partner's webhook leads {'here' if document['is_ours'] else f'to {leads}'}.")
    else:
        say(f"The partner does not say where its webhook leads ({document['why_not']}).")
    print_fields(
        {
            "should be": None if document["is_ours"] or document["is_outdated"] else document["expected"],
            "passed on to": document["forwarded_to"],
            "reports": _counted(document["reports"]),
            "passed on": _counted(document["forwards"]),
            "last report": _when(document["last_report_at"]),
            "last refused": _refused(document),
            "last list": _when(document["last_list_at"]),
            "doubted": f"{document['links_missing']} of our links are missing from the partner's list at once"
            if document["is_list_doubted"]
            else None,
        }
    )
    if not document["has_secret"]:
        say("Set LINKFERRY_PROVIDER_WEBHOOK_SECRET, then: linkferry provider webhook set")
    elif document["is_outdated"]:
        say("To let it lead here by the present one: linkferry provider webhook set --replace")
    elif document["is_known"] and not document["is_ours"]:
        say("To let it lead here: linkferry provider webhook set")


def _counted(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items() if count)


def _when(instant: str | None) -> str | None:
    from datetime import datetime

    if instant is None:
        return None
    return ago(round(datetime.fromisoformat(instant).timestamp() * 1000))


def _refused(document: dict[str, Any]) -> str | None:
    if document["last_refused_at"] is None:
        return None
    return f"{_when(document['last_refused_at'])}, from {document['last_refused_from']}: not in PROVIDER_WEBHOOK_FROM"
