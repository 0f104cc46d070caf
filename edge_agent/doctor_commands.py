"""`tocsin doctor` (I/O): asks the running gateway; where none answers, looks at what is left. Writes nothing."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path

import msgspec

from device_model.errors import ConfigError, LocalFault
from device_model.ranges import RangeSet
from device_model.site import Site
from device_model.system_clock import SystemClock
from edge_agent.compose import read_configuration
from edge_agent.doctor import Examination, KeyFile, SickBed, examine_dead, examine_running
from edge_agent.local_control import Request, ask, socket_paths
from edge_agent.machine import look_at_machine

UNIT = "tocsin-gateway.service"
SYSTEMCTL_WITHIN_S = 5.0
FINDINGS_MAX = 20
DATABASE_WITHIN_S = 2.0


def examine(config: Path) -> Examination:
    """The state of the gateway of this site file, running or dead. Raises nothing for what is wrong with it: that is
    the answer."""
    try:
        inventory, _, _ = read_configuration(config)
    except ConfigError as error:
        findings = tuple(str(finding) for finding in error.findings[:FINDINGS_MAX])
        return examine_dead(_sick_bed(None, findings, ""))
    except LocalFault as fault:
        return examine_dead(_sick_bed(None, (str(fault),), ""))
    site = inventory.site
    try:
        answer = ask(socket_paths(site.gateway.journal_path), Request("report"))
    except LocalFault as fault:
        return examine_dead(_sick_bed(site, (), str(fault)))
    if answer.report is None:
        return examine_dead(_sick_bed(site, (), answer.detail or "the gateway is still starting"))
    return examine_running(answer.report)


def report(config: Path, *, as_json: bool, language: str) -> tuple[str, int]:
    """What to print and the exit code: 0 well or notices only, 1 else."""
    found = examine(config)
    text = msgspec.json.encode(found).decode() if as_json else "\n".join(found.lines(language))
    return text, 0 if found.grade in ("well", "notice") else 1


def _sick_bed(site: Site | None, findings: tuple[str, ...], answer: str) -> SickBed:
    now_us = SystemClock().now().wall_us
    unit, result, restarts = _unit()
    if site is None:
        return SickBed(findings, look_at_machine(Path()), now_us, journal="", unit=unit, unit_result=result,
                       restarts=restarts, answer=answer)
    journal = Path(site.gateway.journal_path)
    cloud = site.gateway.cloud
    fault, records, backlog = _journal(journal)
    keys = () if cloud is None else tuple(
        KeyFile(path, _key_fault(path)) for path in (cloud.ca_file, cloud.certificate_file, cloud.key_file))
    return SickBed(findings, look_at_machine(journal.parent, cloud.certificate_file if cloud else ""), now_us,
                   fault, records, backlog, keys, cloud is not None, unit, result, restarts, answer)


def _key_fault(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return "" if file.read(1) else "it is empty"
    except OSError as error:
        return error.strerror or str(error)


def _journal(path: Path) -> tuple[str, int | None, int | None]:
    """(fault, records, of these not acknowledged), read only: a journal that is in use is not disturbed."""
    if not path.exists():
        return "absent", None, None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True,
                                                timeout=DATABASE_WITHIN_S)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                return str(verdict), None, None
            (records,) = database.execute("SELECT count(*) FROM record").fetchone()
            waiting = records
            for lane, acknowledged in database.execute("SELECT lane, acknowledged FROM lane").fetchall():
                for first, last in _ranges(acknowledged):
                    (known,) = database.execute(
                        "SELECT count(*) FROM record WHERE lane=? AND sequence BETWEEN ? AND ?",
                        (lane, first, last)).fetchone()
                    waiting -= known
            return "", records, waiting
    except sqlite3.Error as error:
        return str(error), None, None


def _ranges(text: object) -> tuple[tuple[int, int], ...]:
    parts = (part.partition("-") for part in str(text).split(",") if part)
    return tuple(RangeSet((int(first), int(last)) for first, _, last in parts if first.isdigit() and last.isdigit()))


def _unit() -> tuple[str, str, int | None]:
    """(state, result, restarts) of the service, as systemd says; empty where there is none."""
    tool = shutil.which("systemctl")
    if tool is None:
        return "", "", None
    try:
        shown = subprocess.run(
            [tool, "show", UNIT, "--property=LoadState,ActiveState,SubState,Result,NRestarts"],
            capture_output=True, text=True, timeout=SYSTEMCTL_WITHIN_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "", "", None
    fields = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if fields.get("LoadState", "not-found") in ("not-found", ""):
        return "", "", None
    restarts = fields.get("NRestarts", "")
    return (f"{fields.get('ActiveState', '')} ({fields.get('SubState', '')})", fields.get("Result", ""),
            int(restarts) if restarts.isdigit() else None)
