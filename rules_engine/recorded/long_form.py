"""A record in long form: anybody's experiments, one row a value.

    readings*.csv|parquet   time or t_s, point, value; optional experiment, unit, quality ("good", "bad")
    (a row's unit goes before its point's: %/m, %/ft, °C, ppm … become ours; true and false are values of switches)
    points.csv              point, quantity; optional unit, zone, zone_kind, height_m, profile, device_class, tags a;b
    events.csv              start (start_s, t_s, onset, time) and end; optional experiment, event, class, zone
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from device_model.alarm import Hazard, Severity
from device_model.errors import ConfigError, Finding
from device_model.profile import DeviceClass, DeviceProfile
from device_model.quantities import QUANTITIES
from rules_engine.recorded.experiment import ZERO_US, Experiment, LabelledEvent, RecordedPoint, Recording
from rules_engine.recorded.fire_sets import slug
from rules_engine.recorded.table import Table
from rules_engine.recorded.units import as_number, into_canonical, near_quantity, quantity_called, units_of

if TYPE_CHECKING:
    from rules_engine.recorded.folder import Folder

START = ("start_s", "start", "t_s", "onset_s", "onset", "time")
END = ("end_s", "end", "until_s", "until", "offset_s", "offset")
HAZARDS_OF_CLASS = {
    "fire": {Hazard.FIRE, Hazard.CALL_POINT}, "smoke": {Hazard.FIRE}, "heat": {Hazard.FIRE},
    "gas": {Hazard.GAS, Hazard.GAS_HIGH}, "co": {Hazard.CO}, "water": {Hazard.WATER, Hazard.FIRE_WATER},
    "charging": {Hazard.CHARGING, Hazard.FIRE}, "fault": {Hazard.FAULT},
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def long_form(folder: Folder, profiles: Mapping[str, DeviceProfile], name: str = "readings") -> Recording:
    """Read a folder. Raises ConfigError with file, line, what and remedy."""
    listed = folder.table("points.csv")
    points: dict[str, RecordedPoint] = {}
    for line, point in enumerate(_points(listed, profiles), start=2):
        if point.id in points:
            what = f"{point.id} stands there twice"
            raise ConfigError([Finding(listed.file, line, 0, what, "name each point once")])
        points[point.id] = point
    units = dict(zip(points, listed.texts("unit") if "unit" in listed else [""] * len(points), strict=False))
    events = folder.table("events.csv") if folder.has("events.csv") else None
    files = [file for file in folder.files("*.csv", "*.csv.gz", "*.parquet")
             if file not in ("points.csv", "events.csv")]
    if not files:
        raise ConfigError([Finding(str(folder.path), 0, 0, "no readings here", "add readings.csv or .parquet")])
    hazards, least = _classes(events)
    # Readings may name a point as points.csv does, or as its id.
    known = {name: point for point in points for name in (point, point.removesuffix(".value"))}
    known |= dict(zip(listed.texts("point"), points, strict=True))
    return Recording(name, _experiments(folder, files, points, units, events, known), hazards, least)


def _points(table: Table, profiles: Mapping[str, DeviceProfile]) -> Iterator[RecordedPoint]:
    optional = {key: table.texts(key) if key in table else [""] * table.rows
                for key in ("unit", "zone", "profile", "device_class", "tags", "zone_kind", "height_m", "height")}
    pairs = zip(table.texts("point"), table.texts("quantity"), strict=True)
    for line, (point, quantity) in enumerate(pairs, start=2):
        row = {key: values[line - 2] for key, values in optional.items()}
        yield _point(table.file, line, point, quantity, row, profiles)


def _point(file: str, line: int, point: str, quantity: str, row: Mapping[str, str],
           profiles: Mapping[str, DeviceProfile]) -> RecordedPoint:
    called, quantity = quantity, quantity_called(quantity) or ""
    if not quantity:
        raise ConfigError([Finding(file, line, 0, f"no quantity {called!r}", near_quantity(called))])
    _converter(file, line, quantity, row["unit"])
    device, _, name = point.partition(".")
    profile = profiles.get(row["profile"])
    text = row["device_class"] or (profile.device_class.value if profile else _class_of(quantity))
    if text not in list(DeviceClass):
        raise ConfigError([Finding(file, line, 0, f"no device class {text!r}", f"one of {', '.join(DeviceClass)}")])
    height = row["height_m"] or row["height"]
    tags = tuple(tag for tag in row["tags"].split(";") if tag)
    return RecordedPoint(f"{slug(device)}.{name or 'value'}" if name else f"{slug(point)}.value", quantity,
                         QUANTITIES[quantity].canonical,
                         slug(row["zone"]) or "zone", DeviceClass(text), row["zone_kind"] or "room",
                         height_m=float(height) if height else None, tags=tags, profile=row["profile"])


def _converter(file: str, line: int, quantity: str, unit: str) -> Callable[[float], float]:
    """What makes a value in that unit a canonical one. Raises ConfigError."""
    made = into_canonical(quantity, unit)
    if made is None:
        raise ConfigError([Finding(file, line, 0, f"{quantity} may not be in {unit!r}",
                                   f"write one of {units_of(quantity)}")])
    return made


def _class_of(quantity: str) -> str:
    """The device that usually brings a quantity, where the points file names neither profile nor class."""
    usual = {"smoke_alarm": "smoke", "obscuration": "smoke", "detector_signal": "smoke", "temperature": "heat",
             "heat_alarm": "heat", "co": "co", "combustible_gas": "gas", "gas_volume_fraction": "gas",
             "methane": "gas",
             "level": "level", "pressure": "pressure", "flow": "water_meter", "leak": "leak", "pm25": "air",
             "pm10": "air", "noise": "air"}
    return usual.get(quantity, "io_module")


def _classes(events: Table | None) -> tuple[frozenset[Hazard], Severity]:
    column = next((name for name in ("class", "hazard") if events is not None and name in events), None)
    if events is None or column is None or not events.rows:
        return frozenset(Hazard) - {Hazard.FAULT, Hazard.PROOF}, Severity.WARNING
    hazards: set[Hazard] = set()
    for line, text in enumerate(events.texts(column), start=2):
        if text.lower() in HAZARDS_OF_CLASS:
            hazards |= HAZARDS_OF_CLASS[text.lower()]
        elif text.lower() in list(Hazard):
            hazards.add(Hazard(text.lower()))
        else:
            raise ConfigError([Finding(events.file, line, 0, f"no class {text!r}",
                                       f"one of {', '.join([*HAZARDS_OF_CLASS, *Hazard])}")])
    return frozenset(hazards), Severity.NOTICE if hazards.isdisjoint({Hazard.FIRE, Hazard.CO}) else Severity.ALARM


def _seconds(table: Table, names: Sequence[str], zero_us: int) -> list[float | None]:
    """A column of seconds, or of instants as seconds since `zero_us`."""
    name = next((name for name in names if name in table), names[0])
    if name.endswith("_s"):
        return table.numbers(name)
    values = table.texts(name)
    try:
        return [float(value) if value else None for value in values]
    except ValueError:
        times = table.times(name)
        return [((time - _EPOCH).total_seconds() * 1e6 - zero_us) / 1e6 for time in times]


def _values(table: Table, points: Mapping[str, RecordedPoint], units: Mapping[str, str],
            alias: Mapping[str, str]) -> list[float | None]:
    """The values in canonical units: by the row's own unit, where it has one, else by the point's."""
    rows_units = table.texts("unit") if "unit" in table else [""] * table.rows
    made: dict[tuple[str, str], Callable[[float], float]] = {}
    out: list[float | None] = []
    cells = zip(table.texts("point"), rows_units, table.column("value"), strict=True)
    for line, (name, row_unit, text) in enumerate(cells, start=2):
        point = alias.get(name) or alias.get(slug(name))
        if point is None:
            raise ConfigError([Finding(table.file, line, 0, f"the point {name!r} is not in points.csv",
                                       "add a line there")])
        try:
            value = as_number(text)
        except ValueError:
            raise ConfigError([Finding(table.file, line, 0, f"{text!r} is no number (value)",
                                       "write a number, true or false, or leave it empty")]) from None
        unit = row_unit or units[point]
        if (point, unit) not in made:
            made[point, unit] = _converter(table.file, line, points[point].quantity, unit)
        out.append(None if value is None else made[point, unit](value))
    return out


def _experiments(folder: Folder, files: Sequence[str], points: Mapping[str, RecordedPoint],
                 units: Mapping[str, str], events: Table | None, known: Mapping[str, str]) -> Iterator[Experiment]:
    for file in files:
        table = folder.table(file)
        zero_us = ZERO_US
        if "t_s" not in table:
            zero_us = round(min((time - _EPOCH).total_seconds() for time in table.times("time")) * 1e6)
        times = _seconds(table, ("t_s", "time"), zero_us)
        names = table.texts("experiment") if "experiment" in table else [file.split(".")[0]] * table.rows
        order = {point: index for index, point in enumerate(points)}
        runs: dict[str, dict[float, list[float | None]]] = {}
        alias = {name: order[point] for name, point in known.items()}
        values = _values(table, points, units, known)
        qualities = table.texts("quality") if "quality" in table else None
        for index, (run, t_s, point) in enumerate(zip(names, times, table.texts("point"), strict=True)):
            at = alias.get(point, alias.get(slug(point)))
            if at is None or t_s is None:
                continue
            row = runs.setdefault(run, {}).setdefault(t_s, [None] * len(order))
            bad = qualities is not None and qualities[index] not in ("", "good", "uncertain")
            row[at] = math.nan if bad else values[index]
        for run, rows in runs.items():
            used = [index for index in range(len(order)) if any(row[index] is not None for row in rows.values())]
            chosen = [list(points.values())[index] for index in used]
            ordered = [(t_s, tuple(row[index] for index in used)) for t_s, row in sorted(rows.items())]
            yield Experiment(run, chosen, ordered, _events(events, run, zero_us), zero_us=zero_us)


def _events(table: Table | None, run: str, zero_us: int) -> list[LabelledEvent]:
    if table is None:
        return []
    starts = _seconds(table, START, zero_us)
    ends = _seconds(table, END, zero_us) if any(name in table for name in END) else [None] * table.rows
    runs = table.texts("experiment") if "experiment" in table else [run] * table.rows
    ids = table.texts("event") if "event" in table else [f"event-{number}" for number in range(1, table.rows + 1)]
    zones = table.texts("zone") if "zone" in table else [""] * table.rows
    return [LabelledEvent(f"{name}@{start:g}", start, math.inf if end is None else end,
                          (slug(zone),) if zone else (), name)
            for its, name, start, end, zone in zip(runs, ids, starts, ends, zones, strict=True)
            if its == run and start is not None]
