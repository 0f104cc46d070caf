"""What a site's worker needs of the rules engine, so that tests bring their own (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from device_model.alarm import AlarmTransition
from device_model.clock import Now
from device_model.reading import Reading


class CloudEngine(Protocol):
    """What the cloud uses of rules_engine.Engine (decides="cloud")."""

    def step(
        self, readings: Sequence[Reading], now: Now, fresh: Sequence[str] = ()
    ) -> tuple[AlarmTransition, ...]:
        """Judge readings; () lets time pass."""
        ...

    def due_us(self) -> int | None:
        """When time alone will change something."""
        ...

    def checkpoint(self) -> bytes:
        """All its state."""
        ...

    def resume(self, checkpoint: bytes) -> None:
        """From a checkpoint."""
        ...
