"""~ What `tocsin vision …` does: evaluation over a folder of labelled pictures."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from device_drivers.vision.detector import SHIPPED, DetectorPool
from device_drivers.vision.labels import LabelRow, parse_labels
from device_drivers.vision.measures import EvalReport, measure
from device_drivers.vision.model_card import CLASSES, TRUSTED_KEYS
from device_drivers.vision.picture_files import (
    as_far_as_written,
    find_picture,
    open_picture,
    why_unreadable,
    written_share,
)
from device_model.errors import ConfigError, Finding

WORKERS_MAX = 2  # the stated budget is two cores
WRITTEN_MIN = 0.5  # of a picture that breaks off; less says nothing of the scene


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
    text = read_manifest(manifest)
    if not images.is_dir():
        raise ConfigError([Finding(str(images), 0, 0, "no such folder", "give --images the folder of the pictures")])
    if scores is not None:
        _check_scores(scores)
    rows, findings, notes = parse_labels(text, str(manifest))
    workers = min(WORKERS_MAX, os.cpu_count() or 1)
    pool = DetectorPool(workers, model, trusted)
    limits = thresholds or pool.card.thresholds
    rows, paths, lost = _found(images, rows, str(manifest))
    findings += lost

    def judge(path: Path) -> tuple[float, ...] | Exception:
        try:
            image = open_picture(path)
        except Exception as error:  # noqa: BLE001  # Pillow raises anything on a spoilt file; the next picture goes on
            return error
        with pool.lend() as detector:
            return detector.see(image).scores

    verdicts: dict[int, tuple[float, ...]] = {}
    spoilt: dict[int, Exception] = {}
    began = time.monotonic()
    with ThreadPoolExecutor(workers) as threads:
        for index, verdict in enumerate(threads.map(judge, paths)):
            if isinstance(verdict, Exception):
                spoilt[index] = verdict
            else:
                verdicts[index] = verdict
            if index % 50 == 0:
                progress(f"{index} of {len(rows)} pictures")
    for index, error in spoilt.items():
        image = _as_far_as_it_goes(paths[index])
        if image is None:
            findings.append(_unusable(str(manifest), rows[index], why_unreadable(error)))
            continue
        notes.append(f"{manifest}:{rows[index].line}: {rows[index].file} breaks off and was judged as far as it goes")
        with pool.lend() as detector:
            verdicts[index] = detector.see(image).scores
    seconds = time.monotonic() - began
    progress("")
    if not verdicts:
        raise ConfigError(findings)
    judged = [rows[index] for index in sorted(verdicts)]
    each = [verdicts[index] for index in sorted(verdicts)]
    if scores is not None:
        _write_scores(scores, judged, each)
    report = measure(
        judged,
        each,
        limits,
        seconds=seconds,
        model=f"{pool.card.name} {pool.card.version}",
        model_sha256=pool.card.sha256,
        errors=len(findings),
        notes=notes,
    )
    return report, sorted(findings)


def read_manifest(manifest: Path) -> str:
    """A CSV file's text: UTF-8 with or without its mark, UTF-16 with its mark, else GB 18030, as spreadsheets here
    write. Raises ConfigError where the file cannot be read."""
    try:
        octets = manifest.read_bytes()
    except OSError as error:
        raise ConfigError(
            [Finding(str(manifest), 0, 0, str(error.strerror), "give --manifest a CSV file")]
        ) from error
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return octets.decode("utf-16", errors="replace")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return octets.decode("gb18030", errors="replace")


def _found(images: Path, rows: list[LabelRow], name: str) -> tuple[list[LabelRow], list[Path], list[Finding]]:
    """The rows whose picture is there, their files, and a finding for each other row."""
    there: dict[Path, LabelRow] = {}
    lost = []
    for row in rows:
        try:
            path = find_picture(images, row.file)
        except (OSError, ValueError) as error:
            lost.append(_unusable(name, row, why_unreadable(error)))
            continue
        if path in there:
            lost.append(_unusable(name, row, f"would be the picture of line {there[path].line}"))
        else:
            there[path] = row
    return list(there.values()), list(there), lost


def _unusable(name: str, row: LabelRow, why: str) -> Finding:
    remedy = "mend the path below --images or the picture, or take the row out"
    return Finding(name, row.line, 0, f"{row.file}: {why}", remedy)


def _as_far_as_it_goes(path: Path) -> Image.Image | None:
    """A picture that breaks off beyond its middle; None where less is there, or it is broken in another way."""
    try:
        with as_far_as_written():
            image = open_picture(path)
    except Exception:  # noqa: BLE001  # the first reading's error is what is told
        return None
    return image if written_share(image) >= WRITTEN_MIN else None


def _check_scores(path: Path) -> None:
    """Before an hour of judging, not after it."""
    if not path.parent.is_dir() or path.is_dir():
        raise ConfigError([Finding(str(path), 0, 0, "cannot be written", "give --scores a file in a folder that is")])


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
