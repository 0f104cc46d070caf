"""The incident store as a program opens it (I/O)."""

from __future__ import annotations

from community_os.settings import CloudSettings
from community_os.store import IncidentStore


def open_store(settings: CloudSettings) -> IncidentStore:
    """The incident store, migrated. LocalFault says what is wrong with the database."""
    store = IncidentStore(settings.database_url)
    store.open()
    return store
