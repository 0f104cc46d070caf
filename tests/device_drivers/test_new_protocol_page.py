"""The page for a new protocol tells the truth: its code runs, and passes the cases that it asks of everybody."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from device_drivers.driver import DeviceFailed, DeviceRead
from device_model.errors import PeerGarbled
from device_model.library import shipped_profiles
from tests.device_drivers.rig import START, entry

PAGE = Path(__file__).parents[2] / "docs" / "new-protocol.md"
CODE = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S))


@pytest.fixture(scope="module")
def page() -> dict[str, object]:
    names: dict[str, object] = {"__name__": "new_protocol_page"}
    exec(compile(CODE, str(PAGE), "exec"), names)
    return names


def counters(page):
    profile = shipped_profiles()["hj212-dust"]
    spec = profile.points[0]
    points = (msgspec.structs.replace(spec, id="litres", quantity="volume", unit="L", minimum=None, maximum=None,
                                      payload=msgspec.structs.replace(spec.payload, topic="", path="litres")),)
    return page["Counters"]([entry("meter", msgspec.structs.replace(profile, points=points), address="7")], START)


def test_the_codec_goes_both_ways_and_refuses_with_a_reason(page) -> None:
    count = page["decode_count"](b"#7;12.5;OK")
    assert (count.number, count.litres, count.fault) == (7, 12.5, False)
    assert page["encode_count"](count) == b"#7;12.5;OK"
    with pytest.raises(PeerGarbled, match="no line of a counter"):
        page["decode_count"](b"#7;nan;OK")


def test_the_driver_passes_the_cases_of_the_page(page) -> None:
    line = counters(page)
    (event,) = line.take(b"#7;12.5;OK", START)
    assert isinstance(event, DeviceRead) and event.fresh == ("meter.litres",)
    assert [reading.value for reading in event.readings] == [pytest.approx(0.0125)] or event.readings[0].value == 12.5
    assert line.take(b"#7;12,5;OK", START) == () and line.refused == 1
    assert line.take(b"#8;1.0;OK", START) == ()
    later = START.later(61_000_000)
    assert [type(e) for e in line.look(later)] == [DeviceFailed] and line.look(later) == ()
    assert isinstance(line.take(b"#7;12.6;OK", later)[0], DeviceRead)


def test_every_file_that_the_page_names_exists() -> None:
    root = PAGE.parents[1]
    for name in ("device_drivers/registry.py", "tests/test_tidy.py", "tests/fuzz/targets.py",
                 "device_model/profile.py", "device_drivers/listeners.py", "device_drivers/register_driver.py"):
        assert (root / name).exists() and Path(name).name in PAGE.read_text("utf-8")
