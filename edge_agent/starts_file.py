"""StartsFile (I/O): remembers starts in the runtime folder, which is memory and not the card; safe to lose."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import msgspec
import structlog

from device_model.system_clock import SystemClock
from edge_agent.crash_loop import Starts, next_start
from edge_agent.local_control import socket_paths

log = structlog.get_logger("gateway")


def wait_after_crashes(journal_path: str) -> float:
    """Sleep as long as a crash loop asks for; returns the seconds. Never fails: a folder that takes nothing costs the
    count, not the start."""
    folder = Path(os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or tempfile.gettempdir())
    file = folder / f"{socket_paths(journal_path)[-1].stem}.starts"
    try:
        last = msgspec.json.decode(file.read_bytes(), type=Starts)
    except (OSError, ValueError):
        last = Starts()
    starts, wait_s = next_start(last, SystemClock().now())
    try:
        file.write_bytes(msgspec.json.encode(starts))
    except OSError as error:
        log.warning("starts cannot be counted", reason=str(error))
    if wait_s > 0:
        log.error("died again soon after its start, begins later", times=starts.quick, wait_s=wait_s)
        time.sleep(wait_s)
    return wait_s


def lived_well(journal_path: str) -> None:
    """A clean stop: what follows is no crash."""
    folder = Path(os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or tempfile.gettempdir())
    try:
        (folder / f"{socket_paths(journal_path)[-1].stem}.starts").unlink(missing_ok=True)
    except OSError as error:
        log.warning("starts cannot be forgotten", reason=str(error))
