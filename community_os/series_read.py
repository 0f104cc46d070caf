"""SeriesReader (I/O): the one way in which pages read the community OS's time series.

    page ─► right asked ─► SeriesReader ─► state/series.sqlite   (written by the role `series`; read beside it)

    reader = SeriesReader(settings.series)
    by_point = await reader.rollups(path, ["climate-3.temperature"], from_us, to_us, Level.HOUR)
    by_point["climate-3.temperature"][0].mean, .least, .most, .good (count), .quality_share, .last
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cloud_bridge.sqlite_series import SqliteSeries
from device_model.series import Level, Rollup, Sample, SeriesQuery
from device_model.site import SeriesSettings

# A question never brings more rows than a page can draw: a year of hours of five points, 30 days of 60 points.
ROWS_MAX = 50_000
POINTS_MAX = 100


class SeriesReader:
    """Implements `device_model.series.SeriesRead`. None of it writes."""

    def __init__(self, settings: SeriesSettings) -> None:
        """Opens nothing yet."""
        self._path = Path(settings.path)
        self._file = SqliteSeries(settings)

    async def rollups(
        self, path: str, points: Sequence[str], from_us: int, to_us: int, level: Level = Level.HOUR,
    ) -> dict[str, tuple[Rollup, ...]]:
        """See `SeriesRead.rollups`."""
        if not (path and points and self._path.exists()):
            return {}
        query = SeriesQuery(from_us, to_us, tuple(points[:POINTS_MAX]), limit=ROWS_MAX, site=path)
        found: dict[str, list[Rollup]] = {}
        for rollup in await self._file.rollups(query, level):
            found.setdefault(rollup.point, []).append(rollup)
        return {point: tuple(rollups) for point, rollups in found.items()}

    async def samples(
        self, path: str, points: Sequence[str], from_us: int, to_us: int, limit: int = 5000,
    ) -> tuple[Sample, ...]:
        """See `SeriesRead.samples`."""
        if not (path and points and self._path.exists()):
            return ()
        return await self._file.read(SeriesQuery(from_us, to_us, tuple(points[:POINTS_MAX]),
                                                 limit=min(limit, ROWS_MAX), site=path))

    async def close(self) -> None:
        """Let go of the file; idempotent."""
        await self._file.close()
