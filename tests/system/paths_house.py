"""A whole small estate of real processes for the main paths of people: everything that a first day needs.

    tocsin sim page ◄─Modbus TCP─ tocsin gateway run ─mTLS─► tocsin cloud run ◄─HTTP─ browsers of nine people
       (the tester)                 tocsin gateway page                ▲
                                       (the installer, PIN)            └GB/T 26875.3─ a monitoring centre (a thread)
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from pathlib import Path
from typing import Any

import yaml

from community_os.audit_book import open_audit
from community_os.people_parts import open_accounts
from community_os.settings_source import read_settings
from dashboards.pins import set_pin
from device_model.clock import Now
from device_model.system_clock import SystemClock
from tests.system.house import PATH, ROOT, WITHIN_S, House, Json, Program, until
from wire_codecs.gbt26875 import Command, Frame, FrameReader, Stamp, encode_frame
from wire_codecs.gbt26875_objects import DutyCheck, decode_unit, encode_unit

SECRET = "a-long-enough-secret"
INSTALLER, PIN = "Li Wei", "274951"
UNIT_ADDRESS = 889
# Everybody but the administrator, who is there from the first start, and the resident, whom the administrator makes.
PEOPLE = {"property": "Wang Fang", "contractor": "Sun Lei", "brigade": "Chen Jing", "desk": "Zhao Min",
          "officer": "Li Na", "tester": "Guo Tao", "auditor": "He Yun"}

DUTY = {
    "timezone": "Asia/Shanghai",
    "people": [{"id": "li", "name": "Li Wei", "phone": "+86-000-0001"},
               {"id": "wang", "name": "Wang Fang", "phone": "+86-000-0002"},
               {"id": "zhao", "name": "Zhao Yun", "phone": "+86-000-0003"}],
    "rotas": [{"id": "property-duty", "title": {"en": "Property duty", "zh": "物业值班"},
               "shifts": [{"name": "day", "start": "08:00", "end": "20:00"},
                          {"name": "night", "start": "20:00", "end": "08:00"}],
               "begins": "2026-01-05", "weeks": [{"day": ["li"], "night": ["zhao"]}], "stand_in": ["wang"]}],
}


class Centre:
    """The brigade's monitoring centre: confirms and keeps what it is told, and asks who is on duty."""

    def __init__(self, port: int) -> None:
        self.port, self.heard = port, list[Frame]()
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            while octets := await reader.read(4096):
                for frame in frames.feed(octets):
                    if not isinstance(frame, Frame) or frame.command != Command.SEND:
                        continue
                    self.heard.append(frame)
                    writer.write(encode_frame(frame.answer(Command.CONFIRM, frame.sent)))

    @property
    def connected(self) -> bool:
        """Whether the community OS has come."""
        return bool(self._writers)

    def told(self, kind: type) -> list[Any]:
        """What of that kind it was told."""
        return [item for frame in self.heard if frame.unit for item in decode_unit(frame.unit)
                if isinstance(item, kind)]

    def ask_who_is_on_duty(self, now: Now, minutes: int) -> None:
        """The duty check, to be answered by a person within so many minutes."""
        unit = encode_unit([DutyCheck(minutes)])
        frame = Frame(0x4001, Stamp.at(now.wall_us), 1, UNIT_ADDRESS, Command.CONTROL, unit)
        self._loop.call_soon_threadsafe(self._writers[-1].write, encode_frame(frame))

    def stop(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def write_places(folder: Path, flat: str) -> None:
    """A place book beside the site file: the plan of one flat, the estate, a way in, a hydrant, what to do."""
    (folder / "plans").mkdir()
    shutil.copy(ROOT / "demo" / "sites" / "plans" / "lakeside-b1-f1.svg", folder / "plans" / f"b{flat}-f1.svg")
    (folder / "site.places.yaml").write_text(yaml.safe_dump({
        "site": PATH,
        "plans": [{"id": f"b{flat}-f1", "building": f"b{flat}", "floor": "f1",
                   "file": f"plans/b{flat}-f1.svg", "width": 1000, "height": 640}],
        "zones": [{"zone": f"flat-{flat}", "plan": f"b{flat}-f1",
                   "outline": [[40, 40], [500, 40], [500, 600], [40, 600]]}],
        "devices": [{"device": f"smoke-{flat}", "plan": f"b{flat}-f1", "x": 370, "y": 175}],
        "map": {"origin": {"latitude": 30.28, "longitude": 119.99, "datum": "GCJ-02"}, "areas": [
            {"kind": "building", "building": f"b{flat}", "name": {"en": f"Building {flat}", "zh": f"{flat}号楼"},
             "outline": [[-30, -14], [30, -14], [30, 10], [-30, 10]]}]},
        "access": [{"id": "gate", "name": {"en": "Gate", "zh": "大门"}, "at": [-1, -47], "width_m": 6}],
        "hydrants": [{"id": "h1", "name": {"en": "Hydrant at the gate", "zh": "大门消火栓"}, "kind": "outdoor",
                      "at": [10, -42]}],
        "response": [{"title": {"en": "Fire in a dwelling", "zh": "住宅火灾"}, "hazards": ["fire"],
                      "steps": [{"en": "Call the dwelling", "zh": "联系住户"}]}],
    }, allow_unicode=True), encoding="utf-8")


class PathsHouse(House):
    """The estate. Its devices stand on the tester's page: nothing happens until somebody presses something there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, sign_in="required", more_ports=3)
        self.clock = SystemClock(self.scale)
        self.centre = Centre(self.centre_port)
        self._more_files()
        self.page = Program(folder, "page", "gateway", "page", "--config", str(folder / "site.yaml"),
                            environment=self.environment)

    @property
    def sim_port(self) -> int:
        """Of the tester's page."""
        return self.more_ports[0]

    @property
    def page_port(self) -> int:
        """Of the gateway's own page."""
        return self.more_ports[1]

    @property
    def centre_port(self) -> int:
        """Of the monitoring centre."""
        return self.more_ports[2]

    def new_devices(self) -> Any:
        """A simulator of its own with its page, not the thread of the other houses."""
        file = self.folder / "scenario.yaml"
        file.write_text(yaml.safe_dump({**self._scenario(), "faults": []}, allow_unicode=True), encoding="utf-8")
        return Program(self.folder, "sim", "sim", "page", str(file), "--port", str(self.sim_port), "--reports",
                       str(self.folder / "reports"), environment=self.environment)

    def site(self, journal: Path) -> Json:
        """With a page for the installer, a plan, and a permit policy."""
        site = super().site(journal)
        site["site"] |= {"name": {"en": "Small House", "zh": "小楼"},
                         "address": {"en": "1 Small Lane", "zh": "小巷1号"}}
        for building in site["buildings"]:
            flat = building["id"].removeprefix("b")
            building["name"]["zh"] = f"{flat}号楼"
            building["floors"][0]["name"]["zh"] = "1层"
            building["floors"][0]["zones"][0]["name"]["zh"] = f"{flat}室"
        site["gateway"]["page"] = {"port": self.page_port, "pin_file": "pins.json"}
        site["permits"] = {"off_hours_raise": False}  # the test may run at night or on a Sunday
        site["contacts"].append({"name": "Duty desk", "role": "duty", "phone": "+86 571 5550 0100"})
        return site

    def _more_files(self) -> None:
        write_places(self.folder, "101")
        (self.folder / "duty.yaml").write_text(yaml.safe_dump(DUTY, allow_unicode=True), encoding="utf-8")
        cloud = yaml.safe_load(self.cloud_file.read_text(encoding="utf-8"))
        cloud |= {"map": {"base": str(ROOT / "demo" / "sites" / "district.geojson"), "base_datum": "GCJ-02"},
                  "duty": "duty.yaml", "centres": [{"name": "city", "host": "127.0.0.1", "port": self.centre_port,
                                                    "sites": {PATH: UNIT_ADDRESS}}]}
        self.cloud_file.write_text(yaml.safe_dump(cloud), encoding="utf-8")
        set_pin(self.folder / "pins.json", INSTALLER, PIN)

    def people(self) -> None:
        """Accounts as `tocsin people add` makes them, with secrets that are chosen already."""
        settings = read_settings(self.cloud_file)
        accounts = open_accounts(settings, open_audit(settings))
        for role, name in PEOPLE.items():
            accounts.put(name, SECRET, role=role, scope=PATH if role in ("property", "contractor") else "hangzhou")

    def start(self) -> None:
        """All of it."""
        self.enrol()
        self.cloud.start()
        self.devices.start()
        self.gateway.start()
        self.page.start()
        until(self.admin_secrets, self.cloud.said)  # the first start makes the administrator, and nobody else
        self.people()

    @property
    def url(self) -> str:
        """The community OS."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def sim_url(self) -> str:
        """The tester's page."""
        return f"http://127.0.0.1:{self.sim_port}"

    @property
    def page_url(self) -> str:
        """The gateway's own page."""
        return f"http://127.0.0.1:{self.page_port}"

    def said(self) -> str:
        """The ends of all logs."""
        more = (f"\n--- {one.log.stem}\n{one.said()[-1500:]}" for one in (self.page, self.devices))
        return super().said() + "".join(more)

    def close(self) -> None:
        """End."""
        self.page.stop()
        super().close()
        self.centre.stop()


__all__ = ["INSTALLER", "PEOPLE", "PIN", "SECRET", "WITHIN_S", "PathsHouse"]
