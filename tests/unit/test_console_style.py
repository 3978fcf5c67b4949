"""The console's style sheets: readable in both themes, the same from right to left, and without a colour of their own."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from worker.ops.console.tones import TONE_NAMES, TONES

STATIC = Path(__file__).parents[2] / "worker" / "ops" / "console" / "static"
TEMPLATES = STATIC.parent / "templates"
CSS = re.sub(
    r"/\*.*?\*/", "", "".join(path.read_text() for path in sorted(STATIC.glob("*.css"))), flags=re.DOTALL
)
COLOURS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", CSS)
}
THEMES = ("light", "dark")
LEAST_TEXT = 4.5  # WCAG 2.2, 1.4.3
LEAST_SHAPE = 3.0  # WCAG 2.2, 1.4.11

_INKS = ("ink", "ink-soft", "ink-faint", "accent")
_GROUNDS = ("ground", "surface", "sunken", "accent-soft")
#: Text in a tone's ink that stands on a card without the tone's own ground.
_LOOSE = tuple(f"{tone}-ink" for tone in TONE_NAMES)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two `#rrggbb` as WCAG reckons it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _pairs_of_rules() -> set[tuple[str, str]]:
    """Return every (text, ground) that one rule sets together."""
    pairs = set()
    for rule in re.findall(r"\{([^{}]*)\}", CSS):
        ink = re.search(r"(?<![\w-])color: var\(--([\w-]+)\)", rule)
        ground = re.search(r"background: var\(--([\w-]+)\)", rule)
        if ink and ground:
            pairs.add((ink[1], ground[1]))
    return pairs


TEXT_PAIRS = sorted({*product(_INKS, _GROUNDS), *product(_LOOSE, ("ground", "surface")), *_pairs_of_rules()})
SHAPE_PAIRS = sorted(
    {
        *product(("control", "accent"), ("surface", "ground")),
        *((f"{tone}-solid", "surface") for tone in TONE_NAMES),
    }
)


def test_contrast_is_reckoned_as_the_standard_says() -> None:
    """Black on white is 21 to 1, a colour on itself 1 to 1, and a known grey is what others find."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == pytest.approx(1)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("ink", "ground"), TEXT_PAIRS)
def test_text_can_be_read_on_its_ground(ink: str, ground: str, theme: str) -> None:
    """Every colour of text has the contrast that level AA asks for, in both themes."""
    found = contrast(COLOURS[ink][theme], COLOURS[ground][theme])
    assert found >= LEAST_TEXT, f"--{ink} on --{ground} in {theme}: {found:.2f}"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("shape", "ground"), SHAPE_PAIRS)
def test_a_shape_that_says_something_can_be_seen(shape: str, ground: str, theme: str) -> None:
    """Borders of fields, the focus ring and the columns of charts stand out from what is around them."""
    found = contrast(COLOURS[shape][theme], COLOURS[ground][theme])
    assert found >= LEAST_SHAPE, f"--{shape} on --{ground} in {theme}: {found:.2f}"


def test_every_colour_is_named_once_for_both_themes() -> None:
    """Rules take colours by name only: one written in a rule would be right in one theme at most."""
    rules = re.sub(r"--[\w-]+:[^;]*;", "", CSS)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", rules) == []
    used = set(re.findall(r"var\(--([\w-]+)\)", CSS))
    defined = set(re.findall(r"--([\w-]+):", CSS))
    assert used <= defined


def test_every_tone_has_its_colours_and_its_badge() -> None:
    """What a state's tone is called has an ink, a soft ground, a solid and a badge in the style sheet."""
    assert set(TONES.values()) <= set(TONE_NAMES)
    for tone in TONE_NAMES:
        assert {f"{tone}-ink", f"{tone}-soft", f"{tone}-solid"} <= COLOURS.keys()
        assert f".badge.tone-{tone} " in CSS
        assert f".tone-{tone} > .bar" in CSS


def test_directions_are_logical() -> None:
    """No rule says left or right, so that Hebrew is laid out by the same rules as English."""
    physical = re.findall(r"(?<![\w-])((?:margin|padding|border)-(?:left|right)|(?:left|right))\s*:", CSS)
    assert physical == []
    assert re.findall(r"(?:text-align|float|clear): (?:left|right)", CSS) == []


def test_nothing_moves_for_who_asks_for_rest() -> None:
    """What moves does so only where the reader's system has nothing against it; what only comes and goes is no motion."""
    still = re.sub(
        r"@media \(prefers-reduced-motion: no-preference\) \{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}", "", CSS
    )
    assert still != CSS
    assert re.findall(r"animation: |@keyframes|transition: (?!opacity)", still) == []


def test_no_page_has_a_style_or_script_of_its_own() -> None:
    """The content security policy forbids what is inline, so no template may need it."""
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:|hx-on", text), path.name
        for opening in re.findall(r"<script[^>]*>", text):
            assert " src=" in opening, path.name


def test_no_class_is_named_without_a_rule() -> None:
    """The pages for looking use classes that the style sheets know, apart from marks for the script."""
    known = set(re.findall(r"\.([a-zA-Z][\w-]*)", CSS)) | {"htmx-indicator", "cards", "group-what", "brand"}
    used = set()
    for path in TEMPLATES.glob("*.html"):
        for value in re.findall(r'class="([^"{}]*)"', path.read_text()):
            used |= set(value.split())
    assert used - known == set()
