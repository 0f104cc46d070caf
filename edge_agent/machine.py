"""Machine (I/O): one look at the computer that the gateway runs on. The only file that reads /proc and /sys.

Each read may fail by itself: then that value is None. What may hang is the disk; callers look in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_agent.machine_look import (
    SECTOR_BYTES,
    MachineLook,
    certificate_end_us,
    cpu_jiffies,
    memory_kib,
    sectors_written,
    wear_of_life_time,
)

T = TypeVar("T")
READ_MAX = 64 * 1024


def look_at_machine(folder: Path, certificate: str = "", root: Path = Path("/")) -> MachineLook:
    """folder: where the journal stands, whose disk is meant. certificate: path of the gateway's own, "" for none.
    root: another one in tests."""
    cpu = _of(root / "proc/stat", cpu_jiffies) or (None, None)
    memory = _of(root / "proc/meminfo", memory_kib) or (None, None)
    disk_bytes, free_bytes, read_only = _disk(folder)
    block = _block_device(folder, root)
    sectors = _of(block / "stat", sectors_written) if block else None
    return MachineLook(
        cpu_busy=cpu[0], cpu_total=cpu[1], memory_total_kib=memory[0], memory_available_kib=memory[1],
        temperature_c=_hottest(root), disk_bytes=disk_bytes, disk_free_bytes=free_bytes, disk_read_only=read_only,
        wear_percent=_of(block / "device/life_time", wear_of_life_time) if block else None,
        written_bytes=None if sectors is None else sectors * SECTOR_BYTES,
        mains=_supply(root, "online", ("Mains", "USB")), battery_percent=_battery(root),
        interfaces=_interfaces(root), certificate_end_us=_certificate(certificate),
        resident_kib=_of(root / "proc/self/statm", _resident_kib), descriptors=_descriptors(root),
        uptime_s=_of(root / "proc/uptime", lambda text: float(text.split()[0])),
    )


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(READ_MAX).decode("ascii", "replace")
    except OSError:
        return None


def _of(path: Path, read: Callable[[str], T | None]) -> T | None:
    text = _text(path)
    try:
        return None if text is None else read(text)
    except (ValueError, IndexError):
        return None


def _whole(path: Path) -> int | None:
    return _of(path, int)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _hottest(root: Path) -> float | None:
    """Of all thermal zones, millidegrees; what is not physically possible is a driver's error mark."""
    found = [value / 1000 for zone in _entries(root / "sys/class/thermal")
             if zone.name.startswith("thermal_zone") and (value := _whole(zone / "temp")) is not None
             and -60_000 < value < 150_000]
    return max(found, default=None)


def _disk(folder: Path) -> tuple[int | None, int | None, bool | None]:
    for place in (folder, *folder.absolute().parents):
        try:
            of_disk = os.statvfs(place)
        except FileNotFoundError:
            continue  # not made yet: its parent's disk is the one
        except OSError:
            break
        return (of_disk.f_blocks * of_disk.f_frsize, of_disk.f_bavail * of_disk.f_frsize,
                bool(of_disk.f_flag & os.ST_RDONLY))
    return None, None, None


def _block_device(folder: Path, root: Path) -> Path | None:
    """/sys/block/<disk> of the folder's file system; a partition stands within its disk's folder."""
    try:
        number = os.stat(folder if folder.exists() else folder.absolute().parent).st_dev  # noqa: PTH116
        found = (root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve(strict=True)
    except OSError:
        return None
    return found.parent if (found / "partition").exists() else found


def _supply(root: Path, key: str, kinds: tuple[str, ...]) -> bool | None:
    """Whether any supply of these kinds delivers; None where the machine has none that says so."""
    found = [value > 0 for supply in _entries(root / "sys/class/power_supply")
             if (_text(supply / "type") or "").strip() in kinds and (value := _whole(supply / key)) is not None]
    return any(found) if found else None


def _battery(root: Path) -> float | None:
    found = [float(value) for supply in _entries(root / "sys/class/power_supply")
             if (_text(supply / "type") or "").strip() in ("Battery", "UPS")
             and (value := _whole(supply / "capacity")) is not None]
    return min(found, default=None)


def _interfaces(root: Path) -> dict[str, bool]:
    """Name → whether it has carrier; a modem that cannot say ("unknown") counts when it is up."""
    return {entry.name: (_text(entry / "operstate") or "").strip() in ("up", "unknown")
            for entry in _entries(root / "sys/class/net") if entry.name != "lo"}


def _certificate(path: str) -> int | None:
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            return certificate_end_us(file.read(READ_MAX))
    except OSError:
        return None


def _resident_kib(statm: str) -> int:
    return int(statm.split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)


def _descriptors(root: Path) -> int | None:
    return len(_entries(root / "proc/self/fd")) or None
