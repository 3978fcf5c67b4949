"""What a script takes of the parts that scripts share."""

from __future__ import annotations

import re

import pytest

from tests.unit.test_ledger_drift import lua
from worker.ledger.linking import declarations_of, linked
from worker.ledger.scripts import PARTS, source_of, verbs

#: Functions that the server gives a script, and words that a bracket may follow.
LUAS_OWN = {"tonumber", "tostring", "ipairs", "pairs", "type", "pcall", "error", "unpack", "select", "next"} | {
    "function", "if", "elseif", "and", "or", "not", "while", "until", "return", "in",
}  # fmt: skip

PART = """-- What this part is for: not_code()
local call = redis.call

local K = {
  job = P .. ':j:',   -- hash
  claim = P .. ':c:', -- string
}

local FIRST, SECOND = 1, 2

-- Says why, and names another().
local function one(job)
  return call('GET', K.job .. job)
end

local function two(job) return one(job) + FIRST end

local function another()
  return two('x')
end
"""


def test_a_script_takes_what_it_uses_and_what_that_uses() -> None:
    """In the parts' order, with the keys that are used, without comments of their own lines."""
    text = linked("-- uses nothing of another\nreturn two(ARGV[2])\n", declarations_of(PART))

    assert text == (
        "local call = redis.call\n"
        "local K = {\n"
        "  job = P .. ':j:',   -- hash\n"
        "}\n"
        "local FIRST, SECOND = 1, 2\n"
        "local function one(job)\n"
        "  return call('GET', K.job .. job)\n"
        "end\n"
        "local function two(job) return one(job) + FIRST end\n"
        "return two(ARGV[2])\n"
    )


def test_a_script_that_uses_nothing_takes_nothing() -> None:
    """It is itself."""
    assert linked("return 1\n", declarations_of(PART)) == "return 1\n"


def test_a_part_only_declares() -> None:
    """What else a part would do, it would do only in scripts that use what stands before it."""
    with pytest.raises(ValueError, match="no declaration: call"):
        declarations_of("local call = redis.call\ncall('PING')\n")


@pytest.mark.parametrize("part", ["prelude", *PARTS])
def test_all_parts_are_declarations_each_of_its_own_name(part: str) -> None:
    """A name declared twice would be taken twice."""
    names = [name for each in declarations_of(lua(part)) for name in each.names]

    assert names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("verb", verbs())
def test_whatever_a_script_calls_stands_in_it(verb: str) -> None:
    """As its own or a part's function, a parameter, or Lua's; and every key that it names."""
    text = re.sub(r"'[^'\n]*'|--[^\n]*", "", source_of(verb, has_shebang=False))
    called = set(re.findall(r"(?<![\w.:])([A-Za-z_]\w*) ?\(", text))
    bound = re.findall(r"\blocal (?:function )?([\w, ]+)", text) + re.findall(
        r"\bfunction ?\w*\(([\w, ]+)", text
    )
    names = {name for each in bound for name in re.findall(r"\w+", each)}
    keys = set(re.findall(r"^  (\w+) = P", text, re.MULTILINE))

    assert called - names <= LUAS_OWN
    assert set(re.findall(r"\bK\.(\w+)", text)) == keys
