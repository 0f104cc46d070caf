"""Place books of the configured sites (I/O): the file beside each site file, and the drawings that it names.

    riverside.yaml ─► riverside.places.yaml ─► PlaceView   a file that does not fit is said on page and in log;
                      plans/*.svg, *.png    ─► Drawing     the board works without it, or with the book before
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

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


class _Kept(NamedTuple):
    """What a site's book was read from, and what the files looked like then."""

    site_file: str
    inventory: Inventory
    stamp: tuple[tuple[int, int] | None, ...]
    book: PlaceBook | None


class PlaceShelf:
    """All place books of a cloud. A book that changes is read again when somebody asks for it; one that does not fit
    any more leaves the earlier one in force, and says so."""

    def __init__(self) -> None:
        self._views: dict[str, PlaceView] = {}
        self._files: dict[tuple[str, str], Path] = {}
        self._kept: dict[str, _Kept] = {}

    def take(self, setup: SiteSetup, site_file: str) -> None:
        """One site with its book; what does not fit is said and left out."""
        self._read(setup.path, setup.inventory, site_file)

    def _read(self, path: str, inventory: Inventory, site_file: str) -> None:
        stamp, earlier = _stamp(site_file), self._kept.get(path)
        book, lacking = None, ""
        try:
            book = read_places(site_file, inventory)
            lacking = "" if book is not None else f"there is no {places_file(site_file).name} beside the site file"
        except (ConfigError, LocalFault) as error:
            lacking = str(error).splitlines()[0][:300]
            _log.warning("place book left out", site=path, reason=str(error))
            # Half-written, or a slip of the pen: what the brigade could read a minute ago it can read now.
            if earlier is not None and earlier.inventory is inventory:
                book = earlier.book
        for plan in book.plans if book is not None else ():
            self._files[path, plan.id] = places_file(site_file).parent / plan.file
        self._kept[path] = _Kept(site_file, inventory, stamp, book)
        self._views[path] = place_view(inventory, book, lacking)

    def refresh(self, path: str) -> None:
        """Look at the file of one site and read it when it has changed: two stats of the disk where it has not."""
        kept = self._kept.get(path)
        if kept is not None and _stamp(kept.site_file) != kept.stamp:
            self._read(path, kept.inventory, kept.site_file)

    def take_from(self, newer: PlaceShelf) -> None:
        """Everything that another shelf read; what it does not know stays."""
        self._views.update(newer._views)
        self._files.update(newer._files)
        self._kept.update(newer._kept)

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


def _stamp(site_file: str) -> tuple[tuple[int, int] | None, ...]:
    """Time and size of a place book and of its folder of drawings; None for what is not there."""
    book = places_file(site_file)
    found: list[tuple[int, int] | None] = []
    for path in (book, book.parent / "plans"):
        try:
            known = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((known.st_mtime_ns, known.st_size))
    return tuple(found)
