"""Conformance of our own simulated devices, by profile, without a port: what a tester's driver will meet. Pure."""

from __future__ import annotations

from device_model.profile import READ_FUNCTION, DeviceProfile
from firmware_sim.conform import Report, Verdict
from firmware_sim.conform_gbt26875 import TransmitterTrial
from firmware_sim.conform_modbus import modbus_checks
from firmware_sim.device import VirtualDevice
from firmware_sim.modbus_bugs import ModbusBug, bent_answers
from firmware_sim.modbus_device import Framing, ModbusUnits, NotModbus, Request, RtuFrames, TcpFrames, frame
from firmware_sim.panel_bugs import PanelBug
from firmware_sim.panel_device import Panel

_UNIT, _ADDRESS, _STEP_US = 9, 889, 250_000


def readable_of(profile: DeviceProfile) -> tuple[int, int]:
    """(function, address) of the profile's first register, of its first bit where it has only bits."""
    places = [(READ_FUNCTION[point.register.table], point.register.address)
              for point in profile.points if point.register is not None]
    return next((place for place in places if place[0] in (3, 4)), (*places, (3, 0))[0])


def conform_profile(profile: DeviceProfile, wall_us: int, bugs: tuple[str, ...] = ()) -> Report | None:
    """The checklists that fit a profile (both framings of Modbus), or None where there is none for it."""
    if profile.modbus is not None:
        found = frozenset(ModbusBug(name) for name in bugs)
        verdicts = [verdict for framing in Framing for verdict in modbus_verdicts(profile, framing, found)]
        return Report(profile.id, "MODBUS V1.1b3, TCP V1.0b, Serial Line V1.02", tuple(verdicts))
    if profile.gbt26875 is not None:
        verdicts = transmitter_verdicts(profile, wall_us, frozenset(PanelBug(name) for name in bugs))
        return Report(profile.id, "GB/T 26875.3-2011", tuple(verdicts))
    return None


def modbus_verdicts(profile: DeviceProfile, framing: Framing, bugs: frozenset[ModbusBug]) -> list[Verdict]:
    """The checklist of one framing."""
    units = ModbusUnits({_UNIT: VirtualDevice(profile.id, profile)})
    rtu = RtuFrames()

    def answered(request: Request) -> bytes:
        pdu = units.answer(request, framing)
        right = None if pdu is None else frame(framing, request.unit, pdu, request.transaction)
        return bent_answers(bugs, request.unit, request.pdu, right, tcp=framing is Framing.TCP,
                            transaction=request.transaction) or b""

    def ask(octets: bytes) -> bytes:
        rtu.pause()
        try:
            requests = TcpFrames().feed(octets) if framing is Framing.TCP else rtu.feed(octets)
        except NotModbus:
            return b""
        return b"".join(map(answered, requests))

    return [check.verdict(ask(check.send)) for check in modbus_checks(framing, _UNIT, readable_of(profile))]


def transmitter_verdicts(profile: DeviceProfile, wall_us: int, bugs: frozenset[PanelBug]) -> list[Verdict]:
    """A transmission device (or what stands behind one) against the trial, in virtual time."""
    behind = {"gbt26875-uitd": "", "gbt26875-facility": "1.1"}.get(profile.id, "1.1/0A000200")
    panel = Panel(_ADDRESS, {behind: VirtualDevice(profile.id, profile)}, bugs=bugs)
    trial = TransmitterTrial(1)
    trial.opened(0, wall_us)
    to_trial = panel.opened(0, wall_us)
    for at_us in range(0, round(TransmitterTrial.DURATION_S * 1e6), _STEP_US):
        to_panel = trial.due(at_us, wall_us + at_us)
        to_trial += panel.due(at_us, wall_us + at_us)
        while to_trial or to_panel:
            to_panel += [piece for octets in to_trial for piece in trial.take(octets, at_us, wall_us + at_us)]
            to_trial = [piece for octets in to_panel for piece in panel.take(octets, at_us, wall_us + at_us)]
            to_panel = []
    return trial.finish()
