"""From `LINKFERRY_CRM_<NAME>_…` to configured CRM modules, every mistake told by the setting's name and its remedy.

A CRM is on when its PATH is set. Each module of this package that speaks for a CRM offers two names: `KEYS`, what may
be written after `CRM_<NAME>_` besides PATH and MAP, and `configure(values)`, which builds it from `CrmValues`.
"""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast, overload, runtime_checkable
from urllib.parse import urlsplit

from pydantic import SecretStr

from producers.crm.fieldmap import FieldMap, FieldMapError, read_map
from producers.crm.model import Crm
from worker.clock import Clock, SystemClock
from worker.domain.parse import ParseRules
from worker.limits import Limits
from worker.settings import Settings, SettingsError

CRM_NAMES = ("generic", "hubspot", "monday", "salesforce")
#: What every CRM takes.
COMMON_KEYS: Mapping[str, str] = {
    "PATH": "The unguessable last part of the CRM's URL (20 url-safe characters or more). Setting it turns the CRM on.",
    "MAP": "Its field map: JSON, or the path of a JSON file.",
    "ACCEPT_NAMES": "1: a display name with signs that the partner refuses (such as quotation marks) is sent without them. "
    "Unset: its event fails and waits for a person, as the name can't be changed later.",
}
PREFIX = "LINKFERRY_CRM_"

_PATH = re.compile(r"[A-Za-z0-9_-]{20,128}")
_PATH_BYTES = 24  #: of chance in a proposed path: 32 characters
_LEAST_VARIETY = 8  #: different characters: words and repetitions can be guessed
#: What a container platform sets for a service called `linkferry-crm-…`; none of ours.
_PLATFORM_NAME = re.compile(r"(^|_)(PORT|SERVICE)(_|$)")
_NEARLY = 0.7
#: What has no module of its own comes through the generic door: its recipe is a page.
_RECIPES = ("make", "pipedrive", "zapier", "zoho")
_TRIAL = "trial"
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})

#: Makes the fleet-wide limiter of that name and ceiling (calls/s): `limits_for("hubspot", 9.0)`.
LimitsFor = Callable[[str, float], Limits]


class CrmModule(Protocol):
    """What a module offers that speaks for one CRM."""

    @property
    def KEYS(self) -> Mapping[str, str]:  # noqa: N802 - a constant of the module
        """What may be written after `CRM_<NAME>_`, with its meaning, besides `COMMON_KEYS`."""
        ...

    def configure(self, values: CrmValues) -> Crm:
        """Build the CRM; raises SettingsError (see `CrmValues.wrong`)."""
        ...


@runtime_checkable
class Fetching(Protocol):
    """A CRM whose events are thin. `linkferry crm test` asks it what a worker would fetch, and fetches only when told."""

    def would_fetch(self, body: Mapping[str, Any]) -> str | None:
        """Say in words what has to be fetched for a recorded body; None: it is whole already."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmValues:
    """One CRM's settings, and what its module may need besides."""

    name: str
    values: Mapping[str, SecretStr] = field(default_factory=dict)  #: by what follows `CRM_<NAME>_`
    public_url: str | None = None  #: under which the outside reaches us; no slash at its end
    clock: Clock = field(default_factory=SystemClock)
    #: None where nothing is shared with a fleet: the web process, a command
    limits_for: LimitsFor | None = None
    #: for `crm test`: it verifies nothing, so missing secrets are made up and no list filters
    is_trial: bool = False

    def setting(self, key: str) -> str:
        """Return a key's name as written in the environment."""
        return f"{PREFIX}{self.name.upper()}_{key}"

    def wrong(self, key: str, text: str) -> SettingsError:
        """Return the error for a key; *text* goes on after its name, with the remedy: `must be …. Write …`."""
        return SettingsError(f"{self.setting(key)} {text}")

    @overload
    def secret(self, key: str, *, needed: Literal[True], remedy: str = ...) -> str: ...

    @overload
    def secret(self, key: str, *, needed: bool = ..., remedy: str = ...) -> str | None: ...

    def secret(self, key: str, *, needed: bool = False, remedy: str = "") -> str | None:
        """Return a value, trimmed, or None; raises SettingsError with *remedy* for a *needed* one that is missing."""
        value = self.values.get(key)
        text = value.get_secret_value().strip() if value is not None else ""
        if text or not needed:
            return text or None
        if self.is_trial:
            return _TRIAL
        advice = remedy or _meaning_of(self.name, key)
        raise self.wrong(key, f"is missing, and {self.name} needs it. {advice}".rstrip())

    def text(self, key: str, default: str | None = None) -> str | None:
        """Return a value that is no secret, or *default*."""
        return self.secret(key) or default

    def items(self, key: str) -> tuple[str, ...]:
        """Return a comma-separated value's parts; none where it is not set."""
        parts = (self.secret(key) or "").split(",")
        return tuple(part.strip() for part in parts if part.strip())

    def url(self, key: str, default: str) -> str:
        """Return an address without a slash at its end; raises SettingsError for what is none."""
        address = self.text(key, default) or default
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise self.wrong(key, "must be a whole address, such as https://example.com/path.")
        return address.rstrip("/")

    def map_document(self) -> dict[str, Any]:
        """Return the MAP setting's JSON object (its file's, where it names one); raises SettingsError."""
        written = self.secret("MAP") or ""
        try:
            if not written or written[0] in "{[":
                return read_map(written)
            return read_map(Path(written).read_text(encoding="utf-8-sig"))
        except FieldMapError as error:
            raise self.wrong("MAP", f"is no field map: {error}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise self.wrong(
                "MAP", f"names a file that can't be read: {why}. Write JSON or a path."
            ) from None

    def field_map(self, defaults: Mapping[str, Any]) -> FieldMap:
        """Return the MAP setting over *defaults*; raises SettingsError."""
        try:
            return FieldMap.of(self.map_document(), defaults=defaults)
        except FieldMapError as error:
            raise self.wrong("MAP", f"is no field map: {error}") from None


@dataclass(frozen=True, slots=True)
class CrmSetting:
    """How one CRM stands in the settings."""

    name: str
    is_on: bool
    keys: Sequence[str]  #: those that are written, without their prefix


def load_crms(
    settings: Settings, *, clock: Clock | None = None, limits_for: LimitsFor | None = None
) -> dict[str, Crm]:
    """Return the CRMs that are on, by name; none of them connects yet.

    Raises:
        SettingsError: a CRM or a key that does not exist, a path that can be guessed, a missing secret, a bad map.
    """
    crms = {}
    for each in crm_settings(settings):
        if each.is_on:
            values = values_of(settings, each.name, clock=clock, limits_for=limits_for)
            _refuse_guessable(values)
            parse_rules(settings, each.name)
            crms[each.name] = module_of(each.name).configure(values)
    return crms


def trial_crm(settings: Settings, name: str, *, map_text: str | None = None) -> Crm:
    """Return a CRM to try a body with, whether it is on or not: it verifies nothing. *map_text* replaces its MAP.

    Raises:
        SettingsError: there is no such CRM, or a setting of it is wrong.
    """
    if name not in CRM_NAMES:
        raise SettingsError(f"There is no CRM {name}. {_nearest(name, CRM_NAMES)}")
    values = values_of(settings, name, map_text=map_text, is_trial=True)
    return module_of(name).configure(values)


def crm_settings(settings: Settings) -> list[CrmSetting]:
    """Return every known CRM with what is written of it, on or off. Raises SettingsError for unknown names."""
    written: dict[str, list[str]] = {name: [] for name in CRM_NAMES}
    for full in sorted(settings.crm):
        if _PLATFORM_NAME.search(full):
            continue
        name, _, key = full.lower().partition("_")
        if name not in CRM_NAMES:
            raise SettingsError(f"{PREFIX}{full}: there is no CRM {name}. {_crm_meant(name, key.upper())}")
        _refuse_unknown_key(name, key.upper())
        written[name].append(key.upper())
    return [CrmSetting(name, "PATH" in keys, tuple(keys)) for name, keys in written.items()]


def values_of(
    settings: Settings,
    name: str,
    *,
    clock: Clock | None = None,
    limits_for: LimitsFor | None = None,
    map_text: str | None = None,
    is_trial: bool = False,
) -> CrmValues:
    """Return one CRM's values as they are written; *map_text* replaces its MAP."""
    start = f"{name.upper()}_"
    values = {
        full.removeprefix(start): value for full, value in settings.crm.items() if full.startswith(start)
    }
    if map_text is not None:
        values["MAP"] = SecretStr(map_text)
    return CrmValues(
        name=name,
        values=values,
        public_url=settings.public_url,
        clock=clock or SystemClock(),
        limits_for=limits_for,
        is_trial=is_trial,
    )


def parse_rules(settings: Settings, name: str) -> ParseRules:
    """Return how a CRM's requests are read; raises SettingsError."""
    values = values_of(settings, name)
    word = (values.text("ACCEPT_NAMES") or "0").lower()
    if word not in _YES | _NO:
        raise values.wrong("ACCEPT_NAMES", "must be 1 or 0.")
    return ParseRules(
        region=settings.default_region, locale=settings.default_locale, accept_names=word in _YES
    )


def crm_path(settings: Settings, name: str) -> str | None:
    """Return the unguessable last part of a CRM's URL, or None where it is off."""
    value = settings.crm.get(f"{name.upper()}_PATH")
    return value.get_secret_value().strip() if value is not None else None


def new_path() -> str:
    """Return a path that nobody guesses."""
    return secrets.token_urlsafe(_PATH_BYTES)


def module_of(name: str) -> CrmModule:
    """Return the module that speaks for a known CRM; it is imported only when asked for."""
    return cast("CrmModule", import_module(f"producers.crm.{name}"))


def _crm_meant(name: str, key: str) -> str:
    if name in _RECIPES:
        tail = f"_{key}" if key else "_…"
        return f"It comes through the generic door: write {PREFIX}GENERIC{tail}, and see docs/crm/{name}.md."
    near = difflib.get_close_matches(name, CRM_NAMES, n=1, cutoff=_NEARLY)
    tail = f"_{key}" if key else ""
    meant = f"Did you mean {PREFIX}{near[0].upper()}{tail}? " if near else ""
    return f"{meant}Known: {', '.join(CRM_NAMES)}."


def _refuse_guessable(values: CrmValues) -> None:
    path = values.secret("PATH") or ""
    if not _PATH.fullmatch(path) or len(set(path)) < _LEAST_VARIETY:
        raise values.wrong(
            "PATH",
            "must be 20 to 128 letters, digits, - or _ that nobody can guess: it is what keeps strangers out. "
            f"Take this one, made just now: {new_path()}",
        )


def _refuse_unknown_key(name: str, key: str) -> None:
    known = {**COMMON_KEYS, **module_of(name).KEYS}
    if key not in known:
        start = f"{PREFIX}{name.upper()}"
        raise SettingsError(f"{start}_{key} is no setting of {name}. {_nearest(key, known, f'{start}_')}")


def _nearest(word: str, known: Mapping[str, str] | Sequence[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=_NEARLY)
    meant = f"Did you mean {prefix}{near[0]}? " if near else ""
    return f"{meant}Known: {', '.join(known)}."


def _meaning_of(name: str, key: str) -> str:
    meaning = {**COMMON_KEYS, **module_of(name).KEYS}.get(key, "")
    return f"It is: {meaning}" if meaning else ""
