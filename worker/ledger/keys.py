"""The name of every key of the ledger. The Lua prelude builds the same names; a test fails where they differ."""

from __future__ import annotations

SCHEMA_VERSION = 1
#: Separates the parts of a composite value; JSON never holds it unescaped.
UNIT_SEPARATOR = "\x1f"


class Keys:
    """The keys of one namespace; names that end in a colon are completed by an id.

    The namespace is a hash tag, so that on a cluster all of them lie in one slot.
    """

    def __init__(self, namespace: str) -> None:
        if not namespace or any(letter in "{}: \n" for letter in namespace):
            raise ValueError(f"a namespace is a plain word, not {namespace!r}")
        self.prefix = prefix = "{" + namespace + "}"
        self.meta = f"{prefix}:m"
        self.invitation = f"{prefix}:i:"
        self.job = f"{prefix}:j:"
        self.extra = f"{prefix}:x:"
        self.history = f"{prefix}:h:"
        self.claim = f"{prefix}:c:"
        self.event = f"{prefix}:e:"
        self.queues = f"{prefix}:qs:"
        self.queue = f"{prefix}:q:"
        self.rung = f"{prefix}:rung:"
        self.state = f"{prefix}:z:"
        self.failed = f"{prefix}:f:"
        self.reasons = f"{prefix}:reasons"
        self.unexplained = f"{prefix}:unexplained"
        self.batch = f"{prefix}:b:"
        self.batch_jobs = f"{prefix}:bj:"
        self.batches = f"{prefix}:batches"
        self.batch_spared = f"{prefix}:bs:"
        self.tally = f"{prefix}:n:"
        self.guard = f"{prefix}:g:"
        self.suspects = f"{prefix}:suspects:"
        self.pauses = f"{prefix}:pauses"
        self.holds = f"{prefix}:holds"
        self.delivery = f"{prefix}:d:"
        self.deliveries = f"{prefix}:o:"
        self.outgoing = f"{prefix}:dq:"
        self.delivery_state = f"{prefix}:dz:"
        self.late = f"{prefix}:late"
        self.workers = f"{prefix}:workers"
        self.worker_facts = f"{prefix}:facts"
        self.duty = f"{prefix}:duty:"
        self.stats = f"{prefix}:stats"
        self.api_keys = f"{prefix}:keys"
        self.intake = f"{prefix}:v:"
        self.intake_body = f"{prefix}:vb:"
        self.intake_mark = f"{prefix}:vk:"
        self.intake_state = f"{prefix}:vz:"
        self.intake_sources = f"{prefix}:vs"
        self.intake_history = f"{prefix}:vh:"
        self.outbox = f"{prefix}:t:"
        self.outbox_due = f"{prefix}:tq:"
        self.outbox_sending = f"{prefix}:ts:"
        self.outbox_failed = f"{prefix}:tf:"
        self.outbox_told = f"{prefix}:tt:"
        self.sinks = f"{prefix}:sinks"
        self.sink = f"{prefix}:k:"
