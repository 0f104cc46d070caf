"""Setting: one row of what officers have set, asked for or issued (pure). Rows are added, never changed."""

from __future__ import annotations

import msgspec


class Setting(msgspec.Struct, frozen=True):
    """One change that somebody made: kind "parameter", "publish", "notice" …; name: of what; body: JSON of it."""

    id: str
    kind: str
    path: str
    name: str
    at_us: int
    who: str
    why: str
    body: bytes
