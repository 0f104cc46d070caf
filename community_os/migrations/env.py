"""Runs the steps on the connection that `store.py` hands over."""

from __future__ import annotations

from alembic import context

from community_os.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
