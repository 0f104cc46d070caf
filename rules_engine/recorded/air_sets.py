"""Recorded air, noise, flow and level: sets whose events are exceedances of the record itself, or that have none.

Where a set has no labels, an event is what a standard calls an exceedance, found by a plain scan of the record that
shares nothing with the engine; sets without even that serve to count what the rules say of ordinary life.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import msgspec

from device_model.alarm import Hazard, Severity
from device_model.profile import DeviceClass
from rules_engine.recorded.experiment import Experiment, LabelledEvent, RecordedPoint, Recording
from rules_engine.recorded.fire_sets import slug
from rules_engine.recorded.machine_sets import Row, timed_rows
from rules_engine.recorded.table import Table

if TYPE_CHECKING:
    from rules_engine.recorded.folder import Folder

AIR = frozenset({Hazard.ENVIRONMENT})
BEIJING = timezone(timedelta(hours=8))
# GB 3095 and the field's practice: a day of more than 150 µg/m3 is heavy pollution; three hours make an episode.
PM25_EVENT_UG_M3, PM25_CONFIRM_S = 150.0, 3 * 3600.0
# HJ 633: above 350 µg/m3 PM10 is heavy pollution; more than twice the fine particles makes it a dust storm.
DUST_EVENT_UG_M3 = 350.0
NOISE_EVENT_DB, NOISE_CONFIRM_S = 60.0, 300.0


def exceedances(times_s: Sequence[float], values: Sequence[float | None], level: float, confirm_s: float,
                gap_s: float) -> list[LabelledEvent]:
    """Times above a level that last `confirm_s`; pauses below `gap_s` do not end one."""
    events: list[LabelledEvent] = []
    start = last = None
    for t_s, value in zip(times_s, values, strict=True):
        if value is not None and value > level:
            start = t_s if start is None else start
            last = t_s
        elif start is not None and last is not None and t_s - last > gap_s:
            if last - start >= confirm_s:
                events.append(LabelledEvent(f"exceedance-{len(events) + 1}", start, last + gap_s))
            start = last = None
    if start is not None and last is not None and last - start >= confirm_s:
        events.append(LabelledEvent(f"exceedance-{len(events) + 1}", start, last + gap_s))
    return events


def beijing_pm25(folder: Folder) -> Recording:
    """Four stations, hourly, four years."""
    return Recording("beijing_pm25", (_station(folder, name) for name in folder.files("*.parquet")), AIR,
                     Severity.NOTICE, 6 * 3600.0)


_AIR = {"PM2.5": ("pm25", "ug/m3"), "PM10": ("pm10", "ug/m3"), "TEMP": ("temperature", "Cel"),
        "WSPM": ("wind_speed", "m/s"), "RAIN": ("rain", "mm")}


def _station(folder: Folder, name: str) -> Experiment:
    table, station = folder.table(name), name.removesuffix(".parquet")
    times = [datetime(int(y), int(m), int(d), int(h), tzinfo=BEIJING) for y, m, d, h in zip(
        table.column("year"), table.column("month"), table.column("day"), table.column("hour"), strict=True)]
    columns = [column for column in table.names if column in _AIR]
    numbers = [table.numbers(column) for column in columns]
    rows = timed_rows(times, times[0], numbers)
    points = [RecordedPoint(f"{slug(station)}.{_AIR[column][0]}", *_AIR[column], "street", DeviceClass.AIR,
                            zone_kind="outdoor", tags=("outdoor",), stale_after_s=3 * 3600.0) for column in columns]
    seconds, zero_us = [t_s for t_s, _ in rows], round(times[0].timestamp() * 1e6)
    pm25, pm10 = ([values[columns.index(name)] for _, values in rows] for name in ("PM2.5", "PM10"))
    coarse = [value if value is not None and (fine is None or value > 2 * fine) else None
              for fine, value in zip(pm25, pm10, strict=True)]
    events = [msgspec.structs.replace(event, kind="PM2.5") for event in exceedances(
        seconds, pm25, PM25_EVENT_UG_M3, PM25_CONFIRM_S, 3 * 3600.0)]
    events += [msgspec.structs.replace(event, id=event.id.replace("exceedance", "dust"), kind="dust storm")
               for event in exceedances(seconds, coarse, DUST_EVENT_UG_M3, PM25_CONFIRM_S, 3 * 3600.0)]
    return Experiment(station, points, rows, events, zero_us=zero_us)


def noise_laeq(folder: Folder) -> Recording:
    """One minute levels; a sustained exceedance of 60 dB(A) is an event."""
    return Recording("noise_laeq", iter([_noise(folder.table("laeq1m.csv.gz"))]), AIR, Severity.NOTICE, 900.0)


def _noise(table: Table) -> Experiment:
    times = table.times("datetime")
    levels = table.numbers("laeq_db")
    rows = timed_rows(times, times[0], [levels])
    events = exceedances([t_s for t_s, _ in rows], [values[0] for _, values in rows], NOISE_EVENT_DB, NOISE_CONFIRM_S,
                         120.0)
    point = RecordedPoint("meter.laeq", "noise", "dB[A]", "site", DeviceClass.AIR, zone_kind="outdoor",
                          tags=("outdoor",))
    return Experiment("laeq1m", [point], rows, events, zero_us=_us(times[0]))


def uci_air_quality(folder: Folder) -> Recording:
    """Roadside sensors beside a reference; −200 means no value. No labelled events."""
    table = folder.table("AirQualityUCI.csv.gz")
    times = [datetime.strptime(f"{day} {hour}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for day, hour in zip(
        table.texts("Date"), table.texts("Time"), strict=True)]
    wanted = {"CO(GT)": ("co_mass", "mg/m3"), "T": ("temperature", "Cel"), "RH": ("humidity", "%")}
    columns = [name for name in table.names if name in wanted]
    points = [RecordedPoint(f"road.{wanted[name][0]}", *wanted[name], "street", DeviceClass.AIR, zone_kind="outdoor",
                            tags=("outdoor",), error_values=(-200.0,), stale_after_s=3 * 3600.0) for name in columns]
    rows = timed_rows(times, times[0], [table.numbers(name) for name in columns])
    return Recording("uci_air_quality", iter([Experiment("road", points, rows, [], zero_us=_us(times[0]))]), AIR,
                     Severity.NOTICE)


def iot_smoke_detection(folder: Folder) -> Recording:
    """Temperature, humidity, eCO2 by the second; labels are by session: for false alarms only."""
    return Recording("iot_smoke_detection", (_iot(folder, name) for name in folder.files("rows_*.csv.gz")),
                     frozenset({Hazard.FIRE}))


def _iot(folder: Folder, name: str) -> Experiment:
    table = folder.table(name)
    columns = ["temperature_c", "eco2_ppm"]
    points = [RecordedPoint("node.temperature", "temperature", "Cel", "room", DeviceClass.CLIMATE),
              RecordedPoint("node.co2", "co2", "[ppm]", "room", DeviceClass.CLIMATE)]
    first = table.numbers("row")[0] or 0.0
    times = [(row or 0.0) - first for row in table.numbers("row")]
    rows: list[Row] = list(zip(times, zip(*(table.numbers(column) for column in columns), strict=True), strict=True))
    return Experiment(name.removesuffix(".csv.gz"), points, rows, [])


def mq_gas_array(folder: Folder) -> Recording:
    """Seven metal-oxide sensors, raw counts (lower: more gas), one label a row; a block of gas is an event."""
    return Recording("mq_gas_array", iter([_mq(folder.table("gas_sensors_measurements.csv.gz"))]),
                     GAS_AND_FIRE, Severity.NOTICE)


GAS_AND_FIRE = frozenset({Hazard.GAS, Hazard.GAS_HIGH, Hazard.FIRE, Hazard.ENVIRONMENT})
MQ_STEP_S = 2.0


def _mq(table: Table) -> Experiment:
    columns = [name for name in table.names if name.startswith("MQ")]
    points = [RecordedPoint(f"{slug(name)}.signal", "detector_signal", "1", "room", DeviceClass.GAS)
              for name in columns]
    values = list(zip(*(table.numbers(name) for name in columns), strict=True))
    rows: list[Row] = [(MQ_STEP_S * number, row) for number, row in enumerate(values)]
    events = [LabelledEvent(f"{label.lower()}", MQ_STEP_S * start, MQ_STEP_S * end, kind=label)
              for label, start, end in _blocks(table.texts("Gas")) if label in ("Smoke", "Mixture")]
    return Experiment("array", points, rows, events)


def _blocks(labels: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    start = 0
    for index in range(1, len(labels) + 1):
        if index == len(labels) or labels[index] != labels[start]:
            yield labels[start], start, index - 1
            start = index


def water_flow_river(folder: Folder) -> Recording:
    """A water main's branch flow. Its donors say: three low segments (losses or maintenance); no label by row, so an
    event is a stretch far below the median of the whole record. (The small peak that they name is within 7 %.)"""
    return Recording("water_flow_river", iter([_main(folder.table("water_flow.csv"))]), frozenset({Hazard.WATER}),
                     Severity.NOTICE, 6 * 3600.0)


# Share of the median flow; at all other times the record lies within 7 % of it.
MAIN_LOW = 0.8


def _main(table: Table) -> Experiment:
    times, flows = table.times("Time"), table.numbers("Water flow [l/s]")
    rows = timed_rows(times, times[0], [flows])
    seconds = [t_s for t_s, _ in rows]
    values = [values[0] for _, values in rows]
    usual = sorted(value for value in values if value is not None)[len(values) // 2]
    lacking = [None if value is None else usual - value for value in values]
    events = [msgspec.structs.replace(event, id=event.id.replace("exceedance", "low")) for event in exceedances(
        seconds, lacking, usual * (1 - MAIN_LOW), 3600.0, 6 * 3600.0)]
    point = RecordedPoint("main.flow", "flow", "L/s", "main", DeviceClass.WATER_METER, tags=("main",),
                          stale_after_s=3 * 3600.0)
    return Experiment("water_flow", [point], rows, events, zero_us=_us(times[0]))


def groundwater_river_level(folder: Folder) -> Recording:
    """Wells and a river; no labels."""
    names = [(name, column) for name, column in (("heby_head.csv.gz", "Head"), ("nb5_head.csv.gz", "Head"),
                                                 ("nb5_riv.csv.gz", "River")) if folder.has(name)]
    return Recording("groundwater_river_level", (
        _series(folder, name, "Date", column, RecordedPoint(
            f"{slug(name.split('.')[0])}.level", "level", "m", "well", DeviceClass.LEVEL, zone_kind="outdoor",
            stale_after_s=90 * 86_400.0)) for name, column in names), frozenset({Hazard.WATER}), Severity.NOTICE)


def _series(folder: Folder, name: str, time: str, column: str, point: RecordedPoint) -> Experiment:
    table = folder.table(name)
    times = table.times(time)
    rows = timed_rows(times, times[0], [table.numbers(column)])
    return Experiment(name.split(".", maxsplit=1)[0], [point], rows, [], zero_us=_us(times[0]))


def _us(time: datetime) -> int:
    return round((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
