"""A field bus in virtual time that does everything a bad line does. Every register tells whose and where it is.

    LinePoller ─request─► BusModel ─► what the fault makes of the reply: arrivals at times ─► LineReply | PeerError

What arrives while something is asked is taken for its reply, as on a wire: a late or double reply is really there.
On TCP it carries its transaction and dies with its connection; on a serial line only a pause keeps it away. The
pauses of the production link are kept: t3.5 before a request, the drain after doubt.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from device_drivers.driver import LineUnreachable
from device_drivers.reply_check import reply_fault
from device_model.clock import Clock
from device_model.errors import PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineReply, LineRequest
from device_model.profile import DeviceProfile, RegisterType, Table
from tests.device_drivers.rig import point, profile

GAP_S = 0.004  # t3.5 at 9600 baud; a double reply comes within it
TRIP_S = 0.01
ERROR_MARK = 0x8000
TIMEOUT_S, LATE_S = 0.2, 0.3

FAULTS = ("drop", "late", "duplicate", "garble", "foreign", "short", "long", "failure", "busy", "babble", "silent",
          "unplugged", "half_open", "flapping", "off", "reboot")
WHOLE_LINE = ("silent", "unplugged", "half_open", "flapping", "babble")
STORM = ("drop", "late", "duplicate", "garble", "foreign", "short", "long", "function", "failure", "busy")


def word(unit: int, table: Table, address: int) -> int:
    """The constant content of a register: different for every unit, table and address, and never the error mark."""
    return (unit << 11 | list(Table).index(table) << 8 | address) & 0x7FFF


def bit(unit: int, address: int) -> bool:
    """The constant content of a coil."""
    return bool((unit * 7 + address * 5) & 2)


def device_profile(poll_s: float) -> DeviceProfile:
    """Blocks of one shape at several addresses, others of other shapes, and a point that is always in error."""
    points = [point(f"h{a}", a, poll_interval_s=poll_s, stale_after_s=100 * poll_s) for a in (10, 40, 70)]
    points += [point(f"i{a}", a, table=Table.INPUT, poll_interval_s=poll_s, stale_after_s=100 * poll_s)
               for a in (10, 90)]
    points += [point("w100", 100, type=RegisterType.U32, poll_interval_s=poll_s, stale_after_s=100 * poll_s),
               point("bad", 200, type=RegisterType.S16, error_values=(-0x8000,), poll_interval_s=poll_s,
                     stale_after_s=100 * poll_s)]
    points += [point(f"c{a}", a, table=Table.COIL, type=RegisterType.BIT, quantity="leak", poll_interval_s=poll_s,
                     stale_after_s=100 * poll_s) for a in (1, 2, 3)]
    return profile(*points, read_holes=False, reply_timeout_s=TIMEOUT_S, late_reply_max_s=LATE_S)


def true_value(unit: int, name: str) -> int | bool | None:
    """What a point of that unit must read as; None: never a number."""
    kind, address = name[0], name[1:]
    if name == "bad":
        return None
    if kind == "c":
        return bit(unit, int(address))
    table = Table.INPUT if kind == "i" else Table.HOLDING
    if kind == "w":
        return word(unit, table, int(address)) << 16 | word(unit, table, int(address) + 1)
    return word(unit, table, int(address))


class Arrival(msgspec.Struct):
    """Bytes on their way to the master. fault: how the link would see them, "" for a sound frame."""

    at_s: float
    transaction: int
    reply: LineReply
    code: int = 0
    garbled: bool = False


class BusModel:
    """The line as the poller's port. `fault(unit, at_s)` says what strikes this exchange, "" for nothing."""

    def __init__(self, clock: Clock, seed: int, *, serial: bool, fault: Callable[[int, float], str]) -> None:
        self._clock, self._serial, self._fault = clock, serial, fault
        self._random = random.Random(seed)
        self._transaction = 0
        self._coming: list[Arrival] = []
        self._connected_s = 0.0
        self.bad = 0  # exchanges that a fault struck

    def at_s(self) -> float:
        return self._clock.now().mono_us / 1e6

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        await self._clock.sleep(GAP_S)
        fault = self._fault(request.unit, self.at_s())
        self.bad += bool(fault)
        if fault == "unplugged" or (fault == "flapping" and int(self.at_s()) % 2):
            self._coming.clear()
            self._connected_s = self.at_s() + 1e-6
            await self._clock.sleep(TRIP_S)
            raise LineUnreachable("nothing there")
        asked_s = self.at_s()
        self._transaction += 1
        self._coming = [a for a in self._coming if a.at_s > asked_s]  # what came unasked is thrown away
        self._send(request, fault, timeout_s)
        first = min((a for a in self._coming if a.at_s <= asked_s + timeout_s), key=lambda a: a.at_s, default=None)
        if first is None:
            await self._clock.sleep(timeout_s)
            self._doubt()
            raise PeerSilent("nothing came")
        self._coming.remove(first)
        await self._clock.sleep(first.at_s - asked_s)
        return self._opened(request, first)

    def _opened(self, request: LineRequest, arrival: Arrival) -> LineReply:
        other = not self._serial and arrival.transaction != self._transaction
        if arrival.garbled or other:
            self._doubt()
            raise PeerGarbled("checksum or transaction does not fit")
        if arrival.code:
            if arrival.reply.unit != request.unit or arrival.reply.function != request.function:
                self._doubt()
                raise PeerGarbled("an exception to something else")
            raise PeerRefused("refused", arrival.code)
        if reply_fault(request, arrival.reply):
            self._doubt()  # the driver finds it too; a link that closes its connection is the milder case
        return arrival.reply

    def _doubt(self) -> None:
        if not self._serial:
            self._coming.clear()  # the connection is closed
            self._connected_s = self.at_s() + 1e-6

    def _send(self, request: LineRequest, fault: str, timeout_s: float) -> None:
        rng, unit = self._random, request.unit
        if fault in ("drop", "silent", "off") or (fault == "half_open" and self._connected_s < HALF_OPEN_FROM_S):
            return
        payload, function = self._payload(unit, request.function, request), request.function
        arrival = Arrival(self.at_s() + TRIP_S, self._transaction, LineReply(unit, function, payload))
        match fault:
            case "late":
                arrival.at_s = self.at_s() + timeout_s + rng.random() * LATE_S * 0.95
            case "duplicate":
                self._coming.append(msgspec.structs.replace(arrival, at_s=arrival.at_s + rng.random() * GAP_S * 0.9))
            case "garble":
                arrival.garbled = True
            case "foreign":
                other = unit % 4 + 1
                arrival.reply = LineReply(other, function, self._payload(other, function, request))
            case "function":
                other = function % 4 + 1
                arrival.reply = LineReply(unit, other, self._payload(unit, other, request))
            case "short":
                arrival.reply = LineReply(unit, function, payload[:rng.randrange(len(payload))])
            case "long":
                arrival.reply = LineReply(unit, function, payload + rng.randbytes(rng.randrange(1, 9)))
            case "failure" | "busy":
                arrival.code = 4 if fault == "failure" else 6
            case "babble":
                arrival.at_s, arrival.garbled = self.at_s() + rng.random() * TRIP_S, True
            case "reboot":
                if rng.random() < 0.7:
                    return
                arrival.code = rng.choice((4, 5, 6))
        self._coming.append(arrival)

    def _payload(self, unit: int, function: int, request: LineRequest) -> bytes:
        addresses = range(request.address, request.address + request.count)
        if function in (1, 2):
            return sum(bit(unit, a) << i for i, a in enumerate(addresses)).to_bytes(
                (request.count + 7) // 8, "little")
        table = Table.HOLDING if function == 3 else Table.INPUT
        return b"".join((ERROR_MARK if a == 200 else word(unit, table, a)).to_bytes(2, "big")
                        for a in addresses)

    async def drain(self, hold_s: float) -> None:
        if self._serial:
            await self._clock.sleep(hold_s)

    async def close(self) -> None:
        self._coming.clear()


HALF_OPEN_FROM_S = 20.0  # connections of before this time stay open and dead
