"""Recorded gas, water, machines and air: the layouts of the other sets (columns and labels as their notes say)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from device_model.alarm import Hazard, Severity
from device_model.profile import DeviceClass
from rules_engine.recorded.experiment import Experiment, LabelledEvent, RecordedPoint, Recording
from rules_engine.recorded.fire_sets import rows_of, slug
from rules_engine.recorded.table import Table

if TYPE_CHECKING:
    from rules_engine.recorded.folder import Folder

Row = tuple[float, tuple[float | None, ...]]
GAS = frozenset({Hazard.GAS, Hazard.GAS_HIGH})
GAS_RECOVERY_S = 900.0


def fsri_liion_runaway(folder: Folder) -> Recording:
    """A heated cell-level test: runaway at the first row that says so; the alarm should come before."""
    table = folder.table("cell_level.parquet")
    cells = [name for name in table.names if re.fullmatch(r"Cell [0-9]+ Temperature \(C\)", name)]
    points = [RecordedPoint(f"bms.{slug(name.split(' Temp')[0])}", "temperature", "Cel", "charging",
                            DeviceClass.BATTERY, zone_kind="charging", most=1200.0) for name in cells]
    columns = list(cells)
    if "THC (ppm)" in table:
        columns.append("THC (ppm)")
        points.append(RecordedPoint("gas.hydrocarbons", "gas_volume_fraction", "[ppm]", "charging", DeviceClass.GAS))
    rows = rows_of(table, "t_s", columns)
    runaway = next((t_s for t_s, on in zip(table.numbers("t_s"), table.column("Thermal Runaway"), strict=True)
                    if on and t_s is not None), rows[-1][0])
    event = LabelledEvent("runaway", 0.0, runaway, kind="heating to runaway")
    return Recording("fsri_liion_runaway", iter([Experiment("cell_level", points, rows, [event])]),
                     frozenset({Hazard.CHARGING, Hazard.ELECTRICAL, Hazard.FIRE}), Severity.WARNING,
                     recovery_s=float("inf"))  # what runs away burns from cell to cell: later alarms are of this fire


def cms_methane(folder: Folder) -> Recording:
    """Point sensors around a plant, columns ch4_ppm_<sensor>, releases in *_leaks.csv (start, end)."""
    return Recording("cms_methane", (_site(folder, name) for name in folder.files("*.parquet")), GAS, Severity.NOTICE,
                     GAS_RECOVERY_S)


def _site(folder: Folder, name: str) -> Experiment:
    table = folder.table(name)
    columns = [column for column in table.names if column.startswith("ch4_ppm_")]
    points = [RecordedPoint(f"ch4-{slug(column.removeprefix('ch4_ppm_'))}.methane", "methane", "[ppm]",
                            "plant", DeviceClass.GAS, zone_kind="outdoor", tags=("outdoor",), least=-50.0,
                            natural_noise=0.05)
              for column in columns]
    times = table.times("time")
    zero = times[0]
    rows = timed_rows(times, zero, [table.numbers(column) for column in columns])
    listed = name.replace(".parquet", "_leaks.csv")
    spans: list[tuple[datetime, datetime]] = []
    if folder.has(listed):  # a site that nobody released at has none
        leaks = folder.table(listed)
        spans = list(zip(leaks.times("start"), leaks.times("end"), strict=True))
    events = [LabelledEvent(f"release-{number}", (start - zero).total_seconds(), (end - zero).total_seconds())
              for number, (start, end) in enumerate(spans, 1)]
    return Experiment(name.removesuffix(".parquet"), points, rows, events, zero_us=_us(zero))


def chilbolton_methane(folder: Folder) -> Recording:
    """Open-path beams over releases; a release is on while the estimated rate is a source's."""
    table = folder.table("beams.parquet")
    return Recording("chilbolton_methane", _releases(table), GAS, Severity.NOTICE, GAS_RECOVERY_S)


RELEASE_KG_H = 0.6  # half of the smallest single source


def _releases(table: Table) -> Iterator[Experiment]:
    by_release: dict[str, list[int]] = {}
    names, beams, times = table.texts("release"), table.column("beam"), table.times("time")
    values, errors = table.numbers("CH4vmr_ppmv"), table.numbers("CH4vmrerror_ppmv")
    rates = table.numbers("release_rate_kg_h_est")
    for index, name in enumerate(names):
        by_release.setdefault(name, []).append(index)
    for name, unordered in by_release.items():
        indexes = sorted(unordered, key=lambda index: times[index])  # the file goes beam by beam
        if all(rates[index] is None for index in indexes):
            continue  # the scale did not run: nobody can say when the gas was on
        found = sorted({int(beams[index]) for index in indexes})
        place = {beam: number for number, beam in enumerate(found)}
        points = [RecordedPoint(f"beam-{beam}.methane", "methane", "[ppm]", "field", DeviceClass.GAS,
                                zone_kind="outdoor", tags=("outdoor",)) for beam in found]
        zero = times[indexes[0]]
        rows: list[Row] = []
        on: list[tuple[float, bool | None]] = []
        for index in indexes:
            t_s = (times[index] - zero).total_seconds()
            row: list[float | None] = [None] * len(found)
            value, error = values[index], errors[index]
            # The instrument says itself how sure it is; a value smaller than its error is no value.
            if value is not None and (error is None or (abs(value) < 1e6 and error < 50)):
                row[place[int(beams[index])]] = value
            rows.append((t_s, tuple(row)))
            rate = rates[index]
            on.append((t_s, None if rate is None else rate >= RELEASE_KG_H))
        yield Experiment(name, points, rows, _intervals(on, "release"), zero_us=_us(zero))


def skab_water_loop(folder: Folder) -> Recording:
    """A water loop; `anomaly` marks the interval. The first 300 s of each run are for learning."""
    table = folder.table("timeseries.parquet")
    return Recording("skab_water_loop", _loops(table),
                     frozenset({Hazard.WATER, Hazard.FAULT, Hazard.ELECTRICAL, Hazard.ENVIRONMENT}), Severity.WARNING)


_SKAB = {
    "Accelerometer1RMS": ("vibration", "[g]"), "Accelerometer2RMS": ("vibration", "[g]"), "Current": ("current", "A"),
    "Pressure": ("pressure", "bar"), "Temperature": ("temperature", "Cel"), "Thermocouple": ("temperature", "Cel"),
    "Voltage": ("voltage", "V"), "Volume Flow RateRMS": ("flow", "L/min"),
}


def _loops(table: Table) -> Iterator[Experiment]:
    columns = [name for name in table.names if name in _SKAB]
    points = [RecordedPoint(f"loop-{slug(name)}.value", *_SKAB[name], "loop", DeviceClass.PUMP, zone_kind="plant",
                            tags=("process",)) for name in columns]
    numbers = [table.numbers(name) for name in columns]
    times, labels = table.times("datetime"), table.numbers("anomaly")
    by_run: dict[str, list[int]] = {}
    for index, name in enumerate(table.texts("experiment")):
        by_run.setdefault(name, []).append(index)
    for name, unordered in by_run.items():
        indexes = sorted(unordered, key=lambda index: times[index])
        zero = times[indexes[0]]
        seconds = [(times[index] - zero).total_seconds() for index in indexes]
        timed = list(zip(seconds, indexes, strict=True))
        rows = [(t_s, tuple(series[index] for series in numbers)) for t_s, index in timed]
        marked = [(t_s, bool(labels[index])) for t_s, index in timed]
        yield Experiment(name, points, rows, _intervals(marked, "anomaly"), zero_us=_us(zero),
                         kind="anomaly-free" if "anomaly-free" in name else name.split("/")[0])


def nab_temperature(folder: Folder) -> Recording:
    """Slow temperature series with labelled windows."""
    windows = folder.table("anomaly_windows.csv")
    return Recording("nab_temperature", (_nab(folder, name, windows) for name in folder.files("*.csv.gz")),
                     # A gap in the record is told as silence, which is no finding about the machine.
                     frozenset({Hazard.ENVIRONMENT, Hazard.ELECTRICAL}), Severity.NOTICE)


def _nab(folder: Folder, name: str, windows: Table) -> Experiment:
    table, series = folder.table(name), name.removesuffix(".csv.gz")
    times = table.times("timestamp")
    zero = times[0]
    unit = "[degF]" if "ambient" in series else "Cel"
    point = RecordedPoint(f"{slug(series)}.temperature", "temperature", unit, "plant", DeviceClass.CLIMATE,
                          zone_kind="plant", tags=("process",))
    rows = timed_rows(times, zero, [table.numbers("value")])
    marked = zip(windows.texts("series"), windows.times("window_start"), windows.times("window_end"), strict=True)
    events = [LabelledEvent(f"window-{number}", (start - zero).total_seconds(), (end - zero).total_seconds())
              for number, (its, start, end) in enumerate(marked, 1) if its == series]
    return Experiment(series, [point], rows, events, zero_us=_us(zero))


def timed_rows(times: Sequence[datetime], zero: datetime, columns: Sequence[Sequence[float | None]]) -> list[Row]:
    """Rows of a table whose times are instants."""
    return sorted((((time - zero).total_seconds(), values) for time, values in zip(times, zip(*columns, strict=True),
                                                                                   strict=True)),
                  key=lambda row: row[0])


def _us(time: datetime) -> int:
    return round((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)


def _intervals(marks: Sequence[tuple[float, Any]], name: str) -> list[LabelledEvent]:
    """Runs of true marks; None leaves things as they were."""
    events: list[LabelledEvent] = []
    start: float | None = None
    last = 0.0
    for t_s, on in marks:
        if on and start is None:
            start = t_s
        elif on is not None and not on and start is not None:
            events.append(LabelledEvent(f"{name}-{len(events) + 1}", start, last, kind=name))
            start = None
        last = t_s
    if start is not None:
        events.append(LabelledEvent(f"{name}-{len(events) + 1}", start, last, kind=name))
    return events
