"""The whole chain as processes: site broker, community OS, two gateways, simulated devices.

    sim ─Modbus TCP, MQTT─► gateway riverside ─mTLS─► [cut here] ─► cloud: broker, ingest, worker, web ─► board
                            gateway lakeside  ─mTLS────────────────►

Each is started as it would be deployed (`tocsin cloud run`, `tocsin gateway run`, `tocsin sim run`) and started again
when it dies.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from community_os.envelopes import UpEnvelope, decode_envelope
from community_os.nats_stream import JetStreamStream
from demo.board_client import get_json
from demo.children import Child, port_answers, tocsin_command
from demo.files import HERE, load, save, scenario_with, site_with
from demo.site_broker import site_broker
from device_model.child_process import free_ports
from device_model.clock import TimeScale
from device_model.errors import LocalFault
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from device_model.system_clock import SCALE_VARIABLE, new_time_scale

SITES = ("riverside", "lakeside")
SIM_LINES = ("riverside-riser-a", "riverside-plant", "riverside-radio", "lakeside-riser-a")
CLOUD_READY_S = 60.0
GATEWAYS_READY_S = 60.0
DEVICES_READY_S = 60.0


class Stack:
    """Start with `start`, feed it with `start_devices`, end with `stop`."""

    def __init__(self, folder: Path, *, speed: float, web_port: int, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.web_port = web_port
        self.scale: TimeScale = new_time_scale(speed)
        self.truth = folder / "truth.jsonl"
        self.children: dict[str, Child] = {}
        self._say = say
        self._device_port = 0

    @property
    def state_folder(self) -> Path:
        """Where the cloud keeps CA, broker and incidents."""
        return self.folder / "cloud"

    async def start(self) -> None:
        """All but the devices; returns when the board shows both gateways. LocalFault says what did not come up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        radio, riser, plant, lake, mqtt, services, uplink = free_ports(7)
        ports = dict(zip(SIM_LINES, (riser, plant, radio, lake), strict=True))
        self._device_port = lake
        self._write_files(ports, mqtt, services, uplink)
        await self._begin(site_broker(radio, self.folder))
        self._say("starting the community OS: CA, broker, ingest, worker, pages")
        cloud = await self._begin(self._tocsin("cloud", "cloud", "run", "--config", str(self.folder / "cloud.yaml")))
        if not await port_answers(self.web_port, CLOUD_READY_S):
            raise LocalFault(f"the community OS did not come up; the end of its log:\n{cloud.last_words()}")
        self._say("starting two gateways")
        for site in SITES:
            await self._begin(self._tocsin(f"gateway-{site}", "gateway", "run", "--config",
                                           str(self.folder / f"{site}.yaml")))

    async def start_devices(self) -> None:
        """The simulated devices: the scenario's time begins here. Returns when they answer, else LocalFault."""
        self._say("starting the simulated devices")
        devices = await self._begin(self._tocsin("devices", "sim", "run", str(self.folder / "scenario.yaml"),
                                                 "--truth", str(self.truth), restart=False))
        if not await port_answers(self._device_port, DEVICES_READY_S):
            raise LocalFault(f"the devices did not come up; the end of their log:\n{devices.last_words()}")

    async def wait_for_gateways(self) -> None:
        """Until the board has heard both gateways."""
        loop = asyncio.get_running_loop()
        end = loop.time() + GATEWAYS_READY_S
        while loop.time() < end:
            try:
                board = (await get_json(self.web_port, "/api/board"))["board"]
            except (OSError, ValueError):
                board = {"gateways": []}
            if len([g for g in board["gateways"] if not g["silent"]]) >= len(SITES):
                return
            await asyncio.sleep(0.2)
        words = "\n".join(f"{c.name}: {c.last_words(2)}" for c in self.children.values() if "gateway" in c.name)
        raise LocalFault(f"the gateways were not heard within {GATEWAYS_READY_S:.0f} s; their last words:\n{words}")

    async def prove_the_path(self) -> None:
        """Ask a gateway on site for its proof alarm, as its daily schedule would: synthetic, and shown as such."""
        for site in SITES:
            await self._begin(self._tocsin(
                f"proof-{site}", "gateway", "act", "proof", "--who", "demo", "--why", "demo",
                "--config", str(self.folder / f"{site}.yaml"), restart=False))

    async def stop(self) -> None:
        """End all processes, devices first."""
        for child in reversed(list(self.children.values())):
            await child.stop()

    async def read_stream(self) -> list[UpEnvelope]:
        """Every batch that the ingest has stored, read from the stream itself."""
        from community_os.broker import read_access

        stream = await JetStreamStream.open(read_access(self.state_folder / "broker"))
        envelopes: list[UpEnvelope] = []
        try:
            last = await stream.last_sequence()
            if last:
                async for message in stream.read(0, "site.>"):
                    envelope = decode_envelope(message.payload)
                    if isinstance(envelope, UpEnvelope):
                        envelopes.append(envelope)
                    if message.sequence >= last:
                        break
        finally:
            await stream.close()
        return envelopes

    async def _begin(self, child: Child) -> Child:
        self.children[child.name] = child
        await child.start()
        return child

    def _tocsin(self, name: str, *arguments: str, restart: bool = True) -> Child:
        scale = msgspec.json.encode(self.scale).decode()
        return Child(name, tocsin_command(*arguments), self.folder, {SCALE_VARIABLE: scale}, restart=restart)

    def _write_files(self, ports: dict[str, int], mqtt: int, services: int, uplink: int) -> None:
        """Site files, scenario, cloud.yaml and keys, as an installer would leave them."""
        from provisioning.authority import Authority
        from provisioning.commands import enrol_into

        authority = Authority.open(self.state_folder / "authority")
        for site in SITES:
            content = load(HERE / "sites" / f"{site}.yaml")
            tenancy = Tenancy.of(content["site"]["path"])
            address = GatewayAddress(tenancy, content["gateway"]["id"])
            keys = enrol_into(authority, address, self.folder / f"keys-{site}")
            cloud = {
                "host": "127.0.0.1", "port": uplink if site == "riverside" else mqtt,
                "ca_file": str(keys.ca_file), "certificate_file": str(keys.certificate_file),
                "key_file": str(keys.key_file),
            }
            own = {name.removeprefix(f"{site}-"): port for name, port in ports.items() if name.startswith(site)}
            journal = self.folder / f"{site}.sqlite"
            save(self.folder / f"{site}.yaml", site_with(content, ports=own, journal=journal, cloud=cloud))
            shutil.copy(HERE / "sites" / f"{site}.places.yaml", self.folder)
        shutil.copytree(HERE / "sites" / "plans", self.folder / "plans", dirs_exist_ok=True)
        scenario = scenario_with(load(HERE / "scenario.yaml"), ports=ports,
                                 uplink={"riverside-uplink": (uplink, mqtt)})
        save(self.folder / "scenario.yaml", scenario)
        recordings = self.folder / "recordings"
        if not recordings.exists():
            shutil.copytree(HERE / "recordings", recordings)
        save(self.folder / "cloud.yaml", cloud_file(self.folder, self.state_folder, self.web_port, mqtt, services))


def cloud_file(folder: Path, state: Path, web_port: int, mqtt_port: int, services_port: int) -> dict[str, object]:
    """A cloud.yaml for the demo: loopback only, open without sign-in because it is loopback only."""
    return {
        "state": str(state),
        "address": "127.0.0.1",
        "port": web_port,
        "sign_in": "open_on_loopback",
        "sites": [str(folder / f"{site}.yaml") for site in SITES],
        "map": {"base": str(HERE / "sites" / "district.geojson"), "base_datum": "GCJ-02"},
        "broker": {"mqtt_port": mqtt_port, "services_port": services_port},
    }
