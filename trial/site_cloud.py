"""SiteCloud: the community OS for one site: acknowledges what arrives, judges, keeps incidents, sends commands.

    batch ─► read_message ─► Ledger (fresh?) ─► SiteWorker.step ─► board rows ─► Witness
                                └─► BatchAck                     └─► commands to the gateway

The same pure parts as in ingest and worker; what these add (a durable stream, processes) is proved elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from community_os.envelopes import ActEnvelope, UpEnvelope
from community_os.intake import acknowledged_ranges, read_message
from community_os.ledger import Ledger
from community_os.site_worker import CloudEngine, Effects, SiteWorker
from community_os.store_changes import ImpairmentRow, IncidentRow
from device_model.alarm import AlarmTransition
from device_model.clock import SECOND_US, Now
from device_model.errors import ConfigError
from device_model.inventory import Inventory
from device_model.messages import WIRE_VERSION, BatchAck, Down, GatewayAddress, encode
from device_model.packing import PACKINGS
from device_model.ports import Message
from device_model.read_models import IncidentAction, IncidentState
from device_model.reading import Reading
from rules_engine.engine import Engine
from rules_engine.rule import RuleSet
from trial.witness import Witness

_ENDED = (IncidentState.CLOSED, IncidentState.FALSE, IncidentState.RESOLVED)


class WatchedEngine:
    """The cloud's own engine; tells the witness what it decides."""

    def __init__(self, engine: Engine, witness: Witness) -> None:
        self._engine, self._witness = engine, witness

    def step(self, readings: Sequence[Reading], now: Now, fresh: Sequence[str] = ()) -> tuple[AlarmTransition, ...]:
        """See CloudEngine."""
        steps = self._engine.step(readings, now, fresh)
        for step in steps:
            self._witness.alarm(step)
        return steps

    def due_us(self) -> int | None:
        """See CloudEngine."""
        return self._engine.due_us()

    def checkpoint(self) -> bytes:
        """See CloudEngine."""
        return self._engine.checkpoint()

    def resume(self, checkpoint: bytes) -> None:
        """See CloudEngine."""
        self._engine.resume(checkpoint)


class SiteCloud:
    """One site's cloud. `take`, `act` and `tick` answer the messages to publish, (topic, payload)."""

    def __init__(self, inventory: Inventory, rules: RuleSet, witness: Witness, now_us: int) -> None:
        self._witness = witness
        self._ledger = Ledger()
        self._tenancy = inventory.site.tenancy
        lateness_us = round(inventory.site.gateway.lateness_s * SECOND_US)
        engine: CloudEngine = WatchedEngine(
            Engine(rules, inventory, decides="cloud", lateness_us=lateness_us), witness)
        titles = {name: rule.title for name, rule in rules.rules.items()}
        self.worker = SiteWorker(inventory, titles, engine, now_us)
        self._views: dict[str, IncidentState] = {}
        self._hazards: dict[str, str] = {}
        self._clicks = 0

    def take(self, message: Message, now_us: int) -> list[tuple[str, bytes]]:
        """A message of the gateway."""
        try:
            intake = read_message(message)
        except ValueError as error:
            self._witness.mistakes.append(f"the cloud refused a message of the gateway: {error}")
            return []
        batch = intake.batch
        envelope = UpEnvelope(intake.path, now_us, batch)
        self._ledger.apply(batch, now_us)
        out = self._done(self.worker.step(envelope))
        known = self._ledger.known(batch.gateway, batch.epoch, batch.lane)
        ranges = acknowledged_ranges(batch, known)
        if ranges and any(record.sequence for record in batch.records):
            ack = BatchAck(WIRE_VERSION, batch.epoch, batch.lane, ranges, PACKINGS)
            out.append((intake.address.down("ack"), encode(ack)))
        return out

    def tick(self, now_us: int) -> list[tuple[str, bytes]]:
        """Time passes."""
        return self._done(self.worker.tick(now_us)) if self.worker.due_us() <= now_us else []

    def act(self, action: str, hazard: str, who: str, why: str, now_us: int) -> list[tuple[str, bytes]]:
        """A person acts on all open incidents of a hazard ("" all). Raises ConfigError for an unknown action."""
        try:
            wanted = IncidentAction(action)
        except ValueError as error:
            raise ConfigError([]) from error
        out = []
        for incident, state in list(self._views.items()):
            if state in _ENDED or (hazard and self._hazards[incident] != hazard):
                continue
            self._clicks += 1
            envelope = ActEnvelope(self._tenancy.path, incident, wanted, who, why, f"click-{self._clicks}", now_us)
            out += self._done(self.worker.step(envelope))
        return out

    def _done(self, effects: Effects) -> list[tuple[str, bytes]]:
        for change in effects.changes:
            if isinstance(change, IncidentRow):
                self._views[change.view.id] = change.view.state
                self._hazards[change.view.id] = change.view.hazard.value
                self._witness.incident(change.view)
            elif isinstance(change, ImpairmentRow):
                self._witness.lack(change.kind.value, change.subject, stands=change.view is not None)
        return [(command.address.down("command"), encode(Down(WIRE_VERSION, command.command)))
                for command in effects.commands]


def ack_topics(address: GatewayAddress) -> tuple[str, str]:
    """What the gateway subscribes to."""
    return address.down("ack"), address.down("command")
