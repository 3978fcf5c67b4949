"""The two templates that lay a mail out: found, read and, where an operator's own can't serve, refused by line."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    meta,
    select_autoescape,
)

from worker.dispatch.wording_file import (
    LOCALES,
    SHIPPED_TEMPLATES,
    BadTemplateError,
    Outdated,
    own_file,
    read_wording,
)

HTML_TEMPLATE = "invitation.html.j2"
TEXT_TEMPLATE = "invitation.txt.j2"
VERSION = 2  #: of what the templates are given: see the texts' own `version`
TEMPLATE_FILES = (HTML_TEMPLATE, TEXT_TEMPLATE, *(f"{locale}.toml" for locale in LOCALES))
_ENCODING = "utf-8-sig"  #: some editors put a mark at the beginning, which is no part of a mail
_tells_version = re.compile(r"\{#-?\s*Template of Linkferry, version (\d+)").search


class MailTemplate:
    """One template, the operator's own or the shipped one."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """Read it; raises BadTemplateError for an own one that can't be parsed, or is made for a later version."""
        self.path = own_file(folder, name) or SHIPPED_TEMPLATES / name
        self._environment = _environment(self.path.parent)
        self._template = self._parsed(name)
        if self.version > VERSION:
            reason = f"is made for version {self.version}: this Linkferry knows 1 to {VERSION}"
            raise BadTemplateError(self.path, 1, reason)

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text; raises BadTemplateError where the template asks for what *values* lack."""
        try:
            return self._template.render(values)
        except Exception as exc:
            frames = traceback.extract_tb(exc.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == str(self.path)]
            # What other errors say may hold a name or a link.
            reason = str(exc) if isinstance(exc, TemplateError) else type(exc).__name__
            raise BadTemplateError(self.path, lines[-1] if lines else None, reason) from exc

    @property
    def source(self) -> str:
        """Return the template as written."""
        return self.path.read_text(encoding=_ENCODING)

    @property
    def version(self) -> int:
        """Return the version that the template says it is made for; 1 where it says none."""
        told = _tells_version(self.source)
        return int(told[1]) if told else 1

    @property
    def names(self) -> frozenset[str]:
        """Return what the template wants filled in."""
        return frozenset(meta.find_undeclared_variables(self._environment.parse(self.source)))

    def _parsed(self, name: str) -> Template:
        try:
            return self._environment.get_template(name)
        except TemplateSyntaxError as exc:
            raise BadTemplateError(self.path, exc.lineno, exc.message or "can't be parsed") from exc
        except UnicodeDecodeError as exc:
            raise BadTemplateError(self.path, None, "is not UTF-8: save it as UTF-8") from exc


def outdated_files(folder: Path | None) -> list[Outdated]:
    """Return the files of *folder* that were made for older versions; raises BadTemplateError, OSError."""
    wordings = [read_wording(locale, folder).outdated for locale in LOCALES]
    layouts = [_outdated_layout(name, folder) for name in (HTML_TEMPLATE, TEXT_TEMPLATE)]
    return [each for each in (*wordings, *layouts) if each is not None]


def export_templates(folder: Path) -> list[Path]:
    """Write the shipped files into *folder*, to begin one's own from; return their paths.

    Raises FileExistsError, before anything is written, where one of them is there already; OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / name for name in TEMPLATE_FILES]
    for target in targets:
        if target.exists():
            raise FileExistsError(target)
    for target in targets:
        target.write_bytes((SHIPPED_TEMPLATES / target.name).read_bytes())
    return targets


def _outdated_layout(name: str, folder: Path | None) -> Outdated | None:
    ours, theirs = MailTemplate(name), MailTemplate(name, folder)
    if theirs.version == ours.version:
        return None
    lacking, unknown = ours.names - theirs.names, theirs.names - ours.names
    return Outdated(theirs.path, theirs.version, ours.version, tuple(sorted(lacking)), tuple(sorted(unknown)))


def _environment(folder: Path) -> Environment:
    # Its own folder first, then ours: an own template may include or extend a shipped one.
    return Environment(
        loader=FileSystemLoader([folder, SHIPPED_TEMPLATES], encoding=_ENCODING),
        autoescape=select_autoescape(enabled_extensions=("html", "html.j2"), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
