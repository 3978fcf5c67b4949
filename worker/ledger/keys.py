"""The name of every key of the ledger. The Lua prelude builds the same names; a test fails where they differ."""

from __future__ import annotations

SCHEMA_VERSION = 3
OLDEST_KNOWN = 1  #: schema that is brought to this one when it is met
#: Separates the parts of a composite value; JSON never holds it unescaped.
UNIT_SEPARATOR = "\x1f"


class Keys:
    """The keys of one namespace; names that end in a colon are completed by an id.

    What each holds stands beside its name in lua/prelude.lua. The table is of endings; an object has the whole names.
    """

    meta = "m"
    invitation = "i:"
    job = "j:"
    extra = "x:"
    history = "h:"
    claim = "c:"
    event = "e:"
    queues = "qs:"
    queue = "q:"
    rung = "rung:"
    state = "z:"
    failed = "f:"
    requeued_failed = "fq"
    reasons = "reasons"
    unexplained = "unexplained"
    absent = "absent"
    partner_view = "pv"
    batch = "b:"
    batch_jobs = "bj:"
    batches = "batches"
    batch_spared = "bs:"
    tally = "n:"
    guard = "g:"
    suspects = "suspects:"
    pauses = "pauses"
    holds = "holds"
    delivery = "d:"
    deliveries = "o:"
    outgoing = "dq:"
    put_off = "dw:"
    delivery_state = "dz:"
    delivery_failed = "df:"
    delivery_reasons = "dreasons"
    late = "late"
    suppressed = "suppressed"
    search = "se:"
    workers = "workers"
    worker_facts = "facts"
    duty = "duty:"
    stats = "stats"
    minutes = "sm:"
    hours = "sh:"
    reason_hours = "sr:"
    api_keys = "keys"
    api_key_uses = "keys:used"
    users = "users"
    user = "u:"
    user_sessions = "us:"
    session = "ses:"
    throttle = "thr:"
    known = "kn:"
    trail = "trail"
    trail_entry = "tr:"
    trail_index = "ti:"
    taught = "taught"
    taught_classes = "taught:classes"
    brands = "brands"
    act = "ac:"
    act_ids = "aci:"
    act_marks = "acm:"
    acts = "acts"
    acts_running = "acts:running"
    act_previews = "acts:previews"
    intake = "v:"
    intake_body = "vb:"
    intake_mark = "vk:"
    intake_state = "vz:"
    intake_sources = "vs"
    intake_history = "vh:"
    outbox = "t:"
    outbox_due = "tq:"
    outbox_sending = "ts:"
    outbox_failed = "tf:"
    outbox_told = "tt:"
    sinks = "sinks"
    sink = "k:"
    incident = "ic:"
    incidents = "incidents"
    incidents_open = "incidents:open"
    incident_memory = "incidents:memory"
    alert_sinks = "alert_sinks"
    alerts_due = "ad:"

    def __init__(self, namespace: str) -> None:
        if not namespace or any(letter in "{}: \n" for letter in namespace):
            raise ValueError(f"a namespace is a plain word, not {namespace!r}")
        self.prefix = "{" + namespace + "}"  # a hash tag: on a cluster all of them lie in one slot
        vars(self).update({name: f"{self.prefix}:{ending}" for name, ending in _ENDINGS.items()})


_ENDINGS = {name: value for name, value in vars(Keys).items() if isinstance(value, str) and name[0] != "_"}
