"""`tocsin vision record | label | labels | learn` with the shipped net: from pictures to a head in use."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision.detector import SHIPPED, Detector
from device_drivers.vision.evidence import EvidenceRecord
from device_drivers.vision.label_book import LabelBook
from device_drivers.vision.label_commands import boxed, coarse, export_labels, from_incidents
from device_drivers.vision.label_incidents import labels_of, parse_incidents, verdicts
from device_drivers.vision.learn_commands import learn
from device_drivers.vision.learn_store import HeadStore, shipped_anchors
from device_drivers.vision.pooling import Spot
from device_drivers.vision.record_choice import RecordRule
from device_drivers.vision.record_folder import Candidate, CandidateFolder
from device_drivers.vision.record_run import record
from device_drivers.vision.run import detector_pool
from device_drivers.vision.vision_file import CameraPlan, VisionPlan
from device_model.errors import ConfigError, LocalFault
from tocsin import app

PICTURES = Path(__file__).parent / "pictures"
S = 1_000_000
DAY_US = 1_700_000_000 * S
FIRE, YARD = "s2_flame_cc_0001.jpg", "s2_neg_workshop_cc0_0000.jpg"


def cut_of(name: str, number: int) -> np.ndarray:
    """The picture with another crop and light each time, as a camera sees a scene on other days."""
    rng = np.random.default_rng(number)
    with Image.open(PICTURES / name) as image:
        picture = image.convert("RGB")
    left, top = (int(rng.uniform(0, 0.15) * side) for side in picture.size)
    part = np.asarray(picture.crop((left, top, picture.width - 5, picture.height - 5)), np.float32)
    return (part * rng.uniform(0.7, 1.1)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve labelled clips of two cameras, one of them of a fire."""
    folder = tmp_path_factory.mktemp("site") / "candidates"
    kept, book = CandidateFolder(folder, 1 << 24), LabelBook(folder, lambda: 1)
    for number in range(12):
        fire = number % 2 == 0
        at_us = DAY_US + number * 3600 * S
        clip = Candidate(f"yard-{at_us // 1000}", "yard", "alarm", (at_us, at_us + S), {"flame": 0.5}, "ab")
        kept.add(clip, [cut_of(FIRE if fire else YARD, 2 * number + n) for n in range(2)])
        book.say(clip.id, (0, 1, -1) if fire else (0, 0, 0), "Li Wei")
    return folder


def test_the_shipped_net_gives_an_embedding_and_anchors_that_fit_it() -> None:
    detector, anchors = Detector(), shipped_anchors()
    with Image.open(PICTURES / FIRE) as image:
        embedding, logits = detector.learnable(image)
    assert embedding.shape == anchors.embeddings.shape[1:] and logits.shape == (3,)
    assert {(anchors.labels[:, i] == 1).sum() > 20 for i in range(3)} == {True}


@pytest.fixture(scope="module")
def taught(site: Path) -> tuple[Path, dict[str, object]]:
    """The folder of heads after `tocsin vision learn`, and what it said."""
    heads = site.parent / "heads"
    done = CliRunner().invoke(
        app, ["vision", "learn", "--folder", str(site), "--heads", str(heads), "--by", "Li Wei", "--json"]
    )
    assert done.exit_code == 0, done.output
    return heads, json.loads(done.stdout)


def test_a_site_learns_by_command_and_its_head_moves_scores_and_boxes_alike(taught, tmp_path: Path) -> None:
    given, report = taught
    heads = shutil.copytree(given, tmp_path / "heads")
    assert report["refused"] == ""
    assert report["held_back"] >= 2 and report["loss_after"] < report["loss_before"]
    head = HeadStore(heads, lambda: 1).current()
    assert head is not None and head.digest() == report["head"] and head.by == "Li Wei"
    plain, taught = Detector(), Detector(head=head)
    with Image.open(PICTURES / FIRE) as image:
        embedding, logits = plain.learnable(image)
        wanted = logits + head.shift(embedding)
        assert taught.see(image).scores == pytest.approx(1 / (1 + np.exp(-wanted)), abs=2e-3)
    back = CliRunner().invoke(app, ["vision", "learn", "--heads", str(heads), "--rollback", "--by", "Li Wei"])
    assert back.exit_code == 0 and "the shipped model alone" in back.stdout
    assert HeadStore(heads, lambda: 1).current() is None


def test_learning_without_a_name_or_a_folder_says_what_to_do(tmp_path: Path) -> None:
    nowhere = ["--by", "Li Wei", "--folder", str(tmp_path / "x")]
    for words, what in ((["--by", ""], "who answers"), (nowhere, "record")):
        done = CliRunner().invoke(app, ["vision", "learn", "--heads", str(tmp_path), *words])
        assert done.exit_code == 1 and what in done.stderr


def test_a_dry_run_measures_and_takes_nothing(site: Path, tmp_path: Path) -> None:
    report = learn(site, tmp_path / "heads", by="Li Wei", dry_run=True)
    assert report.held_back and not (tmp_path / "heads").exists()


def test_a_head_of_another_release_is_left_out_and_the_cameras_are_watched(taught, tmp_path: Path) -> None:
    store = HeadStore(shutil.copytree(taught[0], tmp_path / "heads"), lambda: 1)
    current = store.current()
    assert current is not None
    plan = VisionPlan((CameraPlan("yard", "test:ball"),), detectors=1, heads="heads")
    assert detector_pool(plan, tmp_path).head == current
    store.take(msgspec.structs.replace(current, model_sha256="00" * 32))
    assert detector_pool(plan, tmp_path).head is None
    with pytest.raises(LocalFault, match="another model"):
        Detector(head=store.current())


def test_record_keeps_alarms_and_samples_with_masks_painted(tmp_path: Path) -> None:
    film = tmp_path / "film"
    film.mkdir()
    for number in range(12):
        Image.fromarray(cut_of(FIRE, number)).resize((320, 240)).save(film / f"{number:02}.png")
    config = tmp_path / "vision.yaml"
    config.write_text(
        "cameras:\n  - id: yard\n    source: 'folder:" + str(film) + "#640x360@5'\n    every_s: 0.1\n"
        "    masks: [[[0, 0], [1, 0], [1, 0.1], [0, 0.1]]]\ndetectors: 1\n"
    )
    out = tmp_path / "candidates"
    rule = RecordRule(frames=3, pause_s=1.0)
    report = record(config, out, for_s=20, quota_mib=8, rule=rule, stop=threading.Event())
    clips = CandidateFolder(out, 0).clips()
    assert sum(report.kept.values()) == len(clips) >= 1 and report.refused == report.failed == 0
    with Image.open(out / clips[0].id / "0.jpg") as image:
        top = np.asarray(image)[: image.height // 20]
    assert abs(float(top.mean()) - 127) < 4 and clips[0].model_sha256 == Detector().card.sha256


# Verdicts of incidents


@pytest.mark.parametrize(("name", "cause", "labels"), [
    ("flame", "real", (-1, 1, -1)), ("hot_work", "real_controlled", (1, -1, -1)), ("flame", "works", (1, 0, -1)),
    ("smoke", "works", (1, -1, -1)), ("flame", "steam", (-1, 0, -1)), ("smoke", "dust", (-1, -1, 0)),
    ("flame", "unstated", None), ("flame", "test", None), ("flame", "no such cause", None),
])
def test_what_a_verdict_says_of_a_picture(name: str, cause: str, labels) -> None:
    assert labels_of(name, cause) == labels


def incident(identity: str, cause: str, rule: str = "camera-flame", at_us: int = DAY_US, **more) -> dict[str, object]:
    return {
        "id": identity, "state": "closed", "cause": cause, "severity": "critical", "unknown": [1],
        "alarms": [{"rule": rule, "device": "yard", "at_us": at_us, "subject": "yard", "hazard": "fire"}], **more,
    }


def test_an_export_is_read_as_one_as_a_list_and_as_a_snapshot() -> None:
    one = incident("i-1", "steam")
    for export in (one, [one], {"incidents": [one], "sequence": 4}):
        assert [i.id for i in parse_incidents(json.dumps(export).encode(), "x")] == ["i-1"]
    for bad in (b"", b"[1]", b'{"incidents": 3}', b"\xff"):
        with pytest.raises(ConfigError, match="no incidents"):
            parse_incidents(bad, "x")


def test_drills_and_alarms_of_no_camera_teach_nothing() -> None:
    given = parse_incidents(json.dumps([
        incident("a", "real", drill=True), incident("b", "real", rule="smoke-detector-fire"),
        incident("c", "", rule="camera-hot-work", state="false"),
    ]).encode(), "x")
    found = verdicts(given, frozenset({"yard"}))
    assert [(v.incident, v.labels) for v in found] == [("b", (-1, -1, 1)), ("c", (0, -1, -1))]
    assert verdicts(given, frozenset({"other"})) == []


def test_verdicts_label_the_candidates_of_their_moment_once(tmp_path: Path) -> None:
    folder = tmp_path / "candidates"
    kept = CandidateFolder(folder, 1 << 22)
    clip = Candidate(f"yard-{DAY_US // 1000}", "yard", "alarm", (DAY_US,), {}, "ab")
    kept.add(clip, [cut_of(YARD, 1)])
    export = tmp_path / "incidents.json"
    export.write_text(json.dumps([incident("i-1", "steam", at_us=DAY_US + 30 * S),
                                  incident("i-2", "real", at_us=DAY_US + 9000 * S)]))
    words = ["vision", "labels", "--folder", str(folder), "--from-incidents", str(export), "--json"]
    first = json.loads(CliRunner().invoke(app, words).stdout)
    assert first == {"judged": 2, "labelled": 1, "new": 0, "without_pictures": 1}
    assert LabelBook(folder, lambda: 1).current()[clip.id].labels == (-1, 0, -1)
    lines = (folder / "labels.jsonl").read_bytes()
    assert json.loads(CliRunner().invoke(app, words).stdout)["labelled"] == 1
    assert (folder / "labels.jsonl").read_bytes() == lines


def test_pictures_are_cut_from_the_evidence_of_the_moment(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    with av.open(str(evidence / "yard-1.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(60):
            grey = np.full((240, 320, 3), 40 if number < 20 else 200, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        film.mux(stream.encode())
    from device_drivers.vision.evidence import EvidenceFile

    told = EvidenceRecord(
        id="yard-1", camera="yard", zone="whole", name="flame", decided_us=DAY_US + 2 * S, from_us=DAY_US,
        to_us=DAY_US + 6 * S, scores={"flame": 0.9}, thresholds={}, model="watcher 3", model_sha256="ab",
        previous="", files=(EvidenceFile("yard-1.mp4", "0", 1),), incident="i-1",
    )
    (evidence / "chain.jsonl").write_bytes(msgspec.json.encode(told) + b"\nno record\n")
    export = tmp_path / "incidents.json"
    export.write_text(json.dumps(incident("i-1", "real", at_us=DAY_US + 2 * S)))
    folder = tmp_path / "candidates"
    given = from_incidents(export, folder, evidence)
    assert (given.judged, given.labelled, given.new) == (1, 1, 1)
    clip = CandidateFolder(folder, 0).clips()[0]
    assert clip.evidence == "yard-1" and clip.incident == "i-1" and len(clip.times_us) == 8
    with Image.open(folder / clip.id / "0.jpg") as image:
        assert float(np.asarray(image).mean()) > 150, "from the decision on, not from before it"


# Leaving the site


def test_labels_leave_only_with_a_name_and_a_reason_and_it_is_logged(site: Path, tmp_path: Path) -> None:
    for by, why in (("", "training"), ("Li Wei", ""), ("  ", " ")):
        with pytest.raises(ConfigError, match="what for"):
            export_labels(site, tmp_path / "out", by=by, why=why)
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, ["vision", "labels", "--folder", str(site), "--export", str(tmp_path / "out"),
                                    "--by", "Li Wei", "--why", "training of release 4", "--json"])
    line = json.loads(done.stdout)
    assert (line["by"], line["clips"], line["pictures"], line["previous"]) == ("Li Wei", 12, 24, "")
    logged = (site / "exports.jsonl").read_bytes().splitlines()
    assert json.loads(logged[-1]) == line
    again = export_labels(site, tmp_path / "again", by="Chen Jing", why="second look")
    assert len(again.previous) == 64
    with pytest.raises(ConfigError, match="not empty"):
        export_labels(site, tmp_path / "out", by="Li Wei", why="training")


def test_what_left_is_judged_by_eval_as_any_folder(site: Path, tmp_path: Path) -> None:
    export_labels(site, tmp_path / "out", by="Li Wei", why="eval", blur=lambda picture: picture)
    done = CliRunner().invoke(app, ["vision", "eval", "--images", str(tmp_path / "out"), "--manifest",
                                    str(tmp_path / "out" / "manifest.csv"), "--json"])
    report = json.loads(done.stdout)
    assert report["images"] == 24 and report["classes"]["flame"]["n_pos"] == 12


def test_a_picture_in_which_nobody_is_found_is_made_coarse_as_a_whole() -> None:
    picture = cut_of(YARD, 3)
    detail = [float(np.abs(np.diff(p.astype(int), axis=1)).mean()) for p in (picture, coarse(picture))]
    assert detail[1] < 0.5 * detail[0]
    assert (boxed(lambda _: [])(picture) == coarse(picture)).all()
    person = boxed(lambda _: [Spot(0.4, 0.4, 0.6, 0.6, 0.9)])(picture)
    assert (person[:20] == picture[:20]).all() and (person != picture).any()


def test_the_shipped_card_names_the_anchors() -> None:
    import hashlib

    octets = SHIPPED.with_suffix(".anchors.gz").read_bytes()
    assert Detector().card.trained["anchors SHA-256"] == hashlib.sha256(octets).hexdigest()


def test_the_heads_hash_stands_in_every_record_and_old_chains_still_verify(tmp_path: Path) -> None:
    from device_drivers.vision.camera_health import CameraState
    from device_drivers.vision.evidence_store import EvidenceStore
    from device_drivers.vision.evidence_verify import verify
    from device_drivers.vision.process import WatchedCamera
    from device_drivers.vision.recorder import EvidenceRecorder
    from device_drivers.vision.reports import CameraReport
    from device_drivers.vision.scenes import SceneState
    from device_drivers.vision.temporal import Decision
    from device_drivers.vision.vision_file import EvidencePlan

    card = Detector().card
    limits = dict(zip(card.classes, card.thresholds, strict=True))
    store = EvidenceStore(tmp_path / "evidence", 1 << 20, lambda: DAY_US)
    for number, head in enumerate(("", "ab" * 32)):
        recorder = EvidenceRecorder(store, EvidencePlan("evidence"), card, head_sha256=head)
        seen = SceneState("whole", "flame", 0.9, Decision(True, 0.9, 0.5, False, 1))
        at_us = DAY_US + number * 100 * S
        report = CameraReport("yard", at_us, at_us, CameraState.WELL, {"flame": 0.9}, (seen,), {}, 1)
        recorder.report(WatchedCamera(CameraPlan("yard", "test:ball"), limits, 0.0, 0), report)
        assert [r.head_sha256 for r in recorder.tick(at_us + 60 * S)] == [head]
    lines = (tmp_path / "evidence" / "chain.jsonl").read_bytes().splitlines()
    assert [b"head_sha256" in line for line in lines] == [False, True]
    assert verify(tmp_path / "evidence", "").ok
