"""JSON schema of profile files, for editors: completion and a first check while typing.

`schemas/profile.schema.json` is made from here; a test keeps it current. The loader says more, and says it better.
To use it, put this first into a profile: `# yaml-language-server: $schema=…/schemas/profile.schema.json`
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from device_model.profile_file import PointEntry, ProfileEntry
from device_model.quantities import ALL_UNIT_CODES, QUANTITIES

SCHEMA_ID = "tocsin/profile.schema.json"


def profile_schema() -> dict[str, Any]:
    """The schema as plain content, with the known quantities and units as choices."""
    (head, point), parts = msgspec.json.schema_components((ProfileEntry, PointEntry), ref_template="#/$defs/{name}")
    entry: dict[str, Any] = parts["PointEntry"]
    entry["properties"]["quantity"]["enum"] = sorted(QUANTITIES)
    entry["properties"]["unit"]["enum"] = sorted(ALL_UNIT_CODES)
    parts["ProfileEntry"]["properties"]["points"] = {
        "type": "object", "propertyNames": {"pattern": "^[a-z0-9_]{1,40}$"}, "additionalProperties": point,
    }
    for name in ("ProfileEntry", "PointEntry"):
        parts[name]["additionalProperties"] = False
    for part in parts.values():  # Python 3.13 strips the indentation of docstrings by itself, older ones do not
        if "description" in part:
            part["description"] = inspect.cleandoc(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **head, "$defs": parts}


def schema_text() -> str:
    """The schema file's text."""
    return msgspec.json.format(msgspec.json.encode(profile_schema(), order="sorted"), indent=2).decode() + "\n"
