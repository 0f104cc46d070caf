"""The command that checks place books (I/O)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from community_os.place_shelf import missing_drawings, places_file, read_places
from device_model.errors import ConfigError, Finding, LocalFault


def check_places(site_files: Sequence[str | Path]) -> list[Finding]:
    """Every finding of the place books beside these site files; empty when all are good."""
    findings: list[Finding] = []
    for site in site_files:
        beside = str(places_file(site))
        try:
            book = read_places(site)
        except ConfigError as error:
            findings += error.findings
            continue
        except LocalFault as error:
            findings.append(Finding(str(site), 0, 0, str(error), "mend it and run the check again"))
            continue
        if book is None:
            findings.append(Finding(beside, 0, 0, "there is no place book beside the site file",
                                    "write one (docs/place-book.md), or leave the site without plans"))
            continue
        findings += [Finding(beside, 0, 0, what, "put the drawing there, or make it smaller")
                     for what in missing_drawings(site, book)]
    return sorted(findings)
