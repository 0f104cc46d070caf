"""Cells that are good and that only rules on the whole device look at: kept as one time each, and lost to nobody."""

from __future__ import annotations

import msgspec
import pytest

from device_model.alarm import AlarmState
from device_model.clock import Now
from device_model.inventory import Inventory
from device_model.profile import Certainty, DeviceClass, DeviceProfile, ProfilePoint
from device_model.reading import Quality, Reading, Reason
from device_model.site import Building, Device, Floor, GatewaySettings, Site, Tenancy, Text, Zone
from rules_engine import Engine
from rules_engine.packs import shipped_packs

T = Text("t", "t")
SECOND = 1_000_000
START = 1_700_000_000 * SECOND
POINTS = 40


def engine(points: int = POINTS) -> Engine:
    specs = tuple(ProfilePoint(f"c{n}", "current", "A", "c", "c", stale_after_s=10.0) for n in range(points))
    profile = DeviceProfile("p", 1, "m", "m", "p", "p", DeviceClass.POWER_METER, Certainty.A, "test", specs)
    zone = Zone("z1", T, "b1", "f1")
    building = Building("b1", T, (Floor("f1", T),))
    site = Site(Tenancy("a", "b", "c", "d"), T, GatewaySettings("gw"), (building,), (zone,), (),
                (Device("d1", "p", "l", "z1", T), Device("d2", "p", "l", "z1", T)))
    return Engine(shipped_packs(["device"]), Inventory(site, {"p": profile}), decides="edge", lateness_us=10 * SECOND)


def now(second: float) -> Now:
    return Now(START + round(second * SECOND), round(second * SECOND) + 1, "boot")


def read(device: str, at: Now, *, bad: int = 0) -> list[Reading]:
    return [Reading(f"{device}.c{n}", None if n < bad else 1.5, "A", Quality.BAD if n < bad else Quality.GOOD,
                    Reason.ERROR_VALUE if n < bad else Reason.NONE, at.wall_us, at.wall_us, at.mono_us, at.boot)
            for n in range(POINTS)]


def names(device: str) -> tuple[str, ...]:
    return tuple(f"{device}.c{n}" for n in range(POINTS))


def test_plain_cells_take_next_to_no_room() -> None:
    one = engine()
    one.step(read("d1", now(0)) + read("d2", now(0)), now(0), names("d1") + names("d2"))
    kept = msgspec.json.decode(one.checkpoint())
    assert kept["cells"] == {} and [sum(count for _, count in runs) for runs in kept["plain"].values()] == [40, 40]
    assert len(one.checkpoint()) < 1500


@pytest.mark.parametrize("pause", [1, 5, 9])
def test_a_resumed_engine_does_what_the_first_would_have_done(pause: int) -> None:
    one, other = engine(), engine()
    for device, second in (("d1", 0.0), ("d2", 1.0)):
        one.step(read(device, now(second)), now(second), names(device))
    one.step(read("d1", now(2), bad=3), now(2))
    other.resume(one.checkpoint())
    assert other.checkpoint() == one.checkpoint()
    for second in range(2 + pause, 130, 3):  # d2 falls silent at its time, d1 has three bad points for a minute
        at = now(second)
        told = [[(step.key, step.state, step.at_us) for step in each.step((), at, names("d1"))]
                for each in (one, other)]
        assert told[0] == told[1]
    raised = {step.key.rule for step in other.open_alarms() if step.state is AlarmState.RAISED}
    assert {"device.silent", "device.bad_reading"} <= raised


def test_a_device_whose_points_changed_starts_fresh() -> None:
    one, other = engine(), engine(POINTS - 1)
    one.step(read("d1", now(0)), now(0), names("d1"))
    other.resume(one.checkpoint())
    assert other.step((), now(9)) == ()
    silent = {step.key.subject for second in range(10, 40) for step in other.step((), now(second))
              if step.key.rule == "device.silent"}
    assert silent == {"device:d1", "device:d2"}
