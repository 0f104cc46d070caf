"""`make golden`: writes anew what is generated from the code. Golden frames are never generated.

    device_model/schemas/profile.schema.json    the editor's schema for profile files
"""

from __future__ import annotations

from pathlib import Path

from device_model.profile_schema import schema_text

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write each generated file and say which."""
    schema = ROOT / "device_model" / "schemas" / "profile.schema.json"
    schema.write_text(schema_text(), encoding="utf-8")
    print(schema.relative_to(ROOT))


if __name__ == "__main__":
    main()
