"""The programs' logs, kept apart: a hundred seeds would print a book, and errors that nobody expects are findings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog


@contextmanager
def quiet_log(errors: list[str]) -> Iterator[None]:
    """Send structlog nowhere while inside; exceptions caught at task boundaries go to `errors`."""
    before = structlog.get_config()

    def keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        # An exception that a task boundary caught is a mistake of ours, whatever the world did.
        if event.get("exc_info"):
            fields = {key: value for key, value in event.items() if key not in ("event", "exc_info")}
            errors.append(f"{event.get('event')} {fields} {sys.exc_info()[1]!r}")
        raise structlog.DropEvent

    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(0),
                        cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
