"""Plot: readings over time as inline SVG, with marks where alarms and outputs happened. Pure; no script, no host.

    series (points of time and value) ─► scales, ticks ─► path, grid, marks ─► one <svg> with a text alternative
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec

WIDTH, FIELD, STATE_FIELD = 720, 140, 44  # heights of the field of a number and of an on-off state
_LEFT, _RIGHT, _ROW, _BOTTOM = 56, 14, 12, 26
_LETTER = 6.2  # width of a letter of a mark, for keeping labels apart
SEGMENTS_MAX = 700  # about a sample a pixel; more would only make the file large


class Mark(msgspec.Struct, frozen=True):
    """A moment to draw as a vertical line. kind: alarm, output, event (a class of the style sheet)."""

    at_s: float
    label: str
    kind: str = "event"


def plot_svg(
    title: str, unit: str, samples: Sequence[tuple[float, float | None]], end_s: float, marks: Sequence[Mark] = (),
    *, steps: bool = False, state: bool = False,
) -> str:
    """An SVG figure. A sample whose value is None draws a break, never a zero. steps: values hold until the next.
    state: the value is on (1) or off (0)."""
    values = [value for _, value in samples if value is not None and math.isfinite(value)]
    if not values:
        return ""
    low, high = min(values), max(values)
    ticks = [0.0, 1.0] if state else ticks_of(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    span_s, span = max(end_s, 1.0), (high - low) or 1.0
    field = STATE_FIELD if state else FIELD

    def x(at_s: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(at_s, 0.0), span_s) / span_s, 1)

    def y(value: float) -> float:
        return round(top + field * (high - value) / span, 1)

    placed, rows = _placed(marks, x)
    top = 6 + _ROW * rows
    height = top + field + _BOTTOM
    label = f"{title}: {min(values):.4g} – {max(values):.4g} {unit}".strip()
    out = [f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label, quote=True)}">',
           f"<title>{escape(label)}</title>"]
    for tick in ticks:
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
                   f'<text class="tick" x="{_LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:.4g}</text>')
    for tick in ticks_of(0.0, span_s, most=8):
        if 0 <= tick <= span_s:
            anchor = "end" if x(tick) > WIDTH - 2 * _RIGHT else "middle"
            out.append(f'<text class="tick" x="{x(tick)}" y="{height - 8}" text-anchor="{anchor}">{tick:g} s</text>')
    out += [f'<path class="line" d="{_path(samples, x, y, steps=steps, end_s=span_s)}"/>']
    for mark, at_x, row, anchor in placed:
        shift = -3 if anchor == "end" else 3
        out.append(f'<line class="mark {mark.kind}" x1="{at_x}" x2="{at_x}" y1="{_ROW * row + 2}"'
                   f' y2="{top + field}"/>'
                   f'<text class="mark {mark.kind}" x="{at_x + shift}" y="{_ROW * row + 11}" text-anchor="{anchor}">'
                   f"{escape(mark.label)}</text>")
    out.append("</svg>")
    return "".join(out)


def _placed(marks: Sequence[Mark], x: Callable[[float], float]) -> tuple[list[tuple[Mark, float, int, str]], int]:
    """Each mark with its place, row and side of its label, so that no two labels overlap; and how many rows."""
    ends: list[float] = []  # by row: where its last label ends
    placed = []
    for mark in sorted(marks, key=lambda it: (it.at_s, it.label)):
        at_x, width = x(mark.at_s), _LETTER * len(mark.label) + 8
        left = at_x - width if at_x + width > WIDTH else at_x
        row = next((i for i, end in enumerate(ends) if end <= left), len(ends))
        ends[row:row + 1] = [left + width]
        placed.append((mark, at_x, row, "end" if left < at_x else "start"))
    return placed, len(ends)


def _path(
    samples: Sequence[tuple[float, float | None]], x: Callable[[float], float], y: Callable[[float], float],
    *, steps: bool, end_s: float,
) -> str:
    every = max(1, math.ceil(len(samples) / SEGMENTS_MAX))
    thinned = [sample for i, sample in enumerate(samples)
               if i % every == 0 or sample[1] is None or i == len(samples) - 1]
    parts: list[str] = []
    pen = False
    before: float | None = None
    for at_s, value in thinned:
        if value is None or not math.isfinite(value):
            if pen and steps and before is not None:
                parts.append(f"L{x(at_s)} {y(before)}")
            pen = False
            continue
        if pen and steps and before is not None:
            parts.append(f"L{x(at_s)} {y(before)}")
        parts.append(f"{'L' if pen else 'M'}{x(at_s)} {y(value)}")
        pen, before = True, value
    if pen and before is not None:
        parts.append(f"L{x(end_s)} {y(before)}")
    return "".join(parts)


def ticks_of(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers that cover low..high, about `most` of them."""
    span = high - low
    if span <= 0.0:
        pad = abs(low) * 0.1 or 1.0
        low, high, span = low - pad, high + pad, 2 * pad
    raw = span / most
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(n * step, 12) for n in range(first, last + 1)]
