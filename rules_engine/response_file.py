"""The response file: clocks of graded handling, response plans by hazard and kind of place. YAML, checked. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.alarm import Hazard
from device_model.clock import MINUTE_US
from device_model.errors import ConfigError, Finding
from device_model.handling import ProofKind
from device_model.site import Text
from device_model.yaml_source import Path, Source, convert, parse_yaml
from rules_engine.routing_file import duration_us

TASKS_MAX = 20


class On(StrEnum):
    """When a plan gives a task."""

    OPENED = "opened"
    CONFIRMED = "confirmed"
    VERIFIED = "verified"
    QUEUED = "queued"
    DISPATCHED = "dispatched"
    RESOLVED = "resolved"


class PlanTask(msgspec.Struct, frozen=True):
    """A task that a plan gives. person: a name of the duty file or a rota."""

    on: On
    title: Text
    person: str
    within_us: int
    proof: ProofKind


class ResponsePlan(msgspec.Struct, frozen=True):
    """What is done at a hazard in a kind of place. zone_kinds: () for any."""

    id: str
    title: Text
    hazards: tuple[Hazard, ...]
    zone_kinds: tuple[str, ...]
    steps: tuple[Text, ...]
    tasks: tuple[PlanTask, ...]


class Response(msgspec.Struct, frozen=True):
    """A checked file. self_check_us, street_us: how long each grade has before the next is told."""

    self_check_us: int = 15 * MINUTE_US
    street_us: int = 60 * MINUTE_US
    plans: tuple[ResponsePlan, ...] = ()

    def plan_for(self, hazard: Hazard, zone_kind: str) -> ResponsePlan | None:
        """The first plan that fits; one that names the kind of place goes before one for any."""
        fitting = [plan for plan in self.plans if hazard in plan.hazards
                   and (not plan.zone_kinds or zone_kind in plan.zone_kinds)]
        return min(fitting, key=lambda plan: not plan.zone_kinds, default=None)


class _GradingText(msgspec.Struct, frozen=True):
    self_check: str = "15m"
    street: str = "60m"


class _TaskText(msgspec.Struct, frozen=True):
    on: On
    title: Text
    person: str
    within: str
    proof: ProofKind = ProofKind.NONE


class _PlanText(msgspec.Struct, frozen=True):
    id: str
    title: Text
    hazards: tuple[Hazard, ...]
    zone_kinds: tuple[str, ...] = ()
    steps: tuple[Text, ...] = ()
    tasks: tuple[_TaskText, ...] = ()


class _FileText(msgspec.Struct, frozen=True):
    grading: _GradingText = _GradingText()
    plans: tuple[_PlanText, ...] = ()


def parse_response(text: str, file: str) -> Response:
    """Raises ConfigError with every finding."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    written = convert(source, (), _FileText, findings)
    if written is None:
        raise ConfigError(findings)
    plans: list[ResponsePlan] = []
    for i, plan in enumerate(written.plans):
        if plan.id in {other.id for other in plans}:
            findings.append(source.finding(("plans", i, "id"), f"{plan.id!r} stands twice", "rename or remove one"))
        if len(plan.tasks) > TASKS_MAX:
            findings.append(source.finding(("plans", i, "tasks"), f"more than {TASKS_MAX} tasks", "name fewer"))
        within = [_duration(source, ("plans", i, "tasks", j, "within"), task.within, findings)
                  for j, task in enumerate(plan.tasks)]
        tasks = tuple(PlanTask(task.on, task.title, task.person, within_us, task.proof)
                      for task, within_us in zip(plan.tasks, within, strict=True))
        plans.append(ResponsePlan(plan.id, plan.title, plan.hazards, plan.zone_kinds, plan.steps, tasks))
    response = Response(_duration(source, ("grading", "self_check"), written.grading.self_check, findings),
                        _duration(source, ("grading", "street"), written.grading.street, findings), tuple(plans))
    if findings:
        raise ConfigError(findings)
    return response


def _duration(source: Source, path: Path, text: str, findings: list[Finding]) -> int:
    try:
        value = duration_us(text)
    except ValueError as error:
        findings.append(source.finding(path, str(error), "write 15m or 1h"))
        return 0
    if not value:
        findings.append(source.finding(path, "must be longer than nothing", "write 1m or more"))
    return value
