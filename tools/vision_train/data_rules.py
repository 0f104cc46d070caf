"""What may be learnt from: licence tiers, splits, labels. Checked before every run.

    tier A  the picture's or data set's own licence was read     may be learnt from, may be shown
    tier B  only the repository's licence covers it              may be learnt from if the card says so; never shown
    tier C  no licence                                           measured with, never learnt from
A split keeps a source together where it can: what is judged must not be a neighbour frame of what was learnt.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

from tools.vision_train.shapes import CLASSES
from tools.vision_train.source_folds import source_of

LEARNT = ("A", "B")
COLUMNS = ("file", *CLASSES, "kind", "source_repo", "source_path", "licence", "licence_tier", "split", "synthetic")


def refusals(manifest: Path, tiers: str = "AB") -> list[str]:
    """Why a manifest may not be learnt from, in words; empty where it may."""
    if not set(tiers) <= set(LEARNT):
        return [f"tiers {tiers}: only {' and '.join(LEARNT)} may be learnt from"]
    try:
        with manifest.open(encoding="utf-8", newline="") as lines:
            table = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                return [f"{manifest}: column(s) {', '.join(missing)} are missing"]
            rows = list(table)
    except OSError as error:
        return [f"{manifest}: {error.strerror}: give --data the folder of manifest.csv"]
    return row_refusals(rows)


def row_refusals(rows: list[dict[str, str]]) -> list[str]:
    """The same of rows."""
    found = []
    places: dict[str, set[str]] = {}
    for number, row in enumerate(rows, 2):
        if row["split"] == "train" and row["licence_tier"] not in LEARNT:
            found.append(f"line {number}: {row['file']} is of tier {row['licence_tier']} and stands in train")
        if any(row[name] not in ("-1", "0", "1") for name in CLASSES):
            found.append(f"line {number}: {row['file']} has a label that is none of -1, 0, 1")
        if row["split"] not in ("train", "val", "eval_only"):
            found.append(f"line {number}: {row['file']} is in no split that is known: {row['split']}")
        if row["licence_tier"] == "A" and not row["licence"].strip():
            found.append(f"line {number}: {row['file']} is of tier A and names no licence")
        places.setdefault(row["file"], set()).add(row["split"])
    found += [f"{file} stands in {' and '.join(sorted(s))}" for file, s in sorted(places.items()) if len(s) > 1]
    return found[:50]


def table_of(rows: list[dict[str, str]]) -> dict[str, dict[str, int]]:
    """Counts for the card: split, then "kind, tier"."""
    out: dict[str, Counter[str]] = {}
    for row in rows:
        out.setdefault(row["split"], Counter())[f"{row['kind']}, {row['licence_tier']}"] += 1
    return {split: dict(sorted(counts.items())) for split, counts in sorted(out.items())}


def split_of(source: str, val_percent: int = 15) -> str:
    """Where a new source goes: always the same answer, whole sources, by their name."""
    number = hashlib.sha256(b"split" + source_of(source).encode()).digest()[0]
    return "val" if number * 100 < val_percent * 256 else "train"
