"""What came of an act, said on the page that its form leads to: a word in the address, its sentence from here.

Only words of these tables are shown, so that nobody's made-up link can put a sentence of his own on a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from worker.ops.acts import WHY_NOT
from worker.ops.console.i18n import N_
from worker.ops.words import WORDS, Said, said

DONE = "told"
REFUSED = "not"
_ACT_REFUSED = "act_refused_"

_SENTENCES: Mapping[str, tuple[str, str]] = {
    "requeue": ("good", N_("Requeued: it waits for its turn again.")),
    "discard": ("good", N_("Discarded: it is a dead letter now, and can be taken back while it is kept.")),
    "restore": ("good", N_("Taken back: it stands in the failed queue again, with the reason it had.")),
    "cancel": ("good", N_("Cancelled.")),
    "cancel_asked": ("info", N_("The call under way ends as it may; after that the job is cancelled.")),
    "replace": (
        "good",
        N_("The link is being replaced: the old one is deleted first, then another is made."),
    ),
    "revoke": ("good", N_("The link is being deleted at the partner.")),
    "called_off": ("good", N_("Called off: the link stands as it did.")),
    "revoked": ("info", N_("The old link is deleted already; no new one is made.")),
    "revoking": ("info", N_("The link may be deleted already: no new one is made.")),
    "resend": ("good", N_("The message will be sent again; the partner is not called for it.")),
    "edit": ("good", N_("Corrected and requeued: it waits for its turn again.")),
    "start": ("good", N_("Started. This page follows it; you may leave it.")),
    "stop": ("good", N_("Stopped: no more of it is taken; what was requeued goes on.")),
    "continue": ("good", N_("It goes on.")),
    "started_before": ("info", N_("It had been started already; nothing was done twice.")),
    "pause": ("good", N_("Paused. What is under way ends as it may.")),
    "resume": ("good", N_("It goes on.")),
    "clear": (
        "good",
        N_("The hold is cleared; it begins again with a few, to see whether they fail as well."),
    ),
    "not_held": ("info", N_("It was not held any more.")),
    "held_anew": ("warn", N_("It was held anew since you saw this page: look why, before you clear it.")),
    "batch_cancel": ("good", N_("What of the batch had not ended is cancelled.")),
    "teach": ("good", N_("Kept. Every worker goes by it within seconds.")),
    "brand": ("good", N_("Kept. Messages sent from now on follow it.")),
    "brand_default": ("good", N_("The default is chosen: requests that name no brand have it from now on.")),
    "brand_removed": ("good", N_("The brand is removed.")),
    "suppress": ("good", N_("On the stop list: no message goes out any more.")),
    "unsuppress": ("good", N_("Off the stop list: messages go out again from now on.")),
    "forget": (
        "good",
        N_("Erased. The trail says that a customer was erased, when, by whom and why; not who it was."),
    ),
    "not_suppressed": ("info", N_("That does not stand on the stop list.")),
    "no_contact_typed": ("bad", N_("That is neither an e-mail address nor a number; nothing was done.")),
    "nothing_ticked": ("warn", N_("Nothing was ticked, so there is nothing to preview.")),
    "bad_filter": ("bad", N_("The filter could not be read. Choose again.")),
    "no_message": ("warn", N_("There is no such message: one is made when the link is.")),
    "bad_cursor": ("info", N_("That page of the list is gone; this is its beginning.")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One notice."""

    tone: str
    title: str  #: English; the template translates it
    why: Said | None = None


def told_of(query: Mapping[str, str]) -> Told | None:
    """Return the notice that an address asks for, if there is such a one."""
    if query.get(DONE) in _SENTENCES:
        tone, title = _SENTENCES[query[DONE]]
        return Told(tone=tone, title=title)
    code = query.get(REFUSED, "")
    if code in WHY_NOT:
        return Told(tone="warn", title=N_("Nothing was done."), why=said(f"why_not.{code}"))
    if f"{_ACT_REFUSED}{code}" in WORDS:
        why = said(f"{_ACT_REFUSED}{code}", act_id="", most=0) if code not in _NEEDS_MORE else None
        return Told(tone="warn", title=N_("Nothing was done."), why=why)
    return None


#: Sentences that name something which an address must not carry.
_NEEDS_MORE = frozenset({"already_started", "too_many"})


def see(path: str, *, told: str | None = None, refused: str | None = None, anchor: str = "") -> web.Response:
    """Return what leads the browser to *path*, a path of ours, where it is said what came of its form."""
    words = {name: word for name, word in ((DONE, told), (REFUSED, refused)) if word}
    mark = "&" if "?" in path else "?"
    place = f"{path}{mark}{urlencode(words)}" if words else path
    return web.Response(status=303, headers={"Location": f"{place}#{anchor}" if anchor else place})
