"""The CRMs' settings: which are on, and how a mistake is told."""

from __future__ import annotations

import json

import pytest

from producers.crm.config import (
    CRM_NAMES,
    CrmValues,
    crm_path,
    crm_settings,
    load_crms,
    module_of,
    new_path,
    parse_rules,
    trial_crm,
)
from producers.crm.generic import Generic
from producers.crm.model import RawRequest
from worker.clock import SystemClock
from worker.settings import Settings, SettingsError, load_settings

PATH = "Xq8_3vTt-0aZ7LmPnRbY4w"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BEARER = "a-static-token-nobody-guesses"


def settings(**written: str) -> Settings:
    environ = {f"LINKFERRY_CRM_{name}": value for name, value in written.items()}
    return load_settings(environ=environ, env_file=None)


def refusal(**written: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_crms(settings(**written))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_nothing_is_on_by_itself():
    """Without a path there is no door; what is written besides is listed all the same."""
    assert load_crms(settings()) == {}
    assert load_crms(settings(GENERIC_BEARER=BEARER)) == {}
    [generic] = [each for each in crm_settings(settings(GENERIC_BEARER=BEARER)) if each.keys]
    assert (generic.name, generic.is_on, generic.keys) == ("generic", False, ("BEARER",))


def test_a_path_turns_a_crm_on():
    """The generic one needs a way to tell friends from strangers besides."""
    on = settings(GENERIC_PATH=PATH, GENERIC_BEARER=BEARER)

    assert isinstance(load_crms(on)["generic"], Generic)
    assert crm_path(on, "generic") == PATH
    assert crm_path(on, "hubspot") is None


@pytest.mark.parametrize(
    "path", ["short", "a" * 32, "ab" * 12, "with space in it at all", f"{PATH}/x", "é" * 24]
)
def test_a_path_that_can_be_guessed_is_refused(path: str):
    """The error does not repeat it, and proposes one that will do."""
    text = refusal(GENERIC_PATH=path, GENERIC_BEARER=BEARER)

    assert text.startswith("LINKFERRY_CRM_GENERIC_PATH must be 20 to 128 letters")
    assert path not in text
    proposed = text.rpartition(" ")[2]
    assert load_crms(settings(GENERIC_PATH=proposed, GENERIC_BEARER=BEARER))


def test_proposed_paths_differ():
    """Each is made by chance."""
    assert len({new_path() for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("HUBSPT_PATH", "Did you mean LINKFERRY_CRM_HUBSPOT_PATH?"),
        ("SALES_PATH", "Known: generic, hubspot, monday, salesforce."),
        ("PATH", "there is no CRM path"),
        ("PIPEDRIVE_PATH", "write LINKFERRY_CRM_GENERIC_PATH, and see docs/crm/pipedrive.md"),
        ("GENERIC_SECRETS", "Did you mean LINKFERRY_CRM_GENERIC_SECRET?"),
        ("GENERIC_PAHT", "Did you mean LINKFERRY_CRM_GENERIC_PATH?"),
        ("GENERIC_ZZZ", "Known: PATH, MAP, ACCEPT_NAMES, SECRET, BEARER, EVENT_ID."),
        ("GENERIC", "LINKFERRY_CRM_GENERIC_ is no setting"),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_the_nearest(name: str, says: str):
    """A slip of the pen must not leave a CRM silently off."""
    assert says in refusal(**{name: "x"})


def test_what_a_platform_injects_is_let_be():
    """Kubernetes sets such names for a service called linkferry-crm."""
    written = {"SERVICE_HOST": "10.0.0.1", "PORT": "tcp://10.0.0.1:80", "PORT_80_TCP": "x"}

    assert load_crms(settings(**written)) == {}


def test_a_missing_secret_is_named_with_its_remedy():
    """Both ways in are named."""
    text = refusal(GENERIC_PATH=PATH)

    assert "LINKFERRY_CRM_GENERIC_SECRET" in text
    assert "LINKFERRY_CRM_GENERIC_BEARER" in text


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"SECRET": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "GENERIC_SECRET must begin with whsec_"),
        ({"SECRET": "whsec_c2hvcnQ="}, "GENERIC_SECRET must hold 24 to 64 bytes"),
        ({"BEARER": "short"}, "GENERIC_BEARER must have 20 characters"),
        ({"BEARER": BEARER, "ACCEPT_NAMES": "perhaps"}, "GENERIC_ACCEPT_NAMES must be 1 or 0."),
        ({"BEARER": BEARER, "EVENT_ID": "id"}, "GENERIC_EVENT_ID must be JSON pointers"),
        ({"BEARER": BEARER, "EVENT_ID": "body,/id"}, "GENERIC_EVENT_ID is `body` and pointers at once"),
        ({"BEARER": BEARER, "MAP": '{"whatsap": "/x"}'}, "Did you mean whatsapp?"),
        ({"BEARER": BEARER, "MAP": "[]"}, "GENERIC_MAP is no field map: it must be one JSON object"),
        ({"BEARER": BEARER, "MAP": "no-such-file.json"}, "names a file that can't be read: No such file"),
    ],
)
def test_a_wrong_value_is_told_by_its_setting(written: dict[str, str], says: str):
    """The value itself is not repeated: it may be a secret."""
    text = refusal(GENERIC_PATH=PATH, **{f"GENERIC_{key}": value for key, value in written.items()})

    assert says in text
    assert written.get("SECRET", "nothing") not in text


def test_a_map_may_lie_in_a_file(tmp_path, monkeypatch):
    """JSON in an environment variable is hard to read; a path will do, with a byte order mark or without."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.json").write_text(json.dumps({"whatsapp": "/tel"}), encoding="utf-8-sig")
    on = settings(GENERIC_PATH=PATH, GENERIC_BEARER=BEARER, GENERIC_MAP="map.json")

    assert load_crms(on)["generic"].wanted({"tel": "0501234567"}).fields["whatsapp"] == "0501234567"
    (tmp_path / "map.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="it is not UTF-8"):
        load_crms(on)


def test_a_trial_needs_no_settings_at_all():
    """`crm test` works before anything is set up, with a map of its own."""
    crm = trial_crm(settings(), "generic", map_text='{"whatsapp": "/tel"}')
    raw = RawRequest(method="POST", headers={}, body=b'{"tel": 501234567}', received_at=SystemClock().now())

    [event] = crm.read(raw).events
    assert crm.wanted(event.body).fields["whatsapp"] == "501234567"
    with pytest.raises(SettingsError, match=r"There is no CRM hubspt\. Did you mean hubspot"):
        trial_crm(settings(), "hubspt")


def test_altered_names_are_sent_only_where_that_was_allowed():
    """A display name can't be changed later, so nothing is left out of it unasked."""
    assert parse_rules(settings(), "generic").accept_names is False
    assert parse_rules(settings(GENERIC_ACCEPT_NAMES="1", HUBSPOT_ACCEPT_NAMES="off"), "generic").accept_names
    assert not parse_rules(settings(HUBSPOT_ACCEPT_NAMES="off"), "hubspot").accept_names


def test_values_never_show_a_secret():
    """Neither the repr nor the error for another key tells it."""
    crm_values = CrmValues(name="generic", values=settings(GENERIC_BEARER=BEARER).crm)

    assert BEARER not in repr(crm_values)
    with pytest.raises(
        SettingsError, match=r"LINKFERRY_CRM_GENERIC_SECRET is missing, and generic needs it\. It is: "
    ):
        crm_values.secret("SECRET", needed=True)


def test_addresses_are_whole():
    """A setting that is an address is checked where it is read."""
    values = CrmValues(name="hubspot", values=settings(API_URL="api.example.com").crm)

    assert values.url("OTHER", "https://api.example.com/") == "https://api.example.com"
    with pytest.raises(SettingsError, match="LINKFERRY_CRM_HUBSPOT_API_URL must be a whole address"):
        values.url("API_URL", "https://api.example.com")


@pytest.mark.parametrize("name", CRM_NAMES)
def test_every_crm_tells_its_keys(name: str):
    """What may be written is told by the module that reads it."""
    assert all(key.isupper() and meaning.endswith(".") for key, meaning in module_of(name).KEYS.items())


@pytest.mark.parametrize("name", CRM_NAMES)
def test_every_crm_can_be_tried_without_settings(name: str):
    """A newcomer tests a body first and fills in secrets later."""
    assert trial_crm(settings(), name).name == name
