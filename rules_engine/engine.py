"""Engine: readings to alarm transitions, in event time. The one class that gateway and cloud both run.

    readings, fresh, now ──► cells ──► watches that look at them ──► transitions
                              ▲             │
                              └── heap of timers: silence of cells; for, keep, unknown, wakes of watches; expiries

Event time: a reading counts at its source time, a timer at the moment it was due, so a late tick or a restart changes
nothing. A reading later than the bound never moves a live alarm: a second, quiet engine judges the past, and what it
raises is told as `late`. When the wall clock steps (the monotonic one did not), all times held move along.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec

from device_model.alarm import AlarmState, AlarmTransition, Hazard
from device_model.clock import MINUTE_US, SECOND_US, Now
from device_model.errors import LawRefusal
from device_model.inventory import Inventory
from device_model.profile import DeviceClass
from device_model.reading import Quality, Reading
from rules_engine.binding import bind_rules
from rules_engine.cell import Cell
from rules_engine.engine_checkpoint import CHECKPOINT_VERSION, EngineCheckpoint, decode_engine
from rules_engine.evaluate import House, Out, Watch, WatchState
from rules_engine.rebind import absorb, carry, name_of
from rules_engine.rule import RuleSet

# Law 6: a test ends by itself.
TEST_MAX_US = 30 * MINUTE_US
# Slewing stays below this between two steps; what is larger is a step of the wall clock.
STEP_US = SECOND_US
# A running engine is stepped more often than this. A longer pause before the first step after a resume was our own
# absence, which is not held against the devices.
ABSENCE_US = 20 * SECOND_US
_CELL, _WATCH, _EXPIRY = 0, 1, 2
_Timed = tuple[int, int, Reading]  # event time, order of arrival, reading


class Engine:
    """Judges all rules of one site at one end. Not thread-safe; owned by one core. No I/O, no clock of its own.

    counts: readings that changed nothing, by why: "late", "out_of_order", "unknown_point".
    """

    def __init__(self, rules: RuleSet, inventory: Inventory, *, decides: str, lateness_us: int) -> None:
        """decides: "edge" or "cloud". lateness_us: how far a reading may lie behind `now` and still be live."""
        self._rules, self._inventory, self._decides, self._lateness_us = rules, inventory, decides, lateness_us
        self._house = House(inventory.site.tenancy.path, decides)
        # The cloud hears changes and heartbeats, not every poll: allow two heartbeats of telemetry on top.
        extra = 0 if decides == "edge" else round(2e6 * inventory.site.gateway.telemetry_heartbeat_s)
        self._bound = bind_rules(rules, inventory, self._house, extra)
        self._watches, self._cells = self._bound.watches, self._bound.cells
        self._by_index: list[Cell] = list(self._cells.values())
        self._isolated: dict[str, int] = {}
        self._orphans: dict[str, AlarmTransition] = {}
        self._heap: list[tuple[int, int, int, str]] = []
        self._started = self._resumed = False
        self._time_us = 0
        self._last: Now | None = None
        self._past: Engine | None = None
        self.counts: dict[str, int] = {"late": 0, "out_of_order": 0, "unknown_point": 0}

    # --- time and readings ---

    def step(self, readings: Sequence[Reading], now: Now, fresh: Sequence[str] = ()) -> tuple[AlarmTransition, ...]:
        """Take readings, proofs of freshness and the passing of time; give what that changed, in event order."""
        out: Out = []
        first = self._begin(now, out)
        live, late = self._sorted(readings, now)
        for name in fresh:  # before any timer: what was heard by now is not silent
            cell = self._cells.get(name)
            if cell is not None and not cell.silent and cell.held is not None:
                cell.fresh_us = max(cell.fresh_us, now.wall_us)
        start = 0
        while start < len(live):
            at = live[start][0]
            self._run_timers(at, out)
            touched: set[int] = set()
            while start < len(live) and live[start][0] == at:
                self._take(live[start][2], at, touched)
                start += 1
            self._judge(touched, at, out)
        self._prove_fresh(fresh, now.wall_us, out)
        if first:  # what no reading touched: rules on time of day, on absence
            self._judge(range(len(self._watches)), now.wall_us, out)
        self._run_timers(now.wall_us, out)
        self._time_us = max(self._time_us, now.wall_us)
        if late:
            self._judge_past(late, out)
        return tuple(out)

    def _begin(self, now: Now, out: Out) -> bool:
        """Follow a step of the wall clock; True at the very first step."""
        last, self._last = self._last, now
        if last is not None and last.boot == now.boot and now.boot:
            drift = (now.wall_us - last.wall_us) - (now.mono_us - last.mono_us)
            if abs(drift) > STEP_US:
                self._shift(drift)
        elif last is not None and now.wall_us < last.wall_us - STEP_US:
            # Restarted with a clock that is behind (no battery): what is kept must not lie in the future, or every
            # new reading would look older than the last.
            self._shift(now.wall_us - last.wall_us)
        if self._started:
            if self._resumed:
                self._resumed = False
                self._excuse(now.wall_us - self._time_us)
            return False
        self._started = True
        self._time_us = now.wall_us
        for cell in self._by_index:
            cell.fresh_us = cell.fresh_us or now.wall_us  # silence counts from the start
            self._schedule_cell(cell)
        for watch in self._bound.refused:
            watch.refuse(now.wall_us, f"{watch.rule.id} refuses points of certainty C", out)
        return True

    def _excuse(self, absent_us: int) -> None:
        """Do not call devices silent for the time in which this program itself did not run."""
        if absent_us > ABSENCE_US:
            for cell in self._by_index:
                if not cell.silent:
                    cell.fresh_us += absent_us

    def _sorted(self, readings: Sequence[Reading], now: Now) -> tuple[list[_Timed], list[_Timed]]:
        live: list[_Timed] = []
        late: list[_Timed] = []
        for order, reading in enumerate(readings):
            if reading.point not in self._cells:
                self.counts["unknown_point"] += 1
                continue
            at = _event_time(reading, now)
            if now.wall_us - at > self._lateness_us:
                self.counts["late"] += 1
                late.append((at, order, reading))
            else:
                live.append((min(at, now.wall_us), order, reading))
        live.sort(key=lambda entry: entry[:2])
        late.sort(key=lambda entry: entry[:2])
        return live, late

    def _take(self, reading: Reading, at: int, touched: set[int]) -> None:
        cell = self._cells[reading.point]
        if cell.is_older(reading, at):
            self.counts["out_of_order"] += 1
            return
        value, reason, quality = cell.value, cell.reason, cell.quality
        was_silent = cell.silent
        cell.take(reading, max(at, cell.time_us))
        if was_silent:
            self._schedule_cell(cell)
        if cell.reason != reason or cell.quality != quality or (cell.value is None) is not (value is None):
            touched.update(self._bound.on_change.get(cell.index, ()))
        elif cell.value != value:
            touched.update(self._bound.on_value.get(cell.index, ()))
        else:
            touched.update(self._bound.on_sample.get(cell.index, ()))

    def _prove_fresh(self, fresh: Sequence[str], at: int, out: Out) -> None:
        touched: set[int] = set()
        for name in fresh:
            cell = self._cells.get(name)
            if cell is None:
                self.counts["unknown_point"] += 1
            elif cell.prove_fresh(at):
                self._schedule_cell(cell)
                touched.update(self._bound.on_change.get(cell.index, ()))
            else:
                touched.update(self._bound.on_sample.get(cell.index, ()))
        if touched:
            self._run_timers(at, out)
            self._judge(touched, at, out)

    def _judge(self, indexes: set[int] | range, at: int, out: Out) -> None:
        for index in sorted(indexes) if isinstance(indexes, set) else indexes:
            watch = self._watches[index]
            watch.judge(at, out)
            self._schedule_watch(watch)

    def _judge_past(self, late: list[_Timed], out: Out) -> None:
        """Readings beyond the lateness bound: a second engine judges them in their own time; what it raises is a
        finding, never a live alarm."""
        if self._past is None:
            self._past = Engine(self._rules, self._inventory, decides=self._decides, lateness_us=2**62)
        live = {step.alarm for step in self.open_alarms()}
        for at, batch in groupby(late, key=lambda entry: entry[0]):
            steps = self._past.step([entry[2] for entry in batch], Now(max(at, self._past._time_us), 0, ""))
            out.extend(msgspec.structs.replace(step, late=True) for step in steps
                       if step.state is AlarmState.RAISED and step.hazard is not Hazard.FAULT
                       and step.alarm not in live)

    # --- timers ---

    def _schedule_cell(self, cell: Cell) -> None:
        due = cell.silent_due_us()
        if due and self._bound.on_change.get(cell.index):
            heapq.heappush(self._heap, (due, _CELL, cell.index, ""))

    def _schedule_watch(self, watch: Watch) -> None:
        due = watch.next_due()
        if due != watch.scheduled_us:
            watch.scheduled_us = due
            if due:
                heapq.heappush(self._heap, (due, _WATCH, watch.index, ""))

    def _run_timers(self, until: int, out: Out) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            due, kind, index, name = heapq.heappop(heap)
            if kind == _CELL:
                self._cell_due(self._by_index[index], due, out)
            elif kind == _WATCH:
                watch = self._watches[index]
                if watch.scheduled_us == due:
                    watch.scheduled_us = 0
                    watch.tick(due, out)
                    self._schedule_watch(watch)
            else:
                self._expire(name, due, out)

    def _cell_due(self, cell: Cell, due: int, out: Out) -> None:
        real = cell.silent_due_us()
        if real > due:  # heard since
            self._schedule_cell(cell)
        elif real:
            cell.fall_silent(due)
            self._judge(set(self._bound.on_change.get(cell.index, ())), due, out)

    def due_us(self) -> int | None:
        """When time alone may next change something, µs since 1970; None never. Waking early or late is harmless."""
        return self._heap[0][0] if self._heap else None

    def _rebuild_heap(self) -> None:
        self._heap = []
        for cell in self._by_index:
            if self._started:
                self._schedule_cell(cell)
        for watch in self._watches:
            watch.scheduled_us = 0
            self._schedule_watch(watch)
        for table in (self._isolated, self._house.testing):
            for device, until in table.items():
                heapq.heappush(self._heap, (until, _EXPIRY, 0, device))

    def _shift(self, by: int) -> None:
        """The wall clock stepped: everything that was measured in it moves along; alarms keep their names."""
        self._time_us += by
        for cell in self._by_index:
            cell.shift(by)
        for watch in self._watches:
            watch.shift(by)
        for table in (self._isolated, self._house.testing):
            for device in table:
                table[device] += by
        self._rebuild_heap()

    # --- what people do ---

    def open_alarms(self) -> tuple[AlarmTransition, ...]:
        """The latest step of each alarm that is pending, raised or held, oldest onset first."""
        steps = [step for watch in (*self._watches, *self._bound.refused) for step in watch.open_steps()]
        steps.extend(self._orphans.values())
        return tuple(sorted(steps, key=lambda step: (step.onset_us, step.alarm)))

    def reset(self, alarm: str, who: str, now: Now) -> tuple[AlarmTransition, ...]:
        """Reset a latched alarm, by a named person on site. Raises LawRefusal(3) while it is in alarm, bad or
        silent, or where nobody is named; an alarm that is not open gives ()."""
        if not who.strip():
            raise LawRefusal(3, "a reset needs the name of the person on site")
        out: Out = list(self.step((), now))
        orphan = self._orphans.pop(alarm, None)
        if orphan is not None:
            out.append(msgspec.structs.replace(orphan, previous=orphan.state, state=AlarmState.CLEARED,
                                               at_us=now.wall_us, detail=f"reset by {who}; its rule is gone"))
        for watch in self._watches:
            if watch.last is not None and watch.last.alarm == alarm:
                before = len(out)
                watch.reset(now.wall_us, out)
                out[before:] = [msgspec.structs.replace(step, detail=f"reset by {who}; {step.detail}")
                                for step in out[before:]]
                if len(out) > before:
                    watch.last = out[-1]
                self._schedule_watch(watch)
        return tuple(out)

    def isolate(self, device: str, until_us: int) -> tuple[AlarmTransition, ...]:
        """Raise nothing new from this device until then (named, reasoned, expiring: the caller keeps the
        impairment). Faults of the device are still told; what is raised stays raised."""
        out: Out = []
        self._isolated[device] = until_us
        heapq.heappush(self._heap, (until_us, _EXPIRY, 0, device))
        self._mark_isolated(device, True)
        for watch in self._of_device(device):
            watch.end_isolated(self._time_us, out)
            if self._started:
                watch.judge(self._time_us, out)
            self._schedule_watch(watch)
        return tuple(out)

    def restore_device(self, device: str) -> tuple[AlarmTransition, ...]:
        """End isolation: what is true now is raised now."""
        out: Out = []
        if self._isolated.pop(device, None) is not None:
            self._end_isolation(device, self._time_us, out)
        return tuple(out)

    def test_mode(self, device: str, until_us: int) -> tuple[AlarmTransition, ...]:
        """Mark what this device raises as a test, until then (≤ 30 minutes, law 6); `until_us` in the past ends it.
        Raises LawRefusal(6) for a call point, which is always real, and for a longer test."""
        if self._started and until_us > self._time_us + TEST_MAX_US + MINUTE_US:
            raise LawRefusal(6, "a test lasts at most 30 minutes")
        if device in self._inventory.devices:
            profile = self._inventory.profiles[self._inventory.devices[device].profile]
            if profile.device_class is DeviceClass.CALL_POINT:
                raise LawRefusal(6, "a call point is always real")
        out: Out = []
        if until_us > self._time_us:
            if self._started:
                until_us = min(until_us, self._time_us + TEST_MAX_US)
            self._house.testing[device] = until_us
            heapq.heappush(self._heap, (until_us, _EXPIRY, 0, device))
        elif self._house.testing.pop(device, None) is not None:
            self._end_test(device, self._time_us, out)
        return tuple(out)

    def shield(self, shields: Mapping[str, str], now: Now) -> tuple[AlarmTransition, ...]:
        """Zone → audience: smoke there is told to these people instead of the brigade, from now on until said
        otherwise (permit_watch.py says it anew with every change). Alarms that stand are told again."""
        out: Out = list(self.step((), now))
        old, self._house.shields = self._house.shields, dict(sorted(shields.items()))
        for watch in self._watches:
            if old.get(watch.zone) != shields.get(watch.zone):
                watch.tell_audience(self._time_us, out)
        return tuple(out)

    def _expire(self, device: str, due: int, out: Out) -> None:
        if 0 < self._isolated.get(device, 0) <= due:
            del self._isolated[device]
            self._end_isolation(device, due, out)
        if 0 < self._house.testing.get(device, 0) <= due:
            del self._house.testing[device]
            self._end_test(device, due, out)

    def _end_isolation(self, device: str, at: int, out: Out) -> None:
        self._mark_isolated(device, False)
        if self._started:
            self._judge({watch.index for watch in self._of_device(device)}, at, out)

    def _end_test(self, device: str, at: int, out: Out) -> None:
        for watch in self._of_device(device):
            watch.end_test(at, out)
            self._schedule_watch(watch)

    def _mark_isolated(self, device: str, isolated: bool) -> None:
        for cell in self._by_index:
            if cell.device == device and device:
                cell.isolated = isolated

    def _of_device(self, device: str) -> list[Watch]:
        indexes = {index for cell in self._by_index if cell.device == device
                   for index in self._bound.on_change.get(cell.index, ())}
        return [self._watches[index] for index in sorted(indexes)]

    # --- keeping ---

    def checkpoint(self) -> bytes:
        """All state, timers, windows and doses included: equal state gives equal bytes."""
        def kept(watches: list[Watch]) -> dict[str, WatchState]:
            return {name_of(watch): state for watch in watches if (state := watch.dump()) is not None}

        whole = EngineCheckpoint(
            CHECKPOINT_VERSION, self._started, self._time_us, self._last,
            {cell.name: cell.dump() for cell in self._by_index
             if cell.index in self._bound.on_change and not self._is_plain(cell)},
            kept(self._watches), kept(self._bound.refused),
            self._isolated, self._house.testing, self.counts, self._orphans,
            b"" if self._past is None else self._past.checkpoint(), self._plain_runs(), self._house.shields)
        return msgspec.json.encode(whole, order="deterministic")

    def _is_plain(self, cell: Cell) -> bool:
        """Good, heard, and looked at for nothing else: of such a cell only the time of its last proof matters. Most
        cells of a large site are plain; written out in full they would wear the card out."""
        return (cell.quality == Quality.GOOD.value and not cell.silent and cell.held is not None
                and self._may_be_plain(cell))

    def _may_be_plain(self, cell: Cell) -> bool:
        return (cell.index in self._bound.on_change and cell.index not in self._bound.on_value and not cell.windows
                and not cell.trembles
                and cell.limit_us > 0)

    def _plain_runs(self) -> dict[str, list[tuple[int, int]]]:
        runs: dict[str, list[tuple[int, int]]] = {}
        for cell in self._by_index:
            if self._is_plain(cell):
                of_device = runs.setdefault(cell.device, [])
                if of_device and of_device[-1][0] == cell.fresh_us:
                    of_device[-1] = (cell.fresh_us, of_device[-1][1] + 1)
                else:
                    of_device.append((cell.fresh_us, 1))
        return runs

    def _resume_plain(self, state: EngineCheckpoint) -> None:
        """Cells that were plain go on so. A device whose cells are not those that were kept starts fresh."""
        left: dict[str, list[Cell]] = {}
        for cell in self._by_index:
            if cell.device in state.plain and cell.name not in state.cells and cell.index in self._bound.on_change:
                left.setdefault(cell.device, []).append(cell)
        for device, cells in left.items():
            times = [at for at, count in state.plain[device] for _ in range(count)]
            if len(times) != len(cells) or not all(map(self._may_be_plain, cells)):
                continue
            for cell, at in zip(cells, times, strict=True):
                cell.go_on_plain(at)

    def rebound(self, rules: RuleSet, inventory: Inventory) -> tuple[Engine, tuple[AlarmTransition, ...]]:
        """An engine for the changed site that goes on where this one is, and what ended by the change. Of points and
        rules that stay nothing moves; this engine is left as it was, until the other one is used."""
        new = Engine(rules, inventory, decides=self._decides, lateness_us=self._lateness_us)
        new._started, new._resumed, new._time_us, new._last = self._started, self._resumed, self._time_us, self._last
        new.counts = dict(self.counts)
        carried = carry(self._bound, new._bound, self._time_us)
        new._orphans = {**self._orphans, **carried.orphans}
        new._isolated = {name: until for name, until in self._isolated.items() if name in inventory.devices}
        new._house.testing = {name: until for name, until in self._house.testing.items() if name in inventory.devices}
        new._house.shields = dict(self._house.shields)
        if self._past is not None:
            new._past = self._past.rebound(rules, inventory)[0]
        new._rebuild_heap()
        out: Out = list(carried.ended)
        for watch in carried.refused:
            watch.refuse(self._time_us, f"{watch.rule.id} refuses points of certainty C", out)
        if self._started:
            new._judge(set(carried.fresh), self._time_us, out)
        return new, tuple(out)

    def merge(self, checkpoint: bytes, now: Now) -> tuple[AlarmTransition, ...]:
        """A checkpoint that could be read only now, after this engine began without it: what was raised then and is
        not raised again stands again (law 3), and isolations and tests go on. Raises ValueError as `resume`."""
        state = decode_engine(checkpoint)
        out: Out = list(self.step((), now))
        orphans, touched = absorb(self._bound, {**state.watches, **state.refused}, {*self._orphans, *(
            step.alarm for step in self.open_alarms())})
        self._orphans = {**state.orphans, **orphans, **self._orphans}
        out.extend((*state.orphans.values(), *orphans.values(), *(
            last for index in touched if (last := self._watches[index].last) is not None)))
        self._isolated = {**state.isolated, **self._isolated}
        self._house.testing.update({name: until for name, until in state.testing.items()
                                    if name not in self._house.testing})
        for device in self._isolated:
            self._mark_isolated(device, True)
        self._judge(set(touched), self._time_us, out)
        self._rebuild_heap()
        return tuple(out)

    def resume(self, checkpoint: bytes) -> None:
        """Go on from a checkpoint. Rules and points that it does not know start fresh; alarms of rules that are gone
        stay open until a person resets them. Raises ValueError for bytes that are no checkpoint of this version."""
        state = decode_engine(checkpoint)
        self._started, self._time_us, self._last = state.started, state.time_us, state.last
        self._resumed = True
        self.counts = {**self.counts, **state.counts}
        for cell in self._by_index:
            if cell.name in state.cells:
                cell.load(state.cells[cell.name])
            elif self._started:
                cell.fresh_us = self._time_us
        self._resume_plain(state)
        self._orphans = dict(state.orphans)
        known = {name_of(watch): watch for watch in self._watches}
        refused = {name_of(watch): watch for watch in self._bound.refused}
        for name, kept in sorted({**state.watches, **state.refused}.items()):
            watch = known.get(name) or refused.get(name)
            if watch is not None:
                watch.load(kept)
            elif kept.last is not None and kept.state in (AlarmState.RAISED, AlarmState.HELD):
                self._orphans[kept.last.alarm] = kept.last
        self._isolated, self._house.testing = dict(state.isolated), dict(state.testing)
        self._house.shields = dict(state.shields)
        for device in self._isolated:
            self._mark_isolated(device, True)
        if state.past:
            self._past = Engine(self._rules, self._inventory, decides=self._decides, lateness_us=2**62)
            self._past.resume(state.past)
        self._rebuild_heap()


def _event_time(reading: Reading, now: Now) -> int:
    """When the reading happened, by the wall clock of `now`: its source time, corrected where the wall clock has
    stepped since it was received in this same boot."""
    at = reading.source_time_us or reading.receive_time_us or now.wall_us
    if reading.boot == now.boot and reading.boot and reading.source_time_us == reading.receive_time_us:
        by_mono = now.wall_us - (now.mono_us - reading.mono_us)
        if abs(by_mono - at) > STEP_US:
            return by_mono
    return at
