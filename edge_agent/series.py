"""The gateway's own time series (I/O): `cloud_bridge/sqlite_series.py` under the name by which it is known here.

    from edge_agent.series import SqliteSeries
"""

from __future__ import annotations

from cloud_bridge.sqlite_series import REFUSED_MAX, TRIM_ROWS, SqliteSeries

__all__ = ["REFUSED_MAX", "TRIM_ROWS", "SqliteSeries"]
