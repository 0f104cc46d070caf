"""EngineCheckpoint: all that survives of the rules engine, as bytes."""

from __future__ import annotations

import msgspec

from device_model.alarm import AlarmTransition
from device_model.clock import Now
from rules_engine.cell import CellState
from rules_engine.evaluate import WatchState

CHECKPOINT_VERSION = 1


class EngineCheckpoint(msgspec.Struct):
    """Cells, watches, isolations, and the engine of the past."""

    version: int
    started: bool
    time_us: int
    last: Now | None
    cells: dict[str, CellState]
    watches: dict[str, WatchState]
    refused: dict[str, WatchState]
    isolated: dict[str, int]
    testing: dict[str, int]
    counts: dict[str, int]
    orphans: dict[str, AlarmTransition] = {}
    past: bytes = b""
    plain: dict[str, list[tuple[int, int]]] = {}  # device → (fresh_us, how many cells in a row); see Engine._is_plain
    shields: dict[str, str] = {}


def decode_engine(checkpoint: bytes) -> EngineCheckpoint:
    """From bytes. Raises ValueError for bytes that are no checkpoint of this version."""
    try:
        state = msgspec.json.decode(checkpoint, type=EngineCheckpoint)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a checkpoint: {error}") from error
    if state.version != CHECKPOINT_VERSION:
        raise ValueError(f"checkpoint of version {state.version}; this program reads {CHECKPOINT_VERSION}")
    return state
