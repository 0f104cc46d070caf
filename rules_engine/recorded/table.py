"""Table: columns by name, with errors that say file, line, what and remedy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from device_model.errors import ConfigError, Finding


class Table:
    """Columns by name; each a list of Python values, None where nothing stands. Times are aware datetimes."""

    def __init__(self, file: str, columns: dict[str, list[Any]]) -> None:
        self.file, self._columns = file, columns
        self.rows = len(next(iter(columns.values()), []))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the file's order."""
        return tuple(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def column(self, *names: str) -> list[Any]:
        """The first of these columns that the file has. Raises ConfigError that names what it has."""
        for name in names:
            if name in self._columns:
                return self._columns[name]
        raise ConfigError([Finding(self.file, 1, 0, f"no column {' or '.join(names)}",
                                   f"columns here: {', '.join(self.names[:20])}")])

    def numbers(self, *names: str) -> list[float | None]:
        """The column as numbers; what is none raises ConfigError with its line."""
        out: list[float | None] = []
        for line, value in enumerate(self.column(*names), start=2):
            try:
                out.append(None if value is None or value == "" else float(value))
            except (TypeError, ValueError):
                raise ConfigError([Finding(self.file, line, 0, f"{value!r} is no number ({names[0]})",
                                           "write a number or leave it empty")]) from None
        return out

    def texts(self, *names: str) -> list[str]:
        """The column as texts, "" where nothing stands."""
        return ["" if value is None else str(value) for value in self.column(*names)]

    def times(self, *names: str) -> list[datetime]:
        """The column as instants; one without a zone counts as UTC. Raises ConfigError with its line."""
        out: list[datetime] = []
        for line, value in enumerate(self.column(*names), start=2):
            try:
                time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
            except ValueError:
                raise ConfigError([Finding(self.file, line, 0, f"{value!r} is no time ({names[0]})",
                                           "write 2026-05-28T20:26:40+08:00")]) from None
            out.append(time if time.tzinfo else time.replace(tzinfo=UTC))
        return out
