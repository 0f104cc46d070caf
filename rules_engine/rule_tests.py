"""Tests that stand beside rules: `fire.test.yaml` beside `fire.yaml`, after the manner of Prometheus' promtool.

    pack: fire.yaml
    tests:
      - name: a sofa burns
        step: 10 s
        points:
          heat-1.temperature: {quantity: temperature, device_class: heat}
        series:
          heat-1.temperature: 20x6 20+5x10
        expect:
          - {at: 1 min, alarms: []}
          - {at: 2 min, alarms: [fire.heat heat-1.temperature raised]}

The real engine runs on an inventory made of `points`. `alarms` lists all that is raised or held at that moment
(derived faults included). Series, one word a sample: `5` `true` `text:open` values, `20x6` six times, `20+5x10` ten
samples that grow by 5, `_` not read, `=` read and unchanged, `bad:silent` a bad reading; each may end in xN. The
series `permit:z1.working` tells a fact of the permits of a zone (permit_names.py).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from device_model.alarm import AlarmState
from device_model.clock import Now
from device_model.errors import ConfigError, Finding
from device_model.inventory import Inventory
from device_model.profile import Certainty, DeviceClass, DeviceProfile, ProfilePoint
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason, Value
from device_model.site import Device, GatewaySettings, Site, Tenancy, Text, Zone
from device_model.yaml_source import Source, convert, parse_yaml
from rules_engine.condition_check import Vocabulary, check_condition
from rules_engine.condition_parse import ConditionError, parse_condition
from rules_engine.condition_types import SECONDS, Constant
from rules_engine.engine import Engine
from rules_engine.permit_names import PERMIT_QUANTITY, SITE, is_permit_point, permit_point
from rules_engine.rule import RuleSet

# Long tests belong in `tocsin rules replay`; a day in 10 s steps fits.
SAMPLES_MAX = 20_000
# 2026-01-05, a Monday, 00:00 UTC: any fixed instant serves; local times of tests follow from it.
START_US = 1_767_571_200_000_000
_WORD = re.compile(r"(?P<what>.+?)(x(?P<times>[0-9]+))?")
_RAMP = re.compile(r"(?P<start>-?[0-9.]+)(?P<step>[+-][0-9.]+)")


class TestPoint(msgspec.Struct, frozen=True):
    """A point of the synthetic site: "<device>.<id>" is its key. Values are in the canonical unit."""

    __test__ = False

    quantity: str
    device_class: DeviceClass = DeviceClass.IO_MODULE
    zone: str = "z1"
    floor: str = "f1"
    zone_kind: str = "room"
    people_limit: int | None = None
    tags: tuple[str, ...] = ()
    stale_after_s: float = 60.0
    natural_noise: float = 0.0
    certainty: Certainty = Certainty.A


class Expectation(msgspec.Struct, frozen=True):
    """At that time exactly these stand: "rule subject state"."""

    at: str
    alarms: tuple[str, ...]


class RuleTest(msgspec.Struct, frozen=True):
    """One test of a file."""

    name: str
    points: dict[str, TestPoint]
    series: dict[str, str]
    expect: tuple[Expectation, ...]
    step: str = "10 s"
    decides: str = "edge"
    parameters: dict[str, dict[str, str]] = {}


class _FileText(msgspec.Struct, frozen=True):
    pack: str
    tests: tuple[RuleTest, ...]


def _permit_points(test: RuleTest) -> set[str]:
    zones = {point.zone for point in test.points.values()} | {SITE}
    return {permit_point(zone, fact) for zone in zones for fact in PERMIT_QUANTITY}


class RuleTestResult(msgspec.Struct, frozen=True):
    """What became of one test; `detail` says at which file:line what was wrong."""

    file: str
    line: int
    name: str
    ok: bool
    detail: str = ""


class RuleTestReport(msgspec.Struct, frozen=True):
    """All results of a run."""

    passed: int
    failed: int
    results: tuple[RuleTestResult, ...]

    def text(self) -> str:
        """For people: one line a test, failures with place and reason."""
        lines = []
        for result in self.results:
            lines.append(f"{'ok  ' if result.ok else 'FAIL'} {result.file}:{result.line}: {result.name}")
            lines.extend([f"     {result.detail}"] if result.detail else [])
        return "\n".join([*lines, f"{self.passed} passed, {self.failed} failed"])


class RuleTestFile:
    """A parsed test file: which pack it speaks of, its tests, and where each stands."""

    def __init__(self, source: Source, pack: str, tests: tuple[RuleTest, ...]) -> None:
        self.source, self.pack, self.tests = source, pack, tests


def parse_rule_tests(text: str, file: str) -> RuleTestFile:
    """A test file. Raises ConfigError with all findings, series and times included."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    parsed = convert(source, (), _FileText, findings)
    for index, test in enumerate(parsed.tests if parsed else ()):
        path = ("tests", index)
        for name, point in test.points.items():
            if point.quantity not in QUANTITIES or name.count(".") != 1:
                findings.append(source.finding((*path, "points", name), f"{name}: no such quantity or name",
                                               "write device.point: {quantity: …} with one of quantities.py"))
        for name, series in test.series.items():
            if name not in test.points and name not in _permit_points(test):
                findings.append(source.finding((*path, "series", name), f"{name} is not in `points`", "add it there"))
                continue
            try:
                read_series(series)
            except ValueError as error:
                findings.append(source.finding((*path, "series", name), str(error), "see rules_engine/README.md"))
        for number, expectation in enumerate(test.expect):
            for key, value in (("at", expectation.at), ("step", test.step)):
                try:
                    seconds_of(value)
                except ConditionError as error:
                    findings.append(source.finding((*path, "expect", number), f"{key}: {error.what}", error.remedy))
    if findings or parsed is None:
        raise ConfigError(findings)
    return RuleTestFile(source, parsed.pack, parsed.tests)


def seconds_of(text: str) -> float:
    """ "10 min" → 600.0. Raises ConditionError."""
    term = check_condition(parse_condition(text), Vocabulary(None), SECONDS)
    if not isinstance(term, Constant) or isinstance(term.value, str) or term.value < 0:
        raise ConditionError(0, "not a length of time", "write it as 10 s, 5 min, 2 h")
    return float(term.value)


Sample = Value | Reason | None  # None: not read; Reason.NONE: read and unchanged; another Reason: bad


def read_series(text: str) -> list[Sample]:
    """The samples of a series. Raises ValueError that names the word."""
    samples: list[Sample] = []
    for word in text.split():
        match = _WORD.fullmatch(word)
        times = int(match.group("times") or 1) if match else 1
        if match is None or len(samples) + times > SAMPLES_MAX:
            raise ValueError(f"{word!r}: more than {SAMPLES_MAX} samples")
        samples.extend(_samples(match.group("what"), times))
    return samples


def _samples(what: str, times: int) -> list[Sample]:
    plain: dict[str, Sample] = {"_": None, "=": Reason.NONE, "true": True, "false": False}
    if what in plain:
        return [plain[what]] * times
    kind, colon, rest = what.partition(":")
    if colon and kind == "bad" and rest in list(Reason):
        return [Reason(rest)] * times
    if colon and kind == "text":
        return [rest] * times
    if ramp := _RAMP.fullmatch(what):
        start, step = float(ramp.group("start")), float(ramp.group("step"))
        return [start + step * index for index in range(times)]
    try:
        return [float(what)] * times
    except ValueError:
        raise ValueError(f"{what!r} is no value: a number, true, false, text:…, bad:<reason>, _ or =") from None


def synthetic_inventory(points: dict[str, TestPoint]) -> Inventory:
    """A site that has exactly these points."""
    devices: dict[str, list[tuple[str, TestPoint]]] = {}
    for name, point in points.items():
        devices.setdefault(name.partition(".")[0], []).append((name.partition(".")[2], point))
    profiles = {device: _profile(device, specs) for device, specs in devices.items()}
    zones = {point.zone: Zone(point.zone, Text(point.zone, point.zone), "b1", point.floor, point.zone_kind,
                              point.people_limit)
             for point in points.values()}
    site = Site(
        Tenancy("city", "district", "street", "site"), Text("site", "场所"), GatewaySettings("gateway"), (),
        tuple(zones.values()), (),
        tuple(Device(device, device, "line", specs[0][1].zone, Text(device, device),
                     tags=tuple({tag: None for _, spec in specs for tag in spec.tags}))
              for device, specs in devices.items()))
    return Inventory(site, profiles)


def _profile(device: str, specs: list[tuple[str, TestPoint]]) -> DeviceProfile:
    return DeviceProfile(
        device, 1, "", "", device, device, specs[0][1].device_class, Certainty.A, "synthetic",
        tuple(ProfilePoint(name, spec.quantity, QUANTITIES[spec.quantity].canonical, name, name,
                           stale_after_s=spec.stale_after_s, natural_noise=spec.natural_noise,
                           certainty=spec.certainty) for name, spec in specs))


def run_test(test: RuleTest, rules: RuleSet) -> list[tuple[int, str]]:
    """What was not as expected: (index of the expectation, what). Raises ConfigError for wrong parameters."""
    engine = Engine(rules.with_parameters(test.parameters) if test.parameters else rules,
                    synthetic_inventory(test.points), decides=test.decides, lateness_us=10_000_000)
    step_us = round(seconds_of(test.step) * 1e6)
    series = {name: read_series(text) for name, text in test.series.items()}
    expected = sorted((round(seconds_of(e.at) * 1e6), index) for index, e in enumerate(test.expect))
    wrong: list[tuple[int, str]] = []
    length = max((len(samples) for samples in series.values()), default=0)
    number = 0
    for due, index in expected:
        while number < length and number * step_us <= due:
            _feed(engine, test, series, number, START_US + number * step_us)
            number += 1
        engine.step((), _now(START_US + due))
        found = {f"{step.key.rule} {step.key.subject} {step.state}" for step in engine.open_alarms()
                 if step.state in (AlarmState.RAISED, AlarmState.HELD)}
        wanted = set(test.expect[index].alarms)
        if found != wanted:
            parts = [f"missing {sorted(wanted - found)}" if wanted - found else "",
                     f"unexpected {sorted(found - wanted)}" if found - wanted else ""]
            wrong.append((index, f"at {test.expect[index].at}: " + "; ".join(part for part in parts if part)))
    return wrong


def _now(at: int) -> Now:
    return Now(at, at - START_US, "test")


def _feed(engine: Engine, test: RuleTest, series: dict[str, list[Sample]], number: int, at: int) -> None:
    readings: list[Reading] = []
    fresh: list[str] = []
    for name, samples in series.items():
        sample = samples[number] if number < len(samples) else None
        if sample is None:
            continue
        if sample is Reason.NONE:
            fresh.append(name)
            continue
        mono_us = at - START_US
        common: dict[str, Any] = {"source_time_us": at, "receive_time_us": at, "mono_us": mono_us, "boot": "test"}
        permit = PERMIT_QUANTITY.get(name.rpartition(".")[2]) if is_permit_point(name) else None
        unit = QUANTITIES[permit or test.points[name].quantity].canonical
        if isinstance(sample, Reason):
            readings.append(Reading(name, None, unit, Quality.BAD, sample, **common))
        else:
            readings.append(Reading(name, sample, unit, **common))
    engine.step(readings, _now(at), fresh)


def run_file(parsed: RuleTestFile, rules: RuleSet) -> list[RuleTestResult]:
    """All tests of a file against the rules that it names."""
    results = []
    for index, test in enumerate(parsed.tests):
        file, line = parsed.source.file, parsed.source.mark(("tests", index))[0]
        try:
            wrong = run_test(test, rules)
        except ConfigError as error:
            results.append(RuleTestResult(file, line, test.name, False, str(error)))
            continue
        details = [f"{file}:{parsed.source.mark(('tests', index, 'expect', number))[0]}: {what}"
                   for number, what in wrong]
        results.append(RuleTestResult(file, line, test.name, not wrong, "\n     ".join(details)))
    return results
