"""VisionChild (I/O): the vision process as a child of the gateway, watched by its pulse.

    start ─► `tocsin vision run --config …` ─ a byte a tick on a pipe ─► alive
                │ ends, or no pulse for 8 s ──► killed, PeerSilent ──► Supervisor: again after 1, 2, 4 … 30 s
                └ its cameras fall silent at the broker ──► device.silent: the fault that people see, within 10 s

Decoders and models live in that process: what they do wrong costs cameras, never alarms of the wire. Under systemd
`tocsin-vision.service` does the same with its watchdog, and the site file says `start: false`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence

import structlog

from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault, PeerSilent

log = structlog.get_logger("gateway.vision")
PULSE_VARIABLE = "TOCSIN_PULSE_FD"
HUNG_AFTER_S = 8.0  # with the rule's second still within ten
FIRST_PULSE_S = 60.0  # models are loaded and cameras asked first
LOOK_EVERY_S = 0.5
END_WITHIN_S = 5.0  # clips are closed and signed
HUNG_ENDS_WITHIN_S = 0.5  # who gives no sign of life will hardly hear


def vision_command(config: str) -> tuple[str, ...]:
    """What is started."""
    return (sys.executable, "-m", "tocsin", "vision", "run", "--config", config)


async def keep_vision(command: Sequence[str], clock: Clock, speed: float = 1.0) -> None:
    """One life of the child: until it ends or hangs (PeerSilent), cannot be started (LocalFault), or we are
    cancelled. Returns never otherwise."""
    reading, writing = os.pipe()
    pulse = _Pulse(clock)
    loop = asyncio.get_running_loop()
    try:
        try:
            child = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=(writing,),
                env={**os.environ, PULSE_VARIABLE: str(writing)})
        except OSError as error:
            raise LocalFault(f"{command[0]} cannot be run: {error.strerror}") from error
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        loop.add_reader(reading, pulse.heard, reading)
        log.info("vision process starts", pid=child.pid)
        patience_s = END_WITHIN_S
        try:
            await _watched(child, pulse, clock, speed)
        except PeerSilent:
            patience_s = HUNG_ENDS_WITHIN_S
            raise
        finally:
            loop.remove_reader(reading)
            await _ended(child, patience_s)
    finally:
        os.close(reading)


class _Pulse:
    """When the child was last alive."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last_us = clock.now().mono_us
        self.beats = 0

    def heard(self, fd: int) -> None:
        """Bytes came; an ended pipe gives none, and that is no life."""
        with contextlib.suppress(BlockingIOError):
            if os.read(fd, 4096):
                self.beats += 1
                self.last_us = self._clock.now().mono_us


async def _watched(child: asyncio.subprocess.Process, pulse: _Pulse, clock: Clock, speed: float) -> None:
    while True:
        if child.returncode is not None:
            raise PeerSilent(f"the vision process ended with {child.returncode}")
        limit_s = (HUNG_AFTER_S if pulse.beats else FIRST_PULSE_S) * speed
        if clock.now().mono_us - pulse.last_us > limit_s * SECOND_US:
            raise PeerSilent(f"the vision process gave no sign of life for {limit_s / speed:g} s")
        await clock.sleep(LOOK_EVERY_S * speed)


async def _ended(child: asyncio.subprocess.Process, patience_s: float) -> None:
    """Asked to end; a hung one is killed. What it was writing is taken in by its next start, with a declared gap."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    ending = asyncio.ensure_future(child.wait())
    try:
        await asyncio.wait({ending}, timeout=patience_s)
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await asyncio.wait({ending})
