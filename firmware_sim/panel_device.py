"""Panel: a user information transmission device (用户信息传输装置) and its fire panel as a GB/T 26875.3 session.

    VirtualDevices ──state words, analog values──► changed? ─► Exchange (≤ 10 s, 3 retries) ─► frames to the centre
    buttons ──► operation records (types 4, 24)                    centre: queries, clock, duty check ─► answers

    address in the scenario:  889 ── the device itself    889/1.1 ── a facility    889/1.1/0A000200 ── a component

Manners: a fire goes before everything else; a facility shows the fires and faults of its components, the device those
of its facilities; what the centre did not confirm while the line was down is sent when it is back; three failed
retries light the channel fault. A duty check is answered by nobody but a person: `press: answer`.

Source: GB/T 26875.3-2011; heartbeat (an empty send) is found practice, the standard has none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from device_model.profile import DeviceProfile, PanelTraits
from firmware_sim.device import VirtualDevice
from firmware_sim.mqtt_device import encode_value
from firmware_sim.panel_bugs import PanelBug, bent
from wire_codecs.gbt26875 import Command, Frame, FrameReader, RefusedFrame, Stamp, encode_frame
from wire_codecs.gbt26875_exchange import Finished
from wire_codecs.gbt26875_objects import (
    ANALOG,
    COMPONENT_BITS,
    NOTE_BYTES,
    OPERATION_BITS,
    SYSTEM_BITS,
    UITD_BITS,
    UITD_OPERATION_BITS,
    Analog,
    AskUitd,
    ComponentConfiguration,
    ComponentState,
    Content,
    Operation,
    Part,
    ReadComponent,
    ReadOperations,
    ReadSystem,
    ShortSign,
    System,
    SystemConfiguration,
    SystemState,
    SystemTime,
    SystemVersion,
    UitdConfiguration,
    UitdOperation,
    UitdState,
    UitdTime,
    UitdVersion,
)
from wire_codecs.gbt26875_uitd import Asked, ClockGiven, DutyAsked, Uitd

HEARTBEAT_S = 20.0  # found practice: 20 to 30 s
ANALOG_S = 60.0  # an analog value is told at least this often, and when it moved by its deadband
SELF_CHECK_S = 86_400.0  # the neighbouring standards ask for one self test a day
OPERATOR = 1
RECORDS_MAX = 102  # operation records that one query may ask for (type 64, 84)
_KINDS = {"gbt26875-call-point": 23, "gbt26875-pressure": 99}
_SMOKE = 40
_BUTTON_BITS = {"reset": 0, "silence": 1, "test": 6}
_CALM = 1  # what a centre may believe before it was told anything; a first state that differs is told
_SUMMED = ("fire", "fault", "shielded")
_FIRE = 1 << SYSTEM_BITS.index("fire")
_DUTY = 1 << UITD_OPERATION_BITS.index("duty_answer")
_CHANNEL_FAULT = 1 << UITD_BITS.index("channel_fault")


class Panel:
    """One transmission device. `devices`: address behind the device's own ("", "1.1", "1.1/0A000200") to device.

    centre: the centre's address, frames' destination. Raises ValueError for an address that is none.
    """

    def __init__(
        self, address: int, devices: Mapping[str, VirtualDevice], *, centre: int = 1,
        heartbeat_s: float = HEARTBEAT_S, bugs: frozenset[PanelBug] = frozenset(),
    ) -> None:
        self.address = address
        self.id = devices[""].id if "" in devices else str(address)
        self.duty_asked_min = 0  # minutes within which a person is to answer; 0: nobody asked
        self.lost = 0  # uploads that did not fit into the device's store
        self.failed = 0  # uploads that the centre did not confirm after all retries
        self.clock_error_us = 0
        self._own = devices.get("")
        self._systems: dict[System, VirtualDevice | None] = {}
        self._parts: dict[Part, VirtualDevice] = {}
        for behind, device in devices.items():
            if behind:
                self._place(behind, device)
        self._offset_h = _traits(devices).utc_offset_h
        self._bugs = bugs
        retries = 0 if PanelBug.NO_RETRY in bugs else 3
        self._uitd = Uitd(address, centre, timeout_s=10.0, retries=retries)
        self._reader = FrameReader()
        self._heartbeat_us = round(heartbeat_s * 1e6)
        self._open = False
        self._beat_us = 0
        self._checked_us = 0
        self._told: dict[System | Part | None, int] = {}
        self._analogs: dict[tuple[Part, str], tuple[int, int]] = {}  # (raw, when told)
        self._records: deque[Operation | UitdOperation] = deque(maxlen=RECORDS_MAX)
        self._seen_presses: dict[str, int] = {}
        self._channel_fault = False

    def _place(self, behind: str, device: VirtualDevice) -> None:
        facility, _, wire = behind.partition("/")
        kind, _, number = facility.partition(".")
        system = System(int(kind), int(number))
        if wire:
            octets = bytes.fromhex(wire)
            if len(octets) != 4:
                raise ValueError(f"{behind}: a component has four bytes of address")
            self._parts[Part(system, int.from_bytes(octets, "little"))] = device
            self._systems.setdefault(system, None)
        else:
            self._systems[system] = device

    @property
    def wants_link(self) -> bool:
        """Whether the device is powered."""
        return self._own is None or self._own.answers

    # -- the line --------------------------------------------------------------------------------------------------

    def opened(self, at_us: int, wall_us: int) -> list[bytes]:
        """Connected: the device says its own state first, then whatever waited."""
        self._open = True
        self._reader = FrameReader()
        self._beat_us = at_us
        stamp = self._stamp(wall_us)
        self._ask([UitdState(self._uitd_word(), stamp)], first=True)
        return self.due(at_us, wall_us)

    def closed(self, at_us: int) -> None:
        """The line is gone: what was not confirmed is kept for the next one."""
        self._open = False
        for command, unit in reversed(self._uitd.exchange.drop_all()):
            if unit:
                self._uitd.exchange.ask(command, unit, first=True)

    def take(self, octets: bytes, at_us: int, wall_us: int) -> list[bytes]:
        """The centre speaks."""
        out: list[Frame] = []
        stamp = self._stamp(wall_us)
        for frame in self._reader.feed(octets):
            if isinstance(frame, RefusedFrame):
                denial = frame.denial(stamp)
                out += [denial] if denial is not None else []
                continue
            events, frames = self._uitd.take(frame, at_us, stamp)
            for event in events:
                match event:
                    case DutyAsked(answer_within_min=minutes):
                        self._duty(minutes, stamp)
                    case ClockGiven(at=at):
                        given = at.wall_us(self._offset_h)
                        self.clock_error_us = 0 if given is None else given - wall_us
                    case Asked():
                        frames = (*frames, self._answer(event, stamp))
                    case Finished(reply=reply, command=command):
                        self._over(reply is not None and command == Command.SEND, reply is None)
            out += frames
        return [*self._sent(out), *self.due(at_us, wall_us)]

    def due(self, at_us: int, wall_us: int) -> list[bytes]:
        """Time passes: what changed, what is to be repeated, the heartbeat."""
        if not self.wants_link:
            return []
        stamp = self._stamp(wall_us)
        self._watch(at_us, stamp)
        if not self._open:
            return []
        if self._heartbeat_us and at_us - self._beat_us >= self._heartbeat_us and not len(self._uitd.exchange):
            self._beat_us = at_us
            self._ask([ShortSign()])
        if at_us - self._checked_us >= SELF_CHECK_S * 1e6:
            self._checked_us = at_us
            self._operated(None, 1 << OPERATION_BITS.index("self_test"), stamp)
        out = []
        for item in self._uitd.exchange.due(at_us, stamp):
            if isinstance(item, Frame):
                out.append(item)
            else:
                self._over(False, True)
        return self._sent(out)

    def _sent(self, frames: list[Frame] | tuple[Frame, ...]) -> list[bytes]:
        return [bent(encode_frame(frame), frame, self._bugs) for frame in frames]

    def _over(self, confirmed: bool, failed: bool) -> None:
        """An exchange ended: an unreachable centre lights the channel fault, a confirm puts it out."""
        self.failed += failed
        if confirmed or failed:
            self._channel_fault = failed

    def _ask(self, objects: list[Content], *, first: bool = False) -> None:
        if not self._uitd.send(objects, first=first):
            self.lost += 1

    def _duty(self, minutes: int, stamp: Stamp) -> None:
        self.duty_asked_min = minutes
        if PanelBug.ANSWERS_DUTY_ITSELF in self._bugs:
            self._uitd.answer_duty(OPERATOR, stamp)

    # -- what the panel sees ---------------------------------------------------------------------------------------

    def _watch(self, at_us: int, stamp: Stamp) -> None:
        for part, device in self._parts.items():
            word = self._component_word(device)
            if self._told.get(part, _CALM) != word:
                self._ask([ComponentState(part, _kind(device.profile), word, _note(device.id), stamp)],
                          first=bool(word & _FIRE))
            self._told[part] = word
            self._watch_analogs(part, device, at_us, stamp)
        for system in self._systems:
            word = self._system_word(system)
            if self._told.get(system, _CALM) != word:
                self._ask([SystemState(system, word, stamp)])
            self._told[system] = word
        word = self._uitd_word()
        if self._told.get(None, _CALM) != word:
            self._ask([UitdState(word, stamp)])
        self._told[None] = word
        self._watch_buttons(stamp)

    def _watch_analogs(self, part: Part, device: VirtualDevice, at_us: int, stamp: Stamp) -> None:
        for analog in self._analog_of(part, device, stamp):
            key = (part, str(analog.quantity))
            raw, told_us = self._analogs.get(key, (None, 0))
            moved = raw is None or abs(analog.raw - raw) > self._deadband(device, analog.quantity)
            if raw is None or at_us - told_us >= ANALOG_S * 1e6 or (moved and at_us - told_us >= 1e6):
                self._analogs[key] = (analog.raw, at_us)
                self._ask([analog])

    @staticmethod
    def _deadband(device: VirtualDevice, quantity: int) -> float:
        return max((point.deadband for point in device.profile.points
                    if point.payload is not None and point.payload.path == f"analog_{quantity}"),
                   default=0.0) / ANALOG[quantity][1]

    @staticmethod
    def _analog_of(part: Part, device: VirtualDevice, stamp: Stamp) -> list[Analog]:
        found = []
        for point in device.profile.points:
            source, value = point.payload, device.shown[point.id]
            if source is None or not source.path.startswith("analog_") or not isinstance(value, float):
                continue
            kind = int(source.path.removeprefix("analog_"))
            if kind in ANALOG:
                raw = round(value / ANALOG[kind][1])
                found.append(Analog(part, _kind(device.profile), kind, max(-32768, min(32767, raw)), stamp))
        return found

    def _watch_buttons(self, stamp: Stamp) -> None:
        pressed: list[tuple[System | None, VirtualDevice]] = []
        pressed += [(system, device) for system, device in self._systems.items() if device is not None]
        if self._own is not None:
            pressed.append((None, self._own))
        for system, device in pressed:
            seen = self._seen_presses.get(device.id, 0)
            self._seen_presses[device.id] = device.presses
            for button in list(device.pressed)[-(device.presses - seen):] if device.presses > seen else ():
                if button == "answer" and system is None:
                    if self.duty_asked_min:
                        self.duty_asked_min = 0
                        self._records.append(UitdOperation(_DUTY, OPERATOR, stamp))
                        self._uitd.answer_duty(OPERATOR, stamp)
                elif button in _BUTTON_BITS:
                    self._operated(system, 1 << _BUTTON_BITS[button], stamp)

    def _operated(self, system: System | None, flags: int, stamp: Stamp) -> None:
        record: Operation | UitdOperation = UitdOperation(flags, OPERATOR, stamp)
        if system is not None:
            record = Operation(system, flags, OPERATOR, stamp)
        self._records.append(record)
        self._ask([record])

    # -- states ----------------------------------------------------------------------------------------------------

    def _component_word(self, device: VirtualDevice) -> int:
        return _word(device, COMPONENT_BITS)

    def _system_word(self, system: System) -> int:
        device = self._systems[system]
        word = 1 if device is None else _word(device, SYSTEM_BITS)
        for part, component in self._parts.items():
            if part.system == system:
                word |= _word(component, COMPONENT_BITS) & _mask(SYSTEM_BITS)
        return word

    def _uitd_word(self) -> int:
        word = 1 if self._own is None else _word(self._own, UITD_BITS)
        for system in self._systems:
            states = self._system_word(system)
            for name in ("fire", "fault"):
                if states >> SYSTEM_BITS.index(name) & 1:
                    word |= 1 << UITD_BITS.index(name)
        return word | (_CHANNEL_FAULT if self._channel_fault else 0)

    # -- questions -------------------------------------------------------------------------------------------------

    def _answer(self, asked: Asked, stamp: Stamp) -> Frame:
        if asked.frame.command == Command.CONTROL:  # initialise: nothing that the centre could see is lost
            return asked.frame.answer(Command.CONFIRM, stamp)
        found: list[Content] = []
        for item in asked.objects:
            found += self._found(item, stamp)
        if len({type(item) for item in found}) > 1:
            return asked.frame.answer(Command.DENY, stamp)
        return Uitd.reply(asked, found, stamp)

    def _found(self, item: Content, stamp: Stamp) -> list[Content]:
        match item:
            case AskUitd(type=81):
                return [UitdState(self._uitd_word(), stamp)]
            case AskUitd(type=85):
                return [UitdVersion(1, 0)]
            case AskUitd(type=86):
                return [UitdConfiguration(f"{self.address}: {len(self._systems)} / {len(self._parts)}")]
            case AskUitd(type=88):
                return [UitdTime(stamp)]
            case ReadOperations(system=system, wanted=wanted):
                kept = [r for r in self._records
                        if (r.system if isinstance(r, Operation) else None) == system]
                return list(kept[-wanted:]) if wanted else []
            case ReadSystem(system=system) if system in self._systems:
                about: dict[int, Content] = {
                    61: SystemState(system, self._system_word(system), stamp), 65: SystemVersion(system, 1, 0),
                    66: SystemConfiguration(system, f"{len(self._parts)} components"), 68: SystemTime(system, stamp)}
                return [about[item.type]]
            case ReadComponent(part=part) if part in self._parts:
                device = self._parts[part]
                kind, note = _kind(device.profile), _note(device.id)
                if item.type == 63:
                    return list(self._analog_of(part, device, stamp))
                if item.type == 67:
                    return [ComponentConfiguration(part, kind, note)]
                return [ComponentState(part, kind, self._component_word(device), note, stamp)]
            case _:
                return []

    def _stamp(self, wall_us: int) -> Stamp:
        return Stamp.at(wall_us + self.clock_error_us, self._offset_h)


def _word(device: VirtualDevice, names: tuple[str, ...]) -> int:
    """The state word: bit 0 (running) is 0 while the device is tested, and says nothing else."""
    word = 0 if device.testing else 1
    for point in device.profile.points:
        source = point.payload
        if source is None or source.path not in names:
            continue
        if encode_value(point, source, device.shown[point.id]) is True:
            word |= 1 << names.index(source.path)
    return word


def _mask(names: tuple[str, ...]) -> int:
    return sum(1 << names.index(name) for name in _SUMMED)


def _kind(profile: DeviceProfile) -> int:
    return _KINDS.get(profile.id, _SMOKE)


def _note(text: str) -> str:
    return text.encode("gb18030")[:NOTE_BYTES].decode("gb18030", "ignore")


def _traits(devices: Mapping[str, VirtualDevice]) -> PanelTraits:
    return next((d.profile.gbt26875 for d in devices.values() if d.profile.gbt26875 is not None), PanelTraits())

