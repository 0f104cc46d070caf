"""What a worker needs to know of a site before it hears of it: its inventory and its rules (pure)."""

from __future__ import annotations

from community_os.notice_desk import DutyFiles
from community_os.site_worker import SiteWorker
from device_model.clock import SECOND_US
from device_model.inventory import Inventory
from rules_engine.engine import Engine
from rules_engine.rule import RuleSet


class SiteSetup:
    """One configured site; makes its worker, also a second time when a message has spoilt the first."""

    def __init__(self, inventory: Inventory, rules: RuleSet | None, files: DutyFiles | None = None) -> None:
        """rules: None leaves all deciding to the gateway. files: None leaves all telling to the boards."""
        self.inventory, self._files = inventory, files
        self._rules = rules

    @property
    def path(self) -> str:
        """The tenancy path."""
        return self.inventory.site.tenancy.path

    def worker(self, now_us: int) -> SiteWorker:
        """A worker that knows nothing yet, listening from `now_us`."""
        engine, titles = None, {}
        if self._rules is not None:
            lateness_us = round(self.inventory.site.gateway.lateness_s * SECOND_US)
            engine = Engine(self._rules, self.inventory, decides="cloud", lateness_us=lateness_us)
            titles = {name: rule.title for name, rule in self._rules.rules.items()}
        return SiteWorker(self.inventory, titles, engine, now_us, self._files)
