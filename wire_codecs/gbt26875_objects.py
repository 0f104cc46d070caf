"""GB/T 26875.3-2011 application data units: what stands in a frame, as frozen events. Pure, both directions.

    type flag 1 | number of objects 1 | object … time tag 6 | object … time tag 6 | …

A unit that is damaged behind its first objects still gives those: a fire that was understood is not thrown away
for the bytes behind it. What could not be read stands beside it as `Unread`, never dropped silently.

Uncertain facts and how they are treated: bit 0 of a state ("0 = test") never lowers or hides bit 1 (fire): field
frames A, S, X are real fires with bit 0 = 0. Objects without their time tags are taken (`at` is None). A component's
note is padded with zeros or spaces. Source: reference gbt26875.md sections 7 to 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from device_model.errors import PeerGarbled
from wire_codecs.gbt26875 import UNIT_MAX, Stamp

NOTE_BYTES = 31
_T = TypeVar("_T")

# Bit names by position. Bit 0 is kept by its positive name; it says nothing about a fire.
SYSTEM_BITS = ("running", "fire", "fault", "shielded", "supervisory", "started", "feedback", "delay", "mains_fault",
               "standby_fault", "bus_fault", "manual", "configuration_changed", "reset")
COMPONENT_BITS = (*SYSTEM_BITS[:8], "supply_fault")
UITD_BITS = ("monitoring", "fire", "fault", "mains_fault", "standby_fault", "channel_fault", "line_fault")
OPERATION_BITS = ("reset", "silence", "manual_alarm", "alarm_cleared", "self_test", "acknowledge", "test")
UITD_OPERATION_BITS = (*OPERATION_BITS[:5], "duty_answer", "test")

# Analog kind: (unit as UCUM code, resolution); table 6. Others are reserved or the user's.
ANALOG: dict[int, tuple[str, float]] = {
    1: ("1", 1.0), 2: ("m", 0.01), 3: ("Cel", 0.1), 4: ("MPa", 0.1), 5: ("kPa", 0.1), 6: ("%[LEL]", 0.1),
    7: ("s", 1.0), 8: ("V", 0.1), 9: ("A", 0.1), 10: ("L/s", 0.1), 11: ("m3/min", 0.1), 12: ("m/s", 1.0),
}


def flags_of(state: int, names: Sequence[str]) -> dict[str, bool]:
    """A state word as its named bits."""
    return {name: bool(state >> bit & 1) for bit, name in enumerate(names)}


class System(msgspec.Struct, frozen=True, order=True):
    """A building's fire facility behind the UITD: its kind (table 4: 1 fire alarm, 11 hydrants …) and its number."""

    kind: int
    number: int


class Part(msgspec.Struct, frozen=True, order=True):
    """A component: its system, its four address bytes as an integer, little endian. The text of the standard gives
    them no structure; commonly zone then position, two bytes each [REPO]."""

    system: System
    address: int

    @property
    def wire_hex(self) -> str:
        """The four bytes in the order of the wire, as site files write them: 0A000200."""
        return self.address.to_bytes(4, "little").hex().upper()


class SystemState(msgspec.Struct, frozen=True):
    """Type 1. `state`: SYSTEM_BITS."""

    system: System
    state: int
    at: Stamp | None = None


class ComponentState(msgspec.Struct, frozen=True):
    """Type 2. `kind`: table 5 (40 smoke …). `state`: COMPONENT_BITS. `note`: where it hangs, as the panel says."""

    part: Part
    kind: int
    state: int
    note: str = ""
    at: Stamp | None = None


class Analog(msgspec.Struct, frozen=True):
    """Type 3. The value is `raw` times the resolution of `quantity` in ANALOG."""

    part: Part
    kind: int
    quantity: int
    raw: int
    at: Stamp | None = None


class Operation(msgspec.Struct, frozen=True):
    """Type 4: somebody worked a facility. `flags`: OPERATION_BITS."""

    system: System
    flags: int
    operator: int
    at: Stamp | None = None


class SystemVersion(msgspec.Struct, frozen=True):
    """Type 5."""

    system: System
    major: int
    minor: int


class SystemConfiguration(msgspec.Struct, frozen=True):
    """Type 6."""

    system: System
    text: str


class ComponentConfiguration(msgspec.Struct, frozen=True):
    """Type 7."""

    part: Part
    kind: int
    note: str


class SystemTime(msgspec.Struct, frozen=True):
    """Type 8."""

    system: System
    at: Stamp


class UitdState(msgspec.Struct, frozen=True):
    """Type 21. `state`: UITD_BITS."""

    state: int
    at: Stamp | None = None


class UitdOperation(msgspec.Struct, frozen=True):
    """Type 24: somebody worked the UITD. `flags`: UITD_OPERATION_BITS; bit 5 answers a duty check."""

    flags: int
    operator: int
    at: Stamp | None = None


class UitdVersion(msgspec.Struct, frozen=True):
    """Type 25."""

    major: int
    minor: int


class UitdConfiguration(msgspec.Struct, frozen=True):
    """Type 26."""

    text: str


class UitdTime(msgspec.Struct, frozen=True):
    """Type 28."""

    at: Stamp


class ReadSystem(msgspec.Struct, frozen=True):
    """Types 61 (state), 65 (version), 66 (configuration), 68 (time) of a facility."""

    type: int
    system: System


class ReadComponent(msgspec.Struct, frozen=True):
    """Types 62 (state), 63 (analog values), 67 (configuration) of a component."""

    type: int
    part: Part


class ReadOperations(msgspec.Struct, frozen=True):
    """Type 64: at most `wanted` operation records of a facility from a time on; type 84 of the UITD itself."""

    system: System | None
    wanted: int
    since: Stamp


class AskUitd(msgspec.Struct, frozen=True):
    """Types 81 (state), 85 (version), 86 (configuration), 88 (time) and 89 (initialise)."""

    type: int


class SetClock(msgspec.Struct, frozen=True):
    """Type 90. The layout of the scan (six bytes of time), not the transcription's "reserved" byte."""

    at: Stamp


class DutyCheck(msgspec.Struct, frozen=True):
    """Type 91 (查岗): a person must answer within so many minutes. Nobody answers for them."""

    answer_within_min: int


class Unread(msgspec.Struct, frozen=True):
    """What no table explains: a user's type (128 and up), or bytes behind the objects that were understood."""

    type: int
    octets: bytes
    reason: str


class ShortSign(msgspec.Struct, frozen=True):
    """A unit of no or one byte: the heartbeats found in the field (empty, or a vendor's 16 / 17 hex)."""

    octets: bytes = b""


Uplink = (
    SystemState | ComponentState | Analog | Operation | SystemVersion | SystemConfiguration | ComponentConfiguration
    | SystemTime | UitdState | UitdOperation | UitdVersion | UitdConfiguration | UitdTime
)
Downlink = ReadSystem | ReadComponent | ReadOperations | AskUitd | SetClock | DutyCheck
Content = Uplink | Downlink | Unread | ShortSign
USER_TYPES = range(128, 255)
SYSTEM_READS, COMPONENT_READS, UITD_ASKS = (61, 65, 66, 68), (62, 63, 67), (81, 85, 86, 88, 89)


class _Bytes:
    """A cursor. `take` raises PeerGarbled where the unit ends too early."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.at = octets, 0
        self.stamped = True

    @property
    def left(self) -> int:
        return len(self.octets) - self.at

    def take(self, count: int) -> bytes:
        if self.left < count:
            raise PeerGarbled(f"the unit ends {count - self.left} bytes too early")
        self.at += count
        return self.octets[self.at - count:self.at]

    def number(self, count: int = 1, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(count), "little", signed=signed)

    def system(self) -> System:
        return System(self.number(), self.number())

    def stamp(self) -> Stamp:
        return Stamp.of(self.take(6))

    def maybe_stamp(self) -> Stamp | None:
        return self.stamp() if self.stamped else None

    def typed_part(self) -> tuple[Part, int]:
        system, kind = self.system(), self.number()
        return Part(system, self.number(4)), kind

    def text(self, count: int) -> str:
        """GB 18030, padded with zeros or spaces. Bytes that are none are shown as such: a damaged note must not
        cost the fire that it belongs to."""
        return self.take(count).split(b"\0", 1)[0].decode("gb18030", "replace").rstrip(" ")


def _component_state(b: _Bytes) -> Content:
    part, kind = b.typed_part()
    return ComponentState(part, kind, b.number(2), b.text(NOTE_BYTES), b.maybe_stamp())


def _analog(b: _Bytes) -> Content:
    part, kind = b.typed_part()
    return Analog(part, kind, b.number(), b.number(2, signed=True), b.maybe_stamp())


def _component_configuration(b: _Bytes) -> Content:
    part, kind = b.typed_part()
    return ComponentConfiguration(part, kind, b.text(NOTE_BYTES))


def _ask(kind: int) -> Callable[[_Bytes], Content]:
    def read(b: _Bytes) -> Content:
        b.number()  # reserved
        return AskUitd(kind)
    return read


def _read_system(kind: int) -> Callable[[_Bytes], Content]:
    return lambda b: ReadSystem(kind, b.system())


def _read_component(kind: int) -> Callable[[_Bytes], Content]:
    return lambda b: ReadComponent(kind, Part(b.system(), b.number(4)))


# Type → (reader of one object, bytes of one object where they are fixed, with its time tag, most objects).
_Reader = Callable[[_Bytes], Content]
_STAMPED: dict[int, tuple[int, int, _Reader]] = {
    1: (10, 102, lambda b: SystemState(b.system(), b.number(2), b.maybe_stamp())),
    2: (46, 22, _component_state),
    3: (16, 63, _analog),
    4: (10, 102, lambda b: Operation(b.system(), b.number(), b.number(), b.maybe_stamp())),
    21: (7, 1, lambda b: UitdState(b.number(), b.maybe_stamp())),
    24: (8, 127, lambda b: UitdOperation(b.number(), b.number(), b.maybe_stamp())),
}
_PLAIN: dict[int, tuple[int, _Reader]] = {
    5: (1, lambda b: SystemVersion(b.system(), b.number(), b.number())),
    6: (3, lambda b: SystemConfiguration(b.system(), b.text(b.number()))),
    7: (26, _component_configuration),
    8: (1, lambda b: SystemTime(b.system(), b.stamp())),
    25: (1, lambda b: UitdVersion(b.number(), b.number())),
    26: (1, lambda b: UitdConfiguration(b.text(b.number()))),
    28: (1, lambda b: UitdTime(b.stamp())),
    61: (102, _read_system(61)), 62: (22, _read_component(62)), 63: (63, _read_component(63)),
    64: (1, lambda b: ReadOperations(b.system(), b.number(), b.stamp())),
    65: (1, _read_system(65)), 66: (3, _read_system(66)), 67: (26, _read_component(67)), 68: (1, _read_system(68)),
    81: (1, _ask(81)),
    84: (1, lambda b: ReadOperations(None, b.number(), b.stamp())),
    85: (1, _ask(85)), 86: (1, _ask(86)), 88: (1, _ask(88)), 89: (1, _ask(89)),
    90: (1, lambda b: SetClock(b.stamp())),
    91: (1, lambda b: DutyCheck(b.number())),
}


def decode_unit(unit: bytes) -> tuple[Content, ...]:
    """The objects of an application data unit, with `Unread` for what is left.

    Raises PeerGarbled where not one object can be understood, with the reason: then the frame is to be denied.
    """
    if len(unit) < 2:
        return (ShortSign(unit),)
    kind, count = unit[0], unit[1]
    if kind in USER_TYPES:
        return (Unread(kind, unit[1:], "user-defined type"),)
    content = _Bytes(unit[2:])
    if kind in _STAMPED:
        size, most, read = _STAMPED[kind]
        content.stamped = not (content.left == count * (size - 6) and content.left != count * size)
    elif kind in _PLAIN:
        most, read = _PLAIN[kind]
    else:
        raise PeerGarbled(f"type flag {kind} is reserved")
    if count == 0:
        raise PeerGarbled("a unit with no objects")
    found: list[Content] = []
    reason = f"{count} objects of type {kind}, at most {most}" if count > most else ""
    start = content.at
    try:
        for _ in range(count):
            start = content.at
            found.append(read(content))
    except PeerGarbled as problem:
        if not found:
            raise
        content.at, reason = start, f"object {len(found) + 1} of {count}: {problem}"
    if content.left or reason:
        found.append(Unread(kind, content.take(content.left), reason or "bytes behind the last object"))
    return tuple(found)


def encode_unit(objects: Sequence[Content]) -> bytes:
    """The data unit of objects of one type. ValueError for what the standard does not allow: our own mistake."""
    if len(objects) == 1 and isinstance(objects[0], ShortSign):
        return objects[0].octets
    if len(objects) == 1 and isinstance(objects[0], Unread):
        return bytes((objects[0].type,)) + objects[0].octets
    kinds = {type_of(item) for item in objects}
    if len(kinds) != 1:
        raise ValueError(f"one unit holds objects of one type, not of {sorted(kinds)}")
    kind = kinds.pop()
    most = _STAMPED[kind][1] if kind in _STAMPED else _PLAIN[kind][0]
    if len(objects) > most:
        raise ValueError(f"{len(objects)} objects of type {kind}, at most {most}")
    unit = bytes((kind, len(objects))) + b"".join(map(_encode, objects))
    if len(unit) > UNIT_MAX:
        raise ValueError(f"data unit of {len(unit)} bytes, at most {UNIT_MAX}")
    return unit


_TYPES: dict[type, int] = {
    SystemState: 1, ComponentState: 2, Analog: 3, Operation: 4, SystemVersion: 5, SystemConfiguration: 6,
    ComponentConfiguration: 7, SystemTime: 8, UitdState: 21, UitdOperation: 24, UitdVersion: 25,
    UitdConfiguration: 26, UitdTime: 28, SetClock: 90, DutyCheck: 91,
}


def type_of(item: Content) -> int:
    """The type flag that an object is sent under."""
    if isinstance(item, ReadSystem | ReadComponent | AskUitd | Unread):
        return item.type
    if isinstance(item, ReadOperations):
        return 84 if item.system is None else 64
    if isinstance(item, ShortSign):
        raise ValueError("a short sign has no type flag")
    return _TYPES[type(item)]


def _encode(item: Content) -> bytes:
    match item:
        case SystemState():
            return _system(item.system) + item.state.to_bytes(2, "little") + _at(item.at)
        case ComponentState():
            state = item.state.to_bytes(2, "little")
            return _typed(item.part, item.kind) + state + _note(item.note) + _at(item.at)
        case Analog():
            raw = item.raw.to_bytes(2, "little", signed=True)
            return _typed(item.part, item.kind) + bytes((item.quantity,)) + raw + _at(item.at)
        case Operation():
            return _system(item.system) + bytes((item.flags, item.operator)) + _at(item.at)
        case SystemVersion():
            return _system(item.system) + bytes((item.major, item.minor))
        case SystemConfiguration():
            return _system(item.system) + _text(item.text)
        case ComponentConfiguration():
            return _typed(item.part, item.kind) + _note(item.note)
        case SystemTime():
            return _system(item.system) + item.at.octets()
        case UitdState():
            return bytes((item.state,)) + _at(item.at)
        case UitdOperation():
            return bytes((item.flags, item.operator)) + _at(item.at)
        case UitdVersion():
            return bytes((item.major, item.minor))
        case UitdConfiguration():
            return _text(item.text)
        case UitdTime() | SetClock():
            return item.at.octets()
        case ReadSystem():
            return _system(item.system)
        case ReadComponent():
            return _system(item.part.system) + item.part.address.to_bytes(4, "little")
        case ReadOperations():
            system = b"" if item.system is None else _system(item.system)
            return system + bytes((item.wanted,)) + item.since.octets()
        case AskUitd():
            return b"\0"
        case DutyCheck():
            return bytes((item.answer_within_min,))
        case _:
            raise ValueError(f"{type(item).__name__} is sent alone")


def _system(system: System) -> bytes:
    return bytes((system.kind, system.number))


def _typed(part: Part, kind: int) -> bytes:
    return _system(part.system) + bytes((kind,)) + part.address.to_bytes(4, "little")


def _at(stamp: Stamp | None) -> bytes:
    return b"" if stamp is None else stamp.octets()


def _text(text: str) -> bytes:
    octets = text.encode("gb18030")
    if len(octets) > 255:
        raise ValueError(f"text of {len(octets)} bytes, at most 255")
    return bytes((len(octets),)) + octets


def _note(text: str) -> bytes:
    octets = text.encode("gb18030")
    if len(octets) > NOTE_BYTES:
        raise ValueError(f"note of {len(octets)} bytes, at most {NOTE_BYTES}")
    return octets.ljust(NOTE_BYTES, b"\0")
