"""A bench with its page on loopback, in a thread with a loop of its own; the browser that looks at it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import uvicorn

from device_model.library import shipped_profiles
from device_model.system_clock import SystemClock
from firmware_sim.scenario import Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.world import SimWorld
from firmware_sim.world_plan import DoorPlan, RoomPlan, WorldPlan
from trial.page_server import create_tester_app
from trial.profile_shelf import ProfileShelf
from trial.sim_bench import SimBench

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


def house() -> Scenario:
    """A detector, a gas head and a room with a door."""
    return Scenario(
        "house", (SimLine("bus", LineKind.MODBUS_TCP),),
        (SimDevice("duct", "calectro-ug3", "bus", 1), SimDevice("co", "gas-module-co", "bus", 2)),
        en="A small house", zh="小房子", seed=5,
        world=WorldPlan(rooms=(RoomPlan("kitchen", 10.0), RoomPlan("hall", 15.0)),
                        doors=(DoorPlan("door", ("kitchen", "hall")),)))


class Served:
    """A bench with its page, in a thread with a loop of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = self.folder = folder
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._up.wait(60)

    async def _run(self) -> None:
        self.bench = SimBench(SimWorld(house(), shipped_profiles(), {}), SystemClock(), self._folder,
                              shelf=ProfileShelf(self._folder / "profiles"))
        self.app = create_tester_app(self.bench)
        live = asyncio.create_task(self.bench.run())
        await self.bench.runtime.ready.wait()
        self._server = uvicorn.Server(uvicorn.Config(self.app, host="127.0.0.1", port=0, log_level="error",
                                                     timeout_graceful_shutdown=1))
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        self.modbus_port = int(self.bench.runtime.addresses["bus"].rpartition(":")[2])
        self._up.set()
        await serving
        await self.bench.closed(live)

    def stop(self) -> None:
        self.bench.closing = True
        self._server.should_exit = True
        self._thread.join(10)
