"""The settings of the invitation and of a link's life, as they are written. `settings_fields` holds all others."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from worker.settings_kinds import AlertAddress, Duration, Networks, Reminders, setting

_PATH_SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")


def _send_window(text: str) -> str:
    # Every command reads the settings, and most need no calendar: what is known to be right is not looked at.
    if text.strip().lower() not in {"", "off", "il"}:
        from worker.domain.send_window import SendWindow

        SendWindow.parse(text)
    return text.strip()


def _path_secret(secret: SecretStr) -> SecretStr:
    if not _PATH_SECRET.fullmatch(secret.get_secret_value()):
        message = "must be 16 to 128 letters, digits, - or _: make one with `openssl rand -hex 24`"
        raise ValueError(message)
    return secret


SendWindowText = Annotated[str, AfterValidator(_send_window)]

PathSecret = Annotated[SecretStr, AfterValidator(_path_secret)]


class LifeSettings(BaseModel):
    """When messages go out, how completions are heard of, what is reminded of and watched."""

    # Built with the first settings that are read: three classes share the fields, and one of them is used.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True, defer_build=True
    )

    send_window: SendWindowText = setting(
        "off",
        "Messages",
        "When messages may go out: `off` (always), `il` (Sunday to Friday noon, without Shabbat and holidays), or your "
        "own, such as `Mon-Fri 09:00-18:00; tz=Europe/London; holidays=GB` (docs/send-window.md). Links are made at any "
        "time; messages wait.",
    )
    send_window_live: bool = setting(
        False,
        "Messages",
        "1: single customers (lane `live`) get their link at once; only bulk and reminders wait for "
        "SEND_WINDOW.",
    )
    reminders: Reminders = setting(
        (),
        "Messages",
        "When a customer who has not finished is reminded, after his first message: `2d,5d`, at most two; `off`: never "
        "(see docs/reminders.md).",
    )

    real_provider_webhook_secret: PathSecret | None = setting(
        None,
        "Completion",
        "Last part of the address that the partner reports completions to: /provider/webhook/<secret>. Unset: it is "
        "not listened to, and a Facebook completion is never heard of. Make one with `openssl rand -hex 24`, then: "
        "linkferry provider webhook set",
        name="PROVIDER_WEBHOOK_SECRET",
    )
    provider_webhook_from: Networks = setting(
        ("34.165.99.212",),
        "Completion",
        "Addresses or networks the partner's reports come from, comma-separated; all others are refused. Behind a proxy it "
        "can be told only with TRUSTED_PROXIES; see docs/completion.md.",
    )
    real_forward_url: AlertAddress | None = setting(
        None,
        "Completion",
        "Where the partner's reports are passed on to as they came, for a system that listened before (https://…).",
        name="FORWARD_URL",
    )
    poll_s: Duration = setting(
        300.0,
        "Completion",
        "How often the partner's list is compared with our links, for completions that no report told of and for links "
        "that are gone (300). No call is made while no link waits.",
        ge=5,
        le=86_400,
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
