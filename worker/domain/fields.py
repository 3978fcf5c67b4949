"""The rules of single fields: one text in, one value out, and what is wrong with it said so that it teaches.

Lengths and character sets are the partner's (its onboarding calls); where it documents none they are ours.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from worker.domain.names import acceptable_name, ascii_digits, is_plain_name
from worker.domain.phone import PhoneProblem, normalise_number, plain_mobile
from worker.domain.request import COEXISTENCE

_EMAIL_LIMIT = 254  #: RFC 5321
_QUOTED_LIMIT = 40

_is_email = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(?:[A-Za-z]{2,63}|xn--[A-Za-z0-9-]{1,59})"
).fullmatch
_is_url = re.compile(
    r"(https?)://[^\s/?#@:\\]+\.[^\s/?#@:\\]+(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE
).fullmatch
_is_plain_url = re.compile(r"[^\\\"'<>`{}|^]+").fullmatch
_is_image = re.compile(r"\.(?:png|jpe?g)(?:$|[?#])", re.IGNORECASE).search
_is_whole_float = re.compile(r"\d+\.0+").fullmatch
_has_lost_digits = re.compile(r"\d+(?:[.,]\d+)?[eE]\+?\d+").fullmatch
_drop_separators = re.compile(r"[\s./\u2010-\u2015\u2212-]").sub

# Seen daily in hand-typed lists. Only a warning: some of these domains do take mail.
_MISTYPED_DOMAINS = {
    "gmial.com": "gmail.com",
    "gmai.com": "gmail.com",
    "gmal.com": "gmail.com",
    "gmail.co": "gmail.com",
    "gmail.con": "gmail.com",
    "gmail.co.il": "gmail.com",
    "gnail.com": "gmail.com",
    "hotmial.com": "hotmail.com",
    "hotmail.con": "hotmail.com",
    "hotmai.com": "hotmail.com",
    "outlok.com": "outlook.com",
    "yaho.com": "yahoo.com",
    "yahoo.con": "yahoo.com",
    "walla.com": "walla.co.il",
    "wala.co.il": "walla.co.il",
}
_SWITCHES = dict.fromkeys(("1", "yes", "y", "true", "on", "כן", "1.0"), True) | dict.fromkeys(
    ("0", "no", "n", "false", "off", "לא", "0.0"), False
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong (or doubtful) with one field, in words for the person who filled it in."""

    field: str  #: the canonical column
    code: str  #: stable word for programs: missing, too_long, not_digits, …
    message: str
    remedy: str


@dataclass(slots=True)
class Notes:
    """What has been found in one row so far: errors refuse it, warnings do not."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, name: str, code: str, message: str, remedy: str) -> None:
        """Note an error in the field *name*."""
        self.errors.append(Problem(name, code, message, remedy))

    def warn(self, name: str, code: str, message: str, remedy: str) -> None:
        """Note a warning about the field *name*."""
        self.warnings.append(Problem(name, code, message, remedy))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *word* was probably meant to be, or None."""
    found = difflib.get_close_matches(word[:_QUOTED_LIMIT].casefold(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def quote(text: str) -> str:
    """Return *text* in quotation marks, cut where it is long."""
    return f"“{text[:_QUOTED_LIMIT]}…”" if len(text) > _QUOTED_LIMIT else f"“{text}”"


def choose(name: str, text: str, known: Iterable[str], notes: Notes) -> None:
    """Refuse *text* as none of the *known* values, proposing the nearest."""
    values = list(known)
    near = nearest(text, values)
    remedy = f"Did you mean {near}? " if near else ""
    notes.refuse(
        name, "unknown_value", f"{name} {quote(text)} is not known", f"{remedy}Known: {', '.join(values)}."
    )


def read_text(name: str, text: str, limit: int, notes: Notes) -> str | None:
    """Return free text of at most *limit* characters."""
    if len(text) <= limit:
        return text
    notes.refuse(
        name,
        "too_long",
        f"{name} has {len(text)} characters; at most {limit} are taken",
        f"Shorten it by {len(text) - limit}.",
    )
    return None


def read_whatsapp(text: str, region: str, notes: Notes) -> str | None:
    """Return the digits of the number to be onboarded, or `1` for coexistence."""
    if digits := plain_mobile(text, region):
        return digits
    if text in {"1", "1.0"} or text.casefold() == "coexistence":
        return COEXISTENCE
    if text.isalpha() and nearest(text, ["coexistence"]):
        notes.refuse(
            "whatsapp",
            "unknown_value",
            f"whatsapp {quote(text)} is neither a number nor coexistence",
            "Did you mean coexistence (or 1)? Else write the number, such as 972501234567.",
        )
        return None
    found = normalise_number(text, region=region)
    if isinstance(found, PhoneProblem):
        notes.refuse("whatsapp", found.code, f"whatsapp {found.message}", found.remedy)
        return None
    if found.warning:
        notes.warn("whatsapp", "check_number", f"whatsapp {found.warning}", "Check the number.")
    return found.digits


def read_contact_phone(text: str, region: str, notes: Notes) -> str | None:
    """Return the digits of the number that the invitation's SMS goes to; warn where none can arrive."""
    if digits := plain_mobile(text, region):
        return digits
    found = normalise_number(text, region=region)
    if isinstance(found, PhoneProblem):
        notes.refuse("phone", found.code, f"phone {found.message}", found.remedy)
        return None
    if found.warning:
        notes.warn("phone", "check_number", f"phone {found.warning}", "Check the number.")
    if found.is_mobile is False:
        notes.warn(
            "phone",
            "not_mobile",
            "phone is no mobile number, and only a mobile can take the SMS",
            "Write a mobile number, or fill in email.",
        )
    return found.digits


def read_email(name: str, text: str, notes: Notes, *, limit: int = _EMAIL_LIMIT) -> str | None:
    """Return the address with its domain in lower case."""
    if len(text) > limit:
        return read_text(name, text, limit, notes)
    if not _is_email(text) or text.index("@") > 64:
        notes.refuse(name, "not_an_email", f"{name} {_email_fault(text)}", "Write it like dana@example.com.")
        return None
    local, _, domain = text.partition("@")
    domain = domain.lower()
    if domain in _MISTYPED_DOMAINS:
        notes.warn(
            name,
            "check_email",
            f"{name} ends in @{domain}, which is often a slip of the keyboard",
            f"Did you mean @{_MISTYPED_DOMAINS[domain]}?",
        )
    return f"{local}@{domain}"


def _email_fault(text: str) -> str:
    if "@" not in text:
        return "has no @"
    if text.count("@") > 1:
        return "has more than one @: keep one address"
    if not text.isascii():
        return "holds letters that are not Latin, which mail servers do not take"
    if " " in text or "<" in text:
        return "must be the bare address, without spaces, names or brackets"
    return "is no e-mail address"


def read_digits(name: str, text: str, limit: int, notes: Notes) -> str | None:
    """Return digits only, at most *limit*; hyphens and spaces between them are left out with a warning."""
    plain = ascii_digits(text)
    if _has_lost_digits(plain):
        notes.refuse(
            name,
            "digits_lost",
            f"{name} was turned into a rounded figure by a spreadsheet (…E+08), its last digits are lost",
            "Format the column as text in the spreadsheet and enter it again.",
        )
        return None
    if _is_whole_float(plain):
        plain = plain.partition(".")[0]
    if not plain.isdecimal():
        bare = _drop_separators("", plain)
        if not bare.isdecimal():
            notes.refuse(name, "not_digits", f"{name} takes digits only", "Remove letters and other signs.")
            return None
        notes.warn(name, "separators_dropped", f"{name} takes digits only, so {bare} is sent", "None needed.")
        plain = bare
    return read_text(name, plain, limit, notes)


def read_integer(name: str, text: str, limit: int, notes: Notes) -> int | None:
    """Return a whole number above 0 of at most *limit* digits."""
    digits = read_digits(name, text, limit, notes)
    if digits is None:
        return None
    if int(digits) == 0:
        notes.refuse(name, "not_above_zero", f"{name} is 0", "Write the id, or leave the field empty.")
        return None
    return int(digits)


def read_logo(text: str, notes: Notes) -> str | None:
    """Return the https address of the logo."""
    name = "onboarding_logo"
    match = _is_url(text)
    if match is None or match[1].lower() != "https":
        notes.refuse(
            name,
            "not_https",
            f"{name} must be a web address that begins with https://",
            "Put a 200×60 px png or jpg on the web and write its full address: https://example.com/logo.png.",
        )
        return None
    if not _is_image(text):
        notes.warn(
            name, "check_logo", f"{name} does not end in .png or .jpg", "It must be a 200×60 px png or jpg."
        )
    return read_text(name, text, 1000, notes)


def read_https(name: str, text: str, notes: Notes, *, limit: int, example: str) -> str | None:
    """Return an address that begins with https:// and holds nothing that a message could not carry."""
    match = _is_url(text)
    if match is None or match[1].lower() != "https":
        notes.refuse(
            name,
            "not_https",
            f"{name} must be a web address that begins with https://",
            f"Write it in full: {example}.",
        )
        return None
    if not text.isascii() or not _is_plain_url(text):
        notes.refuse(
            name,
            "bad_url",
            f"{name} holds signs that a web address has to write in another way",
            "Open the page and copy the address from the browser's address bar.",
        )
        return None
    if not _has_sound_port(text):
        remedy = "Leave the port out, or write one up to 65535."
        notes.refuse(name, "bad_url", f"{name} has a port that there is not", remedy)
        return None
    return read_text(name, text, limit, notes)


def _has_sound_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def read_server(text: str, notes: Notes) -> str | None:
    """Return the address of the omni-channel server."""
    if not _is_url(text):
        notes.refuse(
            "server",
            "not_a_url",
            "server must be a web address",
            "Write it in full: https://chat.example.com.",
        )
        return None
    return read_text("server", text, 200, notes)


def read_switch(name: str, text: str, notes: Notes) -> bool:
    """Return whether *text* says yes."""
    found = _SWITCHES.get(text.casefold())
    if found is None:
        notes.refuse(
            name, "unknown_value", f"{name} {quote(text)} is neither yes nor no", "Write 1 or 0 (yes or no)."
        )
        return False
    return found


def read_name(name: str, text: str, limit: int, notes: Notes, *, accept: bool) -> str | None:
    """Return a text of letters, numbers, hyphens and spaces; what is refused is mended with a warning.

    A text that is too long is refused with the shortened form proposed, unless *accept*.
    """
    if is_plain_name(text, limit):
        return text
    found = acceptable_name(text, limit)
    if not found.is_altered:
        return found.text
    whole = acceptable_name(text, len(text)).text
    if not whole:
        notes.refuse(name, "no_letters", f"{name} holds no letter or number", "Write the name in letters.")
        return None
    if len(whole) > limit and not accept:
        notes.refuse(
            name,
            "too_long",
            f"{name} has {len(whole)} characters; at most {limit} are taken",
            f"Shorten it, for example to {found.text}",
        )
        return None
    notes.warn(
        name,
        "altered",
        f"{name} may hold only letters, numbers, hyphens and spaces (at most {limit}), so “{found.text}” is sent",
        "Check that it still reads well; messages keep the name as you wrote it."
        if name == "business_name"
        else "Check that it still reads well.",
    )
    return found.text


def read_display_name(text: str, notes: Notes, *, accept: bool) -> str | None:
    """Return the name customers will see in WhatsApp; altered only where *accept*, as it can't be changed later."""
    name, limit = "display_name", 50
    if len(text) >= 3 and is_plain_name(text, limit):
        _warn_of_meta_rules(text, notes)
        return text
    found = acceptable_name(text, limit)
    if len(found.text) < 3:
        notes.refuse(
            name,
            "too_short",
            f"{name} has under 3 letters or numbers, WhatsApp's least",
            "Write the brand in full.",
        )
        return None
    if found.is_altered and not accept:
        code, why = (
            ("too_long", f"has {len(text)} characters; at most {limit} are taken")
            if acceptable_name(text, len(text)).text == text
            else ("refused_characters", "may hold only letters, numbers, hyphens and spaces")
        )
        notes.refuse(
            name,
            code,
            f"{name} {why}, and it cannot be changed later, so it is not altered unasked",
            f"Write {found.text} (or a form you like better), or have altered names accepted (`--accept-names` on the command line, ACCEPT_NAMES=1 among a CRM's settings).",
        )
        return None
    if found.is_altered:
        notes.warn(name, "altered", f"{name} “{found.text}” is sent", "It cannot be changed later: check it.")
    _warn_of_meta_rules(found.text, notes)
    return found.text


def _warn_of_meta_rules(text: str, notes: Notes) -> None:
    """Warn of what WhatsApp's reviewers turn down (its display-name guidelines); a person decides."""
    folded = text.casefold()
    if "whatsapp" in folded or "facebook" in folded or "instagram" in folded:
        message = "display_name names a Meta product, which WhatsApp's reviewers turn down"
    elif text.isupper() and text.isascii() and len(text) > 5:
        message = "display_name is all capitals, which WhatsApp's reviewers take for acronyms only"
    elif folded.startswith("www ") or folded.endswith((" com", " co il")):
        message = "display_name looks like a web address, which WhatsApp's reviewers turn down"
    elif text.replace(" ", "").isdecimal():
        message = "display_name is digits only and should resemble the brand"
    else:
        return
    notes.warn(
        "display_name", "check_name", message, "It cannot be changed later: write the brand's own name."
    )
