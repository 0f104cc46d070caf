"""Child processes of the demo: started, watched, restarted when they die, ended with the demo.

    demo ──► sim (devices) ──► gateway × 2 ──► cloud (broker, ingest, worker, web)
      each writes its own log file; a dead one is started again after a short pause, as systemd would
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from device_model.child_process import end_with_parent, free_ports  # noqa: F401  ports: told beside children
from device_model.errors import LocalFault

RESTART_PAUSE_S = 0.5
# A process that dies so often does not come up at all: better to say so than to spin.
DEATHS_MAX = 20


class Child:
    """One process with a name, a log and a will to live."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, environment: dict[str, str],
                 *, restart: bool = True) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = list(arguments)
        self._environment = {**os.environ, **environment}
        self._restart = restart
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ending = False
        self.deaths = 0

    @property
    def pid(self) -> int:
        """The process id; 0 while it is not running."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def start(self) -> None:
        """Start it, and watch it from here on."""
        await self._spawn()
        self._watch = asyncio.create_task(self._keep_alive(), name=f"watch {self.name}")

    async def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment, preexec_fn=end_with_parent,
            )

    async def _keep_alive(self) -> None:
        while True:
            process = self._process
            if process is None:
                return
            await process.wait()
            if self._ending or not self._restart:
                return
            self.deaths += 1
            if self.deaths > DEATHS_MAX:
                return
            await asyncio.sleep(RESTART_PAUSE_S)
            await self._spawn()

    @property
    def gave_up(self) -> bool:
        """Whether it died and will not come back."""
        return self.pid == 0 and (not self._restart or self.deaths > DEATHS_MAX) and not self._ending

    def kill(self) -> None:
        """SIGKILL, as a crash would; it is started again."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it for good: SIGTERM, and SIGKILL after 5 s."""
        self._ending = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for a message when it does not come up."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def tocsin_command(*arguments: str) -> list[str]:
    """The command line that runs this very program with other arguments."""
    return [sys.executable, "-m", "tocsin", *arguments]


def free_port_near(wanted: int) -> int:
    """The wanted port if it is free, else one of the next 20; LocalFault when none is."""
    for port in range(wanted, wanted + 20):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LocalFault(f"ports {wanted} to {wanted + 19} are all in use: free one, or choose another with --port")


async def port_answers(port: int, timeout_s: float) -> bool:
    """Whether something listens on a port of loopback within that time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while loop.time() < end:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return True
    return False
