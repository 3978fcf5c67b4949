"""How often somebody may try to sign in: by name and address, by name, and by address."""

from __future__ import annotations

from dataclasses import dataclass

from worker.ledger import Allowance, Ledger

#: Somebody who mistypes has five tries, then one a minute.
_PAIR = (5, 60.0)
#: Many addresses against one name: its owner, at an address of his own, still comes in.
_NAME = (50, 20.0)
#: One address against many names; an office behind one address has room.
_ADDRESS = (20, 15.0)
#: Refused tries that the trail takes: strangers must not be able to fill it.
_RECORDS = Allowance("records", 100, 10.0)


@dataclass(frozen=True, slots=True)
class Try:
    """One try to sign in, with what it draws on."""

    pair: Allowance
    name: Allowance
    address: Allowance

    @classmethod
    def of(cls, name: str, subscriber: str) -> Try:
        """Return the try of whoever calls himself *name* at the address (or network) *subscriber*."""
        return cls(
            Allowance(f"pair:{subscriber}:{name}", *_PAIR),
            Allowance(f"name:{name}", *_NAME),
            Allowance(f"address:{subscriber}", *_ADDRESS),
        )


class Throttle:
    """Counts in the ledger, so that all web processes together allow no more than one."""

    def __init__(self, ledger: Ledger) -> None:
        """Count on *ledger*."""
        self._sessions = ledger.sessions

    async def begin(self, attempt: Try) -> float:
        """Count a try before its password is checked; return 0, or the seconds until there is one.

        Raises LedgerUnavailable, LedgerFull.
        """
        return await self._sessions.take([attempt.pair, attempt.name, attempt.address])

    async def succeed(self, attempt: Try) -> None:
        """Take a try back that was a success; raises LedgerUnavailable."""
        await self._sessions.give([attempt.pair, attempt.name, attempt.address])

    async def may_record(self) -> bool:
        """Tell whether the trail takes one more refused try; raises LedgerUnavailable, LedgerFull."""
        return await self._sessions.take([_RECORDS]) == 0
