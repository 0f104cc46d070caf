"""MQTT payloads: what fits is a value, what does not is garbled, a memory is no proof of life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent
from device_drivers.payload_map import (
    DEPTH_MAX,
    PAYLOAD_MAX,
    PayloadMap,
    check_profile,
    follow,
    parse_path,
    subscriptions_of,
)
from device_model.clock import Now
from device_model.profile import PayloadSource, ProfilePoint
from device_model.reading import Quality, Reading, Reason, Value
from tests.device_drivers.rig import START, entry, mqtt_profile

ON_OFF = {"true_values": ("ON", "true", "1"), "false_values": ("OFF", "false", "0")}


def spot(name: str, quantity: str, unit: str = "1", *, path: str = "", topic: str = "", scale: float = 1.0,
         time_path: str = "", time_unit: str = "ms", true_values: tuple[str, ...] = (),
         false_values: tuple[str, ...] = (), stale_after_s: float = 60.0, maximum: float | None = None,
         range_maximum: float | None = None, error_values: tuple[int, ...] = ()) -> ProfilePoint:
    source = PayloadSource(topic, path, scale, 0.0, true_values, false_values, time_path, time_unit)
    return ProfilePoint(name, quantity, unit, name, name, payload=source, stale_after_s=stale_after_s,
                        maximum=maximum, range_maximum=range_maximum, error_values=error_values)


SMOKE = mqtt_profile(
    spot("smoke", "smoke_alarm", path="smoke", **ON_OFF),  # type: ignore[arg-type]
    spot("t", "temperature", "[degF]", path="env.t[0]", maximum=300.0, error_values=(-999,)),
    spot("co", "co", "[ppm]", path='"c-o"', range_maximum=1000.0),
    spot("note", "text", topic="note"),
    availability_topic="z/{address}/availability", expire_after_s=100.0,
)


def map_of(*profiles: object) -> PayloadMap:
    return PayloadMap((entry("d", SMOKE, address="hall"),), START)


def readings(events: tuple[DriverEvent, ...]) -> dict[str, Reading]:
    return {r.point.removeprefix("d."): r for e in events if isinstance(e, DeviceRead) for r in e.readings}


def one(payload: bytes | str) -> dict[str, Reading]:
    return readings(map_of().take("z/hall", payload.encode() if isinstance(payload, str) else payload, False, START))


@pytest.mark.parametrize(("payload", "name", "value"), [
    ('{"smoke":true}', "smoke", True), ('{"smoke":"OFF"}', "smoke", False), ('{"smoke":1}', "smoke", True),
    ('{"smoke":0.0}', "smoke", False), ('{"env":{"t":[212]}}', "t", pytest.approx(100.0)),
    ('{"env":{"t":["32"]}}', "t", pytest.approx(0.0)), ('{"c-o":12}', "co", 12.0),
])
def test_what_fits(payload: str, name: str, value: Value) -> None:
    reading = one(payload)[name]
    assert reading.quality is Quality.GOOD and reading.value == value


@pytest.mark.parametrize(("payload", "name", "reason"), [
    ('{"smoke":"maybe"}', "smoke", Reason.GARBLED), ('{"smoke":2}', "smoke", Reason.GARBLED),
    ('{"smoke":[]}', "smoke", Reason.GARBLED), ('{"smoke":"on"}', "smoke", Reason.GARBLED),
    ('{"env":{"t":[true]}}', "t", Reason.GARBLED), ('{"env":{"t":["NaN"]}}', "t", Reason.GARBLED),
    ('{"env":{"t":["0x10"]}}', "t", Reason.GARBLED), ('{"env":{"t":[{}]}}', "t", Reason.GARBLED),
    ('{"env":{"t":[-999]}}', "t", Reason.ERROR_VALUE), ('{"env":{"t":[301]}}', "t", Reason.OUT_OF_LIMITS),
    ('{"c-o":1000}', "co", Reason.OVER_RANGE), ('{"smoke":true', "smoke", Reason.GARBLED),
    (b"\xff\xfe", "smoke", Reason.GARBLED), ("[" * 5000, "smoke", Reason.GARBLED),
    ('{"a":' * (DEPTH_MAX + 1) + "1" + "}" * (DEPTH_MAX + 1), "smoke", Reason.GARBLED),
    (b'{"smoke":true,"x":"' + b"y" * PAYLOAD_MAX + b'"}', "smoke", Reason.GARBLED),
])
def test_what_does_not_fit_is_never_a_value(payload: str | bytes, name: str, reason: Reason) -> None:
    reading = one(payload)[name]
    assert (reading.value, reading.quality, reading.reason) == (None, Quality.BAD, reason)


def test_what_a_message_does_not_speak_of_is_neither_fresh_nor_bad() -> None:
    events = map_of().take("z/hall", b'{"smoke":false,"env":null}', False, START)
    assert readings(events).keys() == {"smoke"}
    assert [e.fresh for e in events if isinstance(e, DeviceRead)] == [("d.smoke",)]


def test_said_once_and_fresh_each_time() -> None:
    payloads = map_of()
    first = payloads.take("z/hall", b'{"smoke":false}', False, START)
    again = payloads.take("z/hall", b'{"smoke":false}', False, START.later(1))
    assert readings(first) and not readings(again)
    assert isinstance(again[0], DeviceRead) and again[0].fresh == ("d.smoke",)


def test_a_retained_message_is_a_memory() -> None:
    payloads = map_of()
    events = payloads.take("z/hall", b'{"smoke":true}', True, START)
    assert isinstance(events[0], DeviceRead) and events[0].fresh == ()
    reading = readings(events)["smoke"]
    assert reading.value is True and reading.quality is Quality.UNCERTAIN, "an alarm is not hidden, but marked"
    live = readings(payloads.take("z/hall", b'{"smoke":true}', False, START.later(5)))["smoke"]
    assert live.quality is Quality.GOOD
    late = START.later(101_000_000)
    assert any(isinstance(e, DeviceFailed) for e in payloads.look_for_silence(late.later(1_000_000)))
    assert payloads.take("z/hall", b'{"smoke":true}', True, late.later(2_000_000)) == ()


def test_availability_and_silence_are_said_once() -> None:
    payloads = map_of()
    payloads.take("z/hall", b'{"smoke":false}', False, START)
    gone = payloads.take("z/hall/availability", b"offline", True, START.later(1))
    assert [type(e) for e in gone] == [DeviceFailed] and gone[0].reason is Reason.SILENT  # type: ignore[union-attr]
    assert payloads.take("z/hall/availability", b'{"state":"offline"}', False, START.later(2)) == ()
    assert payloads.look_for_silence(START.later(500_000_000)) == ()
    assert payloads.take("z/hall/availability", b"online", False, START.later(3)) == ()
    assert readings(payloads.take("z/hall", b'{"smoke":false}', False, START.later(4)))["smoke"].value is False


def test_one_point_falls_silent_alone_and_then_all() -> None:
    payloads = map_of()
    payloads.take("z/hall", b'{"smoke":false,"c-o":1}', False, START)
    payloads.take("z/hall", b'{"smoke":false}', False, START.later(50_000_000))
    silent = readings(payloads.look_for_silence(START.later(61_000_000)))
    assert silent.keys() == {"t", "co", "note"} and {r.reason for r in silent.values()} == {Reason.SILENT}
    assert payloads.look_for_silence(START.later(62_000_000)) == ()
    failed = payloads.look_for_silence(START.later(111_000_000))
    assert [type(e) for e in failed] == [DeviceFailed]
    assert readings(payloads.take("z/hall", b'{"smoke":false,"c-o":1}', False, START.later(112_000_000))).keys() == {
        "smoke", "co"}


@pytest.mark.parametrize(("stamp", "unit", "wanted"), [
    ("1699999999000", "ms", 1_699_999_999_000_000), ("1699999999", "s", 1_699_999_999_000_000),
    ('"2023-11-14T22:13:19Z"', "ms", 1_699_999_999_000_000), ('"soon"', "ms", START.wall_us),
    ("1", "ms", START.wall_us), ("1e300", "s", START.wall_us),
    ("null", "s", START.wall_us), ("true", "s", START.wall_us),
    ("1700000061", "s", START.wall_us),
])
def test_the_devices_own_time_is_used_where_it_can_be_true(stamp: str, unit: str, wanted: int) -> None:
    of = mqtt_profile(spot("x", "count", path="v", time_path="ts", time_unit=unit))
    payloads = PayloadMap((entry("d", of, address="a"),), START)
    reading = readings(payloads.take("z/a", f'{{"v":1,"ts":{stamp}}}'.encode(), False, START))["x"]
    assert (reading.source_time_us, reading.receive_time_us) == (wanted, START.wall_us)


def test_topics() -> None:
    wanted = ("z/hall", "z/hall/note", "z/hall/availability")
    assert map_of().subscriptions() == wanted == subscriptions_of([entry("d", SMOKE, address="hall")])
    payloads = map_of()
    assert payloads.take("elsewhere", b"1", False, START) == () and payloads.ignored == 1
    assert readings(payloads.take("z/hall/note", b" all well ", False, START))["note"].value == "all well"


@pytest.mark.parametrize(("path", "found"), [
    ("a.b", 1), ("l[0]", 5), ("l[-1].x", 7), ('"a-b".c', 2), ("l[9]", None), ("a.b.c", None), ("nothing", None)])
def test_paths(path: str, found: object) -> None:
    assert follow(parse_path(path), {"a": {"b": 1}, "l": [5, {"x": 7}], "a-b": {"c": 2}}) == found


@pytest.mark.parametrize("path", ["a..b", "a b", ".a", "a.", "a[?", "x" * 5 + "("])
def test_paths_that_are_not_understood_are_said(path: str) -> None:
    of = mqtt_profile(spot("x", "count", path=path))
    assert "path" in " ".join(check_profile(of))


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["smoke", "env", "t", "c-o"]), inner),
    max_leaves=8).map(lambda value: repr(value).replace("'", '"').replace("True", "true").encode()), st.booleans())
def test_no_payload_raises_or_makes_an_impossible_reading(payload: bytes, retained: bool) -> None:
    payloads = map_of()
    for topic in (*payloads.subscriptions(), "z"):
        for event in payloads.take(topic, payload, retained, Now(START.wall_us, START.mono_us, "b")):
            if isinstance(event, DeviceRead):
                for reading in event.readings:
                    assert (reading.value is None) == (reading.quality is Quality.BAD)
                    assert not (reading.point == "d.smoke" and reading.value is False and b"smoke" not in payload)


MIXED = mqtt_profile(
    spot("fast", "temperature", "Cel", path="t", stale_after_s=7.0), spot("slow", "co", "[ppm]", path="c"),
    spot("smoke", "smoke_alarm", path="s", stale_after_s=30.0, **ON_OFF),  # type: ignore[arg-type]
    availability_topic="z/{address}/availability", expire_after_s=45.0,
)
SAID = st.sampled_from(['{"t":1}', '{"c":2}', '{"s":true}', '{"t":1,"c":2,"s":true}', "garbage", "{}", "", "online",
                        "offline"])


@given(st.lists(st.tuples(st.integers(0, 60), SAID, st.booleans()), max_size=40))
def test_looking_only_when_something_may_have_run_out_finds_what_looking_always_finds(
    story: list[tuple[int, str, bool]],
) -> None:
    seldom, always = (PayloadMap((entry("d", MIXED, address="hall"),), START) for _ in range(2))
    at_s = 0
    for passes, said, retained in story:
        for second in range(at_s, at_s + passes):  # ticks of a second between messages
            at = Now(START.wall_us + second * 1_000_000, START.mono_us + second * 1_000_000, START.boot)
            always._devices["d"].look_us = 0
            assert seldom.look_for_silence(at) == always.look_for_silence(at)
        at_s += passes
        at = Now(START.wall_us + at_s * 1_000_000, START.mono_us + at_s * 1_000_000, START.boot)
        topic = "z/hall/availability" if said in ("online", "offline") else "z/hall"
        assert seldom.take(topic, said.encode(), retained, at) == always.take(topic, said.encode(), retained, at)
