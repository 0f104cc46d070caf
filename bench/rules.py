"""`tocsin bench rules`: what 10,000 rules cost at 10,000 readings a second, on one core, and how that grows.

    readings due each tick (10 ms) ──► Engine.step ──► decided
    p99_ms: from the moment a reading was due to the moment all rules about it were judged, queueing included
    curve: the same engine with 1,000 to 100,000 points under ten rules each kind of which every point carries

Each rule is about a point of its own; kinds in turn: threshold with hysteresis and `for`, rise in a window, mean,
coincidence of two in the device. Values wander, so that windows move and some rules switch; the same seed gives the
same values.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator
from random import Random

from bench.report import Report, figure, report
from demo.percentile import percentile
from device_model.clock import SECOND_US, Now
from device_model.inventory import Inventory
from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    ModbusTraits,
    ProfilePoint,
    RegisterSource,
    Table,
)
from device_model.reading import Quality, Reading
from device_model.site import Building, Device, Floor, GatewaySettings, Site, Tenancy, Text, Zone
from rules_engine import Engine, RuleSet
from rules_engine.rule import parse_pack

POINTS_PER_DEVICE = 10
RULES_PER_FILE = 1000
TICK_S = 0.01
START_US = 1_790_000_000 * SECOND_US
CURVE = (1_000, 10_000, 100_000)
CONDITIONS = (
    ("value >= 60 °C", "clear: value < 55 °C", "for: 5 s"),
    ("rise(value, 60 s) >= 15 °C", "", ""),
    ("mean(value, 5 min) >= 50 °C", "", "for: 10 s"),
    ("value >= 50 °C && device.count(temperature > 45 °C) >= 2", "", ""),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many, how fast, how long."""
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=10_000, help="readings per second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-curve", action="store_true", help="leave out the scaling curve")


def run(options: argparse.Namespace) -> Report:
    """Measure in this thread alone."""
    engine, names = _engine(options.rules, one_rule_each=True)
    late_ms, cpu_cores, alarms = _paced(engine, names, options)
    figures = {
        "p99_ms": figure(percentile(late_ms, 0.99), "ms", at_most=50),
        "cpu_cores": figure(cpu_cores, "", at_most=1),
        "transitions": figure(alarms, ""),
    }
    if not options.no_curve:
        for points in CURVE:
            us = _per_reading_us(points, options.seed)
            figures[f"us_per_reading_{points}_points"] = figure(us, "µs")
    return report("rules", figures, {"rules": options.rules, "rate": options.rate, "seconds": options.seconds})


def _paced(engine: Engine, names: list[str], options: argparse.Namespace) -> tuple[list[float], float, int]:
    """(lateness of each reading in ms, cores used, transitions) at the real pace."""
    values = _wander(names, options.seed)
    per_tick = max(1, round(options.rate * TICK_S))
    engine.step((), Now(START_US, 0, "bench"))
    gc.collect()
    late_ms: list[float] = []
    transitions = 0
    begun, cpu = time.perf_counter(), time.process_time()
    for tick in range(1, round(options.seconds / TICK_S) + 1):
        due = begun + tick * TICK_S
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        now = Now(START_US + round(tick * TICK_S * 1e6), round(tick * TICK_S * 1e6), "bench")
        transitions += len(engine.step([next(values)(now) for _ in range(per_tick)], now))
        late_ms += [(time.perf_counter() - due) * 1e3] * per_tick
    return late_ms, (time.process_time() - cpu) / (time.perf_counter() - begun), transitions


def _per_reading_us(points: int, seed: int) -> float:
    """CPU per reading with ten rules on all points, as fast as it goes."""
    engine, names = _engine(points, one_rule_each=False)
    values = _wander(names, seed)
    engine.step((), Now(START_US, 0, "bench"))
    turns, batch = 2, 500
    steps = turns * points // batch
    cpu = time.process_time()
    for turn in range(1, steps + 1):
        now = Now(START_US + turn * SECOND_US // 20, turn * SECOND_US // 20, "bench")
        engine.step([next(values)(now) for _ in range(batch)], now)
    return (time.process_time() - cpu) / (steps * batch) * 1e6


class _Wandering:
    """One point's next reading."""

    def __init__(self, name: str, random: Random) -> None:
        self._name, self._random, self._value, self._sequence = name, random, 20.0 + 20 * random.random(), 0

    def __call__(self, now: Now) -> Reading:
        self._value = min(80.0, max(10.0, self._value + self._random.gauss(0, 2.0)))
        self._sequence += 1
        return Reading(self._name, self._value, "°C", Quality.GOOD, source_time_us=now.wall_us,
                       receive_time_us=now.wall_us, mono_us=now.mono_us, boot=now.boot)


def _wander(names: list[str], seed: int) -> Iterator[_Wandering]:
    random = Random(seed)  # noqa: S311 - a load, no secret
    points = [_Wandering(name, random) for name in names]
    while True:
        yield from points


def _engine(points: int, *, one_rule_each: bool) -> tuple[Engine, list[str]]:
    inventory = _inventory(points)
    names = list(inventory.points)[:points]
    binds = [f"{{quantities: [temperature], points: [{name.partition('.')[2]}], tags: [{name.partition('.')[0]}]}}"
             for name in names] if one_rule_each else (
        ["{quantities: [temperature]}"] * 10)
    packs = []
    for first in range(0, len(binds), RULES_PER_FILE):
        pack = f"bench{first}"
        head = f"pack: {pack}\nversion: 1\ntitle: {{en: bench, zh: 基准}}\nrules:\n"
        packs.append(parse_pack(head + "".join(
            _rule(f"{pack}.r{number}", number, bind)
            for number, bind in enumerate(binds[first:first + RULES_PER_FILE])), f"{pack}.yaml"))
    return Engine(RuleSet(packs), inventory, decides="edge", lateness_us=60 * SECOND_US), names


def _rule(name: str, number: int, bind: str) -> str:
    when, clear, lasting = CONDITIONS[number % len(CONDITIONS)]
    lines = [f"- id: {name}", "  version: 1", "  title: {en: bench, zh: 基准}", "  hazard: environment",
             "  severity: notice", f"  bind: {bind}", f"  when: {when}", f"  {clear}" if clear else "",
             f"  {lasting}" if lasting else "", "  source: made for bench", "  certainty: B",
             "  response: {en: none, zh: 无}"]
    return "\n".join(line for line in lines if line) + "\n"


def _inventory(points: int) -> Inventory:
    spec = tuple(ProfilePoint(f"t{n}", "temperature", "°C", "temperature", "温度", RegisterSource(Table.HOLDING, n))
                 for n in range(POINTS_PER_DEVICE))
    profile = DeviceProfile("bench", 1, "Tocsin", "bench", "bench", "基准", DeviceClass.CLIMATE, Certainty.B,
                            "made for bench", spec, modbus=ModbusTraits())
    word = Text("bench", "基准")
    zone = Zone("z", word, "b", "f")
    devices = tuple(Device(f"d{n}", "bench", "bus", "z", word, unit=1, tags=(f"d{n}",))
                    for n in range(-(-points // POINTS_PER_DEVICE)))
    site = Site(Tenancy("a", "b", "c", "d"), word, GatewaySettings("gw"),
                (Building("b", word, (Floor("f", word),)),), (zone,), (), devices)
    return Inventory(site, {"bench": profile})
