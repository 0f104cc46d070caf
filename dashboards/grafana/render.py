"""A Board as Grafana's JSON (pure), by grafana-foundation-sdk. The same board gives the same bytes, every time."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

from dashboards.grafana.boards import Board, Kind, Panel
from dashboards.grafana.influx_query import InfluxQuery, InfluxTarget
from device_model.site import Text

DATA_SOURCE_UID = "tocsin-series"
DATA_SOURCE = DataSourceRef(type_val="influxdb", uid=DATA_SOURCE_UID)
FOLDER_UID = "tocsin"
_WIDE, _HALF, _HIGH = 24, 12, 8
_DISTRICT = Text("District", "区")
_SITE = Text("Site", "单位")
_OF = Text("Tocsin", "Tocsin 消防物联")


def dashboard_json(board: Board, language: str) -> dict[str, Any]:
    """The whole dashboard, as Grafana's API and its files take it."""
    def say(text: Text) -> str:
        return text.in_language(language)

    made = (
        dashboard.Dashboard(f"{say(_OF)} · {say(board.title)}").uid(uid_of(board, language))
        .tags(["tocsin", language]).refresh("30s").time("now-24h", "now").timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(_variable("district", say(_DISTRICT), 'SHOW TAG VALUES WITH KEY = "district"')
                       .include_all(True).all_value(".*").multi(True))
        .with_variable(_variable(
            "site", say(_SITE), 'SHOW TAG VALUES WITH KEY = "site" WHERE "district" =~ /^$district$/')))
    x = y = 0
    for number, panel in enumerate(board.panels, 1):
        width = _WIDE if panel.wide else _HALF
        if x + width > _WIDE:
            x, y = 0, y + _HIGH
        made.with_panel(_panel(panel, language).id(number).grid_pos(GridPos(_HIGH, width, x, y)))
        x += width
    text = json.dumps(made.build(), cls=JSONEncoder, sort_keys=True)
    whole: dict[str, Any] = json.loads(text)
    return whole


def board_file(board: Board, language: str) -> bytes:
    """The same as a file."""
    return (json.dumps(dashboard_json(board, language), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def uid_of(board: Board, language: str) -> str:
    """Its name in Grafana; pushing again replaces it."""
    return f"tocsin-{board.id}-{language}"


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (dashboard.QueryVariable(name).label(label).query(query).datasource(DATA_SOURCE)
            .refresh(VariableRefresh.ON_DASHBOARD_LOAD))


_PANELS: dict[Kind, Any] = {
    Kind.LINES: timeseries.Panel, Kind.BARS: timeseries.Panel, Kind.STAT: stat.Panel, Kind.TABLE: table.Panel,
    Kind.STATES: statetimeline.Panel}


def _panel(panel: Panel, language: str) -> Any:
    made: Any = _PANELS[panel.kind]()
    made = made.title(panel.title.in_language(language)).datasource(DATA_SOURCE).unit(panel.unit)
    if panel.says.en:
        made = made.description(panel.says.in_language(language))
    if panel.kind is Kind.BARS:
        made = made.draw_style(common.GraphDrawStyle.BARS).fill_opacity(60)
    if panel.kind in (Kind.LINES, Kind.BARS):
        # A gap stays a gap: nobody measured there.
        made = made.span_nulls(False).line_width(1)
    if panel.limits:
        steps = [Threshold(value=None, color="green"), *(Threshold(value=v, color=c) for v, c in panel.limits)]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        made = made.thresholds_style(_line_style())
    for number, select in enumerate(panel.selects):
        made = made.with_target(InfluxTarget(InfluxQuery(chr(ord("A") + number), select, DATA_SOURCE)))
    return made


def _line_style() -> Any:
    from grafana_foundation_sdk.builders.common import GraphThresholdsStyleConfig

    return GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.LINE)
