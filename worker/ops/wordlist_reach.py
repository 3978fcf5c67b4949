"""The English sentences about reaching a customer: a support call, reminders, the stop list, what is watched."""

from __future__ import annotations

from collections.abc import Mapping

# --- a customer, for a call --------------------------------------------------------------------------------------

_HEADLINES = {
    "customer_onboarded": "The customer has finished.",
    "customer_finished_there": "The partner says that the customer has finished; it is taken up within minutes.",
    "customer_sent": "The customer has been sent the link and has not finished, as far as is known.",
    "customer_bounced": "The link is made, but the message with it did not reach the customer.",
    "customer_telling": "The link is made; the message with it is on its way.",
    "customer_window": "The link is made; the message waits until {until_at}, when the send window opens.",
    "customer_suppressed": "The link is made, but the customer is on the stop list: no message goes out.",
    "customer_linked": "The link is made, but the customer has not been sent it.",
    "customer_waiting": "The customer's link is still being made.",
    "customer_changing": "The customer's link is being changed.",
    "customer_doubt": "Whether the customer's link was made is being looked up.",
    "customer_failed": "The customer's link could not be made.",
    "customer_vanished": "The customer's link is no longer at the partner.",
    "customer_ended": "Nothing is under way for this customer.",
    "customer_mixed": "{count} links: {onboarded} finished, {linked} made, {waiting} being made, {failed} failed.",
}
_ADVICE = {
    "advice_onboarded": "Nothing: the onboarding is done.",
    "advice_finished_there": "Nothing: it is finished at the partner, and shown here within minutes.",
    "advice_sent_email": "Ask the customer to look for the e-mail of {sent_at}, in the spam folder as well; it can be sent again.",
    "advice_sent_sms": "Ask the customer to look for the SMS of {sent_at}; it can be sent again.",
    "advice_sent_again": "It was sent again by {channel} at {sent_at}, because {by} asked for it: ask the customer to look for that one.",
    "advice_sent_not_again": "What was sent at {sent_at} went out; the {channel} did not: {meaning} Ask for an address that works, and send it there.",
    "advice_missing_there": "The partner does not list this link, so it may no longer open: do not send the customer to it. Make a new one now, or look again in some minutes; where it stays missing, the job fails as link_vanished.",
    "advice_telling": "A message by {channel} is on its way: ask the customer to wait a few minutes.",
    "advice_window": "The {channel} waits until {until_at}, when the send window opens; say so.",
    "advice_window_replaced": "The {channel} with the new link waits until {until_at}, when the send window opens; say so, and that the link in the earlier message does not count any more.",
    "advice_telling_replaced": "A message by {channel} with the new link is on its way: ask the customer to wait a few minutes, and not to use the earlier one.",
    "advice_suppressed": "Ask whether messages are wanted after all; if so, take the customer off the stop list, then send the link again.",
    "advice_suppressed_since": "The {channel} of {sent_at} went out before the customer was put on the stop list: ask for it to be looked for. To send it again, take the customer off the list first.",
    "advice_suppressed_waits": "The message will not be sent. Ask whether messages are wanted after all; if so, take the customer off the stop list: it then goes out by itself, unless it was left out meanwhile.",
    "advice_in_line": "Say that the link is on its way.",
    "advice_changing": "Say that a new link is being made, or the old one deleted, and that the old one does not count any more.",
    "advice_stopped": "Say that the link will take longer: {cause}",
    "advice_in_doubt": "Say that the link is being checked; nothing has to be done.",
    "advice_failed": "{remedy}",
    "advice_not_sent": "The {channel} did not go out: {meaning} Ask for an address that works, and send it there.",
    "advice_no_contact": "Ask where the link is to be sent, and send it there.",
    "advice_message_doubt": "Ask whether the {channel} of {sent_at} came; if it did not, send it again.",
    "advice_dead": "It was given up. If the customer still wants it, requeue it.",
    "advice_cancelled": "It was cancelled. If the customer still wants it, enter it anew.",
    "advice_revoked": "The link was deleted. If the customer still wants one, enter the customer anew.",
}
_FACTS = {
    "fact_sent": "Sent by {channel} at {sent_at}.",
    "fact_sent_earlier": "Sent by {channel} at {sent_at}, with an earlier link, not with this one.",
    "fact_sent_by_request": "Sent by {channel} at {sent_at}, once more: somebody had asked for it.",
    "fact_bounced": "The {channel} of {failed_at} did not arrive: {meaning}",
    "fact_unsure": "Whether the {channel} of {sent_at} went out is not known.",
    "fact_skipped": "No {channel} was sent: {meaning}",
    "fact_waits": "The {channel} waits to be sent.",
    "fact_waits_window": "The {channel} waits until {until_at}, when the send window opens.",
    "fact_again_window": "Sent by {channel} before; sending it again waits until {until_at}, when the send window opens.",
    "fact_waits_suppressed": "The {channel} will not be sent: the customer is on the stop list.",
    "fact_reminded": "Reminded by {channel} at {sent_at}.",
    "fact_reminder_waits": "A reminder by {channel} waits to be sent.",
    "fact_reminder_window": "A reminder by {channel} waits until {until_at}, when the send window opens.",
    "fact_reminder_dropped": "A reminder by {channel} was left out: {meaning}",
    "fact_reminder_next": "The next reminder is made at {next_at}, if the customer has not finished by then.",
    "fact_reminder_later": "A reminder may follow once the message that waits has gone out.",
    "fact_reminder_none": "No further reminder goes out.",
    "fact_replaced": "It replaces the link of {made_at}, which no longer counts.",
    "fact_finished": "Finished at {finished_at}.",
    "fact_finished_number": "Finished at {finished_at}, with the number {number}.",
}
_PARTNER = {
    "partner_waiting": "The partner says: waiting for the customer.",
    "partner_finished": "The partner says: finished.",
    "partner_absent": "The partner says: no such link.",
    "partner_foreign": "The partner says: the number has a link that is not this one.",
    "partner_foreign_finished": "The partner says: the number was onboarded with a link that is not this one.",
    "partner_registered": "The partner says: the number is registered with it until {until_at}, and has no link.",
    "partner_unlisted": "The partner keeps no list of Facebook and Instagram links: its report alone tells that one is finished.",
    "partner_no_answer": "The partner could not be asked: it did not answer within seconds.",
    "partner_silent": "The partner could not be asked: {meaning}",
}

# --- what has failed for good, though it was to be tried again by itself ------------------------------------------

_USED_UP = {
    "remedy_message_used_up": "Its tries are used up. See that the cause is gone, then send it again: linkferry resend JOB.",
}

# --- reminders in a story ----------------------------------------------------------------------------------------

_REMINDERS = {
    "reminder_waits": "A reminder by {channel} waits to be sent.",
    "reminder_window": "A reminder by {channel} waits until {until_at}, when the send window opens.",
    "reminder_retry": "The reminder by {channel} could not be sent yet: {meaning} It is tried again at {next_at}.",
    "reminder_sending": "A reminder by {channel} is being sent.",
    "reminder_sent": "The customer was reminded by {channel}.",
    "reminder_in_doubt": "Whether the reminder by {channel} went out is not known: {meaning}",
    "reminder_failed": "The reminder by {channel} failed: {meaning}",
    "reminder_skipped": "No reminder was sent by {channel}: {meaning}",
}

# --- what is watched ---------------------------------------------------------------------------------------------

_WATCH = {
    "watch_vanished": "{count} links are gone at the partner: somebody deleted them there, and their customers can't finish.",
    "watch_vanished.one": "1 link is gone at the partner: somebody deleted it there, and its customer can't finish.",
    "watch_vanished_do": "Find out who deleted them. Then make new ones, which their customers are sent; or give them up.",
    "watch_expiring": "{count} numbers are registered with the partner, and their 90 days end before {before_at}.",
    "watch_expiring.one": "1 number is registered with the partner, and its 90 days end before {before_at}.",
    "watch_expiring_do": "Ask these customers to finish before then; a number that has run out has to be registered and verified anew.",
    "watch_open_long": "{count} customers have had their links for more than {open_s} and have not finished.",
    "watch_open_long.one": "1 customer has had the link for more than {open_s} and has not finished.",
    "watch_open_long_do": "Call them, or give the list to whoever does; a link that nobody wants any more can be deleted.",
    "watch_missing": "{count} links are missing from the partner's list, too many to be believed: none is taken for gone.",
    "watch_missing.one": "1 link is missing from the partner's list; it is not taken for gone before a second list says the same.",
    "watch_missing_do": "Ask the partner whether its list is whole, and check that the credentials are those of this account.",
}

REACH_WORDS: Mapping[str, str] = {
    **_HEADLINES,
    **_ADVICE,
    **_FACTS,
    **_PARTNER,
    **_USED_UP,
    **_REMINDERS,
    **_WATCH,
}
