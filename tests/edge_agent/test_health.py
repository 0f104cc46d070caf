"""Image and health: what proves that a device lives, what does not, and what is said of it."""

from __future__ import annotations

import msgspec
import pytest

from device_drivers.driver import DeviceFailed, DeviceRead
from device_model.impairment import ImpairmentKind, ImpairmentRegister
from device_model.reading import Quality, Reason
from edge_agent.health import DeviceHealth
from edge_agent.image import ProcessImage


class House:
    def __init__(self, kit):
        self.kit = kit
        inventory = kit.inventory()
        self.register = ImpairmentRegister()
        self.image = ProcessImage(inventory, kit.at(0))
        self.health = DeviceHealth(inventory, self.image, self.register)

    def read(self, event):
        admitted = self.image.admit(event.readings, event.fresh, event.at)
        return admitted, self.health.heard(event.device, admitted, event.fresh, event.at)

    def silent(self):
        return {i.subject for i in self.register.present() if i.kind is ImpairmentKind.SILENT}


def as_remembered(kit, when):
    """What a driver says of a retained message: uncertain, nothing fresh."""
    told = msgspec.structs.replace(kit.reading("smoke-1.smoke", False, when), quality=Quality.UNCERTAIN,
                                   reason=Reason.NOT_YET_READ)
    return DeviceRead("smoke-1", (told,), (), when)


def test_what_a_broker_remembers_is_shown_but_proves_nothing(kit):
    house = House(kit)
    house.read(as_remembered(kit, kit.at(1)))
    assert house.health.alive == 0 and house.image.latest("smoke-1.smoke").value is False
    assert "smoke-1.smoke" in house.image.overdue(kit.at(31))
    house.health.check(kit.at(31))
    assert house.silent() == {"smoke-1", "smoke-2", "button-1", "io-1"}
    assert house.image.latest("smoke-1.smoke").value is None


def test_a_memory_brings_no_lost_device_back(kit):
    house = House(kit)
    house.health.failed("smoke-1", Reason.SILENT, "", kit.at(1))
    assert house.read(as_remembered(kit, kit.at(2)))[1].back == ()
    assert house.read(kit.read(kit.at(3), smoke_1__smoke=False))[1].back == ("smoke-1",)
    assert house.silent() == set()


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.GARBLED, Reason.ERROR_VALUE, Reason.DEVICE_FAULT])
def test_an_answer_that_is_no_value_proves_that_the_device_lives(kit, reason):
    house = House(kit)
    house.health.failed("smoke-1", Reason.SILENT, "", kit.at(1))
    event = DeviceRead("smoke-1", (kit.reading("smoke-1.smoke", None, kit.at(2), reason),), (), kit.at(2))
    assert house.read(event)[1].back == ("smoke-1",)
    # What is bad claims nothing that could grow old: its reason stays.
    assert "smoke-1.smoke" not in house.image.overdue(kit.at(300))
    house.health.check(kit.at(300))
    assert house.image.latest("smoke-1.smoke").reason in (reason, Reason.SILENT)


def test_a_bare_word_that_it_is_back_is_enough(kit):
    house = House(kit)
    house.health.failed("smoke-1", Reason.SILENT, "", kit.at(1))
    assert house.read(DeviceRead("smoke-1", (), (), kit.at(2)))[1].back == ("smoke-1",)
    # Its points stay bad until they are read.
    assert house.image.latest("smoke-1.smoke").quality is Quality.BAD


def test_a_point_that_the_driver_calls_silent_is_one_lack_and_ends(kit):
    house = House(kit)
    house.read(kit.read(kit.at(1), smoke_1__smoke=False, smoke_1__obscuration=0.1))
    quiet = DeviceRead("smoke-1", (kit.reading("smoke-1.obscuration", None, kit.at(40), Reason.SILENT),), (),
                       kit.at(40))
    house.read(quiet)
    house.read(quiet)
    assert house.silent() == {"smoke-1.obscuration"}
    house.read(kit.read(kit.at(50), smoke_1__obscuration=0.1))
    assert house.silent() == set()


def test_a_changed_reason_is_no_second_loss(kit):
    house = House(kit)
    assert house.health.failed("smoke-1", Reason.SILENT, "a", kit.at(1)).lost == ("smoke-1",)
    again = house.health.failed("smoke-1", Reason.LINE_DOWN, "b", kit.at(2))
    assert again.lost == () and again.changes == () and {r.reason for r in again.readings} == {Reason.LINE_DOWN}


def test_what_was_lost_before_a_restart_is_not_told_again(kit):
    before = House(kit)
    before.health.failed("smoke-1", Reason.SILENT, "", kit.at(1))
    after = House(kit)
    for impairment in before.register.present():
        after.register.begin(impairment)
    step = after.health.resume(before.health.memory(), kit.at(2))
    assert {r.point for r in step.readings} == {"smoke-1.smoke", "smoke-1.obscuration"} and step.changes == ()
    assert after.health.failed("smoke-1", Reason.SILENT, "", kit.at(3)).changes == ()


def test_a_device_that_is_none_of_ours_is_no_event(kit):
    house = House(kit)
    assert house.health.failed("ghost", Reason.SILENT, "", kit.at(1)).lost == ()
    assert house.read(DeviceRead("ghost", (), (), kit.at(1)))[1].back == ()
    core = kit.core()
    assert core.step(DeviceFailed("ghost", Reason.SILENT, "", kit.at(1)), kit.at(1)) == ()


def test_the_frozen_image_no_longer_changes(kit):
    house = House(kit)
    house.read(kit.read(kit.at(1), smoke_1__smoke=False))
    frozen = house.image.frozen()
    house.read(kit.read(kit.at(2), smoke_1__smoke=True))
    assert frozen["smoke-1.smoke"].value is False
    with pytest.raises(TypeError):
        frozen["smoke-1.smoke"] = None
