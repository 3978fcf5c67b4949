"""How settings are read: names, values, one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.domain.states import Channel
from worker.settings import Settings, SettingsError, load_settings, next_database, unknown_names
from worker.settings_fields import describe_settings


def read(**written: str) -> Settings:
    return load_settings(environ={f"LINKFERRY_{name}": text for name, text in written.items()}, env_file=None)


def complaint(**written: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**written)
    return str(caught.value)


def test_nothing_set_is_a_working_default() -> None:
    """A newcomer sets nothing: an embedded Valkey, five calls a second, no credentials."""
    settings = read()

    assert settings.redis_url is None
    assert settings.provider_rate == 5
    assert settings.channels == (Channel.EMAIL, Channel.SMS)
    assert (settings.web_host, settings.web_port) == ("127.0.0.1", 8080)
    assert not settings.has_credentials
    assert not settings.has_smtp
    assert not settings.has_sms


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PROVIDER_RATE", "fast"),
        ("PROVIDER_RATE", "0"),
        ("WEB_PORT", "99999"),
        ("CHANNELS", "email,fax"),
        ("REDIS_URL", "http://example.com"),
        ("PROVIDER_URL", "partners.example.com"),
        ("SMTP_URL", "user:secret@mail.example.com"),
        ("SMS_PROVIDER", "pigeon"),
        ("INVITATION_WAIT", "soon"),
        ("DEFAULT_REGION", "Israel"),
        ("NAMESPACE", "two words"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(name: str, text: str) -> None:
    """The line names the setting and says what it is for; it never repeats a value that may be a secret."""
    line = complaint(**{name: text})

    assert line.startswith(f"LINKFERRY_{name} ")
    assert "\n" not in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("PROVIDER_CLIENTID", "PROVIDER_CLIENT_ID"),
        ("PROVIDER_CLIENT_SECRT", "PROVIDER_CLIENT_SECRET"),
        ("REDISURL", "REDIS_URL"),
        ("SMTP_ULR", "SMTP_URL"),
        ("SANDBX", "SANDBOX"),
    ],
)
def test_a_name_nearly_like_a_known_one_is_refused(wrong: str, right: str) -> None:
    """A slip in a name must not pass for a setting that was made."""
    line = complaint(**{wrong: "x"})

    assert f"LINKFERRY_{wrong} " in line
    assert f"LINKFERRY_{right}?" in line


@pytest.mark.parametrize(
    "name",
    [
        "SERVICE_HOST",
        "WEB_SERVICE_PORT",
        "PORT_8080_TCP_ADDR",
        "WEB_PORT_8080_TCP",
        "SANDBOX_SERVICE_HOST",
        "CRM_HUBSPOT_PATH",
        "WORKER_ID",
    ],
)
def test_names_of_platforms_and_of_crms_are_let_be(name: str) -> None:
    """Kubernetes injects names for a service called linkferry; CRM names are free. Nobody is warned of them."""
    environ = {f"LINKFERRY_{name}": "x"}

    assert load_settings(environ=environ, env_file=None).namespace == "linkferry"
    assert unknown_names(environ, None) == []


def test_a_name_like_no_other_is_ignored_and_can_be_listed() -> None:
    """It does no harm; doctor warns of it."""
    environ = {"LINKFERRY_FAVOURITE_COLOUR": "blue", "LINKFERRY_SERVICE_HOST": "10.0.0.1"}

    load_settings(environ=environ, env_file=None)

    assert unknown_names(environ, None) == ["LINKFERRY_FAVOURITE_COLOUR"]


def test_port_is_honoured_and_web_port_wins() -> None:
    """Platforms say PORT; whoever says WEB_PORT means it."""
    assert load_settings(environ={"PORT": "5000"}, env_file=None).web_port == 5000
    both = {"PORT": "5000", "LINKFERRY_WEB_PORT": "6000"}
    assert load_settings(environ=both, env_file=None).web_port == 6000


def test_a_port_that_kubernetes_injects_is_no_setting() -> None:
    """A service called linkferry-web sets LINKFERRY_WEB_PORT=tcp://…: PORT or the default stands."""
    environ = {"LINKFERRY_WEB_PORT": "tcp://10.0.0.7:80", "PORT": "5000"}

    assert load_settings(environ=environ, env_file=None).web_port == 5000


def test_the_lease_must_outlive_a_call() -> None:
    """Else a slow call would be given to a second worker while it runs."""
    line = complaint(LEASE_S="15", PROVIDER_TIMEOUT="15")

    assert "LINKFERRY_LEASE_S" in line
    assert "LINKFERRY_PROVIDER_TIMEOUT" in line


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_lengths_of_time_may_have_units(text: str, seconds: float) -> None:
    """`10m` reads better than 600."""
    assert read(INVITATION_WAIT=text).invitation_wait == seconds


@pytest.mark.parametrize(
    ("text", "channels"),
    [("sms", (Channel.SMS,)), (" sms , email ", (Channel.SMS, Channel.EMAIL)), ("none", ())],
)
def test_channels_are_words_in_order(text: str, channels: tuple[Channel, ...]) -> None:
    """The order is that of the `first` policy."""
    assert read(CHANNELS=text).channels == channels


def test_an_empty_value_counts_as_unset() -> None:
    """`LINKFERRY_REDIS_URL=` in a compose file means: not set."""
    assert read(REDIS_URL="", PROVIDER_RATE="").redis_url is None


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A .env holds what is usual; the environment says what is different today."""
    path = tmp_path / ".env"
    path.write_text('LINKFERRY_PROVIDER_RATE=7\nLINKFERRY_BRAND_NAME="אקמה"\nOTHER=1\n', encoding="utf-8")

    settings = load_settings(environ={"LINKFERRY_PROVIDER_RATE": "9"}, env_file=path)

    assert settings.provider_rate == 9
    assert settings.brand_name == "אקמה"


def test_overrides_take_documented_names() -> None:
    """Tests and the demo set what they need by the names of the documentation."""
    settings = load_settings(
        environ={}, env_file=None, provider_url="http://127.0.0.1:9/api", provider_rate=12
    )

    assert settings.provider_url == "http://127.0.0.1:9/api"
    assert settings.provider_rate == 12
    with pytest.raises(SettingsError, match="no setting"):
        load_settings(environ={}, env_file=None, provider_speed=1)


@pytest.mark.parametrize(
    ("url", "following"),
    [
        ("redis://host", "redis://host/1"),
        ("redis://:pw@host:6379/3", "redis://:pw@host:6379/4"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/1?ssl_cert_reqs=none"),
        ("unix:///run/v.sock", "unix:///run/v.sock?db=1"),
        ("unix:///run/v.sock?db=2", "unix:///run/v.sock?db=3"),
    ],
)
def test_the_broker_has_the_next_database(url: str, following: str) -> None:
    """Dramatiq scans its whole database now and then: it must not be the ledger's."""
    assert next_database(url) == following
    assert read(REDIS_URL=url).broker_url_effective == following


def test_a_broker_of_its_own_is_taken_as_it_is() -> None:
    """BROKER_URL may name another Redis, or RabbitMQ."""
    settings = read(REDIS_URL="redis://host", BROKER_URL="amqp://rabbit")

    assert settings.broker_url_effective == "amqp://rabbit"


def test_without_redis_the_line_says_what_to_do() -> None:
    """`web` and `worker` alone have no server of their own."""
    with pytest.raises(SettingsError, match="linkferry up"):
        _ = read().broker_url_effective


def test_secrets_show_nowhere() -> None:
    """Neither in a log of the settings nor in `linkferry config`."""
    settings = read(
        PROVIDER_CLIENT_SECRET="hush-1",
        SMTP_URL="smtp://user:hush-2@mail.example.com",
        SMS_API_KEY="hush-3",
        API_KEYS="hush-4,hush-5",
        REDIS_URL="redis://:hush-6@host",
        CRM_HUBSPOT_TOKEN="hush-7",
        EVENTS_SECRET="whsec_" + "hush8888" * 4,
        PROVIDER_WEBHOOK_SECRET="hush-9-hush-9-hush",
        BROKER_URL="amqp://user:hush-10@rabbit",
    )

    shown = repr(settings) + "".join(note.value for note in describe_settings(settings))

    assert "hush" not in shown


def test_every_setting_is_explained_and_in_the_example_file() -> None:
    """`linkferry config` and .env.example never lag behind the code."""
    notes = describe_settings(read())
    example = (Path(__file__).parents[2] / ".env.example").read_text(encoding="utf-8")

    assert all(note.description and note.group for note in notes)
    missing = [note.name for note in notes if f"{note.name}=" not in example]
    assert missing == []


def test_the_example_file_is_valid_as_it_stands(tmp_path: Path) -> None:
    """Uncommenting every line of .env.example gives settings that load."""
    example = (Path(__file__).parents[2] / ".env.example").read_text(encoding="utf-8")
    path = tmp_path / ".env"
    path.write_text(
        "\n".join(
            line.removeprefix("#") if line.startswith("#LINKFERRY_") else line
            for line in example.splitlines()
        ),
        encoding="utf-8",
    )

    settings = load_settings(environ={}, env_file=path)

    assert settings == read(**_all_defaults())


def _all_defaults() -> dict[str, Any]:
    return {
        note.name.removeprefix("LINKFERRY_"): note.value
        for note in describe_settings(read())
        if note.value != "(not set)"
    }
