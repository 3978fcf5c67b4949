"""Brand profiles: who a message says it is from, and how its customer can tell that it really is.

An operator keeps them in the ledger; a request names one, or gets the default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from worker.domain.fields import Notes, Problem, nearest, quote, read_email, read_https, read_text
from worker.domain.names import clean_text
from worker.domain.phone import PhoneProblem, normalise_number

#: All fields of a profile but its own name, in the order they are asked for and shown.
BRAND_FIELDS = (
    "name_he",
    "name_en",
    "logo",
    "colour",
    "contact_person",
    "phone",
    "reply_to",
    "sms_sender",
    "privacy_url",
    "verify_url",
)
NAME_LIMIT = 60  #: as BRAND_NAME's: a name shares its SMS with a link
_PERSON_LIMIT = 60
_URL_LIMIT = 500
_SMS_WORD_LIMIT = 11  #: GSM's longest sender in letters
_SERVICE_NUMBER = "not_registrable"  #: 1-700 and the like: the phone parser says it of WhatsApp accounts
_SHORT_CODE = range(3, 7)  #: digits of a number that is no telephone number

_is_slug = re.compile(r"[a-z0-9-]{1,40}", re.ASCII).fullmatch
_is_colour = re.compile(r"#?([0-9a-f]{6})", re.ASCII | re.IGNORECASE).fullmatch
_is_sms_word = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9 ]*[A-Za-z0-9])?", re.ASCII).fullmatch
_holds_link = re.compile(r"://|\bwww\.", re.IGNORECASE).search
_is_image = re.compile(r"\.(?:png|jpe?g)", re.IGNORECASE).search


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """One profile. Without a name of its own (`""`) it is what the settings say."""

    name: str  #: what requests call it: small letters, digits, hyphens
    name_he: str | None = None  #: as messages in Hebrew write it; one of the two is always there
    name_en: str | None = None
    logo: str | None = None  #: https, a png or jpg
    colour: str | None = None  #: #rrggbb, small letters
    contact_person: str | None = None
    phone: str | None = None  #: digits with country code, no plus
    reply_to: str | None = None
    sms_sender: str | None = None  #: at most 11 Latin letters and digits, or the digits of a number
    privacy_url: str | None = None
    verify_url: str | None = None  #: "is this message real?", on the agency's own site

    def called(self, locale: str) -> str:
        """Return the name in the language *locale* (`he` or `en`), or the one it has."""
        names = (self.name_en, self.name_he) if locale == "en" else (self.name_he, self.name_en)
        return names[0] or names[1] or self.name

    def document(self) -> dict[str, str]:
        """Return what is filled in, with the profile's own name, ready for JSON."""
        return {field: value for field, value in asdict(self).items() if value is not None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the brand that `document` wrote; names that this version does not know are let be."""
        return cls(
            name=document["name"], **{field: document[field] for field in BRAND_FIELDS if field in document}
        )


def brand_from_settings(
    *, brand_name: str | None, reply_to: str | None = None, sms_sender: str | None = None
) -> Brand:
    """Return the unnamed brand that the settings make, for a ledger that has no default."""
    return Brand(
        name="", name_he=brand_name, name_en=brand_name, reply_to=reply_to, sms_sender=sms_sender or None
    )


# --- what operators write --------------------------------------------------------------------------------


def parse_brand(fields: Mapping[str, str], *, region: str = "IL") -> tuple[Brand | None, list[Problem]]:
    """Return the brand that *fields* (`name` and `BRAND_FIELDS`; an empty one is unset) say, and what to look at.

    None with the errors where it can't be; else the problems are warnings.
    """
    notes = Notes()
    texts = {field: clean_text(text) for field, text in fields.items()}
    name = read_slug(texts.get("name", ""), notes)
    found = {
        field: _READERS[field](field, texts[field], region, notes)
        for field in BRAND_FIELDS
        if texts.get(field)
    }
    if not texts.get("name_he") and not texts.get("name_en"):
        notes.refuse(
            "name_he",
            "needs_a_name",
            "a brand needs the name that customers know, and neither name_he nor name_en is filled in",
            "Write it in Hebrew, in English or in both.",
        )
    if notes.errors:
        return None, notes.errors
    brand = Brand(name=name, **found)
    if not any(letter.isascii() and letter.isalnum() for letter in brand.called("en")):
        message = "English texts (SMS) will not say who they are from: no name in Latin letters is filled in"
        notes.warn("name_en", "no_latin_name", message, "Write name_en, if English customers get texts.")
    return brand, notes.warnings


def read_slug(text: str, notes: Notes) -> str:
    """Return the name by which requests call the brand."""
    if _is_slug(text):
        return text
    proposed = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:40]
    remedy = f"Write for example {proposed}." if proposed else "Write for example acme-north."
    if text:
        message = f"name {quote(text)} may hold only small Latin letters, digits and hyphens, at most 40"
        notes.refuse("name", "bad_name", message, remedy)
    else:
        notes.refuse("name", "needs_a_name", "name is missing: requests call the brand by it", remedy)
    return ""


def _read_words(limit: int) -> Callable[[str, str, str, Notes], str | None]:
    def read(field: str, text: str, _region: str, notes: Notes) -> str | None:
        if _holds_link(text):
            notes.refuse(
                field,
                "holds_link",
                f"{field} holds a web address, and messages carry no address in a name",
                "Write the name alone; the addresses have fields of their own.",
            )
            return None
        return read_text(field, text, limit, notes)

    return read


def _read_page(field: str, text: str, _region: str, notes: Notes) -> str | None:
    return read_https(field, text, notes, limit=_URL_LIMIT, example=f"https://acme.example/{_PAGES[field]}")


def _read_picture(field: str, text: str, region: str, notes: Notes) -> str | None:
    url = _read_page(field, text, region, notes)
    if url and not _is_image(url):
        message = f"{field} does not look like a .png or .jpg, and mail programs show no other kind"
        notes.warn(field, "check_picture", message, "Put a png or jpg there, at least 200 pixels wide.")
    return url


def _read_colour(field: str, text: str, _region: str, notes: Notes) -> str | None:
    # Without the # too: in a shell it begins a comment.
    if found := _is_colour(text):
        return f"#{found[1].lower()}"
    message = f"{field} {quote(text)} is not of the form #rrggbb"
    notes.refuse(field, "not_a_colour", message, "Write six hexadecimal digits, such as #0b6e4f.")
    return None


def _read_phone(field: str, text: str, region: str, notes: Notes) -> str | None:
    found = normalise_number(text, region=region)
    if isinstance(found, PhoneProblem) and found.code == _SERVICE_NUMBER:
        message = f"{field} is a service number, which cannot be called from everywhere"
        notes.refuse(field, "service_number", message, found.remedy)
        return None
    if isinstance(found, PhoneProblem):
        notes.refuse(field, found.code, f"{field} {found.message}", found.remedy)
        return None
    if found.warning:
        notes.warn(field, "check_number", f"{field} {found.warning}", "Check the number.")
    return found.digits


def _read_mail(field: str, text: str, _region: str, notes: Notes) -> str | None:
    return read_email(field, text, notes)


def _read_sms_sender(field: str, text: str, region: str, notes: Notes) -> str | None:
    if text.isascii() and text.isdigit() and len(text) in _SHORT_CODE:
        return text
    if _is_sms_word(text):
        if len(text) <= _SMS_WORD_LIMIT:
            return text
        message = f"{field} has {len(text)} characters; phones show at most {_SMS_WORD_LIMIT}"
        notes.refuse(
            field, "too_long", message, f"Shorten it, for example to {text[:_SMS_WORD_LIMIT].strip()}."
        )
        return None
    found = normalise_number(text, region=region)
    if isinstance(found, PhoneProblem):
        message = f"{field} {quote(text)} is neither at most {_SMS_WORD_LIMIT} Latin letters and digits nor a number"
        notes.refuse(field, "not_a_sender", message, "Write for example ACME or 972501234567.")
        return None
    return found.digits


_PAGES = {"logo": "logo.png", "privacy_url": "privacy", "verify_url": "is-it-us"}
_READERS: Mapping[str, Callable[[str, str, str, Notes], str | None]] = {
    "name_he": _read_words(NAME_LIMIT),
    "name_en": _read_words(NAME_LIMIT),
    "logo": _read_picture,
    "colour": _read_colour,
    "contact_person": _read_words(_PERSON_LIMIT),
    "phone": _read_phone,
    "reply_to": _read_mail,
    "sms_sender": _read_sms_sender,
    "privacy_url": _read_page,
    "verify_url": _read_page,
}


# --- what requests name ----------------------------------------------------------------------------------


def _linkferry() -> Brand:
    return brand_from_settings(brand_name="Linkferry")


class LiveBrands:
    """The brands as they stand, taken anew while others read them."""

    def __init__(self, fallback: Callable[[], Brand] = _linkferry) -> None:
        """Begin with none; *fallback* makes the settings' own when it is needed: in a ledger without a default."""
        self._make_fallback = fallback
        self._fallback: Brand | None = None
        self._brands: dict[str, Brand] = {}
        self._default: str | None = None
        self.version: int | None = None  #: of the brands it has taken; None: none yet

    def take(self, brands: Sequence[Brand], *, default: str | None, version: int) -> None:
        """Hold *brands* in place of all before; *default* is the name of the one for requests without."""
        self._brands = {brand.name: brand for brand in brands}
        self._default = default if default in self._brands else None
        self.version = version

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names that requests may use, sorted."""
        return tuple(sorted(self._brands))

    @property
    def default(self) -> str | None:
        """Return the name of the default, or None where it is the settings' own."""
        return self._default

    @property
    def own(self) -> Brand:
        """Return the settings' own."""
        if self._fallback is None:
            self._fallback = self._make_fallback()
        return self._fallback

    def named(self, name: str) -> Brand | None:
        """Return the brand called *name*, or None where there is none (any more)."""
        return self._brands.get(name)

    def chosen(self, name: str | None) -> Brand:
        """Return the brand called *name*, else the default, else the settings' own."""
        if name and (brand := self._brands.get(name)):
            return brand
        return self._brands[self._default] if self._default else self.own

    def is_removed(self, name: str | None) -> bool:
        """Tell whether *name* was asked for and is not there, so that `chosen` gives another."""
        return bool(name) and name not in self._brands


def read_brand(text: str, brands: LiveBrands | None, notes: Notes) -> str | None:
    """Return the name of the brand that a request asks for; without *brands* (or any read yet) it is let be."""
    name = text.casefold()
    if brands is None or brands.version is None:
        if _is_slug(name):
            return name
        notes.refuse("brand", "unknown_value", f"brand {quote(text)} is no brand's name", _remedy(name, ()))
        return None
    if brands.named(name) is None:
        known = brands.names
        notes.refuse("brand", "unknown_value", f"brand {quote(text)} is not known", _remedy(name, known))
        return None
    return name


def _remedy(name: str, known: Sequence[str]) -> str:
    if near := nearest(name, known):
        return f"Did you mean {near}? Known: {', '.join(known)}."
    listed = f"Known: {', '.join(known)}. " if known else ""
    # Lists of before this field existed may hold the name that WhatsApp shows in such a column.
    return (
        f"{listed}Add it with `linkferry brand add NAME`, or leave the field empty; "
        "the name that WhatsApp shows belongs in display_name."
    )
