"""What a site teaches: the book of labels, the folder of clips, the head that is measured before it is taken."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.vision.anchors import pack_anchors, parse_anchors
from device_drivers.vision.label_book import INCIDENT, LabelBook
from device_drivers.vision.learn import SHIFT_MAX, Anchors, Clip, clip_score, fit, held_back, parse_head
from device_drivers.vision.learn_store import HeadStore
from device_drivers.vision.record_choice import ALARM, SAMPLE, UNSURE, Chooser, RecordRule
from device_drivers.vision.record_folder import Candidate, CandidateFolder
from device_model.errors import ConfigError, LocalFault

S = 1_000_000
SIZE = 12
THRESHOLDS = (0.9, 0.6, 0.8)


def net(seed: int, labels: tuple[int, ...], lamp: bool = False, frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A made-up net: embedding 0..2 are the classes, 5 the site's lamp, which the shipped judge takes for flame."""
    rng = np.random.default_rng(seed)
    embedding = rng.normal(0, 0.3, (frames, SIZE))
    logits = rng.normal(-3, 0.4, (frames, 3))
    for i, label in enumerate(labels):
        if label == 1:
            embedding[:, i] += 3
            logits[:, i] += 6
    if lamp:
        embedding[:, 5] += 3
        logits[:, 1] += 5
    return embedding.astype(np.float32), logits.astype(np.float32)


def anchors(count: int = 80) -> Anchors:
    rows = [(net(1000 + i, labels, frames=1), labels) for i, labels in enumerate(
        [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)] * (count // 4))]
    order = np.random.default_rng(5).permutation(len(rows))
    return Anchors(
        np.concatenate([rows[i][0][0] for i in order]),
        np.concatenate([rows[i][0][1] for i in order]),
        np.array([rows[i][1] for i in order], np.int8),
    )


def clips(count: int = 24, wrong: bool = False) -> list[Clip]:
    """Half flames, half of the lamp that is called flame. wrong: labels say the opposite of what is true."""
    found = []
    for i in range(count):
        lamp = i % 2 == 0
        labels = (0, 0 if lamp else 1, 0)
        embedding, logits = net(i, labels, lamp)
        said = (0, 1 - labels[1], 0) if wrong and i % 4 < 2 else labels
        found.append(Clip(f"yard-{i}", f"yard/{i}", said, embedding, logits))
    return found


def head_of(given_clips: list[Clip]):
    return fit(given_clips, anchors(), THRESHOLDS, model_sha256="ab" * 32, now_us=7, by="Li Wei")


def test_a_lamp_that_fooled_the_model_is_learnt_and_fire_is_not_forgotten() -> None:
    head = head_of(clips())
    flame = head.report.classes["flame"]
    assert head.report.refused == ""
    assert flame.false_before == flame.not_shown > 0 == flame.false_after
    assert flame.found_before == flame.found_after == flame.shown > 0
    assert flame.false_after_95 is not None and flame.false_after_95[1] < 0.7
    assert all(after >= before - 0.01 for before, after in head.report.anchors.values())


def test_a_class_whose_labels_are_at_odds_stays_as_it_was_shipped_with_the_reason() -> None:
    head = head_of(clips(wrong=True))
    why = head.report.as_shipped["flame"]
    assert "held-back" in why and "forgets" in why and "left as shipped" in head.report.text()
    assert set(head.weights[1]) == {0.0} and head.offsets[1] == 0


def test_fires_that_are_labelled_as_none_are_refused() -> None:
    lies = [msgspec.structs.replace(c, labels=(0, 0, 0)) for c in clips(40) if c.labels[1] == 1]
    assert head_of(lies).report.refused


@pytest.mark.parametrize("count", [0, 5])
def test_too_few_clips_teach_nothing(count: int) -> None:
    with pytest.raises(ConfigError, match="label 6 or more"):
        head_of(clips(24)[:count])


def test_clips_of_one_camera_and_time_are_not_held_back_from_themselves() -> None:
    same = [msgspec.structs.replace(c, group="yard/1") for c in clips()]
    with pytest.raises(ConfigError, match="other hours"):
        head_of(same)


def test_what_is_held_back_is_the_same_every_time_and_of_every_label() -> None:
    back = held_back(clips())
    assert back == held_back(list(reversed(clips())))
    labels = {c.labels for c in clips() if c.group in back}
    assert len(labels) == 2 and 0.2 < len(back) / 24 < 0.5


def test_the_same_clips_give_the_same_head() -> None:
    assert head_of(clips()).digest() == head_of(clips()).digest()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=SIZE, max_size=SIZE))
def test_a_shift_is_bounded_whatever_the_embedding(values: list[float]) -> None:
    assert np.abs(HEAD.shift(np.array(values))).max() <= SHIFT_MAX


HEAD = head_of(clips())


def test_a_head_survives_the_file_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    store = HeadStore(tmp_path, lambda: 9)
    digest = store.take(HEAD)
    assert store.current() == HEAD and parse_head(HEAD.encoded(), "x").digest() == digest
    file = tmp_path / f"{digest}.json"
    file.write_bytes(file.read_bytes().replace(b"Li Wei", b"Li Wai"))
    with pytest.raises(ConfigError, match="was changed"):
        store.current()


def test_rollback_goes_back_one_by_one_to_the_shipped_model(tmp_path: Path) -> None:
    store = HeadStore(tmp_path, lambda: 9)
    second = msgspec.structs.replace(HEAD, fitted_us=8)
    first_id, second_id = store.take(HEAD), store.take(second)
    assert store.rollback("Li Wei") == (second_id, first_id) and store.current() == HEAD
    assert store.rollback("Li Wei") == (first_id, "") and store.current() is None
    with pytest.raises(ConfigError, match="no head is in use"):
        store.rollback("Li Wei")
    assert [c.what for c in store.history()] == ["learn", "learn", "rollback", "rollback"]


def test_half_a_line_of_a_power_cut_costs_that_line_only(tmp_path: Path) -> None:
    store = HeadStore(tmp_path, lambda: 9)
    store.take(HEAD)
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"what": "rollb')
    assert store.current() == HEAD


@pytest.mark.parametrize("octets", [b"", b"{}", b"[]", b"\xff", b'{"model_sha256": 1}'])
def test_bytes_that_are_no_head_are_refused(octets: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_head(octets, "head")


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ConfigError):
        parse_head(msgspec.structs.replace(HEAD, scale=(0.0,) * SIZE).encoded(), "head")
    with pytest.raises(ConfigError):
        parse_head(msgspec.structs.replace(HEAD, mean=(1.0,)).encoded(), "head")


def test_anchors_come_back_as_they_were_packed_and_garbage_does_not() -> None:
    kept = anchors()
    octets = pack_anchors(kept.embeddings, kept.logits, kept.labels)
    assert octets == pack_anchors(kept.embeddings, kept.logits, kept.labels)
    back = parse_anchors(octets, "x")
    assert (back.labels == kept.labels).all() and np.allclose(back.embeddings, kept.embeddings, atol=0.01)
    for bad in (b"", octets[:50], octets[:-20], b"\x1f\x8b" + b"0" * 40):
        with pytest.raises(LocalFault):
            parse_anchors(bad, "x")


def test_a_clip_scores_by_its_three_strongest_frames() -> None:
    assert clip_score(np.array([-9.0, 9, 9, 9])) > 0.99 > 0.4 > clip_score(np.array([-9.0, -9, -9, 9]))


# What is recorded


def test_doubts_alarms_and_samples_each_have_their_own_pause() -> None:
    chooser = Chooser(RecordRule(pause_s=60, sample_s=600))
    limits = {"flame": 0.8, "smoke": 0.5}
    said = [
        chooser.why(scores, limits, decided, at * S)
        for scores, decided, at in (
            ({"flame": 0.1}, False, 0), ({"flame": 0.5}, False, 1), ({"flame": 0.5}, False, 2),
            ({"flame": 0.9}, False, 3), ({"flame": 0.1}, True, 4), ({"flame": 0.1}, False, 300),
            ({"flame": 0.5}, False, 301), ({"flame": 0.1}, False, 601),
        )
    ]
    assert said == [SAMPLE, UNSURE, "", ALARM, "", "", UNSURE, SAMPLE]


PICTURE = np.full((90, 160, 3), 90, np.uint8)


def candidate(number: int, camera: str = "yard-1") -> Candidate:
    at_us = (1_700_000_000 + number * 700) * S
    return Candidate(f"{camera}-{at_us // 1000}", camera, SAMPLE, (at_us, at_us + S), {"flame": 0.2}, "ab")


def test_a_full_folder_gives_up_the_oldest_without_a_label_and_never_a_labelled_one(tmp_path: Path) -> None:
    folder = CandidateFolder(tmp_path, 3 * 6000)
    for number in range(3):
        assert folder.add(candidate(number), [PICTURE, PICTURE])
    kept = frozenset({candidate(0).id})
    assert folder.add(candidate(3), [PICTURE, PICTURE], kept)
    assert [c.id for c in folder.clips()] == [candidate(n).id for n in (0, 2, 3)]
    every = frozenset(c.id for c in folder.clips())
    assert not folder.add(candidate(4), [PICTURE, PICTURE], every)
    assert (folder.refused, folder.pruned) == (1, 1) and len(folder.clips()) == 3


def test_a_clip_whose_file_is_broken_or_misnamed_is_left_out(tmp_path: Path) -> None:
    folder = CandidateFolder(tmp_path, 1 << 20)
    folder.add(candidate(1), [PICTURE])
    (tmp_path / candidate(2).id).mkdir()
    (tmp_path / candidate(2).id / "clip.json").write_bytes(b"{")
    (tmp_path / "readme.txt").write_text("mine")
    assert [c.id for c in folder.clips()] == [candidate(1).id]
    assert folder.read("../../etc-1700000000000") is None


# What people say


def test_the_last_word_counts_undo_takes_it_back_and_all_of_it_is_on_disk(tmp_path: Path) -> None:
    times = iter(range(100))
    book = LabelBook(tmp_path, lambda: next(times))
    book.say("a-1", (1, 0, 0), "Li Wei")
    book.say("a-1", (0, 1, 0), " Li   Wei ")
    book.say("b-1", (0, 0, 0), "Chen Jing")
    assert book.undo("Li Wei") == "a-1"
    for read in (book, LabelBook(tmp_path, lambda: 0)):
        assert {k: s.labels for k, s in read.current().items()} == {"a-1": (1, 0, 0), "b-1": (0, 0, 0)}
    assert book.undo("Nobody Else") == ""
    assert len((tmp_path / "labels.jsonl").read_bytes().splitlines()) == 4


def test_a_verdict_of_an_incident_never_overrides_a_person_who_looked(tmp_path: Path) -> None:
    book = LabelBook(tmp_path, lambda: 1)
    book.say("a-1", (0, 0, 0), "Li Wei")
    book.say("a-1", (0, 1, -1), "incident 7", source=INCIDENT, incident="7")
    book.say("b-1", (0, 1, -1), "incident 7", source=INCIDENT, incident="7")
    book.say("b-1", (1, 0, 0), "Li Wei")
    assert {k: s.labels for k, s in book.current().items()} == {"a-1": (0, 0, 0), "b-1": (1, 0, 0)}


def test_not_sure_is_kept_and_not_learnt_from(tmp_path: Path) -> None:
    book = LabelBook(tmp_path, lambda: 1)
    book.say("a-1", (), "Li Wei", skip=True)
    assert book.current()["a-1"].skipped and book.labelled() == frozenset()


@pytest.mark.parametrize(("labels", "by"), [((1, 0), "Li"), ((2, 0, 0), "Li"), ((1, 0, 0), "  "), ((), "Li")])
def test_labels_that_are_none_and_nameless_ones_are_refused(tmp_path: Path, labels, by: str) -> None:
    book = LabelBook(tmp_path, lambda: 1)
    with pytest.raises(ConfigError):
        book.say("a-1", labels, by)
    assert not (tmp_path / "labels.jsonl").exists()


def test_a_book_cut_in_the_middle_of_a_line_keeps_the_lines_before(tmp_path: Path) -> None:
    LabelBook(tmp_path, lambda: 1).say("a-1", (1, 0, 0), "Li Wei")
    path = tmp_path / "labels.jsonl"
    path.write_bytes(path.read_bytes() + b'{"clip": "b-1", "lab')
    book = LabelBook(tmp_path, lambda: 1)
    assert set(book.current()) == {"a-1"} and book.broken == 1
    book.say("c-1", (0, 0, 0), "Li Wei")
    assert set(LabelBook(tmp_path, lambda: 1).current()) == {"a-1", "c-1"}
