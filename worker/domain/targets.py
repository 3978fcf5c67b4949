"""What a pause or a hold stands on: a lane by its own name, all of them, the calls, a batch or a channel by its mark."""

from __future__ import annotations

ALL = "all"  #: both lanes
CALLS = "calls"  #: every call to the partner: paused, credentials refused, the breaker open
BATCH = "batch:"
CHANNEL = "channel:"
