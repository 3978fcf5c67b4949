"""docs/events.md: its code verifies what we send, its schedule and bounds are the real ones."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.repo import ROOT
from worker.domain.outgoing import MOST_UNTOLD, SCHEDULE_S, OutgoingEvent, OutgoingType
from worker.domain.standard_webhooks import parse_secret, signed_headers

PAGE = (ROOT / "docs/events.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_pages_own_code_takes_what_we_send_and_nothing_else() -> None:
    """A reader copies it as it stands."""
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    namespace: dict[str, Any] = {}
    exec(found[1], namespace)
    is_ours, body = namespace["is_ours"], b'{"type":"link.created"}'
    headers = signed_headers([parse_secret(SECRET)], "evt_1", int(time.time()), body)
    old = signed_headers([parse_secret(SECRET)], "evt_1", int(time.time()) - 600, body)

    assert is_ours(headers, body, SECRET)
    assert not is_ours(headers, body + b" ", SECRET)
    assert not is_ours(headers | {"webhook-id": "evt_2"}, body, SECRET)
    assert not is_ours(headers, body, "whsec_" + "b3RoZXI5" * 4)
    assert not is_ours(old, body, SECRET)


def test_every_type_and_the_schedule_are_told() -> None:
    """A type that is added, or a wait that is changed, changes the page."""
    assert all(f"`{kind}`" in PAGE for kind in OutgoingType)
    waits = [f"{s:g} s" if s < 60 else f"{s / 60:g} min" if s < 3600 else f"{s / 3600:g}" for s in SCHEDULE_S]
    assert f"{', '.join([*waits[:3], '2 h', '5 h', '10 h', '14 h', '20 h'])} and 24 h" in PAGE
    assert [float(word) for word in waits[3:]] == [2, 5, 10, 14, 20, 24]
    assert f"{MOST_UNTOLD:,} events" in PAGE


def test_the_scripts_know_the_same_types_and_bounds() -> None:
    """What the ledger leaves is what the domain can read."""
    lua = ROOT / "worker/ledger/lua"
    prelude, sending = (lua / "prelude.lua").read_text(), (lua / "sending.lua").read_text()
    announced = re.search(r"local ANNOUNCED = \{(.*?)\}", prelude)
    assert announced
    words = {*re.findall(r"'([\w.]+)'", announced[1]), *re.findall(r"announce\(job_id, '([\w.]+)'", sending)}
    assert words == {kind.value for kind in OutgoingType} - {"events.test", "unknown"}
    assert f"MOST_UNTOLD = {MOST_UNTOLD}" in prelude


def test_an_event_shows_nobodys_link_in_a_repr() -> None:
    """A stray log line or traceback holds no link."""
    event = OutgoingEvent(
        id="evt_1", type=OutgoingType.LINK_CREATED, occurred_at_ms=0, data={"link": "https://secret"}
    )
    assert "secret" not in repr(event)
