"""What `linkferry doctor` says of open incidents."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from linkferry.doctor_alerts import look_at_incidents


@pytest.mark.parametrize(("count", "said"), [(1, "1 incident is open."), (2, "2 incidents are open.")])
def test_open_incidents_are_counted_in_a_sentence(count: int, said: str) -> None:
    """One is told of in the singular."""
    incidents: Any = [SimpleNamespace(tellings=[]) for _ in range(count)]

    assert [finding.text for finding in look_at_incidents(incidents)] == [said]
