"""Evidence in the cloud: put together from parts, checked, bounded, shown by right, released when closed."""

from __future__ import annotations

import errno
import hashlib
import json
import random
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from community_os import evidence_files
from community_os.evidence_desk import IncidentEvidence
from community_os.evidence_files import EvidenceFiles
from community_os.evidence_keeper import TELL_TIMES, EvidenceKeeper
from community_os.store import IncidentStore, inline
from community_os.store_changes import IncidentRow, SiteCommit
from dashboards.evidence_pages import EvidenceView, evidence_router
from dashboards.people import Person
from device_model.clock import Now
from device_model.messages import AlarmRecord, Batch, EvidenceChunkRecord, Lane, Record, decode_down
from device_model.read_models import IncidentView
from tests.community_os.site_messages import PATH, only_incident, up, worker
from tests.rules_engine.incident_house import T0, step

S = 1_000_000
ID = f"yard-1-{T0 // 1000}"


def chunks(octets: bytes, *, alarm: str = "a1", name: str = f"{ID}.mp4", kind: str = "clip", evidence: str = ID,
           size: int = 1000, sha: str = "") -> list[EvidenceChunkRecord]:
    digest = sha or hashlib.sha256(octets).hexdigest()
    return [EvidenceChunkRecord(evidence, "yard-1", "flame", "bay", T0, alarm, kind, name, len(octets), digest, at,
                                octets[at : at + size]) for at in range(0, len(octets), size)]


def files(folder: Path, quota: int = 1_000_000) -> EvidenceFiles:
    return EvidenceFiles(folder / "evidence", quota, lambda: T0)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=1, max_size=5000), st.randoms(use_true_random=False))
def test_parts_in_any_order_and_twice_make_the_file(tmp_path_factory: pytest.TempPathFactory, octets: bytes,
                                                    rng: random.Random) -> None:
    it = files(tmp_path_factory.mktemp("e"))
    parts = chunks(octets, size=700) * 2
    rng.shuffle(parts)
    assert all(it.take(PATH, "gw-1", part) for part in parts)
    (item,) = it.of_site(PATH)
    path = it.file_of(item, f"{ID}.mp4")
    assert path is not None and path.read_bytes() == octets and (item.alarm, item.scene) == ("a1", "flame")


def test_a_hash_that_does_not_fit_is_thrown_away_and_a_part_is_no_file(tmp_path: Path) -> None:
    it = files(tmp_path)
    first, *rest = chunks(b"x" * 2500, sha="0" * 64)
    it.take(PATH, "gw-1", first)
    (item,) = it.of_site(PATH)
    assert item.files[0].state == "coming" and it.file_of(item, item.files[0].name) is None
    for part in rest:
        it.take(PATH, "gw-1", part)
    (item,) = it.of_site(PATH)
    assert item.files[0].state == "refused" and not list((tmp_path / "evidence").rglob("*.mp4*"))
    good = chunks(b"y" * 100, name=f"{ID}.jpg", kind="snapshot")[0]
    it.take(PATH, "gw-1", msgspec.structs.replace(good, octets=b"", lost="taken out"))
    assert it.of_site(PATH)[0].file(f"{ID}.jpg").state == "lost"


@pytest.mark.parametrize("wrong", [
    {"evidence": "../x"}, {"name": "../../etc/passwd"}, {"name": "other.mp4"}, {"kind": "exe"}, {"size": 2**40},
    {"offset": -1}, {"offset": 990}, {"sha256": "short"}, {"size": 0}])
def test_what_a_hostile_gateway_sends_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    it = files(tmp_path)
    part = msgspec.structs.replace(chunks(b"z" * 1000)[0], **wrong)
    assert not it.take(PATH, "gw-1", part) and it.refused == 1 and it.of_site(PATH) == []
    assert not it.take(PATH, "../gw", chunks(b"z")[0]) and not it.take("a/../../b", "gw", chunks(b"z")[0])
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


def test_the_quota_takes_the_oldest_never_an_open_incidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = files(tmp_path, quota=6000)
    it.open_alarms = frozenset({"open"})
    for number, alarm in enumerate(("open", "old", "new")):
        it._now_us = lambda n=number: T0 + n
        name = f"yard-1-{number}"
        for part in chunks(b"q" * 1500, alarm=alarm, evidence=name, name=f"{name}.mp4", size=1500):
            assert it.take(PATH, "gw-1", part)
    part = chunks(b"q" * 1500, alarm="open", evidence="yard-1-9", name="yard-1-9.mp4", size=1500)[0]
    assert it.take(PATH, "gw-1", part)
    assert {item.alarm for item in it.of_site(PATH)} == {"open", "new"}
    big = chunks(b"q" * 5900, alarm="open", evidence="yard-1-8", name="yard-1-8.mp4", size=5900)[0]
    assert not it.take(PATH, "gw-1", big) and it.refused == 1
    assert {item.id for item in it.of_site(PATH)} >= {"yard-1-0", "yard-1-9"}, "open ones stay with a full quota"
    monkeypatch.setattr(evidence_files, "EACH_GATEWAY_MAX", 2)
    it._quota = 10**9
    more = chunks(b"q", alarm="x", evidence="yard-1-7", name="yard-1-7.jpg", kind="snapshot")[0]
    assert not it.take(PATH, "gw-1", more), "a gateway has a number of its own"


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    parts = chunks(b"r" * 3000)
    files(tmp_path).take(PATH, "gw-1", parts[0])
    again = files(tmp_path)
    for part in parts[1:]:
        again.take(PATH, "gw-1", part)
    assert again.of_site(PATH)[0].files[0].state == "whole" and again.paths() == (PATH,)


class Clock:
    now_us = T0 + 120 * S

    def now(self) -> Now:
        return Now(self.now_us, 0, "b")

    async def sleep(self, _: float) -> None:
        raise AssertionError


class Link:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, payload))


@pytest.fixture
def stored(tmp_path: Path):
    """An incident in a store, and evidence of its alarm."""
    store = IncidentStore(f"sqlite:///{tmp_path}/i.sqlite")
    store.open()
    site = worker()
    effects = site.step(up(AlarmRecord(step("smoke-1"))))
    store.apply([SiteCommit(PATH, 1, tuple(effects.changes))])
    yield store, store.incident(only_incident(effects))
    store.close()


def signed(octets: bytes) -> bytes:
    """A record as the vision process writes it."""
    from device_drivers.vision.evidence import FIRST, EvidenceFile, EvidenceRecord, sign

    record = EvidenceRecord(
        id=ID, camera="yard-1", zone="bay", name="flame", decided_us=T0, from_us=T0, to_us=T0, scores={"flame": 0.9},
        thresholds={"flame": 0.4}, model="m", model_sha256="0" * 64, previous=FIRST, sensors={"gas.lel": "3 %"},
        files=(EvidenceFile(f"{ID}.mp4", hashlib.sha256(octets).hexdigest(), len(octets)),))
    return msgspec.json.encode(sign(record, Ed25519PrivateKey.generate()), order="deterministic")


async def test_the_page_sees_it_with_right_and_range_and_each_look_is_audited(stored, tmp_path: Path) -> None:
    store, incident = stored
    alarm = incident.alarms[0].alarm
    it = files(tmp_path)
    clip = bytes(range(256)) * 20
    for part in chunks(clip, alarm=alarm):
        it.take(PATH, "gw-1", part)
    desk = IncidentEvidence(it, store, inline, Clock())
    app = FastAPI()
    who = {"officer": Person("Chen", "officer", PATH), "auditor": Person("Wu", "auditor", ""),
           "stranger": Person("Li", "brigade", "elsewhere/a/b/c")}

    def person(request: Request) -> Person:
        return who[request.headers["x-who"]]

    app.include_router(evidence_router(desk, person))
    page = TestClient(app)
    url = f"/evidence/{incident.id}/{ID}/{ID}.mp4"
    (view,) = msgspec.json.decode(
        page.get(f"/api/incidents/{incident.id}/evidence", headers={"x-who": "officer"}).content,
        type=tuple[EvidenceView, ...])
    assert view.files[0].url == url and view.checked == ""
    whole = page.get(url, headers={"x-who": "officer"})
    assert whole.content == clip and whole.headers["content-type"] == "video/mp4"
    part_of = page.get(url, headers={"x-who": "officer", "Range": "bytes=100-199"})
    assert part_of.status_code == 206 and part_of.content == clip[100:200]
    for other in ("auditor", "stranger"):
        assert page.get(url, headers={"x-who": other}).status_code == 404
        assert page.get(f"/api/incidents/{incident.id}/evidence", headers={"x-who": other}).status_code == 404
    assert page.get(f"/evidence/{incident.id}/{ID}/{ID}.jpg", headers={"x-who": "officer"}).status_code == 404
    assert page.get(f"/evidence/other/{ID}/{ID}.mp4", headers={"x-who": "officer"}).status_code == 404
    assert "evidence_seen" in (rows := audit(store)) and rows.count("evidence_seen") == 1
    assert store.verify_audit().broken == ()
    (facts,) = await desk.facts(store.incident(incident.id))
    assert facts.clip == url and facts.snapshot == "" and facts.sha256 == hashlib.sha256(clip).hexdigest()


def audit(store: IncidentStore) -> list[str]:
    import sqlalchemy as sa

    from community_os import schema

    with store.transaction(writes=False) as connection:
        return list(connection.scalars(sa.select(schema.audit.c.what)))


@pytest.mark.parametrize(("change", "said"), [
    (lambda line: line, "fits"), (lambda line: line.replace(b'"zone":"bay"', b'"zone":"bar"'), "signature")])
async def test_the_signed_record_is_checked(stored, tmp_path: Path, change, said: str) -> None:
    pytest.importorskip("numpy")
    store, incident = stored
    alarm, it, clip = incident.alarms[0].alarm, files(tmp_path), b"c" * 2000
    for octets, kind, suffix in ((clip, "clip", "mp4"), (change(signed(clip)), "record", "json")):
        for part in chunks(octets, alarm=alarm, kind=kind, name=f"{ID}.{suffix}"):
            it.take(PATH, "gw-1", part)
    (view,) = await IncidentEvidence(it, store, inline, Clock()).evidence(incident.id, "")
    assert said in view.checked


async def test_a_clip_that_is_not_the_records_is_said(stored, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    store, incident = stored
    it = files(tmp_path)
    for octets, kind, suffix in ((b"other", "clip", "mp4"), (signed(b"clip"), "record", "json")):
        for part in chunks(octets, alarm=incident.alarms[0].alarm, kind=kind, name=f"{ID}.{suffix}"):
            it.take(PATH, "gw-1", part)
    (view,) = await IncidentEvidence(it, store, inline, Clock()).evidence(incident.id, "")
    assert "not what the record names" in view.checked


async def test_batches_lose_their_bytes_and_a_closed_incident_is_told_to_the_gateway(stored, tmp_path: Path) -> None:
    store, incident = stored
    alarm, it, link, clock = incident.alarms[0].alarm, files(tmp_path), Link(), Clock()
    keeper = EvidenceKeeper(it, store, inline, link, clock)
    (part,) = chunks(b"k" * 500, alarm=alarm)
    batch = Batch(1, "gw-1", "e", Lane.EVIDENCE, (Record(1, T0, 0, "b", part),))
    thin = await keeper.take(PATH, batch)
    assert thin.records[0].body.octets == b"" and it.of_site(PATH)[0].files[0].state == "whole"
    telemetry = msgspec.structs.replace(batch, lane=Lane.TELEMETRY)
    assert await keeper.take(PATH, telemetry) is telemetry
    await keeper.look()
    assert it.open_alarms == {alarm} and not link.sent
    view = store.incident(incident.id)
    closed = json.loads(msgspec.json.encode(view)) | {"state": "closed", "closed_us": T0}
    store.apply([SiteCommit(PATH, 2, (IncidentRow(msgspec.json.decode(json.dumps(closed), type=IncidentView)),))])
    for _ in range(TELL_TIMES + 3):
        await keeper.look()
        clock.now_us += 24 * 3600 * S
    assert it.open_alarms == frozenset() and len(link.sent) == TELL_TIMES, "then it must have heard"
    topic, payload = link.sent[0]
    command = decode_down(payload).command
    assert topic.endswith("/gw-1/down/command") and (command.kind, command.target) == ("incident_closed", alarm)
    assert len({decode_down(p).command.id for _, p in link.sent}) == 1, "applied once"


async def test_a_reopened_incident_holds_the_gateways_copy_again(stored, tmp_path: Path) -> None:
    store, incident = stored
    alarm, link, clock = incident.alarms[0].alarm, Link(), Clock()
    it = files(tmp_path)
    keeper = EvidenceKeeper(it, store, inline, link, clock)
    (part,) = chunks(b"k", alarm=alarm)
    await keeper.take(PATH, Batch(1, "gw-1", "e", Lane.EVIDENCE, (Record(1, T0, 0, "b", part),)))
    as_it_was = store.incident(incident.id)
    sequence = 1

    async def turn(state: str, keeper: EvidenceKeeper) -> tuple[str, str]:
        nonlocal sequence
        sequence += 1
        view = json.loads(msgspec.json.encode(as_it_was)) | {"state": state}
        store.apply([SiteCommit(PATH, sequence, (IncidentRow(msgspec.json.decode(
            json.dumps(view), type=IncidentView)),))])
        link.sent.clear()
        clock.now_us += 3600 * S
        for _ in range(2):
            await keeper.look()
        (_, payload), = link.sent
        command = decode_down(payload).command
        assert command.target == alarm
        return command.kind.value, command.id

    told = [await turn(state, keeper) for state in ("closed", "new", "closed")]
    after_restart = EvidenceKeeper(files(tmp_path), store, inline, link, clock)
    told += [await turn(state, after_restart) for state in ("new", "closed")]
    assert [kind for kind, _ in told] == ["incident_closed", "incident_reopened"] * 2 + ["incident_closed"]
    assert len({identity for _, identity in told}) == 5, "each is carried out, none is taken for a repeat"


async def test_what_a_full_disk_refused_is_asked_for_until_it_is_here(stored, tmp_path: Path, monkeypatch) -> None:
    store, incident = stored
    alarm, link, clock = incident.alarms[0].alarm, Link(), Clock()
    it = EvidenceFiles(tmp_path / "evidence", 1_000_000, lambda: clock.now_us)
    keeper = EvidenceKeeper(it, store, inline, link, clock)
    parts = chunks(b"k" * 2500, alarm=alarm)

    async def send(*some: EvidenceChunkRecord) -> None:
        await keeper.take(PATH, Batch(1, "gw-1", "e", Lane.EVIDENCE, tuple(
            Record(n, T0, 0, "b", part) for n, part in enumerate(some, 1))))

    with monkeypatch.context() as full:
        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(evidence_files.os, "pwrite", refuse)
        await send(parts[0])
    await send(*parts[1:])
    assert it.refused == 1 and it.of_site(PATH)[0].files[0].state == "coming"
    await keeper.look()
    assert not link.sent, "it may still be on its way"
    clock.now_us += evidence_files.STALLED_US + S
    for _ in range(2):
        await keeper.look()
    (topic, payload), = link.sent
    command = decode_down(payload).command
    assert topic.endswith("/gw-1/down/command") and (command.kind, command.target) == ("evidence_again", f"{ID}.mp4")
    clock.now_us += 3600 * S
    await keeper.look()
    assert len({decode_down(payload).command.id for _, payload in link.sent}) == 2, "each asking counts"
    await send(*parts)
    assert it.of_site(PATH)[0].files[0].state == "whole"
    clock.now_us += 3600 * S
    await keeper.look()
    assert len(link.sent) == 2 and it.wanting() == []


async def test_what_left_no_trace_on_the_full_disk_is_asked_for_too(tmp_path: Path, monkeypatch) -> None:
    now = [T0]
    it = EvidenceFiles(tmp_path / "evidence", 1_000_000, lambda: now[0])
    with monkeypatch.context() as full:
        full.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        assert not it.take(PATH, "gw-1", chunks(b"k")[0])
    hostile = msgspec.structs.replace(chunks(b"k")[0], name="../x")
    assert not it.take(PATH, "gw-1", hostile), "and never asked for"
    assert it.wanting() == []
    now[0] += evidence_files.STALLED_US + S
    assert it.wanting() == [(PATH, "gw-1", f"{ID}.mp4")]
    assert it.take(PATH, "gw-1", chunks(b"k")[0]) and it.wanting() == []
