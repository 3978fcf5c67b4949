"""How often somebody may try to sign in: by name and address, by name, and by address."""

from __future__ import annotations

from dataclasses import dataclass

from worker.ledger import Allowance, Ledger

#: Somebody who mistypes has five tries, then one a minute.
_PAIR = (5, 60.0)
#: Many addresses against one name. Its owner still comes in from where he came in before: known pairs do not draw on it.
_NAME = (50, 20.0)
#: One address against many names; an office behind one address has room.
_ADDRESS = (20, 15.0)
#: Refused tries that the trail takes: strangers must not be able to fill it.
_RECORDS = Allowance("records", 100, 10.0)
#: How long an address is known for a name that signed in from it.
_KNOWN_FOR_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Try:
    """One try to sign in, with what it draws on."""

    pair: Allowance
    name: Allowance
    address: Allowance
    #: That name signed in from that address lately: what strangers do elsewhere is nothing to it.
    is_known: bool

    @property
    def scopes(self) -> list[Allowance]:
        """Return what it draws on."""
        return [self.pair, self.address] if self.is_known else [self.pair, self.name, self.address]


class Throttle:
    """Counts in the ledger, so that all web processes together allow no more than one."""

    def __init__(self, ledger: Ledger) -> None:
        """Count on *ledger*."""
        self._sessions = ledger.sessions

    async def attempt(self, name: str, subscriber: str) -> Try:
        """Return the try of whoever calls himself *name* at the address (or network) *subscriber*.

        Raises LedgerUnavailable.
        """
        pair = Allowance(f"pair:{subscriber}:{name}", *_PAIR)
        return Try(
            pair=pair,
            name=Allowance(f"name:{name}", *_NAME),
            address=Allowance(f"address:{subscriber}", *_ADDRESS),
            is_known=await self._sessions.is_known(pair.scope),
        )

    async def begin(self, attempt: Try) -> float:
        """Count a try before its password is checked; return 0, or the seconds until there is one.

        Raises LedgerUnavailable, LedgerFull.
        """
        return await self._sessions.take(attempt.scopes)

    async def succeed(self, attempt: Try) -> None:
        """Take a try back that was a success; raises LedgerUnavailable."""
        await self._sessions.give(attempt.scopes)

    async def remember(self, attempt: Try) -> None:
        """Know the address of a sign-in for its name, for a month; raises LedgerUnavailable."""
        await self._sessions.know(attempt.pair.scope, for_s=_KNOWN_FOR_S)

    async def may_record(self) -> bool:
        """Tell whether the trail takes one more refused try; raises LedgerUnavailable, LedgerFull."""
        return await self._sessions.take([_RECORDS]) == 0
