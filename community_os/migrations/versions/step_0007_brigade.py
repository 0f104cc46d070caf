"""The brigade's day: cards of incidents, silences and the shelf, photos from the scene, hand-overs of a shift."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0004"

PLACES = ("city", "district", "street", "site")


def upgrade() -> None:
    """Create column and tables."""
    op.add_column("incident", sa.Column("card", sa.LargeBinary, nullable=True))
    for name in ("silence", "shelf", "handover"):
        op.create_table(name, sa.Column("id", sa.String(64), primary_key=True),
                        sa.Column("shown", sa.Boolean, nullable=False),
                        sa.Column("at_us", sa.BigInteger, nullable=False),
                        sa.Column("view", sa.LargeBinary, nullable=False), *_places())
        op.create_index(f"ix_{name}_shown", name, ["shown"])
        op.create_index(f"{name}_place", name, list(PLACES))
    op.create_table("photo", sa.Column("sha256", sa.String(64), primary_key=True),
                    sa.Column("incident", sa.String(64), nullable=False), sa.Column("who", sa.Text, nullable=False),
                    sa.Column("taken_us", sa.BigInteger, nullable=False),
                    sa.Column("stored_us", sa.BigInteger, nullable=False),
                    sa.Column("latitude", sa.Float, nullable=True), sa.Column("longitude", sa.Float, nullable=True),
                    sa.Column("size", sa.Integer, nullable=False), sa.Column("body", sa.LargeBinary, nullable=False),
                    *_places())
    op.create_index("photo_place", "photo", list(PLACES))
    op.create_index("photo_incident", "photo", ["incident"])


def _places() -> list[sa.Column[str]]:
    return [sa.Column(place, sa.String(40), nullable=False) for place in PLACES]
