"""Signatures of webhooks by the Standard Webhooks specification 1.0.0, with symmetric keys (`v1`), both ways.

What is signed is `{webhook-id}.{webhook-timestamp}.{raw body}`, by HMAC-SHA256. Pure: the time is an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how every secret begins
#: Seconds that a message's timestamp may lie in the past or in the future, as in the reference libraries.
TOLERANCE_S: Final = 300.0

_VERSION = "v1"
#: The specification: between 24 bytes (192 bits) and 64 bytes (512 bits) of chance.
_KEY_BYTES = range(24, 65)
# A dot would let one signature stand for two divisions of the same text into id, timestamp and body.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class SignatureFault(StrEnum):
    """Why a message is refused; nothing more is told to whoever sent it."""

    HEADER_MISSING = "header_missing"
    HEADER_REPEATED = "header_repeated"
    ID_MALFORMED = "id_malformed"
    TIMESTAMP_MALFORMED = "timestamp_malformed"
    TIMESTAMP_STALE = "timestamp_stale"
    TIMESTAMP_FUTURE = "timestamp_future"
    SIGNATURE_MISSING = "signature_missing"  #: the header holds no signature of the version `v1`
    SIGNATURE_WRONG = "signature_wrong"


class SignatureRefused(Exception):  # noqa: N818 - reads as what happened
    """A message is not proven to come from who holds the secret. Its text is its *code*."""

    def __init__(self, code: SignatureFault) -> None:
        super().__init__(code.value)
        self.code = code


class InvalidSecret(ValueError):  # noqa: N818 - reads as what happened
    """A text is no signing secret. The error's text says why and never quotes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecret:
    """A key for signing and verifying. It stays out of every repr and log."""

    key: bytes = field(repr=False)

    def __str__(self) -> str:
        """Return a text that is fit to be seen."""
        return f"{SECRET_PREFIX}…"


def parse_secret(text: str) -> SigningSecret:
    """Return the key that `whsec_…` stands for: base64 of 24 to 64 bytes.

    Raises:
        InvalidSecret: naming what is wrong, without the secret itself.
    """
    text = text.strip()
    if not text.startswith(SECRET_PREFIX):
        raise InvalidSecret(f"must begin with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidSecret(f"must be base64 after {SECRET_PREFIX}") from None
    if len(key) not in _KEY_BYTES:
        raise InvalidSecret(f"must hold 24 to 64 bytes after {SECRET_PREFIX}, not {len(key)}")
    return SigningSecret(key=key)


def receiver_address(url: str) -> str:
    """Return *url*, to the letter, if events may be posted there: https, or http on this very machine.

    Raises:
        ValueError: anybody on the way could read them, or it is no whole address.
    """
    parts = urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname))):
        return url
    raise ValueError(
        "must be an https:// address (http:// only on this machine): events carry customers' links"
    )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def sign(secrets: Sequence[SigningSecret], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one signature for each of *secrets*, so that a key can be changed in peace.

    Raises ValueError without a secret, and for an id or a timestamp that cannot be signed.
    """
    if not secrets:
        raise ValueError("nothing to sign with")
    timestamp = str(timestamp_s)
    if not _ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise ValueError(
            "a message's id is printable ASCII without dots, its timestamp whole seconds since 1970"
        )
    return " ".join(f"{_VERSION},{_signature(each, message_id, timestamp, body)}" for each in secrets)


def signed_headers(
    secrets: Sequence[SigningSecret], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """Return the three headers that a signed message is sent with. Raises ValueError, as `sign`."""
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: sign(secrets, message_id, timestamp_s, body),
    }


def verify(
    secrets: Sequence[SigningSecret],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """Return the message's id if one of *secrets* signed it and its time is at most *tolerance_s* from *now_s*.

    Header names match in any case; *body* is what was received, byte for byte.

    Raises:
        SignatureRefused: for anything else that a stranger may send. It raises no other exception.
    """
    message_id, timestamp, signatures = (
        _header(headers, name) for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    )
    if not _ID.fullmatch(message_id):
        raise SignatureRefused(SignatureFault.ID_MALFORMED)
    _check_time(timestamp, now_s=now_s, tolerance_s=tolerance_s)
    given = [part[len(_VERSION) + 1 :] for part in signatures.split() if part.startswith(f"{_VERSION},")]
    if not given:
        raise SignatureRefused(SignatureFault.SIGNATURE_MISSING)
    expected = [_signature(each, message_id, timestamp, body).encode() for each in secrets]
    tried = [text.encode("utf-8", "backslashreplace") for text in given]
    if not any(hmac.compare_digest(mine, theirs) for mine in expected for theirs in tried):
        raise SignatureRefused(SignatureFault.SIGNATURE_WRONG)
    return message_id


def _signature(secret: SigningSecret, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode("ascii") + body
    return base64.b64encode(hmac.digest(secret.key, content, hashlib.sha256)).decode("ascii")


def _header(headers: Mapping[str, str], name: str) -> str:
    values = [value for key, value in headers.items() if key.lower() == name]
    if not values:
        raise SignatureRefused(SignatureFault.HEADER_MISSING)
    if len(values) > 1:
        raise SignatureRefused(SignatureFault.HEADER_REPEATED)
    return values[0]


def _check_time(timestamp: str, *, now_s: float, tolerance_s: float) -> None:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureRefused(SignatureFault.TIMESTAMP_MALFORMED)
    age_s = now_s - int(timestamp)
    if age_s > tolerance_s:
        raise SignatureRefused(SignatureFault.TIMESTAMP_STALE)
    if age_s < -tolerance_s:
        raise SignatureRefused(SignatureFault.TIMESTAMP_FUTURE)
