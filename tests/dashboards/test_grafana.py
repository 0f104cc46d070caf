"""Grafana: every question of every panel answered by a real InfluxDB; pushed to a server of Grafana's API form."""

from __future__ import annotations

import asyncio
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloud_bridge.influx import InfluxSeries
from dashboards.grafana import BOARDS, DATA_SOURCE_UID, Select, board_file, dashboard_json
from dashboards.grafana.push import build, data_source, push
from device_model.errors import LocalFault, PeerRefused, PeerSilent
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reason
from device_model.series import Sample
from tests.cloud_bridge.series_peers import Server, missing

SITE = "hangzhou/yuhang/cangqian/riverside"
T0 = 1_790_000_000_000_000
DAYS = 3
SELECTS = [(board.id, panel.title.en, select) for board in BOARDS for panel in board.panels
           for select in panel.selects]


def asked(text: str) -> str:
    """What Grafana puts in for its macros, for one site and the whole time."""
    end_us = T0 + DAYS * 86_400_000_000
    return (text.replace("$timeFilter", f"time >= {T0}u and time < {end_us}u").replace("$__interval", "10m")
            .replace("$site", SITE).replace("$district", "(.*)"))


def samples() -> list[Sample]:
    """Three days of every measurement that a panel names; each third hour without a value."""
    made = []
    names = sorted({name for _, _, select in SELECTS for name in select.measurements})
    for number, name in enumerate(names):
        boolean = name == "rule_alarm" or QUANTITIES[name].boolean
        unit = "1" if boolean else QUANTITIES[name].canonical
        for hour in range(0, DAYS * 24, 2):
            value: Any = bool(hour // 2 % 2) if boolean else float(10 + hour)
            bad = hour % 6 == 0
            made.append(Sample(SITE, "gw-1", f"b1-{number % 3}", f"dev-{number}.p", name, unit,
                               T0 + hour * 3_600_000_000 + number, None if bad else value,
                               Quality.BAD if bad else Quality.GOOD, Reason.SILENT if bad else Reason.NONE,
                               sequence=hour + 1))
    return made


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if missing():
        pytest.skip(missing())
    from device_model.site import SeriesKind

    served = Server(SeriesKind.INFLUX_1, tmp_path_factory.mktemp("influx"))
    served.start()

    async def write() -> None:
        store = InfluxSeries(served.remote, tenancy=True)
        assert await store.write(samples()) == ()
        await store.close()

    asyncio.run(write())
    yield served
    served.kill()


@pytest.mark.real
def test_every_question_of_every_panel_is_answered_with_rows(influx: Server) -> None:
    empty = []
    for board, panel, select in SELECTS:
        answer = json.loads(influx.ask(asked(select.text())))["results"][0]
        assert "error" not in answer, (board, panel, select.text(), answer)
        values = [row for series in answer.get("series", ()) for row in series["values"]]
        # The first column is the time; one value at least is no null.
        if not any(cell is not None for row in values for cell in row[1:]):
            empty.append((board, panel, select.text()))
    assert not empty and len(SELECTS) > 50


@pytest.mark.real
def test_a_gap_is_a_gap_and_a_state_counts_where_it_is_true(influx: Server) -> None:
    def rows(select: Select) -> list[list[Any]]:
        answer = json.loads(influx.ask(asked(select.text())))["results"][0]
        return [row for series in answer["series"] for row in series["values"]]

    lines = [row[1] for row in rows(Select(("temperature",), "mean", each="1h"))]
    assert None in lines and 0 not in lines
    (count,) = rows(Select(("smoke_alarm",), "count", "state", ('"state" = true',), (), ""))
    truly = [one for one in samples() if one.quantity == "smoke_alarm" and one.value is True]
    assert count[1] == len(truly) > 0
    days = [row[1] for row in rows(Select(("energy",), "difference_last", each="1d", by=("device",)))]
    assert any(day is not None and day > 0 for day in days)


@pytest.mark.real
def test_the_variables_find_districts_and_sites(influx: Server) -> None:
    for board in BOARDS:
        for variable in dashboard_json(board, "en")["templating"]["list"]:
            answer = json.loads(influx.ask(asked(variable["query"])))["results"][0]
            values = {row[1] for series in answer["series"] for row in series["values"]}
            assert values == ({"yuhang"} if variable["name"] == "district" else {SITE})


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("board", BOARDS, ids=[board.id for board in BOARDS])
def test_the_json_is_whole_deterministic_and_in_its_language(board: Any, language: str) -> None:
    made = dashboard_json(board, language)
    assert board_file(board, language) == board_file(board, language)
    assert made["uid"] == f"tocsin-{board.id}-{language}" and len(made["panels"]) == len(board.panels)
    assert len({panel["id"] for panel in made["panels"]}) == len(board.panels)
    words = [made["title"], *(panel["title"] for panel in made["panels"])]
    words += [panel["description"] for panel in made["panels"] if "description" in panel]
    chinese = [word for word in words if re.search(r"[\u4e00-\u9fff]", word)]
    assert (not chinese) if language == "en" else len(chinese) == len(words), set(words) - set(chinese)
    covered = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & covered
        covered |= cells
        assert all(target["datasource"]["uid"] == DATA_SOURCE_UID and target["rawQuery"]
                   for target in panel["targets"])


def test_panels_ask_for_quantities_that_exist_in_their_own_kind_of_field() -> None:
    for board, panel, select in SELECTS:
        for name in select.measurements:
            if name == "rule_alarm":
                continue
            assert name in QUANTITIES, (board, panel, name)
            if select.field != "quality":
                assert (select.field == "state") == QUANTITIES[name].boolean, (board, panel, name)


def test_the_files_are_written_and_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    import tocsin

    report = build(tmp_path / "out")
    assert len(report.files) == 2 * len(BOARDS) and "dashboards" in report.text()
    assert json.loads((tmp_path / "out" / "zh" / "fire.json").read_text(encoding="utf-8"))["title"].endswith("火灾")
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalFault, match="file"):
        build(tmp_path / "file")
    done = CliRunner().invoke(tocsin.app, ["grafana", "build", "--out", str(tmp_path / "more"), "--language", "en",
                                           "--json"])
    assert done.exit_code == 0 and len(json.loads(done.output)["files"]) == len(BOARDS)


class Grafana:
    """As much of Grafana's HTTP API (v9 to v11) as a push needs, as strict as its reference is."""

    TOKEN = "glsa_0123456789abcdef"

    def __init__(self) -> None:
        self.sources: dict[str, Any] = {}
        self.folders: dict[str, Any] = {}
        self.boards: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.down = False
        grafana = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("authorization") != f"Bearer {grafana.TOKEN}":
                    self._answer(401, {"message": "invalid API key"})
                elif grafana.down:
                    self._answer(503, {"message": "down"})
                else:
                    self._answer(*grafana.answer(self.command, self.path, json.loads(body) if body else None))

            do_GET = do_POST = do_PUT = _do

            def _answer(self, status: int, value: Any) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path.startswith("/api/datasources/uid/"):
            name = path.rpartition("/")[2]
            if name not in self.sources:
                return 404, {"message": "data source not found"}
            if method == "PUT":
                self.sources[name] = {**body, "version": self.sources[name]["version"] + 1}
            return 200, self.sources[name]
        if (method, path) == ("POST", "/api/datasources"):
            if {"name", "type", "access", "url"} - body.keys() or body["uid"] in self.sources:
                return 400, {"message": "bad data source"}
            self.sources[body["uid"]] = {**body, "version": 1}
            return 200, {"datasource": body, "id": 1, "message": "Datasource added"}
        if path.startswith("/api/folders/"):
            name = path.rpartition("/")[2]
            return (200, self.folders[name]) if name in self.folders else (404, {"message": "folder not found"})
        if (method, path) == ("POST", "/api/folders"):
            if body["uid"] in self.folders:
                return 412, {"message": "the folder has been changed by someone else"}
            self.folders[body["uid"]] = body
            return 200, body
        if (method, path) == ("POST", "/api/dashboards/db"):
            board = body["dashboard"]
            known = self.boards.get(board["uid"])
            if known is not None and not body.get("overwrite"):
                return 412, {"status": "name-exists", "message": "exists"}
            if body["folderUid"] not in self.folders or board.get("id") is not None or not board["title"]:
                return 400, {"message": "bad dashboard"}
            version = (known or {"version": 0})["version"] + 1
            self.boards[board["uid"]] = {"version": version, "board": board}
            return 200, {"status": "success", "uid": board["uid"], "version": version, "slug": "x", "id": 1}
        self.wrong.append(f"{method} {path}")
        return 404, {"message": "Not found"}


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    served = Grafana()
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.mark.real
def test_pushing_makes_what_is_missing_and_again_replaces_it(
    grafana: Grafana, monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tocsin

    source = data_source("http://influx:8086", "tocsin", "reader", "s3cr3t-word")
    first = push(grafana.url, Grafana.TOKEN, source)
    assert first.folder == "Tocsin: made" and first.data_source.endswith("made") and not grafana.wrong
    assert len(grafana.boards) == 2 * len(BOARDS) and set(grafana.folders) == {"tocsin"}
    assert grafana.sources[DATA_SOURCE_UID]["secureJsonData"] == {"password": "s3cr3t-word"}
    monkeypatch.setenv("GRAFANA_TOKEN", Grafana.TOKEN)
    done = CliRunner().invoke(tocsin.app, ["grafana", "push", grafana.url, "--language", "zh"])
    assert done.exit_code == 0, done.output
    assert "Tocsin: there" in done.output and "replaced" in done.output and "tocsin-fire-zh: version 2" in done.output
    assert grafana.boards["tocsin-fire-en"]["version"] == 1 and grafana.sources[DATA_SOURCE_UID]["version"] == 2
    assert "s3cr3t" not in first.text() + done.output


@pytest.mark.real
def test_what_goes_wrong_is_said_without_the_token(grafana: Grafana) -> None:
    source = data_source("http://influx:8086", "tocsin")
    with pytest.raises(PeerRefused, match="invalid API key") as caught:
        push(grafana.url, "wrong-token-0123456789", source)
    assert "wrong-token" not in str(caught.value)
    grafana.down = True
    with pytest.raises((PeerSilent, PeerRefused), match="down"):
        push(grafana.url, Grafana.TOKEN, source)
    with pytest.raises(PeerSilent):
        push("http://127.0.0.1:1", Grafana.TOKEN, source)
    with pytest.raises(LocalFault, match="is no address"):
        push("grafana", Grafana.TOKEN, source)
