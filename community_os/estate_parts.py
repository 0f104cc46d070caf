"""The estate's pages put together (I/O): site files, duty plan, certificates and series, as the web role has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from community_os.board_service import BoardService
from community_os.brigade_service import BrigadeService
from community_os.estate_service import EstateService
from community_os.series_read import SeriesReader
from community_os.settings import CloudSettings
from community_os.site_stamps import claimed_site_files, site_stamps
from community_os.store import IncidentStore, StoreCalls
from device_model.errors import ConfigError, LocalFault
from device_model.inventory import Inventory
from device_model.library import read_inventory
from device_model.messages import GatewayAddress
from device_model.ports import Stream
from provisioning.identity import EnrolledGateway, GatewayStatus
from rules_engine.duty_rota import DutyPlan
from rules_engine.packs import rules_of_site
from rules_engine.routing_commands import read_duty


class SiteFiles:
    """The inventories of the configured and claimed sites; read again when a claimed one comes or changes."""

    def __init__(self, settings: CloudSettings) -> None:
        """Reads nothing yet."""
        self._settings = settings
        self._stamps: object = None
        self._known: dict[str, Inventory] = {}
        self._titles: dict[str, str] = {}

    def __call__(self) -> dict[str, Inventory]:
        """By tenancy path. A file that does not fit is left out here; the worker says why."""
        try:
            stamps: object = site_stamps(self._settings)
        except OSError:
            return self._known  # replaced just now: the next look sees it whole
        if stamps != self._stamps:
            self._stamps, self._known, self._titles = stamps, self._read(), {}
        return self._known

    def titles(self) -> dict[str, str]:
        """Of their rules, English → Chinese."""
        if not self._titles:
            for inventory in self().values():
                try:
                    rules = rules_of_site(inventory.site).rules.values()
                except (ConfigError, LocalFault):
                    continue
                self._titles |= {rule.title.en: rule.title.zh for rule in rules}
        return self._titles

    def _read(self) -> dict[str, Inventory]:
        found = {}
        for file in (*claimed_site_files(self._settings), *self._settings.sites):
            try:
                inventory = read_inventory(file)
            except (ConfigError, LocalFault):
                continue
            found[inventory.site.tenancy.path] = inventory
        return found


def certificate_ends(settings: CloudSettings) -> dict[tuple[str, str], int]:
    """(path, gateway) → the end of its newest certificate; the revoked are left out."""
    try:  # read, never opened as an authority: that would renew what is the broker's
        register = (Path(settings.authority_folder) / "gateways.json").read_bytes()
        entries = msgspec.json.decode(register, type=dict[str, EnrolledGateway])
    except (OSError, msgspec.DecodeError):
        return {}
    found = {}
    for entry in entries.values():
        if entry.status is not GatewayStatus.REVOKED:
            address = GatewayAddress.of_common_name(entry.common_name)
            found[address.tenancy.path, address.gateway] = entry.not_after_us
    return found


def make_estate(
    settings: CloudSettings, store: IncidentStore, calls: StoreCalls, stream: Stream, clock: Any, board: BoardService,
    brigade: BrigadeService,
) -> EstateService:
    """The service. A duty file that cannot be read leaves the pages without a rota; the worker says why."""
    plan: DutyPlan | None = None
    if settings.duty:
        try:
            plan = read_duty(Path(settings.duty)).plan
        except (ConfigError, LocalFault):
            plan = None
    files = SiteFiles(settings)
    return EstateService(store, calls, stream, clock, board=board, brigade=brigade,
                         series=SeriesReader(settings.own_series), inventories=files, duty=plan,
                         certificates=lambda: certificate_ends(settings), titles=files.titles)
