"""`tocsin vision train | export | card`: how the shipped model is made.

In a checkout of the source, with torch in a Python of its own; the product never needs either.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Data = Annotated[Path, typer.Option("--data", help="Folder with manifest.csv and its pictures.", show_default=False)]
Work = Annotated[Path, typer.Option("--work", help="Where features and weights are kept.")]


def add(group: typer.Typer) -> None:
    """Put the commands into the group `tocsin vision`."""
    group.command("train")(train)
    group.command("export")(export)
    group.command("card")(card)


def _training(name: str) -> Any:
    """A module of the training code; exit 1 with the remedy where it or its packages are not here."""
    import importlib

    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "tools" / "vision_train").is_dir() and str(checkout) not in sys.path:
        sys.path.append(str(checkout))  # the training code is in the source and in no package
    try:
        return importlib.import_module(f"tools.vision_train.{name}")
    except ImportError as error:
        remedy = "run it in a checkout of the source, in a Python with tools/vision_train/requirements.txt"
        print(f"training: {error.name or error} is not here: {remedy}", file=sys.stderr)
        raise typer.Exit(1) from error


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The weights, .pt.")] = Path("watcher.pt"),
    work: Work = Path("vision-work"),
    epochs: Annotated[int, typer.Option(help="passes over the samples")] = 3,
    seed: Annotated[int, typer.Option(help="of this run; the pictures have their own")] = 7,
    share: Annotated[float, typer.Option(help="share of the samples that is used")] = 1.0,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    source_fold: Annotated[
        int, typer.Option(help="leave these sources of negatives out and judge them (0, 1, 2)")
    ] = -1,
    start: Annotated[Path | None, typer.Option("--init", help="weights to go on from, at a lower rate")] = None,
    harder: Annotated[
        list[Path] | None, typer.Option(help="JSON of each --source-fold run: what fooled it counts threefold")
    ] = None,
    tiers: Annotated[str, typer.Option(help="licence tiers that may be learnt from; C never")] = "AB",
    size: Annotated[float, typer.Option(help="share of the recipes that is rendered; below 1 for a try")] = 1.0,
) -> None:
    """Render the training set, run the frozen part once, fit the rest. Minutes on a CPU; CI never runs it.

    Example: tocsin vision train --data pictures --work /tmp/work --out w.pt --epochs 3
             tocsin vision train --data pictures --work /tmp/work --out fold0.pt --source-fold 0
    """
    rules = _training("data_rules")
    problems = rules.refusals(data / "manifest.csv", tiers)
    if problems:
        print("\n".join(problems), file=sys.stderr)
        raise typer.Exit(1)
    cache, fit = _training("cache"), _training("fit")
    work.mkdir(parents=True, exist_ok=True)
    cache.main(data, work, 0, 1, tiers, size)
    asked = [str(work), str(out), "--data", str(data), "--epochs", str(epochs), "--seed", str(seed)]
    asked += ["--share", str(share), "--threads", str(threads), "--source-fold", str(source_fold)]
    asked += ["--init", str(start)] if start else []
    if harder:
        fooled = _training("cuts").harder([json.loads(path.read_text(encoding="utf-8")) for path in harder])
        (work / "harder.json").write_text(json.dumps(fooled), encoding="utf-8")
        asked += ["--harder", str(work / "harder.json")]
    fit.main(asked)


def export(
    weights: Annotated[Path, typer.Argument(help="What `train` wrote.", show_default=False)],
    data: Data,
    key: Annotated[Path, typer.Option(help="The signing key; made where it is missing.", show_default=False)],
    folds: Annotated[list[Path], typer.Option(help="JSON of each --source-fold run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The model, without ending.")] = Path("watcher"),
    version: Annotated[str, typer.Option(help="of the release")] = "1",
    notes: Annotated[Path | None, typer.Option(help="JSON of what the card says of training.")] = None,
) -> None:
    """Weights to int8, compared class by class with fp32; calibrated, cuts set on val and unseen sources, signed.

    Example: tocsin vision export w.pt --data pictures --key ../release.key --folds fold0.json --folds fold1.json
    """
    asked = [str(weights), str(data), str(out), "--key", str(key), "--version", version]
    asked += ["--folds", *map(str, folds)] + (["--notes", str(notes)] if notes else [])
    _training("export").main(asked)


def card(
    model: Annotated[Path, typer.Option(help="The model's .json.", show_default=False)],
    measured: Annotated[
        list[str], typer.Option(help="NAME=FILE: reports of `tocsin vision eval --json`.", show_default=False)
    ],
    facts: Annotated[Path, typer.Option(help="JSON of what is told of training and limits.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Write here instead of printing.")] = None,
) -> None:
    """Render the model card from what was measured; no figure is typed by hand.

    Example: tocsin vision card --model device_drivers/vision/models/watcher.json
             --measured eval_only=measured/eval_only.json --facts tools/vision_train/measured/facts.json
    """
    rendered = _training("card").card_of(model, measured, facts)
    if out is None:
        print(rendered, end="")
    else:
        out.write_text(rendered, encoding="utf-8")
