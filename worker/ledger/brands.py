"""The brand profiles of one namespace, kept beside the jobs so that every process knows them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from worker.domain.brand import Brand, LiveBrands
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.scripts import Scripts, text

MOST_BRANDS = 200  #: each process reads all of them whenever one has changed


class Kept(IntEnum):
    """What came of keeping, or of removing, a brand."""

    DONE = 1
    OTHERWISE = 0  #: another one of that name stands there by now, or none
    REFUSED = -1  #: too many; or, to be removed, the default


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandRecord:
    """A brand as it is kept."""

    brand: Brand
    at_ms: int  #: when it was last changed
    by: str
    version: int  #: rises with each change; an edit names the one that it saw
    is_default: bool


class Brands:
    """Keeps and reads profiles. Each change leaves its entry in the trail."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def keep(self, brand: Brand, *, seen: int | None, by: str, why: str = "") -> Kept:
        """Keep *brand* where the version *seen* still stands (None: where none of its name does).

        Raises LedgerUnavailable, LedgerFull.
        """
        words = json.dumps(brand.document(), ensure_ascii=False, separators=(",", ":"))
        before = "" if seen is None else str(seen)
        return Kept(
            int(await self._scripts.run("brand_keep", brand.name, words, before, by, why, MOST_BRANDS))
        )

    async def make_default(self, name: str | None, *, by: str, why: str = "") -> bool:
        """Let requests that name no brand have *name*'s (None: what the settings say); False where it is unknown.

        Raises LedgerUnavailable, LedgerFull.
        """
        return int(await self._scripts.run("brand_default", name or "", by, why)) == 1

    async def remove(self, name: str, *, by: str, why: str = "") -> Kept:
        """Forget the brand called *name*, unless it is the default; raises LedgerUnavailable, LedgerFull."""
        return Kept(int(await self._scripts.run("brand_remove", name, by, why)))

    async def all(self) -> list[BrandRecord]:
        """Return all brands, by name; raises LedgerUnavailable."""
        _, default = await self._version()
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.brands)
        records = [_record(text(value), default) for value in rows.values()]
        return sorted(records, key=lambda record: record.brand.name)

    async def get(self, name: str) -> BrandRecord | None:
        """Return the brand called *name*, or None; raises LedgerUnavailable."""
        _, default = await self._version()
        with translated():
            value = await self._scripts.redis.hget(self._keys.brands, name)
        return _record(text(value), default) if value is not None else None

    async def refresh(self, brands: LiveBrands) -> bool:
        """Let *brands* take what has changed; return whether anything had.

        One small read where nothing has. Raises LedgerUnavailable.
        """
        # Read first: a change in between is taken with a number too low, and once more with the next call.
        version, default = await self._version()
        if version == brands.version:
            return False
        brands.take([record.brand for record in await self.all()], default=default, version=version)
        return True

    async def _version(self) -> tuple[int, str | None]:
        with translated():
            version, default = await self._scripts.redis.hmget(self._keys.meta, ["brands", "brand_default"])
        return (
            int(text(version)) if version is not None else 0,
            text(default) if default is not None else None,
        )


def _record(value: str, default: str | None) -> BrandRecord:
    words, at_ms, by, version = value.split(UNIT_SEPARATOR)
    brand = Brand.from_document(json.loads(words))
    return BrandRecord(
        brand=brand, at_ms=int(at_ms), by=by, version=int(version), is_default=brand.name == default
    )
