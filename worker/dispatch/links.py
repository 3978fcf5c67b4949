"""A message carries the links of its own invitation and no other address: checked before it is sent.

Twice: what the ledger handed over (`check_links`), and what the templates made of it (`check_mail`,
`check_text`). A name with a link in it, an operator's own template or a mix-up of customers ends here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from urllib.parse import urlsplit

from worker.domain.ids import invitation_of
from worker.domain.job import ClaimedDelivery, LinkToSend

FOREIGN_LINK = "foreign_link_in_message"
_LINK_LIMIT = 2000
_ANY_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)[^\s<>\"]*", re.IGNORECASE)
_UNFIT = re.compile(r"[\s<>\"'`\\{}|^\x00-\x20\x7f]")
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_ADDRESS_ATTRIBUTES = frozenset(
    {"href", "src", "srcset", "action", "formaction", "background", "poster", "data", "cite", "ping", "xmlns"}
)


def check_links(delivery: ClaimedDelivery) -> str | None:
    """Return why *delivery*'s links must not be sent, or None: all of its own invitation, all sound."""
    if not delivery.links:
        return FOREIGN_LINK
    are_fit = all(_is_own(link, delivery.invitation_id) and is_sound(link.link) for link in delivery.links)
    return None if are_fit else FOREIGN_LINK


def is_sound(link: str) -> bool:
    """Tell whether *link* is a plain https address (http on this very machine: the sandbox)."""
    if len(link) > _LINK_LIMIT or _UNFIT.search(link) or not link.isascii():
        return False
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL_HOSTS)


def check_mail(html: str, text: str, links: Iterable[LinkToSend]) -> str | None:
    """Return why a rendered mail must not be sent, or None: HTML and text each carry exactly *links*."""
    wanted = {link.link for link in links}
    found = _Addresses()
    found.feed(html)
    found.close()
    is_fit = found.addresses == wanted and urls_of(found.words()) <= wanted
    return None if is_fit and urls_of(text) == wanted else FOREIGN_LINK


def check_text(text: str, links: Iterable[LinkToSend]) -> str | None:
    """Return why a rendered SMS must not be sent, or None."""
    return None if urls_of(text) == {link.link for link in links} else FOREIGN_LINK


def urls_of(text: str) -> set[str]:
    """Return every address with a scheme, or beginning with `www.`, that *text* holds."""
    return set(_ANY_URL.findall(text))


def _is_own(link: LinkToSend, invitation_id: str) -> bool:
    return invitation_of(link.job_id) == invitation_id


class _Addresses(HTMLParser):
    """Collects what a mail program could open or fetch, and the words a person sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: set[str] = set()
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the addresses among a tag's attributes, and those hidden in its style."""
        del tag
        for name, value in attrs:
            if name in _ADDRESS_ATTRIBUTES:
                self.addresses.add(value or "")
            elif value:
                self.addresses |= urls_of(value)
            if name == "style" and "url(" in (value or "").lower():
                self.addresses.add(value or "")

    def handle_data(self, data: str) -> None:
        """Keep words, those of style sheets included."""
        self._words.append(data)
        if "url(" in data.lower() or "@import" in data.lower():
            self.addresses.add(data)

    def words(self) -> str:
        """Return all words, a line each, so that no two grow together into one address."""
        return "\n".join(self._words)
