"""What makes the pages installable: manifest, worker, and the page that says that there is no contact. No data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from dashboards.kit.texts import text

Page = Callable[..., Response]
_STATIC = Path(__file__).parent / "static"
ICONS = tuple({"src": f"/static/icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png", "purpose": "any"}
              for size in (192, 512))


def frame_router(page: Page) -> APIRouter:
    """The three routes."""
    router = APIRouter()

    @router.get("/manifest/{language}.webmanifest")
    async def manifest(language: str) -> Response:
        shown = language if language in ("zh", "en") else "zh"
        return JSONResponse({
            "name": text("app", shown), "short_name": text("app", shown), "lang": "zh-CN" if shown == "zh" else "en",
            "id": "/", "start_url": "/", "scope": "/", "display": "standalone", "background_color": "#101317",
            "theme_color": "#101317",
            "icons": [{"src": "/static/bell.svg", "sizes": "any", "type": "image/svg+xml"}, *ICONS],
        }, media_type="application/manifest+json")

    @router.get("/worker.js")
    async def worker() -> Response:
        """At the root, so that it stands before every page."""
        return FileResponse(_STATIC / "worker.js", media_type="text/javascript",
                            headers={"Cache-Control": "no-cache"})

    @router.get("/offline")
    async def offline(request: Request) -> Response:
        return page("offline.html", request)

    return router
