"""InfluxQL as a typed query of Grafana (pure): what is asked stands in fields, and its text is made in one place.

    Select("temperature", "mean", "value", by=("device",)) ─► SELECT mean("value") FROM "temperature" … ─► InfluxQuery

The foundation SDK has no query for InfluxDB: `InfluxQuery` is ours, in the form that Grafana's InfluxDB data source
keeps (rawQuery). Time, interval and variables are Grafana's macros; a missing value breaks a line, it is never zero.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models.dashboard import DataSourceRef

# Every panel asks for one site: a path has slashes, so it is compared, not matched.
SITE = "\"site\" = '$site'"
Field = Literal["value", "state", "quality"]
Aggregate = Literal["mean", "min", "max", "last", "count", "sum", "spread", "difference_last", "raw"]


class Select(msgspec.Struct, frozen=True):
    """One question. measurements: quantities of docs/series.md; none: all. where: further conditions in InfluxQL.
    by: tags that make series of their own. each: per interval ("$__interval", "1h", "1d"), "" for one value over the
    whole time. table: rows instead of series."""

    measurements: tuple[str, ...]
    aggregate: Aggregate
    field: Field = "value"
    where: tuple[str, ...] = ()
    by: tuple[str, ...] = ("device", "point")
    each: str = "$__interval"
    alias: str = ""
    table: bool = False
    of_district: bool = False

    def text(self) -> str:
        """The InfluxQL."""
        place = '"district" =~ /^$district$/' if self.of_district else SITE
        # count() counts what a sample has; a state is counted where it is true.
        conditions = [place, "$timeFilter", *self.where]
        source = ", ".join(f'"{name}"' for name in self.measurements) or "/.*/"
        groups = [f"time({self.each})"] if self.each else []
        groups += [f'"{tag}"' for tag in self.by]
        grouped = f" GROUP BY {', '.join(groups)}" if groups and self.aggregate != "raw" else ""
        fill = " fill(null)" if self.each and self.aggregate != "raw" else ""
        if self.aggregate == "count" and self.each:
            fill = " fill(0)"  # nothing counted is a true zero
        return f"SELECT {self._what()} FROM {source} WHERE {' AND '.join(conditions)}{grouped}{fill}"  # noqa: S608 - names of our own

    def _what(self) -> str:
        field = f'"{self.field}"'
        if self.aggregate == "difference_last":
            return f"non_negative_difference(last({field}))"
        if self.aggregate == "raw":
            return f'{field}, "device", "point", "zone"'
        return f"{self.aggregate}({field})"


class InfluxQuery(variants.Dataquery):
    """One target of a panel, as Grafana's InfluxDB data source keeps it."""

    def __init__(self, ref_id: str, select: Select, datasource: DataSourceRef) -> None:
        self.ref_id, self.select, self.datasource = ref_id, select, datasource

    def to_json(self) -> dict[str, object]:
        """For the dashboard's JSON."""
        made: dict[str, object] = {
            "refId": self.ref_id, "datasource": self.datasource.to_json(), "query": self.select.text(),
            "rawQuery": True, "resultFormat": "table" if self.select.table else "time_series"}
        if self.select.alias:
            made["alias"] = self.select.alias
        return made


class InfluxTarget(builder.Builder[variants.Dataquery]):
    """What the SDK's panels take."""

    def __init__(self, query: InfluxQuery) -> None:
        self._query = query

    def build(self) -> variants.Dataquery:
        """The query itself."""
        return self._query
