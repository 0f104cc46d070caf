"""JSON schema of scenario files, for editors: completion and a first check while typing.

`schemas/scenario.schema.json` is made from here by `make golden`. The loader says more, and says it better.
To use it, put this first into a scenario: `# yaml-language-server: $schema=…/schemas/scenario.schema.json`
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from firmware_sim.scenario import Scenario

SCHEMA_ID = "tocsin/scenario.schema.json"


def scenario_schema() -> dict[str, Any]:
    """The schema as plain content; a key that no struct has is an error, as it is to the loader."""
    (head,), parts = msgspec.json.schema_components((Scenario,), ref_template="#/$defs/{name}")
    for part in parts.values():
        if part.get("type") == "object" and "properties" in part:
            part["additionalProperties"] = False
        if "description" in part:  # Python 3.13 strips the indentation of docstrings by itself, older ones do not
            part["description"] = inspect.cleandoc(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **head, "$defs": parts}


def schema_text() -> str:
    """The schema file's text."""
    return msgspec.json.format(msgspec.json.encode(scenario_schema(), order="sorted"), indent=2).decode() + "\n"
