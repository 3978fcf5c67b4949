"""How often somebody may try to sign in: by name and address, by name, and by address.

A browser in which a name signed in before has tries of its own for that name. So nothing that strangers do, wherever
they sit, keeps its owner out of it: neither from everywhere at once nor from the very address that he works at.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.ledger import Ledger
from worker.ledger.sessions import Allowance

#: Somebody who mistypes has five tries, then one a minute.
_PAIR = (5, 60.0)
#: Many addresses against one name. Its owner still comes in from where he came in before: known pairs do not draw on it.
_NAME = (50, 20.0)
#: One address against many names; an office behind one address has room.
_ADDRESS = (20, 15.0)
#: Refused tries that the trail takes: strangers must not be able to fill it.
_RECORDS = Allowance("records", 100, 10.0)
#: Those that came too early have fewer of their own: they must not crowd out what was tried.
_THROTTLED_RECORDS = Allowance("throttled-records", 20, 60.0)
#: Of one user who is signed in and goes for what his role may not: a script of his must not fill the trail either.
_REFUSALS = (1000, 10.0)
#: How long an address and a browser are known for a name that signed in there.
KNOWN_FOR_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Try:
    """One try to sign in, with what it draws on."""

    pair: Allowance
    name: Allowance
    address: Allowance
    device: Allowance | None  #: where the name signed in from that browser lately
    #: That name signed in from that address lately: what strangers do elsewhere is nothing to it.
    is_known_address: bool

    @property
    def is_known(self) -> bool:
        """Tell whether the name signed in from there lately: it is most likely its owner."""
        return self.device is not None or self.is_known_address

    @property
    def scopes(self) -> list[Allowance]:
        """Return what it draws on."""
        if self.device is not None:
            return [self.device]
        return [self.pair, self.address, *([] if self.is_known_address else [self.name])]


class Throttle:
    """Counts in the ledger, so that all web processes together allow no more than one."""

    def __init__(self, ledger: Ledger) -> None:
        """Count on *ledger*."""
        self._sessions = ledger.sessions

    async def attempt(self, name: str, subscriber: str, device: str | None) -> Try:
        """Return the try of whoever calls himself *name* at the address (or network) *subscriber*, by his browser's *device*.

        Raises LedgerUnavailable.
        """
        pair = Allowance(f"pair:{subscriber}:{name}", *_PAIR)
        own = Allowance(_device_scope(name, device), *_PAIR) if device else None
        return Try(
            pair=pair,
            name=Allowance(f"name:{name}", *_NAME),
            address=Allowance(f"address:{subscriber}", *_ADDRESS),
            device=own if own and await self._sessions.is_known(own.scope) else None,
            is_known_address=await self._sessions.is_known(pair.scope),
        )

    async def begin(self, attempt: Try) -> float:
        """Count a try before its password is checked; return 0, or the seconds until there is one.

        Raises LedgerUnavailable, LedgerFull.
        """
        return await self._sessions.take(attempt.scopes)

    async def take_back(self, attempt: Try) -> None:
        """Take a try back that was a success, or whose password was never looked at; raises LedgerUnavailable."""
        await self._sessions.give(attempt.scopes)

    async def remember(self, attempt: Try, name: str, device: str) -> None:
        """Know the address and the browser of a sign-in for its name, for a month; raises LedgerUnavailable."""
        for scope in (attempt.pair.scope, _device_scope(name, device)):
            await self._sessions.know(scope, for_s=KNOWN_FOR_S)

    async def may_record(self) -> bool:
        """Tell whether the trail takes one more refused try; raises LedgerUnavailable, LedgerFull."""
        return await self._sessions.take([_RECORDS]) == 0

    async def may_record_of(self, name: str) -> bool:
        """Tell whether the trail takes one more refusal of a user's own; raises LedgerUnavailable, LedgerFull."""
        return await self._sessions.take([Allowance(f"refusals:{name}", *_REFUSALS)]) == 0

    async def may_record_throttled(self) -> bool:
        """Tell whether the trail takes one more try that came too early; raises LedgerUnavailable, LedgerFull."""
        return await self._sessions.take([_THROTTLED_RECORDS]) == 0


def _device_scope(name: str, device: str) -> str:
    return f"device:{device}:{name}"
