"""Recording sets: the layouts of published experiments, so that `replay:` plays them by name. Pure.

    nist_smoke_alarms/SDC05 ──layout_of──► which file, which rows, which clock ──recording_of──► Recording

A set is a folder of its own; recording_folder.py reads the files. Units are known by a column's name; a column that
no rule knows has unit "1" and its raw numbers. What is missing in the record holds its last value, as a detector that
reads nothing new would; a column without any number is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite

import msgspec

from device_model.errors import ConfigError, Finding
from firmware_sim.recording import ROWS_MAX, Recording


class Column(msgspec.Struct, frozen=True):
    """Columns whose name fits `pattern` are in `unit` after value * factor + offset."""

    pattern: str
    unit: str
    factor: float = 1.0
    offset: float = 0.0


class SetLayout(msgspec.Struct, frozen=True):
    """file: within the set's folder, with {experiment}. key: the column that names the experiment, "" where the file
    is one. time: the columns that make a row's time: one of seconds, or text of a date, or of date and time."""

    file: str
    time: tuple[str, ...]
    columns: tuple[Column, ...]
    key: str = ""
    whole: bool = False  # one experiment only: the name of the set alone is enough


_FSRI = (Column(r"Temperature", "Cel"), Column(r"Oxygen|Carbon Dioxide|Water Vapor", "%"), Column(r"Pressure", "Pa"),
         Column(r"HRR|Heat Release", "kW"), Column(r"Heat Flux", "kW/m2"))
SETS: Mapping[str, SetLayout] = {
    "nist_smoke_alarms": SetLayout("{experiment}.parquet", ("t_s",), (
        Column(r"TC", "Cel"), Column(r"SM", "1/m"), Column(r"GAS._1$", "[ppm]", 1e4), Column(r"GAS._[35]$", "%"))),
    "fsri_compartments": SetLayout("timeseries.parquet", ("t_s",), _FSRI, "experiment"),
    "fsri_hvac_gasburner": SetLayout("timeseries.parquet", ("t_s",), _FSRI, "experiment"),
    "fsri_single_story": SetLayout("single_story.parquet", ("t_s",), _FSRI, "experiment"),
    "fsri_two_story": SetLayout("two_story.parquet", ("t_s",), _FSRI, "experiment"),
    "fsri_liion_runaway": SetLayout("cell_level.parquet", ("t_s",), (
        Column(r"Temperature \(C\)", "Cel"), Column(r"\(ppm\)", "[ppm]"), Column(r"Flow \(L/min\)", "L/min"),
        Column(r"Heat Release", "kW")), whole=True),
    "skab_water_loop": SetLayout("timeseries.parquet", ("datetime",), (
        Column(r"Temperature|Thermocouple", "Cel"), Column(r"Pressure", "bar"), Column(r"Current", "A"),
        Column(r"Voltage", "V"), Column(r"Volume Flow", "L/min")), "experiment"),
    "cms_methane": SetLayout("metec_aded2022.parquet", ("time",), (
        Column(r"ch4_ppm", "[ppm]"), Column(r"wind_speed", "m/s"), Column(r"wind_dir", "deg", 57.29577951308232)),
        whole=True),
    "beijing_pm25": SetLayout("{experiment}.parquet", ("year", "month", "day", "hour"), (
        Column(r"PM2.5|PM10|SO2|NO2|CO|O3", "ug/m3"), Column(r"TEMP|DEWP", "Cel"), Column(r"PRES", "hPa"),
        Column(r"RAIN", "mm"), Column(r"WSPM", "m/s"))),
    "noise_laeq": SetLayout("{experiment}.csv.gz", ("datetime",), (
        Column(r"laeq_db", "dB[A]"), Column(r"\d+", "dB"))),
    "water_flow_river": SetLayout("water_flow.csv", ("Time",), (Column(r"Water flow", "L/s"),), whole=True),
    "nab_ambient": SetLayout("ambient_temperature_system_failure.csv.gz", ("timestamp",), (
        Column(r"value", "[degF]"),), whole=True),
    "nab_machine": SetLayout("machine_temperature_system_failure.csv.gz", ("timestamp",), (), whole=True),
    "groundwater_river_level": SetLayout("{experiment}.csv.gz", ("Date",), (Column(r"Head|River", "m"),)),
    "uci_air_quality": SetLayout("AirQualityUCI.csv.gz", ("Date", "Time"), (
        Column(r"T$", "Cel"), Column(r"RH$", "%"), Column(r"CO\(GT\)", "mg/m3"), Column(r"NO2\(GT\)", "ug/m3")),
        whole=True),
    "iot_smoke_detection": SetLayout("all_channels_first_10081_rows.csv.gz", ("UTC",), (
        Column(r"Temperature", "Cel"), Column(r"Humidity", "%"), Column(r"TVOC", "[ppb]"), Column(r"eCO2", "[ppm]"),
        Column(r"Pressure", "hPa"), Column(r"PM", "ug/m3")), whole=True),
}
# Sets that share a folder.
FOLDERS: Mapping[str, str] = {
    "nab_ambient": "nab_temperature", "nab_machine": "nab_temperature",
    "fsri_single_story": "fsri_residential_gasburner", "fsri_two_story": "fsri_residential_gasburner",
}


def layout_of(name: str) -> tuple[str, str, SetLayout]:
    """(set, experiment, layout) of `set/experiment`, or of a set alone where it is one. Raises ConfigError."""
    set_name, _, experiment = name.partition("/")
    layout = SETS.get(set_name)
    if layout is None:
        raise refused(name, f"no recording and no set {set_name!r}", f"sets: {', '.join(SETS)}")
    if not experiment and not layout.whole:
        raise refused(name, f"{set_name} holds many experiments", f"write {set_name}/<experiment>")
    if not re.fullmatch(r"[A-Za-z0-9_.\- /()]*", experiment) or ".." in experiment:
        raise refused(name, f"{experiment!r} is no experiment", "use its name as the set spells it")
    return set_name, experiment, layout


def seconds_of(parts: Sequence[object]) -> float | None:
    """One row's time in seconds from whatever its clock columns hold; None where they hold no time."""
    first = parts[0]
    if isinstance(first, datetime):
        return _utc(first)
    try:
        if len(parts) == 4:
            year, month, day, hour = (int(str(part)) for part in parts)
            return datetime(year, month, day, hour, tzinfo=UTC).timestamp()
        if isinstance(first, int | float):
            return float(first)
        text = " ".join(str(part) for part in parts)
        return float(text) if re.fullmatch(r"-?[0-9.]+", text) else _date(text)
    except (TypeError, ValueError):
        return None


def _date(text: str) -> float:
    try:
        return _utc(datetime.fromisoformat(text))
    except ValueError:
        return datetime.strptime(f"{text} +0000", "%m/%d/%Y %H:%M %z").timestamp()


def _utc(at: datetime) -> float:
    """Only differences count: a time without a zone is read as UTC, on every machine."""
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def recording_of(
    name: str, layout: SetLayout, clock: Sequence[Sequence[object]], columns: Mapping[str, Sequence[object]]
) -> Recording:
    """Rows as a Recording from 0 s on; rows whose time is missing or does not rise are left out.

    Raises ConfigError where nothing is left.
    """
    times: list[float] = []
    kept: list[int] = []
    for index, parts in enumerate(clock):
        at_s = seconds_of(parts)
        if at_s is not None and isfinite(at_s) and (not times or at_s > times[-1]):
            times.append(at_s)
            kept.append(index)
    if not 1 <= len(times) <= ROWS_MAX:
        raise refused(name, f"{len(times)} rows with a time", f"it takes 1 to {ROWS_MAX}")
    out: dict[str, tuple[float, ...]] = {}
    units: dict[str, str] = {}
    for column, values in columns.items():
        rule = next((rule for rule in layout.columns if re.match(rule.pattern, column)), None) or next(
            (rule for rule in layout.columns if re.search(rule.pattern, column)), Column("", "1"))
        numbers = _numbers([values[index] for index in kept])
        if numbers is not None:
            out[column] = tuple(number * rule.factor + rule.offset for number in numbers)
            units[column] = rule.unit
    if not out:
        raise refused(name, "no column of numbers", "is this the file of that set?")
    return Recording(name, tuple(at_s - times[0] for at_s in times), out, units)


def _numbers(values: Sequence[object]) -> list[float] | None:
    """Numbers, the last one held where one is missing; None where none is there."""
    found: list[float | None] = []
    for value in values:
        try:
            number = float(value) if isinstance(value, int | float | str) else None
        except ValueError:
            number = None
        found.append(number if number is not None and isfinite(number) else None)
    held = next((number for number in found if number is not None), None)
    if held is None:
        return None
    out = []
    for number in found:
        held = held if number is None else number
        out.append(held)
    return out


def refused(name: str, what: str, remedy: str) -> ConfigError:
    """A finding about a recording by name."""
    return ConfigError([Finding(name, 0, 0, what, remedy)])
