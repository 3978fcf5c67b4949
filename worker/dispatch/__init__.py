"""The way out: e-mail and SMS, one message per invitation and channel. Start at `compose.py` and `mail.py`."""

from __future__ import annotations

from worker.dispatch.allowlist import RecipientAllowlist
from worker.dispatch.compose import Composer, recipient_of
from worker.dispatch.links import check_links
from worker.dispatch.mail import MailDispatcher
from worker.dispatch.messages import MailMessage, Sender, SmsMessage
from worker.dispatch.preview import Preview, preview_invitation, sample_links, sample_request
from worker.dispatch.replies import outcome_of_reply
from worker.dispatch.sms import SmsDispatcher
from worker.dispatch.sms_answers import SmsProvider, make_provider
from worker.dispatch.wording_file import BadTemplateError

__all__ = [
    "BadTemplateError",
    "Composer",
    "MailDispatcher",
    "MailMessage",
    "Preview",
    "RecipientAllowlist",
    "Sender",
    "SmsDispatcher",
    "SmsMessage",
    "SmsProvider",
    "check_links",
    "make_provider",
    "outcome_of_reply",
    "preview_invitation",
    "recipient_of",
    "sample_links",
    "sample_request",
]
