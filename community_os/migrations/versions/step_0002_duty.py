"""Duty checks: what a monitoring centre asked, and who answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    places = ("city", "district", "street", "site")
    op.create_table("duty", sa.Column("id", sa.String(64), primary_key=True),
                    sa.Column("shown", sa.Boolean, nullable=False), sa.Column("at_us", sa.BigInteger, nullable=False),
                    sa.Column("view", sa.LargeBinary, nullable=False),
                    *(sa.Column(place, sa.String(40), nullable=False) for place in places))
    op.create_index("ix_duty_shown", "duty", ["shown"])
    op.create_index("duty_place", "duty", list(places))
