"""Recorded lines: the file, its replay and its pcapng form."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.errors import ConfigError
from firmware_sim.line_recording import FORMAT, LineFile, LineHead, Piece, file_text, parse_line_file
from firmware_sim.pcapng import as_pcapng, publish_packet
from firmware_sim.replay_session import GIVE_UP_S, ReplaySession
from firmware_sim.scenario_lines import Role

S = 1_000_000
HEAD = LineHead(FORMAT, "tcp", "127.0.0.1:502", 1_767_225_600_000_000)


def talk(*said: tuple[float, str, bytes]) -> LineFile:
    return LineFile(HEAD, tuple(Piece(round(at * S), 0, who, octets.hex()) for at, who, octets in said))


TALK = talk((0, "client", b"ask1"), (0.1, "server", b"answer1"), (2, "client", b"ask2"), (2.1, "server", b"answer2"))

pieces = st.lists(st.builds(
    Piece, t_us=st.integers(0, 10**9), c=st.integers(0, 3), speaker=st.sampled_from(["client", "server", "bus"]),
    hex=st.binary(max_size=20).map(bytes.hex), topic=st.sampled_from(["", "a/ü"])), max_size=8)


@given(pieces)
@settings(max_examples=60, deadline=None)
def test_a_file_reads_as_it_was_written(found: list[Piece]) -> None:
    ordered = sorted(found, key=lambda piece: piece.t_us)
    assert parse_line_file(file_text(HEAD, ordered), "x") == LineFile(HEAD, tuple(ordered))


@given(st.text(max_size=60))
@settings(max_examples=80, deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        assert parse_line_file(text, "x").head.tocsin_line == FORMAT
    except ConfigError as error:
        assert "x" in str(error)


def test_a_torn_last_line_is_left_out_and_counted() -> None:
    text = file_text(HEAD, TALK.pieces)
    found = parse_line_file(text[:-12], "x")
    assert found.torn == 1 and len(found.pieces) == 3
    with pytest.raises(ConfigError, match="x:2"):
        parse_line_file(text.replace('"hex":"61736b31"', '"hex":"6z"', 1), "x")


def test_the_server_answers_as_recorded_and_not_before_it_is_asked() -> None:
    it = ReplaySession("r", TALK, 0, Role.SERVER)
    assert it.opened(0, 0) == [] and it.due(S, 0) == []
    assert it.take(b"as", S, 0) == [] and it.take(b"k1", S, 0) == []
    assert it.due(S + 50_000, 0) == [] and it.due(S + 100_000, 0) == [b"answer1"]
    assert it.take(b"ask2", 9 * S, 0) == [] and it.due(9 * S + 100_000, 0) == [b"answer2"]
    assert it.done and it.differing == 0 and not it.wants_link


def test_the_client_asks_at_the_recorded_times_whatever_comes_back() -> None:
    it = ReplaySession("r", TALK, 0, Role.CLIENT, speed=2.0)
    assert it.opened(0, 0) == [b"ask1"]
    assert it.take(b"anSwer1", 100_000, 0) == [] and it.differing == 1
    assert it.due(900_000, 0) == [] and it.due(1_050_000, 0) == [b"ask2"]


def test_a_peer_that_is_silent_does_not_end_the_replay() -> None:
    it = ReplaySession("r", TALK, 0, Role.CLIENT)
    out = it.opened(0, 0)
    for tenth in range(0, round(GIVE_UP_S * 30)):
        out += it.due(tenth * S // 10, 0)
    assert out == [b"ask1", b"ask2"] and it.skipped >= 1


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=9)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_both_sides_replayed_to_each_other_say_every_byte(said: list[tuple[bool, bytes]]) -> None:
    recording = talk(*((n * 0.1, "client" if ours else "server", o) for n, (ours, o) in enumerate(said)))
    client, server = (ReplaySession("r", recording, 0, role) for role in (Role.CLIENT, Role.SERVER))
    heard = {"client": b"", "server": b""}
    to_server, to_client = client.opened(0, 0), server.opened(0, 0)
    for step in range(40):
        at_us = step * S // 10
        to_server += client.due(at_us, 0)
        to_client += server.due(at_us, 0)
        while to_server or to_client:
            for octets in to_server:
                heard["client"] += octets
                to_client += server.take(octets, at_us, 0)
            to_server = []
            for octets in to_client:
                heard["server"] += octets
                to_server += client.take(octets, at_us, 0)
            to_client = []
    for who, wanted in (("client", True), ("server", False)):
        assert heard[who] == b"".join(octets for ours, octets in said if ours is wanted)
    assert client.differing == server.differing == 0


def test_pcapng_blocks_have_the_lengths_that_they_say() -> None:
    octets = as_pcapng(TALK)
    at, kinds = 0, []
    while at < len(octets):
        kind, total = struct.unpack_from("<II", octets, at)
        assert total % 4 == 0 and struct.unpack_from("<I", octets, at + total - 4)[0] == total
        kinds.append(kind)
        at += total
    assert kinds == [0x0A0D0D0A, 1, *[6] * 7]  # three of the handshake, four of the talk


def test_a_long_message_has_a_length_of_several_bytes() -> None:
    packet = publish_packet(Piece(0, topic="t", hex=bytes(300).hex(), retain=True))
    assert packet[0] == 0x31 and packet[1] & 0x80 and len(packet) == 1 + 2 + 3 + 300
