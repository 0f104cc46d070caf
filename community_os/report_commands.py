"""Plain functions behind `tocsin cloud report` (I/O): the same documents as the page's buttons give."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from community_os.officer_service import OfficerService
from community_os.report_service import ReportService
from community_os.settings_source import read_settings
from community_os.store import inline
from dashboards.report import Document
from device_model.errors import LocalFault
from device_model.system_clock import clock_from_environment

T = TypeVar("T")


class ReportWritten(msgspec.Struct, frozen=True):
    """What was written where."""

    scope: str
    period: str
    files: tuple[str, ...]
    bytes: tuple[int, ...]

    def text(self) -> str:
        """For people."""
        return "\n".join(f"{name}  {size} bytes" for name, size in zip(self.files, self.bytes, strict=True))


def report_of(config: Path | None, period: str, scope: str, *, pdf: Path | None, csv: Path | None, language: str,
              dossier: str = "") -> ReportWritten:
    """Write a report of a scope, or (dossier) everything about one incident, as files. Raises LocalFault."""
    wanted = [(kind, file) for kind, file in (("pdf", pdf), ("csv", csv)) if file is not None]
    if not wanted:
        raise LocalFault("nothing is to be written: give --pdf FILE or --csv FILE")

    async def make(reports: ReportService) -> list[Document]:
        if dossier:
            found = await reports.dossier(dossier, scope, "tocsin cloud report", language)
            if found is None:
                raise LocalFault(f"there is no incident {dossier!r} in {scope or 'any scope'}")
            return [found]
        return [await reports.report(scope, period, kind, language) for kind, _ in wanted]

    try:
        documents = _with_reports(config, make)
        for (_, file), document in zip(wanted, documents, strict=False):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(document.body)
    except ValueError as error:
        raise LocalFault(str(error)) from error
    except OSError as error:
        raise LocalFault(f"{error.filename}: {error.strerror}; check the folder and the space on the disk") from error
    return ReportWritten(scope, period, tuple(str(file) for _, file in wanted),
                         tuple(len(document.body) for document in documents))


def _with_reports(config: Path | None, use: Callable[[ReportService], Awaitable[T]]) -> T:
    from community_os.store_opening import open_store
    from community_os.web_app import evidence_desk, read_sites_known

    settings, clock = read_settings(config), clock_from_environment()
    store = open_store(settings)
    try:
        sites, evidence = read_sites_known(settings), evidence_desk(settings, store, inline, clock)
        officer = OfficerService(store, inline, None, clock, sites=sites, evidence=evidence.facts)
        reports = ReportService(store, inline, officer, clock, sites=sites, evidence=evidence.facts)

        async def run() -> T:
            return await use(reports)

        return asyncio.run(run())
    finally:
        store.close()
