"""The pages on CRMs say what the code does: settings exist, examples work as they stand, every reason is told."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from producers.crm.config import COMMON_KEYS, CRM_NAMES, module_of
from producers.crm.fieldmap import FieldMap, as_text
from producers.crm.generic import DEFAULT_MAP, Generic
from producers.crm.model import Wanted
from tests.repo import ROOT
from worker.domain.event import EVENT_REASONS
from worker.domain.parse import CANONICAL_FIELDS, ParsedRequest, parse_request

PAGES = sorted((ROOT / "docs/crm").glob("*.md"))
GENERIC = [ROOT / f"docs/crm/{name}.md" for name in ("zoho", "salesforce-flow")]
BY_US = ROOT / "producers/crm"


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [
        re.sub(r"^ {3}", "", body, flags=re.MULTILINE)
        for body in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_crm_setting_spoken_of_exists(page: Path):
    """A reader copies names from here."""
    known = {f"{crm.upper()}_{key}" for crm in CRM_NAMES for key in {**COMMON_KEYS, **module_of(crm).KEYS}}
    text = page.read_text(encoding="utf-8")
    names = re.findall(r"LINKFERRY_CRM_([A-Z]+_[A-Z_]*[A-Z])", text)

    assert {name for name in names if name not in known} == set()


@pytest.mark.parametrize("crm", CRM_NAMES)
def test_every_crm_setting_is_on_its_page(crm: str):
    """Whoever sets a CRM up finds all there is to set; what all of them take, and test addresses, are told elsewhere."""
    page = (ROOT / f"docs/crm/{crm}.md").read_text(encoding="utf-8")
    keys = module_of(crm).KEYS.keys() - {"API_URL"}

    assert {key for key in keys if f"LINKFERRY_CRM_{crm.upper()}_{key}" not in page} == set()


def test_all_fields_that_a_map_may_name_are_listed():
    """The list in the page is the code's."""
    text = (ROOT / "docs/crm/README.md").read_text(encoding="utf-8")
    assert f"`{' '.join(CANONICAL_FIELDS)}`" in text


def test_the_example_map_is_read():
    """It shows all that a map can say."""
    [text] = blocks(ROOT / "docs/crm/README.md", "json")
    field_map = FieldMap.parse(text, defaults=DEFAULT_MAP)
    whole = {"/data/whatsapp": "0501234567", "/data/company/name": "Dana", "/data/status": "won"}

    wanted = field_map.fields(whole.get)
    assert isinstance(wanted, Wanted)
    assert (wanted.fields["product"], wanted.fields["locale"]) == ("whatsapp;facebook:1", "he")


def becomes(body: dict[str, Any], field_map: FieldMap | None = None) -> ParsedRequest:
    wanted = Generic(bearers=["x"], field_map=field_map).wanted(body)
    assert isinstance(wanted, Wanted), wanted
    parsed = parse_request(wanted.fields)
    assert isinstance(parsed, ParsedRequest), parsed
    return parsed


def test_the_generic_pages_example_becomes_a_request():
    """The first thing that somebody posts by hand."""
    text = (ROOT / "docs/crm/generic.md").read_text(encoding="utf-8")
    found = re.search(r"-d '(\{.*?\})'", text)
    assert found
    assert becomes(json.loads(found[1])).request.external_id == "4711"


def test_pipedrives_map_and_sample_fit_together():
    """Copied as they stand, with the example's key."""
    written, sample = (json.loads(text) for text in blocks(ROOT / "docs/crm/pipedrive.md", "json"))
    request = becomes(sample, FieldMap.of(written, defaults=DEFAULT_MAP)).request

    assert (request.whatsapp, request.business_name, request.external_id) == (
        "972501234567",
        "Dana Flowers",
        "8",
    )
    assert request.contact.email == "dana@example.com"


@pytest.mark.parametrize("page", GENERIC, ids=lambda page: page.stem)
def test_templates_use_names_that_need_no_map(page: Path):
    """Filled in with values of their kind, a template becomes a request that is tied to its record."""
    template = json.loads(blocks(page, "json")[0])
    values = {"whatsapp": "0501234567", "phone": "0501234567", "email": "dana@example.com"}
    body = {name: values.get(name, "Dana") for name in template}
    request = becomes(body).request

    assert request.external_id == "Dana"
    assert request.contact.name == "Dana"
    assert as_text(body["event_id"])


@pytest.mark.parametrize("name", ["make", "zapier", "hubspot-workflows"])
def test_keys_that_pages_tell_to_use_need_no_map(name: str):
    """Each of them is a default name."""
    text = (ROOT / f"docs/crm/{name}.md").read_text(encoding="utf-8")
    keys = {"external_id", "business_name", "whatsapp", "phone", "email", "name"}

    assert all(f"`{key}`" in text for key in keys)
    assert keys <= DEFAULT_MAP.keys()


#: How a reason is written where an event, a fetch or a record comes to nothing.
REASON_CALLS = {
    "Unwanted",
    "FetchLaterError",
    "FetchRefusedError",
    "EventSkipped",
    "EventFailed",
    "EventRetry",
}


def reasons_in(path: Path) -> set[str]:
    """Return the reasons that a module names by a literal."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REASON_CALLS:
            first = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "reason")]
            found |= {each.value for each in first if isinstance(each, ast.Constant)}
    return found


def skips_in(path: Path) -> set[str]:
    """Return the words that a module returns as reasons for skipping an event before it is recorded."""
    source = path.read_text(encoding="utf-8")
    return set(re.findall(r'"((?:unknown|irrelevant|not_a|own|deleted)[a-z_]*)"', source))


def test_every_reason_of_an_event_is_told():
    """No operator meets a word that the page does not know."""
    page = (ROOT / "docs/crm/README.md").read_text(encoding="utf-8")
    reasons = {reason for path in BY_US.glob("*.py") for reason in reasons_in(path)}
    reasons |= {word for words in map(skips_in, BY_US.glob("*_events.py")) for word in words}
    assert {"gone", "conflict", "crm_unreachable", "irrelevant_column", "own_write_back"} <= reasons

    assert reasons <= EVENT_REASONS, "a filter by this reason would be refused"
    assert {reason for reason in EVENT_REASONS if f"`{reason}`" not in page} == set()
