"""A community OS of its own for a benchmark: real processes in a temporary folder, sites made to measure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from bench.report import process_cpu_s
from demo.board_client import get_json
from demo.children import Child, port_answers, tocsin_command
from demo.files import Yaml, save
from device_model.child_process import free_ports
from device_model.errors import LocalFault
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from provisioning.authority import Authority
from provisioning.commands import GatewayKeys, enrol_into

READY_S = 60.0


def bench_site(name: str, zones: int, devices: list[Yaml], lines: list[Yaml], *, cloud: Yaml, journal: Path) -> Yaml:
    """A site file with one building a zone, so that every alarm is an incident of its own."""
    return {
        "site": {"path": f"bench/bench/bench/{name}", "name": name, "time_zone": "Asia/Shanghai"},
        "gateway": {"id": "gw-1", "journal_path": str(journal), "heartbeat_s": 10.0, "cloud": cloud},
        "lines": lines,
        "buildings": [
            {"id": f"b{n}", "name": f"building {n}",
             "floors": [{"id": "f1", "name": "1", "zones": [{"id": f"z{n}", "name": f"zone {n}"}]}]}
            for n in range(1, zones + 1)
        ],
        "devices": devices,
    }


class BenchCloud:
    """`tocsin cloud run` with sites; start, measure, stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mqtt_port, self.services_port, self.web_port = free_ports(3)
        self._authority = Authority.open(folder / "cloud" / "authority")
        self._child: Child | None = None

    def enrol(self, site: str) -> tuple[GatewayAddress, GatewayKeys, Yaml]:
        """Keys for the gateway of a bench site, and the `cloud:` part of its site file."""
        address = GatewayAddress(Tenancy.of(f"bench/bench/bench/{site}"), "gw-1")
        keys = enrol_into(self._authority, address, self.folder / f"keys-{site}")
        link = {"host": "127.0.0.1", "port": self.mqtt_port, "ca_file": str(keys.ca_file),
                "certificate_file": str(keys.certificate_file), "key_file": str(keys.key_file)}
        return address, keys, link

    async def start(self, sites: Iterable[Path], *, ready_s: float = READY_S) -> None:
        """Start broker, ingest, worker and web; returns when the pages answer. Raises LocalFault."""
        config = save(self.folder / "cloud.yaml", {
            "state": str(self.folder / "cloud"), "port": self.web_port, "sign_in": "open_on_loopback",
            "sites": [str(site) for site in sites],
            "broker": {"mqtt_port": self.mqtt_port, "services_port": self.services_port},
        })
        self._child = Child("cloud", tocsin_command("cloud", "run", "--config", str(config)), self.folder, {})
        await self._child.start()
        if not await port_answers(self.web_port, ready_s):
            raise LocalFault(f"the community OS did not come up:\n{self._child.last_words()}")

    async def wait_for_gateways(self, count: int) -> None:
        """Until the board has heard so many gateways. Raises LocalFault."""
        for _ in range(300):
            board = (await get_json(self.web_port, "/api/board"))["board"]
            if len(board["gateways"]) >= count:
                return
            await asyncio.sleep(0.2)
        raise LocalFault("the gateway was not heard within 60 s")

    def role_pids(self) -> dict[str, int]:
        """role → process id of each part."""
        found: dict[str, int] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if str(self.folder) not in " ".join(words):
                continue
            if "--role" in words:
                found[words[words.index("--role") + 1]] = int(entry.name)
            elif words[0].endswith("nats-server"):
                found["nats"] = int(entry.name)
        return found

    def cpu_s(self, *roles: str) -> float:
        """CPU seconds that these parts have used so far."""
        pids = self.role_pids()
        return sum(process_cpu_s(pids[role]) for role in roles if role in pids)

    async def stop(self) -> None:
        """End everything."""
        if self._child is not None:
            await self._child.stop()
