"""Law 4 to the second: a disk that is full, read-only or stalled for a minute while it burns and gas leaks.

Outputs act, the alarm is sounded and sent, marked not journaled; when the disk is well the original follows.
"""

from __future__ import annotations

import pytest

from device_model.messages import AlarmRecord, Batch, Lane, decode_batch, is_memory_epoch
from tests.simulation.schedule import Event, Fire, Plan
from tests.simulation.test_scenarios import FOREVER, GAS, SMOKE_1
from tests.simulation.world import World

DISK_FROM_S, DISK_FOR_S = 20.0, 60.0
SECOND = 1_000_000


@pytest.mark.parametrize("disk", ["disk_full", "disk_read_only", "disk_hang"])
def test_outputs_act_and_alarms_are_sent_while_the_disk_takes_nothing(disk: str) -> None:
    world = World(7, plan=Plan((1,), (Event(DISK_FROM_S, disk, 1, DISK_FOR_S),),
                               (Fire(30.0, 1, SMOKE_1, FOREVER), Fire(45.0, 1, GAS, FOREVER)), 130.0))
    batches: list[tuple[float, Batch]] = []

    def listen(target: World) -> None:
        real = target.cloud.broker.probe

        def probe(what: str, client: str, topic: str, payload: bytes) -> None:
            if what == "accepted" and topic.endswith("/up/alarm"):
                batches.append((target.loop.now_us / SECOND, decode_batch(payload)))
            if real is not None:
                real(what, client, topic, payload)

        target.cloud.broker.probe = probe

    world._sabotage = listen
    verdict = world.run()
    assert verdict.problems == ()
    smoke, gas = world.witness.stimuli
    assert smoke.sounder_due and 0 < smoke.sounded_us - smoke.began_us <= 2.05 * SECOND, "as with a healthy disk"
    assert smoke.shown_us - smoke.began_us < 4 * SECOND and gas.shown_us - gas.began_us < 6 * SECOND
    told = [(at, batch.epoch, record.body.transition) for at, batch in batches for record in batch.records
            if batch.lane is Lane.ALARM and isinstance(record.body, AlarmRecord)
            and record.body.transition.state == "raised" and record.body.transition.key.rule == "fire.smoke"]
    during = [(epoch, step) for at, epoch, step in told if at < DISK_FROM_S + DISK_FOR_S]
    assert during and all(is_memory_epoch(epoch) and not step.journaled for epoch, step in during)
    after = [(epoch, step) for at, epoch, step in told if at > DISK_FROM_S + DISK_FOR_S]
    assert any(not is_memory_epoch(epoch) and step.journaled for epoch, step in after), "the original follows"
    assert len({step.alarm for _, _, step in told}) == 1, "one alarm, told twice"
