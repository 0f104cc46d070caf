"""What the tests of the engine share: a synthetic site, rules from short text, readings at seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_model.alarm import AlarmTransition
from device_model.clock import Now
from device_model.inventory import Inventory
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason, Value
from rules_engine import Engine, RuleSet, parse_pack
from rules_engine.rule_tests import TestPoint, synthetic_inventory

T0 = 1_767_571_200_000_000

RULE = """
  - id: {id}
    version: 1
    title: {{en: A title, zh: 标题}}
    hazard: {hazard}
    severity: alarm
    source: "a standard, clause 1"
    certainty: A
    response: {{en: Do something., zh: 处理。}}
    bind: {bind}
    when: {when}
"""


def rule(when: str, *, bind: str = "{quantities: [temperature]}", id: str = "t.rule",  # noqa: A002 — the key of the file
         hazard: str = "water", **more: str) -> str:
    """One rule of a pack as text; `for_` is `for`."""
    extra = "".join(f"    {key.rstrip('_')}: {value}\n" for key, value in more.items())
    return RULE.format(id=id, hazard=hazard, bind=bind, when="'" + when.replace("'", "''") + "'") + extra


def rule_set(*rules: str) -> RuleSet:
    return RuleSet([parse_pack("pack: t\nversion: 1\ntitle: {en: T, zh: 测}\nrules:" + "".join(rules), "t.yaml")])


def inventory(points: Mapping[str, TestPoint | str]) -> Inventory:
    return synthetic_inventory({name: TestPoint(quantity=point) if isinstance(point, str) else point
                                for name, point in points.items()})


def now(seconds: float, boot: str = "b", wall_offset_s: float = 0.0) -> Now:
    mono = round(seconds * 1e6)
    return Now(T0 + mono + round(wall_offset_s * 1e6), mono, boot)


class House:
    """An engine with its site; times are seconds since T0."""

    def __init__(self, points: Mapping[str, TestPoint | str], *rules: str, decides: str = "edge",
                 lateness_s: float = 10.0) -> None:
        self.inventory = inventory(points)
        self.rules = rule_set(*rules)
        self.decides, self.lateness_us = decides, round(lateness_s * 1e6)
        self.engine = self.fresh_engine()

    def fresh_engine(self) -> Engine:
        return Engine(self.rules, self.inventory, decides=self.decides, lateness_us=self.lateness_us)

    def restart(self) -> None:
        """Checkpoint, a new engine, resume."""
        kept = self.engine.checkpoint()
        self.engine = self.fresh_engine()
        self.engine.resume(kept)
        assert self.engine.checkpoint() == kept

    def reading(self, point: str, value: Value | Reason | None, at: float, **more: Any) -> Reading:
        us = T0 + round(at * 1e6)
        unit = QUANTITIES[self.inventory.points[point].quantity].canonical
        common = {"source_time_us": us, "receive_time_us": us, "mono_us": us - T0, "boot": "b", **more}
        if isinstance(value, Reason):
            return Reading(point, None, unit, Quality.BAD, value, **common)
        return Reading(point, value, unit, **common)

    def say(self, at: float, fresh: tuple[str, ...] = (), **values: Value | Reason) -> list[str]:
        """Step with readings (`a__t=5.0` is point a.t) at `at`; the transitions as "rule subject state @seconds"."""
        readings = [self.reading(name.replace("__", "."), value, at) for name, value in values.items()]
        return told(self.engine.step(readings, now(at), fresh))


def told(steps: tuple[AlarmTransition, ...]) -> list[str]:
    return [f"{step.key.rule} {step.key.subject} {step.state}{' test' if step.test else ''}"
            f"{' late' if step.late else ''} @{(step.at_us - T0) / 1e6:g}" for step in steps]
