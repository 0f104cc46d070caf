"""The gateway as a device: the kernel's texts, by hand and by fuzz; readings; what it cannot say is no lack."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.driver import DeviceRead, LineDevice
from device_model.clock import DAY_US, Now
from device_model.errors import LocalFault
from device_model.library import shipped_profiles
from device_model.reading import Reason
from device_model.site import Device, Text
from edge_agent.gateway_device import GatewayDevice
from edge_agent.machine import look_at_machine
from edge_agent.machine_look import (
    MachineLook,
    certificate_end_us,
    cpu_jiffies,
    machine_values,
    memory_kib,
    sectors_written,
    wear_of_life_time,
)
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

TRANSCRIPT = Path(__file__).parent.parent / "golden" / "transcripts" / "tocsin-gateway.txt"
PROFILE = shipped_profiles()["tocsin-gateway"]
START_US = 1_780_000_000_000_000


def make_root(folder: Path) -> dict[str, str]:
    """The transcript's files below a folder; returns what it says they mean."""
    meant = {}
    for line in TRANSCRIPT.read_text(encoding="utf-8").splitlines():
        if line.startswith("file "):
            _, name, text = line.split(" ", 2)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text.replace("\\n", "\n") + "\n")
        elif line.startswith("= "):
            _, point, value, *_ = line.split()
            meant[point] = value
    return meant


def test_the_transcript_means_what_it_says(tmp_path):
    meant = make_root(tmp_path)
    look = look_at_machine(tmp_path, root=tmp_path)
    values = machine_values(look, None, START_US)
    paths = {point.id: point.payload.path for point in PROFILE.points}
    assert meant
    for point, text in meant.items():
        value = values[paths[point]]
        assert value == (text == "true") if text in ("true", "false") else value == float(text), point
    assert look.interfaces == {"eth0": True, "wwan0": False} and look.uptime_s == 7200.55
    assert look.disk_bytes and look.disk_free_bytes is not None and look.disk_read_only is False


def test_an_empty_machine_says_nothing_and_nothing_breaks(tmp_path):
    look = look_at_machine(tmp_path / "not" / "made", certificate=str(tmp_path / "none.pem"), root=tmp_path)
    values = machine_values(look, None, START_US)
    assert {name for name, value in values.items() if value is not None} == {"disk"}


def test_this_machine(tmp_path):
    look = look_at_machine(tmp_path)
    assert look.cpu_total and look.memory_total_kib and look.resident_kib and look.descriptors


def test_load_is_that_between_two_looks():
    first, second = MachineLook(cpu_busy=1000, cpu_total=10_000), MachineLook(cpu_busy=1050, cpu_total=10_100)
    assert machine_values(first, None, 0)["cpu"] == 10.0 and machine_values(second, first, 0)["cpu"] == 50.0
    assert machine_values(first, first, 0)["cpu"] is None


@pytest.mark.parametrize(("text", "percent"), [
    ("0x01 0x02\n", 20.0), ("0x0b 0x01", 110.0), ("0x00 0x00", None), ("0x0f 0x01", 10.0), ("", None),
])
def test_wear(text, percent):
    assert wear_of_life_time(text) == percent


def certificate(days: float, *, der: bool = False) -> tuple[bytes, int]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.b.c.d.gw-1")])
    end = datetime.datetime(2026, 5, 28, tzinfo=datetime.UTC) + datetime.timedelta(days=days)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(2**150 + 7).not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
            .not_valid_after(end).sign(key, hashes.SHA256()))
    encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
    return made.public_bytes(encoding), round(end.timestamp()) * 1_000_000


@pytest.mark.parametrize("der", [False, True])
@pytest.mark.parametrize("days", [-1, 30, 365 * 40])
def test_the_end_of_a_certificate_as_a_library_says_it(days, der):
    octets, end_us = certificate(days, der=der)
    assert certificate_end_us(octets) == end_us
    left = machine_values(MachineLook(certificate_end_us=end_us), None, end_us - 3 * DAY_US)["certificate"]
    assert left == 3.0


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: b"\x30\x82\x01\x00" + tail))
def test_what_is_no_certificate_is_none(octets):
    end = certificate_end_us(octets)
    assert end is None or isinstance(end, int)


@given(st.text(max_size=200))
def test_texts_of_a_strange_kernel_never_break_a_look(text):
    for read in (cpu_jiffies, memory_kib, wear_of_life_time, sectors_written):
        read(text)
        read("cpu " + text)


def test_readings_and_what_the_machine_cannot_say():
    loop, told = VirtualLoop(), []
    clock = VirtualClock(loop, "boot-1", wall_us=START_US)
    looks = [MachineLook(cpu_busy=n, cpu_total=10 * n, temperature_c=50.0) for n in (1, 2)]

    async def look():
        return looks.pop(0) if len(looks) > 1 else looks[0]

    def inside(now: Now):
        return {"uplink": True, "queue": 3}

    async def main():
        of_site = Device("gw", "tocsin-gateway", "self", "z", Text("", ""))
        device = GatewayDevice("self", [LineDevice(of_site, PROFILE)], clock, told.append, look=look, inside=inside)
        with pytest.raises(LocalFault):
            await device.write("gw", "mains", False)
        task = asyncio.ensure_future(device.run())
        await clock.sleep(11)
        task.cancel()

    run_virtual(main(), loop)
    first, second = [event for event in told if isinstance(event, DeviceRead)]
    by_name = {reading.point: reading for reading in first.readings}
    assert len(by_name) == len(PROFILE.points)
    assert by_name["gw.uplink"].value is True and by_name["gw.temperature"].value == 50.0
    assert by_name["gw.mains"].value is None and by_name["gw.mains"].reason is Reason.NOT_YET_READ
    assert set(first.fresh) == {"gw.cpu", "gw.temperature", "gw.uplink", "gw.queue"}
    assert {reading.point for reading in second.readings} <= {"gw.cpu"} and set(second.fresh) == set(first.fresh)
