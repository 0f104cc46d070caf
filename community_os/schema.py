"""Tables of the community OS. Each carries the tenancy path, so that rights and partitions can be asked anywhere.

    incident      whole view as JSON, and its card for lists, beside the columns that are searched
    audit         append-only, hash chain per site
    impairment gateway gap proof duty inspection  what stands now (gaps and proofs also as history)
    silence shelf handover   what people put aside; what one shift leaves to the next
    permit place_now   permits for hot work as gateways tell them; what each site measures now
    officer_setting    parameters of rules, what is published, issued notices: one row a change
    photo         pictures from the scene, by their hash
    act_outcome   what became of a click
    notice        what is to be sent to whom, and how that ended
    dead_letter   messages that could not be applied
    progress      the stream sequence that each site's rows already contain
    change        which rows changed, numbered: what the boards follow

Migrations stand in `migrations/`; a test holds them equal to this file.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# SQLite numbers rows by itself only in INTEGER primary keys; PostgreSQL wants eight bytes.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _tenancy() -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, sa.String(40), nullable=False) for name in ("city", "district", "street", "site"))


def _table(name: str, *columns: sa.Column[object] | sa.Index) -> sa.Table:
    return sa.Table(name, metadata, *columns, *_tenancy(),
                    sa.Index(f"{name}_place", "city", "district", "street", "site"))


def _view_table(name: str, *columns: sa.Column[object]) -> sa.Table:
    """id, the view as JSON, and whether the board shows it."""
    return _table(
        name, sa.Column("id", sa.String(64), primary_key=True), *columns,
        sa.Column("shown", sa.Boolean, nullable=False, index=True),
        sa.Column("at_us", sa.BigInteger, nullable=False), sa.Column("view", sa.LargeBinary, nullable=False),
    )


incident = _view_table(
    "incident", sa.Column("state", sa.String(16), nullable=False),
    sa.Column("hazard", sa.String(16), nullable=False), sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("opened_us", sa.BigInteger, nullable=False), sa.Column("closed_us", sa.BigInteger, nullable=False),
    sa.Column("drill", sa.Boolean, nullable=False), sa.Column("card", sa.LargeBinary, nullable=True),
)
impairment = _view_table("impairment")
gateway = _view_table("gateway")
gap = _view_table("gap")
proof = _view_table("proof")
duty = _view_table("duty")
inspection = _view_table("inspection")
silence = _view_table("silence")
shelf = _view_table("shelf")
handover = _view_table("handover")
permit = _view_table("permit")
place_now = _view_table("place_now")
officer_setting = _table(
    "officer_setting", sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False), sa.Column("name", sa.String(170), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False), sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False), sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("officer_setting_kind", "kind", "name"),
)
photo = _table(
    "photo", sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("incident", sa.String(64), nullable=False),
    sa.Column("who", sa.Text, nullable=False), sa.Column("taken_us", sa.BigInteger, nullable=False),
    sa.Column("stored_us", sa.BigInteger, nullable=False), sa.Column("latitude", sa.Float, nullable=True),
    sa.Column("longitude", sa.Float, nullable=True), sa.Column("size", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False), sa.Index("photo_incident", "incident"),
)
act_outcome = _table(
    "act_outcome", sa.Column("request", sa.String(64), primary_key=True),
    sa.Column("incident", sa.String(64), nullable=False), sa.Column("outcome", sa.LargeBinary, nullable=False),
)
audit = _table(
    "audit", sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("path", sa.String(170), nullable=False), sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False), sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.String(40), nullable=False), sa.Column("incident", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text, nullable=False), sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("audit_chain", "path", "number", unique=True),
)
dead_letter = _table(
    "dead_letter", sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text, nullable=False), sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text, nullable=False), sa.Column("payload", sa.LargeBinary, nullable=False),
)
notice = _table(
    "notice", sa.Column("id", sa.String(64), primary_key=True), sa.Column("path", sa.String(170), nullable=False),
    sa.Column("endpoint", sa.String(80), nullable=False), sa.Column("incident", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False), sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("urgent", sa.Boolean, nullable=False), sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.String(16), nullable=False), sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_us", sa.BigInteger, nullable=False), sa.Column("stored_us", sa.BigInteger, nullable=False),
    sa.Column("settled_us", sa.BigInteger, nullable=False), sa.Column("reason", sa.Text, nullable=False),
    sa.Column("reported", sa.Boolean, nullable=False),
    sa.Index("notice_due", "status", "next_us"), sa.Index("notice_reported", "reported", "status"),
)
progress = _table(
    "progress", sa.Column("path", sa.String(170), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
)
change = _table(
    "change", sa.Column("revision", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(16), nullable=False), sa.Column("id", sa.String(64), nullable=False),
)
