"""The ledger's gaps as rows of the board (pure): opened, grown, split, delivered or declared lost."""

from __future__ import annotations

from community_os.ledger import Applied, GapState, Ledger
from community_os.store_changes import GapGone, GapRow
from device_model.messages import Batch
from device_model.read_models import GapView
from device_model.site import Tenancy


class GapRows:
    """A ledger, and which of its gaps stand in the store."""

    def __init__(self, tenancy: Tenancy, ledger: Ledger) -> None:
        self.ledger = ledger
        self._tenancy = tenancy
        self._stored = self._open()

    def apply(self, batch: Batch, now_us: int) -> tuple[Applied, list[GapRow | GapGone]]:
        """Enter a batch; the rows that changed. Raises ValueError as the ledger does."""
        applied = self.ledger.apply(batch, now_us)
        if not applied.changes:
            return applied, []
        open_now = self._open()
        rows: list[GapRow | GapGone] = [GapGone(v) for v in self._stored if v not in open_now]
        rows += [GapRow(v) for v in open_now if v not in self._stored]
        for change in applied.changes:
            if change.state is not GapState.OPENED:
                outcome = "delivered" if change.state is GapState.DELIVERED else change.reason or "declared lost"
                rows.append(GapRow(GapView(
                    self._tenancy, change.gateway, change.epoch, change.lane.value, change.first, change.last,
                    change.at_us, change.at_us, outcome)))
        self._stored = open_now
        return applied, rows

    def _open(self) -> dict[GapView, None]:
        return {
            GapView(self._tenancy, g.gateway, g.epoch, g.lane.value, g.first, g.last, g.since_us): None
            for g in self.ledger.gaps()
        }
