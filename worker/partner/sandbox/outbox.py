"""The captured messages: what customers would have got. Nothing in here leaves the machine."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Captured:
    """One message as it would have reached its customer."""

    id: str
    kind: str  #: `mail` or `sms`
    at: float  #: unix seconds
    sender: str
    to: str
    subject: str = ""
    text: str = ""
    html: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    note: str = ""  #: `answer lost`: taken, though the sender never heard so


class Outbox:
    """Keeps the last messages in memory and, where *folder* is given, each in a file of its own."""

    def __init__(self, *, most: int = 20_000, folder: Path | None = None) -> None:
        self._most = most
        self._folder = folder
        self._kept: OrderedDict[str, Captured] = OrderedDict()
        self._count = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._read(folder)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def total(self) -> int:
        """Return how many messages were ever captured, those let go of included."""
        return self._count

    def get(self, entry_id: str) -> Captured | None:
        """Return the message with that id."""
        return self._kept.get(entry_id)

    def newest(self, *, kind: str | None = None, to: str | None = None) -> Iterator[Captured]:
        """Yield the messages, newest first; *to* is any part of the recipient."""
        for entry in reversed(list(self._kept.values())):
            if (kind is None or entry.kind == kind) and (to is None or to.lower() in entry.to.lower()):
                yield entry

    def clear(self) -> None:
        """Let go of everything."""
        for entry_id in list(self._kept):
            self._forget(entry_id)

    def add_mail(self, sender: str, recipients: list[str], content: bytes, *, note: str = "") -> Captured:
        """Capture one mail as it came over SMTP."""
        message = message_from_bytes(content, policy=policy.default)
        return self._add(
            kind="mail",
            sender=sender,
            to=", ".join(recipients),
            subject=str(message.get("Subject", "")),
            text=_part(message, "plain"),
            html=_part(message, "html"),
            headers={name: str(value) for name, value in message.items()},
            note=note,
        )

    def add_sms(
        self, sender: str, to: str, text: str, *, headers: Mapping[str, str], note: str = ""
    ) -> Captured:
        """Capture one text message; *headers* tells by which provider's way it came."""
        return self._add(kind="sms", sender=sender, to=to, text=text, headers=dict(headers), note=note)

    def _add(self, **fields: Any) -> Captured:
        self._count += 1
        entry = Captured(id=f"{self._count:06d}", at=time.time(), **fields)
        self._kept[entry.id] = entry
        if self._folder is not None:
            self._file(entry.id).write_text(json.dumps(asdict(entry), ensure_ascii=False), encoding="utf-8")
        while len(self._kept) > self._most:
            self._forget(next(iter(self._kept)))
        return entry

    def _forget(self, entry_id: str) -> None:
        self._kept.pop(entry_id, None)
        if self._folder is not None:
            self._file(entry_id).unlink(missing_ok=True)

    def _file(self, entry_id: str) -> Path:
        if self._folder is None:
            raise RuntimeError("the outbox has no folder")
        return self._folder / f"{entry_id}.json"

    def _read(self, folder: Path) -> None:
        for path in sorted(folder.glob("*.json"))[-self._most :]:
            try:
                entry = Captured(**json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError):  # half-written by a process that was killed
                continue
            self._kept[entry.id] = entry
            self._count = max(self._count, int(entry.id))


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, UnicodeError):  # a charset that nobody knows
        return str(part.get_payload())
