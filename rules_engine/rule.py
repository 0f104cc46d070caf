"""Rule, pack, rule set: a rule file's text to checked rules. A new rule is YAML and its test file, no code.

    text ──parse_yaml──► RuleText ──conditions checked──► Rule ──► RulePack ──► RuleSet (+ the site's numbers)

All errors of a file are reported at once, each with line, column and remedy; those inside a condition point at the
word that is wrong.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from device_model.alarm import ALWAYS_LATCHED, LIFE_SAFETY, Hazard, Severity
from device_model.errors import ConfigError, Finding
from device_model.profile import Certainty, DeviceClass
from device_model.quantities import QUANTITIES
from device_model.site import Text
from device_model.yaml_source import Path, Source, convert, parse_yaml
from rules_engine.condition_check import Vocabulary, check_condition
from rules_engine.condition_parse import ConditionError, parse_condition
from rules_engine.condition_types import (
    BOOL,
    SECONDS,
    Constant,
    Literal,
    Name,
    Term,
    Type,
    meanings,
    type_of_quantity,
)
from rules_engine.permit_names import PERMIT_NAMES
from rules_engine.text_place import place_in

_ID = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# A pack of more rules than this is several packs; a whole site runs some hundreds.
RULES_MAX = 10_000
# What a derived fault is called: the rule it speaks of, and what is wrong with it.
DERIVED: dict[str, tuple[str, str]] = {
    "unknown": ("{} cannot be judged: readings missing", "无法判断“{}”：缺少读数"),
    "broken": ("the rule {} failed", "规则“{}”运行出错"),
    "refused": ("{} does not watch this point: its profile is unchecked (certainty C)",
                "“{}”未监视此点：设备档案未经核实（C 级）"),
}


class Runs(StrEnum):
    """Where a rule decides. `both` yields one alarm id at both ends."""

    EDGE = "edge"
    CLOUD = "cloud"
    BOTH = "both"


class Per(StrEnum):
    """What one alarm of the rule is about."""

    POINT = "point"
    DEVICE = "device"
    ZONE = "zone"
    SITE = "site"


class Bind(msgspec.Struct, frozen=True):
    """Which subjects the rule watches: all lists that are given must match. `points`: ids within the profile."""

    per: Per = Per.POINT
    quantities: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    device_classes: tuple[DeviceClass, ...] = ()
    zone_kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()


class Parameter(msgspec.Struct, frozen=True):
    """A number (or true/false) that a site may set; `least` and `most` bound what it may choose."""

    default: str
    en: str
    zh: str
    least: str = ""
    most: str = ""


class _RuleFields(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: int
    title: Text
    hazard: Hazard
    severity: Severity
    bind: Bind
    when: str
    source: str
    certainty: Certainty
    response: Text
    runs: Runs = Runs.EDGE
    keep: str = "0 s"
    clear: str = ""
    latch: bool = False
    unknown_after: str = ""
    parameters: dict[str, Parameter] = {}


# `for` is Python's own word, so the field is added by name.
RuleText: Any = msgspec.defstruct("RuleText", [("for", str, "0 s")], bases=(_RuleFields,), frozen=True, kw_only=True,
                                  namespace={"__doc__": "A rule as written in the file; keys are the fields."},
                                  module=__name__)


class _PackText(msgspec.Struct, frozen=True):
    pack: str
    version: int
    title: Text
    rules: list[Any]


class Rule(msgspec.Struct, frozen=True):
    """A checked rule. Times are µs. `derived_from` names the rule that a derived fault speaks of.

    fingerprint: equal where text and parameters are equal, so that a reload keeps the state of unchanged rules.
    unknown_after_us: 0 where the rule does not say.
    """

    id: str
    version: int
    title: Text
    hazard: Hazard
    severity: Severity
    runs: Runs
    bind: Bind
    condition: Term
    clear: Term | None
    for_us: int
    keep_us: int
    latched: bool
    unknown_after_us: int
    source: str
    certainty: Certainty
    response: Text
    parameters: dict[str, Parameter]
    fingerprint: str
    written: Any = None
    derived_from: str = ""


class RulePack(msgspec.Struct, frozen=True):
    """One rule file."""

    id: str
    version: int
    title: Text
    rules: tuple[Rule, ...]
    file: str


class RuleSet:
    """The rules that a site runs. `rules` holds every id that a transition can carry, derived faults included;
    `deciding` those that are evaluated."""

    def __init__(self, packs: Iterable[RulePack]) -> None:
        """Raises ConfigError where two packs define the same rule."""
        self.packs = tuple(packs)
        found: dict[str, Rule] = {}
        findings = []
        for pack in self.packs:
            for rule in pack.rules:
                if rule.id in found:
                    findings.append(Finding(pack.file, 0, 0, f"the rule {rule.id!r} is defined twice",
                                            "rename one, or choose one of the two packs"))
                found[rule.id] = rule
        if findings:
            raise ConfigError(findings)
        self.deciding: tuple[Rule, ...] = tuple(found.values())
        self.rules: dict[str, Rule] = dict(found)
        for rule in self.deciding:
            for suffix, (en, zh) in DERIVED.items():
                self.rules[f"{rule.id}.{suffix}"] = _derived(rule, suffix, en, zh)

    def with_parameters(self, overrides: Mapping[str, Mapping[str, str]], file: str = "site.yaml") -> RuleSet:
        """The same rules with a site's own numbers (rule id → name → text). Raises ConfigError with all findings."""
        findings: list[Finding] = []
        known = {rule.id for rule in self.deciding}
        for rule_id in sorted(set(overrides) - known):
            findings.append(Finding(file, 0, 0, f"rules.parameters names the rule {rule_id!r}, which is in no chosen "
                                    "pack", f"known: {', '.join(sorted(known)[:8])} …"))
        packs = []
        for pack in self.packs:
            rules = []
            for rule in pack.rules:
                chosen = overrides.get(rule.id, {})
                try:
                    rules.append(build_rule(rule.written, chosen) if chosen else rule)
                except ConditionError as error:
                    findings.append(Finding(file, 0, 0, f"rules.parameters.{rule.id}: {error.what}", error.remedy))
            packs.append(msgspec.structs.replace(pack, rules=tuple(rules)))
        if findings:
            raise ConfigError(findings)
        return RuleSet(packs)


def _derived(rule: Rule, suffix: str, en: str, zh: str) -> Rule:
    title = Text(en.format(rule.title.en), zh.format(rule.title.zh))
    return msgspec.structs.replace(rule, id=f"{rule.id}.{suffix}", title=title, hazard=Hazard.FAULT, latched=False,
                                   severity=Severity.WARNING, derived_from=rule.id, for_us=0, keep_us=0)


def parse_pack(text: str, file: str) -> RulePack:
    """A rule file. Raises ConfigError with every finding."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    head = convert(source, (), _PackText, findings)
    rules: list[Rule] = []
    raw = source.get(("rules",))
    if isinstance(raw, list) and len(raw) > RULES_MAX:
        findings.append(source.finding(("rules",), f"more than {RULES_MAX} rules", "split the pack"))
        raw = []
    seen: set[str] = set()
    for index in range(len(raw) if isinstance(raw, list) else 0):
        path: Path = ("rules", index)
        written = convert(source, path, RuleText, findings)
        if written is None:
            continue
        if written.id in seen:
            findings.append(source.finding((*path, "id"), f"the rule {written.id!r} stands twice", "rename one"))
        seen.add(written.id)
        rule = _checked(source, text, path, written, findings)
        if rule is not None:
            rules.append(rule)
    if findings or head is None:
        raise ConfigError(findings)
    return RulePack(head.pack, head.version, head.title, tuple(rules), file)


def _checked(source: Source, text: str, path: Path, written: Any, findings: list[Finding]) -> Rule | None:
    before = len(findings)

    def wrong(key: str, what: str, remedy: str) -> None:
        findings.append(source.finding((*path, key), what, remedy))

    if not _ID.fullmatch(written.id):
        wrong("id", f"{written.id!r} is not a rule id", "write it as pack.name, small letters, digits and _")
    elif written.id.rpartition(".")[2] in DERIVED:
        wrong("id", f"{written.id!r} ends in a word that the engine uses itself", f"avoid {', '.join(DERIVED)}")
    for key in ("title", "response"):
        words = getattr(written, key)
        if not words.en.strip() or not words.zh.strip():
            wrong(key, f"{key} is empty in one language", "people read it in both")
    if len(written.source.strip()) < 8:
        wrong("source", "no source for the threshold", "name the standard and clause, or thresholds.md and section")
    if written.hazard in LIFE_SAFETY and written.certainty is Certainty.C:
        wrong("certainty", "a life-safety rule of certainty C", "confirm its source first: A or B")
    for name in written.bind.quantities:
        if name not in QUANTITIES:
            wrong("bind", f"{name!r} is not a quantity", "see device_model/quantities.py")
    if (written.bind.per is Per.POINT) != bool(written.bind.quantities):
        wrong("bind", "bind needs `quantities` exactly when it is per point", "add or remove `quantities`")
    if written.runs is not Runs.EDGE and "permit." in written.when + written.clear:
        wrong("runs", "permits are known at the gateway only", "write `runs: edge`")
    for name in written.parameters:
        if not _NAME.fullmatch(name):
            wrong("parameters", f"{name!r} is not a parameter name", "small letters, digits and _")
    if len(findings) > before:
        return None
    try:
        return build_rule(written, {})
    except _InKey as error:
        line, column = place_in(text, source.mark((*path, *error.keys)), error.value, error.cause.offset)
        findings.append(Finding(source.file, line, column, error.cause.what, error.cause.remedy))
    return None


class _InKey(ConditionError):
    """A ConditionError in one key of a rule."""

    def __init__(self, keys: Path, value: str, cause: ConditionError) -> None:
        super().__init__(cause.offset, f"{'.'.join(map(str, keys))}: {cause.what}", cause.remedy)
        self.keys, self.value, self.cause = keys, value, cause


def build_rule(written: Any, overrides: Mapping[str, str]) -> Rule:
    """A rule with its parameters put in. Raises ConditionError where text, units or bounds do not fit."""
    parameters = _parameters(written, overrides)
    vocabulary = Vocabulary(_bound_type(written), parameters, PERMIT_NAMES)

    def condition(key: str) -> Term:
        value = getattr(written, key)
        try:
            return check_condition(parse_condition(value), vocabulary, BOOL)
        except ConditionError as error:
            raise _InKey((key,), value, error) from error

    def length(key: str) -> int:
        value = getattr(written, key)
        try:
            term = check_condition(parse_condition(value), vocabulary, SECONDS)
            if not isinstance(term, Constant) or isinstance(term.value, str) or term.value < 0:
                raise ConditionError(0, "not a fixed length of time", "write it as 10 s, 5 min, 2 h or param.name")
            return round(term.value * 1e6)
        except ConditionError as error:
            raise _InKey((key,), value, error) from error

    print_of = hashlib.sha256(msgspec.json.encode([written, sorted(overrides.items())])).hexdigest()[:16]
    return Rule(
        id=written.id, version=written.version, title=written.title, hazard=written.hazard,
        severity=written.severity, runs=written.runs, bind=written.bind, condition=condition("when"),
        clear=condition("clear") if written.clear else None, for_us=length("for"), keep_us=length("keep"),
        latched=written.latch or written.hazard in ALWAYS_LATCHED,
        unknown_after_us=length("unknown_after") if written.unknown_after else 0,
        source=written.source, certainty=written.certainty, response=written.response,
        parameters=written.parameters, fingerprint=print_of, written=written)


def _bound_type(written: Any) -> Type | None:
    kinds = {type_of_quantity(name) for name in written.bind.quantities}
    if len(kinds) > 1:
        raise _InKey(("bind",), "", ConditionError(0, "the quantities of bind do not share one unit",
                                                   "write one rule per unit"))
    return next(iter(kinds), None)


def _parameters(written: Any, overrides: Mapping[str, str]) -> dict[str, Literal]:
    for name in overrides:
        if name not in written.parameters:
            raise ConditionError(0, f"there is no parameter {name!r}",
                                 f"known: {', '.join(written.parameters) or 'none'}")
    chosen: dict[str, Literal] = {}
    for name, parameter in written.parameters.items():
        default = _literal(("parameters", name, "default"), parameter.default)
        value = default
        if name in overrides:
            value = _literal((name,), str(overrides[name]))
            if type(value.value) is not type(default.value) or not _alike(value.unit, default.unit):
                raise ConditionError(0, f"{name}: {overrides[name]} does not fit {parameter.default}",
                                     "write it in the same unit")
        for key, bound, sign in (("least", parameter.least, 1), ("most", parameter.most, -1)):
            if not bound:
                continue
            limit = _literal(("parameters", name, key), bound)
            if not _alike(limit.unit, default.unit):
                raise _InKey(("parameters", name, key), bound, ConditionError(0, f"{bound} does not fit "
                             f"{parameter.default}", "write it in the same unit"))
            if sign * (_size(value) - _size(limit)) < 0:
                written_value = overrides.get(name, parameter.default)
                raise _InKey(("parameters", name, "default"), "", ConditionError(
                    0, f"{name}: {written_value} is {'below' if sign > 0 else 'above'} {bound}",
                    "choose one within its bounds"))
        chosen[name] = value
    return chosen


def _literal(keys: Path, text: str) -> Literal:
    try:
        tree = parse_condition(text)
        if not isinstance(tree, Literal):
            what = f"{tree.text!r}" if isinstance(tree, Name) else "this"
            raise ConditionError(tree.offset, f"{what} is not a fixed value", "write a number with its unit")
        return tree
    except ConditionError as error:
        raise _InKey(keys, text, error) from error


def _alike(a: str, b: str) -> bool:
    return a == b or bool({m[0] for m in meanings(a)} & {m[0] for m in meanings(b)})


def _size(literal: Literal) -> float:
    if not isinstance(literal.value, float):
        return 0.0
    found = meanings(literal.unit)
    return literal.value * found[0][1] + found[0][2] if found else literal.value
