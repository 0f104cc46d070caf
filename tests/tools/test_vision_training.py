"""How the model is made: what may be learnt from, sources left out, cuts, the quantisation check, the card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tocsin import app
from tools.vision_train.card import card_of, goals, render
from tools.vision_train.cuts import (
    FoldLogits,
    by_kind,
    cuts,
    harder,
    margins,
    parse_fold,
    platt,
    quantisation_faults,
    threshold,
)
from tools.vision_train.data_rules import COLUMNS, refusals, row_refusals, split_of, table_of
from tools.vision_train.hard_negatives import HARD
from tools.vision_train.pictures import Row, make, third_recipes
from tools.vision_train.source_folds import FOLDS, balanced, fold_of, held_out, source_of

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "tools" / "vision_train" / "measured"
CARD = ROOT / "device_drivers" / "vision" / "models" / "watcher.json"


def row(**given: str) -> dict[str, str]:
    plain = {"file": "train/a.jpg", "hot_work": "0", "flame": "0", "smoke": "0", "kind": "neg_indoor_cc",
             "source_repo": "o/r", "source_path": "a.jpg", "licence": "CC0", "licence_tier": "A", "split": "train",
             "synthetic": "0"}
    return {**plain, **given}


@pytest.mark.parametrize(("given", "what"), [
    ({"licence_tier": "C"}, "tier C"), ({"hot_work": "2"}, "none of -1"), ({"split": "test"}, "no split"),
    ({"licence": " "}, "names no licence"),
])
def test_what_may_not_be_learnt_from_is_refused_with_its_line(given: dict[str, str], what: str) -> None:
    found = row_refusals([row(), row(file="train/b.jpg", **given)])
    assert len(found) == 1 and found[0].startswith("line 3") and what in found[0]


def test_a_picture_in_two_splits_is_refused_and_tier_c_may_be_measured_with() -> None:
    assert row_refusals([row(), row(split="val")]) == ["train/a.jpg stands in train and val"]
    assert row_refusals([row(), row(file="e/b.jpg", split="eval_only", licence_tier="C")]) == []


def test_the_manifest_is_checked_before_anything_is_rendered(tmp_path: Path) -> None:
    assert refusals(tmp_path / "manifest.csv")[0].endswith("give --data the folder of manifest.csv")
    (tmp_path / "manifest.csv").write_text("file,kind\na,b\n")
    assert "are missing" in refusals(tmp_path / "manifest.csv")[0]
    (tmp_path / "manifest.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row().values()) + "\n")
    assert refusals(tmp_path / "manifest.csv") == [] and "tiers ABC" in refusals(tmp_path / "manifest.csv", "ABC")[0]
    done = CliRunner().invoke(app, ["vision", "train", "--data", str(tmp_path), "--tiers", "C"])
    assert done.exit_code == 1 and "may be learnt from" in done.stderr


def test_counts_for_the_card_are_by_split_kind_and_tier() -> None:
    assert table_of([row(), row(split="val"), row(licence_tier="B")]) == {
        "train": {"neg_indoor_cc, A": 1, "neg_indoor_cc, B": 1}, "val": {"neg_indoor_cc, A": 1}}


def test_views_of_one_panorama_and_files_of_one_repository_stay_together() -> None:
    assert source_of("o/r/src/hdri/night.hdr (view 000_0)") == source_of("o/r/src/hdri/night.hdr (view 120_1)")
    assert source_of("o/r/a/b.jpg") == source_of("o/r/c.jpg") != source_of("o/q/c.jpg")
    sources = [f"owner{n}/repo/x.jpg" for n in range(300)]
    assert min(balanced(sources)) > 60 and {fold_of(s) for s in sources} == set(range(FOLDS))
    assert 0.05 < sum(split_of(s) == "val" for s in sources) / 300 < 0.3


def test_a_render_upon_a_place_that_is_left_out_is_left_out_too() -> None:
    source = {"p.jpg": "a/b/p.jpg", "q.jpg": "c/d/q.jpg", "fire.jpg": "a/b/fire.jpg"}
    gone = fold_of(source["p.jpg"])
    files = [("p.jpg", ""), ("q.jpg", ""), ("p.jpg", "fire.jpg"), ("q.jpg", "fire.jpg"), ("fire.jpg", "")]
    held = held_out(gone, files, source, frozenset({"p.jpg"}))
    assert held.tolist() == [True, False, True, False, False]


def fold(away: float) -> FoldLogits:
    rng = np.random.default_rng(3)
    val = [("neg_indoor_cc", x) for x in rng.normal(-4, 1, (200, 3))]
    unseen = [("neg_street_cc", x) for x in rng.normal(-4 + away, 1, (200, 3))]
    return FoldLogits([*unseen, ("cctv_fire", np.full(3, 50.0)), ("neg_people", np.full(3, 50.0))], val)


def test_a_margin_is_how_far_unseen_places_reach_above_seen_ones_within_bounds() -> None:
    assert margins([fold(1.2)] * 3) == pytest.approx([1.2] * 3, abs=0.5)
    assert margins([fold(-3)] * 3) == [0.5] * 3 and margins([fold(9)]) == [3.0] * 3
    limits = cuts(fold(0).val, [1.0, 1.0, 1.0])
    assert all(-2.5 < c < 0 for c in limits)
    wrong, count = by_kind([fold(1.2)], margins([fold(1.2)]))["neg_street_cc"]
    assert count == 200 and wrong < 0.08 * 200


def test_files_that_fooled_a_fold_are_named_and_val_counts_its_own_negatives() -> None:
    told = {"unseen": [[f"{n}.jpg", "neg_street_cc", -5.0, -5.0, -5.0 + (n == 7) * 9] for n in range(50)],
            "val": [["v.jpg", "neg_street_cc", 0.0, 0.0, 0.0], ["fire.jpg", "cctv_fire", 9.0, 9.0, 9.0]]}
    assert harder([told]) == ["7.jpg"]
    assert len(parse_fold(told, frozenset({"v.jpg"})).val) == 1


def test_platt_puts_even_odds_between_the_classes_and_masks_what_was_not_looked_at() -> None:
    logit = np.array([-4.0, -3, -2, 2, 3, 4, 50])
    line = platt(logit, np.array([0, 0, 0, 1, 1, 1, -1]))
    assert threshold(0.0, line) == pytest.approx(0.5, abs=0.02) and line[0] > 0
    assert threshold(99.0, line) == 0.995 and threshold(-99.0, line) == 0.005
    assert platt(logit, np.ones(7)) == (1.0, 0.0)


def test_int8_that_loses_too_much_of_one_class_is_refused() -> None:
    exact = {"hot_work": 0.97, "flame": 0.98, "smoke": 0.99}
    assert quantisation_faults(exact, {**exact, "smoke": 0.981}) == []
    assert "smoke: int8 loses 0.0200" in quantisation_faults(exact, {**exact, "smoke": 0.97})[0]
    assert quantisation_faults(exact, {**exact, "flame": float("nan")})


@pytest.mark.parametrize("name", sorted(HARD))
def test_hard_negatives_are_the_same_for_the_same_seed_and_no_two_seeds_alike(name: str) -> None:
    place = Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    first, again, other = (np.asarray(HARD[name](place, np.random.default_rng(s))) for s in (1, 1, 2))
    assert (first == again).all() and (first.shape != other.shape or (first != other).any())


def test_the_third_helping_is_negatives_and_positives_on_the_same_places() -> None:
    rows = [Row("a.jpg", (0, 0, 0), "neg_indoor_cc", "A", False, "o/r/a.jpg"),
            Row("w.jpg", (1, 0, 0), "hot_work_cc", "A", False, "o/r/w.jpg"),
            Row("f.jpg", (0, 1, 0), "cctv_fire", "A", False, "o/r/f.jpg")]
    every = third_recipes(rows, np.random.default_rng(0), 0.02)
    assert {r.file for r in every if r.make != "photo"} == {"a.jpg"}
    kinds = {label: sum(r.labels[0] == label for r in every) for label in (0, 1)}
    assert kinds[1] > 10 and kinds[0] > 3 * kinds[1]


def test_a_recipe_makes_the_same_picture_again(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    row_a = Row("a.png", (0, 0, 0), "neg_indoor_cc", "A", False, "o/r/a.png")
    hot = Row("a.png", (1, 0, 0), "hot_work_cc", "A", False, "o/r/a.png")
    fire = Row("a.png", (0, 1, 0), "cctv_fire", "A", False, "o/r/a.png")
    recipe = next(r for r in third_recipes([row_a, hot, fire], np.random.default_rng(0), 0.01) if r.make == "graded")
    one, two = make(recipe, tmp_path), make(recipe, tmp_path)
    assert one is not None and two is not None and one.size == (256, 256) and one.tobytes() == two.tobytes()


# The card


def reports() -> dict[str, dict]:
    return {name: json.loads((MEASURED / f"{name}.json").read_text()) for name in ("eval_only", "val", "clips")}


def test_the_card_in_the_repository_is_what_was_measured_with_the_shipped_model() -> None:
    given = [f"{name}={MEASURED / name}.json" for name in ("eval_only", "val", "clips")]
    assert card_of(CARD, given, MEASURED / "facts.json") == (ROOT / "docs" / "vision-model-card.md").read_text()


def test_goals_say_what_is_not_reached_and_what_was_not_measured() -> None:
    given = reports()
    trained = json.loads(CARD.read_text())["trained"]
    assert all(g.reached for g in goals(given, trained))
    given["eval_only"]["any"]["false_alarm_rate"] = 0.09
    del given["val"]
    told = {g.what: g.reached for g in goals(given, trained)}
    assert told["false alarms of any class (eval_only)"] is False and told["flame AUC (val)"] is None
    text = render(json.loads(CARD.read_text()), given, json.loads((MEASURED / "facts.json").read_text()))
    assert "**not reached**" in text and "not measured" in text


def test_a_card_of_another_model_than_was_measured_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "eval.json"
    other.write_text(json.dumps({**reports()["val"], "model_sha256": "00"}))
    with pytest.raises(SystemExit, match="another model"):
        card_of(CARD, [f"val={other}"], MEASURED / "facts.json")
    done = CliRunner().invoke(app, ["vision", "card", "--model", str(CARD), "--measured", f"val={other}",
                                    "--facts", str(MEASURED / "facts.json")])
    assert done.exit_code == 1


# Where torch is


def test_training_without_torch_says_what_to_do_and_with_it_a_step_changes_the_head(tmp_path: Path) -> None:
    try:
        import torch
    except ImportError:
        (tmp_path / "manifest.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row().values()) + "\n")
        done = CliRunner().invoke(app, ["vision", "train", "--data", str(tmp_path)])
        assert done.exit_code == 1 and "tools/vision_train/requirements.txt" in done.stderr
        return
    from tools.vision_train.backbone import Watcher
    from tools.vision_train.fit import train

    net = Watcher(8)
    before = net.judge.weight.detach().clone()
    features = np.random.default_rng(0).normal(0, 1, (8, 112, 16, 16)).astype(np.float16)
    labels = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)] * 2)
    after = train(net, features, labels, np.ones(8, np.float32), 1, batch=4)
    assert not torch.equal(before, after.judge.weight)
