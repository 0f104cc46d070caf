"""The officer's pages put together: which parts a program brings, and their routes."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter

from dashboards.environment import Environment
from dashboards.environment_pages import environment_router
from dashboards.officer import Officer
from dashboards.officer_pages import Page, PersonOf, officer_router
from dashboards.pack_pages import pack_router
from dashboards.packs import Packs
from dashboards.report import Reports
from dashboards.report_pages import report_router
from device_model.clock import Clock


class OfficerParts(msgspec.Struct, frozen=True):
    """What a program brings; None: that page is not there."""

    officer: Officer
    reports: Reports | None = None
    packs: Packs | None = None
    environment: Environment | None = None


def officer_routers(
    parts: OfficerParts, person_of: PersonOf, page: Page, clock: Clock, *, speed: float, signed: bool
) -> list[APIRouter]:
    """All routes. signed: names come from the sign-in."""
    routers = [officer_router(parts.officer, person_of, page, clock, speed=speed, signed=signed)]
    if parts.reports is not None:
        routers.append(report_router(parts.reports, person_of, page, signed=signed))
    if parts.packs is not None:
        routers.append(pack_router(parts.packs, person_of, page, signed=signed))
    if parts.environment is not None:
        routers.append(environment_router(parts.environment, person_of, page, signed=signed))
    return routers
