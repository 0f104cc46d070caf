"""Trains the upper blocks and the head on the cached lower part; says how well on val, and on hot work left out.

`python -m tools.vision_train.fit CACHE OUT.pt [--fold N] [--epochs N]`. With a fold, the real hot-work pictures
of that fold, and all that is made of their light, are left out and then judged: the honest sight of hot work.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tools.vision_train.backbone import MIDDLE, Watcher, pooled, pretrained
from tools.vision_train.pictures import read_manifest
from tools.vision_train.shapes import CLASSES
from tools.vision_train.source_folds import fold_of, held_out

SEED = 7
# Near-duplicates stay in one fold: the same photographs appear under two licences.
FOLDS = ((0, 2), (1, 3), (4, 5, 6))


def load(cache: Path, name: str) -> tuple[np.ndarray, list[dict[str, object]]]:
    parts = sorted(cache.glob(f"{name}*.npy"))
    notes = [note for part in parts for note in json.loads(part.with_suffix(".json").read_text())]
    return np.concatenate([np.load(part) for part in parts]), notes


def scores(net: Watcher, features: np.ndarray) -> np.ndarray:
    net.eval()
    out = []
    with torch.no_grad():
        for start in range(0, len(features), 64):
            middle = torch.from_numpy(features[start : start + 64]).float()
            out.append(pooled(net.head(middle, net.run(middle, MIDDLE + 1, len(net._blocks)))).numpy())
    return np.concatenate(out)


def auc(score: np.ndarray, label: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    keep = label >= 0
    return float(roc_auc_score(label[keep], score[keep])) if len(set(label[keep].tolist())) > 1 else float("nan")


def loss_of(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    known = (labels >= 0).float() * weights[:, None]
    target = labels.clamp(min=0).float() * 0.98 + 0.01
    every = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (every * known).sum() / known.sum()


def mixed(middle: Tensor, target: Tensor, share: float, other: Tensor) -> tuple[Tensor, Tensor]:
    """Blend each sample with another one's features and labels; what is masked in either is masked in both."""
    known = (target >= 0) & (target[other] >= 0)
    blend = share * target + (1 - share) * target[other]
    return share * middle + (1 - share) * middle[other], torch.where(known, blend, torch.full_like(blend, -1.0))


def train(
    net: Watcher,
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    epochs: int,
    batch: int = 48,
    seed: int = SEED,
    rate: float = 1.0,
) -> Watcher:
    """AdamW, one cycle, frozen batch statistics, an average of the weights at the end."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    net.to(memory_format=torch.channels_last)
    # The depthwise filters stay: their gradients cost a third of the time and they are 2 % of the weights.
    upper = [p for block in net._blocks[MIDDLE + 1 :] for n, p in block.named_parameters() if "depthwise" not in n]
    head = [p for part in (net.cells, net.context, net.judge, net.whole) for p in part.parameters()]
    for parameter in upper + head:
        parameter.requires_grad_(True)
    rates = (2.0e-4 * rate, 1.2e-3 * rate)
    optimiser = torch.optim.AdamW(
        [{"params": upper, "lr": rates[0]}, {"params": head, "lr": rates[1]}], weight_decay=0.05
    )
    steps = epochs * (len(features) // batch)
    average = copy.deepcopy(net)
    done = 0
    for epoch in range(epochs):
        order = rng.permutation(len(features))
        began, total = time.monotonic(), 0.0
        for start in range(0, len(order) - batch + 1, batch):
            now_rate = math.sin(math.pi * min(1.0, (done + 1) / steps) ** 0.6)
            for group, top in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = max(1e-6, now_rate * top)
            chosen = order[start : start + batch]
            net.eval()
            net.drop.train()
            middle = torch.from_numpy(features[chosen]).float().contiguous(memory_format=torch.channels_last)
            target, weight = torch.from_numpy(labels[chosen]).float(), torch.from_numpy(weights[chosen])
            if rng.random() < 0.5:
                middle = middle.flip(3)
            if rng.random() < 0.6:  # halves of two pictures: the edges between classes become soft
                middle, target = mixed(
                    middle, target, float(rng.beta(0.4, 0.4)), torch.from_numpy(rng.permutation(len(chosen)))
                )
            logits = pooled(net.head(middle, net.run(middle, MIDDLE + 1, len(net._blocks))))
            loss = loss_of(logits, target, weight)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(upper + head, 2.0)
            optimiser.step()
            done += 1
            keep = min(0.995, 1 - 1 / (1 + done / 10))
            with torch.no_grad():
                for mean, now in zip(average.parameters(), net.parameters(), strict=True):
                    if now.requires_grad:
                        mean.mul_(keep).add_(now, alpha=1 - keep)
            total += float(loss.detach())
        print(
            f"epoch {epoch} loss {total / max(1, len(order) // batch):.4f} {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return average


def report(net: Watcher, features: np.ndarray, notes: list[dict[str, object]], title: str) -> np.ndarray:
    got = scores(net, features)
    labels = np.array([n["labels"] for n in notes])
    real = np.array([not str(n["kind"]).startswith("synthetic") for n in notes])
    print(title, {c: round(auc(got[real, i], labels[real, i]), 4) for i, c in enumerate(CLASSES)}, flush=True)
    negative = (labels == 0).all(1) & real
    for i, name in enumerate(CLASSES):
        hot = np.sort(got[real & (labels[:, i] == 1), i])[::-1]
        cut = np.quantile(got[negative, i], 0.97) if negative.any() else 0.0
        print(
            "  ",
            name,
            "positives",
            len(hot),
            "recall at 3 % of negatives",
            round(float((hot > cut).mean()), 3),
            "cut",
            round(float(cut), 2),
        )
    return got


def softened(labels: np.ndarray, features: np.ndarray, use: np.ndarray, teachers: list[Path]) -> np.ndarray:
    """Half label, half what several runs say together: a student of their agreement costs one net to run."""
    total = np.zeros(labels.shape)
    for path in teachers:
        net = pretrained()
        net.load_state_dict(torch.load(path, map_location="cpu"))
        total[use] += scores(net, features[use])
    agreed = 1 / (1 + np.exp(-total / len(teachers)))
    return np.where(labels >= 0, 0.5 * labels + 0.5 * agreed, -1.0)


def leave_out(net: Watcher, given: argparse.Namespace) -> None:
    """Logits of the left-out real negatives, and of val, beside the weights: cuts.py reads them."""
    plain, notes = load(given.cache, "plain")
    source = {r.file: r.source for r in read_manifest(given.data / "manifest.csv", "train")}
    unseen = [
        i
        for i, n in enumerate(notes)
        if max(n["labels"]) == 0 and fold_of(source[str(n["file"])]) == given.source_fold  # type: ignore[call-overload]
    ]
    got = scores(net, plain[unseen])
    val, val_notes = load(given.cache, "val")
    given.out.with_suffix(".json").write_text(
        json.dumps(
            {
                "fold": given.source_fold,
                "unseen": [
                    [notes[i]["file"], notes[i]["kind"], *map(float, g)] for i, g in zip(unseen, got, strict=True)
                ],
                "val": [
                    [n["file"], n["kind"], *map(float, g)] for n, g in zip(val_notes, scores(net, val), strict=True)
                ],
            }
        )
    )


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=-1)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--source-fold", type=int, default=-1, help="sources of negatives to leave out and judge")
    parser.add_argument("--data", type=Path, help="folder of the manifest; asked by --source-fold")
    parser.add_argument("--harder", type=Path, help="JSON of files that fooled other folds: they count threefold")
    parser.add_argument("--teachers", type=Path, nargs="*", default=[], help="weights whose mean is half the target")
    parser.add_argument("--init", type=Path, help="weights to go on from, at a third of the rate")
    return parser


def main(arguments: list[str] | None = None) -> None:
    given = options().parse_args(arguments)
    torch.set_num_threads(given.threads)
    features, notes = load(given.cache, "train")
    val, val_notes = load(given.cache, "val")
    labels = np.array([n["labels"] for n in notes])
    groups = np.array([n["group"] for n in notes])
    kinds = np.array([str(n["kind"]) for n in notes])
    makes = np.array([str(n["make"]) for n in notes])
    weights = np.ones(len(notes), np.float32)
    weights[kinds == "neg_people"] = 0.5
    held = np.isin(groups, FOLDS[given.fold]) if given.fold >= 0 else np.zeros(len(notes), bool)
    if given.source_fold >= 0:
        rows = [r for r in read_manifest(given.data / "manifest.csv", "train") if not r.synthetic]
        source = {r.file: r.source for r in rows}
        negatives = frozenset(r.file for r in rows if max(r.labels) == 0)
        files = [(str(n["file"]), str(n["over"])) for n in notes]
        held = held_out(given.source_fold, files, source, negatives)
    if given.harder:
        hard = set(json.loads(given.harder.read_text()))
        weights[[n["file"] in hard and max(n["labels"]) == 0 for n in notes]] *= 3.0  # type: ignore[call-overload]
    print(f"{len(notes)} samples, {held.sum()} left out", flush=True)
    # The second helping (cache.py: trainmore) is always used whole; `share` thins the first.
    first = sum(len(json.loads(p.read_text())) for p in given.cache.glob("train[0-9]*.json"))
    thin = np.random.default_rng(given.seed).random(len(notes)) < given.share
    if given.source_fold < 0:
        thin[first:] = True
    use = ~held & thin
    torch.manual_seed(given.seed)
    if given.teachers:
        labels = softened(labels, features, use, given.teachers)
    net = pretrained()
    if given.init:
        net.load_state_dict(torch.load(given.init))
    net = train(
        net, features[use], labels[use], weights[use], given.epochs, seed=given.seed, rate=0.35 if given.init else 1.0
    )
    torch.save(net.state_dict(), given.out)
    report(net, val, val_notes, "val")
    if given.source_fold >= 0:
        leave_out(net, given)
    elif held.any():
        photo = held & (makes == "photo")
        dark = makes == "dim"
        got = scores(net, features[photo])
        negative = scores(
            net, np.concatenate([val[[i for i, n in enumerate(val_notes) if max(n["labels"]) == 0]], features[dark]])
        )
        print(
            "fold",
            given.fold,
            "hot work AUC of left-out photographs",
            round(
                auc(
                    np.concatenate([got[:, 0], negative[:, 0]]),
                    np.concatenate([np.ones(len(got)), np.zeros(len(negative))]),
                ),
                4,
            ),
        )


if __name__ == "__main__":
    main()
