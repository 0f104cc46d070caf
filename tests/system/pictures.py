"""The pictures of docs/pictures.md, taken on the way of the main paths; none where nobody asked for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboards.kit.texts import text
from tests.dashboards.visits import DRAWN
from tools.pictures import BYTES_MAX, FEWER, LANGUAGES, PAGES, VARIABLE


class Camera:
    """Takes a page in both languages, and leaves it as it was."""

    def __init__(self) -> None:
        asked = os.environ.get(VARIABLE, "")
        self.folder = Path(asked) if asked else None
        self.taken: set[str] = set()

    def take(self, page: Any, name: str, *, width: int = 1100, height: int = 720,
             before: Callable[[Any], None] = lambda page: None) -> None:
        """What the page shows now, opened anew in each language. before: what is done to it then."""
        if self.folder is None:
            return
        self.taken.add(name)
        size = page.viewport_size
        page.set_viewport_size({"width": width, "height": height})
        for language in reversed(LANGUAGES):  # English at the end: the paths go on in it
            origin = "/".join(page.url.split("/")[:3])
            page.context.add_cookies([{"name": "tocsin_language", "value": language, "url": origin}])
            page.reload(wait_until="load")
            page.wait_for_function(DRAWN, arg=text("incidents.loading", language))
            before(page)
            page.wait_for_timeout(400)  # plots and maps are drawn after their values came; only pictures wait for it
            self._keep(page, self.folder / f"page-{name}-{language}.png")
        page.set_viewport_size(size)

    def take_the_rest(self, page: Any, url: str) -> None:
        """Pages that no path leads over, as this person gets them."""
        for name, where, *_ in PAGES:
            if self.folder is not None and name not in self.taken and where.startswith("/"):
                page.goto(url + where)
                self.take(page, name)

    def _keep(self, page: Any, path: Path) -> None:
        page.screenshot(path=str(path))
        small = path.with_suffix(".small.png")
        subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-i", str(path), "-vf", FEWER, str(small)], check=True)
        small.replace(path)
        assert path.stat().st_size <= BYTES_MAX, f"{path.name} has {path.stat().st_size} bytes"
