"""The words of changing a link that was made: replaced by another, or deleted for good."""

from __future__ import annotations

from collections.abc import Mapping

CHANGE_WORDS: Mapping[str, str] = {
    # what is under way: `worker.domain.change.under_way` names them
    "changing_deleting": "The link is being replaced: the old one is to be deleted at the partner first.",
    "changing_deleting_failed": "The link was to be replaced, but the old one could not be deleted; as far as is known it still stands.",
    "changing_deleting_given_up": "The link was to be replaced, which was given up; as far as is known the old one still stands.",
    "changing_making": "The link is being replaced: the old one is deleted, and the new one is being made.",
    "changing_making_failed": "The old link is deleted, and the new one is not made: the customer has none until it is.",
    "changing_making_given_up": "The old link is deleted, and the new one was given up: the customer has none.",
    "changing_making_in_doubt": "The old link is deleted; whether the new one was made is being looked up.",
    "changing_making_beside": "A new link is being made. The old one can't be deleted at the partner and stays valid.",
    "changing_making_beside_failed": "The new link is not made. The old one can't be deleted at the partner and stays valid.",
    "changing_making_beside_given_up": "The new link was given up. The old one stays valid at the partner.",
    "changing_revoking": "The link is being deleted at the partner.",
    "changing_revoking_failed": "The link was to be deleted, and could not be; as far as is known it still stands.",
    "changing_revoking_given_up": "The link was to be deleted, which was given up; as far as is known it still stands.",
    # what a change would do, before it is asked for
    "plan_delete": "The link is deleted at the partner; from then on the customer can't open it.",
    "plan_make": "A new link is made for the number, and sent with a message which says that it replaces the earlier one.",
    "plan_make_elsewhere": "A new link is made for the new number, and sent with a message which says that it replaces the earlier one.",
    "plan_make_beside": "A new link is made and sent. The old one can't be deleted at the partner and stays valid.",
    "plan_told": "The message goes to {contacts}.",
    "plan_told_nobody": "The customer is on the stop list and gets no message: give him the link yourself, or take him off the list first (linkferry suppress remove).",
    "plan_make_again": "The link is made anew, and sent.",
    "plan_retry": "It has no link: it is tried again, as by a requeue.",
    "plan_revoke": "The link is deleted at the partner for good, and the number is free again. No message says so.",
    "plan_revoke_gone": "No link stands at the partner: the job is closed as revoked, and the number is free again.",
    # why not
    "why_not.change_pending": "its link is being changed already: wait for it, or call it off (linkferry job cancel)",
    "why_not.link_stands": "its link may still stand at the partner: replace or revoke it, or call the change off (linkferry job cancel)",
    "why_not.facebook_stays": "the partner can't delete Facebook and Instagram links",
    "why_not.link_replaced": "its link was replaced: send the later message again",
    "why_not.no_link": "it has no link: discard or cancel it",
    # its story
    "attempt_deleted": "Attempt {attempt}: the partner deleted the link ({call_s}).",
    "attempt_deleted_untimed": "Attempt {attempt}: the partner deleted the link.",
    "attempt_deleted_gone": "Attempt {attempt}: the link was gone at the partner already ({call_s}).",
    "attempt_deleted_gone_untimed": "Attempt {attempt}: the link was gone at the partner already.",
    "attempt_finished": "Attempt {attempt}: the customer has finished with this link, so it can't be deleted any more ({call_s}).",
    "attempt_finished_untimed": "Attempt {attempt}: the customer has finished with this link, so it can't be deleted any more.",
    "attempt_called_off": "Attempt {attempt} deleted nothing, and the change was called off, as had been asked: the link stands.",
    "attempt_revoked": "The number has no link any more; it is free again.",
    "rescued_linked": "The worker of attempt {attempt} went away, and the change was called off, as had been asked: the link stands.",
    "rescued_revoked": "The worker of attempt {attempt} went away, and no new link is made, as had been asked.",
    "resolved_revoked": "Looked up at the partner: no new link was made, and none will be, as had been asked.",
    "act_replace_asked": "{by} asked for the link to be replaced.",
    "act_replace_asked_why": "{by} asked for the link to be replaced: {why}",
    "act_revoke_asked": "{by} asked for the link to be deleted.",
    "act_revoke_asked_why": "{by} asked for the link to be deleted: {why}",
    "act_called_off": "{by} called the change off: the link stands as it did.",
    "act_called_off_why": "{by} called the change off: the link stands as it did. {why}",
    "act_revoked": "{by} called the new link off; the old one is deleted.",
    "act_revoked_why": "{by} called the new link off; the old one is deleted. {why}",
}
