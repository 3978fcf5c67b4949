"""How the sandbox partner behaves: its settings, and the faults that can be turned on while it runs."""

from __future__ import annotations

import random
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

# The provider's tables of create codes are lost; those below 21 that are documented elsewhere keep their number,
# the rest are plausible inventions. All can be set otherwise.
DEFAULT_CODES: Mapping[str, int] = {
    "wrong_credentials": 2,
    "token": 3,
    "number": 4,
    "business_name": 5,
    "display_name": 6,
    "business_email": 7,
    "business_id": 8,
    "business_address": 9,
    "onboarding_logo": 10,
    "onboarding_message": 11,
    "basic_templates": 12,
    "method": 13,
    "type": 14,
    "server": 15,
    "account_id": 16,
    "inbox_id": 17,
    "reference": 20,
    "not_registered": 21,
    "link_exists": 22,
    "verification": 23,
    "blocked": 24,
    "finished": 25,
    "not_found": 26,
    "business_logo": 27,
    "business_message": 28,
    "business_button": 29,
    "business_success": 30,
    "business_failed": 31,
}

#: Calls that the random faults below touch unless told otherwise.
FAULTY_CALLS = (
    "create_whatsapp",
    "create_facebook",
    "delete_account",
    "get_accounts",
    "get_registered",
)

# Number endings with which a demo can show every case and know beforehand which.
UNREGISTERED_SUFFIX = "404"
FOREIGN_SUFFIX = "409"
FINISHED_SUFFIX = "425"


class FaultError(ValueError):
    """A fault that does not exist, or a value it cannot take. The text says which."""


@dataclass(kw_only=True)
class Faults:
    """What goes wrong, and how often. Shares are between 0 and 1; one call suffers at most one of them."""

    calls: list[str] = field(default_factory=lambda: list(FAULTY_CALLS))  #: which calls the shares touch
    drop_before: float = 0.0  #: the connection is reset before anything is done
    drop_after: float = 0.0  #: it is done, and the connection is reset in place of an answer
    hang: float = 0.0  #: silence; half of these have been done
    garbage: float = 0.0  #: from here on to `wrong_types`: done, and answered by this
    empty: float = 0.0
    html: float = 0.0
    huge: float = 0.0
    trickle: float = 0.0  #: a byte now and then
    error_before: float = 0.0  #: HTTP 500, nothing done
    error_after: float = 0.0  #: HTTP 500, and yet done
    lower_case: float = 0.0  #: `ok` and `fail`
    wrong_types: float = 0.0
    hang_s: float = 120.0  #: how long silence and trickle last at most
    latency_s: list[float] = field(default_factory=lambda: [0.0, 0.0])  #: from, to
    fail_code: int | None = None  #: creates that are refused with this code …
    fail_share: float = 1.0  #: … and how many of them
    fail_numbers: dict[str, int] = field(default_factory=dict)  #: number → code
    finish_lag_s: float = 0.0  #: so long a finished link shows as waiting in the list
    list_lag_s: float = 0.0  #: a link appears in the list this long after it was made
    list_error: float = 0.0  #: HTTP 500 in place of a list
    list_broken: float = 0.0  #: one row of the list is no row
    token_life_s: float | None = None  #: in place of the settings'
    refuse_credentials: bool = False
    rate: float | None = None  #: calls a second, in place of the settings'; 0: no limit
    throttle: int = 0  #: so many next calls are refused with 429
    retry_after: str | None = None  #: what a 429 says in place of the true wait
    mail_greylist: bool = False  #: each recipient is put off once with a 451
    mail_refuse: int | None = None  #: every recipient gets this reply code
    mail_auth: bool = False  #: mail needs the settings' user and password
    mail_delay_s: float = 0.0  #: before the reply to a whole message
    mail_drop_before: float = 0.0  #: the connection is reset in the midst of a message
    mail_drop_after: float = 0.0  #: the message is taken, and the connection reset in place of a reply
    sms_drop_before: float = 0.0
    sms_drop_after: float = 0.0
    sms_fail_code: int | None = None  #: 99digital's reason, or Twilio's error code

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change what *changes* names; raises FaultError, and changes nothing, when any of it is wrong."""
        hints = typing.get_type_hints(Faults)
        for name, value in changes.items():
            if name not in hints:
                raise FaultError(f"no such fault: {name}")
            if not _fits(value, hints[name]):
                raise FaultError(f"{name} cannot be {value!r}")
        for name, value in changes.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Turn all faults off."""
        self.update(Faults().as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return every fault and its value."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def switched_on(self) -> dict[str, Any]:
        """Return what goes wrong just now: the faults that differ from none, and their values."""
        none = Faults().as_dict()
        return {name: value for name, value in self.as_dict().items() if value != none[name]}

    def draw(self, call: str, chance: random.Random) -> str | None:
        """Return the one fault that this *call* suffers, or None."""
        if call not in self.calls:
            return None
        point, reached = chance.random(), 0.0
        for name in _SHARES:
            reached += getattr(self, name)
            if point < reached:
                return name
        return None


_SHARES = (
    "drop_before",
    "drop_after",
    "hang",
    "garbage",
    "empty",
    "html",
    "huge",
    "trickle",
    "error_before",
    "error_after",
    "lower_case",
    "wrong_types",
)


def _fits(value: object, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    origin = typing.get_origin(hint) or hint
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    inner = typing.get_args(hint)
    if origin is list and isinstance(value, list):
        return all(_fits(item, inner[0]) for item in value)
    if origin is dict and isinstance(value, dict):
        return all(_fits(key, inner[0]) and _fits(item, inner[1]) for key, item in value.items())
    return isinstance(value, origin)


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """What the sandbox is told at its start."""

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - opens nothing but the sandbox
    rate: float | None = None  #: calls a second the API takes, with one call of jitter; None: no limit
    token_life_s: float = 3_600.0
    wrong_tries: int = 5  #: wrong credentials from one address before it is locked out
    lock_out_s: float = 600.0
    seed: int = 0  #: of the faults' chance
    create_path: str = "/whatsapp/createAccount"
    unregistered: frozenset[str] = frozenset()  #: numbers that are not registered
    unregistered_suffixes: tuple[str, ...] = ()  #: endings of such numbers
    foreign_suffixes: tuple[str, ...] = ()  #: endings of numbers that have somebody else's link already
    finished_suffixes: tuple[str, ...] = ()  #: endings of numbers whose customer has finished long ago
    registered_most: int = 500  #: documented: so many registered numbers wait at most
    is_one_link_per_number: bool = True  #: False: a second link is made, so that a test can see it happen
    verification_code: str = "123456"
    codes: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_CODES))
    sms_api_key: str | None = None  #: None: any key is right
    twilio_token: str | None = None  #: None: any is right
    smtp_user: str = "sandbox"
    smtp_password: str = "sandbox"  # noqa: S105 - opens nothing but the sandbox
    webhook_url: str | None = None  #: where completions are announced until a caller says otherwise
    state_file: Path | None = None  #: journal of links; read again at the next start
    outbox_folder: Path | None = None  #: a file per message
    outbox_most: int = 20_000
    faults: Faults = field(default_factory=Faults)  #: at the start

    def code(self, name: str) -> int:
        """Return the FAIL code for the rule *name*."""
        return self.codes.get(name, DEFAULT_CODES[name])
