"""Doctor: the state of a gateway in words, and what to do about each thing. Pure.

    running:  GatewayReport (over the local control socket) ─┐
    dead:     SickBed (site file, journal, keys, disk, unit, ─┴─► examine ─► Advice, worst first ─► text or JSON
              read from outside)

Every sentence stands in Chinese and English in `doctor_texts.py`.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from device_model.clock import DAY_US, HOUR_US
from device_model.impairment import ImpairmentKind
from device_model.site import Text
from edge_agent.doctor_texts import SENTENCES
from edge_agent.gateway_report import GatewayReport
from edge_agent.machine_look import MachineLook

DISK_TIGHT_PERCENT, DISK_FULL_PERCENT = 90.0, 98.0
MEMORY_TIGHT_PERCENT = 90.0
HOT_C, TOO_HOT_C = 75.0, 84.0  # a Raspberry Pi slows itself at 80 to 85 °C
CPU_BUSY_PERCENT = 90.0
WORN_PERCENT = 80.0
CERTIFICATE_SOON_DAYS = 30
BATTERY_LOW_PERCENT = 20.0
BACKLOG_LARGE = 10_000
CLOCK_DOUBT_US = 5_000_000
BEFORE_TOCSIN_US = 1_735_689_600_000_000  # 2025-01-01: a clock that shows less was never set
RESTARTS_MANY = 5


class Grade(IntEnum):
    """How bad."""

    WELL = 0
    NOTICE = 1
    WARNING = 2
    CRITICAL = 3  # the site is not, or not wholly, guarded


class Advice(msgspec.Struct, frozen=True):
    """One thing. key: stable, for machines; what: what is so; do: what to do about it."""

    key: str
    grade: str
    subject: str
    what: Text
    do: Text


class KeyFile(msgspec.Struct, frozen=True):
    """One file of the gateway's keys, seen from outside. fault: why it cannot be used, "" when it can."""

    path: str
    fault: str = ""


class SickBed(msgspec.Struct, frozen=True):
    """What can be seen of a gateway that does not answer.

    findings: of the site file. journal: "" sound, "absent", or what is wrong. unit: systemd's ActiveState and
    SubState ("" where there is no such unit), unit_result: its Result. answer: why the gateway could not be asked.
    """

    findings: tuple[str, ...]
    machine: MachineLook
    wall_us: int
    journal: str = ""
    journal_records: int | None = None
    backlog: int | None = None
    keys: tuple[KeyFile, ...] = ()
    cloud: bool = False
    unit: str = ""
    unit_result: str = ""
    restarts: int | None = None
    answer: str = ""


class Examination(msgspec.Struct, frozen=True):
    """The whole result, worst first."""

    running: bool
    grade: str
    advice: tuple[Advice, ...]

    def lines(self, language: str) -> list[str]:
        """For people, in "zh" or "en"."""
        head = SENTENCES["running" if self.running else "dead"][0].in_language(language)
        out = [head]
        for one in self.advice:
            out.append(f"{SENTENCES['grade.' + one.grade][0].in_language(language)}: "
                       f"{one.what.in_language(language)}")
            out.append(f"    → {one.do.in_language(language)}")
        return out if self.advice else [*out, SENTENCES["well"][0].in_language(language)]


class _Notes:
    def __init__(self) -> None:
        self.found: list[tuple[Grade, Advice]] = []

    def add(self, grade: Grade, key: str, subject: str = "", **values: object) -> None:
        what, do = SENTENCES[key]
        named = {"subject": subject, **values}
        self.found.append((grade, Advice(key, grade.name.lower(), subject,
                                         Text(what.en.format(**named), what.zh.format(**named)),
                                         Text(do.en.format(**named), do.zh.format(**named)))))

    def examination(self, running: bool) -> Examination:
        ranked = sorted(self.found, key=lambda one: -one[0])
        worst = ranked[0][0] if ranked else Grade.WELL
        return Examination(running, worst.name.lower(), tuple(advice for _, advice in ranked))


def examine_running(report: GatewayReport) -> Examination:
    """What a gateway that answers says of itself."""
    notes = _Notes()
    if not report.journal_ok:
        notes.add(Grade.CRITICAL, "not_journaled")
    for part in report.hung:
        notes.add(Grade.CRITICAL, "part_hangs", part)
    for line in report.lines:
        if not line.up:
            notes.add(Grade.CRITICAL, "line_down", line.line)
    lost = report.devices_expected - report.devices_alive
    if lost > 0:
        notes.add(Grade.CRITICAL, "devices_lost", count=lost, expected=report.devices_expected)
    _links(notes, report)
    for name, up in sorted(report.cameras.items()):
        if not up:
            notes.add(Grade.WARNING, "camera_down", name)
    for impairment in report.impairments:
        if impairment.kind in (ImpairmentKind.ISOLATED, ImpairmentKind.IN_TEST):
            notes.add(Grade.NOTICE, "disabled", impairment.subject, who=impairment.who, why=impairment.why)
        elif impairment.kind is ImpairmentKind.OUTPUT_UNPROVED:
            notes.add(Grade.CRITICAL, "output_unproved", impairment.subject)
    if report.backlog > BACKLOG_LARGE:
        notes.add(Grade.NOTICE, "backlog", count=report.backlog)
    for part, count in sorted(report.failures.items()):
        if count >= RESTARTS_MANY:
            notes.add(Grade.WARNING, "restarts", part, count=count)
    if report.counts.get("failed_steps", 0):
        notes.add(Grade.WARNING, "failed_steps", count=report.counts["failed_steps"])
    _clock(notes, report.at_us, report.wall_error_us)
    _machine(notes, report.machine, report.at_us, report.cpu_percent)
    return notes.examination(True)


def _links(notes: _Notes, report: GatewayReport) -> None:
    if not report.cloud:
        notes.add(Grade.NOTICE, "no_cloud")
    elif not any(link.up for link in report.links):
        notes.add(Grade.WARNING, "cloud_gone")
    else:
        for link in report.links:
            if not link.up:
                notes.add(Grade.WARNING, "link_down", link.name)


def _clock(notes: _Notes, wall_us: int, error_us: int) -> None:
    if wall_us < BEFORE_TOCSIN_US:
        notes.add(Grade.WARNING, "clock_unset")
    elif error_us > CLOCK_DOUBT_US:
        notes.add(Grade.NOTICE, "clock_doubt", seconds=round(error_us / 1e6))


def _machine(notes: _Notes, look: MachineLook, wall_us: int, cpu: float | None) -> None:
    if look.disk_read_only:
        notes.add(Grade.CRITICAL, "disk_read_only")
    if look.disk_bytes and look.disk_free_bytes is not None:
        used = 100 * (look.disk_bytes - look.disk_free_bytes) / look.disk_bytes
        if used >= DISK_TIGHT_PERCENT:
            notes.add(Grade.CRITICAL if used >= DISK_FULL_PERCENT else Grade.WARNING, "disk_full",
                      percent=round(used), free=round(look.disk_free_bytes / 2**20))
    if look.wear_percent is not None and look.wear_percent >= WORN_PERCENT:
        notes.add(Grade.WARNING, "worn", percent=round(look.wear_percent))
    if look.temperature_c is not None and look.temperature_c >= HOT_C:
        notes.add(Grade.CRITICAL if look.temperature_c >= TOO_HOT_C else Grade.WARNING, "hot",
                  celsius=round(look.temperature_c))
    if look.memory_total_kib and look.memory_available_kib is not None:
        share = 100 * (1 - look.memory_available_kib / look.memory_total_kib)
        if share >= MEMORY_TIGHT_PERCENT:
            notes.add(Grade.WARNING, "memory", percent=round(share))
    if cpu is not None and cpu >= CPU_BUSY_PERCENT:
        notes.add(Grade.NOTICE, "cpu", percent=round(cpu))
    if look.mains is False:
        notes.add(Grade.WARNING, "mains_lost")
    if look.battery_percent is not None and look.battery_percent < BATTERY_LOW_PERCENT:
        notes.add(Grade.WARNING, "battery_low", percent=round(look.battery_percent))
    if look.certificate_end_us is not None:
        left_us = look.certificate_end_us - wall_us
        if left_us <= 0:
            notes.add(Grade.CRITICAL, "certificate_over")
        elif left_us < CERTIFICATE_SOON_DAYS * DAY_US:
            notes.add(Grade.WARNING, "certificate_soon", days=left_us // DAY_US, hours=left_us // HOUR_US)


def examine_dead(bed: SickBed) -> Examination:
    """What can be found out about a gateway that does not answer."""
    notes = _Notes()
    for finding in bed.findings:
        notes.add(Grade.CRITICAL, "site_file", finding)
    _unit(notes, bed)
    if bed.journal == "absent":
        notes.add(Grade.NOTICE, "journal_absent")
    elif bed.journal:
        notes.add(Grade.CRITICAL, "journal_bad", bed.journal)
    for key in bed.keys:
        if key.fault:
            notes.add(Grade.WARNING, "key_fault", key.path, fault=key.fault)
    if not bed.cloud and not bed.findings:
        notes.add(Grade.NOTICE, "no_cloud")
    if bed.backlog:
        notes.add(Grade.NOTICE, "waits_unsent", count=bed.backlog)
    _clock(notes, bed.wall_us, 0)
    _machine(notes, bed.machine, bed.wall_us, None)
    return notes.examination(False)


def _unit(notes: _Notes, bed: SickBed) -> None:
    if bed.unit.startswith("active"):
        notes.add(Grade.CRITICAL, "silent_process", bed.answer)
    elif bed.unit.startswith("activating") or (bed.restarts or 0) >= RESTARTS_MANY:
        notes.add(Grade.CRITICAL, "crash_loop", bed.unit_result or bed.unit, count=bed.restarts or 0)
    elif bed.unit.startswith("failed"):
        notes.add(Grade.CRITICAL, "unit_failed", bed.unit_result)
    elif bed.unit.startswith("inactive"):
        notes.add(Grade.CRITICAL, "unit_stopped")
    else:
        notes.add(Grade.CRITICAL, "not_running", bed.answer)
