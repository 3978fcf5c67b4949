"""Reminders: made for messages that were sent long enough ago, and foretold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.states import Channel
from worker.ledger.accepting import ms
from worker.ledger.scripts import Scripts, text

#: Messages looked at per script: some 30 reads and as many writes each, a millisecond or two of the server's time.
MESSAGES_AT_ONCE = 25
#: Invitations per script of `outlook`.
_ASKED_AT_ONCE = 50
REMINDER = "reminder"  #: template of a reminder; its generation is its number


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What an invitation may still be reminded of."""

    since_ms: int  #: the days are counted from here: the message that brought the links
    made: int  #: number of the latest reminder; 0: none yet
    is_reminding: bool  #: one of them is still to go out
    channels: tuple[Channel, ...]  #: that a reminder would go by; empty: the customer was reached by none

    def next_at_ms(self, after_s: Sequence[float], *, now_ms: int) -> int | None:
        """Return when the next reminder is made, or None where there is none to come.

        *after_s*: seconds from the message to each reminder, as `REMINDERS` has them.
        """
        if self.is_reminding or not self.channels:
            return None
        dues = (self.since_ms + ms(each) for each in after_s[self.made :])
        return next((due for due in dues if due > now_ms), None)


class Reminding:
    """Makes reminders and says who is to get one."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def remind(self, number: int, *, after_s: float) -> tuple[int, bool]:
        """Make the reminders of that *number* (from 1) for links sent *after_s* seconds ago and not finished.

        A bounded piece of work: return how many messages were made, and whether there is more to look at. Nothing is
        made a second time, for a replace that is under way, or more than a day late. Raises LedgerUnavailable,
        LedgerFull.
        """
        made, more = await self._scripts.run("remind", number, ms(after_s), MESSAGES_AT_ONCE)
        return int(made), int(more) == 1

    async def outlook(self, invitation_ids: Sequence[str]) -> dict[str, Outlook]:
        """Return, of those of the invitations whose links wait for the customer, what is to come.

        Raises LedgerUnavailable.
        """
        found: dict[str, Outlook] = {}
        for start in range(0, len(invitation_ids), _ASKED_AT_ONCE):
            some = invitation_ids[start : start + _ASKED_AT_ONCE]
            replies = await self._scripts.run("reminders", *some)
            found |= {each: _outlook(reply) for each, reply in zip(some, replies, strict=True) if reply}
        return found


def _outlook(reply: list[Any]) -> Outlook:
    since, made, is_reminding, channels = (text(part) for part in reply)
    return Outlook(
        since_ms=int(since),
        made=int(made),
        is_reminding=is_reminding == "1",
        channels=tuple(Channel(each) for each in channels.split(",") if each),
    )
