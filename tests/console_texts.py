"""All texts of the console that need a translation, as found in its templates and its code.

`python -m tests.console_texts` prints what `locale/he.toml` lacks, as TOML to be filled in, and what it has too much.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, nodes

from worker.domain.act import Act, ActOutcome, ActState
from worker.domain.alert_words import ALERT_WORDS
from worker.domain.alerts import TellingState
from worker.domain.reasons import Catalogue, Policy, ReasonClass
from worker.domain.request import Product
from worker.domain.roles import Role
from worker.domain.states import Channel, DeliveryState, JobState, Lane
from worker.limits import BreakerState, CredentialsState
from worker.ops.acts import WHY_NOT
from worker.ops.console.pages_audit import CAUSES, DETAILS, LOOKED_AT, YES_NO
from worker.ops.console.view import environment
from worker.ops.trail import ACTS
from worker.ops.words import WORDS

#: Sentences that are found by their code: those of the views, and those of alerts.
SENTENCES = {**WORDS, **ALERT_WORDS}

CONSOLE = Path(__file__).parents[1] / "worker" / "ops" / "console"
HEBREW = CONSOLE / "locale" / "he.toml"
#: Numbered forms of a sentence, which a language has as it needs them.
_FORMS = re.compile(r"\.(one|two)$")
_MARKS = {"_", "N_", "gettext"}

#: Where a request's fields are read, and which argument of what is called there is the code of what is wrong.
_READERS = (
    *("domain/brand.py", "domain/fields.py", "domain/parse.py", "domain/phone.py"),
    *("ops/brands.py", "ops/edit.py", "ops/readdress.py", "ops/teach.py"),
)
_CODE_AT = {"refuse": 1, "warn": 1, "Problem": 1, "PhoneProblem": 0, "TeachRefused": 1}


def problem_codes() -> set[str]:
    """Return the codes of all that may be wrong with a request or a lesson, as their rules name them."""
    codes = {"refused_characters"}  # chosen by an expression
    for name in _READERS:
        for call in ast.walk(ast.parse((CONSOLE.parents[1] / name).read_text())):
            if isinstance(call, ast.Call):
                place = _CODE_AT.get(getattr(call.func, "attr", getattr(call.func, "id", "")))
                code = call.args[place] if place is not None and len(call.args) > place else None
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    codes.add(code.value)
    return codes


#: Kinds of codes that pages show by `term`, with all their members.
KINDS: dict[str, tuple[str, ...]] = {
    "state": tuple(JobState),
    "delivery_state": tuple(DeliveryState),
    "lane": tuple(Lane),
    "channel": tuple(Channel),
    "product": tuple(Product),
    "reason_class": tuple(ReasonClass),
    "policy": tuple(Policy),
    "role": tuple(Role),
    "breaker": tuple(BreakerState),
    "credentials": (*CredentialsState, "missing"),
    "act": tuple(Act),
    "act_state": tuple(ActState),
    "outcome": tuple(ActOutcome),
    "why_not": tuple(WHY_NOT),
    "telling": tuple(TellingState),
    "detail": DETAILS,
    "cause": CAUSES,
    "looked_at": LOOKED_AT,
    "yes_no": YES_NO,
    "account": ("enabled", "disabled"),
    "problem": tuple(problem_codes()),
    "trail": tuple(ACTS),
    "source": ("api", "cli", "csv", "crm:hubspot", "crm:salesforce", "crm:monday", "test"),
}


def templates() -> list[Path]:
    """Return every template of the console."""
    return sorted((CONSOLE / "templates").glob("*.html"))


def texts() -> tuple[set[str], set[tuple[str, str]]]:
    """Return the sentences of templates and code: plain ones, and those of one and many."""
    plain: set[str] = set()
    counted: set[tuple[str, str]] = set()
    for found in (*_of_templates(), *_of_code()):
        if isinstance(found, str):
            plain.add(found)
        else:
            counted.add(found)
    return plain, counted


def _of_templates() -> Iterator[str | tuple[str, str]]:
    maker = environment("en")
    for path in templates():
        for _line, function, message in _extracted(maker, path.read_text()):
            parts = [each for each in (message if isinstance(message, tuple) else (message,)) if each]
            if parts:  # else a text that code has marked
                yield (parts[0], parts[1]) if function == "ngettext" else parts[0]


def _extracted(maker: Environment, source: str) -> Any:
    extract: Any = maker.extract_translations  # type: ignore[attr-defined]  # added by the i18n extension
    return extract(source)


def _of_code() -> Iterator[str | tuple[str, str]]:
    for path in sorted(CONSOLE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            words = [
                each.value
                for each in node.args
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            if name in _MARKS and words:
                yield words[0]
            elif name == "ngettext" and len(words) >= 2:
                yield words[0], words[1]


def kinds_used() -> set[str]:
    """Return the kinds of codes that templates and code ask a word for by `term`."""
    kinds = set()
    for path in templates():
        tree = environment("en").parse(path.read_text())
        for call in tree.find_all(nodes.Call):
            its_name = getattr(call.node, "name", getattr(call.node, "attr", None))
            # `badge(code, "kind")` hands its second argument on; `tag` likewise.
            place = {"term": 0, "badge": 1, "tag": 1}.get(str(its_name))
            kind = call.args[place] if place is not None and len(call.args) > place else None
            if isinstance(kind, nodes.Const):
                kinds.add(str(kind.value))
    for path in sorted(CONSOLE.glob("*.py")):
        kinds |= set(re.findall(r"\.term\(\s*\"(\w+)\"", path.read_text()))
    return kinds


def terms() -> set[str]:
    """Return every code that a page may show, as `kind.code`, but those that `WORDS` names."""
    return {f"{kind}.{code!s}" for kind, codes in KINDS.items() for code in codes} - set(WORDS)


def reasons() -> set[str]:
    """Return `kind.reason` for all that the catalogue says; of unknown codes there is one remedy."""
    shipped = {
        f"{kind}.{reason.name}" for reason in Catalogue.shipped().all() for kind in ("meaning", "remedy")
    }
    more = {f"{kind}.{name}" for name in ("unknown_none", "unknown_other") for kind in ("meaning", "remedy")}
    return shipped | more | {"remedy.unknown"}


def hebrew() -> dict[str, Any]:
    """Return the tables of the Hebrew file."""
    return tomllib.loads(HEBREW.read_text(encoding="utf-8"))


def flat(table: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return a table of tables with its names joined by a point."""
    return {f"{outer}.{inner}": text for outer, inners in table.items() for inner, text in inners.items()}


def differences() -> dict[str, tuple[set[str], set[str]]]:
    """Return, for each table of the Hebrew file, what it lacks and what it has too much."""
    have = hebrew()
    plain, counted = texts()
    its_reasons = {f"{kind}.{name}" for name, both in have.get("reasons", {}).items() for kind in both}
    words = {_FORMS.sub("", code) for code in have.get("words", {})}
    wanted = {
        "text": (plain, set(have.get("text", {}))),
        "plural": ({many for _one, many in counted}, set(have.get("plural", {}))),
        "terms": (terms(), set(flat(have.get("terms", {})))),
        "words": ({_FORMS.sub("", code) for code in SENTENCES}, words),
        "reasons": (reasons(), its_reasons),
    }
    return {name: (needed - there, there - needed) for name, (needed, there) in wanted.items()}


def slots(text: str) -> list[str]:
    """Return the names of a text's slots, `%(name)s` or `{name}`."""
    return sorted(re.findall(r"%\((\w+)\)s|\{(\w+)\}", text))


def _main() -> None:
    for table, (lacking, superfluous) in differences().items():
        print(f"\n[{table}]  # {len(lacking)} lacking")
        for key in sorted(lacking):
            english = SENTENCES.get(key, "")
            print(f'"{key}" = ""' + (f"  # {english}" if english else ""))
        for key in sorted(superfluous):
            print(f"# too much: {key}")


if __name__ == "__main__":
    _main()
