"""Reading a language's words: those that are shipped, and over them those of an operator's own file.

An own file holds what it wants to say otherwise, and the version of the file that it was made from. What can't serve is
refused before a customer could read it, by file, line and reason.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from worker.dispatch.links import urls_of

SHIPPED_TEMPLATES = Path(__file__).parent / "templates"
LOCALES = ("he", "en")
_FIRST_VERSION = 1  #: of files from before versions were written down
_MAIL_BRACES = frozenset(
    {"brand", "business", "platforms", "domains", "name", "email", "date", "when", "minutes", "person"}
)
#: What may be filled in, by the longest beginning of a key's dotted name.
_BRACES: Mapping[str, frozenset[str]] = {
    "": frozenset(),
    "date": frozenset({"day", "month", "year"}),
    "date_with_year": frozenset({"day", "month", "year"}),
    "when_dated": frozenset({"date"}),
    "subject.": frozenset({"brand", "business", "platforms", "date", "when"}),
    "mail.": _MAIL_BRACES,
    "mail.heading_": frozenset(),
    "mail.need_label": frozenset(),
    "mail.revoke_label": frozenset(),
    "mail.plain_link": frozenset(),
    "mail.done": frozenset(),
    "mail.verify": frozenset(),
    "mail.privacy": frozenset(),
    "mail.access_heading": frozenset(),
    "mail.safety_heading": frozenset(),
    "mail.steps_heading": frozenset(),
    "mail.your_business": frozenset(),
    "mail.replaces_": frozenset({"date"}),
    "sms.": frozenset({"brand", "business", "what"}),
    "sms.what_": frozenset({"platform", "date", "when"}),
    "sms.line": frozenset({"label", "link"}),
    "sms.doubt": frozenset({"phone"}),
}
_PRODUCT_BRACES = frozenset({"number", "brand"})
_FILLED_OF_PRODUCTS = frozenset({"note", "note_nameless", "need", "access", "revoke"})
#: Braces without which a text says nothing.
_NEEDED: Mapping[str, str] = {
    "sms.line": "link",
    "sms.full": "what",
    "sms.unbranded": "what",
    "sms.nameless": "what",
    "sms.bare": "what",
    "sms.doubt": "phone",
}
#: Texts without which a message has no subject, a button no words, a text no link.
_NEVER_EMPTY = ("subject.", "sms.", "products.")
_SAMPLE_LINK = "https://links.example/1"
_is_header = re.compile(r"\s*\[\s*(?P<name>[^\[\]]+?)\s*\]\s*(?:#.*)?").fullmatch
_is_key = re.compile(r"\s*(?P<name>[\w.:\"'-]+)\s*=").match
_COUNTS = {"months": 12}
_holds_address = re.compile(r"://|\bwww\.", re.IGNORECASE).search
_LINE_TOLD = re.compile(r"\s*\(at (?:line (?P<line>\d+), column \d+|end of document)\)")


class BadTemplateError(ValueError):
    """An operator's own template or wording that can't serve: which file, which line, and why."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        self.path = path
        self.line = line
        self.reason = reason
        super().__init__(f"{path}{f', line {line}' if line else ''}: {reason}")


@dataclass(frozen=True, slots=True)
class Outdated:
    """An own file that was made from an older version of the shipped one."""

    path: Path
    version: int
    shipped: int
    lacking: tuple[str, ...]  #: what the shipped one has and this one says nothing of
    unknown: tuple[str, ...]  #: what this one says and nobody reads any more


@dataclass(frozen=True, slots=True)
class WordingFile:
    """The words of one language as they are used."""

    table: Mapping[str, Any]
    outdated: Outdated | None = None


def read_wording(locale: str, folder: Path | None = None) -> WordingFile:
    """Return the words of *locale*: shipped, and over them those of *folder*'s file; raises BadTemplateError."""
    shipped = _shipped(locale)
    path = own_file(folder, f"{locale}.toml")
    if path is None:
        return WordingFile(shipped)
    text, own = _read(path)
    version = _version(own.pop("version", _FIRST_VERSION), shipped["version"], path, text)
    ours, theirs = dict(_flat(shipped)), dict(_flat(own))
    unknown = [key for key in theirs if key not in ours]
    if unknown and version == shipped["version"]:
        raise BadTemplateError(path, line_of(text, unknown[0]), _unknown_key(unknown[0], ours))
    for key, value in theirs.items():
        if key in ours and (problem := _problem_of(key, value, ours[key])):
            raise BadTemplateError(path, line_of(text, key), f"{key} {problem}")
    lacking = tuple(key for key in ours if key not in theirs and key != "version")
    outdated = Outdated(path, version, shipped["version"], lacking, tuple(unknown))
    return WordingFile(_merged(shipped, own), outdated if version < shipped["version"] else None)


def own_file(folder: Path | None, name: str) -> Path | None:
    """Return the file *name* of an own folder, or None where it has none; raises BadTemplateError for what is no file."""
    path = folder / name if folder else None
    if path is None or path.is_file():
        return path
    if path.exists() or path.is_symlink():  # a folder of that name, or a link that leads nowhere
        raise BadTemplateError(path, None, "is no file that can be read")
    return None


def line_of(text: str, key: str) -> int | None:
    """Return the line on which the dotted *key* stands in a TOML *text*, or None where that is not to be seen."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _is_header(line):
            table = _unquoted(header["name"]) + "."
            if table == f"{key}.":
                return number
        elif (found := _is_key(line)) and table + _unquoted(found["name"]) == key:
            return number
    return None


@cache
def _shipped(locale: str) -> Mapping[str, Any]:
    return tomllib.loads((SHIPPED_TEMPLATES / f"{locale}.toml").read_text(encoding="utf-8"))


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise BadTemplateError(path, line, "is not UTF-8: save it as UTF-8") from exc
    except tomllib.TOMLDecodeError as exc:
        told = _LINE_TOLD.search(str(exc))
        line = int(told["line"]) if told and told["line"] else text.count("\n") + 1
        raise BadTemplateError(path, line, f"is no TOML: {_LINE_TOLD.sub('', str(exc))}") from exc


def _version(found: Any, shipped: int, path: Path, text: str) -> int:
    if isinstance(found, int) and not isinstance(found, bool) and _FIRST_VERSION <= found <= shipped:
        return found
    reason = f"version {found!r}: this Linkferry knows {_FIRST_VERSION} to {shipped}"
    raise BadTemplateError(path, line_of(text, "version"), reason)


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def _merged(shipped: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return *shipped* with the values of *own* that it knows."""
    merged = dict(shipped)
    for key, value in own.items():
        if key in shipped and isinstance(value, dict) == isinstance(shipped[key], dict):
            merged[key] = _merged(shipped[key], value) if isinstance(value, dict) else value
    return merged


def _unknown_key(key: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"{key} is no text of the messages" + (f"; did you mean {near[0]}?" if near else "")


def _problem_of(key: str, value: Any, shipped: Any) -> str | None:
    """Return what is wrong with a text, or None."""
    if isinstance(shipped, int):
        is_fit = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return None if is_fit else "must be a whole number above 0"
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, list) != isinstance(shipped, list) or not all(
        isinstance(each, str) for each in texts
    ):
        return "must be a list of texts" if isinstance(shipped, list) else "must be a text"
    if (count := _COUNTS.get(key)) and len(texts) != count:
        return f"must hold {count} texts"
    if key == "direction" and value not in {"rtl", "ltr"}:
        return "must be rtl or ltr"
    return next(filter(None, (_problem_with_text(key, each) for each in texts)), None)


def _problem_with_text(key: str, text: str) -> str | None:
    if not text.strip():
        return "is empty" if key.startswith(_NEVER_EMPTY) else None
    if _holds_address(text):
        return "holds a web address; a message carries its customer's links and its brand's pages alone"
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as exc:
        return f"has a brace too many or too few ({exc}); a brace that is to be read is written twice: {{{{"
    allowed = _allowed(key)
    names = [name for _, name, _, _ in pieces if name is not None]
    for _, name, form, conversion in pieces:
        if name is not None and (name not in allowed or form or conversion):
            known = ", ".join(f"{{{each}}}" for each in sorted(allowed)) or "none"
            return f"has {{{name}}}, which nothing fills in; what can stand there: {known}"
    if (needed := _NEEDED.get(key)) and needed not in names:
        return f"must hold {{{needed}}}"
    return _problem_with_line(text) if key == "sms.line" else None


def _problem_with_line(text: str) -> str | None:
    """Return what would make a phone open another address than the link, or None."""
    if urls_of(text.format(label="WhatsApp", link=_SAMPLE_LINK)) == {_SAMPLE_LINK}:
        return None
    return "must have a space on both sides of {link}, or the line's end: else phones open another address"


def _allowed(key: str) -> frozenset[str]:
    if key.startswith("products."):
        return _PRODUCT_BRACES if key.rpartition(".")[2] in _FILLED_OF_PRODUCTS else frozenset()
    return _BRACES[max((each for each in _BRACES if key.startswith(each)), key=len)]


def _unquoted(name: str) -> str:
    return name.replace('"', "").replace("'", "")
