"""To a Grafana server (I/O): data source, folder, dashboards; may be done again and again.

    push ─► data source tocsin-series: there? PUT : POST ─► folder: there? kept : POST ─► dashboards, overwritten
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dashboards.grafana.boards import BOARDS
from dashboards.grafana.render import DATA_SOURCE_UID, FOLDER_UID, board_file, dashboard_json, uid_of
from device_model.errors import LocalFault, PeerError, PeerRefused, PeerSilent

LANGUAGES = ("zh", "en")
WITHIN_S = 15.0


class PushReport(msgspec.Struct, frozen=True):
    """What was done: made or replaced, by kind."""

    folder: str
    data_source: str
    dashboards: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        return "\n".join([f"folder {self.folder}", f"data source {self.data_source}",
                          *(f"dashboard {one}" for one in self.dashboards)])


class BuildReport(msgspec.Struct, frozen=True):
    """Files that were written."""

    files: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        return "\n".join([*self.files, f"{len(self.files)} dashboards"])


def build(out: Path, languages: tuple[str, ...] = LANGUAGES) -> BuildReport:
    """Write every dashboard as a file, `out/<language>/<board>.json`. LocalFault where that cannot be."""
    files = []
    try:
        for language in languages:
            folder = out / language
            folder.mkdir(parents=True, exist_ok=True)
            for board in BOARDS:
                path = folder / f"{board.id}.json"
                path.write_bytes(board_file(board, language))
                files.append(str(path))
    except OSError as error:
        raise LocalFault(f"{out}: {error.strerror or error}") from error
    return BuildReport(tuple(files))


def data_source(influx: str, database: str, user: str = "", secret: str = "") -> dict[str, Any]:
    """The data source as Grafana's API takes it: InfluxDB with InfluxQL (1.x; 2 and 3 by their v1 mapping)."""
    made: dict[str, Any] = {
        "name": "Tocsin time series", "uid": DATA_SOURCE_UID, "type": "influxdb", "access": "proxy", "url": influx,
        "jsonData": {"dbName": database, "httpMode": "GET", "version": "InfluxQL"}, "isDefault": False}
    if user:
        made["user"] = user
        made["secureJsonData"] = {"password": secret}
    return made


def push(
    url: str, credential: str | tuple[str, str], source: dict[str, Any], languages: tuple[str, ...] = LANGUAGES,
) -> PushReport:
    """Bring a server up to date. credential: a service account's token, or (user, password). Raises PeerSilent,
    PeerRefused with what the server says (never the credential), LocalFault for an address that is none."""
    from grafana_client import GrafanaApi
    from grafana_client.client import GrafanaClientError, GrafanaException
    from requests import RequestException

    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise LocalFault(f"{url!r} is no address: write http://host:3000 or https://host")
    api = GrafanaApi.from_url(url, credential=credential, timeout=WITHIN_S)
    try:
        made = _source(api, source)
        folder = _folder(api)
        boards = tuple(_board(api, board, language) for language in languages for board in BOARDS)
    except GrafanaClientError as error:
        raise PeerRefused(f"{url}: {_words(error)}; check the address and the right of the token", error.status_code
                          ) from error
    except (GrafanaException, RequestException) as error:
        raise PeerSilent(f"{url}: {_words(error)}") from error
    return PushReport(folder, made, boards)


def _source(api: Any, source: dict[str, Any]) -> str:
    known = _or_none(lambda: api.datasource.get_datasource_by_uid(DATA_SOURCE_UID))
    if known is None:
        api.datasource.create_datasource(source)
        return f"{source['name']}: made"
    api.datasource.update_datasource_by_uid(DATA_SOURCE_UID, {**source, "version": known.get("version", 1)})
    return f"{source['name']}: replaced"


def _folder(api: Any) -> str:
    if _or_none(lambda: api.folder.get_folder(FOLDER_UID)) is None:
        api.folder.create_folder("Tocsin", FOLDER_UID)
        return "Tocsin: made"
    return "Tocsin: there"


def _board(api: Any, board: Any, language: str) -> str:
    answer = api.dashboard.update_dashboard({
        "dashboard": {**dashboard_json(board, language), "id": None}, "folderUid": FOLDER_UID, "overwrite": True,
        "message": "tocsin grafana push"})
    if answer.get("status") != "success":
        raise PeerError(f"{uid_of(board, language)}: {answer}")
    return f"{uid_of(board, language)}: version {answer.get('version', '?')}"


def _or_none(ask: Any) -> Any:
    from grafana_client.client import GrafanaClientError

    try:
        return ask()
    except GrafanaClientError as error:
        if error.status_code == 404:
            return None
        raise


def _words(error: Exception) -> str:
    said = getattr(error, "response", None)
    message = said.get("message") if isinstance(said, dict) else None
    return str(message or getattr(error, "message", "") or error)[:300]
