"""Evidence of an incident over HTTP (I/O): a list, and each file with ranges, for those who may see it.

    GET /api/incidents/{incident}/evidence        what is there, and what is still on its way
    GET /evidence/{incident}/{evidence}/{file}    snapshot, clip (206 for a part), signed record; each look audited

Whoever may not see it, or not this site, gets 404: not even that it exists is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from dashboards.people import Person
from dashboards.rights import Deed, may

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,120}\Z")
_TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4", ".json": "application/json"}
_FIRST = re.compile(r"bytes=0-")


class EvidenceFileView(msgspec.Struct, frozen=True):
    """One file. state: coming, whole, refused (its hash did not fit), lost; url: "" until it is whole; got: bytes."""

    name: str
    kind: str
    size: int
    got: int
    state: str
    sha256: str
    url: str = ""
    why: str = ""


class EvidenceView(msgspec.Struct, frozen=True):
    """One piece of evidence, newest first. signed: whether the record's own hashes fit what came."""

    id: str
    camera: str
    scene: str
    zone: str
    decided_us: int
    files: tuple[EvidenceFileView, ...]
    checked: str = ""


class EvidenceDesk(Protocol):
    """What the community OS brings (community_os/evidence_desk.py)."""

    async def site_of(self, incident: str, scope: str) -> str | None:
        """The tenancy path of an incident within a scope."""
        ...

    async def evidence(self, incident: str, scope: str) -> tuple[EvidenceView, ...]:
        """Everything of an incident."""
        ...

    async def file(self, incident: str, evidence: str, name: str) -> Path | None:
        """A whole file."""
        ...

    async def looked(self, path: str, incident: str, who: str, what: str) -> None:
        """Audit a look; raises LocalFault where it cannot be stored: then nothing is shown."""
        ...


def evidence_router(desk: EvidenceDesk, person_of: Callable[[Request], Person]) -> APIRouter:
    """The routes. person_of: who asks; it raises where nobody is signed in."""
    router = APIRouter()

    async def allowed(request: Request, incident: str) -> tuple[Person, str] | None:
        person = person_of(request)
        if not _NAME.match(incident):
            return None
        path = await desk.site_of(incident, person.scope)
        return (person, path) if path is not None and may(person, Deed.SEE_EVIDENCE, path) else None

    @router.get("/api/incidents/{incident}/evidence")
    async def listed(request: Request, incident: str) -> Response:
        found = await allowed(request, incident)
        if found is None:
            return JSONResponse({"refusal": "no such incident, or no right to see its evidence"}, 404)
        views = await desk.evidence(incident, found[0].scope)
        return Response(msgspec.json.encode(views), media_type="application/json",
                        headers={"Cache-Control": "no-store"})

    @router.get("/evidence/{incident}/{evidence}/{name}")
    async def file(request: Request, incident: str, evidence: str, name: str) -> Response:
        found = await allowed(request, incident)
        if found is None or not _NAME.match(evidence) or not _NAME.match(name):
            return JSONResponse({"refusal": "not found"}, 404)
        path = await desk.file(incident, evidence, name)
        if path is None:
            return JSONResponse({"refusal": "not found"}, 404)
        person, site = found
        if not request.headers.get("range") or _FIRST.match(request.headers["range"]):
            # A player asks for many parts of one film: one look is one line.
            await desk.looked(site, incident, person.name, f"{evidence} {name}")
        headers = {"Cache-Control": "private, no-store", "Content-Security-Policy": "default-src 'none'"}
        return FileResponse(path, media_type=_TYPES.get(path.suffix, "application/octet-stream"), headers=headers)

    return router
