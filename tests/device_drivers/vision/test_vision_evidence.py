"""Evidence: any changed byte is found, kills leave what was written or a gap, open incidents beat age."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.vision.clips import ClipWriter, PacketRing, StreamHeader, readable_span
from device_drivers.vision.evidence import EvidenceFile, EvidenceRecord, Kept, check_chain, parse_record, to_prune
from device_drivers.vision.evidence_folder import CHAIN, HEAD, HOLDS, change_hold, held
from device_drivers.vision.evidence_store import EvidenceStore
from device_drivers.vision.evidence_verify import verify
from device_drivers.vision.frames import Packet
from device_model.errors import ConfigError, LocalFault, PeerGarbled

av: Any = pytest.importorskip("av", reason="the extra `cameras` is not installed")
S = 1_000_000


def a_record(identity: str, at_us: int = 5) -> EvidenceRecord:
    return EvidenceRecord(
        id=identity,
        camera="yard",
        zone="bay",
        name="hot_work",
        decided_us=at_us,
        from_us=at_us - 1,
        to_us=at_us + 1,
        scores={"hot_work": 0.9},
        thresholds={"hot_work": 0.5},
        model="watcher 1",
        model_sha256="ab" * 32,
        previous="",
    )


def a_store(folder: Path, quota: int = 10_000_000) -> EvidenceStore:
    ticks = iter(range(1, 10_000_000))
    return EvidenceStore(folder, quota, lambda: next(ticks))


def film(seconds: int = 8, rate: int = 10, group: int = 20) -> tuple[Any, list[Packet]]:
    """A stream of mpeg4 (every build of the library has it) as a camera would send it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        track = out.add_stream("mpeg4", rate=rate, width=64, height=48, pix_fmt="yuv420p")
        track.codec_context.gop_size = group
        rng = np.random.default_rng(0)
        for number in range(seconds * rate):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    source = av.open(io.BytesIO(buffer.getvalue()))
    stream = source.streams.video[0]
    packets = [
        Packet(
            bytes(p),
            p.pts,
            p.dts,
            p.duration or 0,
            bool(p.is_keyframe),
            float(p.time_base),
            int(p.pts * p.time_base * S),
        )
        for p in source.demux(stream)
        if p.size
    ]
    return stream, packets


@pytest.fixture(scope="module")
def stream_and_packets() -> tuple[Any, list[Packet]]:
    return film()


def test_the_ring_begins_at_a_key_frame_and_keeps_its_seconds(stream_and_packets: tuple[Any, list[Packet]]) -> None:
    ring = PacketRing(3.0, 10_000_000)
    for packet in stream_and_packets[1]:
        ring.add(packet)
    held = list(ring._packets)
    assert held[0].key and 3.0 <= (held[-1].arrived_us - held[0].arrived_us) / S <= 5.1
    small = PacketRing(60.0, 20_000)
    for packet in stream_and_packets[1]:
        small.add(packet)
    assert small.held_bytes <= 20_000 and small.cut_short > 0


def test_a_clip_holds_before_and_after_and_is_readable_when_cut(
    stream_and_packets: tuple[Any, list[Packet]], tmp_path: Path
) -> None:
    stream, packets = stream_and_packets
    ring = PacketRing(4.0, 10_000_000)
    for packet in packets[:50]:
        ring.add(packet)
    writer = ClipWriter(tmp_path / "x.part", StreamHeader(stream, packets[0]))
    ring.open(writer, packets[50].arrived_us - 2 * S)
    for packet in packets[50:70]:
        ring.add(packet)
    ring.leave(writer)
    ring.add(packets[70])
    assert writer.close(tmp_path / "x.mp4")
    count, seconds = readable_span(tmp_path / "x.mp4")
    assert 38 <= count <= 60 and seconds >= 3.8 and not writer.gaps
    whole = (tmp_path / "x.mp4").read_bytes()
    for share in (0.55, 0.8, 0.97):  # a kill in the middle of the writing
        (tmp_path / "cut.part").write_bytes(whole[: int(len(whole) * share)])
        assert readable_span(tmp_path / "cut.part")[0] > 0


def test_a_silence_and_a_new_session_are_told_and_survived(
    stream_and_packets: tuple[Any, list[Packet]], tmp_path: Path
) -> None:
    stream, packets = stream_and_packets
    writer = ClipWriter(tmp_path / "x.part", StreamHeader(stream, packets[0]))
    for packet in packets[:20]:
        writer.add(packet)
    for packet in packets[:20]:  # the camera starts anew: its clock is at nought again, ours went on 30 s
        writer.add(
            Packet(
                packet.octets,
                packet.pts,
                packet.dts,
                packet.duration,
                packet.key,
                packet.time_base,
                packet.arrived_us + 32 * S,
            )
        )
    assert writer.close(tmp_path / "x.mp4")
    assert readable_span(tmp_path / "x.mp4")[0] == 40
    assert len(writer.gaps) == 1 and "no packets" in writer.gaps[0].why


def filled(folder: Path) -> EvidenceStore:
    store = a_store(folder)
    for number in range(3):
        path = store.write(f"e{number}.jpg", bytes([number]) * 50)
        store.keep(a_record(f"e{number}", number), [path])
    return store


def test_what_was_kept_verifies_with_its_key_only(tmp_path: Path) -> None:
    filled(tmp_path)
    found = verify(tmp_path)
    assert found.ok and found.records == 3 and found.files == 3 and not found.trusted
    assert verify(tmp_path / "e1.jpg", found.key).ok and verify(tmp_path / CHAIN, found.key).trusted
    assert not verify(tmp_path, "00" * 32).ok
    with pytest.raises(ConfigError):
        verify(tmp_path / "nothing" / "x.mp4")
    assert (tmp_path / "evidence.key").stat().st_mode & 0o777 == 0o600


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_changed_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed"
    if not folder.exists():
        filled(folder)
        change_hold(folder, "e1", "legal hold: 李伟")
    public = verify(folder).key
    path = folder / data.draw(st.sampled_from([CHAIN, HEAD, HOLDS, "e0.jpg", "e1.jpg", "e2.jpg"]))
    octets = path.read_bytes()
    at = data.draw(st.integers(0, len(octets) - 1))
    changed = bytearray(octets)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(bytes(changed))
        assert not verify(folder, public).ok, (path.name, at)
    finally:
        path.write_bytes(octets)
    assert verify(folder, public).ok


def test_every_bit_of_the_last_record_counts(tmp_path: Path) -> None:
    filled(tmp_path)
    octets = (tmp_path / CHAIN).read_bytes()
    public = verify(tmp_path).key
    for at in range(octets[:-1].rfind(b"\n") + 1, len(octets)):
        changed = bytearray(octets)
        changed[at] ^= 0x20  # letters change case: hex would forgive it
        (tmp_path / CHAIN).write_bytes(bytes(changed))
        assert not verify(tmp_path, public).ok, at


@pytest.mark.parametrize("harm", ["first", "middle", "last", "all", "blank", "head", "swap", "double", "torn", "file",
                                  "foreign", "capitals", "folder"])
def test_what_was_taken_out_or_put_in_is_found(tmp_path: Path, harm: str) -> None:
    filled(tmp_path)
    chain = tmp_path / CHAIN
    lines = chain.read_bytes().splitlines(keepends=True)
    if harm == "file":
        (tmp_path / "e1.jpg").unlink()
    elif harm in ("foreign", "capitals"):
        (tmp_path / ("forged.mp4" if harm == "foreign" else "FORGED.MP4")).write_bytes(b"x")
    elif harm == "head":
        (tmp_path / HEAD).unlink()
    elif harm == "folder":
        (tmp_path / "e1.jpg").unlink()
        (tmp_path / "e1.jpg").mkdir()
    else:
        chain.write_bytes(
            b"".join(
                {
                    "first": lines[1:],
                    "last": lines[:2],
                    "all": [],
                    "blank": [lines[0], b"\n", *lines[1:]],
                    "middle": [lines[0], lines[2]],
                    "swap": [lines[1], lines[0], lines[2]],
                    "double": [*lines, lines[2]],
                    "torn": [*lines[:2], lines[2][:-9]],
                }[harm]
            )
        )
    if harm in ("last", "all"):
        for number in range(2 if harm == "last" else 0, 3):
            (tmp_path / f"e{number}.jpg").unlink()
    found = verify(tmp_path)
    assert not found.ok and found.problems


@pytest.mark.parametrize("left", ["part", "mp4", "jpg", "rubbish", "torn"])
def test_a_kill_leaves_a_readable_clip_or_a_declared_gap(
    tmp_path: Path, left: str, stream_and_packets: tuple[Any, list[Packet]]
) -> None:
    filled(tmp_path)
    stream, packets = stream_and_packets
    if left in ("part", "mp4"):
        writer = ClipWriter(tmp_path / "k.part", StreamHeader(stream, packets[0]))
        for packet in packets:
            writer.add(packet)
        writer.close(tmp_path / "k.mp4")
        if left == "part":
            octets = (tmp_path / "k.mp4").read_bytes()
            (tmp_path / "k.mp4").unlink()
            (tmp_path / "k.part").write_bytes(octets[: len(octets) // 2])
    elif left == "jpg":
        (tmp_path / "k.jpg").write_bytes(b"a picture")
    elif left == "rubbish":
        (tmp_path / "k.part").write_bytes(b"\0" * 30)
    else:
        with (tmp_path / CHAIN).open("ab") as chain:
            chain.write(b'{"id":"half a rec')
    store = a_store(tmp_path)
    found = verify(tmp_path)
    assert found.ok, found.problems
    if left != "torn":
        assert any("k." in gap for gap in found.gaps)
        assert store.records[-1].name == "recovered"
    if left in ("part", "mp4"):
        assert readable_span(tmp_path / "k.mp4")[0] > 0
    # And the chain goes on from there.
    store.keep(a_record("after"), [])
    assert verify(tmp_path).ok


def test_quota_takes_the_oldest_but_never_what_is_held(tmp_path: Path) -> None:
    store = a_store(tmp_path, quota=170)
    for number in range(3):
        store.keep(a_record(f"e{number}", number), [store.write(f"e{number}.jpg", b"x" * 50)])
    store.hold("e0", "incident 7 is open")
    assert store.room_for(50)
    assert not (tmp_path / "e1.jpg").exists() and (tmp_path / "e0.jpg").exists()
    assert verify(tmp_path).ok and store.records[-1].name == "quota"
    store.hold("e2", "legal hold: Li Wei")
    assert not store.room_for(100)
    assert (tmp_path / "e0.jpg").exists() and (tmp_path / "e2.jpg").exists()
    store.release("e0")
    assert store.room_for(100) and not (tmp_path / "e0.jpg").exists()
    assert verify(tmp_path).ok and a_store(tmp_path).room_for(10)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.booleans()), max_size=20),
    st.integers(0, 500),
    st.integers(0, 200),
)
def test_pruning_is_minimal_and_spares_holds(items: list[tuple[int, int, bool]], quota: int, wanted: int) -> None:
    kept = [Kept(str(i), at, size, held) for i, (at, size, held) in enumerate(items)]
    out = set(to_prune(kept, quota, wanted))
    gone = [k for k in kept if k.id in out]
    assert not any(k.held for k in gone)
    left = sum(k.size for k in kept if k.id not in out) + wanted
    assert left <= quota or all(k.held for k in kept if k.id not in out)
    if gone:
        newest = max(gone, key=lambda k: k.decided_us)
        assert all(k.held or k.decided_us >= newest.decided_us for k in kept if k.id not in out)


def test_a_full_disk_is_said_and_held_evidence_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    store.hold("e0", "open")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LocalFault, match="No space left"):
        store.write("e9.jpg", b"x")
    with pytest.raises(LocalFault, match="not recorded"):
        store.keep(a_record("e9"), [])
    assert (tmp_path / "e0.jpg").exists() and store.refused == 1


@given(st.binary(max_size=300))
def test_any_line_is_a_record_or_garbled(line: bytes) -> None:
    try:
        parse_record(line)
    except PeerGarbled:
        assert check_chain([line], "00" * 32, {})


def test_what_the_gateway_holds_for_open_incidents_is_not_taken(tmp_path: Path) -> None:
    store = a_store(tmp_path, quota=110)
    for number in range(2):
        store.keep(a_record(f"e{number}", number), [store.write(f"e{number}.jpg", b"x" * 50)])
    (tmp_path / "open-incidents.json").write_text('{"e0": "alarm-7"}')
    assert store.room_for(50) and (tmp_path / "e0.jpg").exists() and not (tmp_path / "e1.jpg").exists()
    (tmp_path / "open-incidents.json").write_text("{}")
    assert store.room_for(100) and not (tmp_path / "e0.jpg").exists() and verify(tmp_path).ok


def test_an_anchor_shows_what_even_the_keys_owner_cut_off(tmp_path: Path) -> None:
    store = filled(tmp_path)
    anchor = verify(tmp_path).anchor
    store.keep(a_record("e3", 3), [])
    assert verify(tmp_path, anchor=anchor).ok
    assert not verify(tmp_path, anchor="4:" + anchor[2:]).ok
    with pytest.raises(ConfigError):
        verify(tmp_path, anchor="last week's")


def test_a_half_written_line_never_joins_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    with (tmp_path / CHAIN).open("ab") as chain:  # what a disk that fills in the middle of a line leaves
        chain.write(b'{"id":"half')
    store.keep(a_record("e3", 3), [])
    assert verify(tmp_path).ok and len(a_store(tmp_path).records) == 4

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        with pytest.raises(LocalFault):
            store.keep(a_record("e4", 4), [])
    store.keep(a_record("e5", 5), [])
    assert verify(tmp_path).ok and [r.id for r in a_store(tmp_path).records][3:] == ["e3", "e5"]


@pytest.mark.parametrize("harm", ["garbled", "cut", "key", "no key", "other key"])
def test_a_damaged_chain_is_set_aside_and_cameras_go_on(tmp_path: Path, harm: str) -> None:
    filled(tmp_path)
    change_hold(tmp_path, "e0", "legal hold")
    (tmp_path / "open-incidents.json").write_text('{"e1": "alarm-7"}')
    if harm == "garbled":
        (tmp_path / CHAIN).write_bytes((tmp_path / CHAIN).read_bytes().replace(b'"id"', b'"xx"', 1))
    elif harm == "cut":
        (tmp_path / CHAIN).write_bytes((tmp_path / CHAIN).read_bytes().splitlines(keepends=True)[0])
    elif harm == "no key":
        (tmp_path / "evidence.key").unlink()
    else:
        (tmp_path / "evidence.key").write_text("zz" if harm == "key" else "ab" * 32)
    store = a_store(tmp_path)
    store.keep(a_record("e9", 9), [store.write("e9.jpg", b"x")])
    found = verify(tmp_path)
    assert found.ok and found.records == 2 and any("damaged-" in gap for gap in found.gaps)
    (aside,) = tmp_path.glob("damaged-*")
    assert (aside / "e0.jpg").exists() and (aside / HOLDS).exists() and (tmp_path / "open-incidents.json").exists()
    assert len(a_store(tmp_path).records) == 2  # once, and not again at the next start


@pytest.mark.parametrize("name", [HOLDS, "open-incidents.json"])
def test_a_spoilt_list_of_holds_frees_nothing(tmp_path: Path, name: str) -> None:
    store = a_store(tmp_path, quota=170)
    for number in range(3):
        store.keep(a_record(f"e{number}", number), [store.write(f"e{number}.jpg", b"x" * 50)])
    (tmp_path / name).write_bytes(b'{"e0": "legal ho')
    assert held(tmp_path) is None and not store.room_for(50) and (tmp_path / "e0.jpg").exists()
    if name == HOLDS:
        with pytest.raises(ConfigError, match="cannot be read"):
            change_hold(tmp_path, "e2", "one more must not lose the others")
        assert not verify(tmp_path).ok
    (tmp_path / name).unlink()
    assert store.room_for(50) and not (tmp_path / "e0.jpg").exists()


def test_holds_of_an_earlier_release_hold_and_are_signed_at_the_start(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / HOLDS).write_text('{"e0": "legal hold"}')
    assert held(tmp_path) == {"e0"} and not verify(tmp_path).ok
    a_store(tmp_path)
    assert held(tmp_path) == {"e0"} and verify(tmp_path).ok


def test_thousands_of_files_that_go_at_once_and_long_records_stay_readable(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    names = [tmp_path / f"{'n' * 90}-{number}.jpg" for number in range(2_500)]
    for path in names:
        path.write_bytes(b"x")
    store.keep(a_record("many"), [])
    store._records[-1] = msgspec.structs.replace(
        store._records[-1], files=tuple(EvidenceFile(path.name, "0" * 64, 1) for path in names)
    )
    store._quota = 0
    store.room_for(0)
    assert [r.name for r in store.records].count("quota") == 3 and not names[0].exists()
    store.keep(msgspec.structs.replace(a_record("long"), sensors={str(n): "x" * 100 for n in range(4_000)}), [])
    assert [r.id for r in a_store(tmp_path).records][-1] == "long" and "too long" in verify(tmp_path).gaps[-1]


def test_what_a_kill_left_of_a_pruning_goes_at_the_next_start(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store._append(store._record("quota-9", "quota", "e0.jpg"))
    a_store(tmp_path)
    assert not (tmp_path / "e0.jpg").exists() and verify(tmp_path).ok
