"""Debian's InfluxDB 1.6.7 and VictoriaMetrics on free ports of loopback, killed and started again at will."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from device_model.child_process import free_ports
from device_model.site import SeriesKind, SeriesRemote

INFLUXD, VICTORIA = "/usr/bin/influxd", "/usr/bin/victoria-metrics"


class Server:
    """One server process with its folder; `url` after start."""

    def __init__(self, kind: SeriesKind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,), self._process = free_ports(1), None
        self.url = f"http://127.0.0.1:{self.port}"
        self.remote = SeriesRemote("peer", kind, self.url, "tocsin")

    def start(self) -> None:
        if self.kind is SeriesKind.VICTORIA:
            command = [VICTORIA, f"-storageDataPath={self.folder}", f"-httpListenAddr=127.0.0.1:{self.port}",
                       "-retentionPeriod=100y", "-search.latencyOffset=0s"]
            health = "/health"
        else:
            (self.folder / "influxdb.conf").write_text(f"""
reporting-disabled = true
bind-address = "127.0.0.1:{free_ports(1)[0]}"
[meta]
dir = "{self.folder}/meta"
[data]
dir = "{self.folder}/data"
wal-dir = "{self.folder}/wal"
[http]
bind-address = "127.0.0.1:{self.port}"
log-enabled = false
[monitor]
store-enabled = false
""", encoding="utf-8")
            command = [INFLUXD, "-config", str(self.folder / "influxdb.conf")]
            health = "/ping"
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                with urllib.request.urlopen(self.url + health, timeout=1):
                    break
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        else:
            raise AssertionError(f"{self.kind} did not start")
        if self.kind is not SeriesKind.VICTORIA:
            self.ask("CREATE DATABASE tocsin")

    def ask(self, influxql: str) -> bytes:
        body = urllib.parse.urlencode({"q": influxql, "db": "tocsin"}).encode()
        with urllib.request.urlopen(self.url + "/query", data=body, timeout=60) as answer:
            return bytes(answer.read())

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        """VictoriaMetrics shows samples after a second; it can be told to now."""
        if self.kind is SeriesKind.VICTORIA:
            with urllib.request.urlopen(self.url + "/internal/force_flush", timeout=60):
                pass


def missing() -> str:
    """Why these tests cannot run here; empty when they can."""
    return "" if Path(INFLUXD).exists() and Path(VICTORIA).exists() else "influxd or victoria-metrics is missing"
