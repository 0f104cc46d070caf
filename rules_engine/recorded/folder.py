"""Folder: the files of a recorded set (I/O): CSV and Parquet as columns, of a folder that a person named.

pyarrow is imported only here and only when a table is asked for: it is of the extra `series`, never of the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from device_model.errors import ConfigError, Finding
from rules_engine.recorded.table import Table

# A recorded set is tens of megabytes; a file beyond this is not one, and would not fit the memory of a small machine.
FILE_MAX_BYTES = 2 * 1024**3


class Folder:
    """The folder of a recorded set."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ConfigError([Finding(str(path), 0, 0, "there is no such folder", "name the folder of the set")])
        self.path = path

    def files(self, *patterns: str) -> list[str]:
        """Names of the files that fit, in order; none is a ConfigError."""
        found = sorted({file.name for pattern in patterns for file in self.path.glob(pattern) if file.is_file()})
        if not found:
            raise ConfigError([Finding(str(self.path), 0, 0, f"no file {' or '.join(patterns)} here",
                                       "is this the folder of that set?")])
        return found

    def has(self, name: str) -> bool:
        """Whether the file is there."""
        return (self.path / name).is_file()

    def table(self, name: str, columns: Sequence[str] | None = None) -> Table:
        """A file as columns (all, or only those named that it has). Raises ConfigError."""
        path = self.path / name
        try:
            if path.stat().st_size > FILE_MAX_BYTES:
                raise OSError("more than 2 GiB")
            return Table(str(path), _read(path, columns))
        except (OSError, ValueError) as error:
            finding = Finding(str(path), 0, 0, f"cannot be read: {error}", "check name and content")
            raise ConfigError([finding]) from error


def _read(path: Path, columns: Sequence[str] | None) -> dict[str, list[Any]]:
    """pyarrow's own errors are ValueErrors and OSErrors."""
    try:
        from pyarrow import csv, parquet, timestamp, types  # an extra, and slow to import
    except ImportError as error:
        raise OSError("reading it needs pyarrow: pip install 'tocsin[series]'") from error
    if path.suffix == ".parquet":
        known = parquet.read_schema(path).names
        wanted = None if columns is None else [name for name in columns if name in known]
        table = parquet.read_table(path, columns=wanted)
    else:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))
        if columns is not None:
            table = table.select([name for name in columns if name in table.column_names])
    out: dict[str, list[Any]] = {}
    for name in table.column_names:
        column = table.column(name)
        if types.is_timestamp(column.type) and column.type.unit == "ns":  # Python's times know microseconds
            column = column.cast(timestamp("us", column.type.tz), safe=False)
        out[name] = column.to_pylist()
    return out
