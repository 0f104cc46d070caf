"""~ `tocsin vision learn`: from a folder of labelled clips to a site's head, measured before it is taken.

```
 candidates/ + labels.jsonl ─► frozen net ─► embeddings ─► fit on two thirds ─► before / after on the held-back third
                                                                                  └► refused, or heads/<sha256>.json
```
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from device_drivers.vision.detector import SHIPPED, Detector
from device_drivers.vision.label_book import LabelBook
from device_drivers.vision.learn import Clip, LearnReport, fit
from device_drivers.vision.learn_store import HeadStore, shipped_anchors
from device_drivers.vision.model_card import TRUSTED_KEYS
from device_drivers.vision.record_folder import CandidateFolder
from device_drivers.vision.sources import now_us
from device_model.errors import ConfigError, Finding


def labelled_clips(folder: Path, detector: Detector, progress: Callable[[str], None] = lambda _: None) -> list[Clip]:
    """Every clip that has labels, as the frozen net sees it; pictures that cannot be read are left out."""
    sayings = LabelBook(folder, now_us).current()
    clips = []
    candidates = [c for c in CandidateFolder(folder, 0).clips() if c.id in sayings and not sayings[c.id].skipped]
    for number, candidate in enumerate(candidates):
        progress(f"{number} of {len(candidates)} clips")
        seen = []
        for path in CandidateFolder(folder, 0).pictures(candidate):
            try:
                with Image.open(path) as image:
                    seen.append(detector.learnable(image))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
        if seen:
            clips.append(
                Clip(
                    candidate.id,
                    candidate.group,
                    sayings[candidate.id].labels,
                    np.array([e for e, _ in seen], np.float32),
                    np.array([z for _, z in seen], np.float32),
                )
            )
    progress("")
    return clips


def learn(
    folder: Path,
    heads: Path,
    *,
    by: str,
    model: Path = SHIPPED,
    trusted: tuple[str, ...] = TRUSTED_KEYS,
    dry_run: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> LearnReport:
    """Fit, measure, take or refuse. Raises ConfigError where there is too little, LocalFault where it cannot run."""
    name = " ".join(by.split())
    if not name:
        raise ConfigError([Finding("--by", 0, 0, "nobody's name", "say who answers for this head")])
    if not folder.is_dir():
        raise ConfigError([Finding(str(folder), 0, 0, "no such folder", "give the one of `tocsin vision record`")])
    detector = Detector(model, trusted)
    clips = labelled_clips(folder, detector, progress)
    head = fit(
        clips,
        shipped_anchors(model),
        detector.card.thresholds,
        model_sha256=detector.card.sha256,
        now_us=now_us(),
        by=name,
    )
    if head.report.refused or dry_run:
        return head.report
    return msgspec.structs.replace(head.report, head=HeadStore(heads, now_us).take(head))


def rollback(heads: Path, by: str) -> tuple[str, str]:
    """Take the head in use back. Returns its hash and the one that is in use now ("" none)."""
    return HeadStore(heads, now_us).rollback(" ".join(by.split()) or "unknown")
