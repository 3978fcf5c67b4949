"""The settings of the invitation and of a link's life, as they are written. `settings_fields` holds all others."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from worker.settings_kinds import AlertAddress, Duration, Networks, Reminders, setting


class LifeSettings(BaseSettings):
    """When messages go out, how completions are heard of, what is reminded of and watched."""

    send_window: str = setting(
        "off",
        "Messages",
        "When messages may go out: `off` (always), `il` (Sunday to Friday noon, without Shabbat and holidays), or your "
        "own (see docs/send-window.md). Links are made at any time.",
    )
    send_window_live: bool = setting(
        False, "Messages", "1: the messages of single customers (lane `live`) do not wait for SEND_WINDOW."
    )
    reminders: Reminders = setting(
        (),
        "Messages",
        "When a customer who has not finished is reminded, after his first message: `2d,5d`, at most two; `off`: never.",
    )

    real_provider_webhook_secret: SecretStr | None = setting(
        None,
        "Completion",
        "Last part of the address that the partner reports completions to: /provider/webhook/<secret>. Unset: it is "
        "not listened to. Make one with `openssl rand -hex 24`.",
        name="PROVIDER_WEBHOOK_SECRET",
    )
    provider_webhook_from: Networks = setting(
        ("34.165.99.212",),
        "Completion",
        "Addresses or networks the partner's reports come from, comma-separated; looked at behind TRUSTED_PROXIES only.",
    )
    real_forward_url: AlertAddress | None = setting(
        None,
        "Completion",
        "Where the partner's reports are passed on to as they came, for a system that listened before (https://…).",
        name="FORWARD_URL",
    )
    poll_s: Duration = setting(
        300.0, "Completion", "How often the partner's list is read for completions (300).", ge=5, le=86_400
    )

    link_open_s: Duration = setting(
        14 * 86_400.0, "Watch", "A link that is open for longer is shown as such (14d).", ge=3600
    )
    number_expiry_s: Duration = setting(
        14 * 86_400.0,
        "Watch",
        "A registered number whose 90 days end within so long is shown as such (14d).",
        ge=3600,
        le=90 * 86_400,
    )
