"""Scenario files say what is wrong with them; a world runs the same way twice."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.errors import ConfigError
from firmware_sim.commands import read_recording
from firmware_sim.modbus_device import Framing, Request
from firmware_sim.recording import Recording, parse_recording
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.scenario_lines import broker_address
from firmware_sim.world import SimWorld, Truth
from tests.firmware_sim.sim_fixtures import PROFILES

BASE = """scenario: t
lines:
  - {id: bus, kind: modbus_tcp}
  - {id: air, kind: mqtt}
devices:
  - {id: duct, profile: duct, line: bus, unit: 1}
  - {id: co, profile: gas, line: bus, unit: 2}
  - {id: hall, profile: radio, line: air}
"""


def world(text: str) -> SimWorld:
    scenario = parse_scenario(text, "t.yaml", PROFILES)
    return SimWorld(scenario, PROFILES, {r.recording: read_recording(r.recording, Path()) for r in scenario.replays})


@pytest.mark.parametrize(("text", "line", "what"), [
    (BASE.replace("unit: 2", "unit: 1"), 7, "unit 1 of bus is duct's"),
    (BASE.replace("profile: gas", "profile: gass"), 7, "no profile 'gass'"),
    (BASE.replace("line: air", "line: bus"), 8, "radio speaks mqtt, the line is modbus_tcp"),
    (BASE.replace("id: air", "id: bus"), 4, "the id 'bus' stands twice"),
    (BASE + "events: [{at_s: 1, set: {duct.fire: true}}]", 9, "duct has no point 'fire'"),
    (BASE + "events: [{at_s: 1, set: {duct.smoke: 1}}]", 9, "duct.smoke takes true or false"),
    (BASE + "events: [{at_s: 1, press: kick, device: duct}]", 9, "no button 'kick'"),
    (BASE + "events: [{at_s: 1}]", 9, "the event does nothing"),
    (BASE + "faults: [{kind: drop, target: nobody}]", 9, "no device or line 'nobody'"),
    (BASE + "faults: [{kind: half_open, target: duct}]", 9, "no line 'duct'"),
    (BASE + "faults: [{kind: explode, target: duct}]", 9, "explode"),
    (BASE + "faults: [{kind: stuck, target: duct}]", 9, "duct has no point ''"),
    (BASE + "cuts: [{proxy: up, from_s: 1, for_s: 2}]", 9, "no proxy 'up'"),
    (BASE + "proxies: [{id: up, listen: here, to: \"a:1\"}]", 9, "'here' is no address"),
    (BASE + "replays: [{recording: nist_sdc02, feedz: []}]", 9, "unknown key 'feedz'"),
    (BASE.replace("kind: mqtt", "kind: mqtt, url: \"tcp:x\""), 4, "is no broker"),
    ("", 0, "the file is empty"),
])
def test_every_mistake_is_named_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_scenario(text, "t.yaml", PROFILES)
    assert any(finding.line == line and what in finding.what and finding.remedy for finding in error.value.findings)


@pytest.mark.parametrize(("url", "address"), [
    ("mqtt://127.0.0.1:1884", ("127.0.0.1", 1884)), ("mqtt://broker.local", ("broker.local", 1883)),
    ("mqtt://[::1]:99", ("::1", 99)), ("mqtt://a:0", None), ("mqtt://a:70000", None),
    ("http://a", None), ("a:1", None),
])
def test_broker_addresses(url: str, address: tuple[str, int] | None) -> None:
    assert broker_address(url) == address


@pytest.mark.parametrize(("feed", "what"), [
    ("{column: SMZ_1, point: duct.smoke}", "no column 'SMZ_1'"),
    ("{column: TCB_1, point: duct.smoke}", "is in Cel, the point wants dB/m"),
])
def test_a_feed_must_fit_its_recording(feed: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        world(BASE + f"replays: [{{recording: nist_sdc07, feeds: [{feed}]}}]")


FIRE = BASE + """
replays:
  - recording: nist_sdc07
    start_s: 10
    fire: f1
    feeds:
      - {column: SMB_1, point: duct.smoke}
      - {column: SMC_1, point: hall.smoke}
      - {column: GASB_1, point: co.co, threshold: 100}
events:
  - {at_s: 30, set: {hall.temperature: 30.5}}
  - {at_s: 40, press: test, device: hall}
faults:
  - {kind: reboot, target: co, from_s: 20}
  - {kind: drop, target: bus, from_s: 0, chance: 0.3}
  - {kind: garble, target: hall, from_s: 0, chance: 0.3}
"""


def story(one: SimWorld, steps: list[float]) -> tuple[list[Truth], list[object]]:
    truths, wire = [], []
    for at_s in steps:
        truths += one.advance(at_s)
        if at_s % 1 == 0:
            wire.append(one.exchange("bus", Request(1, bytes.fromhex("0200000004"), 1), Framing.TCP, at_s))
            wire.append(list(one.publishes("air", at_s, int(at_s * 1e6))))
    return truths, wire


def test_same_seed_same_bytes_on_every_link() -> None:
    fine = [n * 0.25 for n in range(1000)]
    assert story(world(FIRE), fine) == story(world(FIRE), fine)
    assert story(world(FIRE), fine) != story(world(FIRE + "seed: 2"), fine)
    # However the caller's clock steps, the truths are the same.
    coarse = story(world(FIRE), [n * 1.0 for n in range(250)])[0]
    assert coarse == [truth for truth in story(world(FIRE), fine)[0] if truth.at_s <= 249]


def test_the_recorded_fire_raises_what_it_should_in_order() -> None:
    truths, _ = story(world(FIRE), [n * 0.5 for n in range(500)])
    fires = [(t.device, t.point, t.fire) for t in truths if t.what == "stimulus" and t.fire and t.value is not False]
    # The detector in the burning room first, then smoke far off, then CO above 100 ppm.
    assert [name for name, _, _ in fires][:2] == ["duct", "hall"] and fires[2][0] == "co"
    # The test button at 40 s is a true bit on the wire, and no fire.
    test = next(t for t in truths if t.point == "smoke" and t.device == "hall" and t.value is True)
    assert (test.at_s, test.fire, test.kind) == (40.0, "", "test")
    assert {t.kind for t in truths if t.what == "fault"} == {"reboot", "drop", "garble"}
    duct = next(t for t in truths if t.device == "duct" and t.point == "smoke")
    assert 53 <= duct.at_s <= 95  # ignition at 10 s; the recorded products sounded 43 to 85 s after it


def test_numbers_set_by_an_event_are_told() -> None:
    truths, _ = story(world(FIRE), [n * 0.5 for n in range(80)])
    assert Truth("stimulus", 30.0, "hall", "temperature", 30.5, kind="under") in truths


def test_a_quiet_world_says_nothing() -> None:
    assert world(BASE).advance(600.0) == []


def test_cuts_begin_and_end() -> None:
    one = world(BASE + """proxies: [{id: up, listen: "127.0.0.1:0", to: "127.0.0.1:1"}]
cuts: [{proxy: up, from_s: 5, for_s: 10, kind: half_open}]""")
    truths = one.advance(60.0)
    assert [(t.what, t.at_s, t.value, t.kind) for t in truths] == [
        ("cut", 5.0, True, "half_open"), ("cut", 15.0, False, "half_open")]
    assert one.cut_of("up", 4.9) is None and one.cut_of("up", 5.0) is not None and one.cut_of("up", 15.0) is None


# ---- recordings ---------------------------------------------------------------------------------------------


def test_shipped_recordings_read_and_interpolate() -> None:
    for name, place in (("nist_sdc02", "E"), ("nist_sdc07", "B"), ("nist_sdc38", "B")):
        recording = read_recording(name, Path())
        assert recording.units[f"SM{place}_1"] == "1/m" and recording.units[f"TC{place}_1"] == "Cel"
        assert all(min(column) >= 0 for column in recording.columns.values())
        # The location of the fire is the first that fills with smoke beyond 0.5 dB/m.
        first = {n: next((t for t, v in zip(recording.times_s, c, strict=True) if v > 0.05), 1e9)
                 for n, c in recording.columns.items() if n.startswith("SM")}
        assert min(first, key=lambda n: first[n]) == f"SM{place}_1"
    small = Recording("s", (0.0, 2.0), {"a": (1.0, 3.0)}, {"a": "1"})
    assert [small.at("a", t) for t in (-1.0, 0.0, 1.0, 2.0, 9.0)] == [1.0, 1.0, 2.0, 3.0, 3.0]


def test_the_excerpt_is_what_the_script_cuts(shared_sensors: Path) -> None:
    import importlib.util

    pytest.importorskip("pyarrow")
    file = Path(__file__).resolve().parents[2] / "demo" / "recordings" / "cut.py"
    spec = importlib.util.spec_from_file_location("cut", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for test in module.CO_CHANNELS:
        shipped = gzip.decompress((file.parent / f"nist_{test.lower()}.csv.gz").read_bytes()).decode()
        assert module.cut(shared_sensors / "nist_smoke_alarms", test) == shipped


@pytest.mark.parametrize("content", [
    b"", b"t,a\ns,1\n", b"t,a\ns,1\n0,x\n", b"t,a\ns,1\n0,1\n0,2\n", b"t,a\ns\n0,1\n", b"t,a\ns,1\n0,nan\n",
    b"t,a,a\ns,1,1\n0,1,2\n", b"\x1f\x8b00", b"t,a\ns,1\n0,1,2\n", b"\xff\xfe\n\n\n",
    gzip.compress(b"t\n\n", mtime=0)[:-4],
])
def test_a_broken_recording_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_recording(content, "r")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_recording_or_a_finding(content: bytes) -> None:
    for octets in (content, gzip.compress(content)):
        try:
            parse_recording(octets, "r")
        except ConfigError as error:
            assert error.findings


@given(st.text(max_size=300))
def test_any_text_is_a_scenario_or_a_finding(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_scenario(text, "t.yaml", PROFILES)
    assert error.value.findings
