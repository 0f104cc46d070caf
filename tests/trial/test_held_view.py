"""What a gateway holds beside the truth: agreeing, a moment behind, differing, bad, unknown; silence never agrees."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator

import msgspec
import pytest

from dashboards.local_view import LocalAlarm, LocalPoint, LocalView
from device_model.errors import LocalFault
from device_model.library import shipped_profiles
from device_model.profile import ProfilePoint
from device_model.reading import Reason
from device_model.site import Text
from device_model.system_clock import SystemClock
from firmware_sim.device import VirtualDevice
from firmware_sim.scenario import Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld
from trial.agreement import KEPT_MAX, TruthMemory, agreement, grace_s, tolerance
from trial.gateway_join import GatewayJoin, page_address
from trial.held_view import HeldSide

PROFILES = shipped_profiles()
CLIMATE, DUCT, DUST = PROFILES["xy-md04"], PROFILES["calectro-ug3"], PROFILES["hj212-dust"]
NOW_US = 1_780_000_000_000_000
NONE = Text("", "")


def spec(name: str) -> ProfilePoint:
    return next(point for profile in (CLIMATE, DUCT, DUST) for point in profile.points if point.id == name)


@pytest.mark.parametrize(("point", "truth", "lately", "held", "quality", "wanted"), [
    ("temperature", 21.0, (), 21.0, "good", "agrees"),
    ("temperature", 21.04, (), 21.0, "good", "agrees"),  # a step of the register is 0.1
    ("temperature", 25.0, (21.0,), 21.0, "good", "behind"),
    ("temperature", 25.0, (), 21.0, "good", "differs"),
    ("temperature", 25.0, (24.0,), 21.0, "uncertain", "differs"),
    ("temperature", 25.0, (), None, "bad", "bad"),
    ("temperature", None, (), None, "bad", "agrees"),  # a sensor that failed, and the gateway knows
    ("temperature", None, (25.0,), 25.0, "good", "behind"),
    ("temperature", 25.0, (), 25.0, "never", "unknown"),
    ("temperature", 25.0, (), 25.0, "gone", "unknown"),
    ("smoke", True, (), False, "good", "differs"),
    ("smoke", True, (False,), False, "good", "behind"),
    ("smoke", True, (), True, "good", "agrees"),
])
def test_how_what_is_held_stands_to_what_is_true(point, truth, lately, held, quality, wanted) -> None:
    profile = DUCT if point == "smoke" else CLIMATE
    assert agreement(profile, spec(point), truth, lately, held, quality) == wanted


def test_tolerance_and_grace_come_from_the_profile() -> None:
    assert tolerance(CLIMATE, spec("temperature")) == pytest.approx(0.1)
    assert tolerance(DUST, spec("pm25")) >= 0.01
    assert grace_s(CLIMATE, spec("temperature")) == 2 * 5 + 3


def test_what_was_shown_lately_is_remembered_and_bounded() -> None:
    device = VirtualDevice("d", CLIMATE)
    memory = TruthMemory(device)
    for second in range(3 * KEPT_MAX):
        device.set("temperature", float(second % 50))
        memory.note(float(second))
        memory.note(float(second))
    last = 3 * KEPT_MAX - 1
    assert memory.lately("temperature", last, 2.0) == [float(at % 50) for at in (last, last - 1, last - 2)]
    assert len(memory.lately("temperature", last, 1e9)) == KEPT_MAX and memory.lately("humidity", last, 1.0) == [45.0]


def local(point: str, value: object, quality: str = "good", at_us: int = NOW_US) -> LocalPoint:
    return LocalPoint(point, point.partition(".")[0], NONE, NONE, NONE, "", value, quality, at_us)


def test_a_device_beside_its_truth() -> None:
    device = VirtualDevice("hall", CLIMATE)
    device.set("temperature", 30.0)
    memory = TruthMemory(device)
    memory.note(0.0)
    alarm = LocalAlarm("a", Text("Heat", "高温"), "heat", "alarm", "raised", NONE, "hall.temperature", NOW_US, "Li")
    side = HeldSide(LocalView(True, NOW_US, points=(
        local("hall.temperature", 21.0, at_us=NOW_US - 4_000_000), local("other.x", 1.0)), alarms=(
            alarm, msgspec.structs.replace(alarm, subject="device:hall", acknowledged_by=""),
            msgspec.structs.replace(alarm, subject="zone:hall"))))
    held = side.device(device, memory, 0.0)
    assert held.known and held.agreement == "differs" and [a.acknowledged_by for a in held.alarms] == ["Li", ""]
    assert (held.points["temperature"].age_s, held.points["temperature"].alarm) == (4.0, "raised")
    assert held.points["humidity"].agreement == "unknown" and held.points["humidity"].age_s == -1.0
    assert not side.device(VirtualDevice("stranger", CLIMATE), memory, 0.0).known


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "http://a:b@c", "http://h:99999", "http://h/path",
                                  "http://h?q=1", "gopher://h", "http://h#f",
                                  "http://not a gateway"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(LocalFault, match="local page"):
        page_address(text)


def test_addresses_as_people_write_them() -> None:
    assert page_address("127.0.0.1:8443") == "http://127.0.0.1:8443"
    assert page_address(" https://gw.local/ ") == "https://gw.local"


class Page(http.server.BaseHTTPRequestHandler):
    """A gateway's local page that says what the test wants."""

    said: bytes = b""
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture()
def page() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.real
async def test_silence_nonsense_and_strangers_are_said_and_never_agree(page) -> None:
    world = SimWorld(Scenario("s", (SimLine("bus", LineKind.MODBUS_TCP),), (SimDevice("hall", "xy-md04", "bus", 1),)),
                     PROFILES, {})
    join = GatewayJoin(f"http://127.0.0.1:{page.server_port}", SimRuntime(world, SystemClock()))
    assert join.view({"hall"}).state == "asking" and join.view({"hall"}).held is None

    async def said(octets: bytes, status: int = 200) -> object:
        Page.said, Page.status = octets, status
        await join._look()
        return join.view({"hall", "gone"})

    true = LocalView(True, NOW_US, points=(local("hall.temperature", 21.0), local("hall.humidity", 45.0)))
    view = await said(msgspec.json.encode(true))
    assert view.state == "live" and view.held.devices["hall"].agreement == "agrees" and view.held.compared == 1
    world.devices["hall"].set_bad("temperature", Reason.DEVICE_FAULT)
    view = await said(msgspec.json.encode(LocalView(True, NOW_US, points=(local("hall.temperature", 77.0),))))
    assert view.held.differing == ("hall",)
    for octets, status, state in ((msgspec.json.encode(LocalView(False)), 200, "silent"), (b"<html>", 200, "away"),
                                  (b"{}", 404, "away"), (b"", 302, "away")):
        view = await said(octets, status)
        assert (view.state, view.held) == (state, None)
    assert "HTTP 302" in view.trouble
    task = asyncio.ensure_future(join.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
