"""The settings as they are written: names, meanings, bounds and defaults. What the code uses is `settings.Settings`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo

from worker.domain.states import Channel, ChannelPolicy
from worker.settings_kinds import (
    AlertAddress,
    Channels,
    Duration,
    MailAddresses,
    Networks,
    PrivateAddress,
    Secrets,
    SigningSecrets,
    SmsProvider,
    Words,
    setting,
    shown,
)
from worker.settings_life import LifeSettings

PREFIX = "LINKFERRY_"
_LEAST_SEND_S = 1.0  #: between a claim and its call: with less, jobs would be put back again and again
_NOWHERE = (
    "http://partner.invalid"  #: where a call would go that forgot about the sandbox: no such host exists
)


class DeclaredSettings(LifeSettings):
    """The settings as written in the environment and `.env`, with their meaning and their bounds."""

    redis_url: str | None = setting(
        None,
        "Storage",
        "Redis or Valkey with the ledger (redis://, rediss://, unix://). Unset: `up`, `demo` and commands run an "
        "embedded Valkey under DATA_DIR; `web` and `worker` alone require it.",
        repr=False,
    )
    broker_url: str | None = setting(
        None,
        "Storage",
        "Where the bells go. Unset: the ledger's server, next database number. `amqp://…` for RabbitMQ.",
        repr=False,
    )
    namespace: str = setting(
        "linkferry",
        "Storage",
        "Prefix of every key; one per partner account.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$",
    )
    data_dir: Path = setting(Path("var"), "Storage", "Folder of the embedded Valkey and of the sandbox.")
    sandbox: bool = setting(
        False,
        "Sandbox",
        "1: a local stand-in for the partner, its own namespace and folder, captured mails and texts; every real "
        "credential and channel is ignored. Same as --sandbox.",
    )
    sandbox_port: int = setting(8099, "Sandbox", "HTTP port of `linkferry sandbox`.", ge=0, le=65535)

    real_provider_url: str = setting(
        "https://partners.99digital.co.il/api",
        "Partner",
        "Base URL of the partner API.",
        name="PROVIDER_URL",
    )
    real_provider_client_id: str | None = setting(
        None, "Partner", "Client id from the partner. Missing: calls are held.", name="PROVIDER_CLIENT_ID"
    )
    real_provider_client_secret: SecretStr | None = setting(
        None,
        "Partner",
        "Client secret from the partner. Missing: calls are held.",
        name="PROVIDER_CLIENT_SECRET",
    )
    provider_rate: float = setting(
        5.0, "Partner", "Calls per second for the whole fleet; never exceeded.", gt=0, le=10_000
    )
    provider_timeout: Duration = setting(
        15.0, "Partner", "Seconds a call may take in total; must be less than LEASE_S.", gt=0, le=600
    )
    provider_concurrency: int = setting(32, "Partner", "Calls at once per process.", ge=1, le=1024)
    provider_whatsapp_create_path: str = setting(
        "/whatsapp/createAccount", "Partner", "Path of the call that creates a WhatsApp link.", pattern=r"^/"
    )

    real_smtp_url: SecretStr | None = setting(
        None,
        "Mail",
        "smtp://user:pass@host:port?starttls=1 or smtps://… Missing: no mail is sent.",
        name="SMTP_URL",
    )
    real_email_from: str | None = setting(
        None, "Mail", "Sender of the mails, such as `Ferry <links@example.com>`.", name="EMAIL_FROM"
    )
    real_mail_reply_to: str | None = setting(
        None, "Mail", "Where a customer's answer goes, if not to the sender.", name="MAIL_REPLY_TO"
    )
    email_rate: float = setting(10.0, "Mail", "Mails per second for the whole fleet.", gt=0, le=10_000)

    real_sms_provider: SmsProvider = setting(
        "none", "SMS", "`99digital`, `twilio` or `none`.", name="SMS_PROVIDER"
    )
    real_sms_url: str | None = setting(
        None, "SMS", "The provider's address, where it is not the usual one.", name="SMS_URL"
    )
    real_sms_account: str | None = setting(None, "SMS", "Twilio's account SID.", name="SMS_ACCOUNT")
    real_sms_api_key: SecretStr | None = setting(
        None, "SMS", "The provider's API key (Twilio: the auth token).", name="SMS_API_KEY"
    )
    real_sms_from: str | None = setting(
        None, "SMS", "Sender: at most 11 letters or an approved number.", name="SMS_FROM"
    )
    sms_rate: float = setting(5.0, "SMS", "Texts per second for the whole fleet.", gt=0, le=10_000)

    channels: Channels = setting(
        (Channel.EMAIL, Channel.SMS), "Messages", "Default channels in order: `email,sms`, or `none`."
    )
    channel_policy: ChannelPolicy = setting(
        ChannelPolicy.ALL, "Messages", "`all` channels that have a contact, or the `first` that works."
    )
    recipient_allowlist: Words = setting(
        (),
        "Messages",
        "When set, only these get messages: addresses, `@domain`s and numbers, comma-separated.",
    )
    brand_name: str | None = setting(None, "Messages", "Who the messages say they are from.", max_length=60)
    templates_dir: Path | None = setting(None, "Messages", "Folder of your own templates, looked in first.")

    api_keys: Secrets = setting(
        (),
        "Web",
        "Keys of the HTTP API to begin with, comma-separated; named ones are made by `linkferry key add`.",
    )
    web_host: str = setting("127.0.0.1", "Web", "Address that `web` listens on.")
    web_port: int = setting(8080, "Web", "Port that `web` listens on; PORT is honoured too.", ge=0, le=65535)
    public_url: str | None = setting(None, "Web", "Address under which the outside reaches `web`.")
    trusted_proxies: Networks = setting(
        (),
        "Web",
        "Addresses or networks (CIDR) of your own proxies, comma-separated: X-Forwarded-For and -Proto are believed "
        "from these only.",
    )
    console_idle_s: Duration = setting(
        1800.0, "Web", "How long somebody in the console may do nothing (30m).", ge=60, le=7 * 86_400
    )
    console_session_s: Duration = setting(
        43_200.0, "Web", "How long a sign-in to the console lasts at most (12h).", ge=300, le=30 * 86_400
    )
    real_events_url: PrivateAddress | None = setting(
        None,
        "Events",
        "Where your own system hears of links, messages and failures (https://…; see docs/events.md). Unset: nothing is told.",
        name="EVENTS_URL",
    )
    real_events_secret: SigningSecrets = setting(
        (),
        "Events",
        "What signs the events: whsec_ and base64 of 24 to 64 bytes. Two, comma-separated, while you change it.",
        name="EVENTS_SECRET",
    )

    real_alert_url: AlertAddress | None = setting(
        None,
        "Alerts",
        "Where alerts are posted: a receiver of your own, or a chat tool's incoming webhook (https://…; see "
        "docs/alerts.md). Unset: none is posted.",
        name="ALERT_URL",
    )
    real_alert_secret: SigningSecrets = setting(
        (),
        "Alerts",
        "What signs them, as EVENTS_SECRET does events. Unset: they are not signed, which chat tools do not mind.",
        name="ALERT_SECRET",
    )
    alert_email: MailAddresses = setting(
        (),
        "Alerts",
        "Who gets alerts by e-mail: addresses, comma-separated. RECIPIENT_ALLOWLIST does not apply.",
    )
    alert_late_s: Duration = setting(
        60.0, "Alerts", "A live job that waits longer than this is told of (60s).", ge=10, le=86_400
    )
    alert_stopped_s: Duration = setting(
        600.0,
        "Alerts",
        "Calls that rest, backfills or a channel that stand still for so long are told of (10m).",
        ge=60,
        le=86_400,
    )
    alert_failed: int = setting(
        50, "Alerts", "Jobs that fail within an hour, for several reasons, before it is told; 0: never.", ge=0
    )
    alert_surge: int = setting(
        20,
        "Alerts",
        "Jobs that fail for one reason within ten minutes, and three times what is usual, before it is told; 0: never.",
        ge=0,
    )

    default_region: str = setting(
        "IL", "Requests", "Country of numbers written without a country code.", pattern=r"^[A-Z]{2}$"
    )
    default_locale: Literal["he", "en"] = setting("he", "Requests", "Language of messages: `he` or `en`.")
    reasons_file: Path | None = setting(
        None, "Requests", "Your own entries of the reasons catalogue (TOML or JSON); they win."
    )
    max_waiting: int = setting(
        2_000_000, "Requests", "Jobs that may wait; beyond it requests are refused.", ge=1
    )

    processes: int = setting(2, "Work", "Worker processes that `up` runs.", ge=1, le=256)
    worker_concurrency: int = setting(
        64, "Work", "Bells of each queue that a worker process answers at once.", ge=1, le=1024
    )
    lease_s: Duration = setting(
        60.0,
        "Work",
        "Seconds a claimed job stays its worker's; must exceed PROVIDER_TIMEOUT by a second.",
        ge=2,
        le=3600,
    )
    doubt_grace_s: Duration = setting(
        60.0, "Work", "Seconds before a look-up may say that a doubtful link does not exist.", ge=0, le=86_400
    )
    invitation_wait: Duration = setting(
        600.0, "Work", "How long an invitation waits for its last links (10m).", ge=0, le=7 * 86_400
    )
    failed_keep: Duration = setting(180 * 86_400.0, "Work", "How long failed jobs are kept (180d).", gt=0)
    dead_keep: Duration = setting(90 * 86_400.0, "Work", "How long dead letters are kept (90d).", gt=0)
    log_format: Literal["console", "json"] = setting("console", "Work", "`console` or `json`.")

    @field_validator("default_region", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
            message = "must begin with redis://, rediss:// or unix://"
            raise ValueError(message)
        return value

    @field_validator("broker_url")
    @classmethod
    def _is_broker(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in {"redis", "rediss", "unix", "amqp", "amqps"}:
            message = "must begin with redis://, rediss://, unix:// or amqp://"
            raise ValueError(message)
        return value

    @field_validator("real_provider_url", "real_sms_url", "public_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            message = "must be a whole address, such as https://example.com/path"
            raise ValueError(message)
        return value.rstrip("/")

    @field_validator("real_smtp_url")
    @classmethod
    def _is_smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            message = "must look like smtp://user:pass@host:587?starttls=1 or smtps://user:pass@host"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _lease_outlives_call(self) -> Self:
        if self.lease_s < self.provider_timeout + _LEAST_SEND_S:
            message = (
                f"LINKFERRY_LEASE_S ({self.lease_s:g}) must exceed LINKFERRY_PROVIDER_TIMEOUT "
                f"({self.provider_timeout:g}) by a second or more: raise the one or lower the other"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _events_are_signed(self) -> Self:
        if self.real_events_url is not None and not self.real_events_secret and not self.sandbox:
            message = (
                "LINKFERRY_EVENTS_URL needs LINKFERRY_EVENTS_SECRET, so that the receiver can tell our events from "
                'forged ones: make one with `echo "whsec_$(openssl rand -base64 32)"` and give it to the receiver too'
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _reports_are_not_passed_on_to_us(self) -> Self:
        forward = None if self.real_forward_url is None else self.real_forward_url.get_secret_value()
        ours = None if self.public_url is None else f"{self.public_url.rstrip('/')}/provider/webhook/"
        if forward and ours and forward.lower().startswith(ours.lower()) and not self.sandbox:
            message = (
                "LINKFERRY_FORWARD_URL leads to this installation's own webhook, so that each report would come again "
                "and again: name the other system's address, or unset it"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _forget_the_real_in_the_sandbox(self) -> Self:
        if self.sandbox:
            for name, field in guarded_fields():
                # Set below the frozen surface: this is the model's own birth.
                self.__dict__[name] = field.get_default(call_default_factory=True)
            self.__dict__["real_provider_url"] = _NOWHERE
        return self


def guarded_fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield the fields with a real credential or channel, which the sandbox forgets."""
    for name, field in DeclaredSettings.model_fields.items():
        if isinstance(field.json_schema_extra, dict) and "stands_for" in field.json_schema_extra:
            yield name, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingNote:
    """One setting as `linkferry config` explains it."""

    name: str  #: with its prefix, as written in the environment
    group: str
    value: str  #: as it stands, secrets masked
    is_set: bool
    description: str


def describe_settings(settings: DeclaredSettings) -> list[SettingNote]:
    """Return every setting with its meaning and its masked value, in the order of the documentation."""
    return [_note(settings, field_name) for field_name in DeclaredSettings.model_fields]


def public_name(field_name: str) -> str:
    """Return the name under which a field is written in the environment."""
    return PREFIX + field_name.removeprefix(PREFIX).removeprefix("real_").upper()


def _note(settings: DeclaredSettings, field_name: str) -> SettingNote:
    field = DeclaredSettings.model_fields[field_name]
    extra = field.json_schema_extra
    group = str(extra["group"]) if isinstance(extra, dict) else ""
    value = getattr(settings, field_name)
    is_set = field_name in settings.model_fields_set
    return SettingNote(
        name=public_name(field_name),
        group=group,
        value="(ignored in the sandbox)"
        if settings.sandbox and field_name.startswith("real_")
        else shown(value),
        is_set=is_set,
        description=field.description or "",
    )
