"""What can go wrong between us and the ledger's server, and what a caller may assume then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as server_errors


class LedgerError(Exception):
    """Something is wrong with the ledger."""


class LedgerUnavailable(LedgerError):  # noqa: N818 - reads as what happened
    """The server did not answer in time, or not as the ledger: the caller may not assume that nothing was written."""


class LedgerFull(LedgerError):  # noqa: N818 - reads as what happened
    """The server refuses writes (memory or disk is used up): nothing was written."""


class SchemaMismatch(LedgerError):  # noqa: N818 - reads as what happened
    """The ledger was written by another version of Linkferry: nothing may be done with it."""


_FULL = ("OOM", "MISCONF", "NOREPLICAS")
_UNAVAILABLE = (
    "LOADING",
    "READONLY",
    "BUSY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "UNBLOCKED",
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the server's errors into the ledger's, here and nowhere else.

    Raises:
        LedgerUnavailable: connection lost, timeout, server loading or read-only.
        LedgerFull: out of memory, or the append-only file cannot be written.
    """
    try:
        yield
    except (server_errors.ConnectionError, server_errors.TimeoutError, OSError) as error:
        raise LedgerUnavailable(type(error).__name__) from error
    except server_errors.ResponseError as error:
        raise translate(error) from error


def translate(error: server_errors.ResponseError) -> Exception:
    """Return the ledger's error for what the server answered; one that is our own mistake stays as it is."""
    if isinstance(error, server_errors.OutOfMemoryError):
        return LedgerFull("OOM")
    if isinstance(error, server_errors.ReadOnlyError):
        return LedgerUnavailable("READONLY")
    message = str(error)
    for word in _FULL:
        if message.startswith(word) or f"-{word} " in message:
            return LedgerFull(word)
    for word in _UNAVAILABLE:
        if message.startswith(f"{word} ") or f"-{word} " in message:
            return LedgerUnavailable(word)
    return error
