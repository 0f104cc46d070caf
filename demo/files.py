"""The demo's own copies of the site files and the scenario, with free ports and fresh keys put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
Yaml = dict[str, Any]


def load(path: Path) -> Yaml:
    """A YAML file of the demo; these are ours and checked by tests, so nothing is checked here."""
    content: Yaml = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def save(path: Path, content: Yaml) -> Path:
    """Write YAML; returns the path."""
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def site_with(site: Yaml, *, ports: dict[str, int], journal: Path, cloud: Yaml) -> Yaml:
    """A site file whose lines point at `ports` (line id → port), with its journal and cloud link."""
    for line in site["lines"]:
        line["port"] = ports[line["id"]]
    site["gateway"]["journal_path"] = str(journal)
    site["gateway"]["cloud"] = cloud
    site["gateway"]["remote_numbers"] = {"roll_back_after_s": 60}
    return site


def scenario_with(scenario: Yaml, *, ports: dict[str, int], uplink: dict[str, tuple[int, int]]) -> Yaml:
    """A scenario whose lines listen at `ports` and whose proxies pass on (listen port, target port)."""
    for line in scenario["lines"]:
        if line["kind"] == "mqtt":
            line["url"] = f"mqtt://127.0.0.1:{ports[line['id']]}"
        else:
            line["port"] = ports[line["id"]]
    for proxy in scenario["proxies"]:
        listen, target = uplink[proxy["id"]]
        proxy["listen"], proxy["to"] = f"127.0.0.1:{listen}", f"127.0.0.1:{target}"
    return scenario
