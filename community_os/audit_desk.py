"""The audit book as the pages read it (I/O): filters, scopes, a check of the chain at most a minute old."""

from __future__ import annotations

import threading
import time

from community_os.audit import Record
from community_os.audit_book import AuditBook
from dashboards.audit_pages import AuditRow, AuditState, Wanted
from dashboards.rights import covers

CHECKED_EVERY_S = 60.0


class BookDesk:
    """Implements `dashboards.audit_pages.AuditDesk`."""

    def __init__(self, book: AuditBook) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._state: AuditState | None = None

    def rows(self, wanted: Wanted, count: int) -> tuple[AuditRow, ...]:
        """The newest that fit."""
        return tuple(_row(record) for record in
                     self._book.newest(lambda record: fits(record, wanted), count, wanted.below))

    def state(self) -> AuditState:
        """The check of the whole chain."""
        with self._lock:
            now_s = time.time()
            if self._state is None or now_s - self._state.checked_s > CHECKED_EVERY_S:
                verdict = self._book.verify()
                self._state = AuditState(verdict.records, str(verdict.head), verdict.faults, now_s)
            return self._state


def fits(record: Record, wanted: Wanted) -> bool:
    """Whether a record is asked for, and lies within the scope of who asks."""
    return (
        # A record of no place concerns all: only who sees all sees it.
        (wanted.scope == "" or (record.path != "" and covers(wanted.scope, record.path)))
        and (not wanted.since_us or record.at_us >= wanted.since_us)
        and (not wanted.until_us or record.at_us < wanted.until_us)
        and all(getattr(wanted, name).casefold() in getattr(record, name).casefold()
                for name in ("who", "what", "subject", "path", "where") if getattr(wanted, name))
    )


def _row(record: Record) -> AuditRow:
    return AuditRow(record.number, record.at_us, record.who, record.what, record.subject, record.path, record.why,
                    record.where, record.outcome, record.hash)
