"""Evidence that goes up: which, in what order, how it resumes, what is held."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.command import CommandKind, CommandOutcome, CommandResult
from device_model.messages import AlarmRecord, CommandResultRecord, EvidenceChunkRecord, Lane, Record
from edge_agent.evidence_feed import (
    CHUNK_BYTES,
    EVIDENCE_MAX,
    HOLD_MOST_US,
    CameraPlace,
    EvidenceFeed,
    FeedFile,
    FeedMemory,
    parts_of,
)
from edge_agent.evidence_part import EvidencePart

S = 1_000_000
NOW = 1_700_000_000 * S
PLACES = (CameraPlace("yard-1", "cam", "yard"), CameraPlace("yard-1", "cam-bay", "bay"),
          CameraPlace("hall", "cam2", "hall"))


def raised(alarm: str, device: str = "cam", zone: str = "yard", at_us: int = NOW, **more: object) -> AlarmTransition:
    return AlarmTransition(alarm, AlarmKey("camera.flame", f"{device}.flame"), AlarmState.RAISED, AlarmState.PENDING,
                           Hazard.FIRE, Severity.CRITICAL, at_us, at_us, zone, device, **more)


def identity(camera: str = "yard-1", at_us: int = NOW) -> str:
    return f"{camera}-{at_us // 1000}"


def feed(*alarms: AlarmTransition) -> EvidenceFeed:
    it = EvidenceFeed(PLACES, FeedMemory())
    for alarm in alarms:
        it.alarm(alarm)
    return it


def test_evidence_belongs_to_its_own_alarm_else_to_the_nearest_of_its_zones() -> None:
    it = feed(raised("smoke", "smoke-1", "bay", NOW + 2 * S), raised("own", "cam", "yard", NOW + 9 * S),
              raised("far", "cam2", "hall"), raised("old", "cam", "yard", NOW - 200 * S),
              raised("test", "cam", test=True), raised("fault", "cam", at_us=NOW))
    assert it.alarm_of("yard-1", NOW) in ("own", "fault")
    assert feed(raised("smoke", "smoke-1", "bay", NOW + 2 * S)).alarm_of("yard-1", NOW) == "smoke"
    assert feed(raised("far", "x", "elsewhere")).alarm_of("yard-1", NOW) == ""
    assert feed(raised("test", "cam", test=True)).alarm_of("yard-1", NOW) == ""
    assert feed(raised("late", at_us=NOW + 601 * S)).alarm_of("yard-1", NOW) == ""
    assert not feed().wants(identity(), "snapshot", "x.jpg"), "evidence without an alarm stays on the site"


def test_small_first_and_the_newest_evidence_first() -> None:
    it = feed(raised("a"), raised("b", at_us=NOW + 60 * S))
    old, new = identity(), identity(at_us=NOW + 60 * S)
    for name in (old, new):
        it.found(name, FeedFile(f"{name}.mp4", "clip", 100_000, "h"), NOW)
        it.found(name, FeedFile(f"{name}.json", "record", 900, "h"), NOW)
        it.found(name, FeedFile(f"{name}.jpg", "snapshot", 40_000, "h"), NOW)
    order, given = [], {}
    while (part := it.next(given)) is not None:
        order.append((part.name, part.offset))
        given[part.evidence, part.name] = part.offset + part.size
    assert [n for n, at in order if at == 0] == [
        f"{new}.jpg", f"{old}.jpg", f"{new}.json", f"{old}.json", f"{new}.mp4", f"{old}.mp4"]
    assert sum(n == f"{new}.mp4" for n, _ in order) == 3 and max(at for _, at in order) < 100_000


@given(st.integers(1, 300_000), st.lists(st.booleans(), max_size=30))
def test_every_byte_is_sent_once_it_is_delivered_whatever_is_lost(size: int, losses: list[bool]) -> None:
    it = feed(raised("a"))
    it.found(identity(), FeedFile("c.mp4", "clip", size, "h"), NOW)
    got = bytearray(size)
    lost = iter(losses)
    while (part := it.next({})) is not None:
        if next(lost, False):
            continue  # a kill: the part was given out and never delivered
        got[part.offset : part.offset + part.size] = b"x" * part.size
        it.delivered(part)
    assert got == b"x" * size and it.memory.evidence[0].files[0].done


def test_a_restart_goes_on_where_it_was() -> None:
    it = feed(raised("a"))
    it.found(identity(), FeedFile("c.mp4", "clip", 3 * CHUNK_BYTES, "h"), NOW)
    it.delivered(it.next({}))
    kept = msgspec.json.decode(msgspec.json.encode(it.memory), type=FeedMemory)
    again = EvidenceFeed(PLACES, kept)
    assert again.next({}).offset == CHUNK_BYTES and again.holds() == {identity(): "a"}


def test_holds_end_with_the_incident_or_after_a_month() -> None:
    it = feed(raised("a"), raised("b", "cam2", "hall"))
    it.found(identity(), FeedFile("1", "clip", 1, "h"), NOW)
    it.found(identity("hall"), FeedFile("2", "clip", 1, "h"), NOW)
    assert set(it.holds().values()) == {"a", "b"}
    it.closed("a")
    assert set(it.holds().values()) == {"b"}
    it.expire(NOW + HOLD_MOST_US + 1)
    assert it.holds() == {}


def test_memory_is_bounded_and_held_evidence_goes_last() -> None:
    it = feed(*(raised(f"a{n}", at_us=NOW + n * S) for n in range(300)))
    for n in range(EVIDENCE_MAX + 5):
        it.found(identity(at_us=NOW + n * 1000), FeedFile("x", "snapshot", 1, "h", 1, True), NOW)
        if n > 3:
            it.memory.evidence[-1].held = False
    assert len(it.memory.evidence) == EVIDENCE_MAX and sum(e.held for e in it.memory.evidence) == 4
    assert len(it.memory.alarms) == 200


@pytest.mark.parametrize(("text", "camera", "at"), [
    ("yard-1-1700000000123", "yard-1", 1_700_000_000_123_000), ("quota-x", "", 0), ("-5", "", 0), ("a-१", "", 0)])
def test_ids(text: str, camera: str, at: int) -> None:
    assert parts_of(text) == (camera, at)


class FakeRuntime:
    """What the part uses of a runtime: an evidence lane whose deliveries the test decides."""

    def __init__(self) -> None:
        self.listeners: list = []
        self.sent: list[EvidenceChunkRecord] = []
        self.waiting: set[int] = set()
        self.journal_epoch = "e1"

        class Site:
            devices = ()

        class Inventory:
            site = Site()

        self.inventory = Inventory()

    def offer_evidence(self, chunk: EvidenceChunkRecord) -> int:
        self.sent.append(chunk)
        self.waiting.add(len(self.sent))
        return len(self.sent)

    def evidence_waits(self, sequence: int) -> bool:
        return sequence in self.waiting


class FakeClock:
    def now(self):
        from device_model.clock import Now

        return Now(NOW, 0, "b")

    async def sleep(self, _: float) -> None:
        raise AssertionError


def part_of(folder: Path, runtime: FakeRuntime) -> EvidencePart:
    part = EvidencePart(folder, runtime, FakeClock())  # type: ignore[arg-type]
    part.feed._cameras = PLACES
    return part


async def test_a_folder_goes_up_and_is_whole_at_the_far_end(tmp_path: Path) -> None:
    name, runtime = identity(), FakeRuntime()
    part = part_of(tmp_path, runtime)
    part._heard([(Lane.ALARM, Record(1, NOW, 0, "b", AlarmRecord(raised("a"))))])
    clip = bytes(range(256)) * 500
    (tmp_path / f"{name}.jpg").write_bytes(b"snapshot")
    await part.look()
    assert not runtime.sent, "it may still be being written"
    await part.look()
    assert [c.kind for c in runtime.sent] == ["snapshot"]
    assert runtime.sent[0].sha256 == hashlib.sha256(b"snapshot").hexdigest()
    assert json.loads((tmp_path / "open-incidents.json").read_bytes()) == {name: "a"}
    (tmp_path / f"{name}.mp4").write_bytes(clip)
    line = json.dumps({"id": name, "name": "flame", "zone": "bay", "files": [{"name": f"{name}.jpg"}]}).encode()
    (tmp_path / "chain.jsonl").write_bytes(line + b"\n" + b'{"id": "torn')
    for _ in range(4):
        await part.look()
    assert len(runtime.waiting) == 2, "no more than two parts are under way"
    for _ in range(12):
        runtime.waiting.clear()
        await part.look()
    got: dict[str, bytes] = {}
    for chunk in runtime.sent:
        whole = got.setdefault(chunk.name, b"")
        assert len(whole) == chunk.offset
        got[chunk.name] = whole + chunk.octets
    assert got == {f"{name}.jpg": b"snapshot", f"{name}.json": line, f"{name}.mp4": clip}
    assert runtime.sent[-1].scene == "flame" and runtime.sent[-1].alarm == "a"
    sent = len(runtime.sent)
    again = part_of(tmp_path, runtime)
    for _ in range(3):
        await again.look()
    assert len(runtime.sent) == sent, "what was delivered is not sent again after a restart"
    done = CommandResult("c", CommandKind.INCIDENT_CLOSED, "a", CommandOutcome.APPLIED, NOW)
    again._heard([(Lane.ALARM, Record(2, NOW, 0, "b", CommandResultRecord(done)))])
    await again.look()
    assert json.loads((tmp_path / "open-incidents.json").read_bytes()) == {}
    for kind, target in ((CommandKind.INCIDENT_REOPENED, "a"), (CommandKind.EVIDENCE_AGAIN, f"{name}.jpg"),
                         (CommandKind.EVIDENCE_AGAIN, "nobody-1.jpg"), (CommandKind.EVIDENCE_AGAIN, "x")):
        asked = CommandResult("d", kind, target, CommandOutcome.APPLIED, NOW)
        again._heard([(Lane.ALARM, Record(3, NOW, 0, "b", CommandResultRecord(asked)))])
    await again.look()
    assert json.loads((tmp_path / "open-incidents.json").read_bytes()) == {name: "a"}, "held again"
    assert [chunk.name for chunk in runtime.sent[sent:]] == [f"{name}.jpg"], "sent once more, whole"
    again.feed.again(f"{name}.jpg")
    await again.look()
    assert len(runtime.sent) == sent + 1, "what is on its way just goes on"


async def test_a_file_that_is_taken_out_is_said_and_a_new_journal_sends_again(tmp_path: Path) -> None:
    name, runtime = identity(), FakeRuntime()
    part = part_of(tmp_path, runtime)
    part.feed.alarm(raised("a"))
    (tmp_path / f"{name}.mp4").write_bytes(b"z" * (3 * CHUNK_BYTES))
    for _ in range(2):
        await part.look()
    assert [c.offset for c in runtime.sent] == [0, CHUNK_BYTES]
    runtime.journal_epoch = "e2"
    await part.look()
    assert [c.offset for c in runtime.sent] == [0, CHUNK_BYTES] * 2, "whether they came is not known"
    runtime.waiting.clear()
    (tmp_path / f"{name}.mp4").unlink()
    await part.look()
    assert runtime.sent[-1].lost and not runtime.sent[-1].octets
    count = len(runtime.sent)
    await part.look()
    assert len(runtime.sent) == count
    missing = part_of(tmp_path / "nowhere", FakeRuntime())
    await missing.look()
