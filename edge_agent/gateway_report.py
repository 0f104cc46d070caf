"""GatewayReport: what the running gateway says of its own health; for doctor, metrics and its own readings. Pure.

    core, supervisor, field lines, link ─► report() ─┬─► GatewayReport ─► `tocsin doctor`, /metrics
                                                     └─► inside(): points of the profile `tocsin-gateway`
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from device_model.clock import SECOND_US, Now
from device_model.impairment import Impairment, ImpairmentKind
from device_model.reading import Value
from edge_agent.machine_look import MachineLook


class LineReport(msgspec.Struct, frozen=True):
    """One field line. errors: failed polls, bad replies and outages since the start."""

    line: str
    up: bool
    errors: int


class LinkReport(msgspec.Struct, frozen=True):
    """One way to the cloud's broker. used: records go over it now."""

    name: str
    up: bool
    used: bool


class GatewayReport(msgspec.Struct, frozen=True):
    """Times in µs. wall_error_us: as `Now`'s. failures: part → how often it was started again. cameras: name → has a
    picture. resident_kib and descriptors are the process's own."""

    gateway: str
    version: str
    at_us: int
    boot: str
    wall_error_us: int
    started_us: int
    machine: MachineLook
    cpu_percent: float | None
    cloud: bool
    links: tuple[LinkReport, ...]
    lines: tuple[LineReport, ...]
    cameras: dict[str, bool]
    backlog: int
    journal_ok: bool
    devices_expected: int
    devices_alive: int
    open_alarms: int
    impairments: tuple[Impairment, ...]
    failures: dict[str, int]
    hung: tuple[str, ...]
    counts: dict[str, int]
    clock_source: str = ""


def inside(
    now: Now, *, links: tuple[LinkReport, ...], impairments: tuple[Impairment, ...], errors: Mapping[str, int],
    cameras: Mapping[str, bool], backlog: int, failures: Mapping[str, int],
) -> dict[str, Value | None]:
    """Point path → value of what the machine itself does not know."""
    return {
        "uplink": any(link.up for link in links) if links else None,
        "spare_link": all(link.up for link in links) if len(links) > 1 else None,
        "lines_down": sum(i.kind is ImpairmentKind.LINE_DOWN for i in impairments),
        "line_errors": sum(errors.values()),
        "cameras_down": sum(not up for up in cameras.values()) if cameras else None,
        "queue": backlog,
        "restarts": sum(failures.values()),
        "clock_error": round(now.wall_error_us / SECOND_US, 3) if now.wall_error_us >= 0 else None,
    }
