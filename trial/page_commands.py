"""`tocsin sim page`, `sim batch` and the terminal's commands (I/O): two faces of one running simulator.

    tocsin sim page X ── writes its address and token ──► control file (only this user may read it)
    tocsin sim set|press|act|turn|fault|show ── reads it ──► POST /api/sim/do/… ──► the same deeds as the page's
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from device_model.errors import ConfigError, Finding, LocalFault, TocsinError
from device_model.profile import DeviceProfile
from device_model.system_clock import clock_from_environment
from firmware_sim.commands import read_scenario
from firmware_sim.fleet import FLEETS, fleet_scenario
from firmware_sim.scenario import Scenario, SimDevice
from firmware_sim.scenario_lines import SESSION_KINDS, LineKind, Role, SimLine
from firmware_sim.world import SimWorld
from trial.own_broker import own_broker
from trial.profile_look import unplayed
from trial.profile_shelf import ProfileShelf
from trial.scenario_files import find_scenario, is_complete, read_trial

CONTROL_FILE = ".tocsin-sim.json"
REPORTS = "sim-reports"
OWN = "own"  # instead of a broker's address: one is started, on loopback
_WITHIN_S = 10.0
_OWN_PORTS_MIN = 1024
_LINES = {"modbus": LineKind.MODBUS_TCP, "mqtt": LineKind.MQTT, "gbt26875": LineKind.GBT26875,
          "hj212": LineKind.HJ212, "lls": LineKind.LLS_TCP}


class Control(msgspec.Struct, frozen=True):
    """Where a running simulator is, and what its deeds must carry."""

    url: str
    token: str
    scenario: str = ""


def run_page(
    what: str | None, *, profiles: Sequence[str] = (), host: str = "127.0.0.1", port: int = 0,
    broker: str = "", cameras: int = 0, control: Path | None = None, truth: Path | None = None,
    reports: Path = Path(REPORTS), for_s: float | None = None, profiles_folder: Path | None = None,
    gateway: str = "", gateway_ca: Path | None = None,
) -> int:
    """Serve devices and their page until interrupted; the exit code."""
    if not structlog.is_configured():  # standard output carries the addresses
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        shelf = ProfileShelf(profiles_folder)

        async def serve() -> int:
            async with contextlib.AsyncExitStack() as stack:
                at = broker
                if at == OWN:
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-broker-"))
                    at = await stack.enter_async_context(own_broker(Path(folder)))
                world = _world(what, profiles, at, shelf.known())
                return await serve_page(
                    world, host=host, port=port, cameras=cameras, control=control or Path(CONTROL_FILE), truth=truth,
                    reports=reports, for_s=for_s, shelf=shelf, broker=at, gateway=gateway, gateway_ca=gateway_ca)

        return asyncio.run(serve())
    except (TocsinError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _world(what: str | None, profiles: Sequence[str], broker: str, known: dict[str, DeviceProfile]) -> SimWorld:
    if profiles:
        return SimWorld(scenario_of_profiles(profiles, known, broker), known, {})
    if not what:
        raise ConfigError([Finding("sim page", 0, 0, "nothing to simulate",
                                   "name a scenario, a fleet, or --profile ID")])
    if what in FLEETS:
        return SimWorld(fleet_scenario(FLEETS[what], broker=broker), known, {})
    path = find_scenario(what)
    if is_complete(path):
        setup = read_trial(path)
        return SimWorld(_on_free_ports(setup.scenario, broker), setup.profiles, setup.recordings)
    lines = {}
    world = read_scenario(path, known)
    if broker:
        lines = {line.id: broker for line in world.scenario.lines if line.kind is LineKind.MQTT}
    return read_scenario(path, known, lines) if lines else world


def _on_free_ports(scenario: Scenario, broker: str) -> Scenario:
    """The lines of a site, where they would need the rights of root or a broker of another place."""
    lines = []
    for line in scenario.lines:
        if line.kind is LineKind.MODBUS_TCP and line.port < _OWN_PORTS_MIN:
            lines.append(msgspec.structs.replace(line, port=0))
        elif line.kind is LineKind.MQTT and broker:
            lines.append(msgspec.structs.replace(line, url=broker))
        else:
            lines.append(line)
    return msgspec.structs.replace(scenario, lines=tuple(lines))


def scenario_of_profiles(names: Sequence[str], known: dict[str, DeviceProfile], broker: str = "") -> Scenario:
    """A device of each profile: Modbus ones as units of one port, the others on a line a kind. Raises ConfigError."""
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigError([Finding("sim page", 0, 0, f"no profile {name!r}", "see `tocsin profile list`")
                           for name in missing])
    unheard = [(name, why) for name in names for why in unplayed(known[name])]
    if unheard:
        raise ConfigError([Finding("sim page", 0, 0, f"{name}: {why}", "choose another profile")
                           for name, why in unheard])
    devices: list[SimDevice] = []
    lines: dict[LineKind, SimLine] = {}
    taken: dict[LineKind, int] = {}
    for number, name in enumerate(names, 1):
        kind = _LINES.get(known[name].protocol)
        if kind is None:
            raise ConfigError([Finding("sim page", 0, 0, f"{name} speaks {known[name].protocol}: no line for it",
                                       f"choose a profile of {', '.join(_LINES)}")])
        line = lines.setdefault(kind, SimLine(
            kind.value, kind, url=broker or "mqtt://127.0.0.1:1883",
            role=Role.SERVER if kind in SESSION_KINDS else Role.CLIENT))
        unit = taken[kind] = taken.get(kind, 0) + 1
        address = "" if kind is not LineKind.GBT26875 else f"{unit}/1.1/{unit:08X}"
        devices.append(SimDevice(f"{name}-{number}", name, line.id, unit, address))
    return Scenario("profiles", tuple(lines.values()), tuple(devices), en="Devices by profile", zh="按型号模拟的设备")


async def serve_page(
    world: SimWorld, *, host: str = "127.0.0.1", port: int = 0, cameras: int = 0, control: Path = Path(CONTROL_FILE),
    truth: Path | None = None, reports: Path = Path(REPORTS), for_s: float | None = None,
    shelf: ProfileShelf | None = None, broker: str = "", gateway: str = "", gateway_ca: Path | None = None,
) -> int:
    """Serve devices and page until cancelled, or for so long. Raises LocalFault for a port that cannot be had."""
    try:
        import uvicorn

        from trial.page_server import create_tester_app
        from trial.sim_bench import SimBench
    except ImportError as error:
        raise LocalFault(f"the page needs {error.name}: pip install 'tocsin[cloud,sim]'") from error
    with tempfile.TemporaryDirectory(prefix="tocsin-sim-") as folder:
        bench = SimBench(world, clock_from_environment(), Path(folder), cameras=cameras, truth=truth,
                         reports=reports, shelf=shelf, broker=broker, gateway_ca=gateway_ca)
        app = create_tester_app(bench, host=host)
        live = asyncio.create_task(bench.run())
        ready = asyncio.create_task(bench.all_up())
        await asyncio.wait({live, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if live.done():
            live.result()
        if gateway:
            bench.join(gateway)

        class PageServer(uvicorn.Server):
            """Leaves signals to us: uvicorn would raise SIGTERM again before ports and token are given back."""

            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        listener = _listener(host, port)
        server = PageServer(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        stopping = asyncio.create_task(stop.wait())
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn offers a flag, no event
            await asyncio.sleep(0.02)
        token = app.state.token
        at = listener.getsockname()[1]
        url = f"http://{host}:{at}"
        _write_control(control, Control(url, token, world.scenario.scenario))
        local = host in ("127.0.0.1", "localhost", "::1")
        print(f"{world.scenario.scenario}: {len(world.devices)} devices on", flush=True)
        addresses = list(bench.runtime.addresses.items()) + [(row["id"], row["address"]) for row in bench.cameras()]
        for name, address in addresses[:40]:
            print(f"  {name:20} {address}", flush=True)
        print(f"page: {url}/{'' if local else f'?token={token}'}", flush=True)
        try:
            await asyncio.wait({live, serving, stopping}, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if live.done():
                live.result()
        finally:
            bench.closing = True
            _forget_control(control)
            server.should_exit = True
            await bench.closed(live)
            await asyncio.gather(serving, return_exceptions=True)
    return 0


def _listener(host: str, port: int) -> socket.socket:
    """The page's socket. Raises LocalFault for a port that cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LocalFault(f"the page cannot be served on {host}:{port} ({error.strerror}): another program has the "
                         "port; choose another --port, or 0 for any free one") from error


def _forget_control(path: Path) -> None:
    path.unlink(missing_ok=True)


def _write_control(path: Path, control: Control) -> None:
    """Only this user may read it: it carries the token."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(control))


# ---- the terminal ---------------------------------------------------------------------------------------------


def read_control(path: Path | None) -> Control:
    """Of the running simulator. Raises LocalFault."""
    file = path or Path(CONTROL_FILE)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Control)
    except (OSError, msgspec.DecodeError) as error:
        raise LocalFault(f"{file}: no simulator runs here ({type(error).__name__}): start `tocsin sim page …` in "
                         "this folder, or name its control file with --control") from error


def ask(control: Control, path: str, body: object = None) -> Any:
    """One request to a running simulator. Raises LocalFault, also for what it refused."""
    octets = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(f"{control.url}{path}", data=octets, headers={  # noqa: S310  of our own file
        "x-tocsin-token": control.token, "content-type": "application/json", "accept-language": "en"})
    try:
        with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:  # noqa: S310  as above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            why = json.load(error).get("refusal", str(error))
        except ValueError:
            why = str(error)
        raise LocalFault(why) from error
    except OSError as error:
        raise LocalFault(f"the simulator at {control.url} does not answer ({error}): start it again") from error


def run_deed(deed: str, body: dict[str, object], control: Path | None) -> int:
    """One deed from the terminal; the exit code."""
    try:
        done = ask(read_control(control), f"/api/sim/do/{deed}", body)["done"]
    except TocsinError as error:
        print(error, file=sys.stderr)
        return 1
    print("done" if done is None else f"done: {done}")
    return 0


def run_show(device: str, *, find: str, as_json: bool, control: Path | None) -> int:
    """What a running simulator shows; the exit code."""
    from urllib.parse import quote, urlencode

    try:
        at = read_control(control)
        path = f"/api/sim/devices/{quote(device)}" if device else f"/api/sim/devices?{urlencode({'find': find})}"
        told = ask(at, path)
    except TocsinError as error:
        print(error, file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    elif device:
        row = told["row"]
        print(f"{row['id']}  {row['en']}  {row['line']}  {row['at']}  {row['state']}")
        for point in told["points"]:
            print(f"  {point['id']:24} {_shown(point['value']):>12} {point['unit']:8} {point['place']:24} "
                  f"{' '.join(point['words'])}")
    else:
        print(f"{told['total']} devices")
        for row in told["rows"]:
            shows = "  ".join(f"{point} {_shown(value)}" for point, value, _ in row["shows"])
            print(f"  {row['id']:24} {row['state']:8} {row['line']:14} {row['at']:14} {shows}")
    return 0


def _shown(value: object) -> str:
    if value is None:
        return "bad"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---- batches ----------------------------------------------------------------------------------------------------


def run_batch_file(file: Path, out: Path, *, language: str, listen_s: float, as_json: bool) -> int:
    """A batch from a file; 0 when every unit passes, 1 when one does not, or the file is wrong."""
    from trial.batch import UnitResult, parse_batch
    from trial.batch_run import BatchRun

    def told(result: UnitResult) -> None:
        if not as_json:
            print(f"{result.serial:20} {result.firmware:12} {result.test:40} {result.verdict:6} {result.detail}",
                  flush=True)

    try:
        batch = parse_batch(file.read_text(encoding="utf-8"), str(file))
        work = BatchRun(batch, out, clock_from_environment(), language=language, listen_s=listen_s)
        results = asyncio.run(work.run(told))
    except (TocsinError, OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on: {out}", file=sys.stderr)
        return 1
    if as_json:
        print(msgspec.json.encode({"batch": batch.batch, "results": results}).decode())
    else:
        print(f"{work.csv_file}\n{work.page_file}")
    return 0 if all(result.verdict == "pass" for result in results) else 1
