"""Metrics (I/O): Prometheus reads the gateway's health from 127.0.0.1, and from nowhere else. Off by default.

    gateway: {metrics_port: 9108}      GET /metrics ─► GatewayReport ─► text exposition format

A few lines of HTTP instead of a web framework: one client on the same machine asks one thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from edge_agent.gateway_report import GatewayReport

HEAD_MAX = 8192
WITHIN_S = 5.0
CLIENTS_MAX = 8  # one Prometheus and a curious person


class _OneLook(Collector):
    """The families of one report."""

    def __init__(self, report: GatewayReport) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """All families; what the machine cannot say is left out, never zero."""
        r, m = self._report, self._report.machine
        plain: tuple[tuple[str, str, float | None], ...] = (
            ("devices_expected", "devices in the site file", r.devices_expected),
            ("devices_alive", "devices heard and not lost", r.devices_alive),
            ("open_alarms", "alarms that are not over", r.open_alarms),
            ("impairments", "what does not protect now", len(r.impairments)),
            ("backlog_records", "records the cloud has not acknowledged", r.backlog),
            ("journal_ok", "1 while the disk takes records in time", r.journal_ok),
            ("hung_parts", "parts that hang and could not be ended", len(r.hung)),
            ("wall_error_seconds", "error bound of the wall clock", r.wall_error_us / 1e6 if r.wall_error_us >= 0
             else None),
            ("cpu_percent", "processor load of the machine", r.cpu_percent),
            ("temperature_celsius", "hottest thermal zone", m.temperature_c),
            ("disk_bytes", "size of the journal's disk", m.disk_bytes),
            ("disk_free_bytes", "free on the journal's disk", m.disk_free_bytes),
            ("disk_written_bytes", "written to that disk since boot", m.written_bytes),
            ("flash_wear_percent", "life used, as the flash memory says", m.wear_percent),
            ("memory_available_bytes", "memory that programs can have",
             None if m.memory_available_kib is None else m.memory_available_kib * 1024),
            ("resident_bytes", "memory of the gateway's process",
             None if m.resident_kib is None else m.resident_kib * 1024),
            ("open_descriptors", "open files of the gateway's process", m.descriptors),
            ("mains", "1 while mains supply is there", m.mains),
            ("battery_percent", "charge of the backup battery", m.battery_percent),
            ("certificate_seconds_left", "until the gateway's certificate ends",
             None if m.certificate_end_us is None else (m.certificate_end_us - r.at_us) / 1e6),
            ("process_start_seconds", "when the gateway started, since 1970", r.started_us / 1e6),
        )
        for name, text, value in plain:
            if value is not None:
                yield GaugeMetricFamily(f"tocsin_gateway_{name}", text, float(value))
        yield _labelled("line_up", "1 while the field line is up", "line", {x.line: float(x.up) for x in r.lines})
        yield _labelled("line_errors", "failed polls and outages since start", "line",
                        {x.line: float(x.errors) for x in r.lines})
        yield _labelled("link_up", "1 while the way to the cloud is up", "link",
                        {x.name: float(x.up) for x in r.links})
        yield _labelled("camera_up", "1 while the camera has a picture", "camera",
                        {name: float(up) for name, up in r.cameras.items()})
        yield _labelled("part_restarts", "how often a part was started again", "part",
                        {name: float(count) for name, count in r.failures.items()})
        yield _labelled("count", "counts of the core since start", "what",
                        {name: float(count) for name, count in r.counts.items()})


def _labelled(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"tocsin_gateway_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def exposition(report: GatewayReport) -> bytes:
    """The report in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_OneLook(report))
    return generate_latest(registry)


class MetricsPort:
    """The listening side. `serve` until cancelled."""

    def __init__(self, port: int, report: Callable[[], Awaitable[GatewayReport | None]]) -> None:
        """port: on 127.0.0.1, 0 for any free one."""
        self._port, self._report = port, report
        self._clients = 0
        self.port = 0  # where we listen, once we do

    async def serve(self) -> None:
        """Listen. Raises OSError when the port cannot be had."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", self._port, limit=HEAD_MAX)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= CLIENTS_MAX:
                async with asyncio.timeout(WITHIN_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # somebody who asks nothing, too much, or goes away: nobody is left to be told
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        if not head.startswith((b"GET /metrics ", b"GET /metrics?")):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        report = await self._report()
        if report is None:
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        body = exposition(report)
        return (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)) + body
