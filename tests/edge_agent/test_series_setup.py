"""`tocsin series setup`: on Debian's own InfluxDB 1.6.7, twice, with samples there; what is asked of an InfluxDB 2.

No InfluxDB 2 or 3 server can be had for these tests: its set-up is held against a fake that answers as its published
API says (InfluxDB OSS 2.7 API reference: /api/v2/orgs, /buckets, /tasks), no more.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from cloud_bridge.influx import InfluxSeries
from device_model.errors import LocalFault
from device_model.library import read_site
from device_model.series import Sample, SeriesQuery
from device_model.site import SeriesKind, SeriesSettings
from edge_agent.series_commands import set_up_remote
from tests.cloud_bridge.series_peers import Server
from tests.edge_agent.test_commands import ROOT, site_file
from tests.edge_agent.test_line_reads import SITE

T0 = 1_790_000_000_000_000


def site_with(tmp_path: Path, series: str) -> Path:
    text = SITE.replace("PROFILE", "wb-msw-v3").replace("journal.sqlite}", f"journal.sqlite, series: {series}}}")
    return site_file(tmp_path, text)


def policies(server: Server) -> dict[str, tuple[str, bool]]:
    (series,) = json.loads(server.ask("SHOW RETENTION POLICIES ON tocsin"))["results"][0]["series"]
    return {row[0]: (row[1], row[4]) for row in series["values"]}


@pytest.mark.real
async def test_what_was_there_before_the_set_up_stays_in_sight_and_days_may_change(tmp_path: Path) -> None:
    influx = Server(SeriesKind.INFLUX_1, tmp_path / "influx")
    influx.start()
    try:
        store = InfluxSeries(influx.remote)
        one = Sample("h/y/c/r", "gw-1", "z1", "a.t", "temperature", "Cel", T0, 20.5, received_us=T0)
        await store.write([one])
        remote = f"{{id: influx, kind: influxdb1, url: '{influx.url}'}}"
        for raw_days, shown in ((36_500, "876000h0m0s"), (36_400, "873600h0m0s")):
            site = site_with(tmp_path, f"{{raw_days: {raw_days}, remotes: [{remote}]}}")
            done = await in_thread(site)
            assert f"retention policy autogen: {raw_days} days, raw samples" in done
            assert policies(influx)["autogen"] == (shown, True)
        assert await store.read(SeriesQuery(T0, T0 + 1)) == (one,)
        assert policies(influx).keys() == {"autogen", "sums_1min", "sums_15min", "sums_1h"}
        queries = influx.ask("SHOW CONTINUOUS QUERIES").decode()
        assert queries.count("RESAMPLE EVERY") == 3 and "RESAMPLE EVERY 5m FOR 2h" in queries
        short = site_with(tmp_path, f"{{raw_days: 0.5, remotes: [{remote}]}}")
        await in_thread(short)
        assert policies(influx)["autogen"][0] == "12h0m0s", "a policy may be shorter than a usual shard"
        broken = site_with(tmp_path, f"{{remotes: [{remote[:-1]}, retention_policy: 'no;pe'}}]}}")
        assert "retention policy no;pe: 14 days, raw samples" in await in_thread(broken), "names are quoted"
        await store.close()
    finally:
        influx.kill()


@pytest.mark.real
async def test_what_a_server_does_not_do_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    influx = Server(SeriesKind.INFLUX_1, tmp_path / "influx")
    influx.start()
    try:
        site = site_with(tmp_path, f"{{remotes: [{{id: influx, kind: influxdb1, url: '{influx.url}'}}]}}")
        monkeypatch.setattr("edge_agent.series_commands._policy", lambda *_: "CREATE RETENTION POLICY x ON nowhere "
                                                                             "DURATION 1h REPLICATION 1")
        with pytest.raises(LocalFault, match="database not found: nowhere; asked: CREATE RETENTION"):
            await in_thread(site)
    finally:
        influx.kill()


async def in_thread(site: Path) -> list[str]:
    return await asyncio.to_thread(set_up_remote, site, "influx")


def test_the_example_is_right() -> None:
    series = read_site(ROOT / "examples" / "site" / "series.yaml").gateway.series
    assert series is not None and {remote.kind for remote in series.remotes} == set(SeriesKind)
    defaults = msgspec.structs.replace(SeriesSettings(), path=series.path, remotes=series.remotes)
    assert series == defaults, "it shows the defaults"


class Contract(BaseHTTPRequestHandler):
    """The part of InfluxDB 2's API that a set-up asks for; unknown paths are 404, a wrong token is 401."""

    def do_GET(self) -> None:
        path, held = urlsplit(self.path), self.server.held  # type: ignore[attr-defined]
        asked = parse_qs(path.query)
        if path.path == "/api/v2/orgs":
            return self._answer(200, {"orgs": [{"id": "0e1", "name": asked["org"][0]}]})
        if path.path == "/api/v2/buckets":
            return self._answer(200, {"buckets": [b for b in held["buckets"] if b["name"] == asked["name"][0]]})
        if path.path == "/api/v2/tasks":
            return self._answer(200, {"tasks": held["tasks"]})
        return self._answer(404, {"code": "not found", "message": path.path})

    def do_POST(self) -> None:
        held = self.server.held  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        kind = self.path.rpartition("/")[2]
        if kind not in held:
            return self._answer(404, {"code": "not found", "message": self.path})
        name = body.get("name") or re.search(r'name: "(.*?)"', body["flux"])[1]  # of `option task`
        made = {"id": f"{len(held[kind]):016x}", "name": name, **body}
        held[kind].append(made)
        return self._answer(201, made)

    def _answer(self, status: int, body: object) -> None:
        if self.headers["authorization"] != "Token of-the-test":
            status, body = 401, {"code": "unauthorized", "message": "unauthorized access"}
        told = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def influx_2() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Contract)
    server.held = {"buckets": [], "tasks": []}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.real
def test_buckets_and_tasks_of_influxdb_2_are_asked_for_once(tmp_path: Path, influx_2: ThreadingHTTPServer) -> None:
    (tmp_path / "token").write_text("of-the-test\n", encoding="utf-8")
    site = site_with(tmp_path, f"{{remotes: [{{id: influx, kind: influxdb2, org: estate, secret_file: "
                               f"'{tmp_path / 'token'}', url: 'http://127.0.0.1:{influx_2.server_port}'}}]}}")
    first = set_up_remote(site, "influx")
    held = influx_2.held  # type: ignore[attr-defined]
    days = {bucket["name"]: bucket["retentionRules"][0]["everySeconds"] / 86400 for bucket in held["buckets"]}
    assert days == {"tocsin": 14, "tocsin_1min": 90, "tocsin_15min": 730, "tocsin_1h": 3650}
    assert all(bucket["orgID"] == "0e1" or bucket.get("org") for bucket in held["buckets"])
    assert len(held["tasks"]) == 3 and len(first) == 7
    for task, every in zip(held["tasks"], ("1m", "15m", "1h"), strict=True):
        assert f"every: {every}" in task["flux"] and 'r._field == "value"' in task["flux"]
    assert set_up_remote(site, "influx") == ["everything is there already"]
