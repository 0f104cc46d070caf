"""The shipped anchors as bytes: what the net knew of labelled pictures, so that a site's head does not forget. Pure.

b"TCANCH1\n" · rows, size (u32 little endian) · embeddings f16 · logits f32 · labels i8, all gzip
"""

from __future__ import annotations

import gzip
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.learn import Anchors
from device_drivers.vision.model_card import CLASSES
from device_model.errors import LocalFault

MAGIC = b"TCANCH1\n"
BYTES_MAX = 8 * 1024 * 1024  # the shipped ones take a fifth of a MiB
_HEAD = struct.Struct("<8sII")


def pack_anchors(
    embeddings: NDArray[np.floating], logits: NDArray[np.floating], labels: NDArray[np.integer]
) -> bytes:
    """The same bytes for the same numbers."""
    rows, size = embeddings.shape
    parts = (
        _HEAD.pack(MAGIC, rows, size),
        embeddings.astype("<f2").tobytes(),
        logits.astype("<f4").tobytes(),
        labels.astype("i1").tobytes(),
    )
    return gzip.compress(b"".join(parts), 9, mtime=0)


def parse_anchors(octets: bytes, name: str) -> Anchors:
    """Raises LocalFault where the bytes are no anchors."""
    try:
        inflater = zlib.decompressobj(wbits=31)
        plain = inflater.decompress(octets, BYTES_MAX)
        magic, rows, size = _HEAD.unpack_from(plain)
    except (zlib.error, struct.error) as error:
        raise LocalFault(f"{name}: no anchors: {error}; install the release's own file") from error
    classes = len(CLASSES)
    parts = (rows * size * 2, rows * classes * 4, rows * classes)
    if magic != MAGIC or not rows or len(plain) != _HEAD.size + sum(parts):
        raise LocalFault(f"{name}: no anchors of this version; install the release's own file")
    first, second = _HEAD.size + parts[0], _HEAD.size + parts[0] + parts[1]
    return Anchors(
        np.frombuffer(plain[_HEAD.size : first], "<f2").reshape(rows, size).astype(np.float32),
        np.frombuffer(plain[first:second], "<f4").reshape(rows, classes).astype(np.float32),
        np.frombuffer(plain[second:], "i1").reshape(rows, classes).astype(np.int8),
    )
