"""The first tables. Frozen: later changes are steps of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables."""
    _view_table(
        "incident", sa.Column("state", sa.String(16), nullable=False),
        sa.Column("hazard", sa.String(16), nullable=False), sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("closed_us", sa.BigInteger, nullable=False), sa.Column("drill", sa.Boolean, nullable=False),
    )
    for name in ("impairment", "gateway", "gap", "proof"):
        _view_table(name)
    _table("act_outcome", sa.Column("request", sa.String(64), primary_key=True),
           sa.Column("incident", sa.String(64), nullable=False),
           sa.Column("outcome", sa.LargeBinary, nullable=False))
    _table("audit", sa.Column("id", sa.String(64), primary_key=True),
           sa.Column("path", sa.String(170), nullable=False), sa.Column("number", sa.BigInteger, nullable=False),
           sa.Column("at_us", sa.BigInteger, nullable=False), sa.Column("who", sa.Text, nullable=False),
           sa.Column("what", sa.String(40), nullable=False), sa.Column("incident", sa.String(64), nullable=False),
           sa.Column("detail", sa.Text, nullable=False), sa.Column("hash", sa.String(64), nullable=False))
    op.create_index("audit_chain", "audit", ["path", "number"], unique=True)
    _table("dead_letter", sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
           sa.Column("subject", sa.Text, nullable=False), sa.Column("at_us", sa.BigInteger, nullable=False),
           sa.Column("error", sa.Text, nullable=False), sa.Column("payload", sa.LargeBinary, nullable=False))
    _table("progress", sa.Column("path", sa.String(170), primary_key=True),
           sa.Column("sequence", sa.BigInteger, nullable=False))
    _table("change", sa.Column("revision", SERIAL, primary_key=True, autoincrement=True),
           sa.Column("kind", sa.String(16), nullable=False), sa.Column("id", sa.String(64), nullable=False))


def _view_table(name: str, *columns: sa.Column[object]) -> None:
    _table(name, sa.Column("id", sa.String(64), primary_key=True), *columns,
           sa.Column("shown", sa.Boolean, nullable=False), sa.Column("at_us", sa.BigInteger, nullable=False),
           sa.Column("view", sa.LargeBinary, nullable=False))
    op.create_index(f"ix_{name}_shown", name, ["shown"])


def _table(name: str, *columns: sa.Column[object]) -> None:
    places = ("city", "district", "street", "site")
    extra = {"sqlite_autoincrement": True} if name == "change" else {}
    op.create_table(name, *columns, *(sa.Column(place, sa.String(40), nullable=False) for place in places), **extra)
    op.create_index(f"{name}_place", name, list(places))
