"""MachineLook: what one look at the gateway's machine saw, and the values that two looks make. Pure.

    /proc, /sys, statvfs, certificate ──machine.py~──► MachineLook ─┐
                                          the look before ──────────┴─► values: {"cpu": 12.5, "wear": None, …}

None is "this machine cannot say", never zero. Sources: proc(5); Documentation/ABI/testing/sysfs-class-thermal,
-power and sysfs-bus-mmc of Linux; JESD84-B51 for the wear of eMMC; RFC 5280 4.1.2.5 for the end of a certificate.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

import msgspec

from device_model.clock import DAY_US
from device_model.reading import Value

SECTOR_BYTES = 512  # of /sys/block/*/stat, whatever the disk's own
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.S)


class MachineLook(msgspec.Struct, frozen=True):
    """One look. cpu_*: jiffies since boot. temperature_c: the hottest zone. wear_percent: of the flash memory, as it
    says itself. written_bytes: to the journal's disk since boot. interfaces: name → carrier. uptime_s: since boot."""

    cpu_busy: int | None = None
    cpu_total: int | None = None
    memory_total_kib: int | None = None
    memory_available_kib: int | None = None
    temperature_c: float | None = None
    disk_bytes: int | None = None
    disk_free_bytes: int | None = None
    disk_read_only: bool | None = None
    wear_percent: float | None = None
    written_bytes: int | None = None
    mains: bool | None = None
    battery_percent: float | None = None
    interfaces: dict[str, bool] = {}
    certificate_end_us: int | None = None
    resident_kib: int | None = None
    descriptors: int | None = None
    uptime_s: float | None = None


def machine_values(look: MachineLook, before: MachineLook | None, wall_us: int) -> dict[str, Value | None]:
    """Point path of the profile `tocsin-gateway` → value; None where this machine cannot say."""
    values: dict[str, Value | None] = {
        "cpu": _cpu(look, before), "temperature": look.temperature_c, "wear": look.wear_percent,
        "memory": _share(look.memory_total_kib, look.memory_available_kib),
        "disk": _share(look.disk_bytes, look.disk_free_bytes),
        "mains": look.mains, "battery": look.battery_percent, "written_mib": None, "certificate": None,
    }
    if look.written_bytes is not None:
        values["written_mib"] = round(look.written_bytes / 2**20, 1)
    if look.certificate_end_us is not None:
        values["certificate"] = round((look.certificate_end_us - wall_us) / DAY_US, 2)
    return values


def _cpu(look: MachineLook, before: MachineLook | None) -> float | None:
    if look.cpu_total is None or look.cpu_busy is None:
        return None
    busy, total = look.cpu_busy, look.cpu_total
    if before is not None and before.cpu_total is not None and before.cpu_busy is not None:
        busy, total = busy - before.cpu_busy, total - before.cpu_total
    return round(min(100.0, max(0.0, 100 * busy / total)), 1) if total > 0 else None


def _share(whole: int | None, free: int | None) -> float | None:
    return None if not whole or free is None else round(min(100.0, max(0.0, 100 * (whole - free) / whole)), 1)


# -- the texts of the kernel -------------------------------------------------------------------------------------


def cpu_jiffies(stat: str) -> tuple[int, int] | None:
    """(busy, all) of the first line of /proc/stat: user nice system idle iowait irq softirq steal."""
    fields = stat.partition("\n")[0].split()
    if len(fields) < 5 or fields[0] != "cpu" or not all(field.isascii() and field.isdigit() for field in fields[1:9]):
        return None
    numbers = [int(field) for field in fields[1:9]]
    idle = numbers[3] + (numbers[4] if len(numbers) > 4 else 0)
    return sum(numbers) - idle, sum(numbers)


def memory_kib(meminfo: str) -> tuple[int, int] | None:
    """(total, available) of /proc/meminfo."""
    found = {name: int(number) for name, number in re.findall(r"^(MemTotal|MemAvailable):\s+(\d{1,15}) kB", meminfo,
                                                            re.M | re.A)}
    return (found["MemTotal"], found["MemAvailable"]) if len(found) == 2 else None


def wear_of_life_time(text: str) -> float | None:
    """Percent of the life used, from `life_time` of an eMMC: two numbers "0x03 0x01" in steps of 10 %, the worse one
    counts; 0x0B is past its life, 0x00 says nothing."""
    steps = [int(word, 16) for word in re.findall(r"\b0x[0-9a-fA-F]{2}\b", text)]
    known = [step for step in steps if 0 < step <= 0x0B]
    return None if not known else 10.0 * max(known)


def sectors_written(stat: str) -> int | None:
    """The seventh number of /sys/block/*/stat."""
    fields = stat.split()
    return int(fields[6]) if len(fields) > 6 and fields[6].isascii() and fields[6].isdigit() else None


# -- certificates ------------------------------------------------------------------------------------------------


def certificate_end_us(octets: bytes) -> int | None:
    """When a certificate (PEM or DER) ends, µs since 1970 UTC; None where it is none. Walks to `notAfter` and no
    further: the gateway needs no library of 10 MiB to know the day."""
    pem = _PEM.search(octets)
    try:
        der = base64.b64decode(pem[1]) if pem else octets
        certificate, _ = _element(der, 0)
        fields, _ = _element(certificate, 0)
        at = 0
        if fields[:1] == b"\xa0":  # [0] version
            _, at = _element(fields, at)
        for _ in range(3):  # serial number, signature, issuer
            _, at = _element(fields, at)
        validity, _ = _element(fields, at)
        _, at = _element(validity, 0)
        kind = validity[at]
        end, _ = _element(validity, at)
        return _time_us(kind, end.decode("ascii"))
    except (ValueError, IndexError):
        return None


def _element(octets: bytes, at: int) -> tuple[bytes, int]:
    """Content of the DER element at that place, and where the next one begins. ValueError: it runs over the end."""
    length, at = octets[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4:
            raise ValueError("length of an element")
        length, at = int.from_bytes(octets[at:at + size], "big"), at + size
    if at + length > len(octets):
        raise ValueError("element past the end")
    return octets[at:at + length], at + length


def _time_us(kind: int, text: str) -> int:
    """UTCTime (0x17: two digits of the year, 50 to 99 are 19xx) or GeneralizedTime (0x18)."""
    if kind == 0x17:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    moment = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000
