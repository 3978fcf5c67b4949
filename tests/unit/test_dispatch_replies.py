"""What a mail server's reply means: one table."""

from __future__ import annotations

import pytest

from worker.dispatch.replies import MAX_FAILURES, Stage, enhanced_code, outcome_of_reply
from worker.domain.outcome import ChannelDown, DeliveryRetry, Sent, Undelivered
from worker.domain.reasons import Catalogue

_REPLIES = [
    # stage, code, text, kind, reason
    (Stage.RCPT, 421, "4.3.2 closing", DeliveryRetry, "mail_temporary"),
    (Stage.RCPT, 421, "4.7.1 come again", DeliveryRetry, "mail_temporary"),
    (Stage.RCPT, 450, "4.7.1 greylisted", DeliveryRetry, "mail_greylisted"),
    (Stage.RCPT, 451, "4.7.1 please try later", DeliveryRetry, "mail_greylisted"),
    (Stage.RCPT, 451, "Greylisting in action", DeliveryRetry, "mail_greylisted"),
    (Stage.RCPT, 451, "4.3.0 local error", DeliveryRetry, "mail_temporary"),
    (Stage.RCPT, 452, "4.2.2 over quota", DeliveryRetry, "mailbox_full"),
    (Stage.RCPT, 452, "4.5.3 too many recipients", DeliveryRetry, "mail_throttled"),
    (Stage.END, 454, "Throttling failure: Maximum sending rate exceeded", DeliveryRetry, "mail_throttled"),
    (Stage.END, 451, "4.3.0 mail server temporarily rejected", DeliveryRetry, "mail_temporary"),
    (Stage.CONNECT, 421, "too many connections", ChannelDown, "mail_throttled"),
    (Stage.CONNECT, 421, "4.3.2 shutting down", ChannelDown, "mail_temporary"),
    (Stage.AUTH, 454, "4.7.0 temporary authentication failure", ChannelDown, "mail_temporary"),
    (Stage.AUTH, 535, "5.7.8 bad credentials", ChannelDown, "mail_auth_refused"),
    (Stage.AUTH, 534, "5.7.9 mechanism too weak", ChannelDown, "mail_auth_refused"),
    (Stage.AUTH, 504, "mechanism not known", ChannelDown, "mail_auth_refused"),
    (Stage.MAIL, 530, "5.7.0 authentication required", ChannelDown, "mail_auth_refused"),
    (Stage.RCPT, 550, "5.7.8 who are you", ChannelDown, "mail_auth_refused"),
    (Stage.MAIL, 550, "5.7.60 not permitted to send as this sender", ChannelDown, "mail_sender_refused"),
    (Stage.RCPT, 553, "5.1.8 sender's domain does not exist", ChannelDown, "mail_sender_refused"),
    (Stage.CONNECT, 554, "no SMTP service here", ChannelDown, "mail_refused_policy"),
    (Stage.RCPT, 554, "5.7.1 relay access denied", ChannelDown, "mail_refused_policy"),
    (Stage.RCPT, 550, "5.7.1 relaying denied", ChannelDown, "mail_refused_policy"),
    (Stage.END, 554, "5.7.1 message looks like spam", ChannelDown, "mail_refused_policy"),
    (Stage.END, 552, "5.7.0 content refused", ChannelDown, "mail_refused_policy"),
    (Stage.END, 550, "5.7.26 unauthenticated mail of this domain", ChannelDown, "mail_refused_policy"),
    (Stage.END, 554, "transaction failed", ChannelDown, "mail_refused_policy"),
    (Stage.RCPT, 503, "5.5.1 bad sequence", ChannelDown, "mail_refused_policy"),
    (Stage.RCPT, 550, "5.1.1 no such user", Undelivered, "mailbox_unknown"),
    (Stage.END, 550, "5.1.1 no such user", Undelivered, "mailbox_unknown"),
    (Stage.RCPT, 550, "no such user here", Undelivered, "mailbox_unknown"),
    (Stage.RCPT, 550, "5.1.10 null MX", Undelivered, "mailbox_unknown"),
    (Stage.RCPT, 550, "5.4.1 access denied", Undelivered, "mailbox_unknown"),
    (Stage.RCPT, 501, "5.1.3 bad address syntax", Undelivered, "mailbox_unknown"),
    (Stage.RCPT, 550, "5.2.1 mailbox disabled", Undelivered, "mailbox_unknown"),
    (Stage.RCPT, 552, "5.2.2 mailbox full", Undelivered, "mailbox_full"),
    (Stage.RCPT, 552, "exceeded storage allocation", Undelivered, "mailbox_full"),
    (Stage.RCPT, 550, "5.7.1 this recipient takes no mail from outside", Undelivered, "mail_refused"),
    (Stage.END, 552, "5.3.4 message too big", Undelivered, "mail_refused"),
    (Stage.END, 550, "refused", Undelivered, "mail_refused"),
    (Stage.DATA, 299, "what?", DeliveryRetry, "mail_temporary"),
]


@pytest.mark.parametrize(("stage", "code", "text", "kind", "reason"), _REPLIES)
def test_a_reply_means_what_the_table_says(
    stage: Stage, code: int, text: str, kind: type, reason: str
) -> None:
    """Our own side first, then what time mends, then this recipient."""
    outcome = outcome_of_reply(code, enhanced_code(text), text, stage=stage)

    assert isinstance(outcome, kind)
    assert isinstance(outcome, ChannelDown | DeliveryRetry | Undelivered)
    assert outcome.fail.reason == reason
    assert outcome.fail.code == code


def test_only_the_answer_after_the_dot_can_mean_sent() -> None:
    """A 250 to RCPT hands nothing over."""
    assert outcome_of_reply(250, "2.0.0", "2.0.0 Ok: queued as 4Xy7ZK0abc") == Sent(provider_id="4Xy7ZK0abc")
    assert outcome_of_reply(250, None, "OK") == Sent()
    assert not isinstance(outcome_of_reply(252, None, "cannot verify", stage=Stage.RCPT), Sent)


@pytest.mark.parametrize("text", ["4.2.2 full", "4.7.1 later", "4.3.0 oops"])
def test_each_failure_lengthens_the_wait(text: str) -> None:
    """A full mailbox waits longest from the start; no wait ever shrinks."""
    waits = []
    for failures in range(MAX_FAILURES + 3):
        outcome = outcome_of_reply(452, enhanced_code(text), text, stage=Stage.RCPT, failures=failures)
        assert isinstance(outcome, DeliveryRetry)
        waits.append(outcome.delay_s)

    assert waits == sorted(waits)
    assert waits[0] >= (1800 if text.startswith("4.2.2") else 60)


def test_what_is_kept_of_a_reply_is_masked() -> None:
    """Servers like to repeat the address."""
    outcome = outcome_of_reply(550, "5.1.1", "5.1.1 <dana@example.com>: unknown", stage=Stage.RCPT)

    assert isinstance(outcome, Undelivered)
    assert "dana" not in outcome.fail.raw
    assert outcome.fail.detail == "rcpt 5.1.1"


@pytest.mark.parametrize(
    ("text", "code"), [("5.1.1 x", "5.1.1"), ("550 5.1.1 x", "5.1.1"), ("x 5.1.1", None), ("5.1 x", None)]
)
def test_the_enhanced_code_stands_at_the_beginning(text: str, code: str | None) -> None:
    """Digits elsewhere in the text are no code."""
    assert enhanced_code(text) == code


def test_every_reason_that_the_table_names_is_in_the_catalogue() -> None:
    """An operator looks up what he reads."""
    known = {reason.name for reason in Catalogue.shipped().all()}

    assert {reason for *_, reason in _REPLIES} <= known
