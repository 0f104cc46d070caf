"""~ The person and vehicle detector at work, and how it comes here.

```
 tocsin vision fetch-detector ─► npm pack @mediapipe/objectron@… ─► SHA-256 of the package ─► 9.9 MB out of its assets
                                 or --package FILE (no network)      ─► SHA-256 of the model ─► objects.tflite
```
The weights are not in this repository: a person fetches them once and keeps the package. Without them, or with other
bytes, there is no people count (state shown), never "nobody there" (law of safety 7).
"""

from __future__ import annotations

import hashlib
import os
import queue
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from device_drivers.vision.objects import SIDE, Box, Tile, boxes_of, merged
from device_model.errors import ConfigError, Finding, LocalFault

PACKAGE = "@mediapipe/objectron@0.4.1675468480"
PACKAGE_SHA256 = "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c"
MEMBER = "package/objectron_solution_packed_assets.data"
OFFSET, SIZE = 184, 9_987_728  # the label list stands before the model; the loader beside it names both
MODEL_SHA256 = "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6"
NAME = "objects.tflite"
DEFAULT_FOLDER = Path(__file__).parent / "models"
FETCH_S = 300.0


def model_path(folder: Path | None = None) -> Path:
    """Where the weights lie: TOCSIN_MODELS, else beside the shipped model."""
    return (folder or Path(os.environ.get("TOCSIN_MODELS", "") or DEFAULT_FOLDER)) / NAME


class ObjectDetector:
    """The loaded model; one thread, not shared. Raises LocalFault where the file is missing, other bytes, or does not
    run here."""

    def __init__(self, path: Path | None = None) -> None:
        path = path or model_path()
        try:
            octets = path.read_bytes() if path.stat().st_size == SIZE else b""
        except OSError as error:
            raise LocalFault(
                f"{path}: no person detector here ({error.strerror}): run `tocsin vision fetch-detector`"
            ) from error
        if hashlib.sha256(octets).hexdigest() != MODEL_SHA256:
            raise LocalFault(f"{path}: not the bytes that were tested: run `tocsin vision fetch-detector`")
        try:
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter: Any = Interpreter(model_content=octets, num_threads=1)
            self._interpreter.allocate_tensors()
        except (ImportError, RuntimeError, ValueError) as error:
            raise LocalFault(f"{path}: the person detector does not load: {error}") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = self._interpreter.get_output_details()
        self._boxes = next(o["index"] for o in outputs if o["shape"][-1] == 4)
        self._scores = next(o["index"] for o in outputs if o["shape"][-1] == 24)

    def see(self, picture: NDArray[np.uint8], tiles: tuple[Tile, ...]) -> list[Box]:
        """Everything in these parts of a picture, each thing once. About 22 ms a tile on one core."""
        found: list[Box] = []
        for tile in tiles:
            found += self._look(picture, tile)
        return merged(found)

    def _look(self, picture: NDArray[np.uint8], tile: Tile) -> list[Box]:
        height, width = picture.shape[:2]
        part = picture[
            int(tile.top * height) : max(int(tile.top * height) + 8, round(tile.bottom * height)),
            int(tile.left * width) : max(int(tile.left * width) + 8, round(tile.right * width)),
        ]
        square = Image.fromarray(part).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        values = np.asarray(square, np.float32)[None] / 127.5 - 1
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return boxes_of(
            self._interpreter.get_tensor(self._boxes)[0], self._interpreter.get_tensor(self._scores)[0], tile
        )


class ObjectPool:
    """Object detectors, lent one at a time."""

    def __init__(self, count: int, path: Path | None = None) -> None:
        """Raises LocalFault where there is no detector."""
        self._free: queue.SimpleQueue[ObjectDetector] = queue.SimpleQueue()  # bounded by `count`
        for _ in range(count):
            self._free.put(ObjectDetector(path))

    @contextmanager
    def lend(self) -> Iterator[ObjectDetector]:
        """A detector for the block; waits until one is free."""
        detector = self._free.get()
        try:
            yield detector
        finally:
            self._free.put(detector)


def unpacked(package: Path) -> bytes:
    """The model out of the package. Raises ConfigError where any byte is another than the tested one's."""

    def refuse(what: str) -> ConfigError:
        return ConfigError([Finding(str(package), 0, 0, what, f"give the package {PACKAGE} (npm pack)")])

    try:
        octets = package.read_bytes()
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}") from error
    if hashlib.sha256(octets).hexdigest() != PACKAGE_SHA256:
        raise refuse("the package's SHA-256 is another than the tested one's")
    try:
        with tarfile.open(package) as archive:
            member = archive.extractfile(MEMBER)
            model = member.read(OFFSET + SIZE)[OFFSET:] if member is not None else b""
    except (tarfile.TarError, OSError, KeyError) as error:
        raise refuse(f"{MEMBER} cannot be read: {error}") from error
    if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
        raise refuse("the model's SHA-256 is another than the tested one's")
    return model


def fetch(package: Path | None = None, folder: Path | None = None) -> Path:
    """Bring the model here, from a package file or by npm; its path. Raises ConfigError with the remedy."""
    target = model_path(folder)
    if package is not None:
        model = unpacked(package)
    else:
        with tempfile.TemporaryDirectory() as here:
            model = unpacked(_packed_by_npm(Path(here)))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        fresh.write_bytes(model)
        fresh.replace(target)
    except OSError as error:
        raise ConfigError(
            [Finding(str(target), 0, 0, f"cannot be written: {error.strerror}", "give --folder")]
        ) from error
    return target


def _packed_by_npm(folder: Path) -> Path:
    remedy = f"fetch it elsewhere with `npm pack {PACKAGE}` and give it as --package FILE"
    try:
        done = subprocess.run(
            ["npm", "pack", PACKAGE, "--ignore-scripts", "--silent"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=FETCH_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError([Finding("npm", 0, 0, f"cannot be run: {error}", remedy)]) from error
    packed = sorted(folder.glob("*.tgz"))
    if done.returncode or not packed:
        raise ConfigError([Finding("npm", 0, 0, f"npm pack failed: {done.stderr.strip()[-300:]}", remedy)])
    return packed[0]
