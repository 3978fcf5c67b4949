"""The reasons a message can fail for, each with its class: the one place where dispatch writes them down."""

from __future__ import annotations

from collections.abc import Mapping

from worker.domain.outcome import Fail
from worker.domain.phone import mask_text

#: Reason → class. The catalogue (`worker/domain/reasons.toml`) says what each means and what to do about it; a
#: test fails where the two drift apart.
REASON_CLASSES: Mapping[str, str] = {
    "mailbox_unknown": "bad_data",
    "mailbox_full": "transient",
    "mail_temporary": "transient",
    "mail_greylisted": "transient",
    "mail_connection_lost": "transient",
    "mail_unreachable": "transient",
    "mail_auth_refused": "credentials",
    "mail_refused_policy": "credentials",
    "mail_refused": "bad_data",
    "mail_in_doubt": "unknown",
    "lease_lost": "transient",
    "sms_auth_refused": "credentials",
    "sms_sender_not_verified": "credentials",
    "sms_text_too_long": "bad_data",
    "sms_number_refused": "bad_data",
    "sms_refused": "unknown",
    "sms_in_doubt": "unknown",
    "sms_unreachable": "transient",
    "sms_temporary": "transient",
}
_OWN_DATA = frozenset({"mailbox_unknown", "mailbox_full", "mail_refused", "sms_number_refused", "sms_text_too_long"})
_RAW_LIMIT = 500


def fail(reason: str, *, code: int | None = None, raw: str = "", detail: str = "") -> Fail:
    """Return the Fail for *reason*, its raw answer masked and cut. Raises KeyError for a reason not listed."""
    return Fail(
        reason=reason,
        reason_class=REASON_CLASSES[reason],
        code=code,
        raw=mask_text(raw)[:_RAW_LIMIT],
        detail=detail,
        is_own_data=reason in _OWN_DATA,
    )
