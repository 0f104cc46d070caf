"""Fuzz targets: every parser that reads what others wrote, what it may raise, and golden seeds to start from.

Property: a target returns, or raises one of its declared errors; it never hangs and never outgrows its bounds (those
that a parser promises are asserted in its target).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from community_os.envelopes import decode_envelope
from community_os.settings import parse_cloud
from device_drivers.fingerprint import parse_identity
from device_drivers.payload_forms import decode_cbor, decode_json, parse_path
from device_drivers.reply_check import reply_fault
from device_model.errors import ConfigError, PeerGarbled
from device_model.library import shipped_profiles
from device_model.messages import decode_ack, decode_batch, decode_down, decode_record, parse_topic
from device_model.ports import LineReply, LineRequest
from device_model.profile_file import parse_profile
from device_model.profile_wizard import proposals
from device_model.site_file import parse_site
from edge_agent.agent_checkpoint import decode_checkpoint
from edge_agent.local_control import Request, command_of
from firmware_sim.recording import parse_recording
from firmware_sim.scenario_file import parse_scenario
from rules_engine.condition_parse import ConditionError, parse_condition
from rules_engine.rule import parse_pack
from rules_engine.rule_tests import parse_rule_tests
from wire_codecs.gbt26875 import FRAME_MAX, FrameReader, decode_frame
from wire_codecs.gbt26875_objects import decode_unit, encode_unit
from wire_codecs.hj212 import PACKET_MAX, PacketReader, decode_packet, factors_of

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ROOT / "tests" / "golden" / "frames"
PROFILES = shipped_profiles()
_request_decoder = msgspec.json.Decoder(Request)


class Target(msgspec.Struct, frozen=True):
    """run: one execution; raises: what it may raise; seeds: golden inputs."""

    name: str
    run: Callable[[bytes], object]
    raises: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]


def _frames() -> list[bytes]:
    rows = (line.split(" ", 2) for line in (FRAMES / "gbt26875.txt").read_text("utf-8").splitlines()
            if line and not line.startswith("#"))
    return [bytes.fromhex(octets) for _, _, octets in rows]


def _packets() -> list[bytes]:
    return [line.partition(" ")[2].encode() for line in (FRAMES / "hj212.txt").read_text("utf-8").splitlines()
            if line.startswith(("ok ", "bad "))]


def _files(pattern: str, most: int = 6) -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob(pattern))[:most]]


def _text(parse: Callable[[str], object], octets: bytes) -> object:
    return parse(octets.decode("utf-8", "replace"))


def _frame_stream(octets: bytes) -> None:
    reader = FrameReader()
    for at in range(0, len(octets), 7):
        reader.feed(octets[at:at + 7])
        assert len(reader) <= 2 * FRAME_MAX
    while len(reader):
        before = len(reader)
        reader.give_up()
        assert len(reader) < before


def _packet_stream(octets: bytes) -> None:
    reader = PacketReader()
    for at in range(0, len(octets), 7):
        reader.feed(octets[at:at + 7])
        assert len(reader) <= 2 * PACKET_MAX
    while len(reader):
        before = len(reader)
        reader.give_up()
        assert len(reader) < before


def _unit(octets: bytes) -> None:
    objects = decode_unit(octets)
    assert objects and len(objects) <= 256
    try:
        encode_unit(objects)
    except ValueError:
        return  # what a device of its own kind sent need not be writable by us


def _register_reply(octets: bytes) -> None:
    request = LineRequest(1, (octets[0] % 24) if octets else 3, 0, (octets[1] if len(octets) > 1 else 2) or 1, (1, 2))
    reply_fault(request, LineReply(1, request.function, octets[2:]))


EXAMPLE_MESSAGES = (
    b'{"v":1,"gateway":"gw","epoch":"e","lane":"alarm","records":[{"sequence":1,"at_us":1,"mono_us":1,"boot":"b",'
    b'"body":{"type":"duty_check","check":{"id":"c","device":"d","zone":"z","asker":"1","asked_us":1,"due_us":2}}}]}',
    b'{"v":1,"epoch":"e","lane":"alarm","ranges":[[1,2]]}',
    b'{"v":1,"command":{"id":"c","kind":"answer_duty","target":"t","who":"w","why":"","issued_us":1,"expires_us":2}}',
    b'{"sequence":1,"at_us":1,"mono_us":1,"boot":"b","body":{"type":"loss","epoch":"e","lane":"alarm","ranges":[],'
    b'"reason":"r","at_us":1}}',
)
_CONDITIONS = (b"value >= 57 Cel", b"any(zone.smoke_alarm) and rise(value, 60 s) > 8.3 Cel", b"not (a or b)")
_JSON = (b'{"smoke":true,"battery":77.5,"a":{"b":[1,2,null]}}', b'[1e5,"x",false]')

TARGETS: tuple[Target, ...] = (
    Target("gbt26875_frame", decode_frame, (PeerGarbled,), _frames),
    Target("gbt26875_stream", _frame_stream, (), _frames),
    Target("gbt26875_unit", _unit, (PeerGarbled,), lambda: [frame[27:-3] for frame in _frames()]),
    Target("hj212_packet", lambda octets: factors_of(decode_packet(octets)), (PeerGarbled,), _packets),
    Target("hj212_stream", _packet_stream, (), _packets),
    Target("json_payload", decode_json, (PeerGarbled,), lambda: list(_JSON)),
    Target("cbor_payload", decode_cbor, (PeerGarbled,), lambda: [b"\xa1asmoke\xf5", b"\x83\x01\x02\xf6"]),
    Target("payload_path", partial(_text, parse_path), (ValueError,), lambda: [b"a.b[0]", b'"a.b".c']),
    Target("register_reply", _register_reply, (), lambda: [b"\x03\x02\x00\x01\x00\x02", b"\x06\x01\x00\x00\x00\x01"]),
    Target("identity", parse_identity, (PeerGarbled, ValueError), lambda: [b"\x0e\x01\x01\x00\x00\x01\x00\x04Acme"]),
    Target("profile", partial(_text, lambda text: parse_profile(text, "f")), (ConfigError,),
           lambda: _files("device_model/profiles/*.yaml")),
    Target("site", partial(_text, lambda text: parse_site(text, "f", PROFILES)), (ConfigError,),
           lambda: _files("examples/site/*.yaml")),
    Target("rules", partial(_text, lambda text: parse_pack(text, "f")), (ConfigError,),
           lambda: _files("rules_engine/packs/[a-f]*[!t].yaml", 3)),
    Target("rule_tests", partial(_text, lambda text: parse_rule_tests(text, "f")), (ConfigError,),
           lambda: _files("rules_engine/packs/*.test.yaml", 3)),
    Target("condition", partial(_text, parse_condition), (ConditionError,), lambda: list(_CONDITIONS)),
    Target("scenario", partial(_text, lambda text: parse_scenario(text, "f", PROFILES)), (ConfigError,),
           lambda: _files("examples/scenario/*.yaml")),
    Target("recording", lambda octets: parse_recording(octets, "f"), (ConfigError, ValueError),
           lambda: [b"time,value\n0,1\n1,2\n"]),
    Target("cloud", partial(_text, lambda text: parse_cloud(text, "f")), (ConfigError,),
           lambda: _files("examples/cloud/*.yaml")),
    Target("batch", decode_batch, (ValueError,), lambda: list(EXAMPLE_MESSAGES)),
    Target("ack", decode_ack, (ValueError,), lambda: list(EXAMPLE_MESSAGES)),
    Target("down", decode_down, (ValueError,), lambda: list(EXAMPLE_MESSAGES)),
    Target("record", decode_record, (ValueError,), lambda: list(EXAMPLE_MESSAGES)),
    Target("envelope", decode_envelope, (ValueError,),
           lambda: [b'{"type":"answer_duty","path":"a/b/c/d","check":"c","who":"w","request":"r","at_us":1}']),
    Target("topic", partial(_text, parse_topic), (ValueError,), lambda: [b"tocsin/v1/a/b/c/d/gw/up/alarm"]),
    Target("checkpoint", decode_checkpoint, (ValueError,), lambda: [b"\x81\xa1v\x01"]),
    Target("local_control", lambda octets: command_of(_request_decoder.decode(octets), 1),
           (ValueError, KeyError), lambda: [b'{"action":"silence","target":"bell","who":"Li","why":"seen"}']),
    Target("scan_file", lambda octets: proposals(octets, None), (ValueError,),
           lambda: [b'{"lines":[{"units":[{"unit":1,"identity":{"maker":"Acme","product":"T"}}]}]}']),
)
