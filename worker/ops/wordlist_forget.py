"""The English sentences about erasing a customer."""

from __future__ import annotations

from collections.abc import Mapping

FORGET_WORDS: Mapping[str, str] = {
    # why it can't be done yet
    "forget_is_running": "The partner is being called for it right now: say it again in a minute.",
    "forget_is_in_doubt": "Whether the partner made its link is being looked up: say it again when that is settled, mostly within minutes.",
    "forget_change_pending": "Its link is being replaced or deleted: say it again when that is done.",
    "forget_link_stands": "Its link can be opened at the partner, and nobody could delete it once the job is erased: revoke it first.",
    "forget_being_sent": "A message is being sent right now: say it again in a minute.",
    "forget_event_working": "An event that tells of this customer is being worked on right now: say it again in a minute.",
    "forget_why_names": "The reason names the customer, and it is kept: say why without a name, a number or an address.",
    "forget_nobody": "That is neither a number nor an e-mail address nor a job's id. Look the customer up first: linkferry customer show NAME",
    # what stays elsewhere
    "forget_note_partner": "The partner keeps what it was given: ask it to erase this customer as well.",
    "forget_note_facebook": "A Facebook or Instagram link can't be deleted: it stays valid at the partner, and the customer may have it.",
    "forget_note_crm": "{source} told of this customer: erase there as well, or it may tell again.",
    "forget_note_shared": "{count} numbers or addresses are other customers' too; where they stand for those, they stay.",
    "forget_note_shared.one": "One number or address is another customer's too; where it stands for that one, it stays.",
    "forget_note_files": "Files are not touched: sheets that were imported, result files beside them, exports, backups, and Redis's append-only file until it is rewritten. See docs/privacy.md.",
    "forget_note_more": "There may be more than was found at once: say it again afterwards.",
}
