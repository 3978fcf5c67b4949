"""The settings the code uses; the only reader of the environment.

Names are those of the documentation in lower case (`LINKFERRY_PROVIDER_RATE` is `settings.provider_rate`). In the
sandbox each real credential and channel is forgotten while the settings are read, and what stands in for it comes from
the running sandbox's address file: no code after this one can reach the real partner or a real customer by mistake.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError

from worker.domain.lessons import LiveCatalogue
from worker.domain.reasons import Catalogue
from worker.domain.standard_webhooks import SigningSecret, parse_secret
from worker.settings_fields import PREFIX, DeclaredSettings, guarded_fields, public_name
from worker.settings_kinds import SmsProvider

#: Names that one process of ours gives to another; not for people.
INTERNAL_NAMES = frozenset({"WORKER_ID", "SUPERVISED", "DEBUG"})
#: What a container platform sets for a service called `linkferry-…`; never ours, however alike.
_PLATFORM_NAME = re.compile(r"(^|_)(PORT|SERVICE)(_|$)")
_NEARLY = 0.8  # difflib's ratio: one slip in a word of five letters
_TRUE_WORDS = frozenset({"1", "true", "yes", "on", "t", "y"})


class SettingsError(Exception):
    """A setting is wrong; the text is one line that names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxAddress:
    """Where the running sandbox listens, and the credentials it takes."""

    url: str  #: of its pages
    smtp_port: int
    api_url: str = ""  #: base of the partner's calls; empty: the same as `url`
    sms_url: str = ""
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - opens nothing but the stand-in on this machine
    sms_api_key: str = "sandbox-sms"

    @classmethod
    def read(cls, path: Path) -> SandboxAddress | None:
        """Return what the sandbox wrote to *path*, or None while no sandbox runs."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            known = {name: fields[name] for name in cls.__slots__ if name in fields}
            return cls(**known)
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Put the address where processes in sandbox mode look for it; whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps({name: getattr(self, name) for name in self.__slots__}), encoding="utf-8")
        draft.replace(path)


class Settings(DeclaredSettings):
    """What the code may ask for. Real credentials and channels are reached through the properties only."""

    crm: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="CRM_<NAME>_… settings, keyed by the part after CRM_. `producers.crm.config` knows what they mean.",
        json_schema_extra={"group": "CRM"},
    )

    @property
    def is_sandbox(self) -> bool:
        """Tell whether everything is to stay on this machine."""
        return self.sandbox

    @property
    def sandbox_address_file(self) -> Path:
        """Return where the running sandbox says how to reach it."""
        return self.data_dir / "address.json"

    @property
    def sandbox_address(self) -> SandboxAddress:
        """Return the running sandbox's address, read anew each time: it may have been restarted.

        Raises:
            SettingsError: no sandbox runs.
        """
        address = SandboxAddress.read(self.sandbox_address_file)
        if address is None:
            message = "No sandbox runs: start one with `linkferry sandbox`, or all of it with `linkferry up --sandbox`."
            raise SettingsError(message)
        return address

    @property
    def provider_url(self) -> str:
        """Return the partner's base URL; the sandbox's in sandbox mode (raises SettingsError if none runs)."""
        if not self.sandbox:
            return self.real_provider_url
        return self.sandbox_address.api_url or self.sandbox_address.url

    @property
    def provider_client_id(self) -> str | None:
        """Return the partner's client id, or None where none is set."""
        return self.sandbox_address.client_id if self.sandbox else self.real_provider_client_id

    @property
    def provider_client_secret(self) -> SecretStr | None:
        """Return the partner's client secret, or None where none is set."""
        if self.sandbox:
            return SecretStr(self.sandbox_address.client_secret)
        return self.real_provider_client_secret

    @property
    def has_credentials(self) -> bool:
        """Tell whether the partner can be called at all."""
        return self.sandbox or bool(self.real_provider_client_id and self.real_provider_client_secret)

    @property
    def provider_webhook_secret(self) -> SecretStr | None:
        """Return the last part of the address that completions are reported to."""
        return SecretStr("sandbox") if self.sandbox else self.real_provider_webhook_secret

    @property
    def forward_url(self) -> str | None:
        """Return where the partner's reports are passed on to, or None. Never in the sandbox."""
        return None if self.real_forward_url is None else self.real_forward_url.get_secret_value()

    @property
    def smtp_url(self) -> SecretStr | None:
        """Return the mail server; the captured outbox's in sandbox mode (raises SettingsError if none runs)."""
        if self.sandbox:
            return SecretStr(f"smtp://127.0.0.1:{self.sandbox_address.smtp_port}")
        return self.real_smtp_url

    @property
    def email_from(self) -> str | None:
        """Return the mails' sender."""
        return "Linkferry sandbox <sandbox@linkferry.invalid>" if self.sandbox else self.real_email_from

    @property
    def mail_reply_to(self) -> str | None:
        """Return where a customer's answer goes, or None: to the sender."""
        return self.real_mail_reply_to

    @property
    def has_smtp(self) -> bool:
        """Tell whether mail can be sent."""
        return self.sandbox or bool(self.real_smtp_url and self.real_email_from)

    @property
    def sms_provider(self) -> SmsProvider:
        """Return which kind of SMS provider is used."""
        return "99digital" if self.sandbox else self.real_sms_provider

    @property
    def sms_url(self) -> str | None:
        """Return the SMS provider's address, or None: its usual one."""
        if not self.sandbox:
            return self.real_sms_url
        return self.sandbox_address.sms_url or f"{self.sandbox_address.url}/sms/sendMessage"

    @property
    def sms_account(self) -> str | None:
        """Return Twilio's account SID."""
        return self.real_sms_account

    @property
    def sms_api_key(self) -> SecretStr | None:
        """Return the SMS provider's key."""
        return SecretStr(self.sandbox_address.sms_api_key) if self.sandbox else self.real_sms_api_key

    @property
    def sms_from(self) -> str | None:
        """Return the texts' sender."""
        return "Linkferry" if self.sandbox else self.real_sms_from

    @property
    def has_sms(self) -> bool:
        """Tell whether texts can be sent."""
        is_whole = self.real_sms_api_key and self.real_sms_from
        is_twilio_whole = self.real_sms_provider != "twilio" or self.real_sms_account
        return self.sandbox or bool(self.real_sms_provider != "none" and is_whole and is_twilio_whole)

    @property
    def events_url(self) -> str | None:
        """Return where our own events are posted, or None: nothing is told. Never in the sandbox."""
        return self.real_events_url

    @property
    def events_secrets(self) -> tuple[SigningSecret, ...]:
        """Return what signs our events."""
        return tuple(parse_secret(each.get_secret_value()) for each in self.real_events_secret)

    @property
    def alert_url(self) -> str | None:
        """Return where alerts are posted, or None. Never in the sandbox."""
        return None if self.real_alert_url is None else self.real_alert_url.get_secret_value()

    @property
    def alert_secrets(self) -> tuple[SigningSecret, ...]:
        """Return what signs alerts; nothing: they are not signed."""
        return tuple(parse_secret(each.get_secret_value()) for each in self.real_alert_secret)

    @property
    def broker_url_effective(self) -> str:
        """Return where the bells go: BROKER_URL, else the ledger's server with the next database number.

        Raises:
            SettingsError: neither BROKER_URL nor REDIS_URL is known.
        """
        return self.broker_url or next_database(self.redis_url_required)

    @property
    def redis_url_required(self) -> str:
        """Return the ledger's server.

        Raises:
            SettingsError: REDIS_URL is not set and no embedded Valkey was started.
        """
        if self.redis_url is None:
            message = "LINKFERRY_REDIS_URL is not set: name a Redis or Valkey, or run `linkferry up`, which brings one."
            raise SettingsError(message)
        return self.redis_url

    def load_catalogue(self) -> LiveCatalogue:
        """Return the reasons catalogue, the operator's own file winning; it takes what operators teach later.

        Raises:
            SettingsError: REASONS_FILE cannot be read or is not valid.
        """
        shipped = Catalogue.shipped()
        if self.reasons_file is None:
            return LiveCatalogue(shipped)
        try:
            return LiveCatalogue(shipped.with_overrides(self.reasons_file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            message = f"{PREFIX}REASONS_FILE {self.reasons_file}: {exc}. Mend the file or unset it."
            raise SettingsError(message) from exc

    def with_redis(self, url: str) -> Settings:
        """Return these settings on the server at *url* (the embedded one)."""
        return self.model_copy(update={"redis_url": url})


def load_settings(
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    sandbox: bool | None = None,
    **overrides: Any,
) -> Settings:
    """Read the settings from *environ* (default: the process's), then *env_file*; *overrides* win over both.

    Overrides take the documented names in lower case: `load_settings(provider_rate=20)`.

    Raises:
        SettingsError: a bad value, or a name nearly like a known one.
    """
    written = _written(os.environ if environ is None else environ, env_file)
    _refuse_near_misses(written)
    values: dict[str, Any] = dict(_known_values(written))
    if sandbox is not None:
        values["sandbox"] = sandbox
    values.update({_field_of(name): value for name, value in overrides.items()})
    is_sandbox = str(values.get("sandbox", "")).strip().lower() in _TRUE_WORDS
    if is_sandbox:
        # Nothing real is even looked at, so that a half-filled .env cannot spoil a try-out.
        for name, _ in guarded_fields():
            values.pop(name, None)
    else:
        values["crm"] = _crm_values(written)
    try:
        settings = Settings(**values)
    except ValidationError as exc:
        raise SettingsError(_one_line(exc)) from None
    return _own_place_in_the_sandbox(settings)


def unknown_names(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> list[str]:
    """Return the LINKFERRY_ names that mean nothing to us: worth a warning, no reason to stop."""
    known = _names()
    return [
        PREFIX + name
        for name in _written(os.environ if environ is None else environ, env_file)
        if name != "PORT" and name not in known and not _is_let_be(name)
    ]


def next_database(url: str) -> str:
    """Return *url* of a Redis server with the database number that follows."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = dict(parse_qsl(parts.query))
        query["db"] = str(int(query.get("db", "0")) + 1)
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"
    number = parts.path.strip("/")
    return urlunsplit(parts._replace(path=f"/{int(number or '0') + 1}"))


def _written(environ: Mapping[str, str], env_file: Path | None) -> dict[str, str]:
    """Return what is written, by name without prefix (and PORT); an empty value counts as unset."""
    merged: dict[str, str] = {}
    from_file = (
        dotenv_values(env_file, encoding="utf-8") if env_file is not None and env_file.is_file() else {}
    )
    for source in (from_file, environ):
        for name, value in source.items():
            upper = name.upper()
            if value and upper.startswith(PREFIX):
                merged[upper.removeprefix(PREFIX)] = value
            elif value and upper == "PORT":
                merged["PORT"] = value
    return merged


def _known_values(written: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if "PORT" in written:
        yield "web_port", written["PORT"]
    for name, field_name in _names().items():
        value = written.get(name)
        # Kubernetes sets LINKFERRY_WEB_PORT=tcp://… for a service called linkferry-web.
        if value is not None and not (name.endswith("_PORT") and value.startswith(("tcp://", "udp://"))):
            yield field_name, value


def _names() -> dict[str, str]:
    """Map each documented name (without prefix) to its field."""
    guarded = {name: name.removeprefix("real_").upper() for name, _ in guarded_fields()}
    return {guarded.get(name, name.upper()): name for name in DeclaredSettings.model_fields}


def _field_of(override: str) -> str:
    try:
        return _names()[override.upper()]
    except KeyError:
        message = f"There is no setting {override}."
        raise SettingsError(message) from None


def _crm_values(written: Mapping[str, str]) -> dict[str, SecretStr]:
    return {
        name.removeprefix("CRM_"): SecretStr(value)
        for name, value in written.items()
        if name.startswith("CRM_") and name != "CRM_"
    }


def _is_let_be(name: str) -> bool:
    return name in INTERNAL_NAMES or name.startswith("CRM_") or _PLATFORM_NAME.search(name) is not None


def _refuse_near_misses(written: Mapping[str, str]) -> None:
    known = _names()
    for name in written:
        if name == "PORT" or name in known or _is_let_be(name):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=_NEARLY)
        squeezed = {candidate.replace("_", ""): candidate for candidate in known}
        found = near[0] if near else squeezed.get(name.replace("_", ""))
        if found is not None:
            message = (
                f"{PREFIX}{name} is not a setting. Did you mean {PREFIX}{found}? Rename it or remove it."
            )
            raise SettingsError(message)


def _one_line(error: ValidationError) -> str:
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    text = first["msg"].removeprefix("Value error, ").rstrip(".")
    if not first["loc"]:
        return f"{text}."
    field_name = str(first["loc"][0])
    text = text.replace("Input should be", "must be").replace("String should", "must")
    meaning = DeclaredSettings.model_fields[field_name].description
    more = f" ({len(others)} more to mend after it.)" if others else ""
    return f"{public_name(field_name)} {text}{'' if text.endswith('?') else '.'} It is: {meaning}{more}"


def _own_place_in_the_sandbox(settings: Settings) -> Settings:
    if not settings.sandbox:
        return settings
    return settings.model_copy(
        update={"namespace": f"{settings.namespace}-sandbox", "data_dir": settings.data_dir / "sandbox"}
    )
