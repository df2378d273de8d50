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


class Series(NamedTuple):
    """A line of a chart.

    Attributes:
        name: what it is called.
        values: one for each place of the chart; what is not finite is left out.
    """

    name: str
    values: Sequence[float]


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
    low, high = ticks[0], ticks[-1]
    first, last = places[0], places[-1]

    def x(place):
        return _LEFT + (_RIGHT - _LEFT) * (
            (place - first) / (last - first) if last > first else 0.5
        )

    def y(value):
        return _BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low)

    parts = [_tick_y(y(tick), _number(tick, ticks, percent)) for tick in ticks]
    steps = {round(tick) for tick in _ticks(first, last) if first <= tick <= last} or {round(first)}
    parts += [_text(x(step), _BOTTOM + 16, f"{step:g}", "middle") for step in steps]
    parts.append(_mark(x(chosen), f"epoch {chosen:g}, chosen"))
    for number, line in enumerate(lines):
        points = [
            f"{x(place):.1f},{y(value):.1f}"
            for place, value in zip(places, line.values, strict=True)
            if math.isfinite(value)
        ]
        parts.append(
            Markup('<polyline class="line s{}" points="{}"/>').format(number, " ".join(points))
        )
        if len(points) < 20:
            dots = (point.split(",") for point in points)
            dot = Markup('<circle class="dot s{}" cx="{}" cy="{}" r="2.6"/>')
            parts += [dot.format(number, *place) for place in dots]
    parts += _legend(lines)
    return _svg(title, f"{title} over {len(places)} epochs; {_in_words(lines, percent)}", parts)


def reliability_chart(bins: Sequence[dict]) -> Markup:
    """Draws how often a model is right, by how sure it is.

    Args:
        bins: see `reliability` of `keras_vit.evaluation.summarize`.
    """

    def x(value):
        return _LEFT + (_RIGHT - _LEFT) * value

    def y(value):
        return _BOTTOM - (_BOTTOM - _TOP) * value

    parts = [_tick_y(y(tick / 4), f"{25 * tick} %") for tick in range(5)]
    parts += [_text(x(t / 4), _BOTTOM + 16, f"{25 * t} %", "middle") for t in range(5)]
    parts.append(_text(_RIGHT, _BOTTOM + 32, "how sure the model is", "end"))
    bar = Markup(
        '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
        "<title>{}</title></rect>"
    )
    for one in (one for one in bins if one["count"]):
        words = (
            f"{one['count']:,} images, {one['confidence']:.0%} sure, {one['accuracy']:.0%} right"
        )
        left, right, top = x(one["low"]) + 1, x(one["high"]) - 1, y(one["accuracy"])
        # A bin in which nothing is right is still seen.
        top = min(top, _BOTTOM - 1.5)
        parts.append(bar.format(left, top, right - left, _BOTTOM - top, words))
    diagonal = Markup('<line class="level" x1="{}" y1="{}" x2="{}" y2="{}"/>')
    parts.append(diagonal.format(_LEFT, _BOTTOM, _RIGHT, _TOP))
    parts.append(
        _text(_LEFT + 6, _TOP - 12, "right answers, in each range; dashed: as sure as right")
    )
    spoken = "; ".join(
        f"{one['confidence']:.0%} sure, {one['accuracy']:.0%} right" for one in bins if one["count"]
    )
    return _svg("Reliability", f"Right answers by how sure the model is: {spoken}", parts)


def dots_chart(title: str, unit: str, groups: Sequence[Sequence[float]], level: float) -> Markup:
    """Draws dots over their groups, and a level to compare them with.

    Args:
        title: what is drawn.
        unit: of the values.
        groups: values of each group, from group 0.
        level: the height of a dashed line.
    """
    ticks = _ticks(0.0, max(level, *(value for group in groups for value in group)))

    def x(place):
        return _LEFT + (_RIGHT - _LEFT) * (place + 0.5) / len(groups)

    def y(value):
        return _BOTTOM - (_BOTTOM - _TOP) * value / ticks[-1]

    parts = [_tick_y(y(tick), _number(tick, ticks, False)) for tick in ticks]
    step = -(-len(groups) // 12)
    parts += [_text(x(i), _BOTTOM + 16, str(i), "middle") for i in range(0, len(groups), step)]
    parts.append(_text(_RIGHT, _BOTTOM + 32, unit, "end"))
    dot = Markup('<circle class="dot s0" cx="{:.1f}" cy="{:.1f}" r="3.2"/>')
    parts += [dot.format(x(i), y(value)) for i, group in enumerate(groups) for value in group]
    dashed = Markup('<line class="level" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>')
    parts.append(dashed.format(_LEFT, y(level), _RIGHT, y(level)))
    spoken = "; ".join(
        f"{i}: {min(group):.3g} to {max(group):.3g}" for i, group in enumerate(groups)
    )
    return _svg(title, f"{title}, {unit}; level {level:.3g}; {spoken}", parts)


def _svg(title: str, description: str, parts: Sequence[Markup]) -> Markup:
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">')
    shown = Markup('<text class="title" x="0" y="13">{}</text>').format(title)
    if title == "Reliability":  # its heading says so
        shown = Markup("")
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


def _mark(x: float, words: str) -> Markup:
    line = Markup('<line class="mark" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>')
    late = x > (_LEFT + _RIGHT) / 2
    label = _text(x, _BOTTOM + 32, words, "end" if late else "start")
    return line.format(x, _TOP, x, _BOTTOM + 22) + label


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
        return f"{100 * value:.3g} %"
    if 0 < max(ticks) < 0.01 and value:  # 2.5e-4
        return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")
    return f"{value:.4g}"
