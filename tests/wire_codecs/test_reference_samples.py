"""Every sample that the reference verified goes through codec and driver; every one marked bad is refused by reason.

The counts are those of the reference: 24 frames of GB/T 26875.3 (A to X), 23 packets and 2 ciphers of HJ 212. A row
that is added to the golden files is walked here without being named.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from device_drivers.driver import DeviceNotice
from device_drivers.fire_panel import FirePanels
from device_drivers.station import Stations
from device_model.errors import PeerGarbled
from device_model.library import shipped_profiles
from tests.device_drivers.rig import START, entry
from wire_codecs.gbt26875 import Command, FrameReader, RefusedFrame, Stamp, decode_frame, encode_frame
from wire_codecs.gbt26875_objects import Unread, decode_unit, encode_unit
from wire_codecs.gbt26875_uitd import Uitd
from wire_codecs.hj212 import PacketReader, RefusedPacket, cover_area, decode_packet
from wire_codecs.hj212_cipher import decrypt_with

GOLDEN = Path(__file__).parents[1] / "golden" / "frames"
PROFILES = shipped_profiles()


def rows(name: str, parts: int) -> list[list[str]]:
    return [line.split(" ", parts) for line in (GOLDEN / name).read_text("utf-8").splitlines()
            if line and not line.startswith("#")]


FRAMES = [(name, verdict, bytes.fromhex(octets)) for name, verdict, octets in rows("gbt26875.txt", 2)]
PACKETS = rows("hj212.txt", 1)
WRONG_SUM = {"V": "checksum 30, should be 32"}
WRONG_CRC = ("CRC 4980, should be 3C00", "CRC 48C0, should be BC81")


def test_no_sample_is_left_out() -> None:
    assert "".join(name for name, _, _ in FRAMES) == "ABCDEFGHIJKLMNOPQRSTUVWX"
    assert [name for name, verdict, _ in FRAMES if verdict == "bad"] == list(WRONG_SUM)
    verdicts = [verdict for verdict, _ in PACKETS]
    assert (verdicts.count("ok"), verdicts.count("bad"), verdicts.count("cipher")) == (21, 2, 2)


@pytest.mark.parametrize(("name", "verdict", "octets"), FRAMES, ids=[name for name, _, _ in FRAMES])
def test_a_frame_goes_both_ways_and_through_the_side_that_it_is_for(name: str, verdict: str, octets: bytes) -> None:
    panels = FirePanels("line", [entry("uitd", PROFILES["gbt26875-uitd"], address="*")], START)
    (read,) = FrameReader().feed(octets)
    turn = panels.take(1, read, START)
    if verdict == "bad":
        assert isinstance(read, RefusedFrame) and read.reason == WRONG_SUM[name]
        with pytest.raises(PeerGarbled, match=WRONG_SUM[name]):
            decode_frame(octets)
        assert [frame.command for _, frame in turn.frames] == [Command.DENY]
        assert any(isinstance(event, DeviceNotice) and WRONG_SUM[name] in event.text.en for event in turn.events)
        return
    frame = decode_frame(octets)
    assert read == frame and encode_frame(frame) == octets
    objects = decode_unit(frame.unit) if frame.unit else ()
    if objects and not any(isinstance(item, Unread) for item in objects):
        assert decode_unit(encode_unit(objects)) == objects
    answers = [answer.command for to, answer in turn.frames if answer.serial == frame.serial and to == 1]
    if frame.command == Command.SEND:
        assert Command.CONFIRM in answers and Command.DENY not in answers
    elif frame.command in (Command.CONTROL, Command.REQUEST):  # a centre's own frames: for the other side
        events, replies = Uitd(frame.destination, frame.source).take(frame, 0, Stamp())
        assert events or replies
        assert all(reply.destination == frame.source for reply in replies)
    else:
        assert not answers  # an answer is never answered


@pytest.mark.parametrize(("verdict", "text"), PACKETS, ids=[f"{v}-{t[:40]}" for v, t in PACKETS])
def test_a_packet_goes_through_reader_and_station(verdict: str, text: str) -> None:
    if verdict == "cipher":
        plain = decrypt_with(b"0" * 16, bytes.fromhex(text)[:len(bytes.fromhex(text)) // 16 * 16])
        assert plain.startswith(b"DataTime=20240520210600;a01011-Min=1.35")
        segment = b"CP=&&" + bytes.fromhex(text) + b"&&"
        assert cover_area(segment, partial(decrypt_with, b"0" * 16))[5:].startswith(plain[:16])
        return
    (read,) = PacketReader().feed(text.encode() + b"\r\n")
    if verdict == "bad":
        assert isinstance(read, RefusedPacket) and read.reason in WRONG_CRC
        stations = Stations("line", [entry("d", PROFILES["hj212-dust"], address="any")], START)
        turn = stations.take(1, read, START)
        told = [event.text.en for event in turn.events if isinstance(event, DeviceNotice)]
        assert turn.packets == [] and any(read.reason in text for text in told)
        return
    packet = decode_packet(text.encode())
    assert read == packet
    stations = Stations("line", [entry("d", PROFILES["hj212-dust"], address=packet.mn)], START)
    turn = stations.take(1, packet, START)
    upload = packet.cn in ("2011", "2051", "2061", "2031", "2081")
    wanted = ["9014"] if upload and packet.wants_answer else []
    assert [answer.cn for _, answer in turn.packets if answer.cn == "9014"] == wanted
    assert not any(e.kind == "packet_refused" for e in turn.events if isinstance(e, DeviceNotice))
