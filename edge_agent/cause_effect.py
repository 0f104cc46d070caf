"""Cause and effect: which rule, in which zones, moves which output; as engineers hang it beside the panel. Pure.

    rules × inventory ─ bound as the engine binds them ─► causes (rows)    ┐
    outputs of the site file ──────────────────────────► effects (columns) ┴► cell: the zones in which the row's rule
                                                                              moves the column's output

The cells follow the same two functions that drive outputs (`outputs.acts_on`), so that the sheet cannot say what the
gateway would not do. Rules that decide in the cloud move no output and have no row.
"""

from __future__ import annotations

import msgspec

from device_model.alarm import Hazard, Severity
from device_model.clock import SECOND_US
from device_model.errors import Finding
from device_model.inventory import Inventory
from device_model.site import Output, OutputPurpose, OutputState, Text
from edge_agent.outputs import AUDIBLE, acts_on
from rules_engine import Rule, RuleSet, Runs
from rules_engine.binding import bind_rules
from rules_engine.evaluate import House

NO_ZONE = ""  # a rule on the whole site moves every output of its hazard


class Cause(msgspec.Struct, frozen=True):
    """One rule that decides here. zones: where it watches something; "" stands for the site as a whole.

    for_s: how long its condition must hold. latched: it stays until a person resets it on site.
    """

    rule: str
    version: int
    title: Text
    hazard: Hazard
    severity: Severity
    for_s: float
    latched: bool
    zones: tuple[str, ...]
    subjects: int


class EffectOfOutput(msgspec.Struct, frozen=True):
    """One output as the site file states it. latching: a trip, reset on site by a named person only.

    proof: the independent input that must agree within proof_within_s; "" means that nobody knows whether it acted.
    """

    output: str
    purpose: OutputPurpose
    drives: str
    zones: tuple[str, ...]
    latching: bool
    proof: str
    proof_within_s: float
    on_power_loss: OutputState
    on_agent_death: OutputState
    on_restart: OutputState
    restart_hold_off_s: float
    rated_for: str


class Crossing(msgspec.Struct, frozen=True):
    """The rule moves the output when it is raised in one of these zones ("" stands for the site as a whole)."""

    rule: str
    output: str
    zones: tuple[str, ...]


class CauseEffect(msgspec.Struct, frozen=True):
    """The whole sheet. idle: outputs that no rule moves, for the engineer to see."""

    site: str
    name: Text
    gateway: str
    causes: tuple[Cause, ...]
    effects: tuple[EffectOfOutput, ...]
    crossings: tuple[Crossing, ...]
    idle: tuple[str, ...]

    def crossing(self, rule: str, output: str) -> Crossing | None:
        """The cell of a row and a column; None where the rule does not move the output."""
        return next((c for c in self.crossings if (c.rule, c.output) == (rule, output)), None)


def cause_effect(inventory: Inventory, rules: RuleSet) -> CauseEffect:
    """The sheet of one site. Only rules that watch something here have a row; only their zones count."""
    site = inventory.site
    bound = bind_rules(rules, inventory, House(site.tenancy.path, "edge"), 0)
    zones: dict[str, dict[str, None]] = {}
    subjects: dict[str, int] = {}
    for watch in bound.watches:
        zones.setdefault(watch.rule.id, {})[watch.zone] = None
        subjects[watch.rule.id] = subjects.get(watch.rule.id, 0) + 1
    causes = tuple(
        Cause(rule.id, rule.version, rule.title, rule.hazard, rule.severity, rule.for_us / SECOND_US, rule.latched,
              tuple(zones[rule.id]), subjects[rule.id])
        for rule in rules.deciding if rule.id in zones)
    crossings = tuple(
        Crossing(cause.rule, output.id, here) for cause in causes for output in site.outputs
        if (here := tuple(zone for zone in cause.zones if acts_on(output, cause.rule, cause.hazard, zone))))
    moved = {crossing.output for crossing in crossings}
    return CauseEffect(
        site.tenancy.path, site.name, site.gateway.id, causes, tuple(_effect(output) for output in site.outputs),
        crossings, tuple(output.id for output in site.outputs if output.id not in moved))


def _effect(output: Output) -> EffectOfOutput:
    return EffectOfOutput(
        output.id, output.purpose, f"{output.device}.{output.point}", output.zones, output.purpose not in AUDIBLE,
        output.proof, output.proof_within_s, output.on_power_loss, output.on_agent_death, output.on_restart,
        output.restart_hold_off_s, output.rated_for)


def output_findings(inventory: Inventory, rules: RuleSet) -> list[Finding]:
    """What is wrong between the outputs and the rules that they name; the site check knows no rules."""
    known = {rule.id: rule for rule in rules.deciding}
    file = inventory.site.file or "site.yaml"
    return [Finding(file, 0, 0, f"output {output.id!r} is bound to {name!r}, {what}", remedy)
            for output in inventory.site.outputs for name in output.rules
            for what, remedy in _wrong(output, known.get(name))]


def _wrong(output: Output, rule: Rule | None) -> list[tuple[str, str]]:
    if rule is None:
        return [("a rule that this site does not run", "add its pack under `rules:`, or correct the name")]
    wrong = []
    if rule.hazard not in output.hazards:
        wrong.append((f"whose hazard {rule.hazard} it does not list",
                      f"add {rule.hazard} to its `hazards:`, if the purpose allows it"))
    if rule.runs is Runs.CLOUD:
        wrong.append(("which decides in the cloud only", "an output acts on rules of `runs: edge` (law 4)"))
    return wrong
