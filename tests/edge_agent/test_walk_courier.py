"""Tests of the installer's day on their way to the cloud: each told, none lost, none in an alarm's way."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dashboards.install_view import Accepted, WalkStep
from device_model.messages import WalkRecord
from edge_agent.walk_courier import FILES, UNDER_WAY_MAX, WalkCourier
from provisioning.walk_book import WalkBook


class HandLane:
    """The evidence lane: a number for each, acknowledged by hand."""

    def __init__(self) -> None:
        self.offered: list[WalkRecord] = []
        self.open: set[int] = set()
        self.journal_epoch, self.takes = "e1", True

    def offer_evidence(self, chunk: WalkRecord) -> int:
        if not self.takes:
            return 0
        self.offered.append(chunk)
        self.open.add(len(self.offered))
        return len(self.offered)

    def evidence_waits(self, sequence: int) -> bool:
        return sequence in self.open

    def acknowledge(self) -> None:
        self.open.clear()


def turn(courier: WalkCourier) -> None:
    for _ in range(2):  # the first of a journal's life only learns its epoch
        if courier.take(courier.read(dict(courier._next))):
            courier.write()


def step(device: str, begun_us: int, result: str = "arrived") -> WalkStep:
    return WalkStep(device, "walk", "Zhao", begun_us, begun_us + 1, result, role="contractor", took_ms=800)


def test_ended_tests_and_the_acceptance_go_up_once(tmp_path):
    book, lane = WalkBook(tmp_path), HandLane()
    courier = WalkCourier(tmp_path, "gw-1", lane, None)
    turn(courier)
    assert not lane.offered, "there is no book yet"
    book.keep(step("smoke-1", 1, "running"))
    book.keep(step("smoke-1", 1))
    book.accept(Accepted("Wang", 9, "f" * 64, "as agreed"))
    turn(courier)
    assert [(one.subject, one.kind, one.result, one.role) for one in lane.offered] == [
        ("smoke-1", "walk", "arrived", "contractor"), ("gw-1", "accepted", "accepted", "property")]
    assert lane.offered[1].value == "f" * 64
    lane.acknowledge()
    turn(courier)
    turn(WalkCourier(tmp_path, "gw-1", lane, None))
    assert len(lane.offered) == 2, "what the cloud has acknowledged is not told again, also after a restart"
    book.keep(step("smoke-2", 2, "missed"))
    turn(courier)
    assert [one.subject for one in lane.offered[2:]] == ["smoke-2"]


def test_a_restart_before_the_acknowledgement_and_a_new_journal_tell_again(tmp_path):
    book, lane = WalkBook(tmp_path), HandLane()
    book.keep(step("smoke-1", 1))
    courier = WalkCourier(tmp_path, "gw-1", lane, None)
    turn(courier)
    turn(WalkCourier(tmp_path, "gw-1", lane, None))
    assert len(lane.offered) == 2
    lane.journal_epoch = "e2"
    turn(courier)
    assert len(lane.offered) == 3


def test_what_the_lane_does_not_take_waits_and_the_lane_is_never_filled(tmp_path):
    book, lane = WalkBook(tmp_path), HandLane()
    for n in range(3 * UNDER_WAY_MAX):
        book.keep(step(f"smoke-{n}", n))
    courier = WalkCourier(tmp_path, "gw-1", lane, None)
    lane.takes = False
    turn(courier)
    assert not lane.offered
    lane.takes = True
    turn(courier)
    assert len(lane.offered) == UNDER_WAY_MAX
    for _ in range(4):
        lane.acknowledge()
        turn(courier)
    assert [one.subject for one in lane.offered] == [f"smoke-{n}" for n in range(3 * UNDER_WAY_MAX)]


@given(st.binary(max_size=300))
def test_a_garbled_book_stops_nothing(content):
    import tempfile
    from pathlib import Path
    with tempfile.TemporaryDirectory() as folder:
        walk = Path(folder) / "walk"
        walk.mkdir()
        good = msgspec.json.encode(step("smoke-1", 1)) + b"\n"
        (walk / FILES[0]).write_bytes(content.replace(b"\r", b"").rstrip(b"\n") + b"\n" + good)
        (walk / "sent.json").write_bytes(content)
        lane = HandLane()
        turn(WalkCourier(Path(folder), "gw-1", lane, None))
        assert [one.subject for one in lane.offered][-1:] == ["smoke-1"]
