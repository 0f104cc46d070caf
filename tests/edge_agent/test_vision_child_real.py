"""The vision process as the gateway's child: a pulse, its end, its hanging, and our own end."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from device_model.errors import LocalFault, PeerSilent
from device_model.system_clock import SystemClock
from edge_agent import vision_child
from edge_agent.supervision import Supervisor
from edge_agent.vision_child import keep_vision, vision_command

pytestmark = pytest.mark.real
BEAT = "import os,time,sys\nfd=int(os.environ['TOCSIN_PULSE_FD'])\n"
LIVES = BEAT + "open(sys.argv[1],'a').write(f'{os.getpid()}\\n')\nwhile True: os.write(fd,b'.'); time.sleep(0.05)"
HANGS = BEAT + "import signal; signal.signal(signal.SIGTERM,signal.SIG_IGN)\nos.write(fd,b'.'); time.sleep(60)"


async def test_a_child_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision_child, "HUNG_AFTER_S", 0.5)
    monkeypatch.setattr(vision_child, "END_WITHIN_S", 0.3)
    with pytest.raises(PeerSilent, match="no sign of life"):
        await keep_vision((sys.executable, "-c", HANGS), SystemClock())


async def test_a_child_that_ends_is_said_and_one_that_cannot_start_too() -> None:
    with pytest.raises(PeerSilent, match="ended with 3"):
        await keep_vision((sys.executable, "-c", "raise SystemExit(3)"), SystemClock())
    with pytest.raises(LocalFault, match="cannot be run"):
        await keep_vision(("/nowhere/python",), SystemClock())


async def test_a_killed_child_begins_anew_and_ends_with_us(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    supervisor = Supervisor(SystemClock())
    said: list[str] = []
    supervisor.failed = lambda part, detail: said.append(f"{part}: {detail}")
    command = (sys.executable, "-c", LIVES, str(lives))
    keeping = asyncio.ensure_future(
        supervisor.keep("vision", lambda: keep_vision(command, supervisor.clock_of("vision"))))

    async def born(count: int) -> list[int]:
        for _ in range(1200):
            pids = [int(line) for line in lives.read_text().split()] if lives.exists() else []
            if len(pids) >= count:
                return pids
            await asyncio.sleep(0.05)
        raise AssertionError(f"no life number {count}: {said}")

    (first,) = await born(1)
    os.kill(first, 9)
    _, second = await born(2)
    assert said and "ended with -9" in said[0]
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_the_command_is_ours() -> None:
    assert vision_command("v.yaml")[1:] == ("-m", "tocsin", "vision", "run", "--config", "v.yaml")
