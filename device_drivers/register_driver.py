"""Register driver: the pure core of one Modbus line. Plan, schedule and values joined; outcomes in, events out.

    RegisterLine.next(now) ─► Transaction | Wait
    RegisterLine.done(transaction, outcome, now) ─► Step(DriverEvents, finished orders, hold-off)

Here a refusal teaches the plan, a lost device is said once, and a point that was not read for longer than its
`stale_after_s` turns bad although everything else on the device goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from device_drivers.counters import Counter
from device_drivers.driver import (
    Capabilities,
    DeviceFailed,
    DeviceNotice,
    DeviceRead,
    DriverEvent,
    LineDevice,
    LineState,
)
from device_drivers.line_memory import DeviceMemory, fits, memory_of
from device_drivers.line_schedule import (
    BlockAnswered,
    BlockRefused,
    DeviceBack,
    DeviceLost,
    LineChanged,
    LineEvent,
    LineSchedule,
    OrderDone,
    Outcome,
    Transaction,
    UnitTraits,
    Wait,
)
from device_drivers.number_form import number_form
from device_drivers.register_plan import Block, Learnt, forget_refusal, learn_refusal, plan_blocks
from device_drivers.register_values import DeviceValues
from device_model.clock import Now
from device_model.errors import LocalFault
from device_model.ports import LineRequest
from device_model.profile import FIRE_CLASSES, DeviceProfile, RegisterType, Table
from device_model.reading import Reading, Reason
from device_model.site import Line, LineKind, Text

CAPABILITIES = Capabilities(writes=True, scans=True)
_PARTS = (RegisterType.U8_LOW, RegisterType.U8_HIGH, RegisterType.S8_LOW)
_WRITABLE = (Table.COIL, Table.HOLDING, Table.FILE)
_READS = (1, 2, 3, 4, 20, 43)  # all that a scan may use
# Lines where a late answer may reach the next question.
_SHARED_WIRES = (LineKind.MODBUS_RTU, LineKind.MODBUS_RTU_TCP, LineKind.LLS_SERIAL, LineKind.LLS_TCP)
_STALE_CHECK_US = 250_000  # how finely silence is noticed; limits are seconds


class Step(msgspec.Struct, frozen=True):
    """What one finished transaction means for the world."""

    events: tuple[DriverEvent, ...]
    orders: tuple[OrderDone, ...] = ()
    hold_us: int = 0


def check_profile(profile: DeviceProfile) -> tuple[str, ...]:
    """What of a profile this driver cannot do, for people."""
    problems = [f"{p.id}: a Modbus point needs a register" for p in profile.points if p.register is None]
    problems += [f"{p.id}: only coils, holding registers and files can be written" for p in profile.points
                 if p.writable and p.register and p.register.table not in _WRITABLE]
    return tuple(problems)


class _DeviceState(msgspec.Struct):
    entry: LineDevice
    values: DeviceValues
    learnt: Learnt
    blocks: tuple[Block, ...]
    fresh_us: dict[str, int]
    stale: set[str]
    lost: bool = False


class RegisterLine:
    """All devices of one Modbus line. Pure: `now` in, events out."""

    def __init__(self, line: Line, devices: Sequence[LineDevice], now: Now, jitter: Callable[[], float],
                 memory: Mapping[str, DeviceMemory] | None = None) -> None:
        """memory: what `memory()` gave before a restart; what does not fit the device now is left out."""
        self._line = line
        self._serial = line.kind in _SHARED_WIRES
        self._devices: dict[str, _DeviceState] = {}
        self._checked_us = now.mono_us
        self._schedule = LineSchedule(
            (), serial=self._serial, start_us=now.mono_us, jitter=jitter,
            line_retry_max_us=round(line.reconnect_max_s * 1e6),
        )
        for entry in devices:
            self.put_device(entry, now, (memory or {}).get(entry.device.id))

    def put_device(self, entry: LineDevice, now: Now, memory: DeviceMemory | None = None) -> None:
        """Add a device or replace its description; no other device is touched. The same device with the same
        profile keeps what its counters have counted."""
        name = entry.device.id
        if memory is not None and not fits(memory, entry.device, entry.profile):
            memory = None
        counters: Mapping[str, Counter] = memory.counters if memory is not None else {}
        before = self._devices.get(name)
        if memory is None and before is not None and before.entry.profile == entry.profile:
            counters = before.values.counters()
        known = memory.learnt() if memory is not None else Learnt()
        blocks = plan_blocks(entry.profile, known)
        points = {point for block in blocks for point in block.points}
        self._devices[name] = _DeviceState(entry, DeviceValues(name, entry.profile, counters), known, blocks,
                                           dict.fromkeys(points, now.mono_us), set())
        self._schedule.put_unit(unit_traits(entry), blocks, now.mono_us)

    def drop_device(self, device: str) -> tuple[OrderDone, ...]:
        """Forget a device; the writes to it that waited are done with."""
        self._devices.pop(device, None)
        return self._schedule.drop_unit(device)

    def memory(self) -> dict[str, DeviceMemory]:
        """What the devices taught and counted so far, to be handed in again after a restart."""
        return {name: memory_of(state.entry.device, state.entry.profile, state.learnt, state.values.counters())
                for name, state in self._devices.items()}

    def blocks(self, device: str) -> tuple[Block, ...]:
        """The present plan of one device."""
        return self._devices[device].blocks

    def next(self, now: Now) -> Transaction | Wait:
        """The next transaction, or until when there is none (never longer than the next look for silence)."""
        step = self._schedule.next(now)
        if isinstance(step, Wait):
            return Wait(min(step.until_us, now.mono_us + _STALE_CHECK_US))
        return step

    def write(self, device: str, point: str, value: bool | float) -> int:
        """Queue a write; the token of its OrderDone. LocalFault: not writable, does not fit, queue full."""
        state = self._devices.get(device)
        if state is None:
            raise LocalFault(f"{device} is not on line {self._line.id}; check the site file")
        return self._schedule.write(device, write_request(state.entry, point, value))

    def ask(self, request: LineRequest, timeout_s: float) -> int:
        """Queue a read for a scan or diagnosis, behind all else."""
        if request.function not in _READS or not 1 <= request.unit <= 255:
            raise LocalFault("a scan only reads and never broadcasts (law of safety 8)")
        return self._schedule.ask(request, round(timeout_s * 1e6))

    def done(self, transaction: Transaction, outcome: Outcome, now: Now) -> Step:
        """Take a transaction's outcome."""
        result = self._schedule.done(transaction, outcome, now)
        events: list[DriverEvent] = []
        orders: list[OrderDone] = []
        for event in result.events:
            if isinstance(event, OrderDone):
                orders.append(event)
            else:
                self._take(event, now, events)
        return Step(tuple(events), tuple(orders), result.hold_us)

    def look_for_silence(self, now: Now) -> tuple[DriverEvent, ...]:
        """Points that were not read for too long; cheap, and does its work a few times a second at most."""
        at = now.mono_us
        if at - self._checked_us < _STALE_CHECK_US:
            return ()
        self._checked_us = at
        events: list[DriverEvent] = []
        for name, state in self._devices.items():
            if state.lost:
                continue
            over = {spec.id for spec in state.entry.profile.points
                    if spec.id in state.fresh_us and at - state.fresh_us[spec.id] > spec.stale_after_s * 1e6}
            if over == state.stale:
                continue
            if over == state.fresh_us.keys():
                state.lost = True
                state.values.forget()
                events.append(DeviceFailed(name, Reason.SILENT, "no point was read within its limit", now))
            else:
                readings: list[Reading] = []
                for block in state.blocks:
                    points = tuple(p for p in block.points if p in over and p not in state.stale)
                    if points:
                        readings += state.values.refuse(msgspec.structs.replace(block, points=points),
                                                        Reason.SILENT, now)
                if readings:
                    events.append(DeviceRead(name, tuple(readings), (), now))
            state.stale = over
        return tuple(events)

    def _take(self, event: LineEvent, now: Now, events: list[DriverEvent]) -> None:
        match event:
            case BlockAnswered(device, block, payload):
                self._answered(self._devices[device], block, payload, now, events)
            case BlockRefused(device, block, reason, _, code):
                self._refused(self._devices[device], block, reason, code, now=now, events=events)
            case DeviceLost(device, reason, detail):
                state = self._devices[device]
                if not state.lost:
                    state.lost = True
                    state.values.forget()
                    events.append(DeviceFailed(device, reason, detail, now))
            case DeviceBack(device):
                # Said by the DeviceRead that follows; an exception reply is an answer too.
                self._back(self._devices[device], now, events)
            case LineChanged(up, detail):
                events.append(LineState(self._line.id, up, detail, now))
            case _:
                pass

    def _back(self, state: _DeviceState, now: Now, events: list[DriverEvent]) -> None:
        if state.lost:
            state.lost = False
            state.stale = set()
            state.values.forget()
            state.fresh_us = dict.fromkeys(state.fresh_us, now.mono_us)
            events.append(DeviceRead(state.entry.device.id, (), (), now))

    def _answered(self, state: _DeviceState, block: Block, payload: bytes, now: Now,
                  events: list[DriverEvent]) -> None:
        name = state.entry.device.id
        if state.lost:
            self._back(state, now, events)
        readings, fresh = state.values.take(block, payload, now)
        for point in block.points:
            state.fresh_us[point] = now.mono_us
        if state.stale:
            state.stale = state.stale - set(block.points)
        if events and isinstance(events[-1], DeviceRead) and events[-1].device == name:
            events.pop()  # the bare "back" just said; this one carries values
        events.append(DeviceRead(name, readings, fresh, now))
        for point in state.values.take_resets():
            events.append(DeviceNotice(self._line.id, name, "counter_reset", Text(
                f"counter {point} began anew: the meter was exchanged, or lost what it had counted",
                f"计数器 {point} 重新开始计数：表计已更换或计数丢失"), now))
        if self._stands_refused(state, block):
            forget_refusal(block, state.learnt)
            self._plan_again(state, now)

    def _refused(self, state: _DeviceState, block: Block, reason: Reason, code: int, *, now: Now,
                 events: list[DriverEvent]) -> None:
        if code and not self._stands_refused(state, block):
            before = state.learnt.copy()
            again = learn_refusal(state.entry.profile, block, code, state.learnt)
            if state.learnt != before:
                self._plan_again(state, now)
            if again:
                return
        readings = state.values.refuse(block, reason, now)
        for point in block.points:  # said to be bad; silence would add nothing
            state.fresh_us[point] = now.mono_us
        if readings:
            events.append(DeviceRead(state.entry.device.id, readings, (), now))

    def _stands_refused(self, state: _DeviceState, block: Block) -> bool:
        return bool(state.learnt.holes) and (block.table, block.address) in state.learnt.holes

    def _plan_again(self, state: _DeviceState, now: Now) -> None:
        state.blocks = plan_blocks(state.entry.profile, state.learnt)
        self._schedule.put_unit(unit_traits(state.entry), state.blocks, now.mono_us)


def unit_traits(entry: LineDevice) -> UnitTraits:
    """What the schedule must know of a device, from its profile."""
    traits = entry.profile.modbus
    if traits is None:
        raise ValueError(f"{entry.profile.id} is no Modbus profile")
    return UnitTraits(
        entry.device.id, entry.device.unit, entry.profile.device_class in FIRE_CLASSES,
        round(traits.min_gap_s * 1e6), round(traits.reply_timeout_s * 1e6), round(traits.late_reply_max_s * 1e6),
    )


def write_request(entry: LineDevice, point: str, value: bool | float) -> LineRequest:
    """The request that sets a writable point to `value` (canonical unit)."""
    spec = entry.profile.point(point)
    if spec is None or spec.register is None or not spec.writable:
        raise LocalFault(f"{entry.device.id}.{point} is not writable: profile {entry.profile.id} does not say so")
    source, unit = spec.register, entry.device.unit
    by = entry.profile.modbus.write_function if entry.profile.modbus is not None else 0
    try:
        words = number_form(spec).words(value)
    except (ValueError, OverflowError) as problem:
        raise LocalFault(str(problem)) from problem
    if source.table is Table.COIL:
        return LineRequest(unit, 15 if by == 16 else 5, source.address, 1, words)
    if source.table not in _WRITABLE:
        raise LocalFault(f"{entry.device.id}.{point}: a {source.table} cannot be written")
    if source.bit is not None and source.table is Table.HOLDING:
        mask = 1 << source.bit
        return LineRequest(unit, 22, source.address, 1, (0xFFFF & ~mask, mask if words[0] else 0))
    if source.mask is not None or source.bit is not None or source.type in _PARTS:
        raise LocalFault(f"{entry.device.id}.{point}: part of a register cannot be written safely")
    if source.table is Table.FILE:
        return LineRequest(unit, 21, source.address, len(words), (source.file, *words))
    if by == 23:  # the values that it answers with are those that it holds after the write
        return LineRequest(unit, 23, source.address, len(words), (source.address, *words))
    return LineRequest(unit, 6 if len(words) == 1 and by != 16 else 16, source.address, len(words), words)
