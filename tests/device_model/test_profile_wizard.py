"""The profile wizard: scripted answers, options, refusals that are said at once, and nothing overwritten."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from device_model.commands import check_profiles, new_profile
from device_model.errors import ConfigError, LocalFault
from device_model.library import read_profile
from device_model.profile import Certainty, RegisterType

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"protocol": "modbus", "id": "acme-t1", "maker": "Acme", "model": "T1", "en": "thermometer", "zh": "温度计",
         "device_class": "climate", "certainty": "B", "source": "manual 1.2, page 7", "table": "input"}
POINT = "temperature: {quantity: temperature, unit: Cel, address: 4, type: s16, scale: 0.1}"


class Script:
    """A person who types these answers; `said` is what the wizard told them."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.said, self.asked = list(answers), [], []

    def ask(self, question: str, choices: Sequence[str], default: str) -> str:
        self.asked.append(question)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0) or default

    def say(self, text: str) -> None:
        self.said.append(text)


def test_every_answer_may_be_an_option(tmp_path: Path) -> None:
    silent = Script()
    profile, transcript = new_profile(tmp_path, GIVEN, [POINT], language="en", terminal=silent)
    assert silent.asked == [] and check_profiles([profile]) == []
    found = read_profile(profile)
    assert (found.maker, found.certainty, found.points[0].register.address) == ("Acme", Certainty.B, 4)
    skeleton = transcript.read_text("utf-8")
    assert "# >> 00 01 00 00 00 06 01 04 00 04 00 01" in skeleton and "# = temperature VALUE UNIT" in skeleton
    assert all(line.startswith("#") for line in skeleton.splitlines())  # nothing in it passes for a witness
    assert profile.read_text("utf-8").count("#") >= 4


def test_answers_are_checked_as_they_come_and_asked_again(tmp_path: Path) -> None:
    person = Script(
        "serial", "modbus", "Not An Id!", "acme-t1", "Acme", "T1", "thermometer", "温度计", "climate", "D", "B",
        "", "manual", "input", "", "temperature", "warmth", "4", "u16", "1", "temperature", "temperature", "Cel",
        "70000", "s16", "0.1", "temperature", "temperature", "Cel", "4", "s16", "0.1", "")
    profile, _ = new_profile(tmp_path, {}, [], language="zh_CN.UTF-8", terminal=person)
    point = read_profile(profile).points[0]
    assert point.register is not None
    assert (point.register.address, point.register.type, point.register.scale) == (4, RegisterType.S16, 0.1)
    assert len(person.said) >= 6 and person.answers == []
    assert person.asked[0] == "设备使用哪种协议？"


def test_mqtt_and_the_defaults_of_a_scan(tmp_path: Path) -> None:
    scan = tmp_path / "found.json"
    unit = {"unit": 7, "said": "value", "identity": {"maker": "Acme", "product": "T 1"}, "matches": []}
    scan.write_bytes(msgspec.json.encode({"kind": "tcp", "lines": [{"baud": 0, "parity": "", "units": [unit]}]}))
    person = Script("", "", "", "", "thermo", "温度计", "climate", "", "manual", "coil", "on", "contact", "9", "")
    profile, _ = new_profile(tmp_path, {}, [], language="en", from_scan=scan, terminal=person)
    found = read_profile(profile)
    assert (found.id, found.maker, found.model, found.certainty) == ("acme-t-1", "Acme", "T 1", Certainty.C)
    with pytest.raises(LocalFault, match="no unit of that scan"):
        new_profile(tmp_path, {}, [], language="en", from_scan=scan, unit=8, terminal=Script())
    mqtt = {**GIVEN, "id": "acme-m", "protocol": "mqtt", "base_topic": "acme/{address}"}
    del mqtt["table"]
    person = Script("battery", "battery", "", "")
    profile, transcript = new_profile(tmp_path, mqtt, [], language="en", terminal=person)
    assert read_profile(profile).points[0].payload.path == "battery" and "TOPIC" in transcript.read_text("utf-8")


@pytest.mark.parametrize(("more", "points", "where"), [
    ({"id": "No Id"}, [POINT], "--id"), ({"device_class": "toaster"}, [POINT], "--device-class"),
    ({"table": "file"}, [POINT], "--table"), ({}, ["t: {quantity: heat}"], "--point t"),
    ({}, [POINT, POINT], "stands there already"), ({}, ["t: {quantity: temperature\n}"], "one line"),
    ({"en": ""}, [POINT], "an answer is needed"), ({"id": "../x"}, [POINT], "--id"),
])
def test_a_wrong_option_is_refused_by_name(
        tmp_path: Path, more: dict[str, str], points: list[str], where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        new_profile(tmp_path, {**GIVEN, **more}, points, language="en", terminal=Script())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["acme-t1.yaml", "acme-t1.txt"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(LocalFault, match="is there already"):
        new_profile(tmp_path, GIVEN, [POINT], language="en", terminal=Script())
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


def test_nobody_there_to_answer(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="as an option"):
        new_profile(tmp_path, {}, [], language="en", terminal=Script())


@pytest.mark.real
def test_on_a_real_terminal(tmp_path: Path) -> None:
    """A pty, the program itself, and answers typed line by line as the questions come."""
    options = [f"--{'class' if key == 'device_class' else key}={value}" for key, value in GIVEN.items()
               if key not in ("zh", "certainty")]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin", "profile", "new", f"--out={tmp_path}", "--language=zh", *options],
        cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "dumb"})
    os.close(theirs)
    seen = ""
    try:
        for question, answer in (("中文名称", "温度计"), ("依据可靠程度", "B"), ("下一个测点名", "temperature"),
                                 ("测量什么", "temperature"), ("单位", "Cel"), ("寄存器地址", "4"),
                                 ("数据类型", "s16"), ("比例系数", "0.1"), ("下一个测点名", "")):
            seen += read_until(ours, question)
            os.write(ours, answer.encode() + b"\n")
        seen += read_until(ours, "no findings")
        assert process.wait(60) == 0
    finally:
        process.kill()
        os.close(ours)
    assert read_profile(tmp_path / "acme-t1.yaml").zh == "温度计"


def read_until(terminal: int, text: str) -> str:
    seen = b""
    while text not in seen.decode("utf-8", "replace"):
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, f"{text!r} did not come: {seen.decode('utf-8', 'replace')}"
        seen += os.read(terminal, 4096)
    return seen.decode("utf-8", "replace")
