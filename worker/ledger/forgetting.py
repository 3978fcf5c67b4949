"""Erasing one customer: what the ledger holds that may be about him, and the verbs that take it away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis import exceptions as server_errors

from worker.domain.stop_list import fingerprint_of
from worker.ledger.errors import translate, translated
from worker.ledger.keys import Keys
from worker.ledger.scripts import Scripts, text
from worker.ledger.server import beginning_with

#: What of the ledger holds words that people wrote.
Kind = Literal["request", "trail", "act", "event"]
#: Names read per call: a millisecond or two of the server.
_SCANNED_AT_ONCE = 500
_EVENTS_AT_ONCE = 10  #: a body may have two megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something that people wrote, as it lies in the ledger."""

    kind: Kind
    id: str  #: of the invitation, the trail's entry, the bulk act or the event
    words: dict[str, str]  #: by field


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What erasing one invitation came to."""

    jobs: int = 0
    messages: int = 0
    events: int = 0  #: of ours, that were still to be told
    #: is_running, is_in_doubt, link_stands, change_pending, being_sent: nothing was touched
    refusal: str | None = None
    subject: str | None = None  #: the job or message that it is refused for


class Forgetting:
    """The verbs of erasure in one ledger. Each is harmless when it is said again."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def invitation(self, invitation_id: str, *, by: str, why: str) -> Erased:
        """Erase an invitation with its jobs, messages, events to be told, claim and search entries, or nothing of it.

        Raises LedgerUnavailable: say it again.
        """
        done, *rest = await self._scripts.run("forget", invitation_id, by, why)
        if int(done) == 0:
            return Erased(refusal=text(rest[0]), subject=text(rest[1]))
        jobs, messages, events = map(int, rest)
        return Erased(jobs=jobs, messages=messages, events=events)

    async def event(self, event_id: str) -> bool:
        """Erase an event that came in; False where there is none, or it is worked on. Raises LedgerUnavailable."""
        return int(await self._scripts.run("forget_event", event_id)) == 1

    async def words(self, held: Held, clean: dict[str, str]) -> bool:
        """Put *clean* words in the place of those of an entry of the trail or a bulk act; raises LedgerUnavailable.

        Return False where somebody changed them meanwhile.
        """
        args = [part for name, words in clean.items() for part in (name, held.words[name], words)]
        return int(await self._scripts.run("forget_words", held.kind, held.id, *args)) == len(clean)

    async def contact(self, contact: str, *, is_added: bool, by: str, why: str) -> bool:
        """Keep a contact of the stop list as its fingerprint alone; *is_added*: also one that does not stand there.

        Return whether it is there by its fingerprint since now. Raises LedgerUnavailable.
        """
        fingerprint = fingerprint_of(contact)
        words = ("1" if is_added else "", by, why)
        return int(await self._scripts.run("forget_contact", contact, fingerprint, *words)) == 1

    async def held(self, *kinds: Kind) -> AsyncIterator[list[Held]]:
        """Yield all of these kinds, in bounded pieces; what is written meanwhile may be left out.

        Reads every key's name once: some seconds in a ledger of a million jobs. Raises LedgerUnavailable.
        """
        async for names in self._names():
            events: list[tuple[Kind, str]] = []
            others: list[tuple[Kind, str]] = []
            for name in names:
                for kind in kinds:
                    if name.startswith(self._beginning(kind)):
                        (events if kind == "event" else others).append((kind, name))
            if others:
                yield await self._read(others)
            for start in range(0, len(events), _EVENTS_AT_ONCE):
                yield await self._read(events[start : start + _EVENTS_AT_ONCE])

    async def rewrite_log(self) -> bool:
        """Have the server write its append-only file anew, without what was erased; False: it does not let us.

        It goes on behind this call. Raises LedgerUnavailable.
        """
        with translated():
            try:
                await self._scripts.redis.bgrewriteaof()
            except server_errors.ResponseError as error:
                if translate(error) is not error:
                    raise
                return "already" in str(error)  # one is under way, or will be
        return True

    def _beginning(self, kind: Kind) -> str:
        keys = self._keys
        beginnings: dict[Kind, str] = {
            "request": keys.invitation,
            "trail": keys.trail_entry,
            "act": keys.act,
            "event": keys.intake,
        }
        return beginnings[kind]

    async def _names(self) -> AsyncIterator[list[str]]:
        pattern = beginning_with(f"{self._keys.prefix}:")
        cursor: Any = 0
        while True:
            with translated():
                cursor, names = await self._scripts.redis.scan(cursor, match=pattern, count=_SCANNED_AT_ONCE)
            if names:
                yield [text(name) for name in names]
            if int(cursor) == 0:
                break

    async def _read(self, found: Sequence[tuple[Kind, str]]) -> list[Held]:
        ids = [name[len(self._beginning(kind)) :] for kind, name in found]
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for (kind, name), its_id in zip(found, ids, strict=True):
                    if kind == "request":
                        pipe.get(name)
                    else:
                        pipe.hgetall(name)
                    if kind == "event":
                        pipe.get(self._keys.intake_body + its_id)
                replies = iter(await pipe.execute())
        held = []
        for (kind, _), its_id in zip(found, ids, strict=True):
            words = _words(next(replies))
            if kind == "event" and (body := next(replies)) is not None:
                words["body"] = text(body)
            if words:
                held.append(Held(kind=kind, id=its_id, words=words))
        return held


def _words(reply: Any) -> dict[str, str]:
    if isinstance(reply, dict):
        return {text(name): text(value) for name, value in reply.items()}
    return {} if reply is None else {"record": text(reply)}
