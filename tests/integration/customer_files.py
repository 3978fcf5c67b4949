"""Files of customers for commands to take, a ledger that knows some of them, and what result files say."""

from __future__ import annotations

import csv
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.by_hand import LINKED, accepted, ended
from tests.factories import a_request, an_invitation
from tests.integration.cli_in_process import NAMESPACE, Cli
from worker.domain.dedupe import contact_mark, fingerprint
from worker.domain.request import Contact
from worker.ledger import Ledger, open_redis
from worker.limits import Limits

HEADER = "whatsapp,business_name,display_name,email"


def write(*rows: str, name: str = "customers.csv", header: str = HEADER) -> str:
    Path(name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return name


def shop(nth: int, **changes: str) -> str:
    fields = {
        "whatsapp": f"05012{nth:05d}",
        "name": f"Shop {nth}",
        "email": f"shop{nth}@example.com",
    } | changes
    return f"{fields['whatsapp']},{fields['name']},{fields['name']},{fields['email']}"


def number(nth: int) -> str:
    return f"9725012{nth:05d}"


async def link_shop(ledger: Ledger, nth: int) -> str:
    """Have our ledger hold a job of that shop, its link made; return the job's id."""
    request = a_request(
        whatsapp=number(nth),
        business_name=f"Shop {nth}",
        display_name=f"Shop {nth}",
        contact=Contact(email=f"shop{nth}@example.com", locale="he"),
    )
    invitation = an_invitation(
        request=request, fingerprint=fingerprint(request), contact_mark=contact_mark(request)
    )
    return await ended(ledger, await accepted(ledger, invitation), LINKED)


async def on_limits(cli: Cli, body: Callable[[Limits], Awaitable[None]]) -> None:
    """Do something to the fleet's limit behind the commands' backs."""
    client = open_redis(cli.url)
    try:
        await body(Limits(client, namespace=NAMESPACE, ceiling=5))
    finally:
        await client.aclose()


def rows_of(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a result file."""
    return list(csv.DictReader(Path(path).read_text(encoding="utf-8-sig").splitlines()))


def findings(path: str) -> dict[int, dict[str, str]]:
    """Return the rows of a list, by the line they are about."""
    return {int(row["line"]): row for row in rows_of(path)}
