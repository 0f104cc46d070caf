"""Commands (I/O): what `tocsin site matrix` prints."""

from __future__ import annotations

from pathlib import Path

import msgspec

from device_model.errors import ConfigError
from device_model.library import read_inventory
from edge_agent.cause_effect import cause_effect, output_findings
from edge_agent.cause_effect_sheet import as_csv, as_html, as_text
from rules_engine.packs import rules_of_site


def site_matrix_text(path: Path, form: str, language: str) -> str:
    """The cause and effect matrix of a site file; form: text, json, csv, html.

    Raises ConfigError with all findings; LocalFault when the file cannot be read.
    """
    inventory = read_inventory(path)
    rules = rules_of_site(inventory.site)
    if findings := output_findings(inventory, rules):
        raise ConfigError(findings)
    sheet = cause_effect(inventory, rules)
    match form:
        case "json":
            return msgspec.json.encode(sheet).decode() + "\n"
        case "csv":
            return as_csv(sheet, language)
        case "html":
            return as_html(sheet, language)
    return as_text(sheet, language) + "\n"
