"""Samples of many sites in one file, and those that come when the raw ones of their time are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_bridge.line_protocol import encode_sample
from cloud_bridge.sqlite_series import SqliteSeries
from device_model.reading import Quality, Reason
from device_model.series import LEVEL_S, Level, Rollup, Sample, SeriesQuery
from device_model.site import SeriesSettings

T0 = 1_790_000_000_000_000 // 3_600_000_000 * 3_600_000_000
HOUR_US = 3_600_000_000
SITE = "hangzhou/yuhang/cangqian/riverside"


def sample(at_s: float, value: float | None, site: str = SITE, point: str = "climate-3.temperature") -> Sample:
    quality = Quality.BAD if value is None else Quality.GOOD
    return Sample(site, "gw-1", "b1-301", point, "temperature", "Cel", T0 + round(at_s * 1e6), value, quality,
                  Reason.SILENT if value is None else Reason.NONE, sequence=1)


def series(folder: Path, **more: float) -> SqliteSeries:
    return SqliteSeries(SeriesSettings(path=str(folder / "series.sqlite"), raw_days=1, **more))  # type: ignore[arg-type]


async def sums(file: SqliteSeries, level: Level = Level.HOUR) -> tuple[Rollup, ...]:
    return await file.rollups(SeriesQuery(T0 - 48 * HOUR_US, T0 + 48 * HOUR_US, site=SITE), level)


async def test_sites_with_the_same_points_are_kept_apart(tmp_path: Path) -> None:
    file = series(tmp_path)
    other = "hangzhou/yuhang/cangqian/lakeside"
    await file.write([sample(0, 20.0), sample(1, 30.0, other)], {"stream": 7})
    assert [one.mean for one in await sums(file)] == [20.0]
    found = await file.read(SeriesQuery(T0, T0 + HOUR_US, ("climate-3",), site=other))
    assert [one.value for one in found] == [30.0] and await file.mark("stream") == 7
    assert await file.mark("another") == 0
    await file.close()


@pytest.mark.parametrize("level", [Level.MINUTE, Level.QUARTER, Level.HOUR])
async def test_a_late_sample_is_added_to_sums_whose_raw_samples_are_gone(tmp_path: Path, level: Level) -> None:
    file = series(tmp_path)
    await file.write([sample(1, 10.0), sample(2, 14.0), sample(3, None)])
    whole = await sums(file, level)
    assert await file.trim(T0 + 30 * HOUR_US) == 3
    assert await sums(file, level) == whole, "sums outlive what they came from"
    late = [sample(10, 30.0), sample(0.5, 2.0), sample(11, None)]
    await file.write(late)
    await file.write(late)  # twice is once
    (one,) = await sums(file, level)
    assert (one.good, one.bad, one.least, one.most, one.mean, one.last) == (4, 2, 2.0, 30.0, 14.0, 30.0)
    assert one.quality_share == pytest.approx(4 / 6) and one.time_us == T0 and LEVEL_S[level]
    await file.write([sample(7200, 5.0)])
    assert [s.mean for s in await sums(file, Level.HOUR)] == [14.0, 5.0]
    await file.close()


def test_a_line_can_carry_the_parts_of_the_tenancy() -> None:
    line = encode_sample(sample(0, 20.0), tenancy=True)
    tags = line.split(" ")[0].split(",")[1:]
    assert tags == sorted(tags) and {"city=hangzhou", "district=yuhang", "street=cangqian"} <= set(tags)
    assert encode_sample(sample(0, 20.0)).count("=") < line.count("=")
