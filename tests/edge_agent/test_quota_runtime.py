"""The running gateway keeps its journal's quota on a real SQLite file: an hour without a cloud, a value a second."""

from __future__ import annotations

import asyncio
from datetime import UTC
from pathlib import Path

import msgspec

from bench.outage_site import LINE, METER, Feed, World, outage_site, subject_of
from bench.soak import InlineJournal
from community_os.ledger import Ledger
from device_drivers.driver import Emit
from device_model.inventory import Inventory
from device_model.messages import WIRE_VERSION, AlarmRecord, Batch, Lane
from edge_agent.events import Log
from edge_agent.runtime import GatewayRuntime
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

QUOTA_MIB = 1
SECONDS = 4000


def test_telemetry_is_thinned_declared_and_alarms_stay(tmp_path: Path) -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop, "boot", wall_us=1_780_000_000_000_000)
    inventory, rules = outage_site()
    site = msgspec.structs.replace(inventory.site, gateway=msgspec.structs.replace(
        inventory.site.gateway, journal_quota_mib=QUOTA_MIB))
    inventory = Inventory(site, inventory.profiles)
    journal, world, said = InlineJournal(tmp_path / "journal.sqlite", max_bytes=QUOTA_MIB * 2**20), World(), []
    ledger = Ledger()

    def make(emit: Emit) -> Feed:
        return Feed(world, inventory, clock, emit)

    def note(line: Log) -> None:
        said.append((line.level, line.what))

    async def story() -> None:
        runtime = GatewayRuntime(inventory, rules, clock=clock, store=journal, zone=UTC, listening={LINE: make},
                                 log=note)
        task = asyncio.ensure_future(runtime.run())
        for second in range(SECONDS):
            await asyncio.sleep(1.0)
            world.set(METER, second)
            if second % 1000 == 500:
                world.set(subject_of(2 * (second // 1000)), True)
        await asyncio.sleep(120.0)
        assert journal.used_bytes < QUOTA_MIB * 2**20
        state = await journal.open()
        for lane in Lane:
            rows = await journal.read(lane, 1, 10**9, 10**9)
            for at in range(0, len(rows), 500):
                ledger.apply(Batch(WIRE_VERSION, "gw-1", state.epoch, lane, tuple(rows[at:at + 500])), 1)
            if lane is Lane.ALARM:
                rises = {row.body.transition.key.subject for row in rows if isinstance(row.body, AlarmRecord)}
                assert rises >= {subject_of(2 * n) for n in range(4)}, "no alarm is thinned"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(story(), loop)
    assert ("warning", "journal over its quota, telemetry thinned") in said
    assert ("error", "not journaled") not in said, "there was always room for an alarm"
    assert ledger.gaps() == () and {loss.lane for loss in ledger.losses()} == {Lane.TELEMETRY}
    assert all("thinned to steps of" in loss.reason for loss in ledger.losses()), ledger.losses()
