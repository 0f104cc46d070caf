"""The doctor: each thing that can be wrong is named with a remedy in both languages; running, dead and in between."""

from __future__ import annotations

import asyncio
import sqlite3
import string
import urllib.request

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.clock import DAY_US
from device_model.impairment import Impairment, ImpairmentKind
from edge_agent.doctor import KeyFile, SickBed, examine_dead, examine_running
from edge_agent.doctor_commands import examine, report
from edge_agent.doctor_texts import SENTENCES
from edge_agent.gateway_report import GatewayReport, LineReport, LinkReport
from edge_agent.journal import SqliteJournal
from edge_agent.machine_look import MachineLook
from edge_agent.metrics import MetricsPort, exposition

NOW_US = 1_790_000_000_000_000
WELL = GatewayReport("gw-1", "1", NOW_US, "b", 1000, NOW_US - 1, MachineLook(), 5.0, True,
                     (LinkReport("ethernet", True, True),), (LineReport("l1", True, 0),), {}, 0, True, 4, 4, 0, (),
                     {}, (), {})
DEAD = SickBed((), MachineLook(), NOW_US, cloud=True, answer="nobody answers")

RUNNING = [
    ({}, []),
    ({"journal_ok": False}, ["not_journaled"]),
    ({"hung": ("line l1",)}, ["part_hangs"]),
    ({"lines": (LineReport("l1", False, 9),)}, ["line_down"]),
    ({"devices_alive": 3}, ["devices_lost"]),
    ({"cloud": False, "links": ()}, ["no_cloud"]),
    ({"links": (LinkReport("e", False, True),)}, ["cloud_gone"]),
    ({"links": (LinkReport("e", True, True), LinkReport("4g", False, False))}, ["link_down"]),
    ({"cameras": {"gate": False, "yard": True}}, ["camera_down"]),
    ({"impairments": (Impairment(ImpairmentKind.ISOLATED, "s1", 1, who="Li", why="dust"),)}, ["disabled"]),
    ({"impairments": (Impairment(ImpairmentKind.OUTPUT_UNPROVED, "valve", 1),)}, ["output_unproved"]),
    ({"backlog": 20_000}, ["backlog"]), ({"failures": {"line l1": 7, "uplink": 1}}, ["restarts"]),
    ({"counts": {"failed_steps": 2}}, ["failed_steps"]), ({"wall_error_us": 60_000_000}, ["clock_doubt"]),
    ({"at_us": 5_000_000}, ["clock_unset"]), ({"cpu_percent": 99.0}, ["cpu"]),
]
MACHINE = [
    ({"disk_read_only": True}, "disk_read_only"), ({"disk_bytes": 1000, "disk_free_bytes": 5}, "disk_full"),
    ({"wear_percent": 90.0}, "worn"), ({"temperature_c": 86.0}, "hot"),
    ({"memory_total_kib": 100, "memory_available_kib": 5}, "memory"), ({"mains": False}, "mains_lost"),
    ({"battery_percent": 3.0}, "battery_low"), ({"certificate_end_us": NOW_US + 3 * DAY_US}, "certificate_soon"),
    ({"certificate_end_us": NOW_US - 1}, "certificate_over"),
]
DEAD_BEDS = [
    ({}, ["not_running"]), ({"unit": "inactive (dead)"}, ["unit_stopped"]),
    ({"unit": "failed (failed)", "unit_result": "exit-code"}, ["unit_failed"]),
    ({"unit": "activating (auto-restart)"}, ["crash_loop"]), ({"unit": "active (running)"}, ["silent_process"]),
    ({"findings": ("site.yaml:3: wrong",)}, ["site_file", "not_running"]),
    ({"journal": "absent"}, ["not_running", "journal_absent"]),
    ({"journal": "file is not a database"}, ["not_running", "journal_bad"]),
    ({"keys": (KeyFile("k.pem", "Permission denied"),)}, ["not_running", "key_fault"]),
    ({"backlog": 5}, ["not_running", "waits_unsent"]),
]


@pytest.mark.parametrize(("change", "keys"), RUNNING)
def test_what_a_running_gateway_lacks(change, keys):
    found = examine_running(msgspec.structs.replace(WELL, **change))
    assert [one.key for one in found.advice] == keys and found.running
    assert found.grade == ("well" if not keys else found.advice[0].grade)


@pytest.mark.parametrize(("change", "key"), MACHINE)
def test_what_the_machine_lacks_running_or_dead(change, key):
    machine = MachineLook(**change)
    assert [one.key for one in examine_running(msgspec.structs.replace(WELL, machine=machine)).advice] == [key]
    assert key in [one.key for one in examine_dead(msgspec.structs.replace(DEAD, machine=machine)).advice]


@pytest.mark.parametrize(("change", "keys"), DEAD_BEDS)
def test_why_a_gateway_does_not_answer(change, keys):
    found = examine_dead(msgspec.structs.replace(DEAD, **change))
    assert [one.key for one in found.advice] == keys and found.grade == "critical"


def test_every_sentence_is_used_and_stands_in_both_languages():
    used = {key for _, keys in RUNNING + DEAD_BEDS for key in keys} | {key for _, key in MACHINE}
    assert used == {key for key in SENTENCES if key not in ("running", "dead", "well") and "grade" not in key}
    for key in used:
        what, remedy = SENTENCES[key]
        names = [sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)
                 for text in (what.en, what.zh)]
        assert names[0] == names[1], key
        assert remedy.en and remedy.zh and what.zh != what.en, key


def test_worst_first_and_in_words():
    found = examine_running(msgspec.structs.replace(WELL, backlog=20_000, journal_ok=False))
    assert [one.grade for one in found.advice] == ["critical", "notice"]
    assert "CRITICAL" in "\n".join(found.lines("en")) and "严重" in "\n".join(found.lines("zh"))
    assert examine_running(WELL).lines("en")[-1] == "Nothing is wrong."


@given(st.builds(MachineLook, temperature_c=st.none() | st.floats(), disk_bytes=st.none() | st.integers(),
                 disk_free_bytes=st.none() | st.integers(), battery_percent=st.none() | st.floats(),
                 memory_total_kib=st.none() | st.integers(0), memory_available_kib=st.none() | st.integers()))
def test_no_machine_is_too_strange_for_a_diagnosis(machine):
    try:
        found = examine_running(msgspec.structs.replace(WELL, machine=machine))
    except (ValueError, OverflowError) as error:
        pytest.fail(f"{machine}: {error}")
    assert found.lines("zh")


SITE = """
site: {path: a/b/c/d, name: D}
gateway: {id: gw-1, journal_path: j.sqlite}
lines: [ {id: self, kind: gateway} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: Z} ]} ]} ]
devices: [ {id: gw, profile: tocsin-gateway, line: self, zone: z1} ]
"""


def test_a_dead_gateway_by_its_files(tmp_path):
    config = tmp_path / "site.yaml"
    assert "site_file" in [one.key for one in examine(config).advice], "no file is told, not raised"
    config.write_text(SITE.replace("id: f1", "id: F 1"), encoding="utf-8")
    assert "site_file" in [one.key for one in examine(config).advice]
    config.write_text(SITE, encoding="utf-8")
    assert "journal_absent" in [one.key for one in examine(config).advice]
    (tmp_path / "j.sqlite").write_bytes(b"no database at all, " * 100)
    assert "journal_bad" in [one.key for one in examine(config).advice]
    (tmp_path / "j.sqlite").unlink()

    async def make():
        journal = SqliteJournal(tmp_path / "j.sqlite")
        await journal.open()
        await journal.close()

    asyncio.run(make())
    with sqlite3.connect(tmp_path / "j.sqlite") as database:
        database.executemany("INSERT INTO record VALUES('alarm',?,0,x'')", [(n,) for n in range(1, 8)])
        database.execute("INSERT OR REPLACE INTO lane VALUES('alarm',7,'1-4')")
    found = examine(config)
    waiting = [one for one in found.advice if one.key == "waits_unsent"]
    assert waiting and waiting[0].what.en.startswith("3 records")
    text, code = report(config, as_json=True, language="en")
    assert code == 1 and msgspec.json.decode(text)["running"] is False


def test_metrics_leave_out_what_is_not_known():
    text = exposition(msgspec.structs.replace(WELL, machine=MachineLook(temperature_c=41.5))).decode()
    assert "tocsin_gateway_temperature_celsius 41.5" in text and "flash_wear" not in text.replace("# ", "")
    assert 'tocsin_gateway_line_up{line="l1"} 1.0' in text


@pytest.mark.real
def test_metrics_port_on_loopback():
    async def main():
        async def give():
            return WELL

        port = MetricsPort(0, give)
        task = asyncio.ensure_future(port.serve())
        while not port.port:
            await asyncio.sleep(0.01)

        def ask(path):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port.port}{path}", timeout=60) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, ""

        told, refused = await asyncio.to_thread(ask, "/metrics"), await asyncio.to_thread(ask, "/")
        task.cancel()
        return told, refused

    told, refused = asyncio.run(main())
    assert told[0] == 200 and "tocsin_gateway_devices_alive 4.0" in told[1] and refused[0] == 404
