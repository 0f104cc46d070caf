"""OwnBroker (I/O): a plain MQTT broker on loopback while a trial lasts: Mosquitto, else the nats-server wheel.

It ends with this process, however that ends, and keeps nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from device_model.child_process import end_with_parent, free_ports
from device_model.clock import SECOND_US
from device_model.errors import LocalFault
from device_model.system_clock import real_mono_us

UP_WITHIN_S = 20.0
_LOOK_S = 0.05
_END_WITHIN_S = 5.0


@contextlib.asynccontextmanager
async def own_broker(folder: Path) -> AsyncIterator[str]:
    """The broker's address while it runs. folder: for its configuration. Raises LocalFault where there is none."""
    (port,) = free_ports(1)
    command = _command(folder, port)
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, preexec_fn=end_with_parent)
    try:
        await _answers(port, child)
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        await _end(child)


def _command(folder: Path, port: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or shutil.which("mosquitto")
    if mosquitto:
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
                          "max_queued_messages 1000\n", encoding="utf-8")
        return [mosquitto, "-c", str(config)]
    from community_os.broker import find_nats_server

    config = folder / "broker.conf"
    config.write_text("server_name: trial\nlisten: 127.0.0.1:-1\n"
                      f"jetstream {{ store_dir: \"{folder / 'broker'}\" }}\n"
                      f"mqtt {{ listen: \"127.0.0.1:{port}\" }}\n", encoding="utf-8")
    return [find_nats_server(), "-c", str(config)]


async def _answers(port: int, child: asyncio.subprocess.Process) -> None:
    """Real time: another process comes up, whatever the simulated clock says."""
    until_us = real_mono_us() + round(UP_WITHIN_S * SECOND_US)
    while child.returncode is None and real_mono_us() < until_us:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(_LOOK_S)
            continue
        writer.close()
        return
    raise LocalFault("no MQTT broker came up on loopback; start one and name it with --broker mqtt://host:port")


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(_END_WITHIN_S):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
