"""Brand profiles for the command line and the console: listed, added, changed, removed, and which one is the default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.brand import BRAND_FIELDS, Brand, parse_brand
from worker.domain.fields import Problem, nearest
from worker.ledger import Ledger
from worker.ledger.brands import MOST_BRANDS, BrandRecord, Kept
from worker.ops.edit import problem_view
from worker.ops.views import iso

_LONGEST_SHORT_CODE = 6  #: digits; a longer number has a country code


class BrandRefused(ValueError):  # noqa: N818 - reads as what happened
    """A brand was left as it was; the problems say why."""

    def __init__(self, *problems: Problem) -> None:
        """Refuse for *problems*, at least one."""
        super().__init__(" ".join(f"{each.message}. {each.remedy}" for each in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandKept:
    """A brand as it now stands, and what to look at."""

    brand: dict[str, Any]
    warnings: tuple[Problem, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**self.brand, "warnings": [problem_view(each) for each in self.warnings]}


class Branding:
    """Keeps the brands of a ledger; every process follows within seconds."""

    def __init__(self, ledger: Ledger, *, region: str = "IL") -> None:
        """Keep them in *ledger*; *region* is where numbers without a country code belong."""
        self._ledger = ledger
        self._region = region

    async def list(self) -> dict[str, Any]:
        """Return all brands by name, and the default's name: `{"items", "next", "total", "default"}`.

        Raises LedgerUnavailable.
        """
        records = await self._ledger.brands.all()
        default = next((each.brand.name for each in records if each.is_default), None)
        items = [brand_view(each) for each in records]
        return {"items": items, "next": None, "total": len(items), "default": default}

    async def show(self, name: str) -> dict[str, Any]:
        """Return one brand; raises BrandRefused where there is none of that name, LedgerUnavailable."""
        return brand_view(await self._record(name))

    async def add(
        self, name: str, fields: Mapping[str, str], *, by: str, why: str = "", is_default: bool = False
    ) -> BrandKept:
        """Keep a new brand of *fields* (`BRAND_FIELDS`); raises BrandRefused, LedgerUnavailable, LedgerFull."""
        brand, warnings = self._read(name, fields)
        kept = await self._ledger.brands.keep(brand, seen=None, by=by, why=why)
        if kept is Kept.OTHERWISE:
            remedy = f"Change it: linkferry brand edit {brand.name}, or choose another name."
            raise BrandRefused(Problem("name", "taken", f"there is a brand {brand.name} already", remedy))
        if kept is Kept.REFUSED:
            message = f"{MOST_BRANDS} brands are kept, which is the most"
            raise BrandRefused(Problem("name", "too_many", message, "Remove one that is not used any more."))
        if is_default:
            await self.make_default(brand.name, by=by, why=why)
        return BrandKept(brand=await self.show(brand.name), warnings=warnings)

    async def edit(
        self, name: str, fields: Mapping[str, str], *, by: str, why: str = "", seen: int | None = None
    ) -> BrandKept:
        """Lay *fields* over a brand: those not named stay, an empty one is cleared.

        *seen* is the version that the form showed. Raises BrandRefused, LedgerUnavailable, LedgerFull.
        """
        record = await self._record(name)
        if seen is not None and seen != record.version:
            raise BrandRefused(_CHANGED)
        brand, warnings = self._read(record.brand.name, {**_written(record.brand), **fields})
        if brand == record.brand:
            remedy = "Name a field and what it is to be; an empty text clears it."
            raise BrandRefused(Problem("brand", "brand_unchanged", "nothing is changed", remedy))
        kept = await self._ledger.brands.keep(brand, seen=record.version, by=by, why=why)
        if kept is not Kept.DONE:
            raise BrandRefused(_CHANGED)
        return BrandKept(brand=await self.show(brand.name), warnings=warnings)

    async def make_default(self, name: str | None, *, by: str, why: str = "") -> None:
        """Let requests that name no brand have this one; None: what the settings say (BRAND_NAME).

        Raises BrandRefused, LedgerUnavailable, LedgerFull.
        """
        if not await self._ledger.brands.make_default(_folded(name) if name else None, by=by, why=why):
            raise BrandRefused(await self._unknown(name or ""))

    async def remove(self, name: str, *, by: str, why: str = "") -> None:
        """Forget a brand; messages of requests that name it come from the default from then on.

        Raises BrandRefused, LedgerUnavailable, LedgerFull.
        """
        kept = await self._ledger.brands.remove(_folded(name), by=by, why=why)
        if kept is Kept.OTHERWISE:
            raise BrandRefused(await self._unknown(name))
        if kept is Kept.REFUSED:
            message = f"{_folded(name)} is the default"
            remedy = "First choose another: linkferry brand default NAME (or --none)."
            raise BrandRefused(Problem("name", "is_default", message, remedy))

    def _read(self, name: str, fields: Mapping[str, str]) -> tuple[Brand, tuple[Problem, ...]]:
        brand, problems = parse_brand({**fields, "name": name}, region=self._region)
        if brand is None:
            raise BrandRefused(*problems)
        return brand, tuple(problems)

    async def _record(self, name: str) -> BrandRecord:
        record = await self._ledger.brands.get(_folded(name))
        if record is None:
            raise BrandRefused(await self._unknown(name))
        return record

    async def _unknown(self, name: str) -> Problem:
        known = [each.brand.name for each in await self._ledger.brands.all()]
        near = nearest(_folded(name), known)
        listed = f"Known: {', '.join(known)}." if known else "None is kept yet: linkferry brand add NAME."
        remedy = f"Did you mean {near}? {listed}" if near else listed
        return Problem("name", "unknown_value", f"there is no brand {name.strip()[:40]}", remedy)


def brand_view(record: BrandRecord) -> dict[str, Any]:
    """Return a brand ready for JSON, fields that are not filled in as null."""
    return {
        "name": record.brand.name,
        **{field: getattr(record.brand, field) for field in BRAND_FIELDS},
        "is_default": record.is_default,
        "changed_at": iso(record.at_ms),
        "changed_by": record.by,
        "version": record.version,
    }


_CHANGED = Problem(
    "brand", "brand_changed", "somebody else has changed the brand since you looked", "Look at it again."
)


def _written(brand: Brand) -> dict[str, str]:
    """Return the fields as an operator may write them: numbers with a plus are the same in every region."""
    fields = {field: getattr(brand, field) or "" for field in BRAND_FIELDS}
    return fields | {
        field: f"+{fields[field]}"
        for field in ("phone", "sms_sender")
        if fields[field].isdigit() and len(fields[field]) > _LONGEST_SHORT_CODE
    }


def _folded(name: str) -> str:
    return name.strip().casefold()
