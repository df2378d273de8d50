# SPDX-License-Identifier: MIT
"""Charts as SVG, whose colors the style sheet of the page chooses.

Matplotlib would draw one color scheme alone, and take longer than the rest of the page.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

_WIDTH, _HEIGHT = 400, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 380, 30, 204  # of the plot, in units of the picture
_INTERVALS = 4  # between ticks, about
_FEW = 20  # values, each of which gets a dot


class Series(NamedTuple):
    """A line of a chart.

    Attributes:
        name: what it is called.
        values: one for each place of the chart; what is not finite is left out.
    """

    name: str
    values: Sequence[float]


class _Scale(NamedTuple):
    """Where values stand in a picture.

    Attributes:
        low, high: values.
        start, end: where they stand, in units of the picture.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value stands; in the middle where there is only one."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + (self.end - self.start) * share


def line_chart(
    title: str, places: Sequence[float], lines: Sequence[Series], chosen: float, percent: bool
) -> Markup:
    """Draws lines over epochs.

    Args:
        title: what is drawn.
        places: epochs, from 1.
        lines: at most two.
        chosen: the epoch that is marked.
        percent: whether values are shares, 0 to 1.
    """
    values = [v for line in lines for v in line.values if math.isfinite(v)] or [0.0]
    ticks = _ticks(min(values), max(values))
    x = _Scale(places[0], places[-1], _LEFT, _RIGHT)
    y = _Scale(ticks[0], ticks[-1], _BOTTOM, _TOP)
    steps = {round(tick) for tick in _ticks(x.low, x.high) if x.low <= tick <= x.high}
    parts = [
        *(_tick_y(y.at(tick), _number(tick, ticks, percent)) for tick in ticks),
        *(_tick_x(x.at(step), f"{step}") for step in steps or {round(x.low)}),
        _mark(x.at(chosen), f"epoch {chosen:g}, chosen"),
        *(_line(n, places, line.values, x, y) for n, line in enumerate(lines)),
        *_legend(lines),
    ]
    return _svg(title, f"{title} over {len(places)} epochs; {_in_words(lines, percent)}", parts)


def _line(
    number: int, places: Sequence[float], values: Sequence[float], x: _Scale, y: _Scale
) -> Markup:
    """A line through its values, with a dot on each where they are few."""
    points = [
        (f"{x.at(place):.1f}", f"{y.at(value):.1f}")
        for place, value in zip(places, values, strict=True)
        if math.isfinite(value)
    ]
    line = Markup('<polyline class="line s{}" points="{}"/>')
    drawn = line.format(number, " ".join(map(",".join, points)))
    if len(points) >= _FEW:
        return drawn
    dot = Markup('<circle class="dot s{}" cx="{}" cy="{}" r="2.6"/>')
    return drawn + Markup("").join(dot.format(number, *point) for point in points)


def reliability_chart(bins: Sequence[dict]) -> Markup:
    """Draws how often a model is right, by how sure it is.

    Args:
        bins: see `reliability` of `keras_vit.evaluation.summarize`.
    """

    x, y = _Scale(0, 1, _LEFT, _RIGHT), _Scale(0, 1, _BOTTOM, _TOP)
    quarters = [tick / 4 for tick in range(5)]
    diagonal = Markup('<line class="level" x1="{}" y1="{}" x2="{}" y2="{}"/>')
    parts = [
        *(_tick_y(y.at(tick), f"{tick:.0%}") for tick in quarters),
        *(_tick_x(x.at(tick), f"{tick:.0%}") for tick in quarters),
        _text(_RIGHT, _BOTTOM + 32, "how sure the model is", "end"),
        *(_bar(one, x, y) for one in bins if one["count"]),
        diagonal.format(_LEFT, _BOTTOM, _RIGHT, _TOP),
        _text(_LEFT, _TOP - 12, "right answers; dashed: as sure as right"),
    ]
    spoken = "; ".join(
        f"{one['confidence']:.0%} sure, {one['accuracy']:.0%} right" for one in bins if one["count"]
    )
    return _svg("", f"Right answers by how sure the model is: {spoken}", parts)


def _bar(one: dict, x: _Scale, y: _Scale) -> Markup:
    words = f"{one['count']:,} images, {one['confidence']:.0%} sure, {one['accuracy']:.0%} right"
    left, right = x.at(one["low"]) + 1, x.at(one["high"]) - 1
    top = min(y.at(one["accuracy"]), _BOTTOM - 1.5)  # where nothing is right a line is still seen
    bar = Markup(
        '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
        "<title>{}</title></rect>"
    )
    return bar.format(left, top, right - left, _BOTTOM - top, words)


def dots_chart(title: str, unit: str, groups: Sequence[Sequence[float]], level: float) -> Markup:
    """Draws dots over their groups, and a level to compare them with.

    Args:
        title: what is drawn.
        unit: of the values.
        groups: values of each group, from group 0.
        level: the height of a dashed line.
    """
    ticks = _ticks(0.0, max(level, *(value for group in groups for value in group)))

    x, y = _Scale(-0.5, len(groups) - 0.5, _LEFT, _RIGHT), _Scale(0, ticks[-1], _BOTTOM, _TOP)
    step = -(-len(groups) // 12)
    dot = Markup('<circle class="dot s0" cx="{:.1f}" cy="{:.1f}" r="3.2"/>')
    dashed = Markup('<line class="level" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>')
    parts = [
        *(_tick_y(y.at(tick), _number(tick, ticks, False)) for tick in ticks),
        *(_tick_x(x.at(i), f"{i}") for i in range(0, len(groups), step)),
        _text(_RIGHT, _BOTTOM + 32, unit, "end"),
        *(dot.format(x.at(i), y.at(v)) for i, group in enumerate(groups) for v in group),
        dashed.format(_LEFT, y.at(level), _RIGHT, y.at(level)),
    ]
    spoken = "; ".join(
        f"{i}: {min(group):.3g} to {max(group):.3g}" for i, group in enumerate(groups)
    )
    return _svg(title, f"{title}, {unit}; level {level:.3g}; {spoken}", parts)


def _svg(title: str, description: str, parts: Sequence[Markup]) -> Markup:
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">')
    shown = Markup('<text class="title" x="0" y="13">{}</text>').format(title) if title else ""
    return (
        opening.format(_WIDTH, _HEIGHT, description)
        + shown
        + Markup("").join(parts)
        + Markup("</svg>")
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> Markup:
    text = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return text.format(x, y, anchor, words)


def _tick_y(y: float, words: str) -> Markup:
    grid = Markup('<line class="grid" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>')
    return grid.format(_LEFT, y, _RIGHT, y) + _text(_LEFT - 6, y + 4, words, "end")


def _tick_x(x: float, words: str) -> Markup:
    return _text(x, _BOTTOM + 16, words, "middle")


def _mark(x: float, words: str) -> Markup:
    line = Markup('<line class="mark" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>')
    late = x > (_LEFT + _RIGHT) / 2
    label = _text(x, _BOTTOM + 32, words, "end" if late else "start")
    return line.format(x, _TOP, x, _BOTTOM) + label


def _legend(lines: Sequence[Series]) -> list[Markup]:
    """The names of the lines with a piece of each, at the upper right; one line needs none."""
    parts, x = [], float(_RIGHT)
    for number, line in reversed(list(enumerate(lines if len(lines) > 1 else ()))):
        parts.append(_text(x, 13, line.name, "end"))
        x -= 6.2 * len(line.name) + 8
        piece = Markup('<line class="line s{}" x1="{:.1f}" y1="9" x2="{:.1f}" y2="9"/>')
        parts.append(piece.format(number, x - 22, x))
        x -= 34
    return parts


def _in_words(lines: Sequence[Series], percent: bool) -> str:
    def shown(value):
        return f"{value:.1%}" if percent else f"{value:.4g}"

    return ", ".join(
        f"{line.name} from {shown(line.values[0])} to {shown(line.values[-1])}" for line in lines
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the lowest value to above the highest."""
    span = (high - low) or abs(high) or 1.0
    rough = span / _INTERVALS
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(start, max(end, start + 1) + 1)]


def _number(value: float, ticks: Sequence[float], percent: bool) -> str:
    if percent:
        return f"{100 * value:.3g}%"
    if 0 < max(ticks) < 0.01 and value:  # 2.5e-4
        return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")
    return f"{value:.4g}"
