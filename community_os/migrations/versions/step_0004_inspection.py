"""Inspections: what was to be looked at, what was found, who accepted it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    places = ("city", "district", "street", "site")
    op.create_table("inspection", sa.Column("id", sa.String(64), primary_key=True),
                    sa.Column("shown", sa.Boolean, nullable=False), sa.Column("at_us", sa.BigInteger, nullable=False),
                    sa.Column("view", sa.LargeBinary, nullable=False),
                    *(sa.Column(place, sa.String(40), nullable=False) for place in places))
    op.create_index("ix_inspection_shown", "inspection", ["shown"])
    op.create_index("inspection_place", "inspection", list(places))
