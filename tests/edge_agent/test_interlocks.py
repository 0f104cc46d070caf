"""Interlocks with the shipped rules: tank overfill, gas, e-bike charger, water leak; and their inhibition.

    reading ─► rule of the pack ─► output, in the same step ─► independent input ─► "proved" ─► reset on site
"""

from __future__ import annotations

from datetime import timedelta, timezone

import msgspec
import pytest

from cloud_bridge.lanes import Outbox
from device_drivers.driver import DeviceRead
from device_model.alarm import Hazard
from device_model.clock import SECOND_US, Now
from device_model.command import Command, CommandKind, CommandOutcome
from device_model.impairment import ImpairmentKind
from device_model.inventory import Inventory
from device_model.messages import CommandResultRecord, GatewayAddress, ImpairmentRecord, OutputRecord
from device_model.ports import JournalState
from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    ModbusTraits,
    ProfilePoint,
    RegisterSource,
    RegisterType,
    Table,
)
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason
from device_model.site import (
    Building,
    Device,
    Floor,
    GatewaySettings,
    Line,
    LineKind,
    Output,
    OutputPurpose,
    OutputState,
    RuleChoice,
    Site,
    Tenancy,
    Text,
    Zone,
)
from edge_agent.core import AgentCore
from edge_agent.events import CommandReceived, Commit, DriveOutput, OnSiteAction, OutputWritten, PowerOn, Tick
from edge_agent.outputs import OutputMemory
from rules_engine import Engine
from rules_engine.packs import rules_of_site

ZONE = timezone(timedelta(hours=8))
START_US = 1_780_000_000_000_000


def text(words: str) -> Text:
    return Text(words, words)


def profile(name: str, device_class: DeviceClass, **quantities: str) -> DeviceProfile:
    """A device whose points are named like the keyword, of that quantity; relays can be written."""
    points = []
    for address, (point, quantity) in enumerate(quantities.items()):
        writable = quantity == "relay"
        flag = QUANTITIES[quantity].boolean
        source = RegisterSource(Table.COIL if writable else Table.DISCRETE_INPUT if flag else Table.INPUT, address,
                                RegisterType.BIT if flag else RegisterType.U16)
        points.append(ProfilePoint(point, quantity, QUANTITIES[quantity].canonical, point, point, source,
                                   poll_interval_s=1.0, certainty=Certainty.A, writable=writable, stale_after_s=1e6))
    return DeviceProfile(name, 1, "maker", name, name, name, device_class, Certainty.A, "test", tuple(points),
                         ModbusTraits())


PROFILES = {p.id: p for p in (
    profile("probe", DeviceClass.LEVEL, level="level"),
    profile("switch", DeviceClass.LEVEL, high="contact"),
    profile("gas", DeviceClass.GAS, gas="combustible_gas"),
    profile("leak", DeviceClass.LEAK, leak="leak"),
    profile("pack", DeviceClass.CHARGER, cell="temperature"),
    profile("io", DeviceClass.IO_MODULE, **{f"out{n}": "relay" for n in range(6)},
            **{f"shut{n}": "valve_closed" for n in range(6)}),
)}
ZONES = ("tank", "kitchen", "shed", "bath")
DEVICES = (("probe", "probe", "tank", ("tank", "tank_hh")), ("switch", "switch", "tank", ("tank_switch",)),
           ("gas", "gas", "kitchen", ()), ("leak", "leak", "bath", ()), ("pack", "pack", "shed", ()),
           ("io", "io", "tank", ()))
P = OutputPurpose
OUTPUTS = (
    ("fill", "io.out0", P.FILL_VALVE, (Hazard.WATER,), "tank", ("water.tank_overflow", "water.tank_switch"), ""),
    ("feed", "io.out1", P.FILL_VALVE, (Hazard.WATER,), "tank", ("water.tank_switch",), ""),
    ("valve", "io.out2", P.GAS_VALVE, (Hazard.GAS, Hazard.GAS_HIGH), "kitchen", (), ""),
    ("fan", "io.out3", P.FAN, (Hazard.GAS_HIGH,), "kitchen", (), "II 3G Ex nA, methane, kitchen"),
    ("socket", "io.out4", P.CHARGER_CUT_OFF, (Hazard.CHARGING,), "shed", (), ""),
    ("branch", "io.out5", P.WATER_VALVE_BRANCH, (Hazard.WATER,), "bath", (), ""),
)


def site() -> Site:
    return Site(
        Tenancy("a", "b", "c", "d"), text("d"), GatewaySettings("gw-1"),
        (Building("b1", text("b1"), (Floor("f1", text("f1")),)),),
        tuple(Zone(zone, text(zone), "b1", "f1") for zone in ZONES),
        (Line("tcp", LineKind.MODBUS_TCP, "127.0.0.1", 502),),
        tuple(Device(name, kind, "tcp", zone, text(name), number, tags=tags)
              for number, (name, kind, zone, tags) in enumerate(DEVICES, 1)),
        tuple(Output(name, *drives.split("."), purpose, hazards, OutputState.HOLD, OutputState.HOLD, OutputState.HOLD,
                     zones=(zone,), proof=drives.replace("out", "shut"), proof_within_s=5.0, rules=rules,
                     rated_for=rated)
              for name, drives, purpose, hazards, zone, rules, rated in OUTPUTS),
        rules=RuleChoice(packs=("gas", "water", "charging")))


def at(seconds: float) -> Now:
    us = round(seconds * SECOND_US)
    return Now(START_US + us, 5_000_000 + us, "boot")


class Plant:
    """A gateway's core with the real engine on that site, from one reading a second."""

    def __init__(self) -> None:
        self.inventory = Inventory(site(), PROFILES)
        state = JournalState("e-1", (), None)
        self.core = AgentCore(
            self.inventory, Engine(rules_of_site(self.inventory.site), self.inventory, decides="edge",
                                   lateness_us=10 * SECOND_US),
            Outbox(GatewayAddress(self.inventory.site.tenancy, "gw-1"), state, at(0)), zone=ZONE, started=at(0))
        self.second = 0.0
        self.driven: list[tuple[str, bool]] = []
        self.told: list[object] = []
        self._take(self.core.step(PowerOn(state), at(0)))

    def _take(self, effects: object) -> None:
        for effect in effects:  # type: ignore[attr-defined]
            if isinstance(effect, DriveOutput):
                self.driven.append((effect.drive.output, effect.drive.on))
                self._take(self.core.step(OutputWritten(effect.drive.output, effect.drive.on), at(self.second)))
            elif isinstance(effect, Commit):
                self.told += [record.body for _, record in effect.records]

    def read(self, point: str, value: float | bool | None, reason: Reason = Reason.NONE) -> list[tuple[str, bool]]:
        """One reading; what it drove in that very step."""
        now, before = at(self.second), len(self.driven)
        quality = Quality.GOOD if value is not None else Quality.BAD
        reading = Reading(point, value, self.inventory.points[point].unit, quality, reason, now.wall_us, now.wall_us,
                          now.mono_us, now.boot)
        self._take(self.core.step(DeviceRead(reading.device, (reading,), (point,), now), now))
        return self.driven[before:]

    def wait(self, seconds: float) -> None:
        """Time passes, a tick each half second."""
        end = self.second + seconds
        while self.second < end:
            self.second += 0.5
            self._take(self.core.step(Tick(), at(self.second)))

    def order(self, kind: CommandKind, target: str, *, on_site: bool = True, value: float | None = None) -> str:
        """A named person's order; what became of it."""
        command = Command(
            f"c-{len(self.told)}-{self.second}", kind, target, "Li Na", "maintenance", at(self.second).wall_us,
            at(self.second + 60).wall_us, value, compensating_measure="a guard watches the tank")
        mark = len(self.told)
        self._take(self.core.step(OnSiteAction(command) if on_site else CommandReceived(command), at(self.second)))
        (result,) = [body.result for body in self.told[mark:] if isinstance(body, CommandResultRecord)]
        return result.outcome.value

    def proofs(self, output: str) -> list[str]:
        return [body.proof for body in self.told if isinstance(body, OutputRecord) and body.output == output]

    def lacks(self) -> set[tuple[str, str]]:
        return {(i.kind.value, i.subject) for i in self.core.impairments()}

    def reset_alarms(self) -> None:
        for alarm in self.core.open_alarms():
            self.order(CommandKind.RESET_ALARM, alarm.alarm)


# point, what is normal, what trips, how long it must last, and what it moves.
STORIES = [
    ("probe.level", 1.0, 2.6, 3.0, {"fill"}),
    ("switch.high", False, True, 1.0, {"fill", "feed"}),
    ("gas.gas", 0.0, 25.0, 2.0, {"valve", "fan"}),
    ("pack.cell", 25.0, 80.0, 3.0, {"socket"}),
    ("leak.leak", False, True, 10.0, {"branch"}),
]


@pytest.mark.parametrize(("point", "normal", "trips", "for_s", "moves"), STORIES)
def test_a_trip_acts_is_proved_latches_and_is_reset_on_site_only(
    point: str, normal: float | bool, trips: float | bool, for_s: float, moves: set[str],
) -> None:
    plant = Plant()
    plant.read(point, normal)
    for name, *_ in OUTPUTS:
        plant.read(f"io.shut{[o[0] for o in OUTPUTS].index(name)}", False)
    plant.wait(2.0)
    assert plant.driven == []
    plant.read(point, trips)
    plant.wait(for_s + 0.5)
    assert {name for name, on in plant.driven if on} == moves, "exactly these, by the rule's own time"
    for name in moves:
        plant.read(f"io.shut{[o[0] for o in OUTPUTS].index(name)}", True)
        assert plant.proofs(name) == ["unproved", "proved"], "the independent input proves it"
        assert (ImpairmentKind.OUTPUT_UNPROVED.value, name) not in plant.lacks()
    # It is over: the trip stays, whoever acknowledges, whatever time passes.
    plant.read(point, normal)
    plant.wait(120.0)
    assert [change for change in plant.driven if not change[1]] == []
    for name in moves:
        assert plant.order(CommandKind.RESET_ALARM, name, on_site=False) == CommandOutcome.REFUSED.value
        assert plant.order(CommandKind.SILENCE_SOUNDER, name) == CommandOutcome.REFUSED.value
    plant.reset_alarms()
    assert [change for change in plant.driven if not change[1]] == [], "an alarm's reset is not the trip's"
    for name in sorted(moves):
        assert plant.order(CommandKind.RESET_ALARM, name) == CommandOutcome.APPLIED.value
        assert plant.driven[-1] == (name, False)


def test_a_trip_is_not_reset_while_its_alarm_stands() -> None:
    plant = Plant()
    plant.read("gas.gas", 25.0)
    plant.wait(3.0)
    assert plant.order(CommandKind.RESET_ALARM, "valve") == CommandOutcome.REFUSED.value


def test_the_switch_trips_without_the_transmitter_and_the_transmitter_without_the_switch() -> None:
    """Independent high-high: a probe that is bad, silent or shows an empty tank keeps no switch from acting."""
    for shown, reason in ((None, Reason.SILENT), (None, Reason.ERROR_VALUE), (0.1, Reason.NONE)):
        plant = Plant()
        plant.read("probe.level", shown, reason)
        plant.read("switch.high", True)
        plant.wait(2.0)
        assert {"fill", "feed"} == {name for name, on in plant.driven if on}


def test_a_saturated_gas_sensor_closes_the_valve() -> None:
    plant = Plant()
    plant.read("gas.gas", None, Reason.OVER_RANGE)
    plant.wait(3.0)
    assert ("valve", True) in plant.driven


def test_what_is_not_proved_in_time_is_said_and_stands() -> None:
    plant = Plant()
    plant.read("leak.leak", True)
    plant.wait(17.0)
    assert plant.proofs("branch") == ["unproved", "failed"]
    assert (ImpairmentKind.OUTPUT_UNPROVED.value, "branch") in plant.lacks()
    plant.read("io.shut5", True)
    assert plant.proofs("branch")[-1] == "proved" and not plant.lacks()


def test_a_device_under_test_moves_nothing_and_another_does() -> None:
    plant = Plant()
    assert plant.order(CommandKind.TEST_MODE, "gas", value=600.0) == CommandOutcome.APPLIED.value
    plant.read("gas.gas", 25.0)
    plant.wait(3.0)
    assert plant.driven == []
    plant.read("leak.leak", True)
    plant.wait(11.0)
    assert plant.driven == [("branch", True)]


# -- inhibition ------------------------------------------------------------------------------------------------------


def test_an_inhibited_output_is_an_impairment_does_not_act_and_acts_when_the_while_is_over() -> None:
    plant = Plant()
    assert plant.order(CommandKind.ISOLATE, "valve", on_site=False, value=600.0) == CommandOutcome.REFUSED.value
    assert plant.order(CommandKind.ISOLATE, "valve") == CommandOutcome.REFUSED.value, "it must end by itself"
    assert plant.order(CommandKind.ISOLATE, "valve", value=60.0) == CommandOutcome.APPLIED.value
    (begun,) = [body.change.impairment for body in plant.told if isinstance(body, ImpairmentRecord)]
    assert (begun.kind, begun.subject, begun.who) == (ImpairmentKind.ISOLATED, "valve", "Li Na")
    assert begun.expires_us == at(60).wall_us and begun.compensation == "a guard watches the tank"
    plant.read("gas.gas", 25.0)
    plant.wait(30.0)
    assert [name for name, _ in plant.driven] == ["fan"], "what is not inhibited acts"
    assert plant.order(CommandKind.WRITE_OUTPUT, "valve", value=1.0) == CommandOutcome.REFUSED.value
    plant.wait(31.0)
    assert ("valve", True) in plant.driven and (ImpairmentKind.ISOLATED.value, "valve") not in plant.lacks()


def test_a_person_may_end_an_inhibition_early() -> None:
    plant = Plant()
    plant.order(CommandKind.ISOLATE, "branch", value=3600.0)
    plant.read("leak.leak", True)
    plant.wait(12.0)
    assert plant.driven == []
    assert plant.order(CommandKind.RESTORE, "branch") == CommandOutcome.APPLIED.value
    assert plant.driven == [("branch", True)]


def test_nothing_that_acts_is_inhibited() -> None:
    plant = Plant()
    plant.read("leak.leak", True)
    plant.wait(11.0)
    assert plant.order(CommandKind.ISOLATE, "branch", value=60.0) == CommandOutcome.REFUSED.value


def test_an_inhibition_survives_a_restart_with_its_end() -> None:
    plant = Plant()
    plant.order(CommandKind.ISOLATE, "branch", value=60.0)
    checkpoint = plant.core.checkpoint(at(1))
    again = Plant()
    again.core.step(PowerOn(JournalState("e-1", (), checkpoint)), at(5))
    again.second = 5.0
    again.read("leak.leak", True)
    again.wait(20.0)
    assert again.driven == [] and (ImpairmentKind.ISOLATED.value, "branch") in again.lacks()
    again.wait(40.0)
    assert again.driven == [("branch", True)]


def test_a_memory_of_before_inhibitions_is_read() -> None:
    old = msgspec.msgpack.encode({"on": True, "tripped": True, "cause": "a"})
    assert msgspec.msgpack.decode(old, type=OutputMemory).inhibited is False
