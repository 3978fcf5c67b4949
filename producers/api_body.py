"""The API's request body: which names it may have and of what types, and its way to the fields of a request.

One table describes the body; the reading of it, its errors and `/openapi.json` all come from there.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.parse import Problem
from worker.domain.request import Product
from worker.domain.states import Channel, ChannelPolicy

MAX_DELAY = timedelta(
    days=366
)  #: a later `not_before` is taken for a mistake, such as milliseconds for seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One name that the body may have."""

    name: str
    meaning: str
    types: tuple[str, ...] = ("string",)  #: JSON types, as JSON Schema calls them
    max_length: int | None = None  #: characters of a string, before anything is made of it
    enum: tuple[str, ...] = ()  #: of its items, where it is an array
    default: Any = None
    example: Any = None


#: The names of the body that stand for one value each.
MEMBERS = (
    Member(
        name="whatsapp",
        meaning="The number to connect, in any usual form; `1` asks for coexistence. Mandatory for `whatsapp`.",
        types=("string", "integer"),
        max_length=64,
        example="0501234567",
    ),
    Member(
        name="business_name",
        meaning="Mandatory for `whatsapp`, which takes at most 100 characters.",
        max_length=200,
        example="Dana Flowers Ltd",
    ),
    Member(
        name="display_name",
        meaning="What WhatsApp shows; it cannot be changed later. Mandatory for `whatsapp`.",
        max_length=50,
        example="Dana Flowers",
    ),
    Member(
        name="business_email",
        meaning="The business's own address.",
        max_length=200,
        example="office@example.com",
    ),
    Member(
        name="business_id",
        meaning="Digits only.",
        types=("string", "integer"),
        max_length=20,
        example="514321987",
    ),
    Member(name="business_address", meaning="Free text.", max_length=300, example="1 Herzl St, Haifa"),
    Member(
        name="onboarding_logo",
        meaning="https URL of a 200×60 px png or jpg.",
        max_length=1000,
        example="https://example.com/logo.png",
    ),
    Member(
        name="onboarding_message",
        meaning="Shown on the onboarding page.",
        max_length=200,
        example="Welcome aboard",
    ),
    Member(
        name="reference",
        meaning="Your own; it comes back in answers and events.",
        max_length=50,
        example="order-1001",
    ),
    Member(
        name="basic_templates",
        meaning="Also submit three Hebrew starter templates.",
        types=("boolean", "integer", "string"),
        example=True,
    ),
    Member(
        name="type",
        meaning="The kind of a Facebook link, 1 to 4, where `products` says just `facebook`.",
        types=("integer", "string"),
        example=1,
    ),
    Member(
        name="server",
        meaning="Facebook: server URL of omni-channel users.",
        max_length=200,
        example="https://chat.example.com",
    ),
    Member(
        name="account_id",
        meaning="Facebook: omni-channel users.",
        types=("integer", "string"),
        max_length=50,
        example=12,
    ),
    Member(
        name="inbox_id",
        meaning="Facebook: omni-channel users.",
        types=("integer", "string"),
        max_length=50,
        example=34,
    ),
    Member(
        name="external_id", meaning="The customer's id in your CRM.", max_length=200, example="contact-77"
    ),
    Member(name="channel_policy", meaning="Which channels get a message.", enum=tuple(ChannelPolicy)),
    Member(
        name="brand",
        meaning="Who the messages are from: the name of a brand profile. Without it the default's.",
        max_length=40,
        example="acme",
    ),
    Member(
        name="agreed",
        meaning='The customer asked for this: messages say "as agreed".',
        types=("boolean", "integer", "string"),
        example=True,
    ),
)
PRODUCTS = Member(
    name="products",
    meaning="One link is made for each.",
    types=("array",),
    enum=(*Product, "facebook"),
    default=[Product.WHATSAPP.value],
)
CHANNELS = Member(
    name="channels",
    meaning="How the invitation is sent, in order; without it the installation's default.",
    types=("array",),
    enum=tuple(Channel),
)
CONTACT = (
    Member(name="name", meaning="Whom the message greets.", max_length=200, example="Dana Levi"),
    Member(
        name="email", meaning="Where the invitation is mailed.", max_length=254, example="dana@example.com"
    ),
    Member(
        name="phone",
        meaning="Where the invitation is texted, in any usual form.",
        types=("string", "integer"),
        max_length=100,
        example="0501234567",
    ),
    Member(name="locale", meaning="Language of the message: `he` or `en`.", example="he"),
)
NOT_BEFORE = Member(
    name="not_before",
    meaning="Make the links no earlier than this: ISO 8601 with an offset, or Unix seconds.",
    types=("string", "number"),
)

_BY_NAME = {member.name: member for member in MEMBERS}
_CONTACT_BY_NAME = {member.name: member for member in CONTACT}
_ALL_NAMES = (*_BY_NAME, "products", "channels", "contact", "not_before")
#: Where the fields of a request lie in the body, when they are not at the same name.
_PLACES = {"product": "products", **{name: f"contact.{name}" for name in _CONTACT_BY_NAME}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What the body came to: fields as `parse_request` takes them, or problems."""

    fields: Mapping[str, str]
    not_before_ms: int | None
    problems: tuple[Problem, ...]


def read_members(document: Mapping[str, Any], *, now: datetime) -> Body:
    """Return the request's fields; every wrong name, type and time is among the problems."""
    problems: list[Problem] = []
    fields = _read_group(document, _BY_NAME, "", problems)
    fields["product"] = _read_list(document, PRODUCTS, problems) or Product.WHATSAPP.value
    if document.get("channels") is not None:
        fields["channels"] = _read_list(document, CHANNELS, problems) or "none"
    fields |= _read_contact(document.get("contact"), problems)
    not_before_ms = _read_not_before(document.get("not_before"), now, problems)
    return Body(
        fields={name: text for name, text in fields.items() if text},
        not_before_ms=not_before_ms,
        problems=tuple(problems),
    )


def placed(found: Problem) -> Problem:
    """Return the problem of a request's field under the name that the body has for it."""
    place = _PLACES.get(found.field, found.field)
    return Problem(field=place, code=found.code, message=found.message, remedy=found.remedy)


def _read_contact(contact: Any, problems: list[Problem]) -> dict[str, str]:
    if contact is None:
        return {}
    if not isinstance(contact, dict):
        problems.append(_wrong_type("contact", ("object",)))
        return {}
    return _read_group(contact, _CONTACT_BY_NAME, "contact.", problems)


def _read_group(
    document: Mapping[str, Any], members: Mapping[str, Member], prefix: str, problems: list[Problem]
) -> dict[str, str]:
    known = members if prefix else _ALL_NAMES
    fields = {}
    for name, value in document.items():
        if name not in known:
            problems.append(unknown_name(prefix + name, [prefix + each for each in known]))
        elif value is not None and (member := members.get(name)) is not None:
            fields[name] = _as_text(value, member, prefix + name, problems)
    return fields


def _as_text(value: Any, member: Member, place: str, problems: list[Problem]) -> str:
    if json_type(value) not in member.types:
        problems.append(_wrong_type(place, member.types))
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str) and member.max_length is not None and len(value) > member.max_length:
        problems.append(_too_long(place, len(value), member.max_length))
        return ""
    return _clean(str(value), place, problems)


def _clean(text: str, place: str, problems: list[Problem]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        problems.append(
            Problem(
                field=place,
                code="bad_text",
                message="the text holds half of a surrogate pair, which is no character",
                remedy="Send the text as UTF-8.",
            )
        )
        return ""
    return text


def _read_list(document: Mapping[str, Any], member: Member, problems: list[Problem]) -> str:
    value = document.get(member.name)
    if value is None:
        return ""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        problems.append(_wrong_type(member.name, ("array of strings",)))
        return ""
    return ";".join(_clean(word, member.name, problems) for word in value)


def _read_not_before(value: Any, now: datetime, problems: list[Problem]) -> int | None:
    if value is None:
        return None
    try:
        instant = _as_instant(value)
    except (ValueError, OverflowError, OSError):
        problems.append(
            Problem(
                field="not_before",
                code="bad_time",
                message="the time is neither ISO 8601 with an offset nor Unix seconds",
                remedy="Send for example 2030-01-31T08:00:00+02:00, or 1896069600.",
            )
        )
        return None
    if instant > now + MAX_DELAY:
        problems.append(
            Problem(
                field="not_before",
                code="too_far",
                message=f"the time lies more than {MAX_DELAY.days} days ahead",
                remedy="Unix time is in seconds here, not in milliseconds.",
            )
        )
        return None
    return math.ceil(instant.timestamp() * 1000) if instant > now else None


def _as_instant(value: Any) -> datetime:
    """Return the instant; raises ValueError (or what `datetime` raises) for anything else."""
    if isinstance(value, str):
        instant = datetime.fromisoformat(value.strip())
        if instant.tzinfo is None:
            raise ValueError("no offset")
        return instant
    if json_type(value) in {"integer", "number"}:
        return datetime.fromtimestamp(value, UTC)
    raise ValueError("no time")


def unknown_name(name: str, known: list[str]) -> Problem:
    """Return the problem of a name that means nothing here, with the nearest that does."""
    shown = name[:64].encode(errors="replace").decode()  # half of a surrogate pair could not be answered
    nearest = difflib.get_close_matches(shown, known, n=1, cutoff=0.5)
    remedy = f"Did you mean `{nearest[0]}`?" if nearest else f"Known names: {', '.join(known)}."
    return Problem(field=shown, code="unknown_field", message="there is no field of this name", remedy=remedy)


def _wrong_type(place: str, types: tuple[str, ...]) -> Problem:
    return Problem(
        field=place,
        code="wrong_type",
        message=f"the value must be {' or '.join(types)}",
        remedy=f"Send `{place}` as {types[0]}.",
    )


def _too_long(place: str, length: int, most: int) -> Problem:
    return Problem(
        field=place,
        code="too_long",
        message=f"the text has {length} characters; at most {most} are taken",
        remedy=f"Shorten it by {length - most}.",
    )


def json_type(value: Any) -> str:
    """Return what JSON Schema calls the type of a decoded value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, dict):
        return "object"
    return _TYPES.get(type(value), "null")


_TYPES: Mapping[type, str] = {str: "string", int: "integer", float: "number", list: "array"}
