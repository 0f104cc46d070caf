"""Films judged over time: rendered ones as a regression test, and what may be said of hours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision.clip_measures import FilmRow, FilmVerdict, measure_films, parse_films, percentile, poisson
from device_model.errors import ConfigError
from tocsin import app
from tools.vision_train.film_set import write_set

PICTURES = Path(__file__).parent / "pictures"


def row(kind: str, labels: tuple[int, ...], onset_s: float | None = None, synthetic: bool = True) -> FilmRow:
    return FilmRow(kind, labels, kind, onset_s, 5, synthetic, 2)


def report(*films: tuple[FilmRow, FilmVerdict]):
    return measure_films(films, model="watcher", model_sha256="ab")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("films")
    places = sorted(PICTURES.glob("s2_neg_*.jpg"))
    manifest = write_set(folder, places, PICTURES / "s2_flame_cc_0001.jpg", 1, length_s=8, onset_s=3,
                         kinds=("welding", "fire", "signal"))
    with manifest.open("a") as file:
        file.write("gone,1,0,0,film_gone,0,5,1\n")
    done = CliRunner().invoke(app, ["vision", "eval", "--clips", str(folder), "--manifest", str(manifest), "--json"])
    assert done.exit_code == 1 and "gone: no such film" in done.stderr  # said, and the others are judged
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["hot_work", "flame"])
def test_what_flickers_is_decided_soon_after_its_onset_and_not_before(judged: dict, name: str) -> None:
    told = judged["classes"][name]
    assert (told["shown"], told["decided"], told["early"]) == (1, 1, 0)
    assert 0 <= told["delay_p95_s"] <= 5


def test_a_blinking_lamp_is_nothing_and_rendered_hours_claim_nothing(judged: dict) -> None:
    assert judged["by_kind"]["film_signal"] == {"films": 1, "hot_work": 0, "flame": 0, "smoke": 0}
    assert judged["real_negative"]["a_camera_day"] is None and judged["rendered_negative"]["false_alarms"] == 0


def test_delay_counts_from_onset_and_a_decision_before_it_is_no_hit() -> None:
    told = report(
        (row("a", (1, 0, -1), 5.0), FilmVerdict({"hot_work": 7.0}, {"hot_work": 1}, 20)),
        (row("a", (1, 0, -1), 5.0), FilmVerdict({"hot_work": 2.0, "flame": 9.0}, {"hot_work": 1, "flame": 1}, 20)),
        (row("a", (1, 0, -1), 5.0), FilmVerdict({}, {}, 20)),
    ).classes
    assert (told["hot_work"].decided, told["hot_work"].early, told["hot_work"].delay_p95_s) == (1, 1, 2.0)
    assert (told["flame"].false_films, told["flame"].not_shown, told["smoke"].not_shown) == (1, 3, 0)


def test_a_rate_a_camera_day_is_told_of_real_hours_only() -> None:
    real = row("yard", (0, 0, 0), synthetic=False)
    made = row("r", (0, 0, 0)), FilmVerdict({"flame": 1}, {"flame": 2}, 9)
    told = report((real, FilmVerdict({}, {}, 36_000)), made)
    assert told.real_negative.hours == 10 and told.real_negative.a_camera_day == 0
    assert told.real_negative.a_camera_day_95 == poisson(0, 10) == (0.0, 8.856)
    assert told.rendered_negative.false_alarms == 2 and told.rendered_negative.a_camera_day is None
    assert "a camera-day" in told.text()


def test_percentiles_and_intervals_of_nothing_and_of_one() -> None:
    assert percentile([], 0.95) is None and percentile([3.0], 0.95) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95
    low, high = poisson(10, 24)
    assert 4.5 < low < 5.1 and 17 < high < 19


@pytest.mark.parametrize(("text", "what"), [
    ("file,flame\na,1\n", "missing"), ("file,hot_work,flame,smoke\n", "no films"),
    ("file,hot_work,flame,smoke\na,2,0,0\n", "no film"), ("file,hot_work,flame,smoke,fps\na,1,0,0,0\n", "no film"),
])
def test_a_manifest_that_is_none_is_refused(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse_films(text, "clips.csv")


def test_eval_asks_for_pictures_or_clips() -> None:
    done = CliRunner().invoke(app, ["vision", "eval", "--manifest", "x.csv"])
    assert done.exit_code == 2 and "either --images or --clips" in done.stderr
