"""What a script reads of a benchmark."""

from __future__ import annotations

import json

from bench.report import as_json_text, figure, report


def test_figures_stand_by_name_and_with_unit_and_budget() -> None:
    measured = report("rtu", {"bus_use": figure(0.97, "share", at_least=0.95)}, {"baud": 9600.0})
    told = json.loads(as_json_text(measured))
    assert told["bus_use"] == told["figures"]["bus_use"]["value"] == 0.97
    assert told["figures"]["bus_use"]["budget"] == 0.95 and told["ok"] is True and told["bench"] == "rtu"
