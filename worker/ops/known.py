"""Filter words that nothing can match: what was probably meant by them."""

from __future__ import annotations

import re

from worker.domain.fields import nearest
from worker.ledger import JobFilter
from worker.ops.scene import Scene
from worker.ops.words import Said, said

#: Reasons of codes that nobody has described: any of them may come.
_UNDESCRIBED = re.compile(r"unknown_(-?\d+|none|other)", re.ASCII)
_SOURCES = ("api", "cli", "csv", "crm:generic", "crm:hubspot", "crm:monday", "crm:salesforce")
_LATEST = 200  #: batches among which a name is looked for


async def not_known(scene: Scene, wanted: JobFilter) -> list[Said]:
    """Return, for each word of a filter that matched nothing, that there is no such thing, and the nearest there is.

    Raises LedgerUnavailable.
    """
    found: list[Said] = []
    if wanted.reason and not _UNDESCRIBED.fullmatch(wanted.reason):
        known = {reason.name for reason in scene.catalogue.all()}
        known |= {group.reason for group in await scene.ledger.queries.groups()}
        found += _told("reason", wanted.reason, known)
    if wanted.source:
        found += _told("source", wanted.source, set(_SOURCES))
    if wanted.batch and await scene.ledger.batches.get(wanted.batch) is None:
        batches = await scene.ledger.batches.all(_LATEST)
        by_name = {each.name: each.id for each in batches if each.name}
        known = {each.id for each in batches} | set(by_name)
        near = by_name.get(wanted.batch) or nearest(wanted.batch, known)
        found.append(_said("batch", wanted.batch, by_name.get(near or "", near)))
    return found


def _told(field: str, word: str, known: set[str]) -> list[Said]:
    return [] if word in known else [_said(field, word, nearest(word, known))]


def _said(field: str, word: str, near: str | None) -> Said:
    if near is None:
        return said(f"no_such_{field}", word=word)
    return said(f"no_such_{field}_but", word=word, near=near)
