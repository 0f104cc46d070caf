"""Line memory: what a line has learnt, as bytes that outlive a restart. Pure; the gateway keeps the bytes.

    {"line": {"version": 1, "devices": {"meter": {profile, refused addresses, cuts, caps, counters}}}}

It is safe to lose: then devices teach it again, and a counter begins at its raw number. What does not fit (another
profile, an address that cannot be, more than a device can have taught) is left out, never believed: a wrong hole
would hide a detector.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from device_drivers.counters import Counter
from device_drivers.register_plan import Learnt
from device_model.profile import REGISTER_COUNT, DeviceProfile, Table
from device_model.site import Device

VERSION = 1
BYTES_MAX = 4 << 20  # of one line: hundreds of devices with all they may teach
TAUGHT_MAX = 4096  # holes and cuts of one device each; one that refused more teaches it again
TURNS_MAX = 1 << 32
_TIME_MAX_US = 1 << 62


class DeviceMemory(msgspec.Struct, omit_defaults=True):
    """What one device taught. profile, unit: of which device that was; another one there starts anew."""

    profile: str
    version: int
    unit: int
    holes: list[tuple[Table, int]] = []
    cuts: list[tuple[Table, int]] = []
    caps: dict[Table, int] = {}
    counters: dict[str, Counter] = {}

    def learnt(self) -> Learnt:
        """As the plan takes it."""
        return Learnt(set(self.holes), set(self.cuts), dict(self.caps))


class _Line(msgspec.Struct):
    version: int
    devices: dict[str, DeviceMemory]


def memory_of(
    device: Device, profile: DeviceProfile, learnt: Learnt, counters: Mapping[str, Counter]
) -> DeviceMemory:
    """What is worth keeping of one device."""
    return DeviceMemory(
        profile.id, profile.version, device.unit, sorted(learnt.holes)[:TAUGHT_MAX], sorted(learnt.cuts)[:TAUGHT_MAX],
        dict(sorted(learnt.caps.items())), {name: counters[name] for name in sorted(counters)},
    )


def to_bytes(devices: Mapping[str, DeviceMemory]) -> bytes:
    """The memory of a line: the same memory, the same bytes. Devices that taught nothing are left out."""
    told = {name: devices[name] for name in sorted(devices)
            if devices[name].holes or devices[name].cuts or devices[name].caps or devices[name].counters}
    return msgspec.json.encode(_Line(VERSION, told))


def from_bytes(octets: bytes) -> dict[str, DeviceMemory]:
    """The other way. ValueError, with what is wrong, when they are none of ours; b"" is a line without memory."""
    if not octets:
        return {}
    if len(octets) > BYTES_MAX:
        raise ValueError(f"{len(octets)} bytes are more than a line can have learnt")
    try:
        line = msgspec.json.decode(octets, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"not the memory of a line: {problem}") from problem
    if line.version != VERSION:
        raise ValueError(f"version {line.version} is not known here")
    return {name: memory for name, memory in line.devices.items() if _sane(memory)}


def fits(memory: DeviceMemory, device: Device, profile: DeviceProfile) -> bool:
    """Whether it is the memory of this very device and profile, and speaks of what the profile has."""
    if (memory.profile, memory.version, memory.unit) != (profile.id, profile.version, device.unit):
        return False
    maxima = {p.id: p.register.counter_max for p in profile.points if p.register and p.register.counter_max}
    return all(name in maxima and counter.last <= maxima[name] for name, counter in memory.counters.items())


def _sane(memory: DeviceMemory) -> bool:
    """Numbers that a device can have taught."""
    taught = memory.holes + memory.cuts
    last = 0xFFFF + max(REGISTER_COUNT.values())
    return (
        len(memory.holes) <= TAUGHT_MAX and len(memory.cuts) <= TAUGHT_MAX
        and all(0 <= at <= (0xFFFF << 16 | last if table is Table.FILE else last) for table, at in taught)
        and all(1 <= cap <= 2000 for cap in memory.caps.values())
        and all(0 <= c.turns <= TURNS_MAX and -1 <= c.last < 1 << 64
                and 0 <= c.wall_us <= _TIME_MAX_US and 0 <= c.mono_us <= _TIME_MAX_US
                for c in memory.counters.values())
    )


def join_lines(lines: Mapping[str, bytes]) -> bytes:
    """The memories of several lines as one file's content."""
    return msgspec.json.encode({name: msgspec.Raw(lines[name]) for name in sorted(lines) if lines[name]})


def split_lines(octets: bytes) -> dict[str, bytes]:
    """The other way; ValueError when the file is none of ours. What stands in it is judged by `from_bytes`."""
    if len(octets) > 16 * BYTES_MAX:
        raise ValueError(f"{len(octets)} bytes are more than a gateway can have learnt")
    try:
        return {name: bytes(raw) for name, raw in msgspec.json.decode(octets, type=dict[str, msgspec.Raw]).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"not the memory of a gateway: {problem}") from problem
