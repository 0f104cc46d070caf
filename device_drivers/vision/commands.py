"""~ What `tocsin vision …` does: evaluation over a folder of labelled pictures."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

from device_drivers.vision.detector import SHIPPED, DetectorPool
from device_drivers.vision.labels import LabelRow, parse_labels
from device_drivers.vision.measures import EvalReport, measure
from device_drivers.vision.model_card import CLASSES, TRUSTED_KEYS
from device_model.errors import ConfigError, Finding

WORKERS_MAX = 2  # the stated budget is two cores
PIXELS_MAX = 60_000_000  # a picture of more is refused before it fills the memory


def evaluate(
    images: Path,
    manifest: Path,
    *,
    scores: Path | None = None,
    model: Path = SHIPPED,
    trusted: tuple[str, ...] = TRUSTED_KEYS,
    thresholds: tuple[float, ...] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[EvalReport, list[Finding]]:
    """Judge every picture of the manifest. Returns the report and a finding for every row that could not be judged.

    Raises ConfigError where nothing can be judged at all, LocalFault where the model cannot run.
    """
    try:
        text = manifest.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(
            [Finding(str(manifest), 0, 0, str(error.strerror), "give --manifest a CSV file")]
        ) from error
    if not images.is_dir():
        raise ConfigError([Finding(str(images), 0, 0, "no such folder", "give --images the folder of the pictures")])
    rows, findings = parse_labels(text, str(manifest))
    workers = min(WORKERS_MAX, os.cpu_count() or 1)
    pool = DetectorPool(workers, model, trusted)
    limits = thresholds or pool.card.thresholds

    def judge(row: LabelRow) -> tuple[float, ...] | Finding:
        try:
            image = _open(images, row.file)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return Finding(
                str(manifest),
                row.line,
                0,
                f"{row.file}: {_why(error)}",
                "mend the path below --images or the picture, or take the row out",
            )
        with pool.lend() as detector:
            return detector.see(image).scores

    judged: list[LabelRow] = []
    verdicts: list[tuple[float, ...]] = []
    began = time.monotonic()
    with ThreadPoolExecutor(workers) as threads:
        for index, (row, verdict) in enumerate(zip(rows, threads.map(judge, rows), strict=True)):
            if isinstance(verdict, Finding):
                findings.append(verdict)
            else:
                judged.append(row)
                verdicts.append(verdict)
            if index % 50 == 0:
                progress(f"{index} of {len(rows)} pictures")
    seconds = time.monotonic() - began
    progress("")
    if not judged:
        raise ConfigError(findings)
    if scores is not None:
        _write_scores(scores, judged, verdicts)
    report = measure(
        judged,
        verdicts,
        limits,
        seconds=seconds,
        model=f"{pool.card.name} {pool.card.version}",
        model_sha256=pool.card.sha256,
        errors=len(findings),
    )
    return report, sorted(findings)


def _open(images: Path, file: str) -> Image.Image:
    """The picture of a row: its path below the folder, or its bare name there where the manifest lies elsewhere."""
    path = images / file
    if not path.resolve().is_relative_to(images.resolve()):
        raise ValueError("lies outside --images")
    if not path.exists():
        path = images / Path(file).name
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with Image.open(path) as image:
        if image.width * image.height > PIXELS_MAX:
            raise ValueError(f"{image.width} x {image.height} pixels are too many")
        image.draft("RGB", (1024, 1024))
        return image.convert("RGB")


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such picture"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read"
    return str(error) or type(error).__name__


def _write_scores(path: Path, rows: list[LabelRow], verdicts: list[tuple[float, ...]]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(("file", "class", "score"))
            for row, verdict in zip(rows, verdicts, strict=True):
                out.writerows((row.file, name, f"{score:.5f}") for name, score in zip(CLASSES, verdict, strict=True))
    except OSError as error:
        raise ConfigError(
            [Finding(str(path), 0, 0, str(error.strerror), "give --scores a file that can be written")]
        ) from error
