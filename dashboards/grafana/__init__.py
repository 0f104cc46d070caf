"""Grafana dashboards over the time series: pure builders; `push.py` is the one file that speaks to a server."""

from dashboards.grafana.boards import BOARDS, Board
from dashboards.grafana.influx_query import InfluxQuery, Select
from dashboards.grafana.render import DATA_SOURCE_UID, board_file, dashboard_json

__all__ = ["BOARDS", "DATA_SOURCE_UID", "Board", "InfluxQuery", "Select", "board_file", "dashboard_json"]
