"""What colour says, the same everywhere: the tone of each state, beside its word and its sign."""

from __future__ import annotations

from collections.abc import Mapping

#: wait: nothing to do; run: at work; good: done; bad: a person is needed; warn: stopped or late;
#: doubt: nobody knows yet; mute: over, without a result; info: neither good nor bad.
TONES: Mapping[str, str] = {
    # jobs
    "available": "wait",
    "scheduled": "wait",
    "running": "run",
    "in_doubt": "doubt",
    "linked": "good",
    "onboarded": "good",
    "revoked": "mute",
    "failed": "bad",
    "dead": "mute",
    "cancelled": "mute",
    # messages
    "pending": "wait",
    "sending": "run",
    "sent": "good",
    "skipped": "mute",
    # bulk acts
    "previewing": "run",
    "previewed": "wait",
    "stopped": "warn",
    "done": "good",
    "expired": "mute",
    "refused": "bad",
    "waiting": "wait",
    # the partner
    "closed": "good",
    "half_open": "warn",
    "open": "bad",
    "ok": "good",
    "held": "bad",
    "missing": "bad",
    "paused": "warn",
    # incidents, users, keys
    "begun": "bad",
    "ended": "mute",
    "active": "good",
    "disabled": "mute",
}
TONE_NAMES = ("wait", "run", "good", "bad", "warn", "doubt", "mute", "info")
