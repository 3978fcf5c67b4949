"""The sandbox's settings: nothing real can be reached through them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.settings import SandboxAddress, Settings, SettingsError, load_settings

REAL = {
    "LINKFERRY_PROVIDER_URL": "https://real.example.com/api",
    "LINKFERRY_PROVIDER_CLIENT_ID": "real-id",
    "LINKFERRY_PROVIDER_CLIENT_SECRET": "real-secret",
    "LINKFERRY_PROVIDER_WEBHOOK_SECRET": "real-hook-real-hook",
    "LINKFERRY_SMTP_URL": "smtp://real:real@mail.real.example.com",
    "LINKFERRY_EMAIL_FROM": "real@example.com",
    "LINKFERRY_MAIL_REPLY_TO": "real-reply@example.com",
    "LINKFERRY_SMS_PROVIDER": "twilio",
    "LINKFERRY_SMS_URL": "https://real.sms.example.com",
    "LINKFERRY_SMS_ACCOUNT": "real-account",
    "LINKFERRY_SMS_API_KEY": "real-key",
    "LINKFERRY_SMS_FROM": "Real",
    "LINKFERRY_EVENTS_URL": "https://real.events.example.com",
    "LINKFERRY_EVENTS_SECRET": "whsec_" + "real" * 8,
    "LINKFERRY_ALERT_URL": "https://real.alerts.example.com",
    "LINKFERRY_ALERT_SECRET": "whsec_" + "real" * 8,
    "LINKFERRY_CRM_HUBSPOT_TOKEN": "real-token",
}


def in_sandbox(tmp_path: Path, **more: str) -> Settings:
    environ = REAL | {"LINKFERRY_SANDBOX": "1", "LINKFERRY_DATA_DIR": str(tmp_path)} | more
    return load_settings(environ=environ, env_file=None)


def start_sandbox(settings: Settings) -> None:
    address = SandboxAddress(url="http://127.0.0.1:4711", smtp_port=4712, api_url="http://127.0.0.1:4711/api")
    address.write(settings.sandbox_address_file)


def test_every_real_credential_and_channel_is_forgotten(tmp_path: Path) -> None:
    """No attribute, field or property of sandbox settings holds anything real."""
    settings = in_sandbox(tmp_path)
    start_sandbox(settings)

    everything = [str(settings.model_dump())]
    for name in dir(Settings):
        if not name.startswith("_") and isinstance(getattr(Settings, name, None), property):
            value = (
                getattr(settings, name)
                if name not in {"redis_url_required", "broker_url_effective"}
                else None
            )
            everything.append(value.get_secret_value() if hasattr(value, "get_secret_value") else str(value))
    assert "real" not in " ".join(everything).lower().replace("real_", "")


def test_it_has_its_own_namespace_and_folder(tmp_path: Path) -> None:
    """A ledger of real customers and one of made-up ones never mix."""
    settings = in_sandbox(tmp_path, LINKFERRY_NAMESPACE="acme")

    assert settings.namespace == "acme-sandbox"
    assert settings.data_dir == tmp_path / "sandbox"
    assert settings.is_sandbox


def test_partner_and_channels_are_the_running_sandbox(tmp_path: Path) -> None:
    """Calls, mails and texts all go to the one process that captures them."""
    settings = in_sandbox(tmp_path)
    start_sandbox(settings)

    assert settings.provider_url == "http://127.0.0.1:4711/api"
    assert settings.provider_client_id == "sandbox-client"
    assert settings.smtp_url is not None
    assert settings.smtp_url.get_secret_value() == "smtp://127.0.0.1:4712"
    assert settings.sms_url == "http://127.0.0.1:4711/sms/sendMessage"
    assert (settings.has_credentials, settings.has_smtp, settings.has_sms) == (True, True, True)


def test_the_address_is_read_anew_each_time(tmp_path: Path) -> None:
    """A sandbox that was restarted listens elsewhere."""
    settings = in_sandbox(tmp_path)
    start_sandbox(settings)
    assert settings.provider_url.endswith(":4711/api")

    settings.sandbox_address_file.write_text(json.dumps({"url": "http://127.0.0.1:5", "smtp_port": 6}))

    assert settings.provider_url == "http://127.0.0.1:5"


@pytest.mark.parametrize("content", [None, "", "{", '{"url": "http://127.0.0.1:1"}', "[]"])
def test_without_a_running_sandbox_nothing_is_called(tmp_path: Path, content: str | None) -> None:
    """No fallback to the real partner: a line that says how to start the sandbox."""
    settings = in_sandbox(tmp_path)
    if content is not None:
        settings.sandbox_address_file.parent.mkdir()
        settings.sandbox_address_file.write_text(content)

    with pytest.raises(SettingsError, match="linkferry sandbox"):
        _ = settings.provider_url


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_a_half_filled_file_does_not_spoil_the_sandbox(word: str) -> None:
    """What is ignored need not be right."""
    environ = {
        "LINKFERRY_SANDBOX": word,
        "LINKFERRY_SMTP_URL": "nonsense",
        "LINKFERRY_PROVIDER_URL": "nonsense",
    }

    assert load_settings(environ=environ, env_file=None).is_sandbox


def test_the_option_says_the_same_as_the_setting(tmp_path: Path) -> None:
    """`--sandbox` wins over LINKFERRY_SANDBOX=0."""
    environ = REAL | {"LINKFERRY_SANDBOX": "0", "LINKFERRY_DATA_DIR": str(tmp_path)}

    settings = load_settings(environ=environ, env_file=None, sandbox=True)

    assert settings.is_sandbox
    assert settings.real_provider_client_id is None


def test_without_the_sandbox_the_real_ones_are_used() -> None:
    """The other side of the wall works, too."""
    settings = load_settings(environ=REAL, env_file=None)

    assert settings.provider_url == "https://real.example.com/api"
    assert settings.has_credentials
    assert settings.has_smtp
    assert settings.has_sms
    assert settings.crm["HUBSPOT_TOKEN"].get_secret_value() == "real-token"
