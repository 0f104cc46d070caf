"""Records in the bytes of a journal that SQLite does not open at all (I/O: reads files).

    … telemetry ␣number␣ crc32 {"sequence":17,"at_us":…}  …        a row stands in one piece, its checksum before it
    found, whole, and the checksum fits ──► it is what was written
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from device_model.messages import Lane, decode_record
from device_model.ranges import RangeSet

# A record begins so (device_model.messages.Record); its row before it: lane, number, checksum.
_BEGIN = re.compile(rb'\{"sequence":(\d{1,16}),')
_EPOCH = re.compile(rb"epoch([0-9a-f]{12})(?![0-9a-f])")
_KNOWN = re.compile(rb"(alarm|telemetry|evidence)[^{\"]{0,6}?(\d+-\d+(?:,\d+-\d+)*)")
_ROW_HEAD_BYTES = 24  # lane name, number and checksum stand within so many bytes before the body
_PIECE_BYTES = 4 * 1024 * 1024
_RECORD_BYTES_MAX = 65_536
_json = json.JSONDecoder()


_WAL_HEAD = struct.Struct(">IIIIIIII")  # magic, format, page size, checkpoint, two salts, two checksums
_FRAME_HEAD = struct.Struct(">IIIIII")  # page, size after a commit or 0, two salts, two checksums


def commits_of_log(path: Path) -> list[int]:
    """The frames of a write-ahead log that end a commit, counted from 1, as far as frames belong to this log.

    Their checksums are not looked at: SQLite does, and stops for ever at the first that does not fit.
    """
    commits: list[int] = []
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(_WAL_HEAD.size)
        if len(head) < _WAL_HEAD.size:
            return []
        _, _, page, _, salt_1, salt_2, _, _ = _WAL_HEAD.unpack(head)
        if not 512 <= page <= 65_536:
            return []
        number = 0
        while len(frame := file.read(_FRAME_HEAD.size)) == _FRAME_HEAD.size:
            number += 1
            _, size, first, second, _, _ = _FRAME_HEAD.unpack(frame)
            if (first, second) != (salt_1, salt_2):
                break
            if size:
                commits.append(number)
            file.seek(page, 1)
    return commits


class Carved(msgspec.Struct):
    """What was found. tops: lane → highest number seen; acknowledged: as far as it could be read."""

    epoch: str = ""
    records: dict[Lane, dict[int, bytes]] = {}
    tops: dict[Lane, int] = {}
    acknowledged: dict[Lane, RangeSet] = {}


def carve(paths: Sequence[Path], most: int) -> Carved:
    """Records whose checksum stands before them; of each lane at most `most`, the newest.

    What was delivered and forgotten may still stand in a free page; where even the list of what was delivered cannot
    be read it travels again: an alarm twice under one id is one alarm.
    """
    found = Carved(records={lane: {} for lane in Lane})
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb") as file:
            content = b""
            while piece := file.read(_PIECE_BYTES):
                content = content[-_RECORD_BYTES_MAX:] + piece
                _carve_piece(content, found)
    for records in found.records.values():
        for number in sorted(records)[:-most]:
            del records[number]
    return found


def _carve_piece(content: bytes, found: Carved) -> None:
    if names := _EPOCH.findall(content):
        found.epoch = names[-1].decode()
    for name, text in _KNOWN.findall(content):
        with contextlib.suppress(ValueError):
            known = parse_ranges(text.decode())
            if known.count() > found.acknowledged.get(Lane(name.decode()), RangeSet()).count():
                found.acknowledged[Lane(name.decode())] = known
    begins = [match.start() for match in _BEGIN.finditer(content)]
    for start, end in itertools.pairwise([*begins, len(content)]):
        head = content[max(0, start - _ROW_HEAD_BYTES):start]
        lane = max(Lane, key=lambda lane: head.rfind(lane.value.encode()))
        if lane.value.encode() not in head:
            continue
        body = _whole(content[start:min(end, start + _RECORD_BYTES_MAX)])
        checksum = zlib.crc32(body)
        if not head.endswith(checksum.to_bytes(4, "big").lstrip(b"\0")):
            continue
        number = int(_BEGIN.match(body)[1])  # type: ignore[index]  # it began so
        if is_record(number, checksum, body):
            found.records[lane][number] = body
            found.tops[lane] = max(number, found.tops.get(lane, 0))


def _whole(content: bytes) -> bytes:
    """The JSON object that these bytes begin with; all of them where it does not end, which no checksum fits."""
    try:
        _, end = _json.raw_decode(content.decode("latin-1"))
    except ValueError:
        return content
    return content[:end]


def is_record(sequence: int, crc: object, body: object) -> bool:
    """SQLite does not notice a flipped byte within a row; the checksum does."""
    try:
        return isinstance(body, bytes) and zlib.crc32(body) == crc and decode_record(body).sequence == sequence
    except ValueError:
        return False


def parse_ranges(text: str) -> RangeSet:
    """"1-5,9-9" as a set; ValueError where it is none."""
    return RangeSet((int(first), int(last)) for first, _, last in (
        part.partition("-") for part in text.split(",") if part))
