"""The pages say what the code says, and lead where they point."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from docs import generate
from producers.api_body import MEMBERS
from tests.repo import (
    ROOT,
    commands_spoken_of,
    is_command,
    is_option,
    options_spoken_of,
    pages,
    tracked_files,
)
from worker.domain.parse import CANONICAL_FIELDS, ParsedRequest, ParseRules, parse_request
from worker.domain.reasons import Catalogue
from worker.domain.states import TRANSITIONS, DeliveryState, JobState
from worker.limits.values import ClosedReason
from worker.partner.sandbox import Faults
from worker.settings import load_settings
from worker.settings_fields import describe_settings

LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)\s]+)\)")
PACKAGES = {"linkferry", "producers", "worker"}
NOT_AN_ALARM = {ClosedReason.DRAINING, ClosedReason.NO_SLOT}


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_generated_parts_are_up_to_date() -> None:
    """Who changes a state, a reason or a setting runs `make docs`."""
    assert [path.name for path, _ in generate.stale()] == []


def test_the_example_env_file_sets_nothing() -> None:
    """Copied as it is, it changes no default; with every line taken in, it is read without a complaint."""
    text = generate.env_example()
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
    lines = dict(line[1:].split("=", 1) for line in text.splitlines() if line.startswith("#LINKFERRY_"))
    defaults = load_settings(environ={}, env_file=None)
    assert load_settings(environ=lines, env_file=None) == defaults


def test_the_readmes_file_and_body_are_taken() -> None:
    """The first things that a reader copies work as they stand."""
    csv_text = re.search(r"```csv\n(.*?)```", _page("README.md"), re.DOTALL)
    body = re.search(r"-d '(\{.*?\})'", _page("README.md"), re.DOTALL)
    assert csv_text
    assert body
    rows = list(csv.DictReader(io.StringIO(csv_text[1])))
    assert rows
    assert set(rows[0]) <= set(CANONICAL_FIELDS)
    assert all(isinstance(parse_request(row, ParseRules()), ParsedRequest) for row in rows)
    fields = json.loads(body[1])
    assert set(fields) <= {member.name for member in MEMBERS} | {"products", "contact"}
    contact, products = fields.pop("contact"), fields.pop("products")
    flat = fields | contact | {"product": ";".join(products)}
    assert isinstance(parse_request(flat, ParseRules()), ParsedRequest)


def test_every_fault_of_the_sandboxs_page_can_be_switched_on() -> None:
    """Who copies a line of docs/sandbox.md gets what it says, not a 422."""
    wanted = re.findall(r"(?:`|-d ')(\{.+?\}+)[`']", _page("docs/sandbox.md"))
    faults = [each for each in map(json.loads, wanted) if not {"unregistered", "references"} & set(each)]
    assert len(faults) >= 10
    for each in faults:
        Faults().update(each)


def test_the_state_diagram_has_every_state_and_verb() -> None:
    """A reader of the architecture page sees all that the ledger can do."""
    diagram = re.search(r"```mermaid\nstateDiagram.*?```", _page("docs/architecture.md"), re.DOTALL)
    assert diagram
    arrows = re.findall(r"^ +(\S+) --> (\S+): (.+)$", diagram[0], re.MULTILINE)
    drawn = {(source, target, verb) for source, target, verbs in arrows for verb in verbs.split(", ")}
    wanted = {
        (source, target, verb)
        for verb, transition in TRANSITIONS.items()
        for source, target in generate.moves(verb, transition)
    }
    assert wanted == {arrow for arrow in drawn if arrow[0] != "[*]"}
    assert {state.value for state in JobState} <= {end for arrow in drawn for end in arrow[:2]} | {"revoked"}


def test_the_architecture_page_names_every_delivery_state() -> None:
    """The states of deliveries are told in full."""
    assert all(f"`{state}`" in _page("docs/architecture.md") for state in DeliveryState)


def test_the_runbook_tells_what_to_do_about_every_reason() -> None:
    """No operator meets a reason that the runbook does not know."""
    runbook = _page("docs/runbook.md")
    for reason in Catalogue.shipped().all():
        assert f"| `{reason.name}` |" in runbook
        assert reason.remedy, f"{reason.name} has no remedy"


def test_the_runbook_knows_every_reason_for_which_calls_are_held() -> None:
    """Each way of holding all calls raises an alarm of that name."""
    runbook = _page("docs/runbook.md")
    assert all(f"`calls`, `{reason}`" in runbook for reason in ClosedReason if reason not in NOT_AN_ALARM)


def test_the_settings_page_has_every_setting() -> None:
    """The table is complete and no secret's value got into it."""
    page = _page("docs/settings.md")
    notes = describe_settings(load_settings(environ={}, env_file=None))
    assert len(notes) > 30
    assert all(f"| `{note.name}` |" in page for note in notes)


def test_every_setting_spoken_of_exists() -> None:
    """A page that names a setting names a real one."""
    known = {note.name for note in describe_settings(load_settings(environ={}, env_file=None))}
    spoken_of = {
        (page.name, name)
        for page in pages()
        for name in re.findall(r"LINKFERRY_[A-Z][A-Z_]*[A-Z]", page.read_text(encoding="utf-8"))
        if not name.startswith("LINKFERRY_CRM")
    }
    assert {(page, name) for page, name in spoken_of if name not in known} == set()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link inside the repository has its file, and its heading."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, heading = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), target
        assert not heading or heading in _headings(aim), target


def test_files_named_in_the_docs_exist() -> None:
    """A page that sends a reader to a file of ours sends him to one that is there."""
    named = {
        (page.name, path)
        for page in pages()
        for path in re.findall(
            r"`((?:worker|producers|linkferry|docs|deploy|bench)/[\w./-]+)`", page.read_text()
        )
    }
    assert {each for each in named if not (ROOT / each[1]).exists()} == set()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_spoken_of_exists(page: Path) -> None:
    """What a page tells to type can be typed."""
    unknown = {
        words for words in commands_spoken_of(page.read_text(encoding="utf-8")) if not is_command(words)
    }
    assert unknown == set()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_spoken_of_exists(page: Path) -> None:
    """An option that a page gives to a command is one that it takes."""
    unknown = {each for each in options_spoken_of(page.read_text(encoding="utf-8")) if not is_option(*each)}
    assert unknown == set()


def test_every_command_that_our_own_texts_advise_exists() -> None:
    """A remedy that cannot be typed is worse than none."""
    advised = {
        (str(path.relative_to(ROOT)), words)
        for path in tracked_files()
        if path.suffix in {".py", ".toml"} and path.relative_to(ROOT).parts[0] in PACKAGES
        for words in re.findall(
            r"(?<![\w./-])linkferry((?: [a-z][a-z-]*)+)", path.read_text(encoding="utf-8")
        )
        if not words.startswith(" import ")
    }
    assert {each for each in advised if not is_command(each[1].split())} == set()


def test_every_decision_is_listed() -> None:
    """The list of decisions is whole, and their numbers run on."""
    folder = ROOT / "docs/decisions"
    decisions = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in decisions] == list(range(1, len(decisions) + 1))
    assert all(f"({name})" in (folder / "README.md").read_text() for name in decisions)


def test_the_readme_begins_with_the_two_commands() -> None:
    """A newcomer sees within one screen what it is and what to type."""
    first_screen = "\n".join(_page("README.md").splitlines()[:20])
    assert "make demo" in first_screen
    assert "make test" in first_screen
