"""Calibration and cuts: from logits on val, and on sources left out of training, to the card's numbers. Pure.

```
 fold k (trained without source S) ─► logits on S's negatives ──┐ how far unseen places reach above seen ones
                                   └► logits on val's negatives ┴─► margin a class
 the shipped net ─► logits on val's negatives ─► 98 % quantile + margin = cut ─► Platt's line ─► threshold
```
`eval_only` has no say here: a cut made on it would flatter it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tools.vision_train.shapes import CLASSES

Floats = np.ndarray
QUANTILE = 0.98  # of negatives that are scenes: three classes then make some 5 % of false alarms at the most
MARGIN_MIN, MARGIN_MAX = 0.5, 3.0  # in logits; below: val flatters; above: a fold was trained badly
INT8_AUC_LOSS_MAX = 0.01
EASY = ("neg_people",)  # face close-ups are half of the negatives and too easy to make a cut on


def is_scene(kind: str) -> bool:
    """Whether a negative counts for cuts. Not frames of fire films before the fire: a net that was taught their fires
    and not them takes the collection itself for a fire."""
    return kind.startswith("neg_") and kind not in EASY


class FoldLogits(NamedTuple):
    """What one fold's net said. unseen, val: (kind, logits a class) of real negatives."""

    unseen: list[tuple[str, Floats]]
    val: list[tuple[str, Floats]]


def parse_fold(told: dict[str, list[list[object]]], val_negatives: frozenset[str]) -> FoldLogits:
    """From fit's JSON. val_negatives: files of val's real negatives."""

    def row(entry: list[object]) -> tuple[str, Floats]:
        return str(entry[1]), np.array(entry[2:], float)

    return FoldLogits([row(e) for e in told["unseen"]], [row(e) for e in told["val"] if e[0] in val_negatives])


def quantiles(rows: Sequence[tuple[str, Floats]], share: float = QUANTILE) -> Floats:
    """Of the scenes among them, a class."""
    return np.quantile(np.array([logit for kind, logit in rows if is_scene(kind)]), share, axis=0)


def margins(folds: Sequence[FoldLogits], share: float = QUANTILE) -> list[float]:
    """How far the negatives of unseen sources reach above val's, each fold measured against its own net."""
    away = [
        (kind, logit - quantiles(fold.val, share))
        for fold in folds
        for kind, logit in fold.unseen
        if is_scene(kind)
    ]
    raw = quantiles(away, share)
    return [float(np.clip(m, MARGIN_MIN, MARGIN_MAX)) for m in raw]


def cuts(val: Sequence[tuple[str, Floats]], margin: Sequence[float]) -> list[float]:
    """The shipped net's cuts in logits, a class."""
    return [float(q + m) for q, m in zip(quantiles(val), margin, strict=True)]


def harder(folds: Sequence[dict[str, list[list[object]]]], share: float = 0.93) -> list[str]:
    """Files of negatives that fooled the fold that had not seen their source: the next run weighs them more."""
    found: set[str] = set()
    for told in folds:
        rows = [(str(e[1]), np.array(e[2:], float)) for e in told["unseen"]]
        limit = quantiles(rows, share)
        found |= {str(e[0]) for e, (_, logit) in zip(told["unseen"], rows, strict=True) if (logit > limit).any()}
    return sorted(found)


def by_kind(folds: Sequence[FoldLogits], margin: Sequence[float]) -> dict[str, tuple[int, int]]:
    """False alarms of any class and count on unseen sources, by kind, at each fold's own val quantile plus margin."""
    out: dict[str, tuple[int, int]] = {}
    for fold in folds:
        limit = quantiles(fold.val) + np.array(margin)
        for kind, logit in fold.unseen:
            wrong, count = out.get(kind, (0, 0))
            out[kind] = (wrong + bool((logit >= limit).any()), count + 1)
    return dict(sorted(out.items()))


def platt(logit: Floats, label: Floats) -> tuple[float, float]:
    """Slope and offset of a probability, by Newton's method, with the classes weighed alike."""
    keep = label >= 0
    x, y = logit[keep].astype(float), label[keep].astype(float)
    if y.min() == y.max():
        return 1.0, 0.0
    w = np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    a, b = 1.0, 0.0
    for _ in range(60):
        p = 1 / (1 + np.exp(-(a * x + b)))
        g = np.array([(w * (p - y) * x).sum() + 1e-3 * (a - 1), (w * (p - y)).sum()])
        r = w * p * (1 - p)
        h = np.array([[(r * x * x).sum() + 1e-3, (r * x).sum()], [(r * x).sum(), r.sum() + 1e-9]])
        step = np.linalg.solve(h, g)
        a, b = a - float(np.clip(step[0], -0.5, 0.5)), b - float(np.clip(step[1], -2, 2))
    return a, b


def threshold(cut: float, line: tuple[float, float]) -> float:
    """A cut in logits as a probability, kept inside what a card may hold."""
    return round(min(0.995, max(0.005, 1 / (1 + math.exp(-(line[0] * cut + line[1]))))), 4)


def quantisation_faults(exact: dict[str, float], small: dict[str, float]) -> list[str]:
    """The classes in which int8 loses too much against fp32 (AUC on val), in words. Empty: it may ship."""
    return [
        f"{name}: int8 loses {exact[name] - small[name]:.4f} of AUC, {INT8_AUC_LOSS_MAX} is the most"
        for name in CLASSES
        if not exact[name] - small[name] <= INT8_AUC_LOSS_MAX
    ]
