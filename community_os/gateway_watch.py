"""What the cloud knows of one gateway by itself (pure): heard when, silent or not, proved when.

    heard ──── 3 heartbeats without a word ────► silent: an impairment, and none of its points can be believed
    proof ──── 26 h without the daily proof ───► proof missing: an impairment

Times are the site worker's, µs since 1970 UTC. While the cloud itself was not listening it cannot say that a
gateway was silent, so silence counts from when it listens again.
"""

from __future__ import annotations

import msgspec

from device_model.alarm import AlarmTransition
from device_model.clock import HOUR_US, SECOND_US
from device_model.impairment import Impairment, ImpairmentKind
from device_model.messages import HeartbeatRecord, Record, is_memory_epoch
from device_model.numbers import DIGEST_LETTERS, NumbersReport
from device_model.read_models import GatewayView, ProofView
from device_model.site import Site
from rules_engine.incident_record import Place

HEARTBEATS_MISSED = 3
# The proof comes once a local day at one hour: 24 h and what a restart or a cut may add.
PROOF_WITHIN_US = 26 * HOUR_US


class WatchState(msgspec.Struct):
    """The checkpoint."""

    gateway: str
    listening_us: int
    heard_us: int = 0
    silent: bool = False
    proof_us: int = 0
    first_heard_us: int = 0
    expected: int = 0
    alive: int = 0
    journal_ok: bool = True
    backlog: int = 0
    postponed: int = 0
    numbers: NumbersReport | None = None
    numbers_us: int = 0


class GatewayWatch:
    """One gateway as the cloud hears it."""

    def __init__(self, site: Site, gateway: str, now_us: int) -> None:
        self._site = site
        self._limit_us = round(HEARTBEATS_MISSED * site.gateway.heartbeat_s * SECOND_US)
        self.state = WatchState(gateway, now_us)

    def listen_from(self, now_us: int) -> None:
        """The cloud was deaf until now."""
        self.state.listening_us = max(self.state.listening_us, now_us)

    def heard(self, now_us: int) -> bool:
        """Anything arrived. Returns whether it had been silent."""
        was_silent = self.state.silent
        self.state.heard_us = max(self.state.heard_us, now_us)
        self.state.first_heard_us = self.state.first_heard_us or now_us
        self.state.silent = False
        return was_silent

    def heartbeat(self, beat: HeartbeatRecord, now_us: int = 0) -> None:
        """What it says of itself."""
        self.state.expected, self.state.alive = beat.devices_expected, beat.devices_alive
        self.state.journal_ok, self.state.backlog = beat.journal_ok, beat.backlog
        self.state.postponed = beat.postponed
        if (said := beat.numbers) is not None:
            self.state.numbers = msgspec.structs.replace(
                said, digest=said.digest[:DIGEST_LETTERS], why=said.why[:300])
            self.state.numbers_us = now_us

    def proof(self, raised_us: int, now_us: int) -> ProofView:
        """A proof alarm has come all the way."""
        self.state.proof_us = max(self.state.proof_us, raised_us)
        return ProofView(self._site.tenancy, self.state.gateway, raised_us, now_us)

    def due_us(self) -> int:
        """When `overdue` may next find something."""
        dues = [] if self.state.silent else [self._silent_from()]
        if (proof_due := self._proof_due()) is not None:
            dues.append(proof_due)
        return min(dues, default=2**62)

    def overdue(self, now_us: int) -> tuple[Impairment, ...]:
        """What is missing now, for the register (which knows what already stands there)."""
        found = []
        if self.state.silent or now_us >= self._silent_from():
            self.state.silent = True
            why = f"not heard for {HEARTBEATS_MISSED} heartbeats of {self._site.gateway.heartbeat_s:g} s"
            found.append(Impairment(ImpairmentKind.GATEWAY_SILENT, self.state.gateway, self._silent_from(), why=why))
        proof_due = self._proof_due()
        if proof_due is not None and now_us >= proof_due:
            found.append(Impairment(ImpairmentKind.PROOF_MISSING, self.state.gateway, proof_due,
                                    why="the daily proof alarm did not arrive within 26 h"))
        return tuple(found)

    def view(self) -> GatewayView:
        """As the board shows it."""
        s = self.state
        return GatewayView(self._site.tenancy, s.gateway, self._site.name, s.heard_us, s.silent, s.expected,
                           s.alive, s.journal_ok, s.backlog, s.postponed, s.numbers, s.numbers_us)

    def _silent_from(self) -> int:
        return max(self.state.heard_us, self.state.listening_us) + self._limit_us

    def _proof_due(self) -> int | None:
        """A gateway that was never heard lacks more than its proof, and says so by its silence."""
        if not self.state.first_heard_us:
            return None
        return max(self.state.proof_us, self.state.first_heard_us) + PROOF_WITHIN_US


def place_of(record: Record, step: AlarmTransition, epoch: str) -> Place:
    """Where the step stands in its gateway's order. A copy from memory has a number of its own, which says nothing;
    when the step happened follows from when the copy was made, both by the same clocks."""
    happened_us = record.mono_us - (record.at_us - step.at_us)
    if is_memory_epoch(epoch):
        return Place(boot=record.boot, mono_us=happened_us)
    return Place(epoch, record.sequence, record.boot, happened_us)
