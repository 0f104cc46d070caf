"""Cell: what the engine knows of one point now, and its rolling figures. Conditions read cells directly.

`value` is None whenever the point is unknown: never read, bad, NaN, silent past its limit. It is never a guess.
"""

from __future__ import annotations

import msgspec

from device_model.quantities import QUANTITIES, unit_display
from device_model.reading import Quality, Reading, Reason, Value
from rules_engine.permit_names import is_place_point
from rules_engine.window_table import make_window
from rules_engine.windows import Window

Known = bool | float | str
# No sensor of ours reaches it, and sums over windows stay exact enough below it; beyond is garbled.
VALUE_MAX = 1e15


class CellState(msgspec.Struct, array_like=True):
    """A cell in the checkpoint, fields as in Cell. `windows`: "function:numbers" → its state."""

    value: Known | None
    held: Known | None
    reason: str
    quality: str
    time_us: int
    mono_us: int
    boot: str
    sequence: int
    sampled_us: int
    fresh_us: int
    silent: bool
    windows: dict[str, list[list[float]]] = {}
    changed_us: int = 0


class Cell:
    """One point: value, quality, when measured, when last proven fresh."""

    __slots__ = ("boolean", "boot", "changed_us", "device", "fresh_us", "held", "index", "isolated", "label",
                 "limit_us", "mono_us", "name", "quality", "quantity", "reason", "sampled_us", "sequence", "silent",
                 "text", "time_us", "trembles", "unit", "value", "windows", "zone")

    def __init__(self, name: str, quantity: str, *, device: str, zone: str, limit_us: int, index: int,
                 trembles: bool = False) -> None:
        """limit_us: without a fresh value for so long the point is silent; 0 never. trembles: a healthy one never
        shows the same for long (its profile states a natural noise)."""
        entry = QUANTITIES[quantity]
        self.name, self.device, self.zone, self.index = name, device, zone, index
        self.quantity = quantity
        self.label, self.unit = entry.en, unit_display(entry.canonical)
        self.boolean, self.text = entry.boolean, entry.text
        self.limit_us = limit_us
        self.value: Known | None = None
        self.held: Known | None = None  # the last known value, which a proof of freshness brings back
        self.reason: str = Reason.NOT_YET_READ.value
        self.quality: str = Quality.BAD.value
        self.time_us = self.mono_us = self.sequence = 0  # of the last reading
        self.boot = ""
        self.sampled_us = 0  # of the last sample in the windows: a reading, or a proof of freshness after it
        self.fresh_us = 0
        self.trembles = trembles
        self.changed_us = 0  # since when it shows this value, 0 where it shows none
        self.silent = False  # the engine itself found it silent
        self.isolated = False
        self.windows: dict[tuple[str, tuple[float, ...]], Window] = {}

    def window(self, function: str, numbers: tuple[float, ...]) -> Window:
        """The rolling figure; one per function and length, shared by all rules that ask for it."""
        function = {"rise": "min", "fall": "max"}.get(function, function)
        key = (function, numbers)
        if key not in self.windows:
            self.windows[key] = make_window(function, numbers)
        return self.windows[key]

    def is_older(self, reading: Reading, at: int) -> bool:
        """Whether the cell already holds something newer. The monotonic time of receipt decides within one boot of
        the gateway, also for devices with clocks of their own: these are set back, and what they say next must not
        be taken for older. The sequence decides where times are equal."""
        if reading.boot and reading.boot == self.boot:
            if reading.mono_us != self.mono_us:
                return reading.mono_us < self.mono_us
        elif at != self.time_us:
            return at < self.time_us
        return 0 < reading.sequence < self.sequence

    def take(self, reading: Reading, at: int) -> None:
        """A reading that is not older than what the cell holds."""
        self.time_us = at
        self.mono_us, self.boot, self.sequence = reading.mono_us, reading.boot, reading.sequence
        value = None if reading.quality is Quality.BAD else self._plain(reading.value)
        self.silent = False
        self.quality, self.reason = reading.quality.value, reading.reason.value
        if value is None:
            if reading.quality is not Quality.BAD:  # NaN, or a kind of value that the quantity cannot have
                self.quality, self.reason = Quality.BAD.value, Reason.GARBLED.value
            self.value = self.held = None
            self.changed_us = 0
            self._gap(at)
            return
        self.fresh_us = max(self.fresh_us, at)
        if value != self.held or not self.changed_us:
            self.changed_us = at
        self.value = self.held = value
        self._push(at, value)

    def _plain(self, value: Value | None) -> Known | None:
        """The value as the quantity's own kind, or None: a 2 is no truth, a text is no number."""
        if self.boolean:
            return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None
        if self.text:
            return value if isinstance(value, str) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if abs(value) <= VALUE_MAX else None  # false for NaN too

    def _push(self, at: int, value: Known) -> None:
        if self.windows and isinstance(value, float):
            self.sampled_us = max(self.sampled_us, at)  # windows never go back
            for window in self.windows.values():
                window.push(self.sampled_us, value)

    def _gap(self, at: int) -> None:
        self.sampled_us = max(self.sampled_us, at)
        for window in self.windows.values():
            window.gap(self.sampled_us)

    def prove_fresh(self, at: int) -> bool:
        """The point was read and has not changed; True when that brings a silent value back."""
        if self.held is None:
            return False
        self.fresh_us = max(self.fresh_us, at)
        back = self.silent
        if back:
            self.silent = False
            self.value, self.reason, self.quality = self.held, Reason.NONE.value, Quality.GOOD.value
        if not self.changed_us:
            self.changed_us = at
        if at > self.sampled_us:
            self._push(at, self.held)
        return back

    def silent_due_us(self) -> int:
        """When it turns silent unless heard; 0 never. One µs after the limit, so that a value on it counts."""
        return self.fresh_us + self.limit_us + 1 if self.limit_us and not self.silent else 0

    def fall_silent(self, at: int) -> None:
        """Past its limit: unknown from here on (law 7)."""
        self.silent = True
        self.value = None
        if self.quality != Quality.BAD.value or self.reason == Reason.NOT_YET_READ.value:
            self.reason = Reason.SILENT.value
        self.quality = Quality.BAD.value
        self.changed_us = 0
        self._gap(at)

    def dump(self) -> CellState:
        """All state, for the checkpoint."""
        windows = {f"{function}:{','.join(map(repr, numbers))}": window.dump()
                   for (function, numbers), window in sorted(self.windows.items())}
        return CellState(self.value, self.held, self.reason, self.quality, self.time_us, self.mono_us, self.boot,
                         self.sequence, self.sampled_us, self.fresh_us, self.silent, windows,
                         self.changed_us)

    def load(self, state: CellState) -> None:
        """The state that `dump` gave; windows that no rule asks for any more are dropped."""
        if is_place_point(self.name):  # the site file says it, not the past
            return
        self.value, self.held = self._again(state.value), self._again(state.held)
        self.reason, self.quality = state.reason, state.quality
        self.time_us, self.mono_us, self.boot = state.time_us, state.mono_us, state.boot
        self.sequence = state.sequence
        self.sampled_us, self.fresh_us, self.silent = state.sampled_us, state.fresh_us, state.silent
        self.changed_us = state.changed_us
        for (function, numbers), window in self.windows.items():
            kept = state.windows.get(f"{function}:{','.join(map(repr, numbers))}")
            if kept is not None:
                window.load(kept)

    def go_on_plain(self, fresh_us: int) -> None:
        """Good and heard until then; of its value, at which no rule looks, only that there was one."""
        self.quality, self.reason = Quality.GOOD.value, Reason.NONE.value
        self.value = self.held = "" if self.text else False if self.boolean else 0.0
        self.fresh_us = self.time_us = fresh_us

    def begin_with(self, value: Known) -> None:
        """What is known before anything is said of it (that there is no permit)."""
        self.quality, self.reason = Quality.GOOD.value, Reason.NONE.value
        self.value = self.held = value

    def _again(self, value: Known | None) -> Known | None:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def shift(self, by: int) -> None:
        """The wall clock stepped by that many µs: move all times along."""
        self.time_us += by if self.time_us else 0
        self.fresh_us += by if self.fresh_us else 0
        self.sampled_us += by if self.sampled_us else 0
        self.changed_us += by if self.changed_us else 0
        for window in self.windows.values():
            window.shift(by)
