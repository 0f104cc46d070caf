"""What `tocsin sim …` does (I/O): reads files, runs, prints."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from device_model.errors import ConfigError, Finding, TocsinError
from device_model.profile import DeviceProfile
from device_model.system_clock import clock_from_environment
from firmware_sim.proxy import LinkProxy
from firmware_sim.recording import Recording, parse_recording
from firmware_sim.recording_folder import read_set, recordings_folder
from firmware_sim.recording_sets import SETS
from firmware_sim.scenario import Cut, CutKind, Proxy, Scenario
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld

_SHIPPED = Path(__file__).resolve().parent.parent / "demo" / "recordings"


def read_scenario(
    path: Path, profiles: Mapping[str, DeviceProfile] | None = None, lines: Mapping[str, str] | None = None
) -> SimWorld:
    """A scenario file, its recordings and profiles, ready to run. Raises ConfigError.

    lines: other addresses by line id ("host:port", a pty path, or a broker URL), for a caller that chose the ports.
    """
    if profiles is None:
        from device_model.library import shipped_profiles

        profiles = shipped_profiles()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Finding(str(path), 0, 0, f"cannot be read: {error}", "name a scenario file")]) from error
    scenario = _readdressed(parse_scenario(text, str(path), profiles), lines or {})
    recordings = {name: read_recording(name, path.parent) for name in {r.recording for r in scenario.replays}}
    return SimWorld(scenario, profiles, recordings)


def read_recording(name: str, beside: Path) -> Recording:
    """A recording by name: beside the scenario, in a folder `recordings` there, a shipped one, or `set/experiment` of
    the folder that TOCSIN_RECORDINGS names (recording_sets.py)."""
    if name.partition("/")[0] in SETS:
        return read_set(name, recordings_folder())
    for folder in (beside, beside / "recordings", _SHIPPED):
        for ending in (".csv.gz", ".csv"):
            path = folder / f"{name}{ending}"
            if path.is_file():
                return parse_recording(path.read_bytes(), name)
    raise ConfigError([Finding(name, 0, 0, f"no recording {name!r}", f"put {name}.csv.gz beside the scenario")])


def _readdressed(scenario: Scenario, lines: Mapping[str, str]) -> Scenario:
    changed = []
    for line in scenario.lines:
        address = lines.get(line.id)
        if address is None:
            changed.append(line)
        elif "://" in address:
            changed.append(msgspec.structs.replace(line, url=address))
        elif (split := address.rpartition(":"))[2].isdigit() and split[0]:
            changed.append(msgspec.structs.replace(line, host=split[0], port=int(split[2])))
        else:
            changed.append(msgspec.structs.replace(line, path=address))
    return msgspec.structs.replace(scenario, lines=tuple(changed))


def run_simulation(
    path: Path, *, truth: Path | None = None, duration_s: float | None = None, as_json: bool = False,
    lines: Mapping[str, str] | None = None, world: SimWorld | None = None,
) -> None:
    """Run a scenario until interrupted, or for so many real seconds. Exits 1 with a message on a wrong file or a
    busy port. world: of a caller that has read the file itself."""
    if not structlog.is_configured():  # standard output carries the outcome
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        world = read_scenario(path, lines=lines) if world is None else world
        outcome = asyncio.run(_run(world, truth, duration_s, quiet=as_json))
    except TocsinError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from error
    if as_json:
        print(msgspec.json.encode(outcome).decode())


async def _run(world: SimWorld, truth: Path | None, duration_s: float | None, *, quiet: bool) -> dict[str, object]:
    runtime = SimRuntime(world, clock_from_environment(), truth=truth)
    running = asyncio.create_task(runtime.run())
    ready = asyncio.create_task(runtime.ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if runtime.ready.is_set() and not quiet:
        print(f"{world.scenario.scenario}: {len(world.devices)} devices on", flush=True)
        for name, address in runtime.addresses.items():
            print(f"  {name:20} {address}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return {"scenario": world.scenario.scenario, "seed": world.scenario.seed, "counts": dict(runtime.counts),
            "fires": runtime.fires}


def run_proxy(
    listen: str, to: str, *, cut_after_s: float | None = None, cut_for_s: float = 30.0,
    kind: CutKind = CutKind.CUT, duration_s: float | None = None,
) -> None:
    """A link that can be made bad: `kind` from `cut_after_s` for `cut_for_s` shown seconds. Exits 1 if busy."""
    for what, address, least in (("the end to listen on", listen, 0), ("the end to pass on to", to, 1)):
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not least <= int(port) <= 65535:
            print(f"{what}, {address!r}, is no address: write host:port, as 127.0.0.1:1883", file=sys.stderr)
            raise SystemExit(1)
    try:
        asyncio.run(_proxy(Proxy("link", listen, to), cut_after_s, cut_for_s, kind, duration_s))
    except TocsinError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        return


async def _proxy(
    entry: Proxy, after_s: float | None, for_s: float, kind: CutKind, duration_s: float | None
) -> None:
    clock = clock_from_environment()
    proxy = LinkProxy(entry, clock)
    await proxy.start()
    print(f"{proxy.address[0]}:{proxy.address[1]} passes on to {entry.to}", flush=True)

    async def schedule() -> None:
        if after_s is not None:
            await clock.sleep(after_s)
            proxy.bend(Cut(entry.id, after_s, for_s, kind))
            print(f"{kind}", flush=True)
            await clock.sleep(for_s)
            proxy.bend(None)
            print("whole again", flush=True)
        await asyncio.Event().wait()

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(schedule(), duration_s)
    await proxy.close()
