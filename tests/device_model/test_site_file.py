"""Site files: the example loads, laws of safety are enforced, every error has line, column and remedy."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.alarm import Hazard
from device_model.commands import check_profiles, check_sites
from device_model.errors import ConfigError, Finding, LocalFault
from device_model.library import (
    PROFILES_FOLDER,
    read_inventory,
    read_profiles,
    read_site,
    read_text,
    shipped_profiles,
)
from device_model.profile import Certainty, DeviceClass
from device_model.site import FORBIDDEN_OUTPUTS, OutputPurpose, OutputState, Text
from device_model.site_file import parse_site

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "site" / "riverside.yaml"
PROFILES = shipped_profiles()
TEXT = EXAMPLE.read_text(encoding="utf-8")


def findings(text: str, profiles: dict = PROFILES) -> list[Finding]:
    with pytest.raises(ConfigError) as caught:
        parse_site(text, "site.yaml", profiles)
    return list(caught.value.findings)


def test_the_example_loads_and_paths_stand_beside_the_file() -> None:
    site = read_site(EXAMPLE)
    assert site.tenancy.path == "harbour-city/east/river-street/riverside"
    assert site.name == Text("Riverside Gardens", "河畔花园")
    assert [zone.floor for zone in site.zones] == ["f3", "f3", "f3", "g", "r"]
    assert site.gateway.journal_path == str(EXAMPLE.parent / "var/journal.sqlite")
    assert {line.id: line.port for line in site.lines} == {"stairwell": 502, "plant": 0, "radio": 1883}
    assert site.lines[1].port_path == "/dev/ttyUSB0"
    horn = site.outputs[0]
    assert (horn.device, horn.point, horn.purpose) == ("horn-3", "relay", OutputPurpose.SOUNDER)
    assert horn.on_power_loss is OutputState.OFF and Hazard.FIRE in horn.hazards
    assert read_inventory(EXAMPLE).points["tank.level"].unit == "m"


# (text in the example, its replacement, part of what, part of the remedy)
ERRORS = [
    ("zone: b1-301,\n", "zone: b1-310,\n", "zone 'b1-310' is not known", "'b1-30"),
    ("profile: calectro-ug3", "profile: calectro-ug4", "profile 'calectro-ug4' is not known", "'calectro-ug3'"),
    ("line: stairwell, unit: 1", "line: starwell, unit: 1", "line 'starwell' is not known", "'stairwell'"),
    ("line: stairwell, unit: 1", "line: radio, unit: 1", "speaks modbus, line 'radio' is mqtt", "protocol"),
    ("unit: 2, zone", "unit: 1, zone", "both have unit 1 on line 'stairwell'", "its own"),
    ("unit: 2, zone", "unit: 0, zone", "unit 0 is not within 1..247", "unit id"),
    ("unit: 2, zone", "unit: 248, zone", "unit 248 is not within 1..247", "unit id"),
    ("address: smoke-302", "address: smoke-301", "both have address 'smoke-301'", "its own"),
    ("address: smoke-302", "address: 'a/#'", "is not one topic level name", "{address}"),
    ("id: smoke-302", "id: smoke-301", "stands twice among the devices", "the first is in line"),
    ("id: smoke-302", "id: Smoke_302", "'Smoke_302' is not 1 to 40", "river-street"),
    ("- {id: b1-302", "- {id: b1-301", "stands twice among the zones", "line"),
    ("id: gw-1", "id: GW 1", "'GW 1' is not", "certificates"),
    ("path: harbour-city/east/", "path: harbour-city/", "does not have four parts", "city/district/street/site"),
    ("path: harbour-city", "path: Harbour", "'Harbour' is not", "topics"),
    ("Asia/Shanghai", "Asia/Shangri", "time zone 'Asia/Shangri'", "Asia/Shanghai"),
    ("latitude: 31.2304", "latitude: 121.4", "latitude is not within", "latitude first"),
    ("datum: WGS-84}\n  access_point", "datum: BD-09}\n  access_point", "bd-09", "WGS-84, GCJ-02"),
    (", datum: WGS-84}\n  access_point", "}\n  access_point", "lacks 'datum'", "datum:"),
    ("host: 192.0.2.10, ", "", "has no host", "address"),
    ("port_path: /dev/ttyUSB0", "host: x", "has no port_path", "/dev/"),
    ("kind: mqtt, host: 192.0.2.20", "kind: modbus_tcp, host: 192.0.2.10", "two masters", "one line"),
    ("drives: horn-3.relay", "drives: horn-3.gas_ratio", "cannot be switched", "writable"),
    ("drives: horn-3.relay", "drives: horn-4.relay", "device 'horn-4' is not known", "'horn-3'"),
    ("drives: horn-3.relay", "drives: horn-3.rely", "point of wb-msgr 'rely'", "'relay'"),
    ("drives: leak-302.output_1", "drives: horn-3.relay", "drive the same point", "join"),
    ("hazards: [water]", "hazards: [water, fire]", "may not be switched by fire (law 5)", "only: water"),
    ("hazards: [water]", "hazards: [watr]", "watr", ""),
    ("zones: [b1-302]", "zones: [b1-303]", "zone 'b1-303' is not known", "'b1-30"),
    ("purpose: sounder", "purpose: fire_pump", "law of safety 5: fire pumps are monitor-only", "remove the output"),
    ("purpose: sounder", "purpose: pump", "purpose 'pump'", "gas_valve"),
    ("purpose: sounder", "purpose: fan", "rated for that gas and zone (law 5)", "rated_for"),
    ("purpose: sounder\n    hazards: [fire, call_point, gas_high, co]", "purpose: fan\n    hazards: [co]",
     "rated for that gas and zone (law 5)", "rated_for"),
    ("purpose: sounder", "purpose: fan", "is smoke control: monitor-only (law 5)", "approved system"),
    ("purpose: sounder\n    hazards: [fire, call_point, gas_high, co]\n    on_power_loss: off\n"
     "    on_agent_death: hold\n    on_restart: hold",
     "purpose: fan\n    hazards: [water]\n    on_power_loss: off\n    on_agent_death: hold\n    on_restart: on",
     "not by a restart (law 5)", "on_restart"),
    # A tank that runs empty is fire_water, too: its alarm would shut the valve that fills it.
    ("purpose: water_valve_branch\n    hazards: [water]", "purpose: fill_valve\n    hazards: [water, fire_water]",
     "may not be switched by fire_water (law 5)", "only: water"),
    ("purpose: sounder", "purpose: sounder\n    proof: horn-3.relay", "is an echo, no proof", "limit switch"),
    ("purpose: sounder", "purpose: sounder\n    proof: leak-302.output_2", "is an echo, no proof", "flow"),
    ("purpose: sounder", "purpose: sounder\n    proof: tank.level", "is not true or false", "input"),
    ("role: duty", "role: boss", "role 'boss'", "key_holder"),
    ("proof_hour: 9", "proof_hour: 24", "proof_hour", "local hour"),
    ("gateway:\n  id: gw-1", "gateway: ~\nx:\n  id: gw-1", "unknown key 'x'", "known keys"),
    ("gateway:\n", "gateway: ~\nrulez:\n", "gateway must be a mapping", "key: value"),
    ("name: {en: House 1, zh: 1 号楼}", "name: {en: House 1}", "lacks 'zh'", "zh:"),
    ("name: {en: House 1, zh: 1 号楼}", "name: ''", "name is empty", "one text for both"),
    ("buildings:", "buildings: 7\nlist:", "buildings must be a list", "- item"),
]


@pytest.mark.parametrize(("old", "new", "what", "remedy"), ERRORS)
def test_errors_are_placed(old: str, new: str, what: str, remedy: str) -> None:
    assert old in TEXT, "the example changed: mend this table"
    text = TEXT.replace(old, new, 1)
    found = [f for f in findings(text) if what in f.what and remedy in f.remedy]
    assert found, findings(text)
    changed = next(i for i, (a, b) in enumerate(zip(TEXT.splitlines(), text.splitlines(), strict=False), 1) if a != b)
    if "law" not in what and "echo" not in what and "key" not in what and "proof" not in new:
        # The finding is on the changed line, or names the item that stands a little above or below it.
        assert any(abs(f.line - changed) <= 3 for f in found), (changed, found)
    assert all(f.file == "site.yaml" and f.line > 0 and f.column > 0 for f in found)


@pytest.mark.parametrize("purpose", sorted(FORBIDDEN_OUTPUTS))
def test_monitor_only_equipment_is_never_an_output(purpose: str) -> None:
    (found,) = findings(TEXT.replace("purpose: sounder", f"purpose: {purpose}"))
    assert FORBIDDEN_OUTPUTS[purpose] in found.what and "law of safety 5" in found.what


@pytest.mark.parametrize("name", [
    "roof-fire-pump", "fire-pump-a", "b1-fire-pump-2", "fire-pump-start", "elevator", "elevator-2", "lift-recall",
    "sprinkler-valve", "north-smoke-exhaust-fan", "deluge", "fire-shutter-3",
])
def test_monitor_only_equipment_is_known_by_a_part_of_its_name(name: str) -> None:
    found = findings(TEXT.replace("- id: horn\n", f"- id: {name}\n"))
    assert any("law of safety 5" in f.what and name in f.what for f in found), found


@pytest.mark.parametrize("name", ["airlift", "ship-lifting", "fire-sounder", "pump-room-relay", "fire-pump-room-gas"])
def test_ordinary_names_are_ordinary(name: str) -> None:
    assert parse_site(TEXT.replace("- id: horn\n", f"- id: {name}\n"), "site.yaml", PROFILES).outputs[0].id == name


@pytest.mark.parametrize("word", sorted(FORBIDDEN_OUTPUTS))
@pytest.mark.parametrize("where", ["id", "id with a number", "tag", "driven device"])
def test_monitor_only_equipment_is_refused_whatever_its_purpose_says(word: str, where: str) -> None:
    """A fire pump does not become a sounder by being written down as one."""
    name = word.replace("_", "-")
    text = {
        "id": TEXT.replace("- id: horn\n", f"- id: {name}\n"),
        "id with a number": TEXT.replace("- id: horn\n", f"- id: {name}-2\n"),
        "tag": TEXT.replace("{id: horn-3,", f"{{id: horn-3, tags: [{word}],"),
        "driven device": TEXT.replace("horn-3", name),
    }[where]
    assert text != TEXT
    found = [f.what for f in findings(text)]
    assert any("law of safety 5" in what and FORBIDDEN_OUTPUTS[word] in what for what in found), found


@pytest.mark.parametrize("device_class", [DeviceClass.PUMP, DeviceClass.DOOR, DeviceClass.FIRE_PANEL])
def test_pumps_doors_and_panels_are_watched_never_driven(device_class: DeviceClass) -> None:
    horn = PROFILES["wb-msgr"]
    found = findings(TEXT, {**PROFILES, horn.id: msgspec.structs.replace(horn, device_class=device_class)})
    assert any("watched, never driven" in f.what for f in found), found


def test_a_horn_in_the_lobby_of_a_lift_is_a_horn() -> None:
    site = parse_site(TEXT.replace("- id: horn\n", "- id: lift-lobby-horn\n"), "site.yaml", PROFILES)
    assert site.outputs[0].id == "lift-lobby-horn"


def test_certainty_c_is_refused_for_fire_and_outputs() -> None:
    smoke, horn = PROFILES["zigbee2mqtt-smoke"], PROFILES["wb-msgr"]
    doubtful = {
        **PROFILES,
        smoke.id: msgspec.structs.replace(smoke, certainty=Certainty.C),
        horn.id: msgspec.structs.replace(horn, points=tuple(
            msgspec.structs.replace(point, certainty=Certainty.C) for point in horn.points)),
    }
    found = [f.what for f in findings(TEXT, doubtful)]
    assert len(found) == 3
    assert sum("of certainty C" in what and "class smoke" in what for what in found) == 2
    assert sum("horn-3.relay is of certainty C: refused for an output" in what for what in found) == 1


def test_all_errors_at_once_and_no_second_error_for_one_mistake() -> None:
    text = TEXT.replace("{id: stairwell, kind: modbus_tcp", "{id: stairwell, kind: modbus_tpc").replace(
        "id: b1-301, name:", "id: b1-301, nam:").replace("unit: 11", "unit: 999")
    # kind, unknown key nam, name missing, unit; the devices of that line and zone are fine
    assert len(findings(text)) == 4


def test_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="no such file"):
        read_text(tmp_path / "absent.yaml")
    with pytest.raises(LocalFault, match="is a folder"):
        read_text(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(ConfigError, match=r"latin.yaml:2:1: not UTF-8"):
        read_text(tmp_path / "latin.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (2 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_text(tmp_path / "huge.yaml")
    absent, latin = check_profiles([tmp_path / "absent.yaml", tmp_path / "latin.yaml"])
    assert "no such file" in absent.what and absent.remedy and latin.line == 2


def test_commands_find_nothing_in_what_ships_and_everything_elsewhere(tmp_path: Path) -> None:
    assert check_profiles(sorted(PROFILES_FOLDER.glob("*.yaml"))) == []
    assert check_sites([EXAMPLE]) == []
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEXT.replace("profile: calectro-ug3", "profile: nothing-like-it"), encoding="utf-8")
    (found,) = check_sites([bad])
    assert found.file == str(bad) and "nothing-like-it" in found.what


def test_a_site_brings_its_own_profiles(tmp_path: Path) -> None:
    own = tmp_path / "profiles"
    own.mkdir()
    shipped = (PROFILES_FOLDER / "xy-md04.yaml").read_text(encoding="utf-8")
    (own / "mine.yaml").write_text(shipped.replace("profile: xy-md04", "profile: mine"), encoding="utf-8")
    (tmp_path / "site.yaml").write_text(TEXT.replace("profile: wb-msw-v3", "profile: mine"), encoding="utf-8")
    assert read_inventory(tmp_path / "site.yaml").points["climate-3.temperature"].profile.id == "mine"
    (own / "twin.yaml").write_text((own / "mine.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ConfigError, match="also stands in"):
        read_profiles(own)


@given(st.data())
def test_an_example_with_lines_changed_gives_a_site_or_a_config_error(data: st.DataObject) -> None:
    lines = TEXT.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(lines) - 1))
        action = data.draw(st.sampled_from(["drop", "twice", "text", "value"]))
        if action == "drop":
            lines[index] = ""
        elif action == "twice":
            lines[index] += "\n" + lines[index]
        elif action == "text":
            lines[index] = data.draw(st.text(max_size=20))
        else:
            value = data.draw(st.sampled_from(["[]", "{}", "~", "-1", ".inf", "[[1]]", "yes", "7", "{en: 1}"]))
            lines[index] = lines[index].partition(":")[0] + ": " + value
    try:
        site = parse_site("\n".join(lines), "fuzz.yaml", PROFILES)
    except ConfigError as error:
        assert error.findings and all(f.remedy for f in error.findings)
    else:
        assert site.gateway.id
