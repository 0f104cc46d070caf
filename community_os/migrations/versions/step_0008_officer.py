"""The safety officer's day: permits, what sites measure now, and what officers set."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

PLACES = ("city", "district", "street", "site")


def upgrade() -> None:
    """Create the tables."""
    for name in ("permit", "place_now"):
        op.create_table(name, sa.Column("id", sa.String(64), primary_key=True),
                        sa.Column("shown", sa.Boolean, nullable=False),
                        sa.Column("at_us", sa.BigInteger, nullable=False),
                        sa.Column("view", sa.LargeBinary, nullable=False), *_places())
        op.create_index(f"ix_{name}_shown", name, ["shown"])
        op.create_index(f"{name}_place", name, list(PLACES))
    op.create_table("officer_setting", sa.Column("id", sa.String(64), primary_key=True),
                    sa.Column("kind", sa.String(16), nullable=False),
                    sa.Column("name", sa.String(170), nullable=False),
                    sa.Column("at_us", sa.BigInteger, nullable=False), sa.Column("who", sa.Text, nullable=False),
                    sa.Column("why", sa.Text, nullable=False), sa.Column("body", sa.LargeBinary, nullable=False),
                    *_places())
    op.create_index("officer_setting_place", "officer_setting", list(PLACES))
    op.create_index("officer_setting_kind", "officer_setting", ["kind", "name"])


def _places() -> list[sa.Column[str]]:
    return [sa.Column(place, sa.String(40), nullable=False) for place in PLACES]
