"""What `tocsin rules …` calls (I/O: reads the files that are named)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from device_model.errors import ConfigError, Finding, LocalFault
from device_model.library import read_inventory
from rules_engine.explain import Explanation, explain
from rules_engine.packs import PACKS, read_pack, rules_of_site, shipped_packs
from rules_engine.rule import RuleSet
from rules_engine.rule_tests import RuleTestFile, RuleTestReport, RuleTestResult, parse_rule_tests, run_file

_SUFFIX = ".test.yaml"


def check_rules(paths: Sequence[Path]) -> list[Finding]:
    """Every finding of rule files and of test files; folders stand for all YAML files in them."""
    findings: list[Finding] = []
    for path in _files(paths):
        try:
            if path.name.endswith(_SUFFIX):
                _read_tests(path)
            else:
                RuleSet([read_pack(path)])
        except ConfigError as error:
            findings.extend(error.findings)
    return findings


def run_rule_tests(paths: Sequence[Path] | None = None) -> RuleTestReport:
    """Run test files (none given: the shipped ones). A rule file stands for the test file beside it."""
    results: list[RuleTestResult] = []
    found = [path if path.name.endswith(_SUFFIX) else path.with_name(path.stem + _SUFFIX)
             for path in _files(paths or [PACKS])]
    for path in dict.fromkeys(found):
        results.extend(_run(path))
    failed = sum(not result.ok for result in results)
    return RuleTestReport(len(results) - failed, failed, tuple(results))


def _run(path: Path) -> list[RuleTestResult]:
    try:
        parsed = _read_tests(path)
        return run_file(parsed, RuleSet([read_pack(path.parent / parsed.pack)]))
    except ConfigError as error:
        return [RuleTestResult(f.file, f.line, "the file", False, str(f)) for f in error.findings]


def _read_tests(path: Path) -> RuleTestFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Finding(str(path), 0, 0, f"cannot be read: {error}", "check its name")]) from error
    return parse_rule_tests(text, str(path))


def _files(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]


def explain_rule(name: str, config: Path | None, files: Sequence[Path] = ()) -> Explanation:
    """One rule in words. config: a site file, for its own numbers and what it watches there; files: rule files
    instead of the shipped ones. Raises ConfigError for wrong files, LocalFault for a rule that is not known."""
    inventory = read_inventory(config) if config else None
    if files:
        rules = RuleSet([read_pack(path) for path in files])
    else:
        rules = rules_of_site(inventory.site) if inventory else shipped_packs(sorted(
            path.stem for path in PACKS.glob("*.yaml") if not path.name.endswith(_SUFFIX)))
    rule = rules.rules.get(name)
    if rule is None:
        ids = [known.id for known in rules.deciding]
        near = [known for known in ids if known.startswith(name.partition(".")[0] + ".")] or ids
        raise LocalFault(f"no rule {name!r}; there are: {', '.join(near[:12])}")
    overrides = inventory.site.rules.parameters.get(rule.id, {}) if inventory else {}
    return explain(rule, inventory, overrides)
