"""Recorded fires: the layouts of the NIST home smoke alarm tests and of the UL FSRI house and compartment fires.

An event is one experiment, from ignition to the end of the record. Thermocouples count as heat detectors where a
detector would hang: within 0.1 m of the ceiling, or at the highest place measured. No adapter looks at activation
times or at anything after the moment that is replayed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from device_model.alarm import Hazard
from device_model.profile import DeviceClass
from rules_engine.recorded.experiment import Experiment, LabelledEvent, RecordedPoint, Recording
from rules_engine.recorded.table import Table

if TYPE_CHECKING:
    from rules_engine.recorded.folder import Folder

FIRE = frozenset({Hazard.FIRE})
# A thermocouple of type K; a broken wire reads more.
COUPLE_LEAST_C, COUPLE_MOST_C = -40.0, 1200.0
COUPLE_NOISE_K = 0.3  # as measured on the background of these sets
# NIST tests have no background: the first ten seconds teach, and no real alarm came before 22 s.
NIST_LEARNING_S = 15.0


def nist_smoke_alarms(folder: Folder, *, analogue: bool = True) -> Recording:
    """SDCxx.parquet: smoke (SMx_n), temperature (TCx_n), CO (GASx_1), raw detector outputs unless told not to."""
    runs = (_nist(folder, name, analogue) for name in folder.files("SDC*.parquet"))
    return Recording("nist_smoke_alarms", runs, FIRE)


def _nist(folder: Folder, name: str, analogue: bool) -> Experiment:
    return nist_experiment(folder.table(name), name.removesuffix(".parquet"), analogue=analogue)


def nist_experiment(table: Table, name: str, *, analogue: bool = True) -> Experiment:
    """One NIST fire out of its columns, as they are named in the set and in excerpts of it."""
    columns, points = [], []
    for column in table.names:
        point = _nist_point(column, analogue)
        if point is not None:
            columns.append(column)
            points.append(point)
    rows = rows_of(table, "t_s", columns)
    return Experiment(name, points, rows, [LabelledEvent("fire", 0.0, kind="flaming")],
                      learning_until_s=NIST_LEARNING_S)


def _nist_point(column: str, analogue: bool) -> RecordedPoint | None:
    """TCA_1 the uppermost thermocouple of tree A, SMA_1 smoke there, GASA_1 its CO, Ion1A an ionization detector."""
    if found := re.fullmatch(r"TC([A-F])_1", column):
        return RecordedPoint(f"heat-{found[1].lower()}.temperature", "temperature", "Cel", found[1].lower(),
                             DeviceClass.HEAT, least=COUPLE_LEAST_C, most=COUPLE_MOST_C,
                             natural_noise=COUPLE_NOISE_K)
    if found := re.fullmatch(r"SM([A-F])_1", column):
        return RecordedPoint(f"smoke-{found[1].lower()}.obscuration", "obscuration", "1/m", found[1].lower(),
                             DeviceClass.SMOKE, least=-0.5)
    if found := re.fullmatch(r"GAS([A-F])_1", column):
        return RecordedPoint(f"co-{found[1].lower()}.co", "co", "%", found[1].lower(), DeviceClass.CO)
    if analogue and (found := re.fullmatch(r"(Ion|Pho)([0-9])([A-F])E?", column)):
        name = f"{found[1].lower()}{found[2]}-{found[3].lower()}"
        return RecordedPoint(f"{name}.signal", "detector_signal", "1", found[3].lower(), DeviceClass.SMOKE)
    return None


def fsri_compartments(folder: Folder) -> Recording:
    """timeseries.parquet with `experiment`, `t_s`; kind is the fuel (chair, sofa, burners)."""
    return Recording("fsri_compartments", _fsri(folder, "timeseries.parquet"), FIRE)


def fsri_hvac_gasburner(folder: Folder) -> Recording:
    """One house with ducts, experiments by number."""
    return Recording("fsri_hvac_gasburner", _fsri(folder, "timeseries.parquet"), FIRE)


def fsri_residential_gasburner(folder: Folder) -> Recording:
    """A one-storey and a two-storey house; some thermocouples are broken."""
    return Recording("fsri_residential_gasburner", _fsri(folder, "single_story.parquet", "two_story.parquet"), FIRE)


def _fsri(folder: Folder, *names: str) -> Iterator[Experiment]:
    for name in names:
        if not folder.has(name) and len(names) > 1:
            continue
        table = folder.table(name)
        columns, points = _fsri_points(table)
        for experiment, rows in runs_of(table, "t_s", columns):
            yield Experiment(experiment, points, rows, [LabelledEvent("fire", 0.0, kind=_fuel(experiment))],
                             kind=_fuel(experiment))


def _fuel(experiment: str) -> str:
    head = experiment.split("_", maxsplit=1)[0]
    if re.fullmatch(r"[0-9]+kW.*", head):
        return "burner"
    return "burner" if head.isdigit() or head == "Gas" else head


_BELOW = re.compile(r"(?P<place>.+?) +Temperature (?P<depth>[0-9.]+) ?(?P<unit>mm|m) Below Ceiling")
_ABOVE = re.compile(r"(?P<place>.+?) +Temperature (?P<height>[0-9.]+) m Ab(l?)ove Floor")
CEILING_M = 0.1


def _fsri_points(table: Table) -> tuple[list[str], list[RecordedPoint]]:
    """The uppermost thermocouple of each place."""
    columns: dict[str, tuple[float, str]] = {}
    for column in table.names:
        if found := _BELOW.fullmatch(column):
            depth_m = float(found["depth"]) * (0.001 if found["unit"] == "mm" else 1)
            if depth_m > CEILING_M:
                continue
            height = -depth_m
        elif found := _ABOVE.fullmatch(column):
            height = float(found["height"])
        else:
            continue
        place = found["place"].strip()
        if place not in columns or height > columns[place][0]:
            columns[place] = (height, column)
    points = [RecordedPoint(f"heat-{slug(place)}.temperature", "temperature", "Cel", _zone(place), DeviceClass.HEAT,
                            least=COUPLE_LEAST_C, most=COUPLE_MOST_C,
                             natural_noise=COUPLE_NOISE_K) for place in columns]
    return [column for _, column in columns.values()], points


def _zone(place: str) -> str:
    """Quadrants are corners of one room."""
    return slug(re.sub(r"\b(Quadrant [A-D]|[A-D] Quadrant|Center)\b", "", place)) or "room"


def slug(text: str) -> str:
    """A name as an id: lower case, digits, hyphens. Other scripts by their code points: two names stay two."""
    text = re.sub(r"[^\x00-\x7f]", lambda sign: f"u{ord(sign[0]):x}", text)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def rows_of(table: Table, time: str, columns: Sequence[str]) -> list[tuple[float, tuple[float | None, ...]]]:
    """All rows of a table in order of time."""
    values = zip(*(table.numbers(column) for column in columns), strict=True)
    return sorted(((t_s, row) for t_s, row in zip(table.numbers(time), values, strict=True) if t_s is not None),
                  key=lambda row: row[0])


def runs_of(table: Table, time: str, columns: Sequence[str]
            ) -> Iterator[tuple[str, list[tuple[float, tuple[float | None, ...]]]]]:
    """The rows of each experiment of a table, experiments in the file's order."""
    runs: dict[str, list[tuple[float, tuple[float | None, ...]]]] = {}
    values = zip(*(table.numbers(column) for column in columns), strict=True)
    for experiment, t_s, row in zip(table.texts("experiment"), table.numbers(time), values, strict=True):
        if t_s is not None:
            runs.setdefault(experiment, []).append((t_s, row))
    for experiment, rows in runs.items():
        yield experiment, sorted(rows, key=lambda row: row[0])
