"""~ Opening anybody's picture files: found where a manifest means them, upright, in eight bits, nothing see-through.

```
 "held\\out\\火.png" ─► below the folder, by its whole path or the end of it ─► RGB as a person sees it
```
A detector that judges a picture lying on its side, or a 16-bit one as plain white, measures the file format.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

PIXELS_MAX = 60_000_000  # decoded; a picture of more is refused before it fills the memory
FORMS: tuple[Literal["NFC"], Literal["NFD"]] = ("NFC", "NFD")  # a name's accents may be stored joined or apart
REDUCED_TO = (1024, 1024)  # a JPEG is decoded at the smallest scale that is still larger than this


def find_picture(folder: Path, name: str) -> Path:
    """The file that a manifest means by `name`: its path below the folder, or the end of its path where the manifest
    was written from another place or on another system.

    Raises FileNotFoundError. Never leaves the folder by "..": links that lie in it are followed, as who made the
    folder put them there.
    """
    for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
        parts = [part for part in spelling.split("/") if part not in ("", ".")]
        for first in range(len(parts)):
            if ".." in parts[first:]:
                continue
            path = folder.joinpath(*parts[first:])
            joined, apart = (unicodedata.normalize(form, str(path)) for form in FORMS)
            for found in (path, Path(joined), Path(apart)):
                if found.is_file():
                    return found
    raise FileNotFoundError(2, "no such picture", name)


def open_picture(path: Path) -> Image.Image:
    """RGB, turned as its EXIF says. Raises OSError, ValueError and what else Pillow raises on a spoilt file."""
    with Image.open(path) as image:
        image.draft("RGB", REDUCED_TO)
        if image.width * image.height > PIXELS_MAX:
            raise ValueError(f"{image.width} x {image.height} pixels are too many")
        image.load()
        return as_seen(image)


def as_seen(image: Image.Image) -> Image.Image:
    """What a viewer would show: 16 bits scaled to 8 (Pillow cuts them off), white behind what is transparent."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        levels = np.asarray(upright, np.int64)
        deep = upright.mode != "I" or int(levels.max(initial=0)) > 255
        return Image.fromarray((np.clip(levels, 0, 65535) >> (8 if deep else 0)).astype(np.uint8)).convert("RGB")
    if "A" in upright.getbands() or "transparency" in upright.info:
        clear = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return upright.convert("RGB")


@contextmanager
def as_far_as_written() -> Iterator[None]:
    """In the block a picture that breaks off is read as far as it goes. Pillow has one switch for the whole process:
    only while no other thread opens pictures."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def written_share(image: Image.Image) -> float:
    """How much of a picture that breaks off is there, from the top, 0 to 1: what is missing has one colour."""
    rows = np.asarray(image)
    differing = np.nonzero((rows != rows[-1, -1]).any(axis=(1, 2)))[0]
    return 0.0 if len(differing) == 0 else float(differing[-1] + 1) / len(rows)


def why_unreadable(error: Exception) -> str:
    """For a finding."""
    if isinstance(error, FileNotFoundError):
        return "no such picture"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read"
    return str(error) or type(error).__name__
