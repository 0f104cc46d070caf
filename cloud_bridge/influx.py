"""InfluxSeries (I/O): InfluxDB 1.x, 2, 3 and VictoriaMetrics as stores of samples.

    samples ─► line_protocol ─► POST /write │ /api/v2/write ─► 204: all taken
                                                    400: halves, until those that are refused stand alone, each with
                                                         the server's words (writing twice is writing once)
                                                    413: halves     429, 503: Busy, with what Retry-After says
    question ─► InfluxQL on /query (1.x, 2 and 3) │ /api/v1/export (VictoriaMetrics) ─► samples
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from cloud_bridge.http_client import HttpAnswer, HttpClient
from cloud_bridge.line_protocol import encode_sample
from device_model.errors import LocalFault, PeerGarbled, PeerRefused
from device_model.reading import Quality, Reason, Value
from device_model.series import QUALITY_OF_CODE, Refused, Sample, SeriesQuery
from device_model.site import SeriesKind, SeriesRemote

# Lines of one request: 5,000 is what InfluxDB's manual advises; 8 MiB is below every server's default bound.
BATCH_MAX = 5_000
_OK = (200, 204)
_BUSY = (429, 502, 503, 504)
_TOO_LARGE = 413
# VictoriaMetrics answers before its disk has what came: rows wait 1 s, parts in memory 5 s
# (-inmemoryDataFlushInterval); with as much again for a slow disk.
VICTORIA_SETTLES_S = 12.0


class Busy(PeerRefused):
    """The server wants less for a while. after_s: what it says, 0 where it does not."""

    def __init__(self, what: str, code: int, after_s: float) -> None:
        super().__init__(what, code)
        self.after_s = after_s


class InfluxSeries:
    """One remote store. Owned by one feed or one command; not for concurrent use."""

    def __init__(self, remote: SeriesRemote, *, secret: str = "", site: str = "", tenancy: bool = False) -> None:
        """secret: token (2, 3), or "user:password" (1.x, VictoriaMetrics); empty for none. site: tenancy path that
        questions are limited to; empty for all. tenancy: the parts of the path are tags of their own as well."""
        self._remote, self._site, self._tenancy = remote, site, tenancy
        self._http = HttpClient(remote.url, headers=_authorization(remote.kind, secret), ca_file=remote.ca_file)

    @property
    def settles_s(self) -> float:
        """What was taken may still be lost for so long, if the server ends; 0 where an answer means it is on disk."""
        return VICTORIA_SETTLES_S if self._remote.kind is SeriesKind.VICTORIA else 0.0

    @property
    def breaks(self) -> int:
        """How often the line to the server was lost; it may have begun anew then."""
        return self._http.breaks

    async def alive(self) -> None:
        """Ask whether the server is there, over the same line if it still stands. Raises as `write`."""
        answer = await self._http.request("GET", "/health" if self.settles_s else "/ping")
        if answer.status in _BUSY:
            raise Busy(f"{self._remote.id}: {_words(answer)}", answer.status, _retry_after_s(answer.headers))

    # --- writing ---

    async def write(self, samples: Sequence[Sample]) -> tuple[Refused, ...]:
        """Store all; give those that the server will never take. Raises Busy, PeerSilent, PeerRefused (not allowed,
        no such database), PeerGarbled: then none, some or all are stored, and the same may be written again."""
        lines: list[tuple[Sample, str]] = []
        refused: list[Refused] = []
        for sample in samples:
            try:
                lines.append((sample, encode_sample(sample, tenancy=self._tenancy)))
            except ValueError as error:
                refused.append(Refused(sample, str(error)))
        for start in range(0, len(lines), BATCH_MAX):
            refused.extend(await self._write(lines[start:start + BATCH_MAX]))
        return tuple(refused)

    async def _write(self, lines: list[tuple[Sample, str]]) -> list[Refused]:
        if not lines:
            return []
        answer = await self._http.request("POST", self._write_target(), "\n".join(line for _, line in lines).encode(),
                                          {"content-type": "text/plain; charset=utf-8"})
        if answer.status in _OK:
            return []
        why = _words(answer)
        if answer.status in (400, 422, _TOO_LARGE):
            if len(lines) == 1:
                return [Refused(lines[0][0], why)]
            half = len(lines) // 2
            return [*await self._write(lines[:half]), *await self._write(lines[half:])]
        if answer.status in _BUSY:
            raise Busy(f"{self._remote.id}: {why}", answer.status, _retry_after_s(answer.headers))
        raise PeerRefused(f"{self._remote.id}: {answer.status} {why}; check database or bucket, and the secret",
                          answer.status)

    def _write_target(self) -> str:
        remote = self._remote
        if remote.kind is SeriesKind.INFLUX_1:
            policy = {"rp": remote.retention_policy} if remote.retention_policy else {}
            return "/write?" + urlencode({"db": remote.database, "precision": "u", **policy})
        precision = "u" if remote.kind is SeriesKind.VICTORIA else "us"
        return "/api/v2/write?" + urlencode({"org": remote.org, "bucket": remote.database, "precision": precision})

    # --- reading ---

    async def read(self, query: SeriesQuery) -> tuple[Sample, ...]:
        """Samples of a question, oldest first. Raises as `write`; LocalFault for what the server refuses."""
        if self._remote.kind is SeriesKind.VICTORIA:
            found = await self._export(query)
        else:
            found = await self._influxql(query)
        site = query.site or self._site
        wanted = [one for one in found if _fits(one, query) and (not site or one.site == site)]
        return tuple(sorted(wanted, key=lambda one: (one.time_us, one.point))[:query.limit])

    async def _influxql(self, query: SeriesQuery) -> list[Sample]:
        within = f"time >= {query.from_us}u AND time < {query.to_us}u{_either(query)}"
        text = f"SELECT * FROM /.*/ WHERE {within} LIMIT {query.limit}"  # noqa: S608 - names are quoted
        answer = await self.ask(text)
        found = []
        for result in answer.get("results", []):
            if "error" in result:
                raise LocalFault(f"{self._remote.id}: {result['error']}")
            for series in result.get("series", []):
                for row in series["values"]:
                    found.append(_sample(series["name"], dict(zip(series["columns"], row, strict=True))))
        return found

    async def ask(self, influxql: str, *, change: bool = False) -> Any:
        """Any InfluxQL; the decoded JSON. change: a statement that changes something (POST). Raises as `write`."""
        target = "/query?" + urlencode({"db": self._remote.database, "q": influxql, "epoch": "u"})
        answer = await self._http.request("POST" if change else "GET", target)
        if answer.status in _BUSY:
            raise Busy(f"{self._remote.id}: {_words(answer)}", answer.status, _retry_after_s(answer.headers))
        if answer.status not in _OK:
            raise PeerRefused(f"{self._remote.id}: {answer.status} {_words(answer)}", answer.status)
        return _json(answer)

    async def _export(self, query: SeriesQuery) -> list[Sample]:
        of_site = query.site or self._site
        site = f'site="{of_site}"' if of_site else 'site!=""'
        target = "/api/v1/export?" + urlencode({
            "match[]": "{" + site + "}", "start": query.from_us / 1e6, "end": (query.to_us - 1000) / 1e6})
        answer = await self._http.request("GET", target)
        if answer.status not in _OK:
            raise PeerRefused(f"{self._remote.id}: {answer.status} {_words(answer)}", answer.status)
        rows: dict[tuple[str, str, int], dict[str, Any]] = {}
        for line in answer.body.splitlines():
            entry = msgspec.json.decode(line, type=_Exported)
            tags = dict(entry.metric)
            name, _, field = tags.pop("__name__").rpartition("_")
            if field == "us":  # received_us
                name, field = name.removesuffix("_received"), "received_us"
            for at_ms, value in zip(entry.timestamps, entry.values, strict=True):
                row = rows.setdefault((name, msgspec.json.encode(sorted(tags.items())).decode(), at_ms),
                                      {**tags, "time": at_ms * 1000, "_name": name})
                row[field] = value
        return [_sample(row.pop("_name"), row) for row in rows.values()]

    async def close(self) -> None:
        """Let the connection go; idempotent."""
        await self._http.close()


class _Exported(msgspec.Struct):
    metric: dict[str, str]
    values: list[float]
    timestamps: list[int]


def _authorization(kind: SeriesKind, secret: str) -> dict[str, str]:
    if not secret:
        return {}
    if kind is SeriesKind.INFLUX_2:
        return {"authorization": f"Token {secret}"}
    return {"authorization": "Basic " + base64.b64encode(secret.encode()).decode()}


def _words(answer: HttpAnswer) -> str:
    """What the server says is wrong."""
    try:
        body = msgspec.json.decode(answer.body)
        said = body.get("error") or body.get("message") if isinstance(body, dict) else None
    except msgspec.DecodeError:
        said = None
    return " ".join(str(said or answer.body[:500].decode("utf-8", "replace") or f"status {answer.status}").split())


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        return max(0.0, min(3600.0, float(headers.get("retry-after", "0"))))
    except ValueError:  # a date: the caller's own back-off will do
        return 0.0


def _json(answer: HttpAnswer) -> Any:
    try:
        return msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        raise PeerGarbled(f"the answer is no JSON: {error}") from error


def _either(query: SeriesQuery) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    parts = []
    for name in query.points:
        device, _, point = name.partition(".")
        of_point = f' AND "point" = {quoted(point)}' if point else ""
        parts.append(f'("device" = {quoted(device)}{of_point})')
    text = f" AND ({' OR '.join(parts)})" if parts else ""
    zones = " OR ".join(f'"zone" = {quoted(zone)}' for zone in query.zones)
    text += f" AND ({zones})" if zones else ""
    return f'{text} AND "site" = {quoted(query.site)}' if query.site else text


def _fits(sample: Sample, query: SeriesQuery) -> bool:
    named = not query.points or not {sample.point, sample.device}.isdisjoint(query.points)
    return named and (not query.zones or sample.zone in query.zones) and query.from_us <= sample.time_us < query.to_us


def _sample(quantity: str, row: dict[str, Any]) -> Sample:
    quality = QUALITY_OF_CODE.get(int(row.get("quality") or 0), Quality.BAD)
    value: Value | None = None
    if row.get("value") is not None:
        value = float(row["value"])
    elif row.get("state") is not None:
        value = bool(row["state"])
    elif row.get("text") is not None:
        value = str(row["text"])
    if value is None:
        quality = Quality.BAD
    return Sample(
        str(row.get("site") or ""), str(row.get("gateway") or ""), str(row.get("zone") or ""),
        f"{row.get('device')}.{row.get('point')}", quantity, str(row.get("unit") or ""), int(row["time"]), value,
        quality, Reason(row.get("reason") or ""), int(row.get("received_us") or row["time"]),
        str(row.get("lane") or ""), str(row.get("epoch") or ""), int(row.get("sequence") or 0))
