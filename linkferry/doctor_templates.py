"""What `linkferry doctor` says of an operator's own templates: whether they serve, and what they were made for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from linkferry.doctor import Finding, bad, ok, warn
from worker.dispatch import BadTemplateError, Composer
from worker.dispatch.compose_templates import TEMPLATE_FILES, outdated_files
from worker.dispatch.compose_trial import prove
from worker.dispatch.preview import SAMPLE_SENDER
from worker.dispatch.wording_file import Outdated

_SHOWN = 6
_ABOUT = "templates"


def look_at_folder(folder: Path | None) -> Iterator[Finding]:
    """Yield what is to be said of *folder*'s templates (None: there are none of one's own)."""
    if folder is None:
        yield ok(_ABOUT, "The shipped templates are used; `linkferry templates export DIR` begins your own.")
        return
    try:
        prove(Composer(folder, sender=SAMPLE_SENDER))
        outdated = outdated_files(folder)
    except (BadTemplateError, OSError) as exc:
        yield bad(
            _ABOUT,
            f"Workers refuse to start with TEMPLATES_DIR: {exc}",
            "Mend it, or remove the file: then the shipped one is used. `linkferry templates check` tries it.",
        )
        return
    if not any((folder / name).exists() for name in TEMPLATE_FILES):
        text = f"Nothing in {folder} is read: all messages read as shipped. Own files are called {_listed(TEMPLATE_FILES)}."
        yield warn(_ABOUT, text, "Begin them with `linkferry templates export DIR`, or unset TEMPLATES_DIR.")
        return
    yield from (_outdated(each) for each in outdated)
    if not outdated:
        yield ok(_ABOUT, f"The templates in {folder} serve: every variant was tried in both languages.")


def _outdated(each: Outdated) -> Finding:
    changes = []
    if each.lacking:
        changes.append(f"it says nothing of {_listed(each.lacking)}")
    if each.unknown:
        changes.append(f"nobody reads {_listed(each.unknown)} any more")
    what = f": {'; '.join(changes)}" if changes else ""
    return warn(
        _ABOUT,
        f"{each.path} was made for version {each.version} of the shipped file, which has version {each.shipped}{what}.",
        "Compare it with a fresh one (`linkferry templates export DIR`), then write the new version into it.",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
