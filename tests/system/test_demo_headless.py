"""The main job, by its command: three recorded fires from detectors to the board and back to the gateway."""

from __future__ import annotations

import json

import pytest

from tests.system.house import ROOT, processes

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]


def test_demo_headless(tmp_path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "demo", "--for", "40", "--headless", "--json", "--keep", str(tmp_path)],
        capture_output=True, text=True, timeout=160, cwd=ROOT, check=False)
    logs = "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    verdict = json.loads(done.stdout)
    assert {name: verdict[name] for name in ("alarms_lost", "unexplained_gaps", "duplicates", "declared_lost")} == {
        "alarms_lost": 0, "unexplained_gaps": 0, "duplicates": 0, "declared_lost": 0}
    assert (verdict["fires"], verdict["incidents"], verdict["acknowledged_at_gateway"]) == (3, 3, 3), logs
    assert verdict["messages"]["sent"] == verdict["messages"]["received"] > 0
    assert set(verdict["alarm_latency_ms"]) >= {"p50", "p99"}
    assert processes(str(tmp_path)) == [], "the demo left processes behind"
    assert "Traceback" not in logs
