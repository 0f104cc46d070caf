"""Faults: what goes wrong on a line or in a device, scheduled and seeded. Same seed and requests, same bytes.

    reply pdu ──ReplyFaults.send──► [Outgoing(delay, bytes), …]   none: nothing is sent
    payload   ──ReplyFaults.publish──► [(delay, payload), …]

Line faults bend what is sent; device faults (stuck, jump, drift, bad, reboot, off) bend the device itself and are
played by `world.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from device_model.reading import Reason
from firmware_sim.modbus_device import Framing, Request, exception, frame
from firmware_sim.noise import Noise


class FaultKind(StrEnum):
    """What goes wrong."""

    # on the line, or on one device's share of it
    DROP = "drop"  # the reply is lost
    DELAY = "delay"  # the reply comes `delay_s` later
    DUPLICATE = "duplicate"  # the reply comes twice
    GARBLE = "garble"  # bits flip
    WRONG_UNIT = "wrong_unit"  # the reply names another unit
    SHORT = "short"  # the reply is well-formed but holds fewer bytes than asked for
    EXCEPTION = "exception"  # the device refuses with `code`
    BABBLE = "babble"  # bytes nobody asked for, `amount` a second
    HALF_OPEN = "half_open"  # connections open at its beginning stay open and dead; a new one works (serve.py)
    SILENT = "silent"  # nothing at all
    LINE_SHORT = "line_short"  # the wires touch: nobody is heard
    BROKER_LOSS = "broker_loss"  # the broker of an MQTT line is away: nothing is published
    CERTIFICATE_EXPIRED = "certificate_expired"  # the line's peers refuse each other: nothing passes
    # in the device
    STUCK = "stuck"
    JUMP = "jump"  # shows `amount` more
    DRIFT = "drift"  # shows `amount` more with every hour
    BAD = "bad"  # the point fails for `reason`
    REBOOT = "reboot"
    OFF = "off"  # no power while it lasts
    BROWN_OUT = "brown_out"  # power dips every `delay_s` (at least a boot and a second): it never comes up for long
    CLOCK_WRONG = "clock_wrong"  # its clock is `amount` seconds wrong
    CAMERA_FROZEN = "camera_frozen"  # the picture stands
    CAMERA_BLIND = "camera_blind"  # covered or sprayed
    CAMERA_MOVED = "camera_moved"  # turned away
    CAMERA_DARK = "camera_dark"  # no light and no infrared
    # in the world
    JAMMED = "jammed"  # the actuator does not move


POINT_FAULTS = frozenset({FaultKind.STUCK, FaultKind.JUMP, FaultKind.DRIFT, FaultKind.BAD})
POWER_FAULTS = frozenset({FaultKind.REBOOT, FaultKind.OFF, FaultKind.BROWN_OUT})
CAMERA_FAULTS: dict[FaultKind, str] = {
    FaultKind.CAMERA_FROZEN: "frozen", FaultKind.CAMERA_BLIND: "blind", FaultKind.CAMERA_MOVED: "moved",
    FaultKind.CAMERA_DARK: "dark",
}
DEVICE_FAULTS = POWER_FAULTS | {FaultKind.CLOCK_WRONG} | CAMERA_FAULTS.keys()
_DEAD_LINE = frozenset({FaultKind.LINE_SHORT, FaultKind.BROKER_LOSS, FaultKind.CERTIFICATE_EXPIRED})
WHOLE_LINE_FAULTS = frozenset({FaultKind.BABBLE, FaultKind.HALF_OPEN}) | _DEAD_LINE
LINE_FAULTS = frozenset(FaultKind) - POINT_FAULTS - DEVICE_FAULTS - {FaultKind.JAMMED}
_SILENCING = frozenset({FaultKind.DROP, FaultKind.SILENT}) | _DEAD_LINE
_OPEN_END_S = 1e12


class Fault(msgspec.Struct, frozen=True):
    """One fault. target: line id, device id, or device.point. Times in shown seconds since the scenario began;
    for_s 0 lasts to the end. chance: of each reply, for line faults."""

    kind: FaultKind
    target: str
    from_s: float = 0.0
    for_s: float = 0.0
    chance: float = 1.0
    delay_s: float = 0.5
    amount: float = 0.0
    code: int = 4
    reason: Reason = Reason.DEVICE_FAULT

    def active(self, at_s: float) -> bool:
        """Whether it lasts at that time."""
        return self.from_s <= at_s < self.end_s

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.from_s + self.for_s if self.for_s > 0 else _OPEN_END_S


class Outgoing(msgspec.Struct, frozen=True):
    """Bytes to send after a delay in shown seconds."""

    delay_s: float
    octets: bytes


class LineFaults:
    """All line faults of a scenario, for one line; keeps the line's own stream of randomness."""

    def __init__(self, line: str, faults: Sequence[Fault], seed: int) -> None:
        self._line = line
        self._noise = Noise(seed, "line", line)
        self.renew(faults)

    def renew(self, faults: Sequence[Fault]) -> None:
        """Other faults from now on (a tester strikes or ends one); the stream of randomness goes on."""
        self._faults = tuple(fault for fault in faults if fault.kind in LINE_FAULTS)

    def _hit(self, device: str, at_s: float) -> dict[FaultKind, Fault]:
        """Which faults strike this reply. Every active fault draws once, so that draws do not depend on order."""
        return {
            fault.kind: fault for fault in self._faults
            if fault.target in (self._line, device) and fault.active(at_s)
            and (fault.chance >= 1.0 or self._noise.unit() < fault.chance)
        }

    def lasts(self, kind: FaultKind, at_s: float, device: str = "") -> bool:
        """Whether a fault of that kind lasts on the line (or the device) now."""
        return any(f.kind is kind and f.target in (self._line, device) and f.active(at_s) for f in self._faults)

    def send(self, device: str, request: Request, pdu: bytes, framing: Framing, at_s: float) -> list[Outgoing]:
        """What really goes onto the wire instead of the reply."""
        hit = self._hit(device, at_s)
        if _SILENCING & hit.keys():
            return []
        unit = request.unit
        if FaultKind.EXCEPTION in hit:
            pdu = exception(request.pdu[0], hit[FaultKind.EXCEPTION].code)
        if FaultKind.SHORT in hit and len(pdu) > 3 and not pdu[0] & 0x80:
            # Two bytes fewer, and the byte count agrees with what is there: only the request tells it is short.
            pdu = bytes([pdu[0], max(0, pdu[1] - 2)]) + pdu[2:-2]
        if FaultKind.WRONG_UNIT in hit:
            unit = unit % 247 + 1
        octets = frame(framing, unit, pdu, request.transaction)
        if FaultKind.GARBLE in hit:
            octets = self._garble(octets, framing)
        delay_s = hit[FaultKind.DELAY].delay_s if FaultKind.DELAY in hit else 0.0
        out = [Outgoing(delay_s, octets)]
        if FaultKind.DUPLICATE in hit:
            out.append(Outgoing(delay_s + hit[FaultKind.DUPLICATE].delay_s, octets))
        return out

    def publish(self, device: str, payload: bytes, at_s: float) -> list[Outgoing]:
        """What is really published instead of the payload."""
        hit = self._hit(device, at_s)
        if _SILENCING & hit.keys():
            return []
        if FaultKind.SHORT in hit:
            payload = payload[:-2]
        if FaultKind.GARBLE in hit:
            payload = self._flip(payload, 0, len(payload))
        delay_s = hit[FaultKind.DELAY].delay_s if FaultKind.DELAY in hit else 0.0
        out = [Outgoing(delay_s, payload)]
        if FaultKind.DUPLICATE in hit:
            out.append(Outgoing(delay_s + hit[FaultKind.DUPLICATE].delay_s, payload))
        return out

    def babble(self, at_s: float, elapsed_s: float) -> bytes:
        """Bytes that nobody asked for in the time that passed."""
        octets = b""
        for fault in self._faults:
            if fault.kind is FaultKind.BABBLE and fault.target == self._line and fault.active(at_s):
                expected = fault.amount * elapsed_s
                count = int(expected) + (self._noise.unit() < expected % 1.0)
                octets += self._noise.octets(min(count, 256))
        return octets

    def _garble(self, octets: bytes, framing: Framing) -> bytes:
        # TCP checks its own bytes, so a garbled Modbus/TCP frame is one that a bad gateway built wrongly:
        # header, unit, function or byte count, not a silently changed value. On RTU any bit may flip.
        return self._flip(octets, 0, min(9, len(octets)) if framing is Framing.TCP else len(octets))

    def _flip(self, octets: bytes, first: int, last: int) -> bytes:
        if last <= first:
            return octets
        changed = bytearray(octets)
        changed[first + self._noise.below(last - first)] ^= 1 << self._noise.below(8)
        return bytes(changed)
