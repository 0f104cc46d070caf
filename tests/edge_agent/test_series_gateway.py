"""The real gateway keeps a time series, feeds Debian's InfluxDB through an outage, and answers `tocsin series …`."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device_model.errors import ConfigError
from device_model.library import read_site
from device_model.site import SeriesKind
from tests.cloud_bridge.series_peers import Server
from tests.edge_agent.test_commands import ROOT, eventually, site_file
from tests.edge_agent.test_line_reads import SCENARIO, SITE
from tocsin import app

# A rule that the quiet room, which shows no humidity to speak of, would have raised.
WATCHFUL = """
pack: watchful
version: 1
title: {en: Dry air, zh: 空气干燥}
rules:
  - id: watchful.dry
    version: 1
    title: {en: Dry, zh: 干燥}
    hazard: environment
    severity: alarm
    bind: {quantities: [humidity]}
    when: value < 99 %
    source: "comfort range of rooms, EN 16798-1 annex B [INFER]"
    certainty: A
    response: {en: Water the plants., zh: 浇花。}
"""


def tocsin(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.real
def test_from_a_real_line_to_influx_and_to_files(tmp_path: Path) -> None:
    pty, scenario = tmp_path / "rs485", tmp_path / "scan.yaml"
    scenario.write_text(SCENARIO.replace("PTY", str(pty)).replace("PROFILE", "wb-msw-v3"), encoding="utf-8")
    influx = Server(SeriesKind.INFLUX_1, tmp_path / "influx")
    series = (f"series: {{group_s: 0.2, remotes: [{{id: influx, kind: influxdb1, url: '{influx.url}'}}, "
              "{id: far, kind: influxdb2, url: 'http://127.0.0.1:9', org: o, secret_file: no-such-file}]}")
    text = SITE.replace("PTY", str(pty)).replace("PROFILE", "wb-msw-v3")
    settings = f"journal.sqlite, telemetry_heartbeat_s: 1, {series}}}"
    site = site_file(tmp_path, text.replace("journal.sqlite}", settings))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT,
             "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    simulator = subprocess.Popen([sys.executable, "-m", "tocsin", "sim", "run", str(scenario), "--ports"], **quiet)
    gateway = None
    try:
        eventually(pty.stat)
        gateway = subprocess.Popen([sys.executable, "-m", "edge_agent", str(site)], **quiet)

        def local() -> list:
            said = tocsin("series", "query", "--config", str(site), "--point", "known", "--json")
            assert said.exit_code == 0, said.output
            rows = json.loads(said.stdout)
            assert len({row["point"] for row in rows}) > 3 and len(rows) > 10
            return rows

        before = eventually(local)
        influx.start()  # it was not there until now: the gap is filled

        def remote() -> list:
            rows = json.loads(tocsin(
                "series", "query", "--config", str(site), "--source", "influx", "--point", "known", "--json").stdout)
            sent = {(row["point"], row["time_us"]) for row in rows}
            assert {(row["point"], row["time_us"]) for row in before} <= sent
            return rows

        eventually(remote, 120.0)
        done = tocsin("series", "setup", "influx", "--config", str(site))
        assert done.exit_code == 0 and "continuous query each 15m" in done.stdout, done.output
        assert b"sums_1h" in influx.ask("SHOW RETENTION POLICIES ON tocsin")
        sums = json.loads(tocsin("series", "query", "--config", str(site), "--level", "1min", "--json").stdout)
        assert sums and all(row["good"] + row["bad"] > 0 for row in sums)
        for name in ("all.csv", "all.parquet"):
            written = tocsin("series", "export", "--config", str(site), "--out", str(tmp_path / name), "--json")
            assert json.loads(written.stdout)["rows"] > 10
        rows = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8")))
        assert {"time", "point", "number", "quality"} <= rows[0].keys()
        import pyarrow.parquet as pq

        table = pq.read_table(tmp_path / "all.parquet").to_pylist()
        assert {row["point"] for row in table} == {row["point"] for row in rows}
        for readings in ("local", "influx"):
            replayed = tocsin("rules", "replay", "--readings", readings, "--config", str(site), "--json")
            assert replayed.exit_code == 0, (replayed.output, replayed.exception)
            assert json.loads(replayed.stdout)["summary"]["false_alarms"] == 0, "a quiet room"
        changed = tmp_path / "watchful.yaml"
        changed.write_text(WATCHFUL, encoding="utf-8")
        said = tocsin("rules", "diff", "--rules", str(changed), "--readings", "local", "--config", str(site),
                      "--json")
        assert said.exit_code == 0, said.output
        assert [row["rule"] for row in json.loads(said.stdout)["only_changed"]] == ["watchful.dry"], said.stdout
        (place, far) = json.loads(tocsin("series", "status", "--config", str(site), "--json").stdout)
        assert place["remote"] == "influx" and place["lost"] == 0 and far["waiting"] > 10
        assert "far: " in tocsin("series", "status", "--config", str(site)).stdout
        assert tocsin("series", "refused", "--config", str(site)).stdout.strip() == "nothing was refused"
    finally:
        for process in (gateway, simulator):
            if process is not None:
                process.kill()
                process.wait()
        influx.kill()


@pytest.mark.parametrize(("series", "says"), [
    ("{group_s: 0}", "group_s must be positive"),
    ("{remotes: [{id: a, kind: influxdb1, url: 'ftp://x'}]}", "is no address"),
    ("{remotes: [{id: a, kind: influxdb1, url: 'http://10.0.0.3:8086'}]}", "in the clear"),
    ("{remotes: [{id: a, kind: influxdb2, url: 'https://x:8086'}]}", "organisation"),
    ("{remotes: [{id: a, kind: opentsdb, url: 'https://x'}]}", "opentsdb"),
])
def test_what_is_wrong_in_the_site_file_is_said_with_its_line(tmp_path, series, says):
    text = SITE.replace("PROFILE", "wb-msw-v3").replace("journal.sqlite}", f"journal.sqlite, series: {series}}}")
    with pytest.raises(ConfigError) as error:
        read_site(site_file(tmp_path, text))
    assert says in str(error.value) and "site.yaml:7" in str(error.value)


@pytest.mark.parametrize(("arguments", "says"), [
    (("--level", "2min"), "is no level"),
    (("--from", "yesterday"), "is no time"),
    (("--source", "nowhere"), "no server 'nowhere'"),
    ((), "has the gateway run"),
])
def test_wrong_questions_are_answered_with_what_to_do(tmp_path, arguments, says):
    text = SITE.replace("PROFILE", "wb-msw-v3").replace("journal.sqlite}", "journal.sqlite, series: {}}")
    said = tocsin("series", "query", "--config", str(site_file(tmp_path, text)), *arguments)
    assert said.exit_code != 0 and says in str(said.exception)
