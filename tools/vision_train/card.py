"""The model card, rendered from what was measured: no figure in it is typed by hand. Pure but for `card_of`.

watcher.json ──┐
eval_only.json ├─ render ─► docs/vision-model-card.md        (reports of `tocsin vision eval --json`)
facts.json  ───┘            what is told of data, training, cost and limits, in words
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from tools.vision_train.shapes import CLASSES

WORDS = {"hot_work": "hot work", "flame": "flame", "smoke": "smoke"}


class Goal(NamedTuple):
    """One goal and where it stands. reached: None where nothing was measured."""

    what: str
    goal: str
    value: str
    reached: bool | None


def goals(reports: dict[str, dict[str, Any]], trained: dict[str, str]) -> list[Goal]:
    """The goals of a release, from the reports by name. eval_only speaks for hot work and false alarms; it shows no
    flame, for which val speaks."""
    found: list[Goal] = []

    def add(what: str, goal: str, value: float | None, ok: bool) -> None:
        shown = "not measured" if value is None else f"{value:.3f}"
        found.append(Goal(what, goal, shown, None if value is None else ok))

    for name, where, least in (("hot_work", "eval_only", 0.90), ("flame", "val", 0.95)):
        told = reports.get(where, {}).get("classes", {}).get(name, {})
        area, recall = told.get("roc_auc"), told.get("recall")
        add(f"{WORDS[name]} AUC ({where})", f">= {least:.2f}", area, area is not None and area >= least)
        add(f"{WORDS[name]} recall ({where})", ">= 0.70", recall, recall is not None and recall >= 0.7)
    only = reports.get("eval_only", {})
    rate = only.get("any", {}).get("false_alarm_rate")
    add("false alarms of any class (eval_only)", "<= 0.08", rate, rate is not None and rate <= 0.08)
    kinds = {
        k: v["false_alarm_rate"] for k, v in only.get("by_kind", {}).items() if v["false_alarm_rate"] is not None
    }
    worst = max(kinds.values(), default=None)
    add("false alarms of the worst kind (eval_only)", "<= 0.20", worst, worst is not None and worst <= 0.2)
    losses = [float(a) - float(b) for a, b in (v.split(", ") for k, v in trained.items() if "AUC fp32, int8" in k)]
    most = max(losses, default=None)
    add("AUC lost by int8, the worst class (val)", "<= 0.01", most, most is not None and most <= 0.01)
    return found


def render(model: dict[str, Any], reports: dict[str, dict[str, Any]], facts: dict[str, Any]) -> str:
    """The card as Markdown. reports: by name, images or clips; facts: lists of sentences by heading."""
    out = [f"# Model card: {model['name']} {model['version']}", "", *facts["what"], ""]
    out += [f"SHA-256 `{model['sha256']}`, signed Ed25519 by `{model['key'][:16]}…`.", ""]
    cuts = ", ".join(f"{WORDS[c]} {t}" for c, t in zip(model["classes"], model["thresholds"], strict=True))
    out += [f"Thresholds: {cuts}.", "", "## Goals", "", "| goal | asked | measured | |", "| --- | --- | --- | --- |"]
    for goal in goals(reports, model["trained"]):
        state = "–" if goal.reached is None else "reached" if goal.reached else "**not reached**"
        out.append(f"| {goal.what} | {goal.goal} | {goal.value} | {state} |")
    out += ["", "## How well, on what", ""]
    out += ["Measured by `tocsin vision eval` with the shipped file. Nothing is claimed beyond these pictures.", ""]
    out += [
        "| pictures | class | AUC [95 %] | recall | precision | shown / not |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    pictures = {n: r for n, r in reports.items() if "any" in r}
    for name, report in pictures.items():
        out += [_class_row(name, report, c) for c in CLASSES if report["classes"][c]["n_pos"]]
    for name, report in pictures.items():
        alarm = report["any"]
        rate, (low, high) = alarm["false_alarm_rate"], alarm["false_alarm_95"]
        out += [
            "",
            f"False alarms of any class, {name}: {100 * rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of "
            f"{alarm['n_neg']} negatives.",
            "",
            "| kind | n | false alarms | by class |",
            "| --- | --- | --- | --- |",
        ]
        out += [_kind_row(kind, k) for kind, k in report["by_kind"].items() if k["n_neg"]]
    for name, report in reports.items():
        if "films" in report:
            out += ["", *_films(name, report)]
    out += [
        "",
        "int8 against fp32, AUC on val: "
        + "; ".join(
            f"{WORDS[k.split(':')[0]]} {v.split(', ')[1]} / {v.split(', ')[0]}"
            for k, v in model["trained"].items()
            if "AUC fp32, int8" in k
        )
        + ".",
    ]
    for heading, key in (
        ("What it learnt from", "learnt"),
        ("Training", "training"),
        ("Looks at eval_only", "looks"),
        ("Limits", "limits"),
        ("What would help most", "wanted"),
    ):
        out += ["", f"## {heading}", "", *facts[key]]
    out += ["", "## Seeds, versions, cost", "", "| what | value |", "| --- | --- |"]
    rows = {**facts["numbers"], **{k: v for k, v in model["trained"].items() if "AUC" not in k}}
    out += [f"| {k} | {v} |" for k, v in rows.items()]
    return "\n".join(out) + "\n"


def _class_row(name: str, report: dict[str, Any], kind: str) -> str:
    m = report["classes"][kind]
    low, high = m["interval_95"]
    return (
        f"| {name} | {WORDS[kind]} | {m['roc_auc']:.3f} [{low:.3f}, {high:.3f}] | {m['recall']:.3f} | "
        f"{m['precision']:.3f} | {m['n_pos']} / {m['n_neg']} |"
    )


def _kind_row(kind: str, k: dict[str, Any]) -> str:
    by = ", ".join(f"{WORDS[c]} {n}" for c, n in k["alarms"].items() if n) or "none"
    return f"| {kind} | {k['n_neg']} | {100 * k['false_alarm_rate']:.1f} % | {by} |"


def _films(name: str, report: dict[str, Any]) -> list[str]:
    lines = [
        f"Films, {name}: {report['films']}, judged over time.",
        "",
        "| class | decided | recall [95 %] | delay p50, p95 | wrongly decided |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, m in report["classes"].items():
        if m["shown"]:
            low, high = m["recall_95"]
            lines.append(
                f"| {WORDS[kind]} | {m['decided']} of {m['shown']} | {m['recall']:.2f} [{low:.2f}, {high:.2f}] | "
                f"{m['delay_p50_s']} s, {m['delay_p95_s']} s | {m['false_films']} of {m['not_shown']} |"
            )
    real, made = report["real_negative"], report["rendered_negative"]
    lines += [
        "",
        f"Film of nothing: rendered {made['hours']:.2f} h with {made['false_alarms']} false alarms; real "
        f"{real['hours']:.2f} h: "
        + (
            "no claim of false alarms a camera-day."
            if real["a_camera_day"] is None
            else f"{real['a_camera_day']} a camera-day [{real['a_camera_day_95'][0]}, {real['a_camera_day_95'][1]}]."
        ),
    ]
    return lines


def card_of(model: Path, measured: list[str], facts: Path) -> str:
    """Read and render. measured: "name=file". Raises SystemExit with what is wrong."""
    try:
        reports = {}
        for given in measured:
            name, _, file = given.partition("=")
            reports[name] = json.loads(Path(file).read_text(encoding="utf-8"))
        card = json.loads(model.read_text(encoding="utf-8"))
        words = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"card: {error}") from error
    other = {n: r["model_sha256"] for n, r in reports.items() if r["model_sha256"] != card["sha256"]}
    if other:
        raise SystemExit(
            f"card: {', '.join(other)} measured another model than {card['sha256'][:12]}; run eval again"
        )
    return render(card, reports, words)
