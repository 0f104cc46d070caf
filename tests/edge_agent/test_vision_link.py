"""What a gateway says to its cameras, and what a camera does with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.clock import Now
from device_model.errors import PeerSilent
from device_model.library import read_inventory
from device_model.messages import AlarmRecord, Lane, Record
from device_model.reading import Quality, Reading, Reason
from device_model.vision_words import VALUES_MAX, decode_ask, decode_values
from edge_agent.vision_link import VisionLink, camera_zones, cameras_beside

S = 1_000_000
SITE = """
site: {path: hangzhou/yuhang/cangqian/works, name: {en: W, zh: W}, address: {en: W, zh: W}, time_zone: Asia/Shanghai}
gateway: {id: gw-1}
lines: [{id: radio, kind: mqtt, host: 127.0.0.1, port: 11883}]
buildings:
  - id: b1
    name: {en: B, zh: B}
    floors:
      - id: f1
        name: {en: F, zh: F}
        zones:
          - {id: yard, name: {en: Y, zh: Y}, kind: workshop}
          - {id: hall, name: {en: H, zh: H}, kind: workshop}
devices:
  - {id: cam, profile: tocsin-camera, line: radio, address: yard-1, zone: yard, place: {en: y, zh: y}}
  - {id: cam-bay, profile: tocsin-camera-people, line: radio, address: yard-1/bay, zone: yard, place: {en: y, zh: y}}
  - {id: cam2, profile: tocsin-camera, line: radio, address: hall-1, zone: hall, place: {en: h, zh: h}}
  - {id: swept, profile: tocsin-sweep-camera, line: radio, address: gate-9, zone: yard, place: {en: g, zh: g}}
  - {id: door, profile: camera-scores, line: radio, address: d, zone: yard, place: {en: d, zh: d}}
rules: {packs: [camera, device]}
"""


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(SITE)
    return read_inventory(path)


class Runtime:
    """What the part uses of a runtime."""

    def __init__(self, inventory) -> None:
        self.inventory, self.listeners = inventory, []
        self.readings: dict[str, Reading] = {}

        class Image:
            def frozen(_) -> dict[str, Reading]:
                return self.readings

        class Core:
            image = Image()

        self.core = Core()


class Link:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict]] = []
        self.up = True

    async def publish(self, topic: str, payload: bytes) -> None:
        if not self.up:
            raise PeerSilent("away")
        self.sent.append((topic, json.loads(payload)))


class Clock:
    at = 0

    def now(self) -> Now:
        return Now(self.at + 1_700_000_000 * S, self.at, "b")


def raised(zone: str, device: str, hazard: Hazard = Hazard.FIRE, **more: object) -> AlarmTransition:
    key = AlarmKey("fire.smoke", f"{device}.smoke")
    return AlarmTransition("a1", key, AlarmState.RAISED, AlarmState.PENDING, hazard, Severity.CRITICAL, S, S, zone,
                           device, **more)


def told(link: VisionLink, step: AlarmTransition) -> None:
    link._heard([(Lane.ALARM, Record(1, S, 0, "b", AlarmRecord(step)))])


@pytest.mark.parametrize(("step", "cameras"), [
    (raised("yard", "smoke-1"), ["yard-1", "gate-9"]),
    (raised("yard", "cam"), ["gate-9"]),  # a camera does not verify itself
    (raised("hall", "smoke-2"), ["hall-1"]),
    (raised("yard", "smoke-1", test=True), []),
    (raised("yard", "smoke-1", late=True), []),
    (raised("yard", "gas-1", Hazard.FAULT), []),
    (raised("elsewhere", "smoke-9"), []),
])
async def test_the_cameras_beside_an_alarm_are_asked_to_look_closer(inventory, step, cameras) -> None:
    wire = Link()
    link = VisionLink(wire, Runtime(inventory), Clock())
    told(link, step)
    told(link, step)
    await link._ask()
    assert [topic for topic, _ in wire.sent] == [f"tocsin/vision-verify/{camera}" for camera in cameras]
    assert all(said == {"alarm": "a1", "for_s": 20.0} for _, said in wire.sent)
    await link._ask()
    assert len(wire.sent) == len(cameras), "asked once"
    wire.up = False
    told(link, step)
    await link._ask()  # a broker that is away is said, and nothing waits for it


async def test_the_values_beside_a_camera_are_told_when_they_change_and_now_and_then(inventory) -> None:
    wire, runtime, clock = Link(), Runtime(inventory), Clock()
    link = VisionLink(wire, runtime, clock)

    def read(point: str, value, quality=Quality.GOOD, reason=Reason.NONE) -> None:
        runtime.readings[point] = Reading(point, value, "%[LEL]", quality, reason, S, S, 0, "b")

    read("door.flame", 0.25)
    read("cam.flame", 0.9)
    await link._tell()
    assert (("tocsin/vision-context/yard-1", {"door.flame": "0.25 %LEL"})) in [(t, s["values"]) for t, s in wire.sent]
    count = len(wire.sent)
    await link._tell()
    assert len(wire.sent) == count
    read("door.flame", None, Quality.BAD, Reason.SILENT)
    await link._tell()
    assert {"door.flame": "silent"} in [said["values"] for _, said in wire.sent[-2:]]
    count = len(wire.sent)
    clock.at = 31 * S
    await link._tell()
    assert len(wire.sent) == count + 3


def test_which_camera_watches_what(inventory) -> None:
    assert camera_zones(inventory) == {"yard-1": {"yard"}, "hall-1": {"hall"}, "gate-9": {"yard"}}
    assert cameras_beside(inventory, "yard", "unknown") == ("yard-1", "gate-9")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(payload: bytes) -> None:
    ask, values = decode_ask(payload), decode_values(payload)
    assert ask is None or 1 <= ask.for_s <= 60
    assert values is None or len(values.values) <= VALUES_MAX


def test_messages_are_bounded() -> None:
    many = json.dumps({"at_us": 1, "values": {f"p{n}": "x" * 500 for n in range(99)}}).encode()
    values = decode_values(many)
    assert values is not None and len(values.values) == VALUES_MAX and max(map(len, values.values.values())) == 120
    ask = decode_ask(b'{"alarm": "a", "for_s": 1e9}')
    assert ask is not None and ask.for_s == 60


def test_a_watched_camera_looks_closer_and_keeps_the_values_for_its_evidence(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    import numpy as np

    from device_drivers.vision.detector import DetectorPool
    from device_drivers.vision.frames import Frame
    from device_drivers.vision.process import VisionProcess
    from device_drivers.vision.run import FileWatch, heard
    from device_drivers.vision.vision_file import CameraPlan, VisionPlan

    plan = VisionPlan((CameraPlan("yard-1", "rtsp://h/1", every_s=5.0),))
    process = VisionProcess(plan, DetectorPool(1), lambda *_: None)
    camera = process.cameras["yard-1"]
    picture = np.zeros((9, 16, 3), np.uint8)

    def judged(from_s: float) -> int:
        times = range(int(from_s * S), int((from_s + 10) * S), S // 20)
        return sum(camera.due(Frame(picture, at, at)) for at in times)

    assert judged(0) == 2
    heard(process, "tocsin/vision-verify/yard-1", b'{"alarm":"a1","for_s":20}', 10 * S)
    assert judged(10) == 100
    assert judged(30) == 2
    heard(process, "tocsin/vision-context/yard-1", b'{"at_us":1,"values":{"gas.lel":"3 %LEL"}}', 0)
    assert camera.values == {"gas.lel": "3 %LEL"}
    for topic in ("tocsin/vision-verify/other", "tocsin/vision-context/yard-1", "x"):
        heard(process, topic, b"\xff", 0)
    file = tmp_path / "v.yaml"
    file.write_text("cameras: [{id: a, source: 'rtsp://h/1'}]\n")
    watch = FileWatch(file)
    assert not watch.changed()
    file.write_text("cameras: [{id: a b, source: 'rtsp://h/1'}]\n")
    assert not watch.changed(), "a broken one is not taken"
    file.write_text("cameras: [{id: a, source: 'rtsp://h/22'}]\n")
    assert watch.changed() and not watch.changed()
