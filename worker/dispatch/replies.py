"""What a mail server's reply means for the message: pure, a table more than a program (facts F1 and F2).

Three questions, in this order: is it our own side that is refused (credentials, policy: the channel is down and
no recipient is to blame), will time mend it (4yz), or is it this recipient (5yz)?
"""

from __future__ import annotations

import re
from enum import StrEnum

from worker.dispatch.fails import fail
from worker.domain.outcome import ChannelDown, DeliveryOutcome, DeliveryRetry, Fail, Sent, Undelivered


class Stage(StrEnum):
    """Where in the conversation the reply came."""

    CONNECT = "connect"  #: greeting and EHLO
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  #: the answer to DATA itself, before the message
    END = "end"  #: the answer after the final dot


#: Waits after the first, second, … failed send. RFC 5321 (4.5.4.1) asks for 30 minutes between tries of a relay;
#: we hand over to our own submission server and may ask it sooner.
TEMPORARY_DELAYS_S = (60.0, 300.0, 900.0, 1800.0, 3600.0)
#: Greylisting lets a known triplet through after one to five minutes, as a rule.
GREYLISTED_DELAYS_S = (330.0, 330.0, 900.0, 1800.0, 3600.0)
#: A full mailbox is emptied by a person.
MAILBOX_FULL_DELAYS_S = (1800.0, 3600.0, 7200.0, 14400.0)
MAX_FAILURES = 8

AUTH_PAUSE_S = 300.0
POLICY_PAUSE_S = 300.0
BUSY_PAUSE_S = 60.0

_ENHANCED = re.compile(r"\s*(?:\d{3}[ -])?([245])\.(\d{1,3})\.(\d{1,3})\b")
_QUEUED_AS = re.compile(
    r"queued (?:mail for delivery )?as[ :]+([\w.@<>-]{4,80})|\bid=([\w.-]{4,80})", re.IGNORECASE
)
_GREYLIST = re.compile(r"gr[ea]y.?list", re.IGNORECASE)
_RELAYING = re.compile(r"relay", re.IGNORECASE)

_THROTTLING = re.compile(r"throttl|rate.?limit|too (?:many|fast)|rate exceeded|sending rate", re.IGNORECASE)
_TOO_FAST = frozenset({"4.5", "7.28"})

_AUTH_CODES = frozenset({530, 534, 535, 538})
_AUTH_SUBJECTS = frozenset({"7.8", "7.9", "7.11", "7.14"})
#: RFC 3463 and the IANA registry: what says that the address is nobody's.
_NO_MAILBOX = frozenset({"1.0", "1.1", "1.2", "1.3", "1.4", "1.6", "1.9", "1.10", "2.0", "2.1", "4.1", "4.4"})
_OUR_ADDRESS = frozenset({"1.7", "1.8"})  #: the *sender's* address is refused
_OUR_STANDING = frozenset({"7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27", "7.29", "7.30"})
_NO_MAILBOX_CODES = frozenset({501, 550, 551, 553})
_PROTOCOL_CODES = frozenset({500, 502, 503, 504, 521, 555})


def enhanced_code(text: str) -> str | None:
    """Return the enhanced status code (RFC 3463) that a reply's text begins with, or None."""
    found = _ENHANCED.match(text)
    return ".".join(found.groups()) if found else None


def outcome_of_reply(
    code: int, enhanced: str | None, text: str, *, stage: Stage = Stage.END, failures: int = 0
) -> DeliveryOutcome:
    """Return what the server's reply means for the message.

    Args:
        code: the three digits.
        enhanced: the enhanced status code, as `enhanced_code` finds it.
        text: the reply's text; kept masked for the operator.
        stage: after which command it came.
        failures: sends of this message that failed before: they lengthen the wait.
    """
    if 200 <= code < 300 and stage is Stage.END:
        return Sent(provider_id=_queue_id(text))
    reply = _Reply(code, enhanced, text, stage, failures)
    if 500 <= code < 600:
        return reply.permanent()
    return reply.transient()


class _Reply:
    """One reply that is no success."""

    def __init__(self, code: int, enhanced: str | None, text: str, stage: Stage, failures: int) -> None:
        self.code, self.text, self.stage, self.failures = code, text, stage, failures
        self.enhanced = enhanced or ""
        self.subject = self.enhanced.partition(".")[2]  #: `1.1` of `5.1.1`

    def transient(self) -> DeliveryOutcome:
        """Return the outcome of 4yz, and of replies that no standard knows."""
        if self.stage in {Stage.CONNECT, Stage.AUTH, Stage.MAIL}:
            # The server has not heard of the recipient yet: none of his tries may be used up.
            return self._down("mail_throttled" if self._is_throttled() else "mail_temporary", BUSY_PAUSE_S)
        if self.subject == "2.2":
            return self._retry("mailbox_full", MAILBOX_FULL_DELAYS_S)
        if self.code != 421 and (self.subject == "7.1" or _GREYLIST.search(self.text)):
            return self._retry("mail_greylisted", GREYLISTED_DELAYS_S)
        reason = "mail_throttled" if self._is_throttled() else "mail_temporary"
        return self._retry(reason, TEMPORARY_DELAYS_S)

    def permanent(self) -> DeliveryOutcome:
        """Return the outcome of 5yz."""
        if self.stage is Stage.AUTH or self.code in _AUTH_CODES or self.subject in _AUTH_SUBJECTS:
            return self._down("mail_auth_refused", AUTH_PAUSE_S)
        if self.stage is Stage.MAIL or self.subject in _OUR_ADDRESS:
            return self._down("mail_sender_refused", POLICY_PAUSE_S)
        if self._is_about_us():
            return self._down("mail_refused_policy", POLICY_PAUSE_S)
        if self.subject == "2.2" or (self.code == 552 and not self.enhanced and self.stage is Stage.RCPT):
            return self._undelivered("mailbox_full")
        if self._is_nobody():
            return self._undelivered("mailbox_unknown")
        return self._undelivered("mail_refused")

    def _is_about_us(self) -> bool:
        """Tell whether the server refuses our standing or our way of talking."""
        is_ours = self.stage is Stage.CONNECT or self.code in _PROTOCOL_CODES
        if is_ours or self.subject in _OUR_STANDING:
            return True
        if self.subject.startswith("7."):
            # 552 and 554 are said of the content or the sender; 550 5.7.1 mostly of what this recipient takes.
            return self.code in {552, 554} or bool(_RELAYING.search(self.text))
        is_bare_refusal = self.code == 554 and not self.enhanced
        return is_bare_refusal and self.stage in {Stage.DATA, Stage.END}

    def _is_throttled(self) -> bool:
        return self.subject in _TOO_FAST or bool(_THROTTLING.search(self.text))

    def _is_nobody(self) -> bool:
        if self.enhanced:
            return self.subject in _NO_MAILBOX
        return self.stage is Stage.RCPT and self.code in _NO_MAILBOX_CODES

    def _fail(self, reason: str) -> Fail:
        detail = f"{self.stage.value} {self.enhanced}".rstrip()
        return fail(reason, code=self.code, raw=self.text, detail=detail)

    def _retry(self, reason: str, delays_s: tuple[float, ...]) -> DeliveryRetry:
        delay_s = delays_s[min(self.failures, len(delays_s) - 1)]
        return DeliveryRetry(fail=self._fail(reason), delay_s=delay_s, max_failures=MAX_FAILURES)

    def _down(self, reason: str, pause_s: float) -> ChannelDown:
        return ChannelDown(fail=self._fail(reason), pause_s=pause_s)

    def _undelivered(self, reason: str) -> Undelivered:
        return Undelivered(fail=self._fail(reason))


def _queue_id(text: str) -> str:
    found = _QUEUED_AS.search(text)
    return next((group for group in found.groups() if group), "") if found else ""
