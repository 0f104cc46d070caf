"""kill -9 of every part at random moments of the demo: the same three incidents, nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from demo.audit import audit_stream
from demo.commands import Verdict, judge
from demo.stack import Stack
from demo.watch import BoardWatch, read_truth
from device_model.child_process import free_ports
from device_model.system_clock import real_mono_us
from tests.system.house import processes

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]
SEED = 20_261_122
SPEED = 10.0
# The last fire burns from 19 s on; kills are spread over the whole of the scenario's 24 s.
LAST_KILL_S = 24.0
RECOVERED_WITHIN_S = 90.0
VICTIMS = ("gateway-riverside", "worker", "ingest", "web", "nats-server", "cloud", "gateway-riverside", "worker")


def victim_process(stack: Stack, victim: str) -> int:
    """Its process id now, 0 while it is being started."""
    if victim in stack.children:
        return stack.children[victim].pid
    words = ("nats-server", str(stack.state_folder)) if victim == "nats-server" else (
        str(stack.folder / "cloud.yaml"), f"--role {victim}")
    return next(iter(processes(*words)), 0)


async def strike(stack: Stack, dice: random.Random) -> list[str]:
    """Kill each victim once, at seeded random moments; returns what was killed when."""
    victims = list(VICTIMS)
    dice.shuffle(victims)
    moments = sorted(dice.uniform(0.5, LAST_KILL_S) for _ in victims)
    loop = asyncio.get_running_loop()
    began = loop.time()
    killed = []
    for moment, victim in zip(moments, victims, strict=True):
        await asyncio.sleep(max(0.0, began + moment - loop.time()))
        while not (process := victim_process(stack, victim)):
            await asyncio.sleep(0.05)  # killed a moment ago and not back yet: wait for it, and kill it then
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        killed.append(f"{victim} at {loop.time() - began:.2f} s")
    return killed


async def verdict_of(stack: Stack, watch: BoardWatch, until_us: int) -> Verdict:
    truth = [line for line in read_truth(stack.truth) if line.is_alarm]
    audit = audit_stream(await stack.read_stream(), judged_until_us=until_us)
    return judge(truth, watch, audit, SPEED, until_us)


async def test_kills_of_every_part(tmp_path: Path) -> None:
    stack = Stack(tmp_path, speed=SPEED, web_port=free_ports(1)[0], say=lambda text: None)
    dice = random.Random(SEED)
    try:
        await stack.start()
        await stack.start_devices()
        await stack.wait_for_gateways()
        watch = BoardWatch(stack.web_port, acknowledge=True)
        watching = asyncio.create_task(watch.run())
        killed = await strike(stack, dice)
        assert len(killed) == len(VICTIMS)
        await asyncio.sleep(3)  # what was named in the last moments is judged, too
        until_us = stack.scale.shown(real_mono_us())
        end = asyncio.get_running_loop().time() + RECOVERED_WITHIN_S
        while True:
            verdict = await verdict_of(stack, watch, until_us)
            if (verdict.ok and verdict.acknowledged_at_gateway == verdict.fires == 3) or \
                    asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(1)
        # A fresh look at the board shows what the watch was shown: nothing was lost with a process's memory.
        fresh = BoardWatch(stack.web_port, acknowledge=False)
        looking = asyncio.create_task(fresh.run())
        for _ in range(600):
            if fresh.incidents.keys() == watch.incidents.keys():
                break
            await asyncio.sleep(0.1)
        for task in (watching, looking):
            task.cancel()
        await asyncio.gather(watching, looking, return_exceptions=True)
    finally:
        await stack.stop()
    logs = "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1200:]}" for log in tmp_path.glob("*.log"))
    assert (verdict.fires, verdict.incidents, verdict.acknowledged_at_gateway) == (3, 3, 3), (killed, verdict, logs)
    assert (verdict.alarms_lost, verdict.unexplained_gaps, verdict.duplicates) == (0, 0, 0), (killed, verdict, logs)
    assert verdict.declared_lost == 0, (killed, verdict)
    assert fresh.incidents.keys() == watch.incidents.keys(), (killed, fresh.incidents.keys(), watch.incidents.keys())
    for incident in fresh.incidents.values():
        assert incident.get("acknowledged_by"), (killed, incident)
    # Those that lost their supervisor by -9 end by themselves, and leave within 8 s if they cannot.
    for _ in range(600):
        if not processes(str(tmp_path)):
            break
        await asyncio.sleep(0.1)
    assert processes(str(tmp_path)) == [], "processes were left behind"
