"""Place books of the configured sites (I/O): the file beside each site file, and the drawings that it names.

    riverside.yaml ─► riverside.places.yaml ─► PlaceView   a file that does not fit is said on page and in log;
                      plans/*.svg, *.png    ─► Drawing     the board works without it
"""

from __future__ import annotations

from pathlib import Path

import structlog

from community_os.site_setup import SiteSetup
from dashboards.brigade import Drawing
from device_model.errors import ConfigError, LocalFault
from device_model.inventory import Inventory
from device_model.library import read_inventory, read_text
from device_model.place_book import PlaceBook, PlaceView
from device_model.place_file import parse_places, place_view

DRAWING_BYTES_MAX = 4 * 1024 * 1024
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}

_log = structlog.get_logger("tocsin.places")


def places_file(site_file: str | Path) -> Path:
    """Where the place book of a site file is."""
    path = Path(site_file)
    return path.with_name(f"{path.stem}.places.yaml")


def read_places(site_file: str | Path, inventory: Inventory | None = None) -> PlaceBook | None:
    """The place book beside a site file, None where there is none. Raises ConfigError, LocalFault."""
    path = places_file(site_file)
    if not path.exists():
        return None
    return parse_places(read_text(path), str(path), inventory or read_inventory(site_file))


def missing_drawings(site_file: str | Path, book: PlaceBook) -> list[str]:
    """Drawings that the book names and that are not there, or are too large."""
    folder = places_file(site_file).parent
    found = []
    for plan in book.plans:
        path = folder / plan.file
        if not path.is_file():
            found.append(f"{path}: there is no such drawing")
        elif path.stat().st_size > DRAWING_BYTES_MAX:
            found.append(f"{path}: larger than {DRAWING_BYTES_MAX} bytes")
    return found


class PlaceShelf:
    """All place books of a cloud, read once when it starts."""

    def __init__(self) -> None:
        self._views: dict[str, PlaceView] = {}
        self._files: dict[tuple[str, str], Path] = {}

    def take(self, setup: SiteSetup, site_file: str) -> None:
        """One site with its book; what does not fit is said and left out."""
        book, lacking = None, ""
        try:
            book = read_places(site_file, setup.inventory)
            lacking = "" if book is not None else f"there is no {places_file(site_file).name} beside the site file"
        except (ConfigError, LocalFault) as error:
            lacking = str(error).splitlines()[0][:300]
            _log.warning("place book left out", site=setup.path, reason=str(error))
        for plan in book.plans if book is not None else ():
            self._files[setup.path, plan.id] = places_file(site_file).parent / plan.file
        self._views[setup.path] = place_view(setup.inventory, book, lacking)

    def take_from(self, newer: PlaceShelf) -> None:
        """Everything that another shelf read; what it does not know stays."""
        self._views.update(newer._views)
        self._files.update(newer._files)

    def view(self, path: str) -> PlaceView | None:
        """What pages read of one site."""
        return self._views.get(path)

    def drawing(self, path: str, plan: str) -> Drawing | None:
        """A plan's picture; None where it is not there or not what it says."""
        file = self._files.get((path, plan))
        if file is None:
            return None
        try:
            with file.open("rb") as opened:
                body = opened.read(DRAWING_BYTES_MAX + 1)
        except OSError as error:
            _log.warning("drawing cannot be read", file=str(file), reason=str(error))
            return None
        return Drawing(body, _TYPES[file.suffix.lower()]) if len(body) <= DRAWING_BYTES_MAX else None
