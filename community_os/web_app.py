"""The web role put together (I/O): every service behind the pages, and the one application that serves them.

Tests of rights walk and attack exactly this application: what is added here is in their reach by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI

from community_os.board_service import BoardService
from community_os.brigade_service import BrigadeService
from community_os.channel_desk import SettingsChannels
from community_os.claim_service import Claims
from community_os.environment_desk import EnvironmentDesk, read_limits
from community_os.estate_parts import make_estate
from community_os.evidence_desk import IncidentEvidence
from community_os.evidence_files import evidence_files
from community_os.map_service import MapService
from community_os.officer_service import OfficerService
from community_os.pack_courier import NumbersCourier
from community_os.pack_desk import PackDesk
from community_os.pack_recordings import Recordings
from community_os.people_parts import People
from community_os.place_shelf import PlaceShelf
from community_os.report_service import ReportService
from community_os.series_read import SeriesReader
from community_os.settings import CloudSettings
from community_os.site_setup import SiteSetup
from community_os.site_stamps import claimed_site_files, until_sites_change
from community_os.store import IncidentStore, StoreCalls
from community_os.walk_desk import WalkDesk
from community_os.walk_shelf import WalkShelf
from dashboards.officer_parts import OfficerParts
from dashboards.server import create_app
from device_model.clock import Clock
from device_model.errors import ConfigError, LocalFault
from device_model.inventory import Inventory
from device_model.library import read_inventory
from device_model.ports import MessageLink, Stream
from provisioning.authority import Authority

_log = structlog.get_logger("tocsin.cloud")


class Web(msgspec.Struct, frozen=True):
    """The web role. beside: what has to run as long as it serves; the end of any of it is the end of the role."""

    app: FastAPI
    board: BoardService
    beside: tuple[Callable[[], Coroutine[Any, Any, None]], ...]


def web_app(settings: CloudSettings, people: People, store: IncidentStore, calls: StoreCalls, stream: Stream,
            nudges: MessageLink | None, clock: Any) -> Web:
    """The application and what has to go on beside it. clock: with a speed, as the system's."""
    board = BoardService(store, calls, stream, clock, nudges=nudges, partitions=settings.partitions,
                         speed=clock.speed)
    evidence = evidence_desk(settings, store, calls, clock)
    shelf = read_place_shelf(settings)
    sites = read_sites_known(settings)
    officer = OfficerService(store, calls, board, clock, sites=sites, evidence=evidence.facts)
    brigade = BrigadeService(store, calls, shelf, clock, evidence=evidence.facts)
    series = SeriesReader(settings.own_series)
    reports = ReportService(store, calls, officer, clock, sites=sites, evidence=evidence.facts)
    parts = OfficerParts(
        officer, reports, PackDesk(
            store, calls, clock, sites=sites, series=series,
            recordings=Recordings(Path(settings.recordings)) if settings.recordings else None),
        EnvironmentDesk(store, calls, clock, sites=sites, series=series, reports=reports,
                        limits=read_limits(settings.environment_limits)))
    estate = make_estate(settings, store, calls, stream, clock, board, brigade)
    app = create_app(board, estate=estate, clock=clock, sign_in=people.accounts, speed=clock.speed, work=board,
                     brigade=brigade, evidence=evidence, trail=people.book, people=people.pages, officer=parts,
                     claims=Claims(settings, people.book),
                     walks=WalkDesk(WalkShelf(Path(settings.state)), store, calls, clock, sites),
                     channels=SettingsChannels(settings), district=MapService(settings.map, sites, shelf))
    beside = [board.run, lambda: _take_places(settings, shelf, sites)]
    if nudges is not None:
        authority = Authority.open(Path(settings.authority_folder), names=settings.broker.names)
        beside.append(NumbersCourier(store, calls, clock, sites=sites, sign=authority.sign_word,
                                     publish=nudges.publish).run)
    return Web(app, board, tuple(beside))


def read_place_shelf(settings: CloudSettings) -> PlaceShelf:
    """The place books of the configured sites. A site file that does not fit stops the worker, never the board."""
    shelf = PlaceShelf()
    for file in (*claimed_site_files(settings), *settings.sites):
        try:
            shelf.take(SiteSetup(read_inventory(file), None), file)
        except (ConfigError, LocalFault) as error:
            _log.warning("site left out of the places", file=file, reason=str(error))
    return shelf


def read_sites_known(settings: CloudSettings) -> dict[str, Inventory]:
    """The configured sites by path. One whose file does not fit is left out, and the worker says why."""
    sites: dict[str, Inventory] = {}
    for file in (*claimed_site_files(settings), *settings.sites):
        try:
            inventory = read_inventory(file)
        except (ConfigError, LocalFault):
            continue
        sites[inventory.site.tenancy.path] = inventory
    return sites


async def _take_places(settings: CloudSettings, shelf: PlaceShelf, sites: dict[str, Inventory]) -> None:
    """The places of gateways that are claimed while the pages run."""
    while True:
        await until_sites_change(settings)
        shelf.take_from(await asyncio.to_thread(read_place_shelf, settings))
        sites |= await asyncio.to_thread(read_sites_known, settings)


def evidence_desk(settings: CloudSettings, store: IncidentStore, calls: StoreCalls, clock: Clock) -> IncidentEvidence:
    """The evidence of incidents."""
    return IncidentEvidence(evidence_files(settings, clock), store, calls, clock)
