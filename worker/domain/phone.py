"""Telephone numbers: as people write them → digits with country code; and the masks for what may be kept.

Israeli numbers are read by our own rules: Google's metadata calls freshly allotted ranges invalid and takes
truncated numbers for possible ones. `phonenumbers` (20 µs a number, and slow to import) reads only the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.domain.names import ascii_digits, clean_text

if TYPE_CHECKING:
    import phonenumbers

MAX_DIGITS = 15  #: E.164
_SHORTEST_NUMBER = 7
_SHORTEST_FOREIGN = 11  # with country code; shorter ones without a plus are more likely mistyped Israeli ones
_LONGEST_TEXT = 100
_SHARED_PREFIXES = "69"  # 056 and 059 are used on both sides of the green line

_is_israeli_mobile = re.compile(r"5\d{8}").fullmatch
_is_israeli_fixed = re.compile(r"[23489]\d{7}|7\d{8}").fullmatch
# 1-700, 1-800, 1-599 … are dialled within Israel only and can hold no WhatsApp account.
_is_israeli_special = re.compile(r"1[2-9]\d{6,8}|1[78]00\d{6,7}").fullmatch

_has_lost_digits = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE]\+?\d+").fullmatch
_is_whole_float = re.compile(r"\d{5,}\.0+").fullmatch
_has_extension = re.compile(r"\d\D*?(?:ext|x\s*\d|#\s*\d|שלוחה)", re.IGNORECASE).search
_split_alternatives = re.compile(r"[/,;|\n]|\bor\b|\band\b|\bאו\b|&", re.IGNORECASE).split
_has_letters = re.compile(r"[^\W\d_]").search
_drop_separators = re.compile(r"[^\d]").sub


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that can be dialled from anywhere."""

    digits: str  #: country code first, no plus: 972501234567
    is_mobile: bool | None  #: None: its country's numbers do not tell
    warning: str | None = None  #: what a person should look at; the number is taken all the same


@dataclass(frozen=True, slots=True)
class PhoneProblem:
    """Why a text is no number we can use."""

    code: str
    message: str
    remedy: str = "Write one number with its country code, digits only, such as 972501234567."


def plain_mobile(text: str, region: str) -> str | None:
    """Return the digits of an Israeli mobile written in one of the two plain ways (972501234567, 0501234567).

    Nearly all numbers are, and this is ten times as quick as reading the rest. None means: read it in full.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) == 12 and text.startswith("9725"):
        return text
    is_national = len(text) == 10 and text.startswith("05") and region == "IL"
    return "972" + text[1:] if is_national and text[2] not in _SHARED_PREFIXES else None


def normalise_number(text: str, *, region: str = "IL") -> PhoneNumber | PhoneProblem:
    """Return the number that *text* means when written in *region*, or what is wrong with it."""
    if digits := plain_mobile(text, region):
        return PhoneNumber(digits, is_mobile=True)
    if len(text) > _LONGEST_TEXT:
        return PhoneProblem("too_long", f"is longer than {_LONGEST_TEXT} characters")
    cleaned = _tidy(text)
    return _obvious_problem(cleaned, region) or _by_country(cleaned, region)


def _by_country(text: str, region: str) -> PhoneNumber | PhoneProblem:
    digits = _drop_separators("", text)
    is_international = text.startswith(("+", "(+"))
    if digits.startswith("00"):
        digits, is_international = digits[2:], True
    if digits.startswith("972") and (is_international or len(digits) >= _SHORTEST_FOREIGN):
        return _israeli(digits[3:], is_national=False)
    if region != "IL" or is_international:
        return _foreign(digits, region, is_international=is_international)
    found = _israeli(digits, is_national=True)
    if isinstance(found, PhoneNumber) or digits.startswith("0") or found.code == "not_registrable":
        return found
    return _foreign_without_plus(digits) or found


def _tidy(text: str) -> str:
    cleaned = ascii_digits(clean_text(text)).replace("＋", "+").removeprefix("tel:").removeprefix("'").strip()
    # A spreadsheet's number column: 501234567.0 is 501234567.
    return cleaned.partition(".")[0] if _is_whole_float(cleaned) else cleaned


def _obvious_problem(text: str, region: str) -> PhoneProblem | None:
    """Name what can be seen before any digit is weighed."""
    if not any(sign.isdigit() for sign in text):
        return PhoneProblem("not_a_number", "holds no telephone number")
    if _has_lost_digits(text):
        return PhoneProblem(
            "digits_lost",
            "was turned into a rounded figure by a spreadsheet (…E+08), its last digits are lost",
            "Format the column as text in the spreadsheet and enter the number again.",
        )
    return _several_numbers(text) or _no_direct_number(text) or _dialled_abroad(text, region)


def _several_numbers(text: str) -> PhoneProblem | None:
    parts = [part.strip() for part in _split_alternatives(text)]
    digits = [len(_drop_separators("", part)) for part in parts]
    words = [word for word in text.split() if len(_drop_separators("", word)) >= _SHORTEST_NUMBER + 2]
    has_several = (
        len(words) > 1
        or sum(count >= _SHORTEST_NUMBER for count in digits) > 1
        # 050… / 052…: the second begins like a number of its own; 03/1234567 is one number.
        or (digits[0] >= 3 and any(part[0] in "0+" and len(part) > 3 for part in parts[1:] if part))
    )
    if not has_several:
        return None
    return PhoneProblem(
        "two_numbers",
        "holds two numbers in one cell",
        "Keep one number, and give the other a row of its own if it is to be onboarded too.",
    )


def _no_direct_number(text: str) -> PhoneProblem | None:
    if _has_extension(text):
        return PhoneProblem(
            "extension",
            "has an extension, and an extension can take neither a link nor an SMS",
            "Write a direct number without an extension.",
        )
    if _has_letters(text):
        return PhoneProblem("letters", "holds letters")
    if "*" in text or len(_drop_separators("", text)) < _SHORTEST_NUMBER:
        return PhoneProblem(
            "short_code",
            "is a short code or is too short for a telephone number",
            "Write the full number behind it, with its country code, such as 972501234567.",
        )
    return None


def _dialled_abroad(text: str, region: str) -> PhoneProblem | None:
    if region in {"US", "CA"} or not _drop_separators("", text).startswith("011"):
        return None
    return PhoneProblem(
        "dialling_prefix",
        "begins with 011, which is how America dials abroad and no part of the number",
        "Leave 011 out: 972501234567 instead of 011972501234567.",
    )


def _israeli(digits: str, *, is_national: bool) -> PhoneNumber | PhoneProblem:
    """Read a number of +972, with or without its trunk 0 (which many write after the country code too)."""
    nsn = digits.removeprefix("0")
    if _is_israeli_mobile(nsn):
        return _israeli_mobile(nsn, is_national=is_national)
    if _is_israeli_fixed(nsn):
        return PhoneNumber("972" + nsn, is_mobile=False)
    if _is_israeli_special(digits):
        return PhoneProblem(
            "not_registrable",
            "is a service number (1-700, 1-800 and the like), which can hold no WhatsApp account",
            "Write the mobile or fixed number of the business.",
        )
    return _misshapen(nsn)


def _misshapen(nsn: str) -> PhoneProblem:
    """Say in which way the national digits *nsn* are no Israeli number."""
    wanted = 9 if nsn[:1] in {"5", "7"} else 8
    if nsn[:1] not in set("2345789"):
        return PhoneProblem("unknown_prefix", "begins like no Israeli number")
    difference = len(nsn) - wanted
    if difference < 0:
        return PhoneProblem("too_short", f"is {-difference} digit{_plural(-difference)} short")
    return PhoneProblem("too_long", f"has {difference} digit{_plural(difference)} too many")


def _israeli_mobile(nsn: str, *, is_national: bool) -> PhoneNumber:
    warning = None
    if is_national and nsn[1] in _SHARED_PREFIXES:
        warning = (
            f"0{nsn[:2]} is used in Israel (+972) and by Palestinian operators (+970); "
            "it was read as +972: write the country code if that is wrong"
        )
    return PhoneNumber("972" + nsn, is_mobile=True, warning=warning)


def _foreign_without_plus(digits: str) -> PhoneNumber | None:
    """Read digits that are no Israeli number as country code and number, when that makes a valid one."""
    if len(digits) < _SHORTEST_FOREIGN:
        return None
    found = _foreign(digits, "IL", is_international=True)
    if isinstance(found, PhoneProblem) or found.warning:
        return None
    return PhoneNumber(
        found.digits, found.is_mobile, "was read as a number outside Israel; write + before it to be sure"
    )


def _foreign(digits: str, region: str, *, is_international: bool) -> PhoneNumber | PhoneProblem:
    if len(digits) > MAX_DIGITS + 2:
        return PhoneProblem(
            "too_long", f"has {len(digits)} digits; no telephone number has over {MAX_DIGITS}"
        )
    import phonenumbers  # late: most rows never need it, and it takes 40 ms to load

    try:
        parsed = phonenumbers.parse("+" + digits if is_international else digits, region)
    except phonenumbers.NumberParseException:
        return PhoneProblem("not_a_number", "is no telephone number of any country")
    if parsed.country_code == 972:
        return _israeli(str(parsed.national_number), is_national=not is_international)
    # `is_possible_number` would take numbers without their area code, too.
    if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return PhoneProblem("impossible", f"has a length that no number of +{parsed.country_code} has")
    is_valid = phonenumbers.is_valid_number(parsed)
    return PhoneNumber(
        phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)[1:],
        is_mobile=_is_mobile(parsed) if is_valid else None,
        warning=None if is_valid else f"is in no range of +{parsed.country_code} that is known to be in use",
    )


def _is_mobile(parsed: phonenumbers.PhoneNumber) -> bool | None:
    import phonenumbers

    kind = phonenumbers.number_type(parsed)
    if kind in {phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE, phonenumbers.PhoneNumberType.UNKNOWN}:
        return None
    return bool(kind == phonenumbers.PhoneNumberType.MOBILE)


def _plural(count: int) -> str:
    return "" if count == 1 else "s"


# --- masks -------------------------------------------------------------------------------------------------

_find_urls = re.compile(
    r"(https?:\\?/\\?/)(?:[^\s/\\?#@\"'<>]{1,200}@)?([^\s/\\?#@\"'<>]{1,253})[^\s\"'<>]*", re.IGNORECASE
)
_find_bare_links = re.compile(r"(?<![\w./@-])([\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\\?/)[^\s\"'<>*][^\s\"'<>]*")
# Bounded on the left, so that a hostile answer of 64 KiB without any @ costs a pass and not its square.
_find_emails = re.compile(r"[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_find_numbers = re.compile(r"(?<!\d)(?!\d{4}-\d\d-\d\d(?!\d))\+?\d(?:[ ().-]{0,2}\d){6,}")


def mask_number(digits: str) -> str:
    """Return *digits* with all but the first four and the last two as stars (`9725******67`)."""
    if len(digits) < 9:
        return "*" * max(0, len(digits) - 2) + digits[-2:]
    return digits[:4] + "*" * (len(digits) - 6) + digits[-2:]


def mask_email(address: str) -> str:
    """Return *address* with its first letter and domain alone (`d***@example.com`)."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}" if at else "***"


def mask_text(text: str) -> str:
    """Return *text* with every number of seven digits or more, e-mail address and URL's path masked."""
    text = _find_bare_links.sub(r"\1***", _find_urls.sub(r"\1\2/***", text))
    if "@" in text:
        text = _find_emails.sub(lambda match: mask_email(match[0]), text)
    return _find_numbers.sub(lambda match: mask_number(_drop_separators("", match[0])), text)
