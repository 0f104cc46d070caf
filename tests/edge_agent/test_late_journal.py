"""A journal that opens later than the gateway starts: what stood before stands again, beside what was found since."""

from __future__ import annotations

import asyncio

import pytest

from device_model.command import Command, CommandKind, CommandOutcome
from tests.edge_agent.test_hot_change import isolation
from tests.edge_agent.test_runtime import Bench
from trial.store_model import DiskMode
from trial.virtual_time import VirtualLoop, run_virtual


async def fire_then_restart_without_disk(bench, meanwhile):
    """A fire stands, latched, its smoke gone; then a start on which the disk does not open for 30 s."""
    bench.start()
    await bench.runtime.started.wait()
    await bench.clock.sleep(5)
    bench.runtime.act_on_site(isolation("smoke-2"))
    bench.smoke()
    await bench.clock.sleep(5)
    bench.smoke(False)
    await bench.clock.sleep(15)
    bench.before = bench.runtime.core.open_alarms()
    await bench.kill()
    bench.disk.mode = DiskMode.READ_ONLY
    bench.start()
    await bench.runtime.started.wait()
    await bench.clock.sleep(10)
    assert not bench.runtime.core.open_alarms(), "nothing is known yet"
    await meanwhile()
    await bench.clock.sleep(20)
    bench.disk.mode = DiskMode.OK
    await bench.clock.sleep(60)


@pytest.mark.parametrize("again", [False, True])
def test_a_latched_fire_stands_again_when_the_journal_opens(kit, again):
    loop = VirtualLoop()

    async def main():
        bench = Bench(kit, loop)

        async def meanwhile():
            if again:
                bench.smoke()
                await bench.clock.sleep(3)
                bench.found = bench.runtime.core.open_alarms()

        await fire_then_restart_without_disk(bench, meanwhile)
        core = bench.runtime.core
        fires = {alarm.alarm for alarm in core.open_alarms() if alarm.subject == "smoke-1.smoke"}
        # What this life found itself is the same matter: one alarm of it stands, so that none hides the other.
        assert fires == {alarm.alarm for alarm in (bench.found if again else bench.before)}, "raised stays raised"
        assert core.outputs.state("cut").tripped and core.outputs.state("cut").on, "a trip stays tripped"
        assert [i.compensation for i in core.impairments() if i.subject == "smoke-2"] == ["guard walks hourly"]
        assert core.counts["failed_steps"] == 0 and core.journal_ok
        bench.smoke(False)
        await bench.clock.sleep(10)
        for number, alarm in enumerate(fires):
            result = bench.runtime.act_on_site(
                Command(f"r-{number}", CommandKind.RESET_ALARM, alarm, "Li Wei", "looked", 0, 0))
            assert result.outcome is CommandOutcome.APPLIED
        assert not [a for a in core.open_alarms() if a.subject == "smoke-1.smoke"]
        await bench.kill()
        bench.cloud_task.cancel()
        await asyncio.gather(bench.cloud_task, return_exceptions=True)

    run_virtual(main(), loop)
