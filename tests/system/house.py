"""A small system of real processes: the community OS, one gateway, simulated devices on a real Modbus TCP port.

    sim (a thread here, real port) ◄─Modbus TCP─ gateway (process) ─mTLS─► cloud (processes) ◄─HTTP─ the test

The devices run in this process, so that a test says when it burns and sees what reaches the sounder's coil.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from device_model.child_process import end_with_parent, free_ports
from device_model.library import shipped_profiles
from device_model.messages import GatewayAddress
from device_model.reading import Value
from device_model.site import Tenancy
from device_model.system_clock import SCALE_VARIABLE, SystemClock, new_time_scale
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld

ROOT = Path(__file__).resolve().parents[2]
# Generous: a busy machine of two cores may take its time; no test asserts that something is fast.
WITHIN_S = 120.0
SPEED = 5.0
PATH = "hangzhou/yuhang/cangqian/small"
FLATS = ("101", "102", "103", "104", "105", "106")
OFFICER = "Watch Officer Li"
OWN_SECRET = "correct-horse-battery"  # what the administrator chooses at the first sign-in
Json = dict[str, Any]
T = TypeVar("T")


def until(what: Callable[[], T], say: Callable[[], str] | str = "", limit_s: float = WITHIN_S) -> T:
    """The first true answer of `what`; no answer (OSError, ValueError) counts as not yet."""
    end = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            if answer := what():
                return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:g} s: {say if isinstance(say, str) else say()}")
        threading.Event().wait(0.1)


def tocsin(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run([sys.executable, "-m", "tocsin", *arguments], capture_output=True, text=True, timeout=120,
                          cwd=ROOT, check=False, **more)


def processes(*words: str) -> list[int]:
    """Process ids whose command line has all these words."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if line and all(word in line for word in words):
                    found.append(int(folder.name))
    return found



class Program:
    """One `tocsin …` process with a log file."""

    def __init__(self, folder: Path, name: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.log = folder / f"{name}.log"
        self._arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tocsin", *self._arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment, cwd=self.log.parent,
                preexec_fn=end_with_parent)  # noqa: PLW1509  one call of the kernel

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def exited(self, limit_s: float = WITHIN_S) -> int:
        assert self.process is not None
        return self.process.wait(limit_s)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()


class Devices:
    """Simulated devices on a real port, in a thread of this process."""

    def __init__(self, scenario: Json, clock: SystemClock) -> None:
        profiles = shipped_profiles()
        text = yaml.safe_dump(scenario)
        self.world = SimWorld(parse_scenario(text, "scenario.yaml", profiles), profiles, {})
        self._clock = clock
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(WITHIN_S), "the simulated devices did not start"

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        runtime = SimRuntime(self.world, self._clock)
        running = asyncio.create_task(runtime.run())
        await runtime.ready.wait()
        self._ready.set()
        await self._end.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def set(self, device: str, point: str, value: Value) -> None:
        """The world changes: a device shows another value from now on."""
        self._loop.call_soon_threadsafe(self.world.devices[device].set, point, value)

    def calm(self) -> None:
        """No smoke anywhere, detectors reset, sounder off."""
        for name, device in self.world.devices.items():
            if name.startswith("smoke-"):
                self._loop.call_soon_threadsafe(device.set, "smoke", False)
                self._loop.call_soon_threadsafe(device.press, "reset")
        self.set("relay", "relay", False)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def coil(self, port: int, unit: int, address: int) -> bool:
        """A coil as any master on the line sees it: read over the wire."""
        from pymodbus.client import ModbusTcpClient

        with ModbusTcpClient("127.0.0.1", port=port, timeout=60) as client:
            answer = client.read_coils(address, count=1, device_id=unit)
            if answer.isError():
                raise OSError(str(answer))
            return bool(answer.bits[0])


class House:
    """The files, the processes, and what a test asks of them."""

    def __init__(self, folder: Path, *, sign_in: str = "open_on_loopback", more_ports: int = 0) -> None:
        self.folder = folder
        # All at once: asked for twice, the same port may be given twice.
        ports = free_ports(6 + more_ports)
        self.line, self.mute, self.babble, self.web_port, self.mqtt, self.services = ports[:6]
        self.more_ports = ports[6:]
        self.scale = new_time_scale(SPEED)
        self.environment = {SCALE_VARIABLE: msgspec.json.encode(self.scale).decode()}
        self.cookie = ""
        self.cloud_file = folder / "cloud.yaml"
        self.cloud_file.write_text(yaml.safe_dump({
            "state": "state", "port": self.web_port, "sign_in": sign_in, "sites": ["site.yaml"],
            "broker": {"mqtt_port": self.mqtt, "services_port": self.services}}), encoding="utf-8")
        self.write_site(folder / "journal.sqlite")
        self.cloud = Program(folder, "cloud", "cloud", "run", "--config", str(self.cloud_file),
                             environment=self.environment)
        self.gateway = self.new_gateway()
        self.devices = self.new_devices()

    def new_devices(self) -> Any:
        """What stands on the line: here, devices that the test itself moves."""
        return Devices(self._scenario(), SystemClock(self.scale))

    def new_gateway(self, **environment: str) -> Program:
        self.gateway = Program(self.folder, "gateway", "gateway", "run", "--config", str(self.folder / "site.yaml"),
                               environment={**self.environment, **environment})
        return self.gateway

    def enrol(self) -> None:
        """Keys by library; the command is shown in test_by_hand."""
        from provisioning.authority import Authority
        from provisioning.commands import enrol_into

        authority = Authority.open(self.folder / "state" / "authority")
        enrol_into(authority, GatewayAddress(Tenancy.of(PATH), "gw-1"), self.folder / "keys")

    def site(self, journal: Path) -> Json:
        def text(words: str) -> Json:
            return {"en": words, "zh": words}

        keys = self.folder / "keys"
        # A building each: smoke on one floor is one fire, and each test wants a fire of its own.
        buildings = [{"id": f"b{flat}", "name": text(f"Building {flat}"), "floors": [{
            "id": "f1", "name": text("1st floor"),
            "zones": [{"id": f"flat-{flat}", "name": text(f"Flat {flat}"), "kind": "dwelling"}]}]} for flat in FLATS]
        devices: list[Json] = [
            {"id": f"smoke-{flat}", "profile": "calectro-ug3", "line": "riser", "unit": unit, "zone": f"flat-{flat}"}
            for unit, flat in enumerate(FLATS, 1)]
        devices.append({"id": "relay", "profile": "wb-msgr", "line": "riser", "unit": 31, "zone": "flat-101"})
        return {
            "site": {"path": PATH, "name": text("Small House"), "address": text("1 Small Lane"),
                     "position": {"latitude": 30.28, "longitude": 119.99, "datum": "GCJ-02"},
                     "time_zone": "Asia/Shanghai"},
            "gateway": {"id": "gw-1", "journal_path": str(journal), "heartbeat_s": 10, "cloud": {
                "host": "127.0.0.1", "port": self.mqtt,
                **{f"{name}_file": str(keys / f"{name}.pem") for name in ("ca", "certificate", "key")}}},
            "lines": [{"id": "riser", "kind": "modbus_tcp", "host": "127.0.0.1", "port": self.line}],
            "buildings": buildings,
            "devices": devices,
            "outputs": [{"id": "sounder", "drives": "relay.relay", "purpose": "sounder", "hazards": ["fire"],
                         "on_power_loss": "off", "on_agent_death": "hold", "on_restart": "hold"}],
            "contacts": [{"name": "Chen Jing", "role": "key_holder", "phone": "+86 571 5550 0101"}],
        }

    def write_site(self, journal: Path, change: Callable[[Json], None] = lambda site: None) -> Path:
        site = self.site(journal)
        change(site)
        file = self.folder / "site.yaml"
        file.write_text(yaml.safe_dump(site, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return file

    def _scenario(self) -> Json:
        return {
            "scenario": "small-house", "en": "a small house", "zh": "小楼",
            "lines": [{"id": "riser", "kind": "modbus_tcp", "port": self.line},
                      {"id": "mute", "kind": "modbus_tcp", "port": self.mute},
                      {"id": "babble", "kind": "modbus_tcp", "port": self.babble}],
            "devices": [
                *({"id": f"smoke-{flat}", "profile": "calectro-ug3", "line": "riser", "unit": unit}
                  for unit, flat in enumerate(FLATS, 1)),
                {"id": "relay", "profile": "wb-msgr", "line": "riser", "unit": 31},
                {"id": "garbage", "profile": "pzem-016", "line": "babble", "unit": 32},
            ],
            "faults": [{"kind": "garble", "target": "garbage", "from_s": 0, "for_s": 100000, "chance": 1.0}],
        }

    # -- what a test asks ------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        """JSON of an answer; ValueError when it is neither done nor a refusal with a reason."""
        status, text = self.http(method, path, None if body is None else json.dumps(body))
        if status not in (200, 409):
            raise ValueError(f"{method} {path}: {status} {text[:200]}")
        return json.loads(text)

    def http(self, method: str, path: str, body: str | None = None, kind: str = "application/json"
             ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=60)
        try:
            headers = {"X-Tocsin": "board", "Content-Type": kind, "Cookie": self.cookie}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            if cookie := answer.getheader("set-cookie"):
                self.cookie = cookie.partition(";")[0]
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def board(self) -> Json:
        board: Json = self.get("/api/board?whole=1")["board"]
        return board

    def incidents_of(self, flat: str) -> list[Json]:
        return [i for i in self.board()["incidents"] if i["zone"] == f"flat-{flat}"]

    def lacks(self, kind: str) -> list[Json]:
        return [i for i in self.board()["impairments"] if i["impairment"]["kind"] == kind]

    def gateway_heard(self) -> Json:
        return until(lambda: next((g for g in self.board()["gateways"] if not g["silent"] and g.get("devices_alive")),
                                  None), self.said)

    def said(self) -> str:
        """The ends of all logs, for the message of a failed test."""
        board = ""
        with contextlib.suppress(OSError, ValueError, AssertionError):
            board = json.dumps(self.board())[:2500]
        gateway, cloud = self.gateway.said()[-2500:], self.cloud.said()[-2500:]
        return f"\n--- gateway\n{gateway}\n--- cloud\n{cloud}\n--- board\n{board}"

    def act(self, incident: str, action: str, request: str, who: str = OFFICER, why: str = "") -> Json:
        """A click; repeated, as the page does, until there is an answer."""
        body = {"action": action, "request": request, "who": who, "why": why}
        answer: Json = until(lambda: self.ask("POST", f"/api/incidents/{incident}/actions", body), self.said)
        return answer

    def sounding(self) -> bool:
        return self.devices.coil(self.line, 31, 0)

    def role(self, role: str) -> int:
        """Process id of a role of this cloud; 0 while there is none."""
        return next(iter(processes(str(self.cloud_file), f"--role {role}")), 0)

    def cloud_processes(self) -> list[int]:
        return processes(str(self.cloud_file)) + processes("nats-server", str(self.folder))

    def admin_secrets(self) -> list[str]:
        return re.findall(r"Sign in as `admin` with the secret (\S+)", self.cloud.said())

    def close(self) -> None:
        self.gateway.stop()
        self.cloud.stop()
        self.devices.stop()
