"""Tests of installers in the cloud: kept beyond the gateway that sent them; shown beside what is expected."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from community_os import walk_shelf
from community_os.walk_shelf import WalkShelf
from dashboards.walks import KeptWalk, lines_of
from device_model.errors import LocalFault
from device_model.messages import Batch, Lane, Record, WalkRecord, decode_record, encode
from device_model.site import Text

PATH = "hangzhou/yuhang/cangqian/riverside"


def walk(subject: str, begun_us: int, result: str = "arrived", kind: str = "walk") -> WalkRecord:
    return WalkRecord(subject, kind, "Zhao", "contractor", begun_us, result, took_ms=800)


def batch(gateway: str, *records: WalkRecord, lane: Lane = Lane.EVIDENCE) -> Batch:
    return Batch(1, gateway, "e1", lane, tuple(Record(n, 0, 0, "b", one) for n, one in enumerate(records, 1)))


def take(shelf: WalkShelf, *batches: Batch) -> list[Batch]:
    passed: list[Batch] = []

    async def on(path: str, one: Batch) -> Batch:
        passed.append(one)
        return one

    async def play() -> None:
        for one in batches:
            await shelf.before(on)(PATH, one)

    asyncio.run(play())
    return passed


def test_a_record_travels_and_is_kept_once_however_often_it_comes(tmp_path):
    record = Record(1, 0, 0, "b", walk("smoke-1", 1))
    assert decode_record(encode(record)) == record
    shelf, sent = WalkShelf(tmp_path), batch("gw-1", walk("smoke-1", 1), walk("smoke-2", 2, "missed"))
    passed = take(shelf, sent, sent, batch("gw-1", walk("smoke-1", 3, "running"), lane=Lane.TELEMETRY))
    assert len(passed) == 3, "everything goes on to the worker"
    assert [one.record.subject for one in WalkShelf(tmp_path).of_site(PATH)] == ["smoke-1", "smoke-2"]
    assert shelf.of_site("hangzhou/yuhang/cangqian/other") == ()


def test_records_outlive_the_gateway_and_the_newest_counts(tmp_path):
    shelf = WalkShelf(tmp_path)
    take(shelf, batch("gw-1", walk("smoke-1", 1), walk("smoke-2", 2)), batch("gw-2", walk("smoke-1", 9, "missed")))
    lines = lines_of({"smoke-1": Text("a", "a"), "smoke-3": Text("c", "c")}, shelf.of_site(PATH))
    said = [(line.subject, line.proven, line.known, line.test.gateway if line.test else "") for line in lines]
    assert said == [("smoke-3", False, True, ""), ("smoke-1", False, True, "gw-2"), ("smoke-2", True, False, "gw-1")]


def test_a_book_that_has_grown_keeps_the_newest_of_each_device(tmp_path, monkeypatch):
    monkeypatch.setattr(walk_shelf, "FILE_MAX", 2000)
    shelf = WalkShelf(tmp_path)
    for n in range(60):
        take(shelf, batch("gw-1", walk(f"smoke-{n % 2}", n)))
    kept = shelf.of_site(PATH)
    assert {one.record.begun_us for one in kept} >= {58, 59} and len(kept) < 30
    file = next((tmp_path / "walks").iterdir())
    assert file.stat().st_size < 6000


def test_a_cut_line_is_left_out_and_a_folder_that_takes_nothing_is_said(tmp_path):
    shelf = WalkShelf(tmp_path)
    take(shelf, batch("gw-1", walk("smoke-1", 1)))
    file = next((tmp_path / "walks").iterdir())
    file.write_bytes(file.read_bytes() + msgspec.json.encode(KeptWalk("gw-1", walk("x", 2)))[:-9])
    assert [one.record.subject for one in shelf.of_site(PATH)] == ["smoke-1"]
    (tmp_path / "taken").write_text("")
    with pytest.raises(LocalFault, match="cannot be kept"):
        WalkShelf(tmp_path / "taken").keep(PATH, [KeptWalk("gw-1", walk("x", 2))])
