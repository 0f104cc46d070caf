"""`tocsin rules routes|duty|response …`: routing, duty and response files (I/O: reads them)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from device_model.errors import ConfigError, Finding
from rules_engine.duty_file import DutyFile, parse_duty
from rules_engine.duty_rota import DutyBook, Shift
from rules_engine.response_file import Response, parse_response
from rules_engine.routing import Router
from rules_engine.routing_file import RouteTest, RoutingPlan, parse_routing


class RouteTestResult(msgspec.Struct, frozen=True):
    """What became of one test. got: receivers that it reached; muted: those held back then."""

    file: str
    number: int
    labels: dict[str, str]
    ok: bool
    got: tuple[str, ...]
    muted: tuple[str, ...]
    detail: str = ""


class RouteTestReport(msgspec.Struct, frozen=True):
    """All of them."""

    passed: int
    failed: int
    results: tuple[RouteTestResult, ...]

    def text(self) -> str:
        """For people."""
        lines = [f"{r.file}: test {r.number}: {r.detail}" for r in self.results if not r.ok]
        return "\n".join([*lines, f"{self.passed} passed, {self.failed} failed"])


def read_routing(path: Path) -> RoutingPlan:
    """A routing file. Raises ConfigError, also where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Finding(str(path), 0, 0, f"cannot be read: {error}", "check its name")]) from error
    return parse_routing(text, str(path))


def check_routes(paths: Sequence[Path]) -> list[Finding]:
    """Every finding of the files."""
    findings: list[Finding] = []
    for path in paths:
        try:
            read_routing(path)
        except ConfigError as error:
            findings.extend(error.findings)
    return findings


def run_route_tests(paths: Sequence[Path]) -> RouteTestReport:
    """Run the tests of the files. Raises ConfigError for a file that is not one."""
    results = []
    for path in paths:
        plan = read_routing(path)
        if not plan.tests:
            raise ConfigError([Finding(str(path), 0, 0, "it holds no tests", "add `tests:`, see examples/routing")])
        results += [_run(str(path), i + 1, plan, test) for i, test in enumerate(plan.tests)]
    failed = sum(not result.ok for result in results)
    return RouteTestReport(len(results) - failed, failed, tuple(results))


def _run(file: str, number: int, plan: RoutingPlan, test: RouteTest) -> RouteTestResult:
    try:
        when = datetime.fromisoformat(test.at) if test.at else datetime(2026, 1, 1, 12, tzinfo=UTC)
    except ValueError:
        return RouteTestResult(file, number, test.labels, False, (), (),
                               f"{test.at!r} is not a time; write 2026-11-20T23:00+08:00")
    reached = Router(plan, "test").reached(test.labels, int(when.timestamp()) * 1_000_000)
    got = tuple(dict.fromkeys(receiver for receiver, _ in reached))
    muted = tuple(sorted({receiver for receiver, held in reached if held}
                         - {receiver for receiver, held in reached if not held}))
    wrong = []
    if sorted(got) != sorted(set(test.receivers)):
        wrong.append(f"reaches {', '.join(got)}, not {', '.join(test.receivers)}")
    if muted != tuple(sorted(set(test.muted))):
        wrong.append(f"held back then: {', '.join(muted) or 'none'}, not {', '.join(test.muted) or 'none'}")
    return RouteTestResult(file, number, test.labels, not wrong, got, muted, "; ".join(wrong))


class DutyShown(msgspec.Struct, frozen=True):
    """Who is on duty at a moment, and the shifts of the days that follow."""

    rota: str
    at_us: int
    shift: str
    people: tuple[str, ...]
    names: tuple[str, ...]
    timezone: str
    calendar: tuple[Shift, ...]

    def text(self) -> str:
        """For people."""
        lines = [f"{self.rota}, {self._local(self.at_us)}: {self.shift or 'no shift'}: {', '.join(self.names)}"]
        lines += [f"  {self._local(s.starts_us)} to {self._local(s.ends_us)}  {s.name:<10} {', '.join(s.people)}"
                  + (" (standing in)" if s.standing_in else "") for s in self.calendar]
        return "\n".join(lines)

    def _local(self, at_us: int) -> str:
        return datetime.fromtimestamp(at_us // 1_000_000, ZoneInfo(self.timezone)).strftime("%a %Y-%m-%d %H:%M")


def read_duty(path: Path) -> DutyFile:
    """A duty file. Raises ConfigError, also where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Finding(str(path), 0, 0, f"cannot be read: {error}", "check its name")]) from error
    return parse_duty(text, str(path))


def check_duty(paths: Sequence[Path]) -> list[Finding]:
    """Every finding of the files."""
    findings: list[Finding] = []
    for path in paths:
        try:
            read_duty(path)
        except ConfigError as error:
            findings.extend(error.findings)
    return findings


def read_response(path: Path) -> Response:
    """A response file. Raises ConfigError, also where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Finding(str(path), 0, 0, f"cannot be read: {error}", "check its name")]) from error
    return parse_response(text, str(path))


def check_response(paths: Sequence[Path]) -> list[Finding]:
    """Every finding of the files."""
    findings: list[Finding] = []
    for path in paths:
        try:
            read_response(path)
        except ConfigError as error:
            findings.extend(error.findings)
    return findings


def show_duty(path: Path, rota: str, at: str, days: int) -> DutyShown:
    """Who is on duty then. Raises ConfigError for a rota or time that is none."""
    plan = read_duty(path).plan
    rota = rota or next(iter(plan.rotas), "")
    if rota not in plan.rotas:
        raise ConfigError([Finding(str(path), 0, 0, f"there is no rota {rota!r}", f"known: {', '.join(plan.rotas)}")])
    try:
        at_us = int(datetime.fromisoformat(at).timestamp()) * 1_000_000
    except ValueError as error:
        raise ConfigError([Finding("--at", 0, 0, str(error), "write 2026-11-23T21:00+08:00")]) from error
    book = DutyBook(plan)
    duty = book.on_duty(rota, at_us)
    names = tuple(plan.people[person].name for person in duty.people)
    return DutyShown(rota, at_us, duty.shift.name, duty.people, names, plan.timezone,
                     book.calendar(rota, at_us, max(1, min(days, 366))))
