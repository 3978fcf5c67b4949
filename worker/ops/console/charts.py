"""Charts as SVG text, drawn on the server: shapes with classes, no style of their own, every figure readable as text.

Pure: the same figures make the same chart. Colours come from the style sheet by the tone's class. Where a chart tells
two things apart it does so by place too (what failed hangs below the line), never by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 520, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 4, 10, 22
_LEAST_BAR = 2.0  # one failure among thousands still shows
_SPARK_WIDTH, _SPARK_HEIGHT = 96, 26


@dataclass(frozen=True, slots=True)
class Line:
    """One row of figures, as many as there are steps."""

    label: str
    tone: str  #: class `tone-…` of its shapes
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a whole."""

    label: str
    tone: str
    value: float


@dataclass(frozen=True, slots=True)
class Step:
    """One column of a chart: when it begins."""

    name: str  #: `14:05`, UTC
    at: str  #: the instant, by which the reader's browser names it anew in his own time


def flow_chart(steps: Sequence[Step], *, up: Line, down: Line, over: Line, title: str) -> Markup:
    """Return a chart of columns: *up* above the line, *down* hanging below it, *over* as a curve.

    *title* is what the chart is called aloud.
    """
    most_up = nice_ceiling(max([*up.values, *over.values, 1]))
    most_down = nice_ceiling(max(down.values)) if any(down.values) else 0
    frame = _Frame(len(steps), most_up, most_down)
    parts = [
        _grid(frame),
        *_columns(frame, up, is_up=True),
        *_columns(frame, down, is_up=False),
        _curve(frame, over),
        *_step_names(frame, steps),
        *_slots(frame, steps, (over, up, down)),
    ]
    return Markup(  # noqa: S704 - every part is escaped where it is made
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" direction="ltr">'
        f"{''.join(parts)}</svg>"
    )


def sparkline(values: Sequence[int], *, label: str, tone: str = "bad") -> Markup:
    """Return small columns of *values*, the newest last; *label* says them aloud."""
    most = max([*values, 1])
    step = _SPARK_WIDTH / max(len(values), 1)
    bars = []
    for index, value in enumerate(values):
        height = max(_SPARK_HEIGHT * value / most, _LEAST_BAR) if value else 1.0
        kind = "bar" if value else "none"
        bars.append(_rect(kind, index * step + 0.5, _SPARK_HEIGHT - height, max(step - 1, 0.5), height))
    return Markup(  # noqa: S704 - as above
        f'<svg class="spark tone-{escape(tone)}" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" '
        f'width="{_SPARK_WIDTH}" height="{_SPARK_HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{''.join(bars)}</svg>"
    )


def gauge(used: float, whole: float, *, label: str, tone: str = "run") -> Markup:
    """Return a bar that is filled by *used* of *whole*; full where it is more."""
    part = min(max(used / whole, 0.0), 1.0) * 100 if whole > 0 else 0.0
    return Markup(  # noqa: S704 - as above
        f'<svg class="gauge tone-{escape(tone)}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{_rect("ground", 0, 0, 100, 8)}{_rect("bar", 0, 0, part, 8)}</svg>'
    )


def share_bar(shares: Sequence[Share], *, label: str) -> Markup:
    """Return one bar divided by *shares*; a share that is not nothing is at least a sliver."""
    known = [each for each in shares if each.value > 0]
    whole = sum(each.value for each in known) or 1
    widths = [max(each.value / whole * 100, 0.6) for each in known]
    scale = 100 / sum(widths) if widths else 1
    parts, at = [], 0.0
    for share, width in zip(known, widths, strict=True):
        drawn = width * scale
        name = f"<title>{escape(share.label)}</title>"
        parts.append(
            f'<g class="tone-{escape(share.tone)}">{name}{_rect("bar", at, 0, max(drawn - 0.25, 0.2), 8)}</g>'
        )
        at += drawn
    return Markup(  # noqa: S704 - as above
        f'<svg class="shares" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts) or _rect("ground", 0, 0, 100, 8)}</svg>'
    )


def nice_ceiling(value: float) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50 … that is no less than *value*."""
    if value <= 1:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return int(next(step * power for step in (1, 2, 5, 10) if step * power >= value))


# --- the parts of a flow chart -----------------------------------------------------------------------------


class _Frame:
    """Where things lie: x by step, y by value, the line between up and down."""

    def __init__(self, steps: int, most_up: int, most_down: int) -> None:
        self.most_up, self.most_down = most_up, most_down
        room = HEIGHT - _TOP - _BOTTOM
        # What failed has its own scale and a fifth of the room at least: else a few among thousands were invisible.
        self.room_down = room * min(max(most_down / (most_up + most_down), 0.2), 0.5) if most_down else 0.0
        self.room_up = room - self.room_down
        self.line_y = _TOP + self.room_up
        self.step = (WIDTH - _LEFT - _RIGHT) / max(steps, 1)

    def x(self, index: int) -> float:
        return _LEFT + index * self.step

    def up(self, value: float) -> float:
        return self.room_up * value / self.most_up

    def down(self, value: float) -> float:
        return self.room_down * value / self.most_down if self.most_down else 0.0


def _grid(frame: _Frame) -> str:
    heights = [(frame.line_y - frame.up(part), part) for part in _marks(frame.most_up)]
    heights += [(frame.line_y, 0)]
    if frame.most_down:
        heights.append((frame.line_y + frame.room_down, frame.most_down))
    lines = []
    for y, value in heights:
        kind = "zero" if value == 0 else "grid"
        lines.append(f'<path class="{kind}" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        lines.append(
            f'<text class="mark-y" x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{short(value)}</text>'
        )
    return "".join(lines)


def _marks(most: int) -> list[float]:
    return [most, most / 2] if most > 1 and most % 2 == 0 else [most]


def _columns(frame: _Frame, line: Line, *, is_up: bool) -> list[str]:
    shapes = []
    for index, value in enumerate(line.values):
        if not value:
            continue
        height = max(frame.up(value) if is_up else frame.down(value), _LEAST_BAR)
        y = frame.line_y - height if is_up else frame.line_y
        gap = min(frame.step * 0.2, 3.0)
        shapes.append(_rect("bar", frame.x(index) + gap / 2, y, frame.step - gap, height))
    return [f'<g class="tone-{escape(line.tone)}">', *shapes, "</g>"]


def _curve(frame: _Frame, line: Line) -> str:
    points = " ".join(
        f"{frame.x(index) + frame.step / 2:.1f},{frame.line_y - frame.up(value):.1f}"
        for index, value in enumerate(line.values)
    )
    return f'<polyline class="curve tone-{escape(line.tone)}" points="{points}"/>' if any(line.values) else ""


def _step_names(frame: _Frame, steps: Sequence[Step]) -> list[str]:
    every = max(math.ceil(len(steps) / 6), 1)
    zone = f'<text class="mark-x utc" x="0" y="{HEIGHT - 5}">UTC</text>'
    return [zone] + [
        f'<text class="mark-x" x="{frame.x(index) + frame.step / 2:.1f}" y="{HEIGHT - 5}" '
        f'text-anchor="{"start" if index == 0 else "middle"}"{_clock(steps[index])}</text>'
        for index in range(0, len(steps), every)
        if index + every / 2 <= len(steps)
    ]


def _clock(step: Step) -> str:
    """Return the end of a tag and the text that names *step* in it."""
    return f' data-clock="{escape(step.at)}">{escape(step.name)}'


def _slots(frame: _Frame, steps: Sequence[Step], lines: Sequence[Line]) -> list[str]:
    """Return what a pointer meets: the whole column, with its figures in words."""
    slots = []
    for index, step in enumerate(steps):
        told = ", ".join(f"{line.label} {line.values[index]:,}" for line in lines)
        slots.append(
            f'<g class="slot"><title{_clock(step)}: {escape(told)}</title>'
            f"{_rect('hit', frame.x(index), _TOP, frame.step, HEIGHT - _TOP - _BOTTOM)}</g>"
        )
    return slots


def short(value: float) -> str:
    """Return a figure for an axis: `950`, `1.5k`, `2M`."""
    for size, sign in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + sign
    return f"{value:g}"


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'
