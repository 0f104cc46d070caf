"""`make golden`: writes anew what is generated from the code. Golden frames are never generated.

    device_model/schemas/profile.schema.json    the editor's schema for profile files
    firmware_sim/schemas/scenario.schema.json   the same for scenario files
    pyproject.toml                              the list of pure files in the contract of import-linter
    docs/rule-packs.md, docs/scenarios.md       what the packs and the shipped scenarios say (tools/pages.py)
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from device_model.profile_schema import schema_text
from firmware_sim.scenario_schema import schema_text as scenario_schema_text
from tests.test_tidy import PURE
from tools.pages import PAGES

ROOT = Path(__file__).resolve().parent.parent


def with_pure_files(project: str) -> str:
    """pyproject.toml with the modules of all pure files in the contract that forbids them I/O."""
    modules = sorted(name[:-3].replace("/", ".") for name in PURE if not name.endswith("__init__.py"))
    listed = textwrap.fill(", ".join(f'"{module}"' for module in modules) + ",", 116,
                           initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    contract = re.compile(r"(pure files never.*?source_modules = \[\n).*?(\n\]\n)", re.S)
    return contract.sub(lambda found: found[1] + listed + found[2], project, count=1)


def main() -> None:
    """Write each generated file and say which."""
    schema = ROOT / "device_model" / "schemas" / "profile.schema.json"
    schema.write_text(schema_text(), encoding="utf-8")
    print(schema.relative_to(ROOT))
    schema = ROOT / "firmware_sim" / "schemas" / "scenario.schema.json"
    schema.write_text(scenario_schema_text(), encoding="utf-8")
    print(schema.relative_to(ROOT))
    project = ROOT / "pyproject.toml"
    project.write_text(with_pure_files(project.read_text(encoding="utf-8")), encoding="utf-8")
    print(project.relative_to(ROOT))
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
