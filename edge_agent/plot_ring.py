"""PlotRing: the last 24 hours of every number, coarse and bounded, in the memory of the page's process. Pure.

    values each 10 s ─► one cell per point and 5 minutes: last, and whether anything was known ─► plot

288 cells a point; points beyond the bound have no plot, which is said nowhere else than by an empty one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from dashboards.local_view import LocalPoint, PlotSample
from device_model.clock import HOUR_US, MINUTE_US

CELL_US = 5 * MINUTE_US
CELLS = 24 * HOUR_US // CELL_US
POINTS_MAX = 2000  # 288 pairs each: 40 MiB at the very most, in a process of its own


class PlotRing:
    """Not thread-safe; owned by one page."""

    def __init__(self) -> None:
        self._cells: dict[str, deque[tuple[int, float | None]]] = {}

    def take(self, points: Iterable[LocalPoint], at_us: int) -> None:
        """The values as they are now. A value that is missing breaks the line: it is never kept as zero."""
        cell = at_us // CELL_US * CELL_US
        for point in points:
            if isinstance(point.value, str):
                continue
            ring = self._cells.get(point.point)
            if ring is None:
                if len(self._cells) >= POINTS_MAX:
                    continue
                ring = self._cells[point.point] = deque(maxlen=CELLS)
            value = None if point.value is None else float(point.value)
            if ring and ring[-1][0] == cell:
                ring[-1] = (cell, value if value is not None else ring[-1][1])
            elif not ring or cell > ring[-1][0]:
                ring.append((cell, value))
            elif cell < ring[-1][0]:
                ring.clear()  # the clock was set back: what came after it is not the past
                ring.append((cell, value))

    def samples(self, point: str, at_us: int) -> tuple[PlotSample, ...]:
        """Of the last 24 hours, oldest first; an empty cell where nobody was listening breaks the line, too."""
        out: list[PlotSample] = []
        for cell, value in self._cells.get(point, ()):
            if cell < at_us - CELLS * CELL_US:
                continue
            if out and cell - out[-1].at_us > CELL_US:
                out.append(PlotSample(out[-1].at_us + CELL_US, None))
            out.append(PlotSample(cell, value))
        return tuple(out)


def with_gaps(samples: Sequence[tuple[int, float | None]], gap_us: int) -> tuple[PlotSample, ...]:
    """Samples in order of time, with an empty one wherever nothing was heard for longer than the gap."""
    out: list[PlotSample] = []
    for at_us, value in samples:
        if out and at_us - out[-1].at_us > gap_us:
            out.append(PlotSample(out[-1].at_us + 1, None))
        out.append(PlotSample(at_us, value))
    return tuple(out)
