"""Which sources are left out together, so that a cut is made on places and cameras the net has not seen.

Val holds pictures of the same collections as train; a cut on them says little of a new site. With K folds of sources
every real negative is judged once by a net that saw nothing of its collection, not even as a background of a render.
Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

FOLDS = 3
_VIEW = re.compile(r" \(view .*\)$")


def source_of(source: str) -> str:
    """The place or collection a picture is from: the repository; a panorama's views are one place.

    source: "owner/repository/path in it".
    """
    if _VIEW.search(source):
        return _VIEW.sub("", source)
    return "/".join(source.split("/")[:2])


def fold_of(source: str, folds: int = FOLDS) -> int:
    """Always the same for a source, whatever else there is."""
    return hashlib.sha256(source_of(source).encode()).digest()[0] % folds


def held_out(
    fold: int,
    files: Iterable[tuple[str, str]],
    source_by_file: dict[str, str],
    negatives: frozenset[str],
) -> np.ndarray:
    """Which samples are left out of a fold's training.

    files: of each sample the picture and the one set over it ("" for none); negatives: the files of real negatives.
    A render upon a held-out place is left out with it; collections of real fire stay, as cuts ask for negatives.
    """
    gone = {file for file in negatives if fold_of(source_by_file[file]) == fold}
    return np.array([file in gone or over in gone for file, over in files], bool)


def balanced(sources: Sequence[str], folds: int = FOLDS) -> list[int]:
    """How many pictures fall in each fold: said in the card."""
    counts = [0] * folds
    for source in sources:
        counts[fold_of(source, folds)] += 1
    return counts
