"""A message carries the links of its own invitation and its brand's own addresses: checked before it is sent.

Twice: what the ledger handed over (`check_links`), and what the templates made of it (`check_mail`,
`check_text`). A name with a link in it, an operator's own template or a mix-up of customers ends here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Self
from urllib.parse import urlsplit

from worker.domain.brand import Brand
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


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """What a brand may add to its messages: two pages and a number to open, one picture to see."""

    privacy: str | None = None
    verify: str | None = None
    logo: str | None = None
    phone: str | None = None  #: `tel:+97231234567`

    @classmethod
    def of(cls, brand: Brand) -> Self:
        """Return *brand*'s addresses; one that is no sound https address is left out of its messages."""
        return cls(
            privacy=_if_sound(brand.privacy_url),
            verify=_if_sound(brand.verify_url),
            logo=_if_sound(brand.logo),
            phone=f"tel:+{brand.phone}" if brand.phone and brand.phone.isdigit() else None,
        )

    @property
    def pages(self) -> frozenset[str]:
        """Return the pages that may stand in words and be linked to."""
        return frozenset(filter(None, (self.privacy, self.verify)))


_NONE_OWN = OwnAddresses()


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


def check_mail(
    html: str, text: str, links: Sequence[LinkToSend], own: OwnAddresses = _NONE_OWN
) -> str | None:
    """Return why a rendered mail must not be sent, or None: HTML and text carry all *links*, and else only *own*."""
    is_fit = is_html_clean(html, links, own) and is_text_clean(text, links, own)
    return None if is_fit else FOREIGN_LINK


def is_html_clean(html: str, links: Iterable[LinkToSend], own: OwnAddresses) -> bool:
    """Tell whether a mail program could open all *links* from *html*, and nothing beside them but what is *own*."""
    wanted = {link.link for link in links}
    may_read = wanted | own.pages
    found = _Addresses()
    found.feed(html)
    found.close()
    return (
        wanted <= found.opened <= may_read | _some(own.phone)
        and found.shown <= _some(own.logo)
        and not found.other
        and urls_of(found.words()) <= may_read
    )


def is_text_clean(text: str, links: Iterable[LinkToSend], own: OwnAddresses) -> bool:
    """Tell whether a plain text carries all *links*, and beside them only the *own* pages."""
    wanted = {link.link for link in links}
    return wanted <= urls_of(text) <= wanted | own.pages


def check_text(text: str, links: Iterable[LinkToSend]) -> str | None:
    """Return why a rendered SMS must not be sent, or None."""
    return None if urls_of(text) == {link.link for link in links} else FOREIGN_LINK


def urls_of(text: str) -> set[str]:
    """Return every address with a scheme, or beginning with `www.`, that *text* holds."""
    return set(_ANY_URL.findall(text))


def _is_own(link: LinkToSend, invitation_id: str) -> bool:
    return invitation_of(link.job_id) == invitation_id


def _some(address: str | None) -> frozenset[str]:
    return frozenset({address} if address else ())


def _if_sound(address: str | None) -> str | None:
    return address if address and is_sound(address) else None


class _Addresses(HTMLParser):
    """Collects what a mail program could open or fetch, and the words a person sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: set[str] = set()  #: by a click on a link
        self.shown: set[str] = set()  #: as a picture, fetched when the mail is read
        self.other: set[str] = set()  #: in any other way
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the addresses among a tag's attributes, and those hidden in its style."""
        for name, value in attrs:
            if (tag, name) == ("a", "href"):
                self.opened.add(value or "")
            elif (tag, name) == ("img", "src"):
                self.shown.add(value or "")
            elif name in _ADDRESS_ATTRIBUTES:
                self.other.add(value or "")
            elif value:
                self.other |= urls_of(value)
            if name == "style" and "url(" in (value or "").lower():
                self.other.add(value or "")

    def handle_data(self, data: str) -> None:
        """Keep words, those of style sheets included."""
        self._words.append(data)
        if "url(" in data.lower() or "@import" in data.lower():
            self.other.add(data)

    def words(self) -> str:
        """Return all words, a line each, so that no two grow together into one address."""
        return "\n".join(self._words)
