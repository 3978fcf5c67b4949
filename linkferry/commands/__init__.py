"""The commands, by the module that holds them: each has a `register(app)`. In the order in which `--help` lists them."""

from __future__ import annotations

from collections.abc import Mapping

#: Module → the words that it answers to after `linkferry`.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("demo", "up", "web", "worker", "sandbox"),
    "status": ("status",),
    "enqueue": ("enqueue",),
    "backfill": ("backfill",),
    "jobs": ("job",),
    "customer": ("customer",),
    "suppress": ("suppress",),
    "forget": ("forget",),
    "watch": ("watch",),
    "failed": ("failed",),
    "act": ("act",),
    "batches": ("batch",),
    "brand": ("brand",),
    "crm": ("crm",),
    "provider": ("provider",),
    "events": ("events",),
    "alerts": ("alerts",),
    "lanes": ("pause", "resume"),
    "holds": ("holds",),
    "keys": ("key",),
    "users": ("user",),
    "resend": ("resend",),
    "reasons": ("reasons",),
    "audit": ("audit",),
    "check": ("doctor", "config"),
    "preview": ("preview", "test-send", "templates"),
}


def modules_for(word: str | None) -> list[str]:
    """Return the modules to load for a command line that begins with *word*: its own, or all of them."""
    own = [module for module, words in COMMANDS.items() if word in words]
    return own or list(COMMANDS)
