"""Fire is on the board, and the sounder sounds, when the gateway's disk is full, read-only, or hangs (law 4)."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.house import House, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]
NOT_JOURNALED = "not_journaled"


class Disk:
    """A small disk that can be broken and mended. Where nothing may be mounted, limits and rights stand in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False,
        ).returncode == 0

    def remount(self, how: str) -> None:
        if self.mounted:
            subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)
        else:
            self.folder.chmod(0o500 if how == "ro" else 0o700)

    def fill(self, gateway: int) -> None:
        if not self.mounted:
            hard = resource.prlimit(gateway, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(gateway, resource.RLIMIT_FSIZE, (1, hard))
            return
        with (self.folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)

    def free(self, gateway: int) -> None:
        if not self.mounted:
            hard = resource.prlimit(gateway, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(gateway, resource.RLIMIT_FSIZE, (hard, hard))
            return
        (self.folder / "filler").unlink()

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
        else:
            self.folder.chmod(0o700)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.close()


@pytest.fixture
def quiet_house(house: House) -> Iterator[House]:
    """A house whose gateway is ended and whose sounder is off after each test."""
    yield house
    house.gateway.stop()
    house.devices.calm()


def start(house: House, journal: Path, **environment: str) -> None:
    house.write_site(journal)
    house.new_gateway(**environment).start()


def burn(house: House, flat: str) -> dict[str, object]:
    """Smoke in a flat, on the wire; returns the incident once it is on the board."""
    house.devices.set(f"smoke-{flat}", "smoke", True)
    until(house.sounding, house.said)
    (incident,) = until(lambda: house.incidents_of(flat), house.said)
    return incident


def told_from_memory(house: House, flat: str) -> None:
    (incident,) = house.incidents_of(flat)
    assert [alarm.get("journaled", True) for alarm in incident["alarms"]] == [False], house.said()
    until(lambda: house.lacks(NOT_JOURNALED), house.said)


def whole_again(house: House, *flats: str, lives: int = 1) -> None:
    """The impairment ends, nothing is doubled, no number of a stream is missing; each life of the gateway that could
    not read its journal has told the alarm once."""
    until(lambda: house.gateway_heard() and not house.lacks(NOT_JOURNALED), house.said)
    for flat in flats:
        (incident,) = house.incidents_of(flat)
        assert len(incident["alarms"]) == 1, incident
        assert [entry["what"] for entry in incident["log"]].count("raised") <= lives, incident["log"]
        said = [(entry["at_us"], entry["what"], entry.get("detail")) for entry in incident["log"]]
        assert len(said) == len(set(said)), said
    until(lambda: not [gap for gap in house.board()["gaps"] if not gap.get("closed_us")], house.said)


def test_a_full_disk(quiet_house: House, disk: Disk) -> None:
    house = quiet_house
    start(house, disk.folder / "journal.sqlite")
    house.gateway_heard()
    disk.fill(house.gateway.pid)
    burn(house, "101")
    told_from_memory(house, "101")
    disk.free(house.gateway.pid)
    whole_again(house, "101")
    assert "Traceback" not in house.gateway.said()


def test_a_disk_that_is_read_only_from_the_start(quiet_house: House, disk: Disk) -> None:
    house = quiet_house
    if not disk.mounted and os.geteuid() == 0:
        # The superuser writes where rights forbid it: a file in the folder's place refuses as well.
        disk.folder.rmdir()
        disk.folder.write_text("")
    else:
        disk.remount("ro")
    start(house, disk.folder / "journal.sqlite")
    house.gateway_heard()
    burn(house, "102")
    told_from_memory(house, "102")
    if disk.folder.is_file():
        disk.folder.unlink()
        disk.folder.mkdir()
    else:
        disk.remount("rw")
    whole_again(house, "102")
    # The journal works now: the next fire is stored before it is sent.
    incident = burn(house, "103")
    assert incident["alarms"][0].get("journaled", True)
    assert "Traceback" not in house.gateway.said()


def test_a_disk_whose_fsync_hangs(quiet_house: House, tmp_path: Path) -> None:
    house = quiet_house
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    shim, flag = tmp_path / "slow_fsync.so", tmp_path / "hang"
    source = Path(__file__).parent / "slow_fsync.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
    start(house, tmp_path / "journal.sqlite", LD_PRELOAD=str(shim), SLOW_FSYNC_WHILE=str(flag))
    house.gateway_heard()
    flag.touch()
    burn(house, "104")
    told_from_memory(house, "104")
    flag.unlink()
    whole_again(house, "104")
    # And from the very start: a journal that does not open in time leaves nobody unguarded.
    house.gateway.kill()
    house.devices.set("relay", "relay", False)
    flag.touch()
    house.gateway.start()
    burn(house, "105")
    told_from_memory(house, "105")
    flag.unlink()
    whole_again(house, "105")
    whole_again(house, "104", lives=2)
    assert "Traceback" not in house.gateway.said()
