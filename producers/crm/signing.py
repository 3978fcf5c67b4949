"""What the verifiers and readers of all CRMs share: constant-time comparison, strict JSON, digests. Pure."""

from __future__ import annotations

import hmac
import json
from hashlib import blake2b, sha256
from typing import Any

from producers.crm.model import UnreadableError

_DIGEST_BYTES = 16


def is_same(shown: str, known: str) -> bool:
    """Tell whether two secrets are the same; the time it takes tells nothing of either, not even its length."""
    return hmac.compare_digest(_hash(shown), _hash(known))


def _hash(text: str) -> bytes:
    # aiohttp hands over header bytes that are no UTF-8 as lone surrogates.
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def digest_of(document: Any) -> str:
    """Return 32 characters that are the same for the same JSON, in whatever order its members come.

    Raises:
        UnreadableError: it holds what JSON in UTF-8 can't: half a surrogate pair, an endless number.
    """
    try:
        text = json.dumps(
            document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
        )
        return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    except UnicodeEncodeError:
        raise UnreadableError("a text holds half of a surrogate pair") from None
    except RecursionError:
        raise UnreadableError("the body is nested too deeply") from None
    except ValueError:
        raise UnreadableError("a number is too large") from None


def read_json(raw: bytes) -> Any:
    """Return the JSON document that *raw* holds, which can be written again as JSON in UTF-8.

    Raises:
        UnreadableError: saying what is wrong and where, without the content.
    """
    try:
        document = json.loads(raw.decode(), parse_constant=_refuse, object_pairs_hook=_members)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"the body is not UTF-8: byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise UnreadableError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise UnreadableError("the body is nested too deeply") from None
    except ValueError:
        raise UnreadableError("a number has too many digits") from None
    digest_of(document)
    return document


def _refuse(word: str) -> None:
    raise UnreadableError(f"{word} is not JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers disagree on which of two values counts, so neither does.
    members = dict(pairs)
    if len(members) < len(pairs):
        raise UnreadableError("a name occurs twice in one object")
    return members
