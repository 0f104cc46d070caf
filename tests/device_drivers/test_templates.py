"""Conventions over MQTT: absence, sequence, memory, commands. Messages are those of the standards, or by hand."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.driver import DeviceFailed, DeviceNotice, DeviceRead, DriverEvent, LineDevice
from device_drivers.payload_map import PayloadMap
from device_model.clock import Now
from device_model.errors import LocalFault
from device_model.library import shipped_profiles
from device_model.payload_rules import TEMPLATES
from device_model.profile import PayloadSource, ProfilePoint
from device_model.reading import Quality, Reason
from tests.device_drivers.rig import START, entry, mqtt_profile
from wire_codecs.sparkplug import Metric, SparkplugPayload, decode_sparkplug, encode_sparkplug

PROFILES = shipped_profiles()


def later(seconds: float) -> Now:
    return Now(START.wall_us + round(seconds * 1e6), START.mono_us + round(seconds * 1e6), START.boot)


def device(profile: str, address: str) -> LineDevice:
    return entry("d", PROFILES[profile], address=address)


def values(events: tuple[DriverEvent, ...]) -> dict[str, object]:
    return {r.point.partition(".")[2]: r.value for e in events if isinstance(e, DeviceRead) for r in e.readings}


def lost(events: tuple[DriverEvent, ...]) -> list[str]:
    return [e.detail for e in events if isinstance(e, DeviceFailed)]


def notices(events: tuple[DriverEvent, ...]) -> list[str]:
    return [e.kind for e in events if isinstance(e, DeviceNotice)]


# --- Sparkplug ------------------------------------------------------------------------------------------------------


class Node:
    """An edge node that counts as the standard says."""

    def __init__(self) -> None:
        self.map = PayloadMap((device("sparkplug-io", "G/N/D"),), START)
        self.seq = -1

    def say(self, kind: str, *metrics: Metric, at: Now = START, retained: bool = False) -> tuple[DriverEvent, ...]:
        seq = None
        if kind != "NDEATH":
            self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
            seq = self.seq
        tail = "/D" if kind[0] == "D" else ""
        payload = encode_sparkplug(SparkplugPayload(metrics, seq))
        return self.map.take(f"spBv1.0/G/{kind}/N{tail}", payload, retained, at)

    def birth(self, number: int = 0) -> tuple[DriverEvent, ...]:
        self.say("NBIRTH", Metric("bdSeq", datatype=8, value=number))
        return self.say("DBIRTH", Metric("Inputs/A", 1, 11, True), Metric("Inputs/B", 2, 11, False),
                        Metric("Outputs/E", 3, 11, False))


def test_aliases_stand_for_the_names_of_the_birth() -> None:
    node = Node()
    assert values(node.birth()) == {"input_a": True, "input_b": False, "output_e": False}
    assert values(node.say("DDATA", Metric(alias=2, value=True))) == {"input_b": True}


def test_a_gap_makes_the_device_bad_and_asks_for_a_rebirth_and_resolves_no_alias() -> None:
    node = Node()
    node.birth()
    node.map.outgoing()
    node.seq += 1
    events = node.say("DDATA", Metric(alias=2, value=True))
    assert "missed" in lost(events)[0] and values(events) == {}
    (ask,) = node.map.outgoing()
    assert ask.topic == "spBv1.0/G/NCMD/N"
    (metric,) = decode_sparkplug(ask.payload).metrics
    assert (metric.name, metric.datatype, metric.value) == ("Node Control/Rebirth", 11, True)
    node.say("DDATA", Metric(alias=2, value=True), at=later(1))
    assert node.map.outgoing() == ()  # not asked again at once
    assert values(node.say("DDATA", Metric("Inputs/A", datatype=11, value=True), at=later(2))) == {"input_a": True}
    assert values(node.birth())["input_b"] is False


def test_sequence_goes_round_after_255() -> None:
    node = Node()
    node.birth()
    assert not any(lost(node.say("DDATA", Metric(alias=1, value=bool(i % 2)))) for i in range(600))


def test_deaths() -> None:
    node = Node()
    node.birth(number=7)
    assert lost(node.say("NDEATH", Metric("bdSeq", datatype=8, value=6))) == []  # the will of an earlier session
    assert lost(node.say("NDEATH", Metric("bdSeq", datatype=8, value=7))) == ["its edge node's last will"]
    node.birth(number=8)
    assert lost(node.say("DDEATH")) == ["it told its own death"]


def test_null_is_no_false_and_the_past_proves_nothing() -> None:
    node = Node()
    node.birth()
    (event,) = [e for e in node.say("DDATA", Metric(alias=1, datatype=11, value=None)) if isinstance(e, DeviceRead)
                and e.readings]
    assert event.readings[0].quality is Quality.BAD
    past = Metric("Inputs/B", datatype=11, value=True, historical=True, timestamp_ms=START.wall_us // 1000 - 60_000)
    (record,) = [e for e in node.say("DDATA", past) if isinstance(e, DeviceRead) and e.readings]
    assert record.fresh == () and record.readings[0].source_time_us == START.wall_us - 60_000_000


def test_retained_births_are_ignored_and_a_rebirth_is_asked_at_start() -> None:
    node = Node()
    assert node.say("NBIRTH", retained=True) == ()
    node.map.look_for_silence(START)
    assert [ask.topic for ask in node.map.outgoing()] == ["spBv1.0/G/NCMD/N"]


def test_a_whole_sequence_proves_what_was_said_and_silence_ends_it() -> None:
    node = Node()
    node.birth()
    for second in range(0, 1200, 300):
        node.say("NDATA", Metric("Uptime", datatype=8, value=second), at=later(second))
        assert lost(node.map.look_for_silence(later(second + 1))) == []
    assert lost(node.map.look_for_silence(later(2000)))


def test_a_device_that_is_not_born_again_is_lost() -> None:
    node = Node()
    node.birth()
    node.say("NBIRTH", Metric("bdSeq", datatype=8, value=1), at=later(1))
    assert lost(node.map.look_for_silence(later(20))) == ["its edge node was born without it"]


def test_garbage_breaks_the_sequence() -> None:
    node = Node()
    node.birth()
    assert "cannot be read" in lost(node.map.take("spBv1.0/G/DDATA/N/D", b"\xff", False, START))[0]


# --- Homie, Zigbee2MQTT ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "address", "topic", "payload", "will", "word"), [
    ("homie-climate", "h", "homie/h/climate/temperature", b"21.5", "homie/h/$state", b"lost"),
    ("aqara-mccgq11lm", "h", "zigbee2mqtt/h", b'{"contact":true}', "zigbee2mqtt/bridge/state",
     b'{"state":"offline"}'),
    ("aqara-mccgq11lm", "h", "zigbee2mqtt/h", b'{"contact":true}', "zigbee2mqtt/h/availability", b"offline"),
])
def test_a_last_will_is_absence_and_a_memory_does_not_bring_it_back(
        profile: str, address: str, topic: str, payload: bytes, will: str, word: bytes) -> None:
    payloads = PayloadMap((device(profile, address),), START)
    assert values(payloads.take(topic, payload, False, START))
    assert lost(payloads.take(will, word, True, START))
    assert payloads.take(topic, payload, True, START) == ()
    assert values(payloads.take(topic, payload, False, START))
    assert lost(payloads.look_for_silence(later(8000)))


def test_a_retained_value_is_uncertain() -> None:
    payloads = PayloadMap((device("homie-climate", "h"),), START)
    (event,) = payloads.take("homie/h/climate/temperature", b"21.5", True, START)
    assert isinstance(event, DeviceRead) and event.fresh == ()
    assert (event.readings[0].quality, event.readings[0].reason) == (Quality.UNCERTAIN, Reason.NOT_YET_READ)


# --- Home Assistant -------------------------------------------------------------------------------------------------

TEMPERATURE = ('{"stat_t":"~state","~":"homeassistant/sensor/bed/","unit_of_meas":"%s","val_tpl":"%s","exp_aft":%d,'
               '"avty":[{"t":"homeassistant/sensor/bed/status"}]}')


def announced(unit: str = "°C", template: str = "{{ value_json.temperature }}", expire: int = 0) -> PayloadMap:
    payloads = PayloadMap((device("homeassistant-climate", "bed"),), START)
    config = (TEMPERATURE % (unit, template, expire)).encode()
    told = payloads.take("homeassistant/sensor/sensorBedroomT/config", config, True, START)
    assert not values(told)
    return payloads


def test_an_announcement_says_where_values_stand_and_when_they_are_absent() -> None:
    payloads = announced(expire=60)
    assert values(payloads.take("homeassistant/sensor/bed/state", b'{"temperature":23.2}', False, START)) == {
        "temperature": 23.2}
    assert lost(payloads.take("homeassistant/sensor/bed/status", b"offline", False, START))
    payloads.take("homeassistant/sensor/bed/state", b'{"temperature":23.2}', False, START)
    assert lost(payloads.look_for_silence(later(61)))
    assert not lost(payloads.look_for_silence(later(62)))


def test_another_unit_is_no_value_and_a_hard_template_is_told() -> None:
    payloads = announced(unit="°F")
    assert values(payloads.take("homeassistant/sensor/bed/state", b'{"temperature":70}', False, START)) == {
        "temperature": None}
    payloads = PayloadMap((device("homeassistant-climate", "bed"),), START)
    hard = TEMPERATURE % ("°C", "{{ states('x') }}", 0)
    assert notices(payloads.take("homeassistant/sensor/sensorBedroomT/config", hard.encode(), True, START)) == [
        "template_unreadable"]


def test_a_state_that_came_before_its_announcement_is_a_memory() -> None:
    payloads = PayloadMap((device("homeassistant-climate", "bed"),), START)
    payloads.take("homeassistant/sensor/bed/state", b'{"temperature":20}', False, START)
    (event,) = payloads.take("homeassistant/sensor/sensorBedroomT/config",
                             (TEMPERATURE % ("°C", "{{value_json['temperature']|float}}", 0)).encode(), True, START)
    assert isinstance(event, DeviceRead) and event.readings[0].quality is Quality.UNCERTAIN


def test_an_announcement_that_is_taken_back_is_absence() -> None:
    payloads = announced()
    payloads.take("homeassistant/sensor/bed/state", b'{"temperature":23.2}', False, START)
    assert lost(payloads.take("homeassistant/sensor/sensorBedroomT/config", b"", False, START))


# --- ChirpStack, Aliyun, SenML --------------------------------------------------------------------------------------


def uplink(count: int, port: int = 2) -> bytes:
    data = base64.b64encode(bytes.fromhex("cbf608980146017fff7fff")).decode()
    return json.dumps({"fCnt": count, "fPort": port, "data": data}).encode()


def test_lost_uplinks_are_told_and_a_join_starts_anew() -> None:
    payloads, base = PayloadMap((device("chirpstack-lht65", "a/0101010101010101"),), START), \
        "application/a/device/0101010101010101/event/"
    assert notices(payloads.take(base + "up", uplink(5), False, START)) == []
    assert notices(payloads.take(base + "up", uplink(6), False, START)) == []
    assert notices(payloads.take(base + "up", uplink(9), False, START)) == ["uplinks_missed"]
    assert notices(payloads.take(base + "join", b"{}", False, START)) == ["joined"]
    assert notices(payloads.take(base + "up", uplink(40), False, START)) == []
    assert values(payloads.take(base + "up", uplink(41, port=5), False, START)) == {}
    mains = b'{"batteryLevel":0,"externalPowerSource":true}'
    assert values(payloads.take(base + "status", mains, False, START)) == {}


def test_a_post_is_answered_unless_it_asks_for_none_or_is_a_memory() -> None:
    payloads = PayloadMap((device("aliyun-tsl-climate", "pk/dn"),), START)
    topic = "/sys/pk/dn/thing/event/property/post"
    body = {"id": "123", "params": {"CurrentTemperature": 20}}
    payloads.take(topic, json.dumps(body).encode(), True, START)
    assert payloads.outgoing() == ()
    payloads.take(topic, json.dumps(body | {"sys": {"ack": 0}}).encode(), False, START)
    assert payloads.outgoing() == ()
    payloads.take(topic, json.dumps(body).encode(), False, START)
    (reply,) = payloads.outgoing()
    assert reply.topic == topic + "_reply"
    assert json.loads(reply.payload) | {"data": {}} == {
        "code": 200, "data": {}, "id": "123", "message": "success", "method": "thing.event.property.post",
        "version": "1.0"}


def test_a_wrong_clock_does_not_make_a_live_value_the_past() -> None:
    payloads = PayloadMap((device("aliyun-tsl-climate", "pk/dn"),), START)
    body = b'{"id":"1","params":{"CurrentTemperature":{"value":23.6,"time":1524448722000}}}'
    (event,) = payloads.take("/sys/pk/dn/thing/event/property/post", body, False, START)
    assert isinstance(event, DeviceRead) and event.readings[0].source_time_us == START.wall_us


def test_an_alarm_that_came_and_went_within_one_pack_is_seen() -> None:
    of = mqtt_profile(ProfilePoint("smoke", "smoke_alarm", "1", "", "", payload=PayloadSource(
        path="smoke", true_values=("true",), false_values=("false",))), base_topic="{address}", template="senml",
        format="cbor")
    payloads = PayloadMap((entry("d", of, address="s"),), START)
    # [{-2: "x:", 0: "smoke", 4: true, 6: -9}, {0: "smoke", 4: false}] by RFC 8949, by hand
    pack = bytes.fromhex("82 a4 21 62 78 3a 00 65 73 6d 6f 6b 65 04 f5 06 28 a2 00 65 73 6d 6f 6b 65 04 f4")
    said = [r.value for e in payloads.take("s", pack, False, START) if isinstance(e, DeviceRead) for r in e.readings]
    assert said == [True, False]


# --- commands -------------------------------------------------------------------------------------------------------


def writable(template: str, quantity: str = "relay", **payload: object) -> ProfilePoint:
    return ProfilePoint("p", quantity, "1", "", "", writable=True, payload=PayloadSource(
        **{"path": "valve", "true_values": ("1",), "false_values": ("0",), **payload}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("template", "base", "address", "payload", "topic", "body"), [
    ("chirpstack", "application/{address}", "a/01", {}, "application/a/device/01/command/down",
     {"devEui": "01", "confirmed": True, "fPort": 1, "object": {"valve": 1}}),
    ("zigbee2mqtt", "zigbee2mqtt/{address}", "v", {"true_values": ("ON",), "false_values": ("OFF",)},
     "zigbee2mqtt/v/set", {"valve": "ON"}),
    ("homie", "homie/{address}", "v", {"path": "", "topic": "valve/open", "true_values": ("true",)},
     "homie/v/valve/open/set", True),
    ("aliyun-tsl", "/sys/{address}", "pk/dn", {}, "/sys/pk/dn/thing/service/property/set", {"valve": 1}),
])
def test_command_topics(template: str, base: str, address: str, payload: dict[str, object], topic: str,
                        body: object) -> None:
    spec = writable(template, **payload)
    one = entry("d", mqtt_profile(spec, base_topic=base, template=template), address=address)
    made = PayloadMap((one,), START).template_of(one)
    assert made is not None
    sent = made.command(one, spec, True, START)
    found = json.loads(sent.payload)
    assert sent.topic == topic and (found["params"] if template == "aliyun-tsl" else found) == body


def test_sparkplug_commands_carry_the_type_of_the_birth() -> None:
    node, one = Node(), device("sparkplug-io", "G/N/D")
    node.birth()
    made, spec = node.map.template_of(one), one.profile.point("output_e")
    assert made is not None and spec is not None
    sent = made.command(one, spec, True, START)
    assert sent.topic == "spBv1.0/G/DCMD/N/D"
    (metric,) = decode_sparkplug(sent.payload).metrics
    assert (metric.name, metric.datatype, metric.value) == ("Outputs/E", 11, True)


def test_home_assistant_commands_go_where_the_device_said() -> None:
    spec = writable("homeassistant", path="plug")
    one = entry("d", mqtt_profile(spec, base_topic="{address}", template="homeassistant"), address="n")
    payloads = PayloadMap((one,), START)
    made = payloads.template_of(one)
    assert made is not None
    with pytest.raises(LocalFault, match="no command topic"):
        made.command(one, spec, True, START)
    config = b'{"~":"n/plug","stat_t":"~/state","cmd_t":"~/set"}'
    payloads.take("homeassistant/switch/n/plug/config", config, True, START)
    assert made.command(one, spec, True, START) == made.command(one, spec, True, later(1))
    assert (made.command(one, spec, True, START).topic, made.command(one, spec, False, START).payload) == (
        "n/plug/set", b"OFF")


# --- everything -----------------------------------------------------------------------------------------------------

ALL = {"sparkplug": ("sparkplug-io", "G/N/D"), "homie": ("homie-climate", "h"), "senml": ("senml-power", "s"),
       "homeassistant": ("homeassistant-climate", "bed"), "chirpstack": ("chirpstack-lht65", "a/01"),
       "aliyun-tsl": ("aliyun-tsl-climate", "pk/dn"), "zigbee2mqtt": ("aqara-mccgq11lm", "z")}
TOPICS = ("spBv1.0/G/NBIRTH/N", "spBv1.0/G/DDATA/N/D", "homie/h/$state", "homie/h/climate/temperature", "s", "a",
          "homeassistant/sensor/sensorBedroomT/config", "homeassistant/device/bed/config",
          "homeassistant/sensor/bed/state", "application/a/device/01/event/up", "zigbee2mqtt/bridge/state",
          "application/a/device/01/event/status", "/sys/pk/dn/thing/event/property/post", "zigbee2mqtt/z",
          "zigbee2mqtt/z/availability", "/sys/pk/dn/thing/event/fire/post")
WORDS = st.sampled_from(["params", "value", "time", "state_topic", "value_template", "data", "object", "fCnt",
                         "n", "v",
                         "components", "availability", "~", "state", "expire_after", "contact", "temperature"])
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["homeassistant/sensor/bed/state", "{{ value }}", "AAAA", "ON"]) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=10)


def test_every_template_is_fuzzed() -> None:
    assert set(ALL) == set(TEMPLATES)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(TOPICS), st.binary(max_size=60) | DOCUMENT.map(msgspec.json.encode),
                          st.booleans()), max_size=8))
def test_whatever_is_said_nothing_raises_and_nothing_bad_is_a_number(said: list[tuple[str, bytes, bool]]) -> None:
    devices = tuple(entry(f"d{i}", PROFILES[profile], address=address)
                    for i, (profile, address) in enumerate(ALL.values()))
    payloads = PayloadMap(devices, START)
    for step, (topic, payload, retained) in enumerate(said):
        events = (*payloads.take(topic, payload, retained, later(step)), *payloads.look_for_silence(later(step)))
        for event in events:
            for reading in event.readings if isinstance(event, DeviceRead) else ():
                assert (reading.value is None) == (reading.quality is Quality.BAD)
                assert not retained or reading.quality is not Quality.GOOD
    assert len(payloads.outgoing()) <= 64
