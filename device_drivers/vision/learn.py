"""A site's own head on the frozen net: what a handful of labelled clips corrects, and whether it may be used. Pure.

```
 picture ─► net (frozen, signed) ─► logits ───────────────────────(+)──► pooled, calibrated, thresholds as shipped
                              └──► embedding ─► (e − mean) / scale ─► W, b ─┘
```
The head is a correction of the shipped logit and nothing else: with W and b zero it is the shipped model, and the
fewer a site's labels are, or the more at odds, the nearer it stays to zero. The shipped anchors (embeddings of
labelled pictures, never pictures) are fitted with the site's clips, so that a yard full of lamps does not make the
model forget fire.
A head that is not better on clips it has not seen, or worse on anchors it has not seen, is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.measures import roc_auc, wilson
from device_drivers.vision.model_card import CLASSES
from device_model.errors import ConfigError, Finding

Floats = NDArray[np.float64]
SHIFT_MAX = 6.0  # logits: a head corrects, it never outweighs a sure net altogether
CLIPS_MIN = 6  # fewer cannot be held back and mean anything
STRENGTHS = (30.0, 300.0, 3000.0)  # of the pull to zero; chosen on the part that is fitted
STEPS = 300
STRONGEST = 3  # a clip's score is the mean of its three strongest frames, as the decision over time takes it
ANCHOR_AUC_LOSS = 0.01
ANCHOR_RECALL_LOSS = 0.02


class ClassBeforeAfter(msgspec.Struct, frozen=True):
    """A class on the held-back clips. Intervals: Wilson's, 95 %."""

    shown: int
    not_shown: int
    found_before: int
    found_after: int
    false_before: int
    false_after: int
    recall_before_95: tuple[float, float] | None
    recall_after_95: tuple[float, float] | None
    false_before_95: tuple[float, float] | None
    false_after_95: tuple[float, float] | None


class LearnReport(msgspec.Struct, frozen=True):
    """What `tocsin vision learn` says: counts of clips, held-back figures; refused: why, "" where it was not;
    as_shipped: classes that were left as they are, and why."""

    clips: int
    fitted: int
    held_back: int
    strength: float
    classes: dict[str, ClassBeforeAfter]
    loss_before: float
    loss_after: float
    anchors: dict[str, tuple[float, float]]
    refused: str = ""
    head: str = ""
    as_shipped: dict[str, str] = {}

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.clips} labelled clips, {self.fitted} fitted, {self.held_back} held back; "
            f"loss on those {self.loss_before:.3f} before, {self.loss_after:.3f} after"
        ]
        for name, m in self.classes.items():
            lines.append(
                f"{name:9} found {m.found_before} → {m.found_after} of {m.shown} {_between(m.recall_after_95)}, "
                f"false {m.false_before} → {m.false_after} of {m.not_shown} {_between(m.false_after_95)}"
            )
        for name, (before, after) in self.anchors.items():
            lines.append(f"{name:9} on the shipped anchors: AUC {before:.3f} → {after:.3f}")
        lines += [f"left as shipped: {why}" for why in self.as_shipped.values()]
        lines.append(
            f"refused: {self.refused}" if self.refused else f"in use from the next start: head {self.head[:12]}"
        )
        return "\n".join(lines)


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"


class SiteHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head's numbers. mean, scale: of the embedding; weights: a row a class; offsets: a class. model_sha256: of
    the net it was fitted on; it fits no other."""

    model_sha256: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    offsets: tuple[float, ...]
    fitted_us: int
    by: str
    report: LearnReport

    def encoded(self) -> bytes:
        """The file's bytes: fields in order."""
        return msgspec.json.encode(self, order="deterministic")

    def digest(self) -> str:
        """SHA-256 that stands in every evidence record made with it."""
        return hashlib.sha256(self.encoded()).hexdigest()

    def shift(self, embedding: NDArray[np.floating]) -> Floats:
        """(…, embedding) to (…, classes): what is added to the calibrated logits."""
        z = (np.asarray(embedding, float) - np.array(self.mean)) / np.array(self.scale)
        return np.asarray(np.clip(z @ np.array(self.weights).T + np.array(self.offsets), -SHIFT_MAX, SHIFT_MAX))


def parse_head(octets: bytes, name: str) -> SiteHead:
    """Raises ConfigError where a file is no head."""
    try:
        head = msgspec.json.decode(octets, type=SiteHead)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            [Finding(name, 0, 0, f"no site head: {error}", "`tocsin vision learn --rollback`")]
        ) from error
    size = len(head.mean)
    shapes = [len(head.scale), *map(len, head.weights)]
    if not size or any(n != size for n in shapes) or not len(head.weights) == len(head.offsets) == len(CLASSES):
        raise ConfigError(
            [Finding(name, 0, 0, "its numbers do not fit together", "`tocsin vision learn --rollback`")]
        )
    numbers = np.array([*head.mean, *head.scale, *head.offsets, *(w for row in head.weights for w in row)])
    if not np.isfinite(numbers).all() or min(head.scale) <= 0:
        raise ConfigError([Finding(name, 0, 0, "a number is not finite", "`tocsin vision learn --rollback`")])
    return head


class Clip(msgspec.Struct, frozen=True):
    """One labelled clip as the net sees it. group: what must not be split (a camera's clips of the same minutes);
    embeddings: (frames, size); logits: (frames, classes), calibrated; labels: 1, 0, -1 not looked at."""

    id: str
    group: str
    labels: tuple[int, ...]
    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32]


class Anchors(msgspec.Struct, frozen=True):
    """Shipped embeddings of labelled pictures, row by row, with calibrated logits."""

    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32]
    labels: NDArray[np.int8]


def held_back(clips: Sequence[Clip]) -> frozenset[str]:
    """The groups that are not fitted: about a third, each label's own third, always the same for the same clips."""
    order = sorted({c.group for c in clips}, key=lambda g: hashlib.sha256(g.encode()).digest())
    kinds: dict[tuple[int, ...], list[str]] = {}
    for group in order:
        labels = next(c.labels for c in clips if c.group == group)
        kinds.setdefault(labels, []).append(group)
    return frozenset(g for groups in kinds.values() for g in groups[1::3])


def fit(
    clips: Sequence[Clip], anchors: Anchors, thresholds: Sequence[float], *, model_sha256: str, now_us: int, by: str
) -> SiteHead:
    """Fit on two thirds of the clips and half of the anchors, measure on the rest; the report says whether to use it.

    Raises ConfigError where there is too little to learn from.
    """
    if len(clips) < CLIPS_MIN:
        raise ConfigError(
            [Finding("labels", 0, 0, f"{len(clips)} labelled clips", f"label {CLIPS_MIN} or more, of both kinds")]
        )
    back = held_back(clips)
    ours, theirs = [c for c in clips if c.group not in back], [c for c in clips if c.group in back]
    if not ours or not theirs:
        raise ConfigError(
            [Finding("labels", 0, 0, "all clips are of one camera and time", "label clips of other hours as well")]
        )
    every = np.concatenate([*(c.embeddings for c in ours), anchors.embeddings[0::2]]).astype(float)
    mean, scale = every.mean(0), every.std(0) + 0.25 * float(every.std()) + 1e-6
    strength = _choose(ours, anchors, mean, scale)
    weights, offsets = _solve(ours, anchors, mean, scale, strength)
    blank = LearnReport(len(clips), len(ours), len(theirs), strength, {}, 0.0, 0.0, {})
    # A class that becomes worse, or forgets, stays as it was shipped; the others may still be taken.
    shipped = _faults(weights, offsets, mean, scale, theirs, anchors, thresholds)
    for name in shipped:
        weights[CLASSES.index(name)], offsets[CLASSES.index(name)] = 0.0, 0.0
    head = SiteHead(
        model_sha256,
        _rounded(mean),
        _rounded(scale),
        tuple(_rounded(row) for row in weights),
        _rounded(offsets),
        now_us,
        by,
        blank,
    )
    report = _judge(head, theirs, anchors, thresholds, blank)
    if shipped and report.refused:
        report = msgspec.structs.replace(report, refused="; ".join([*shipped.values(), report.refused]))
    return msgspec.structs.replace(head, report=msgspec.structs.replace(report, as_shipped=shipped))


def _faults(
    weights: Floats,
    offsets: Floats,
    mean: Floats,
    scale: Floats,
    clips: Sequence[Clip],
    anchors: Anchors,
    thresholds: Sequence[float],
) -> dict[str, str]:
    """What is wrong with a class's part of a head, by class; every class by itself."""
    found: dict[str, str] = {}
    for index, name in enumerate(CLASSES):
        rows = tuple(_rounded(weights[i] if i == index else 0 * weights[i]) for i in range(len(CLASSES)))
        only = tuple(float(offsets[i]) if i == index else 0.0 for i in range(len(CLASSES)))
        head = SiteHead("", _rounded(mean), _rounded(scale), rows, only, 0, "", LearnReport(0, 0, 0, 0, {}, 0, 0, {}))
        m = _held_back_class(head, clips, index, thresholds[index])
        why = _worse(name, m) + [w for w in _anchors_kept(head, anchors, thresholds)[1] if w.startswith(name)]
        if why:
            found[name] = "; ".join(why)
    return found


def _worse(name: str, m: ClassBeforeAfter) -> list[str]:
    found = []
    if m.found_after < m.found_before:
        found.append(f"{name}: {m.found_before - m.found_after} held-back clip(s) fewer found")
    if m.false_after > m.false_before:
        found.append(f"{name}: {m.false_after - m.false_before} held-back false alarm(s) more")
    return found


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(v), 6) for v in values)


def _rows(clips: Sequence[Clip], anchors: Anchors, index: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Embeddings, shipped logits, labels and weights of one class: a clip weighs as one whatever its frames; anchors
    together weigh as much as the clips."""
    xs, zs, ys, ws = [], [], [], []
    for clip in clips:
        if clip.labels[index] >= 0:
            count = len(clip.embeddings)
            xs.append(clip.embeddings.astype(float))
            zs.append(clip.logits[:, index].astype(float))
            ys.append(np.full(count, float(clip.labels[index])))
            ws.append(np.full(count, 1.0 / count))
    known = anchors.labels[0::2, index] >= 0
    labels = anchors.labels[0::2, index][known].astype(float)
    share = max(1.0, float(len(xs))) / max(1, len(labels))
    xs.append(anchors.embeddings[0::2][known].astype(float))
    zs.append(anchors.logits[0::2, index][known].astype(float))
    ys.append(labels)
    ws.append(np.full(len(labels), share))
    return np.concatenate(xs), np.concatenate(zs), np.concatenate(ys), np.concatenate(ws)


def _solve(
    clips: Sequence[Clip], anchors: Anchors, mean: Floats, scale: Floats, strength: float
) -> tuple[Floats, Floats]:
    """Logistic regression with the shipped logit as its start, class by class."""
    weights, offsets = np.zeros((len(CLASSES), len(mean))), np.zeros(len(CLASSES))
    for index in range(len(CLASSES)):
        if not any(c.labels[index] >= 0 for c in clips):
            continue
        x, start, y, w = _rows(clips, anchors, index)
        x = np.hstack([(x - mean) / scale, np.ones((len(x), 1))])
        pull = np.full(x.shape[1], strength / 30.0)
        pull[-1] *= 0.3
        beta = _descend(x, start, y, w, pull)
        weights[index], offsets[index] = beta[:-1], float(beta[-1])
    return weights, offsets


def _descend(x: Floats, start: Floats, y: Floats, w: Floats, pull: Floats) -> Floats:
    """The lowest point, by Nesterov's accelerated descent. The logistic curve never bends more than a quarter, so a
    step by that bound always goes downhill; Newton's own steps leap over the valley where the shipped net is sure.

    einsum and not @: a gateway's other threads then do not wait for a pool of BLAS threads.
    """
    bent = np.full(x.shape[1], 1 / np.sqrt(x.shape[1]))
    largest = 1.0
    for _ in range(20):
        bent = np.einsum("ij,i->j", x, w * np.einsum("ij,j->i", x, bent))
        largest = float(np.sqrt((bent * bent).sum())) or 1.0
        bent /= largest
    bound = 0.25 * 1.1 * largest + float(pull.max())
    beta = before = np.zeros(x.shape[1])
    for number in range(STEPS):
        ahead = beta + number / (number + 3) * (beta - before)
        p = 1 / (1 + np.exp(-np.clip(start + np.einsum("ij,j->i", x, ahead), -30, 30)))
        slope = np.einsum("ij,i->j", x, w * (p - y)) + pull * ahead
        before, beta = beta, ahead - slope / bound
        if number > 20 and float(np.abs(beta - before).max()) < 1e-5:
            break
    return beta


def _choose(clips: Sequence[Clip], anchors: Anchors, mean: Floats, scale: Floats) -> float:
    """The pull to zero under which left-out groups of the fitted part fare best."""
    groups = sorted({c.group for c in clips}, key=lambda g: hashlib.sha256(b"fold" + g.encode()).digest())
    folds = [frozenset(groups[i::3]) for i in range(3) if groups[i::3]]
    if len(folds) < 2:
        return STRENGTHS[-1]
    best = (float("inf"), STRENGTHS[-1])
    for strength in STRENGTHS:
        total = 0.0
        for fold in folds:
            kept = [c for c in clips if c.group not in fold]
            if kept:
                weights, offsets = _solve(kept, anchors, mean, scale, strength)
                total += _loss([c for c in clips if c.group in fold], weights, offsets, mean, scale)
        best = min(best, (total, strength))
    return best[1]


def _loss(clips: Sequence[Clip], weights: Floats, offsets: Floats, mean: Floats, scale: Floats) -> float:
    total, count = 0.0, 0
    for clip in clips:
        shift = np.clip(((clip.embeddings - mean) / scale) @ weights.T + offsets, -SHIFT_MAX, SHIFT_MAX)
        z = np.clip(clip.logits + shift, -30, 30)
        for index, label in enumerate(clip.labels):
            if label >= 0:
                total += float(np.logaddexp(0, -z[:, index] if label else z[:, index]).mean())
                count += 1
    return total / max(1, count)


def clip_score(logits: NDArray[np.floating]) -> float:
    """Probability of a clip from its frames' calibrated logits."""
    p = np.sort(1 / (1 + np.exp(-np.clip(np.asarray(logits, float), -40, 40))))[-STRONGEST:]
    return float(p.mean())


def _judge(
    head: SiteHead, clips: Sequence[Clip], anchors: Anchors, thresholds: Sequence[float], blank: LearnReport
) -> LearnReport:
    classes: dict[str, ClassBeforeAfter] = {}
    worse: list[str] = []
    better = False
    for index, name in enumerate(CLASSES):
        m = _held_back_class(head, clips, index, thresholds[index])
        if not m.shown and not m.not_shown:
            continue
        classes[name] = m
        worse += _worse(name, m)
        better = better or m.found_after > m.found_before or m.false_after < m.false_before
    zero = np.zeros_like(np.array(head.weights)), np.zeros(len(CLASSES))
    mean, scale = np.array(head.mean), np.array(head.scale)
    before = _loss(clips, *zero, mean, scale)
    after = _loss(clips, np.array(head.weights), np.array(head.offsets), mean, scale)
    if after > before:
        worse.append(f"the loss on held-back clips grows from {before:.3f} to {after:.3f}")
    elif not better and after > 0.95 * before:
        worse.append("nothing became better on the held-back clips")
    kept, lost = _anchors_kept(head, anchors, thresholds)
    return msgspec.structs.replace(
        blank,
        classes=classes,
        loss_before=round(before, 4),
        loss_after=round(after, 4),
        anchors=kept,
        refused="; ".join(worse + lost),
    )


def _held_back_class(head: SiteHead, clips: Sequence[Clip], index: int, threshold: float) -> ClassBeforeAfter:
    counts = {(shown, when): 0 for shown in (0, 1) for when in ("n", "before", "after")}
    for clip in clips:
        label = clip.labels[index]
        if label < 0:
            continue
        counts[label, "n"] += 1
        after = clip.logits[:, index] + head.shift(clip.embeddings)[:, index]
        counts[label, "before"] += clip_score(clip.logits[:, index]) >= threshold
        counts[label, "after"] += clip_score(after) >= threshold
    shown, absent = counts[1, "n"], counts[0, "n"]
    return ClassBeforeAfter(
        shown,
        absent,
        counts[1, "before"],
        counts[1, "after"],
        counts[0, "before"],
        counts[0, "after"],
        wilson(counts[1, "before"], shown),
        wilson(counts[1, "after"], shown),
        wilson(counts[0, "before"], absent),
        wilson(counts[0, "after"], absent),
    )


def _anchors_kept(
    head: SiteHead, anchors: Anchors, thresholds: Sequence[float]
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """AUC on the anchors that were not fitted, before and after; and what was lost there."""
    after = anchors.logits[1::2] + head.shift(anchors.embeddings[1::2])
    kept: dict[str, tuple[float, float]] = {}
    lost: list[str] = []
    for index, name in enumerate(CLASSES):
        label = anchors.labels[1::2, index]
        cut = float(np.log(thresholds[index] / (1 - thresholds[index])))
        pair, hits = [], []
        for scores in (anchors.logits[1::2, index], after[:, index]):
            area = roc_auc(scores[label == 1].tolist(), scores[label == 0].tolist())
            if area is None:
                break
            pair.append(round(area[0], 4))
            hits.append(float((scores[label == 1] >= cut).mean()))
        if len(pair) == 2:
            kept[name] = (pair[0], pair[1])
            if pair[1] < pair[0] - ANCHOR_AUC_LOSS or hits[1] < hits[0] - ANCHOR_RECALL_LOSS:
                lost.append(
                    f"{name}: forgets what it was shipped with (AUC {pair[0]:.3f} → {pair[1]:.3f}, "
                    f"recall {hits[0]:.2f} → {hits[1]:.2f})"
                )
    return kept, lost
