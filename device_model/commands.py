"""Commands (I/O): what `tocsin profile check` and `tocsin site check` do. Findings come back; nothing is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from device_model.errors import ConfigError, Finding, LocalFault
from device_model.library import read_inventory, read_profile


def check_profiles(paths: Sequence[str | Path]) -> list[Finding]:
    """Every finding of every profile file, in order of file, line and column; empty when all are good."""
    return _check(paths, read_profile)


def check_sites(paths: Sequence[str | Path]) -> list[Finding]:
    """Every finding of every site file, the profiles that it uses included; empty when all are good."""
    return _check(paths, read_inventory)


def _check(paths: Sequence[str | Path], read: Callable[[str | Path], object]) -> list[Finding]:
    findings: list[Finding] = []
    for path in paths:
        try:
            read(path)
        except ConfigError as error:
            findings.extend(error.findings)
        except LocalFault as error:
            what, _, remedy = str(error).removeprefix(f"{path}: ").partition("; ")
            findings.append(Finding(str(path), 0, 0, what, remedy or "mend it and run the check again"))
    return sorted(findings)
