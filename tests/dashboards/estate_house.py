"""The brigade's house with the property manager's pages: duty book, maintenance, meters with a month of counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cloud_bridge.sqlite_series import SqliteSeries
from community_os.estate_service import EstateService
from community_os.series_read import SeriesReader
from community_os.settings import CloudSeries
from community_os.store import IncidentStore, inline
from dashboards.people import SignIn
from dashboards.server import create_app
from device_model.clock import DAY_US, HOUR_US
from device_model.command import CommandOutcome, CommandResult
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import CommandResultRecord, ImpairmentRecord
from device_model.series import Sample
from tests.dashboards.brigade_house import FILES, RIVERSIDE, BrigadeHouse


class EstateHouse(BrigadeHouse):
    """`gateway_answers` lets the site's gateway do what it was asked."""

    def __init__(self, folder: Path, sign_in: SignIn | None = None) -> None:
        # A file: the pages' thread and the tests' would share one connection to a store in memory.
        store = IncidentStore(f"sqlite:///{folder}/incidents.sqlite")
        store.open()
        super().__init__(sign_in, store=store)
        series = CloudSeries(path=str(folder / "series.sqlite"), raw_days=36500)
        self.certificates: dict[tuple[str, str], int] = {}
        assert FILES.duty is not None
        self.estate = EstateService(
            self.store, inline, self, self.clock, board=self.board,  # type: ignore[arg-type]  # its get is all that is used
            brigade=self.brigade, series=SeriesReader(series), inventories=lambda: self.inventories,
            duty=FILES.duty.plan, certificates=lambda: self.certificates,
            titles=lambda: {"Low battery": "电池电压低"})
        self.app = create_app(self.board, clock=self.clock, sign_in=sign_in, work=self.board, brigade=self.brigade,
                              estate=self.estate)
        self._series = series

    async def get(self, key: str) -> tuple[bytes, int] | None:
        path = key.removeprefix("site.").replace(".", "/")
        if path not in self.workers:
            return None
        return b'{"sequence":1,"state":' + self.workers[path].checkpoint() + b"}", 1

    def count(self, point: str, quantity: str, unit: str, days: int = 30, path: str = RIVERSIDE) -> None:
        """A month of a counter, one day of it missing."""
        now_us = self.now_us()
        samples, total = [], 1000.0
        for hour in range(days * 24, -1, -1):
            total += 0.4 + (hour % 24) / 40
            at_us = now_us - hour * HOUR_US
            if not 9 * DAY_US < now_us - at_us < 11 * DAY_US:
                samples.append(Sample(path, "gw-1", "b1-301", point, quantity, unit, at_us, round(total, 2)))

        async def keep() -> None:
            file = SqliteSeries(self._series)
            await file.write(samples)
            await file.close()

        asyncio.run(keep())

    def gateway_answers(self, path: str = RIVERSIDE) -> list[Any]:
        """What was asked is applied, and the impairment that follows is told."""
        asked = list(self.workers[path]._maintenance.asked.values())
        for one in asked:
            command, now_us = one.command, self.now_us()
            done = CommandResult(command.id, command.kind, command.target, CommandOutcome.APPLIED, now_us)
            self.up(CommandResultRecord(done), path=path)
            lack = Impairment(ImpairmentKind.ISOLATED, command.target, command.issued_us, who=command.who,
                              why=command.why, compensation=command.compensating_measure, expires_us=one.until_us)
            ended = now_us if not one.until_us else 0
            self.up(ImpairmentRecord(ImpairmentChange(lack, ended)), path=path)
        return asked
