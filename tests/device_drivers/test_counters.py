"""Counters that roll over go on growing; a reset is told apart, said once, and nothing is made up for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.counters import BACKWARD_COUNTS, STEP_SHARE, Counter, Turn
from device_drivers.driver import DeviceNotice, DeviceRead, DriverEvent
from device_drivers.line_memory import (
    BYTES_MAX,
    DeviceMemory,
    fits,
    from_bytes,
    join_lines,
    memory_of,
    split_lines,
    to_bytes,
)
from device_drivers.line_schedule import Transaction
from device_drivers.register_driver import RegisterLine
from device_drivers.register_plan import Learnt
from device_model.clock import Now
from device_model.errors import ConfigError
from device_model.ports import LineReply
from device_model.profile import RegisterType, Table
from device_model.profile_file import parse_profile
from device_model.reading import Quality, Reason
from tests.device_drivers.rig import START, TCP, entry, point, profile
from tests.device_drivers.test_functions import HEAD

MAXIMA = (99, 9999, 65535, 99_999_999, 2**32 - 1, 2**64 - 1)


def value(counter: Counter, maximum: int) -> int:
    return counter.turns * (maximum + 1) + counter.last


@given(st.sampled_from(MAXIMA), st.data())
def test_a_counter_that_only_grows_is_followed_through_every_roll_over(maximum: int, data: st.DataObject) -> None:
    span = maximum + 1
    true = data.draw(st.integers(0, maximum))
    counter = Counter()
    counter.take(true, maximum, 0, START)
    for step in data.draw(st.lists(st.integers(0, span // STEP_SHARE), max_size=40)):
        before, true = value(counter, maximum), true + step
        turn = counter.take(true % span, maximum, 0, START)
        assert value(counter, maximum) == true >= before
        assert turn is not Turn.RESET


@given(st.sampled_from(MAXIMA[1:]), st.data())
def test_a_fall_that_is_no_roll_over_is_a_reset(maximum: int, data: st.DataObject) -> None:
    span = maximum + 1
    last = data.draw(st.integers(BACKWARD_COUNTS + 1, maximum))
    falls = st.integers(0, last - BACKWARD_COUNTS - 1)
    new = data.draw(falls.filter(lambda n: (n - last) % span > span // STEP_SHARE))
    counter = Counter(turns=3, last=last)
    assert counter.take(new, maximum, 0, START) is Turn.RESET
    assert value(counter, maximum) == new


@given(st.sampled_from(MAXIMA), st.integers(0, BACKWARD_COUNTS), st.data())
def test_a_small_correction_is_neither(maximum: int, back: int, data: st.DataObject) -> None:
    """Also over the end: it rolled over, and steps back."""
    start = data.draw(st.integers(0, maximum))
    counter = Counter(turns=1, last=start)
    true = maximum + 1 + start - back
    assert counter.take(true % (maximum + 1), maximum, 0, START) is Turn.ON
    assert value(counter, maximum) == true


@pytest.mark.parametrize(("rate", "elapsed_s", "turn"), [
    (0.0, 1.0, Turn.ROLLED), (10.0, 1.0, Turn.RESET), (10.0, 60.0, Turn.ROLLED), (1e9, 1.0, Turn.ROLLED)])
def test_a_rate_makes_the_difference_sharper(rate: float, elapsed_s: float, turn: Turn) -> None:
    """65000 → 10: 546 counts through the end, or a new meter?"""
    counter = Counter()
    counter.take(65000, 65535, rate, START)
    assert counter.take(10, 65535, rate, START.later(round(elapsed_s * 1e6))) is turn


def test_over_a_restart_the_wall_clock_tells_how_long_it_was() -> None:
    counter = Counter()
    counter.take(65000, 65535, 1.0, Now(1_000_000_000, 900_000_000, "before"))
    assert counter.take(10, 65535, 1.0, Now(1_000_000_000 + 600_000_000, 5, "after")) is Turn.ROLLED
    counter = Counter()
    counter.take(65000, 65535, 1.0, Now(1_000_000_000, 0, "before"))
    assert counter.take(10, 65535, 1.0, Now(10, 0, "after")) is Turn.ROLLED, "a clock that was set back tells nothing"


OF = profile(point("n", 0, type=RegisterType.U32, counter_max=2**32 - 1, scale=0.1, stale_after_s=60.0,
                   error_values=(0xFFFFFFFF,)),
             point("wide", 2, type=RegisterType.U64, counter_max=2**64 - 1, stale_after_s=60.0))


class Meter:
    """A line with one meter, in virtual time."""

    def __init__(self, memory: dict[str, DeviceMemory] | None = None) -> None:
        self.now = START
        self.core = RegisterLine(TCP, [entry("d", OF)], START, lambda: 0.5, memory)

    def read(self, n: int, wide: int = 5) -> list[DriverEvent]:
        while not isinstance(step := self.core.next(self.now), Transaction):
            self.now = self.now.later(step.until_us - self.now.mono_us)
        self.now = self.now.later(1000)
        payload = n.to_bytes(4, "big") + wide.to_bytes(8, "big")
        return list(self.core.done(step, LineReply(1, 3, payload), self.now).events)


def values(events: list[DriverEvent]) -> dict[str, object]:
    return {r.point: r.value for e in events if isinstance(e, DeviceRead) for r in e.readings}


def test_through_the_line_with_scale_error_value_and_reset() -> None:
    meter = Meter()
    assert values(meter.read(2**32 - 100, 2**64 - 10)) == {"d.n": (2**32 - 100) / 10, "d.wide": float(2**64 - 10)}
    bad = [r for e in meter.read(0xFFFFFFFF, 2**64 - 10) if isinstance(e, DeviceRead) for r in e.readings]
    assert [(r.point, r.quality, r.reason) for r in bad if r.value is None] == [
        ("d.n", Quality.BAD, Reason.ERROR_VALUE)], "the mark of an error is not counted"
    assert values(meter.read(50, 2**61)) == {"d.n": (2**32 + 50) / 10, "d.wide": 2.0**64 + 2**61}
    events = meter.read(50 + 2**30, 2**61)
    assert values(events) == {"d.n": (2**32 + 2**30 + 50) / 10}
    events = meter.read(3, 2**61)
    assert values(events) == {"d.n": 0.3}
    assert [(e.kind, e.device) for e in events if isinstance(e, DeviceNotice)] == [("counter_reset", "d")]
    assert not any(isinstance(e, DeviceNotice) for e in meter.read(4, 2**61))


def test_what_a_counter_counted_outlives_a_restart_and_a_hot_change() -> None:
    meter = Meter()
    meter.read(2**32 - 5)
    meter.read(7)
    kept = from_bytes(to_bytes(meter.core.memory()))
    again = Meter(kept)
    assert values(again.read(9))["d.n"] == (2**32 + 9) / 10
    again.core.put_device(entry("d", OF), again.now)
    assert values(again.read(10))["d.n"] == (2**32 + 10) / 10
    rolled = Meter(from_bytes(to_bytes(again.core.memory())))
    assert not [e for e in rolled.read(11) if isinstance(e, DeviceNotice)]


LEARNT = Learnt({(Table.HOLDING, 3), (Table.FILE, 4 << 16 | 2)}, {(Table.INPUT, 9)}, {Table.COIL: 16})


def test_memory_is_bytes_and_back() -> None:
    device = entry("d", OF, 7).device
    memory = memory_of(device, OF, LEARNT, {"n": Counter(2, 5, 6, 7, "b")})
    assert from_bytes(to_bytes({"d": memory})) == {"d": memory}
    assert memory.learnt() == LEARNT
    assert fits(memory, device, OF)
    assert to_bytes({"d": memory}) == to_bytes(from_bytes(to_bytes({"d": memory})))
    assert from_bytes(b"") == {} and from_bytes(to_bytes({"e": memory_of(device, OF, Learnt(), {})})) == {}
    lines = {"a": to_bytes({"d": memory}), "b": to_bytes({})}
    assert split_lines(join_lines(lines)) == lines


@pytest.mark.parametrize("change", [
    {"profile": "other"}, {"version": 2}, {"unit": 8}, {"counters": {"gone": Counter(1, 1)}},
    {"counters": {"n": Counter(1, 2**32)}}])
def test_memory_of_another_device_is_left(change: dict[str, object]) -> None:
    device = entry("d", OF, 7).device
    made = {"profile": "p", "version": 1, "unit": 7, "counters": {"n": Counter(1, 1)}}
    assert fits(DeviceMemory(**made), device, OF)  # type: ignore[arg-type]
    assert not fits(DeviceMemory(**{**made, **change}), device, OF)  # type: ignore[arg-type]
    line = RegisterLine(TCP, [entry("d", OF, 7)], START, lambda: 0.5,
                        {"d": DeviceMemory(**{**made, "holes": [(Table.HOLDING, 0)], **change})})  # type: ignore[arg-type]
    assert line.memory()["d"].holes == []


@pytest.mark.parametrize("octets", [
    b"{", b"[]", b"null", b'{"version":2,"devices":{}}', b'{"version":1,"devices":{"d":{"profile":"p"}}}',
    b'{"version":1,"devices":{"d":{"profile":"p","version":1,"unit":1,"holes":[["nothing",1]]}}}',
    b"\xff\xfe", b" " * (BYTES_MAX + 1), b"[" * 100_000])
def test_bytes_that_are_none_of_ours_are_an_error(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_bytes(octets)


@pytest.mark.parametrize("part", [
    '"holes":[["holding",-1]]', '"holes":[["holding",70000]]', '"cuts":[["file",9999999999]]', '"caps":{"holding":0}',
    '"caps":{"coil":2001}', '"counters":{"n":{"turns":-1}}', '"counters":{"n":{"last":-2}}',
    '"counters":{"n":{"turns":5000000000}}', '"counters":{"n":{"turns":99999999999999999999}}',
    '"counters":{"n":{"wall_us":-5}}',
    '"holes":[' + ",".join(f'["holding",{i}]' for i in range(5000)) + "]"])
def test_what_no_device_can_have_taught_is_left_out(part: str) -> None:
    head = '"profile":"p","version":1,"unit":1'
    octets = f'{{"version":1,"devices":{{"bad":{{{head},{part}}},"good":{{{head}}}}}}}'.encode()
    assert set(from_bytes(octets)) == {"good"}


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(octets: bytes) -> None:
    for parse in (from_bytes, split_lines):
        try:
            assert isinstance(parse(octets), dict)
        except ValueError as problem:
            assert str(problem)


@pytest.mark.parametrize(("keys", "fault"), [
    ("type: u32, counter_max: 4294967295", ""), ("type: u64, counter_max: 18446744073709551615", ""),
    ("type: u32, counter_max: 99999999, counter_rate_max: 5", ""),
    ("type: u32, counter_max: 4294967296", "cannot be the last number"), ("counter_max: 9", "cannot be the last"),
    ("type: s32, counter_max: 1000", "is no counter"), ("type: f32, counter_max: 1000", "is no counter"),
    ("counter_rate_max: 5", "without counter_max"), ("counter_max: 9999, counter_rate_max: -5", "negative"),
    ("counter_max: 9999, writable: true", "cannot be written")])
def test_profiles_say_where_a_counter_ends(keys: str, fault: str) -> None:
    text = f"{HEAD}modbus: {{}}\npoints:\n  a: {{quantity: count, address: 1, {keys}}}\n"
    if not fault:
        register = parse_profile(text, "p.yaml").points[0].register
        assert register is not None and register.counter_max > 0
        return
    with pytest.raises(ConfigError, match=fault):
        parse_profile(text, "p.yaml")
