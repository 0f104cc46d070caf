"""What reports, rectification notices and dossiers say (values only); the program makes the documents of them."""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.site import Text


class Document(msgspec.Struct, frozen=True):
    """A file for somebody to keep."""

    body: bytes
    name: str
    media_type: str


class NoticeDraft(msgspec.Struct, frozen=True):
    """A rectification notice before it is issued. incident: what it rests on, "" none."""

    facts: str
    clause: str
    demand: str
    days: float
    to: str
    incident: str = ""


class Rectification(msgspec.Struct, frozen=True):
    """An issued notice. number: unique within the city and year. done_us: when somebody confirmed it, 0 open."""

    id: str
    number: str
    path: str
    site_name: Text
    issued_us: int
    due_us: int
    who: str
    draft: NoticeDraft
    done_us: int = 0
    done_by: str = ""
    done_why: str = ""


class RectificationSite(msgspec.Struct, frozen=True):
    """A site to which a notice may go."""

    path: str
    name: Text


class ReportsPage(msgspec.Struct, frozen=True):
    """All of /reports."""

    at_us: int
    notices: tuple[Rectification, ...]
    sites: tuple[RectificationSite, ...]


class Reports(Protocol):
    """What a program brings. Every scope is a tenancy prefix; what lies outside it is not there."""

    async def page(self, scope: str) -> ReportsPage:
        """Notices, the open ones first."""
        ...

    async def report(self, scope: str, period: str, kind: str, language: str) -> Document:
        """period: day, week, month (the last whole ones); kind: pdf, csv. Raises ValueError."""
        ...

    async def issue(self, path: str, draft: NoticeDraft, who: str) -> Rectification:
        """Give it a number and keep it. Raises ValueError with the reason."""
        ...

    async def done(self, notice: str, scope: str, who: str, why: str) -> str:
        """Somebody has seen that it is put right: "" or why not."""
        ...

    async def notice(self, notice: str, scope: str, language: str = "zh") -> Document | None:
        """The printed notice."""
        ...

    async def dossier(self, incident: str, scope: str, who: str, language: str = "zh") -> Document | None:
        """Everything about one incident."""
        ...
