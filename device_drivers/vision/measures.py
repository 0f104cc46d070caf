"""How good, in figures that a person can check: AUC with its interval, precision, recall, false alarms by kind.

Pictures labelled -1 in a class are left out of that class. A negative is a picture with a 0 and no 1; an alarm on it
counts in the classes where somebody looked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from device_drivers.vision.labels import LabelRow
from device_drivers.vision.model_card import CLASSES

Z95 = 1.959964
NOTES_MAX = 100  # a report stays readable; what is beyond is counted


class ClassMeasure(msgspec.Struct, frozen=True):
    """One class at its threshold. interval_95: of roc_auc; recall_95: of recall. None where a side has no picture."""

    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    threshold: float
    n_pos: int
    n_neg: int
    interval_95: tuple[float, float] | None
    recall_95: tuple[float, float] | None
    true_alarms: int
    false_alarms: int


class AnyMeasure(msgspec.Struct, frozen=True):
    """All classes together. recall: pictures that show something and alarmed in any class."""

    recall: float | None
    false_alarm_rate: float | None
    n_pos: int
    n_neg: int
    false_alarm_95: tuple[float, float] | None


class KindMeasure(msgspec.Struct, frozen=True):
    """One kind of picture. alarms: how many pictures alarmed, by class; rates as in AnyMeasure."""

    n: int
    n_pos: int
    n_neg: int
    alarms: dict[str, int]
    recall: float | None
    false_alarm_rate: float | None


class EvalReport(msgspec.Struct, frozen=True):
    """What `tocsin vision eval --json` prints. errors: rows that could not be judged. notes: what was judged, but not
    as the manifest says it (named twice, breaks off)."""

    classes: dict[str, ClassMeasure]
    any: AnyMeasure
    by_kind: dict[str, KindMeasure]
    ms_per_image: float
    images: int
    seconds: float
    model: str
    model_sha256: str
    errors: int = 0
    notes: tuple[str, ...] = ()
    notes_left_out: int = 0

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.images} pictures, {self.ms_per_image:.1f} ms each, model {self.model} {self.model_sha256[:12]}"
        ]
        for name, m in self.classes.items():
            lines.append(
                f"{name:9} AUC {_show(m.roc_auc)} {_between(m.interval_95)}  recall {_show(m.recall)} "
                f"precision {_show(m.precision)} F1 {_show(m.f1)} at {m.threshold:.3f}  "
                f"({m.n_pos} shown, {m.n_neg} not)"
            )
        lines.append(
            f"any class: recall {_show(self.any.recall)} of {self.any.n_pos}, false alarms "
            f"{_show(self.any.false_alarm_rate)} {_between(self.any.false_alarm_95)} of {self.any.n_neg} negatives"
        )
        for kind, k in self.by_kind.items():
            lines.append(
                f"  {kind:24} {k.n:5}  recall {_show(k.recall)}  false alarms {_show(k.false_alarm_rate)}  "
                + " ".join(f"{name} {count}" for name, count in k.alarms.items() if count)
            )
        return "\n".join(lines)


def _show(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def wilson(hits: int, of: int) -> tuple[float, float] | None:
    """95 % interval of a share (Wilson's score interval)."""
    if of == 0:
        return None
    p, z2 = hits / of, Z95 * Z95
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = Z95 * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def roc_auc(shown: Sequence[float], not_shown: Sequence[float]) -> tuple[float, tuple[float, float]] | None:
    """Area under the curve by ranks, ties half, with DeLong's 95 % interval. None where a side is empty."""
    m, n = len(shown), len(not_shown)
    if not m or not n:
        return None
    every, ours, theirs = _midranks([*shown, *not_shown]), _midranks(shown), _midranks(not_shown)
    area = (sum(every[:m]) - m * (m + 1) / 2) / (m * n)
    above = [(every[i] - ours[i]) / n for i in range(m)]
    below = [1 - (every[m + j] - theirs[j]) / m for j in range(n)]
    spread = math.sqrt(_variance(above) / m + _variance(below) / n)
    return area, (round(max(0.0, area - Z95 * spread), 4), round(min(1.0, area + Z95 * spread), 4))


def _midranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for i in order[start : end + 1]:
            ranks[i] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _variance(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)


def _share(hits: int, of: int) -> float | None:
    return round(hits / of, 4) if of else None


def _class_measure(
    index: int, rows: Sequence[LabelRow], scores: Sequence[Sequence[float]], threshold: float
) -> ClassMeasure:
    shown = [s[index] for row, s in zip(rows, scores, strict=True) if row.labels[index] == 1]
    absent = [s[index] for row, s in zip(rows, scores, strict=True) if row.labels[index] == 0]
    hits, wrong = sum(s >= threshold for s in shown), sum(s >= threshold for s in absent)
    area = roc_auc(shown, absent)
    return ClassMeasure(
        precision=_share(hits, hits + wrong),
        recall=_share(hits, len(shown)),
        f1=_share(2 * hits, 2 * hits + wrong + len(shown) - hits) if shown else None,
        roc_auc=None if area is None else round(area[0], 4),
        threshold=threshold,
        n_pos=len(shown),
        n_neg=len(absent),
        interval_95=None if area is None else area[1],
        recall_95=wilson(hits, len(shown)),
        true_alarms=hits,
        false_alarms=wrong,
    )


def _false_alarm(row: LabelRow, score: Sequence[float], thresholds: Sequence[float]) -> bool:
    return any(label == 0 and s >= t for label, s, t in zip(row.labels, score, thresholds, strict=True))


def _alarm(score: Sequence[float], thresholds: Sequence[float]) -> bool:
    return any(s >= t for s, t in zip(score, thresholds, strict=True))


def measure(
    rows: Sequence[LabelRow],
    scores: Sequence[Sequence[float]],
    thresholds: Sequence[float],
    *,
    seconds: float,
    model: str,
    model_sha256: str,
    errors: int = 0,
    notes: Sequence[str] = (),
) -> EvalReport:
    """The report. scores: one probability a class for each row, in the order of CLASSES."""
    pairs = list(zip(rows, scores, strict=True))
    kinds: dict[str, list[tuple[LabelRow, Sequence[float]]]] = {}
    for row, score in pairs:
        kinds.setdefault(row.kind, []).append((row, score))
    return EvalReport(
        classes={name: _class_measure(i, rows, scores, thresholds[i]) for i, name in enumerate(CLASSES)},
        any=_any_measure(pairs, thresholds),
        by_kind={kind: _kind_measure(kinds[kind], thresholds) for kind in sorted(kinds)},
        ms_per_image=round(1000 * seconds / max(1, len(rows)), 2),
        images=len(rows),
        seconds=round(seconds, 3),
        model=model,
        model_sha256=model_sha256,
        errors=errors,
        notes=tuple(notes[:NOTES_MAX]),
        notes_left_out=max(0, len(notes) - NOTES_MAX),
    )


def _any_measure(pairs: Sequence[tuple[LabelRow, Sequence[float]]], thresholds: Sequence[float]) -> AnyMeasure:
    positives = [_alarm(s, thresholds) for row, s in pairs if row.positive]
    negatives = [_false_alarm(row, s, thresholds) for row, s in pairs if row.negative]
    return AnyMeasure(
        _share(sum(positives), len(positives)),
        _share(sum(negatives), len(negatives)),
        len(positives),
        len(negatives),
        wilson(sum(negatives), len(negatives)),
    )


def _kind_measure(pairs: Sequence[tuple[LabelRow, Sequence[float]]], thresholds: Sequence[float]) -> KindMeasure:
    both = _any_measure(pairs, thresholds)
    alarms = {name: sum(s[i] >= thresholds[i] for _, s in pairs) for i, name in enumerate(CLASSES)}
    return KindMeasure(len(pairs), both.n_pos, both.n_neg, alarms, both.recall, both.false_alarm_rate)
