"""Notices: what is to be sent to whom, stored before it is sent, and how that ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    places = ("city", "district", "street", "site")
    op.create_table(
        "notice", sa.Column("id", sa.String(64), primary_key=True), sa.Column("path", sa.String(170), nullable=False),
        sa.Column("endpoint", sa.String(80), nullable=False), sa.Column("incident", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False), sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("urgent", sa.Boolean, nullable=False), sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.String(16), nullable=False), sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_us", sa.BigInteger, nullable=False), sa.Column("stored_us", sa.BigInteger, nullable=False),
        sa.Column("settled_us", sa.BigInteger, nullable=False), sa.Column("reason", sa.Text, nullable=False),
        sa.Column("reported", sa.Boolean, nullable=False),
        *(sa.Column(place, sa.String(40), nullable=False) for place in places))
    op.create_index("notice_due", "notice", ["status", "next_us"])
    op.create_index("notice_reported", "notice", ["reported", "status"])
    op.create_index("notice_place", "notice", list(places))
