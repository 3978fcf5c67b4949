"""The colours of a button: the brand's own, with text on it that can be read, by day and in dark mode. Pure.

Contrast is WCAG's: 4.5 to 1 for text (AA), 3 to 1 for the button against what lies behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

OWN_COLOUR = "#0b7a5b"  #: of brands that name none
LIGHT_CARD = "#f6f8fa"
DARK_CARD = "#212a36"
TEXT_CONTRAST = 4.5
EDGE_CONTRAST = 3.0
_WHITE, _BLACK = "#ffffff", "#000000"
_STEPS = 20  #: from the brand's colour to white or black


@dataclass(frozen=True, slots=True)
class Button:
    """How a button is drawn in one of the two modes."""

    background: str  #: #rrggbb
    text: str
    edge: str  #: of the line around it: darker where a pale colour would melt into its card


def light_button(colour: str | None) -> Button:
    """Return the button by day: the brand's colour as it is."""
    background = colour or OWN_COLOUR
    return Button(background, readable_on(background), _towards(_BLACK, background, behind=LIGHT_CARD))


def dark_button(colour: str | None) -> Button:
    """Return the button in dark mode: the brand's colour, made lighter where the dark card would swallow it."""
    background = _towards(_WHITE, colour or OWN_COLOUR, behind=DARK_CARD)
    return Button(background, readable_on(background), background)


def readable_on(background: str) -> str:
    """Return white or, where that could not be read, black: one of the two always reaches 4.5 to 1."""
    return _WHITE if contrast(_WHITE, background) >= TEXT_CONTRAST else _BLACK


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (`#rrggbb`), 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _towards(end: str, colour: str, *, behind: str) -> str:
    """Return *colour*, as far on its way to *end* as it takes to stand out from what is *behind* it."""
    shades = (_mixed(colour, end, step / _STEPS) for step in range(_STEPS + 1))
    return next((shade for shade in shades if contrast(shade, behind) >= EDGE_CONTRAST), end)


def _mixed(colour: str, end: str, share: float) -> str:
    pairs = zip(_channels(colour), _channels(end), strict=True)
    return "#" + "".join(f"{round(one + (other - one) * share):02x}" for one, other in pairs)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
