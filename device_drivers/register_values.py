"""Register values: the bytes of a block reply become Readings, as the profile says.

    payload ──same bytes as last time?──► nothing to decode: every point fresh, no Reading made
       │ no
       ▼
    one struct pass ► raw ► mask/shift/sign ► error marks ► scale ► canonical unit ► limits ► device state
                       └────────── points whose raw value did not change are passed over ──────────┘

A point may lean on another of the same device: a unit register, a decimals register, a state register. When
such a reference changes, the points that lean on it are judged anew from their last raw value, at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from sys import intern

from device_drivers.counters import Counter, Turn
from device_drivers.number_form import NumberForm, number_form
from device_drivers.register_plan import BIT_TABLES, Block, register_span
from device_model.clock import Now
from device_model.profile import DeviceProfile, ProfilePoint, StateCode
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason, Value

Verdict = tuple[Value | None, Quality, Reason]

# What a state register's reason does to the points that it affects. All others make them bad.
_DECODERS_MAX = 5000  # of one profile: plans of devices that refused different things
_UNCERTAIN_REASONS = frozenset({Reason.WARM_UP, Reason.OUT_OF_LIMITS})


class BlockDecoder:
    """One block's layout, compiled: a struct for the whole payload and the slice of words of each point."""

    def __init__(self, block: Block, profile: DeviceProfile) -> None:
        self.block = block
        self.ids = block.points
        specs = [spec for spec in profile.points if spec.id in block.points]
        by_id = {spec.id: spec for spec in specs}
        self._bits = block.table in BIT_TABLES
        self._words = Struct(f">{block.count}H") if not self._bits else None
        self._spans: list[tuple[str, int, int]] = []
        for point_id in block.points:
            register = by_id[point_id].register
            if register is not None:
                start, end = register_span(register)
                self._spans.append((point_id, start - block.address, end - block.address))

    def raws(self, payload: bytes) -> list[tuple[str, tuple[int, ...] | int]]:
        """Each point's words (or one word, or one bit) as unsigned integers."""
        if self._words is None:
            return [(name, payload[at >> 3] >> (at & 7) & 1) for name, at, _ in self._spans]
        words = self._words.unpack(payload)
        return [(name, words[at] if end - at == 1 else words[at:end]) for name, at, end in self._spans]


class ProfileLayout:
    """What all devices of one profile have in common, compiled once: a site has many devices and few profiles."""

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self.forms: dict[str, NumberForm] = {}
        self.units: dict[str, str] = {}
        self.leaning: dict[str, set[str]] = {}
        self.states: dict[str, dict[int, StateCode]] = {}
        self.counting: set[str] = set()  # counters that roll over
        self._decoders: dict[Block, BlockDecoder] = {}
        for spec in profile.points:
            if spec.register is not None:
                self._enter(spec)
        for spec in profile.points:
            if spec.state_codes and spec.id in self.forms:
                self._enter_states(spec)

    def _enter(self, spec: ProfilePoint) -> None:
        form = number_form(spec)
        self.forms[spec.id] = form
        self.units[spec.id] = QUANTITIES[spec.quantity].canonical
        if form.counter_max:
            self.counting.add(spec.id)
        for reference in (form.unit_point, form.decimals_point):
            if reference:
                self.leaning.setdefault(reference, set()).add(spec.id)

    def _enter_states(self, spec: ProfilePoint) -> None:
        self.states[spec.id] = {code.code: code for code in spec.state_codes}
        self.leaning.setdefault(spec.id, set()).update(p for p in self.forms if p != spec.id)

    def decoder(self, block: Block) -> BlockDecoder:
        """The compiled layout of a block. Plans change as devices refuse; what no plan uses any more is dropped."""
        known = self._decoders.get(block)
        if known is None:
            if len(self._decoders) >= _DECODERS_MAX:
                self._decoders.clear()
            known = self._decoders[block] = BlockDecoder(block, self.profile)
        return known


# Caches of pure results, bounded because a diagnosis may try any profile; dropping one costs only its making.
_LAYOUTS_MAX = 500
_layouts: dict[str, ProfileLayout] = {}


def layout_of(profile: DeviceProfile) -> ProfileLayout:
    """The one layout of this very profile; another one of the same id (hot change) has its own."""
    known = _layouts.get(profile.id)
    if known is None or known.profile is not profile:
        if len(_layouts) >= _LAYOUTS_MAX:
            _layouts.clear()
        known = _layouts[profile.id] = ProfileLayout(profile)
    return known


class DeviceValues:
    """The values of one device as last read. Owned by one driver; pure: `now` and bytes in, Readings out."""

    def __init__(self, device: str, profile: DeviceProfile, counters: Mapping[str, Counter] | None = None) -> None:
        """counters: as they stood when they were kept, see `counters`."""
        self.device = device
        self._profile = profile
        self._layout = layout = layout_of(profile)
        self._forms, self._units = layout.forms, layout.units
        self._leaning, self._states = layout.leaning, layout.states
        self._names = {point: intern(f"{device}.{point}") for point in layout.forms}
        self._payloads: dict[Block, bytes] = {}
        self._fresh: dict[Block, tuple[str, ...]] = {}
        self._raws: dict[str, tuple[int, ...] | int] = {}
        self._numbers: dict[str, int | None] = {}  # references only: the value that others lean on
        self._said: dict[str, Verdict] = {}
        self._counters = {name: (counters or {}).get(name) or Counter() for name in sorted(layout.counting)}
        self._resets: list[str] = []
        self._warm_until_us = 0
        self._appeared = False

    def forget(self) -> None:
        """The device is lost: whatever it says next is said in full, and warming up begins again. What its counters
        have counted is kept."""
        self._payloads.clear()
        self._raws.clear()
        self._numbers.clear()
        self._said.clear()
        self._appeared = False

    def take(self, block: Block, payload: bytes, now: Now) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
        """A checked reply to a block: the Readings that changed, and the names of all points proven fresh."""
        if not self._appeared:
            self._appeared = True
            self._warm_until_us = now.mono_us + round(self._profile.warm_up_s * 1e6)
        warmed = self._warm_until_us and now.mono_us >= self._warm_until_us
        fresh = self._fresh.get(block)
        if fresh is None:
            fresh = self._fresh[block] = tuple(self._names[point] for point in block.points)
        if payload == self._payloads.get(block) and not warmed:
            return (), fresh
        self._payloads[block] = payload
        changed = self._changed_points(block, payload, now)
        if warmed:
            self._warm_until_us = 0
            changed |= self._raws.keys()
        return tuple(r for point in sorted(changed) if (r := self._judge(point, now)) is not None), fresh

    def zero_points(self) -> set[str]:
        """Points whose raw registers are all zero: they fit anything, so a fingerprint gives them little weight."""
        return {point for point, raw in self._raws.items() if not (any(raw) if isinstance(raw, tuple) else raw)}

    def refuse(self, block: Block, reason: Reason, now: Now) -> tuple[Reading, ...]:
        """The device lives but does not give this block: its points are bad, each said once."""
        self._payloads.pop(block, None)
        readings = []
        changed: set[str] = set()
        for point in block.points:
            self._raws.pop(point, None)
            if point in self._numbers:
                self._numbers[point] = None
                changed |= self._leaning.get(point, set()) & self._raws.keys()
            reading = self._say(point, (None, Quality.BAD, reason), now)
            if reading is not None:
                readings.append(reading)
        # Within the block a point may have been taken for changed before it was refused itself.
        changed &= self._raws.keys()
        readings += [r for point in sorted(changed) if (r := self._judge(point, now)) is not None]
        return tuple(readings)

    def counters(self) -> dict[str, Counter]:
        """What is known of the counters that were read, to be handed in again after a restart."""
        return {name: counter for name, counter in self._counters.items() if counter.last >= 0}

    def take_resets(self) -> tuple[str, ...]:
        """The counters that began anew since the last call."""
        if not self._resets:
            return ()
        resets, self._resets = tuple(self._resets), []
        return resets

    def _count(self, point: str, now: Now) -> None:
        form = self._forms[point]
        number = form.whole(self._raws[point])
        if number is None or not 0 <= number <= form.counter_max:
            return
        if self._counters[point].take(number, form.counter_max, form.counter_rate_max, now) is Turn.RESET:
            self._resets.append(point)

    def _changed_points(self, block: Block, payload: bytes, now: Now) -> set[str]:
        changed: set[str] = set()
        raws = self._raws
        for point, raw in self._layout.decoder(block).raws(payload):
            if raws.get(point) != raw:
                raws[point] = raw
                changed.add(point)
        for point in sorted(changed & self._layout.counting):
            self._count(point, now)
        for point in tuple(changed):
            if point in self._leaning:
                self._numbers[point] = self._forms[point].whole(self._raws[point])
                changed |= self._leaning[point] & self._raws.keys()
        return changed

    def _judge(self, point: str, now: Now) -> Reading | None:
        """A point's verdict from its raw value, unit, decimals and the device's state."""
        form = self._forms[point]
        decimals: int | None = None
        unit: str | None = None
        verdict: Verdict | None = None
        if form.decimals_point:
            code = self._numbers.get(form.decimals_point)
            decimals = form.decimals(code) if code is not None else None
            if decimals is None:
                verdict = (None, Quality.BAD, Reason.NOT_YET_READ if code is None else Reason.GARBLED)
        if form.unit_point:
            code = self._numbers.get(form.unit_point)
            unit = form.unit_codes.get(code) if code is not None else None
            if unit is None:
                verdict = (None, Quality.BAD, Reason.NOT_YET_READ if code is None else Reason.GARBLED)
        if verdict is None:
            counter = self._counters.get(point)
            verdict = form.judge(self._raws[point], decimals, unit, counter.turns if counter is not None else 0)
        return self._say(point, self._with_state(point, verdict), now)

    def _with_state(self, point: str, verdict: Verdict) -> Verdict:
        """What the device says of itself outranks what its numbers say; over-range is never made milder."""
        value, quality, reason = verdict
        if point in self._states:
            known = self._numbers.get(point) in self._states[point]
            return verdict if known or value is None else (value, Quality.UNCERTAIN, Reason.GARBLED)
        if reason is Reason.OVER_RANGE:
            return verdict
        warming = self._warm_until_us > 0
        for state_point, codes in self._states.items():
            number = self._numbers.get(state_point)
            code = codes.get(number) if number is not None else None
            if code is None or not code.reason or (code.affects and point not in code.affects):
                continue
            said = Reason(code.reason)
            if said is Reason.WARM_UP:
                warming = True
            elif said not in _UNCERTAIN_REASONS:
                return None, Quality.BAD, said
            elif quality is Quality.GOOD:
                quality, reason = Quality.UNCERTAIN, said
        if warming and quality is Quality.GOOD:
            return value, Quality.UNCERTAIN, Reason.WARM_UP
        return value, quality, reason

    def _say(self, point: str, verdict: Verdict, now: Now) -> Reading | None:
        """A Reading, unless the same was said before."""
        if self._said.get(point) == verdict and type(self._said[point][0]) is type(verdict[0]):
            return None
        self._said[point] = verdict
        value, quality, reason = verdict
        return Reading(
            self._names[point], value, self._units[point], quality, reason, now.wall_us, now.wall_us, now.mono_us,
            now.boot,
        )


