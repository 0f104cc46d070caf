"""The whole of a district on two cores: cloud on one, devices and their 200 gateways on the other (I/O).

    core 1: fleet_gateways (devices + production gateways) ──MQTT over TLS──► core 0: nats-server, ingest,
                                                                                  worker, web

Judged by what arrives: every smoke alarm that a device showed must be an incident's alarm on the board; no record
of the alarm lane may be left unacknowledged; the ledger may show no gap.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.cloud import BenchCloud
from bench.report import Report, figure, process_cpu_s, process_rss_mib, report
from demo.board_client import board_events, get_json
from demo.files import save
from device_model.errors import LocalFault
from firmware_sim.fleet import FLEETS, FleetPlan, fleet_scenario, part_of, scaled
from firmware_sim.scenario_lines import LineKind

UP_S = 600.0
DRAIN_S = 150.0  # what is on its way must arrive, however busy the machine
_KINDS = {LineKind.MQTT: "mqtt", LineKind.MODBUS_TCP: "modbus_tcp", LineKind.GBT26875: "gbt26875_tcp_server"}


def site_of(number: int, gateways: int, plan: FleetPlan, cloud: dict[str, Any]) -> dict[str, Any]:
    """The site file of one gateway: a zone a detector, so that each alarm is an incident of its own."""
    scenario = fleet_scenario(part_of(plan, number, gateways), rate=0.0)
    lines = [{"id": line.id, "kind": _KINDS[line.kind], "host": "127.0.0.1", "port": 20_000 + place}
             for place, line in enumerate(scenario.lines)]
    devices = []
    for place, device in enumerate(scenario.devices):
        entry: dict[str, Any] = {"id": device.id, "profile": device.profile, "line": device.line,
                                 "zone": f"z{place}"}
        if device.address:
            entry["address"] = device.address
        else:
            entry["unit"] = device.unit
        devices.append(entry)
    zones = [{"id": f"z{place}", "name": f"zone {place}"} for place in range(len(devices))]
    return {
        "site": {"path": f"bench/bench/bench/s{number:03d}", "name": f"estate {number}",
                 "time_zone": "Asia/Shanghai"},
        "gateway": {"id": "gw-1", "journal_path": f"unused-{number}.sqlite", "heartbeat_s": 30.0, "cloud": cloud},
        "lines": lines,
        "buildings": [{"id": f"b{place}", "name": f"building {place}",
                       "floors": [{"id": "f1", "name": "1", "zones": [zone]}]} for place, zone in enumerate(zones)],
        "devices": devices,
    }


class _Board:
    """Alarms that came to the board, by site and device."""

    def __init__(self) -> None:
        self.alarms: set[str] = set()

    def take(self, incident: dict[str, Any]) -> None:
        """One incident as the page gets it."""
        for alarm in incident.get("alarms", ()):
            self.alarms.add(f"{incident['tenancy']['site']}/{alarm['device']}")

    async def watch(self, port: int) -> None:
        """Follow the event stream, from a snapshot on; ask anew when it breaks."""
        while True:
            board = (await get_json(port, "/api/board"))["board"]
            for incident in board["incidents"]:
                self.take(incident)
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
                async for _, kind, payload in board_events(port, board["revision"]):
                    if kind == "incident":
                        self.take(payload)
            await asyncio.sleep(0.5)


async def measure_system(options: argparse.Namespace, folder: Path) -> Report:
    """Run it all; the figures."""
    cores = sorted(os.sched_getaffinity(0))
    plan = scaled(FLEETS[options.fleet], options.share)
    cloud = BenchCloud(folder)
    (folder / "sites").mkdir()
    files = []
    for number in range(options.gateways):
        _, _, link = cloud.enrol(f"s{number:03d}")
        files.append(save(folder / "sites" / f"s{number:03d}.yaml",
                          site_of(number, options.gateways, plan, link)))
    board = _Board()
    child: asyncio.subprocess.Process | None = None
    try:
        await cloud.start(files, ready_s=UP_S)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.fleet_gateways", "--fleet", options.fleet, "--share",
            str(options.share), "--sites", str(folder / "sites"),
            "--keys", str(folder), "--port", str(cloud.mqtt_port), "--gateways", str(options.gateways), "--rate",
            str(options.rate), "--start-s", str(options.start), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, limit=2**24)
        watching = asyncio.create_task(board.watch(cloud.web_port))
        return await _figures(options, cloud, child, board, watching, (cores[0], cores[-1]))
    finally:
        if child is not None and child.returncode is None:
            child.kill()
            await child.wait()
        await cloud.stop()


async def _figures(options: argparse.Namespace, cloud: BenchCloud, child: asyncio.subprocess.Process, board: _Board,
                   watching: asyncio.Task[None], cores: tuple[int, int]) -> Report:
    """cores: of the cloud and of the fleet. Site files are read on any core; what is measured runs on its own."""
    assert child.stdout is not None
    began_s = time.monotonic()
    if not await child.stdout.readline():
        raise LocalFault("the gateways ended; see above")
    for pid in cloud.role_pids().values():
        _pin(pid, cores[0])
    _pin(child.pid, cores[1])
    state = await _ask(child)
    while state["connected"] < options.gateways and time.monotonic() - began_s < UP_S:
        await asyncio.sleep(1.0)
        state = await _ask(child)
    up_s = time.monotonic() - began_s
    await asyncio.sleep(15.0)  # the first report of everything is no measure of a district's day
    first = await _ask(child)  # takes the loop's lag of the start with it
    roles = ("ingest", "worker", "web", "nats")
    cpu = {"fleet": process_cpu_s(child.pid), **{role: cloud.cpu_s(role) for role in roles}}
    from_s = time.monotonic()
    await asyncio.sleep(options.seconds)
    last = await _ask(child, "quiet")
    took_s = time.monotonic() - from_s
    spent = {"fleet": (process_cpu_s(child.pid) - cpu["fleet"]) / took_s,
             **{role: (cloud.cpu_s(role) - cpu[role]) / took_s for role in roles}}
    lost: set[str] = set(last["alarms"])
    until_s = time.monotonic() + DRAIN_S
    while time.monotonic() < until_s:
        state = await _ask(child)
        lost = set(last["alarms"]) - board.alarms
        if not lost and not state["waiting"]:
            break
        await asyncio.sleep(1.0)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    shown = (await get_json(cloud.web_port, "/api/board"))["board"]
    pids = cloud.role_pids()
    for name in sorted(lost)[:10]:
        print(f"lost: {name} at {last['alarms'][name]:.0f} s", file=sys.stderr)
    for why in state["dead"][:5]:
        print(f"a gateway ended: {why}", file=sys.stderr)
    return report("fleet", {
        "devices": figure(last["devices"], ""),
        "gateways_connected": figure(last["connected"], "", at_least=options.gateways),
        "fleet_cores": figure(spent["fleet"], "cores", at_most=1.0),
        "fleet_rss_mib": figure(process_rss_mib(child.pid), "MiB"),
        "cloud_cores": figure(sum(spent[role] for role in roles), "cores", at_most=1.0),
        **{f"{role}_cores": figure(spent[role], "cores") for role in roles},
        "cloud_rss_mib": figure(sum(process_rss_mib(pids[role]) for role in roles if role in pids), "MiB"),
        "device_messages_per_s": figure((last["messages"] - first["messages"]) / took_s, "1/s"),
        "records_per_s": figure((last["records"] - first["records"]) / took_s, "1/s"),
        "loop_lag_s": figure(last["lag_s"], "s"),
        "connections": figure(last["connections"], ""),
        "alarms": figure(len(last["alarms"]), ""),
        "lost": figure(len(lost) + len(state["dead"]) + last["radio_lost"], "", at_most=0),
        "unacknowledged": figure(state["waiting"], "", at_most=0),
        "gaps": figure(len(shown["gaps"]), "", at_most=0),
        "all_up_s": figure(up_s, "s"),
    }, {"rate": options.rate, "seconds": round(took_s, 1)})


def _pin(pid: int, core: int) -> None:
    """All threads of a process onto one core; threads to come inherit it."""
    with contextlib.suppress(OSError):  # a thread that ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


async def _ask(child: asyncio.subprocess.Process, word: str = "") -> dict[str, Any]:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(word.encode() + b"\n")
    await child.stdin.drain()
    line = await child.stdout.readline()
    if not line:
        raise LocalFault("the gateways ended; see above")
    told: dict[str, Any] = json.loads(line)
    return told
