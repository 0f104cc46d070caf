"""CamerasPlace (I/O): where the cameras' page of this gateway is, and who may go there; read from the vision file.

Only its `page:` is read, so that the local page needs nothing of what looks at pictures. A file that cannot be read
gives no link: the vision process and `tocsin vision check` say what is wrong with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dashboards.local_view import CamerasPlace
from dashboards.people import Person
from dashboards.rights import Deed, may

FILE_BYTES_MAX = 1024 * 1024
PORT = 8444


def cameras_place(file: Path, who: str) -> CamerasPlace | None:
    """None where that person may neither see pictures nor draw (dashboards/rights.py)."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            return None
        raw: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None
    page = raw.get("page") if isinstance(raw, dict) else None
    page = page if isinstance(page, dict) else {}
    people = page.get("people")
    role = people.get(who) if isinstance(people, dict) else None
    if not who or not isinstance(role, str) or not any(
            may(Person(who, role), deed) for deed in (Deed.SEE_EVIDENCE, Deed.CONFIGURE)):
        return None
    port = page.get("port", PORT)
    known = port if isinstance(port, int) and 0 < port < 65536 else PORT
    return CamerasPlace(known, bool(page.get("certificate_file")))
