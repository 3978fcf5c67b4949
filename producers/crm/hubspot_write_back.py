"""Which contact properties hear of a request's end: the setting CRM_HUBSPOT_WRITE_BACK. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

#: What may be told of a request; the property's name is the operator's choice.
TOLD = ("link", "state", "reason")
EXAMPLE = '{"link": "linkferry_link", "state": "linkferry_state", "reason": "linkferry_reason"}'

#: A property's internal name, as HubSpot allows it.
_PROPERTY = re.compile(r"[a-z][a-z0-9_]{0,99}")


class WriteBackError(ValueError):
    """The setting makes no sense. The text goes on after its name and says what to write instead."""


@dataclass(frozen=True, slots=True)
class WriteBack:
    """The property for each thing that is told; what is not named is not told."""

    properties: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> WriteBack:
        """Return what *text* (JSON, such as `EXAMPLE`) asks for. Raises WriteBackError."""
        try:
            written = json.loads(text)
        except (ValueError, RecursionError):
            raise WriteBackError(f"is not JSON. Write {EXAMPLE}.") from None
        if not isinstance(written, dict) or not written or not set(written) <= set(TOLD):
            raise WriteBackError(f"may name {', '.join(TOLD)} and nothing else. Write {EXAMPLE}.")
        for told, name in written.items():
            if not isinstance(name, str) or not _PROPERTY.fullmatch(name):
                raise WriteBackError(
                    f"names no property for {told}: write its internal name, such as linkferry_{told}."
                )
        if len(set(written.values())) < len(written):
            raise WriteBackError("names one property twice: each thing that is told needs its own.")
        return cls(written)
