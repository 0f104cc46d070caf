"""What `tocsin rules …` calls (I/O: reads the files that are named)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from device_model.errors import ConfigError, Finding
from rules_engine.packs import PACKS, read_pack
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
