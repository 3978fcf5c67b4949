"""Messages as they leave us: what a dispatcher is handed, composed and ready, and who it comes from."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr

from worker.domain.brand import Brand

_NAME_LIMIT = 64
_WWW = re.compile(r"www\.", re.IGNORECASE)
#: `bit.ly/x` without a scheme: mail and message programs make a link of it. A bare `booking.com` is a business's name.
_PATH = re.compile(r"(?<=\w)(\.[^\W\d_]{2,})(?::\d+)?[/?#]+(?=\S)")
#: Gershayim and geresh as they are typed, between Hebrew letters: a bare quotation mark has no place in a display name.
_TYPED_GERSHAYIM = re.compile(r"(?<=[\u05d0-\u05ea])[\"\u201c\u201d](?=[\u05d0-\u05ea])")
#: Letters, digits and spaces aside, what a display name keeps: all else in ASCII has a meaning somewhere in RFC 5322.
_NAME_MARKS = frozenset("-'&!+\u05be\u05f3\u05f4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who messages come from, as the customer reads it."""

    address: str
    brand_name: str
    reply_to: str | None = None

    @classmethod
    def parse(cls, email_from: str, *, brand_name: str | None = None, reply_to: str | None = None) -> Sender:
        """Return the sender for EMAIL_FROM (`Acme <links@acme.example>` or an address alone).

        Without a *brand_name* the display name serves, else the address's domain. *reply_to* may be written in
        either form. Raises ValueError where no usable address is in one of them.
        """
        address = _bare_address(email_from)
        if address is None:
            raise ValueError("EMAIL_FROM names no usable address: write `Name <address@domain>`")
        answers = _bare_address(reply_to) if reply_to else None
        if reply_to and answers is None:
            raise ValueError("MAIL_REPLY_TO names no usable address: write address@domain")
        return cls(
            address=address,
            brand_name=without_links(brand_name or parseaddr(email_from)[0]) or address.rpartition("@")[2],
            reply_to=answers,
        )

    def for_brand(self, brand: Brand, locale: str) -> Sender:
        """Return this sender under *brand*'s name and with where it wants answers; the address stays."""
        return Sender(
            address=self.address,
            brand_name=without_links(brand.called(locale)) or self.brand_name,
            reply_to=brand.reply_to or self.reply_to,
        )

    @property
    def domain(self) -> str:
        """Return the domain of the sender's address."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailMessage:
    """One e-mail, composed. Encoded twice it is the same bytes, part boundary and all."""

    delivery_id: str
    sender: Sender
    to: str
    to_name: str | None
    subject: str
    html: str
    text: str
    dated_at: datetime  #: the Date header: fixed by the caller, so that a resend may carry the first one's
    failures: int = 0  #: sends of this delivery that failed so far: they lengthen the next wait

    @property
    def message_id(self) -> str:
        """Return the Message-ID: the same for every send of one delivery, so that mailboxes drop the second."""
        return f"<{_mark(self.delivery_id)}@{self.sender.domain}>"

    def as_email(self) -> EmailMessage:
        """Return the whole e-mail: plain text first, HTML as its better twin (RFC 2046, 5.1.4)."""
        email = EmailMessage(policy=SMTP_POLICY)
        email["From"] = Address(
            display_name=header_name(self.sender.brand_name), addr_spec=self.sender.address
        )
        email["To"] = Address(
            display_name=header_name(self.to_name or ""), addr_spec=envelope_address(self.to) or self.to
        )
        if self.sender.reply_to:
            reply_to = envelope_address(self.sender.reply_to) or self.sender.reply_to
            email["Reply-To"] = Address(addr_spec=reply_to)
        email["Subject"] = plain_text(self.subject)
        email["Date"] = format_datetime(self.dated_at)
        email["Message-ID"] = self.message_id
        # RFC 3834: keeps holiday answerers and ticket systems from replying to a machine.
        email["Auto-Submitted"] = "auto-generated"
        email.set_content(self.text, cte="quoted-printable")
        email.add_alternative(self.html, subtype="html", cte="quoted-printable")
        email.set_boundary(f"=_{_mark(self.delivery_id)}")
        return email

    def encode(self) -> bytes:
        """Return the bytes to transmit: lines end in CRLF, 7-bit throughout, leading dots not yet doubled."""
        return self.as_email().as_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsMessage:
    """One text message, composed and counted."""

    delivery_id: str
    to: str  #: digits with country code, no plus: 972501234567
    text: str
    segments: int  #: parts the networks will charge
    sender: str | None = None  #: at most 11 letters, or a number; None: SMS_FROM's
    failures: int = 0


def _bare_address(written: str) -> str | None:
    """Return the address in *written* (`Name <address@domain>`, or it alone) if a header can carry it, else None."""
    address = envelope_address(parseaddr(written)[1])
    try:
        return Address(addr_spec=address).addr_spec if address else None
    except (ValueError, MessageError):  # what the header's own grammar says of it
        return None


def envelope_address(address: str) -> str | None:
    """Return *address* as SMTP carries it, its domain in punycode, or None where it can't be carried.

    Letters outside ASCII before the @ would need SMTPUTF8, which too few servers on the way offer.
    """
    local, _, domain = address.strip().rpartition("@")
    try:
        encoded = f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return None
    is_clean = local.isascii() and all(letter > " " and letter not in '<>"@\x7f' for letter in local)
    return encoded if local and domain and is_clean else None


def plain_text(text: str) -> str:
    """Return *text* as one line without control or direction characters, composed (NFC), spaces joined."""
    composed = unicodedata.normalize("NFC", text)
    kept = (" " if unicodedata.category(letter) in _UNSEEN else letter for letter in composed)
    return " ".join("".join(kept).split())


def without_links(text: str) -> str:
    """Return *text* as one plain line that holds nothing a mail or message program takes for an address to open."""
    plain = _WWW.sub(" ", plain_text(text).replace("://", " "))
    return plain_text(_PATH.sub(r"\1 ", plain))


def header_name(name: str) -> str:
    """Return *name* as a display name that no mail program can misread as a second address."""
    kept = "".join(
        letter if letter.isalnum() or letter in _NAME_MARKS or unicodedata.category(letter) == "Mn" else " "
        for letter in _TYPED_GERSHAYIM.sub("\u05f4", plain_text(name))
    )
    return " ".join(kept.split())[:_NAME_LIMIT].strip()


#: Controls, format and direction marks, unassigned, private and surrogate code points, line separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def _mark(delivery_id: str) -> str:
    return hashlib.sha256(delivery_id.encode()).hexdigest()[:32]
