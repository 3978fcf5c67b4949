"""Failed jobs as rows leave them, and what the trail says of an act, for tests of the command line."""

from __future__ import annotations

from typing import Any

from tests.by_hand import accepted, ended
from tests.factories import an_invitation
from tests.integration.cli_in_process import Cli
from worker.domain.dedupe import claim_key, fingerprint
from worker.domain.outcome import Fail, Refused
from worker.domain.parse import ParsedRequest, parse_request
from worker.ledger import Ledger

NUMBER = "972501234567"
ROW = {
    "whatsapp": NUMBER,
    "business_name": "Dana Flowers",
    "display_name": "Dana Flowers",
    "email": "d@example.com",
}


def a_failed(cli: Cli, *, reason: str = "number_invalid", code: int | None = None, **fields: str) -> str:
    """Return a failed job that came in as a row would."""
    parsed = parse_request(ROW | fields)
    assert isinstance(parsed, ParsedRequest)
    request = parsed.request

    async def fail(ledger: Ledger) -> str:
        invitation = an_invitation(
            request=request, fingerprint=fingerprint(request), claim_key=claim_key(request, None, None)
        )
        why = Fail(reason=reason, reason_class="bad_data", code=code, is_own_data=True, raw="{}")
        return await ended(ledger, await accepted(ledger, invitation), Refused(fail=why))

    return str(cli.on_ledger(fail))


def the_act(cli: Cli, act: str, *words: str) -> dict[str, Any]:
    [entry] = cli.json("audit", "--act", act, *words)["items"]
    return dict(entry)
