"""The Lua scripts and the Python around them must say the same: states, keys, header, moves."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from worker.domain.act import FIT_STATES, OUTCOME_OF, REFUSALS, Act
from worker.domain.ids import INVITATION_ID_LENGTH
from worker.domain.states import CLAIM_FREE_STATES, ENDED_STATES, TRANSITIONS, DeliveryState, JobState, Lane
from worker.ledger.codec import HEADER
from worker.ledger.keys import Keys
from worker.ledger.scripts import PARTS, source_of, verbs
from worker.ops.acts import WHY_NOT

FOLDER = resources.files("worker.ledger") / "lua"
PYTHON = [entry for entry in resources.files("worker.ledger").iterdir() if entry.name.endswith(".py")]


def lua(name: str) -> str:
    """Return the text of one Lua file."""
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")


def words_of(table: str) -> set[str]:
    """Return the names in a Lua set of the prelude."""
    [body] = re.findall(rf"local {table} = {{(.*?)}}", lua("prelude"))
    return set(re.findall(r"(\w+) = true", body))


def test_the_scripts_know_the_same_states() -> None:
    """A state added in one place must be added in the other (`OPEN` and `ENDED` in prelude.lua)."""
    assert words_of("OPEN") | words_of("ENDED") == set(JobState)
    assert words_of("ENDED") == ENDED_STATES
    assert words_of("CLAIM_FREE") == CLAIM_FREE_STATES


def test_what_is_fit_for_an_act_is_known_alike() -> None:
    """A set is looked for in those states alone (`FIT` in mending.lua)."""
    [body] = re.findall(r"local FIT = {\n(.*?)\n}", lua("mending"), re.DOTALL)
    rows = dict(re.findall(r"(\w+) = {(.*?)}", body))

    assert {act: set(re.findall(r"(\w+) = true", row)) for act, row in rows.items()} == FIT_STATES


def test_the_scripts_name_the_same_keys() -> None:
    """keys.py and the table `K` in prelude.lua list every key by the same name."""
    in_lua = dict(re.findall(r"^  (\w+) = P \.\. '(:[\w:]+)',", lua("prelude"), re.MULTILINE))
    keys = Keys("x")
    in_python = {name: str(value)[len(keys.prefix) :] for name, value in vars(keys).items()}
    in_python.pop("prefix")

    assert in_lua == in_python


def test_every_key_is_used() -> None:
    """A key that no script names is forgotten work."""
    everything = "".join(lua(name) for name in (*verbs(), *PARTS, "prelude"))
    python = "".join(entry.read_text(encoding="utf-8") for entry in PYTHON)
    names = [name for name in vars(Keys("x")) if name != "prefix"]

    assert [name for name in names if f"K.{name}" not in everything and f"_keys.{name}" not in python] == []


def test_the_header_has_the_same_parts() -> None:
    """What Python writes into a record's first line is what `header_of` reads."""
    [body] = re.findall(r"return \{\n(    fingerprint = .*?)\n  \}", lua("endings"), re.DOTALL)
    in_lua = {int(place): name for name, place in re.findall(r"(\w+) = part\[(\d+)\]", body)}

    assert tuple(in_lua[place] for place in sorted(in_lua)) == HEADER


def test_ids_have_the_same_length() -> None:
    """What stands last in an entry of the search index is an invitation's id."""
    lengths = [re.findall(r"^local ID_SIGNS = (\d+)$", lua(verb), re.MULTILINE) for verb in verbs()]

    assert {int(length) for each in lengths for length in each} == {INVITATION_ID_LENGTH}


@pytest.mark.parametrize("verb", verbs())
def test_every_script_is_called(verb: str) -> None:
    """A verb nobody can call is dead."""
    callers = "".join(entry.read_text(encoding="utf-8") for entry in PYTHON)

    assert f'"{verb}"' in callers


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_used(part: str) -> None:
    """By some verb's `-- uses:` line."""
    assert any(re.search(rf"^-- uses: .*\b{part}\b", lua(verb), re.MULTILINE) for verb in verbs())


@pytest.mark.parametrize("verb", verbs())
def test_every_script_says_what_it_does(verb: str) -> None:
    """A sentence on top; flags and parts before it."""
    lines = [line for line in lua(verb).splitlines() if not re.match(r"-- (flags|uses): ", line)]

    assert re.match(r"-- \S.*", lines[0])
    assert "KEYS[" not in "\n".join(lines), "names of keys are the prelude's business"


def test_settling_works_although_the_memory_is_used_up() -> None:
    """What happened is recorded whatever the memory says; nothing new is accepted."""
    for verb in (
        "settle_linked",
        "settle_failed",
        "settle_doubt",
        "renew",
        "rescue",
        "delivery_sent",
        "prune",
    ):
        assert source_of(verb, has_shebang=True).startswith("#!lua flags=allow-oom\n")
    for verb in ("accept", "claim", "feed"):
        assert source_of(verb, has_shebang=True).startswith("#!lua\n")
    assert not source_of("accept", has_shebang=False).startswith("#!")


@pytest.mark.parametrize("verb", sorted(set(TRANSITIONS) & set(verbs())))
def test_scripts_move_jobs_only_where_the_table_says(verb: str) -> None:
    """Every state a verb's own file moves a job to is among its targets."""
    moved = re.findall(r"(?:move|finish|enter|link_up)\(job, '(\w+)'", lua(verb))
    finding = re.findall(r"'(onboarded)' or '(linked)'", lua(verb))

    assert set(moved) | {state for pair in finding for state in pair} <= TRANSITIONS[verb].targets


def test_the_scripts_know_the_same_refusals_of_bulk_acts() -> None:
    """Each letter in an act's marks means the same to who writes and who reads it, and says what in words."""
    [body] = re.findall(r"local LETTERS = \{(.*?)\}", lua("acting"), re.DOTALL)
    in_lua = {letter: word for word, letter in re.findall(r"(\w+) = '(\w)'", body)}

    assert in_lua == REFUSALS
    assert not set(in_lua) & set(OUTCOME_OF)
    assert set(in_lua.values()) <= set(WHY_NOT)


def test_bulk_acts_fit_jobs_where_the_table_says() -> None:
    """What a verb may be done to (`FIT` in mending.lua) are its sources."""
    [body] = re.findall(r"local FIT = \{\n(.*?)\n\}", lua("mending"), re.DOTALL)
    fit = {
        verb: set(re.findall(r"(\w+) = true", states))
        for verb, states in re.findall(r"(\w+) = \{(.*?)\}", body)
    }

    # A failed job is cancelled only where its link was to be deleted, one by one (`change_refusal`).
    fit["cancel"] |= {JobState.FAILED}
    assert fit == {act.value: TRANSITIONS[act].sources for act in Act}


def test_every_transition_has_its_script() -> None:
    """The table's verbs are the files' names."""
    assert set(TRANSITIONS) <= set(verbs())


def test_lanes_and_delivery_states_are_the_scripts_words() -> None:
    """Words that appear in scripts as strings are the enums' words."""
    everything = "".join(lua(name) for name in (*verbs(), *PARTS))
    used = set(re.findall(r"move_delivery\(delivery, '(\w+)'", everything))

    assert used <= set(DeliveryState)
    assert set(re.findall(r"lane in ipairs\(\{ '(\w+)', '(\w+)' \}\)", everything)) == {tuple(Lane)}
