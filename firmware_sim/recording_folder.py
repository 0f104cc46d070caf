"""Recording folder (I/O): reads one experiment of a published set, only what is asked for, only when it is asked for.

    --recordings DIR, or TOCSIN_RECORDINGS ──► DIR/<set>/<file> ──CSV | Parquet──► recording_sets.recording_of

Parquet needs pyarrow, which is of the extra `series`; it is imported here alone and only for such a file.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from firmware_sim.recording import ROWS_MAX, Recording
from firmware_sim.recording_sets import FOLDERS, SetLayout, layout_of, recording_of, refused

ENVIRONMENT = "TOCSIN_RECORDINGS"


def recordings_folder(named: Path | None = None) -> Path | None:
    """The folder of sets: the one named, else that of the environment, else None."""
    said = os.environ.get(ENVIRONMENT, "")
    return named or (Path(said) if said else None)


def read_set(name: str, folder: Path | None) -> Recording:
    """`set/experiment` out of a folder of sets. Raises ConfigError with what and remedy."""
    set_name, experiment, layout = layout_of(name)
    if folder is None:
        raise refused(name, f"{set_name} is not in this repository",
                      f"say --recordings DIR, or set {ENVIRONMENT} to the folder that holds {set_name}/")
    path = folder / FOLDERS.get(set_name, set_name) / layout.file.replace("{experiment}", experiment)
    if not path.is_file():
        there = sorted(file.name for file in path.parent.glob("*.*")) if path.parent.is_dir() else []
        raise refused(name, f"no file {path}", f"there are: {', '.join(there[:12]) or 'none'}")
    if path.suffix == ".parquet":
        clock, columns = _parquet(path, experiment, layout, name)
    else:
        clock, columns = _csv(path, layout, name)
    return recording_of(name, layout, clock, columns)


def _parquet(
    path: Path, experiment: str, layout: SetLayout, name: str
) -> tuple[list[tuple[object, ...]], Mapping[str, Sequence[object]]]:
    try:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError as error:
        raise refused(name, "Parquet files need pyarrow", "install the extra `series`") from error
    table = pq.read_table(path)
    if layout.key:
        column = table[layout.key].cast("string")
        there = sorted(set(column.to_pylist()))
        if experiment not in there:
            raise refused(name, f"no experiment {experiment!r} in {path.name}", f"there are: {', '.join(there[:12])}")
        table = table.filter(pc.equal(column, experiment))
    clock = list(zip(*(table[part].to_pylist() for part in layout.time), strict=True))
    skip = {*layout.time, layout.key}
    return clock, {column: table[column].to_pylist() for column in table.column_names if column not in skip}


def _csv(
    path: Path, layout: SetLayout, name: str
) -> tuple[list[tuple[object, ...]], Mapping[str, Sequence[object]]]:
    with path.open("rb") as packed:
        octets = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed
        rows = csv.reader(io.TextIOWrapper(octets, "utf-8", newline=""))
        names = next(rows, [])
        kept = [row for _, row in zip(range(ROWS_MAX), rows, strict=False) if len(row) == len(names)]
    missing = [part for part in layout.time if part not in names]
    if missing:
        raise refused(name, f"{path.name} has no column {missing[0]!r}", "is this the file of that set?")
    at = [names.index(part) for part in layout.time]
    clock: list[tuple[object, ...]] = [tuple(row[index] for index in at) for row in kept]
    return clock, {column: [row[index] for row in kept] for index, column in enumerate(names) if index not in at}
