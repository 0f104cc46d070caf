"""Commands (I/O): what `tocsin permit …` calls: acts on permits for hot work at the running gateway.

    tocsin permit create HW-1 … ──► Request(action="permit") ──► the gateway judges ──► "HW-1 draft", or why not
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from device_model.errors import LocalFault
from device_model.library import read_site
from device_model.permit import (
    GAS_LEL,
    GasSample,
    Permit,
    PermitAct,
    PermitLevel,
    PermitPlan,
    PermitStep,
)
from device_model.site import Site
from edge_agent.local_control import Answer, Request, ask, socket_paths
from edge_agent.permit_site import percent_of

SECOND_US = 1_000_000
# Acts that need nothing but the permit's number and a name.
PLAIN_ACTS = tuple(act.value for act in PermitAct if act not in (PermitAct.CREATE, PermitAct.SAMPLE))


def create_permit(
    config: Path, permit: str, *, who: str, zone: str, level: str, starts: str, hours: float, workers: Sequence[str],
    watcher: str, gases: Sequence[str] = (), work: str = "", outdoors: bool = False, measures: Sequence[str] = (),
    confirm_all: bool = False,
) -> str:
    """Apply for a permit; returns what became of it. starts: local time of the site, "" now. confirm_all: all
    measures of the site's policy are confirmed. Raises LocalFault, with the gateway's reason where it refuses."""
    site = read_site(config)
    if level not in set(PermitLevel):
        raise LocalFault(f"{level!r} is no level; one of: {', '.join(PermitLevel)}")
    starts_us = _moment(site, starts)
    plan = PermitPlan(
        zone, PermitLevel(level), starts_us, starts_us + round(hours * 3600 * SECOND_US), tuple(workers), watcher,
        work=work, gases=_gases(gases), outdoors=outdoors,
        measures=site.permits.measures if confirm_all else tuple(measures))
    return _told(site, PermitStep(permit, PermitAct.CREATE, plan), who, "")


def sample_permit(
    config: Path, permit: str, *, who: str, percent: float, gas: str = "", minutes_ago: float = 0.0, where: str = "",
    unit: str = "vol",
) -> str:
    """Enter a gas analysis. unit: vol (% by volume) or lel (%LEL of that gas). Raises LocalFault."""
    site = read_site(config)
    taken_us = time.time_ns() // 1000 - round(minutes_ago * 60 * SECOND_US)
    _gases([gas] if gas else [])
    try:
        sample = GasSample(taken_us, percent_of(percent, unit, gas), who, gas, where)
    except ValueError as error:
        raise LocalFault(str(error)) from error
    return _told(site, PermitStep(permit, PermitAct.SAMPLE, sample=sample), who, "")


def act_on_permit(config: Path, permit: str, act: str, *, who: str, why: str = "") -> str:
    """approve, countersign, watcher_on, watcher_off, start, suspend, resume, finish, close, cancel."""
    if act not in PLAIN_ACTS:
        raise LocalFault(f"{act!r} is no act; one of: {', '.join(PLAIN_ACTS)}; create and sample are commands")
    return _told(read_site(config), PermitStep(permit, PermitAct(act)), who, why)


def list_permits(config: Path) -> tuple[Permit, ...]:
    """All permits that the gateway knows. Raises LocalFault where no gateway answers."""
    state = _ask(read_site(config), Request("state")).state
    return state.permits if state is not None else ()


def permit_lines(config: Path, permits: Sequence[Permit]) -> str:
    """For people: one line a permit, in the site's local time."""
    zone = ZoneInfo(read_site(config).time_zone)

    def clock(at_us: int) -> str:
        return datetime.fromtimestamp(at_us // SECOND_US, UTC).astimezone(zone).strftime("%m-%d %H:%M")

    lines = [
        f"{p.id}  {p.state.value}  {p.plan.level.value}  {p.plan.zone}  {clock(p.plan.starts_us)} to "
        f"{clock(p.plan.ends_us)}  watcher {p.plan.watcher} {'on the spot' if p.watched else 'away'}"
        + (f"  gas {p.samples[-1].percent_vol:g} % at {clock(p.samples[-1].at_us)}" if p.samples else "  not sampled")
        for p in permits]
    return "\n".join(lines) or "no permits"


def permits_json(permits: Sequence[Permit]) -> str:
    """For machines."""
    return msgspec.json.encode(tuple(permits)).decode()


def permit_request(step: PermitStep, who: str, why: str, request: str = "") -> Request:
    """What the gateway is asked, by the command as by the local page. request: its id, a repeat counts once."""
    return Request("permit", step.permit, who, why, id=request or os.urandom(8).hex(), permit=step)


def _told(site: Site, step: PermitStep, who: str, why: str) -> str:
    answer = _ask(site, permit_request(step, who, why))
    if not answer.ok:
        raise LocalFault(f"{step.act.value} {step.permit}: {answer.detail}")
    return answer.detail


def _ask(site: Site, request: Request) -> Answer:
    return ask(socket_paths(site.gateway.journal_path), request)


def _gases(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in GAS_LEL:
            raise LocalFault(f"{name!r} is no gas that is known here; one of: {', '.join(GAS_LEL)}")
    return tuple(names)


def _moment(site: Site, text: str) -> int:
    if not text:
        return time.time_ns() // 1000
    try:
        return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(site.time_zone)).timestamp()) * SECOND_US
    except ValueError as error:
        raise LocalFault(f"{text!r} is no date and time; write 2026-03-03T09:00, in the site's own time") from error
