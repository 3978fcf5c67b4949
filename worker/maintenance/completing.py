"""What follows a link to its end, put together from the shop: who has finished, which links are gone."""

from __future__ import annotations

from worker.execution.completion import Completer, ReportWorker
from worker.execution.forwarding import Forwarder
from worker.execution.shop import Shop
from worker.maintenance.minder import Duty
from worker.maintenance.poll import Poll
from worker.settings import Settings


def duties_of_completion(shop: Shop, settings: Settings) -> list[Duty]:
    """Return what a worker minds of links that were made: reports of the webhook, the poll, the passing on."""
    completer = Completer(ledger=shop.ledger, stats=shop.stats)
    poll = Poll(
        ledger=shop.ledger,
        limits=shop.limits,
        partner=shop.partner,
        bell=shop.bell,
        stats=shop.stats,
        completer=completer,
        poll_s=settings.poll_s,
        grace_s=settings.doubt_grace_s,
        expiry_s=settings.number_expiry_s,
    )
    # The poll looks often whether it is time: whoever takes it over from a dead worker is not late by a whole turn.
    reports = ReportWorker(shop, completer)
    duties = [
        Duty(name="reports", run_once=reports.run_once, every_s=0.5, is_single=True),
        Duty(name="poll", run_once=poll.run_once, every_s=min(5.0, settings.poll_s), is_single=True),
    ]
    if settings.forward_url is not None:
        forwarder = Forwarder(shop, settings.forward_url)
        duties.append(Duty(name="forward", run_once=forwarder.run_once, every_s=1.0))
    return duties
