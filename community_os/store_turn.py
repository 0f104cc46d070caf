"""Whose turn it is to add to a chain or a series: one writer at a time, also of several processes.

SQLite has one writer anyway. PostgreSQL lets several transactions read the same last number at the same moment; all
but one of them would fail at the insert. An advisory lock, given back with the transaction, makes them wait instead.
"""

from __future__ import annotations

from enum import IntEnum

import sqlalchemy as sa


class Turn(IntEnum):
    """What is added to; the numbers are this product's own keys of advisory locks."""

    AUDIT = 7_263_001
    NUMBERED = 7_263_002


def take_turn(connection: sa.Connection, turn: Turn) -> None:
    """Wait until no other transaction of this database adds there; the turn ends with the transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(int(turn))))
