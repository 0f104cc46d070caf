"""`tocsin sim fleet` (I/O): a district of simulated devices, alive until told otherwise; at its end what it cost."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import structlog

from device_model.errors import ConfigError, Finding, TocsinError
from device_model.library import shipped_profiles
from device_model.system_clock import clock_from_environment
from firmware_sim.camera import many_cameras
from firmware_sim.camera_server import CameraServer
from firmware_sim.fleet import FLEETS, FleetPlan, causes, fleet_scenario, scaled
from firmware_sim.mqtt_clients import MqttLine
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld


class FleetCost(msgspec.Struct, frozen=True):
    """What a fleet did and cost. cpu_cores: of this process; rss_mib: its largest memory; up_s: until ports stood."""

    fleet: str
    devices: int
    cameras: int
    seconds: float
    up_s: float
    cpu_cores: float
    rss_mib: float
    messages_per_s: float
    messages_lost: int
    sessions: int
    sessions_connected: int
    timeline: dict[str, int]
    happened: dict[str, int]


def fleet_of(name: str, share: float) -> FleetPlan:
    """A fleet by name. Raises ConfigError."""
    if name not in FLEETS:
        raise ConfigError([Finding("sim fleet", 0, 0, f"no fleet {name!r}", f"there are {', '.join(FLEETS)}")])
    if not 0.0 < share <= 1.0:
        raise ConfigError([Finding("sim fleet", 0, 0, f"{share} is no share", "write more than 0, at most 1")])
    return FLEETS[name] if share == 1.0 else scaled(FLEETS[name], share)


def run_fleet(
    name: str, *, broker: str, centre: str, rate: float, days: float, share: float, seed: int, truth: Path | None,
    page: int, for_s: float | None, as_json: bool,
) -> int:
    """Serve it until interrupted, or for so long; the exit code."""
    if not structlog.is_configured():
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr),
                            wrapper_class=structlog.make_filtering_bound_logger(30))
    try:
        plan = fleet_of(name, share)
        scenario = fleet_scenario(plan, seed=seed, broker=broker, centre=centre, rate=rate, days=days)
        world = SimWorld(scenario, shipped_profiles(), {})
        if page >= 0:
            from trial.page_commands import serve_page

            return asyncio.run(serve_page(world, port=page, cameras=plan.cameras, truth=truth, for_s=for_s))
        cost = asyncio.run(_live(plan, world, truth, for_s, quiet=as_json))
    except (TocsinError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(msgspec.json.encode(cost).decode() if as_json else _as_text(cost))
    if cost.sessions and not cost.sessions_connected:
        print(f"sim fleet: {broker} took no session: nothing was heard of what the devices said; start the broker or "
              "name another with --broker", file=sys.stderr)
        return 1
    return 0


async def _live(
    plan: FleetPlan, world: SimWorld, truth: Path | None, for_s: float | None, *, quiet: bool,
) -> FleetCost:
    async with contextlib.AsyncExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-fleet-")))
        began_s = time.monotonic()
        runtime = SimRuntime(world, clock_from_environment(), truth=truth)
        live = asyncio.create_task(runtime.run())
        ends.push_async_callback(_ended, live)
        ready = asyncio.create_task(runtime.ready.wait())
        await asyncio.wait({live, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if live.done():
            live.result()
        if plan.cameras:
            cameras = CameraServer(many_cameras(plan.cameras), folder)
            await cameras.start()
            ends.push_async_callback(cameras.close)
            if not quiet:
                print(f"cameras: {cameras.url('cam-1')} … {cameras.url(f'cam-{plan.cameras}')}", flush=True)
        up_s, cpu_s, from_s = time.monotonic() - began_s, _own_cpu_s(), time.monotonic()
        if not quiet:
            print(f"{plan.name}: {plan.en}; {len(runtime.addresses)} lines, up in {up_s:.1f} s", flush=True)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({live, stopping}, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if live.done():
            live.result()
        took_s = max(1e-3, time.monotonic() - from_s)
        radios = [line for line in runtime.lines if isinstance(line, MqttLine)]
        return FleetCost(
            plan.name, len(world.devices), plan.cameras, round(took_s, 1), round(up_s, 2),
            round((_own_cpu_s() - cpu_s) / took_s, 3),
            round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            round(sum(line.published for line in radios) / took_s, 1), sum(line.lost for line in radios),
            sum(line.sessions for line in radios), sum(line.connected for line in radios), causes(world.scenario),
            dict(runtime.counts))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _as_text(cost: FleetCost) -> str:
    return "\n".join(f"  {name:20} {value}" for name, value in msgspec.structs.asdict(cost).items())
