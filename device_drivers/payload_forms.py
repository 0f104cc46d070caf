"""Payload forms: how bytes become a document or a value: JSON, CBOR, text by pattern, binary by place. Pure.

    json, cbor ──► document ── path ──►  a.b   a[0]   "a-b".c   [2].x       followed here
                                         anything else of JMESPath          by the jmespath library
    text ── pattern ──► its group        binary ── u16be@3 ──► number, bit3@0 ──► true or false

Everything is bounded, because a device, or whoever speaks in its name, chooses the bytes. jmespath and cbor2 are
imported when a profile needs them: a small gateway that does not keeps their memory.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import msgspec

from device_model.errors import PeerGarbled
from device_model.payload_rules import BINARY, PAYLOAD_PATH

PAYLOAD_MAX = 64 * 1024  # bytes; the largest device payload known here (ChirpStack with all gateways) is under 16 KiB
DEPTH_MAX = 32
ITEMS_MAX = 20_000  # of CBOR, where one byte can be an item; JSON of the same size has at most half as many
TEXT_MAX = 256  # a text payload or value; keeps patterns cheap
_STEP = re.compile(r'(?:^|\.)(?:([A-Za-z_][A-Za-z0-9_]*)|"((?:[^"\\]|\\.)+)")|\[(-?\d+)\]')
_TAGS = frozenset({0, 1, 55799})  # date text, epoch, self-described CBOR; others cost time or make odd types
_CODES = {"u8": "B", "s8": "b", "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q",
          "f32": "f", "f64": "d"}
Path = tuple[str | int, ...]
Finder = Callable[[object], object]


def parse_path(text: str) -> Path:
    """A path as keys and indices. ValueError, for people, where it is not one of the simple forms."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or text.startswith("."):
            raise ValueError(f"path {text!r}: cannot read {text[at:]!r}; write members with dots and indices in []")
        name, quoted, index = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return tuple(steps)


def follow(path: Path, document: object) -> object:
    """What stands at the path, None where there is nothing (as JMESPath does)."""
    for step in path:
        if isinstance(document, dict):  # CBOR maps may have whole numbers as keys
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and -len(document) <= step < len(document):
            document = document[step]
        else:
            return None
    return document


def finder(text: str) -> Finder:
    """A path or a JMESPath expression as a function. ValueError for people where it is neither."""
    try:
        path = parse_path(text)
    except ValueError:
        if PAYLOAD_PATH.fullmatch(text):
            raise
        return _expression(text)
    return lambda document: follow(path, document)


def _expression(text: str) -> Finder:
    import jmespath  # here: half a MiB that most sites never need
    from jmespath.exceptions import JMESPathError

    try:
        compiled = jmespath.compile(text)
    except JMESPathError as problem:
        raise ValueError(f"path {text!r} is no JMESPath: {problem}") from problem

    def find(document: object) -> object:
        try:
            return compiled.search(document)
        except (JMESPathError, TypeError, ValueError, RecursionError, OverflowError, ZeroDivisionError) as problem:
            raise PeerGarbled(f"{text!r} does not go with the payload: {problem}") from problem

    return find


def decode_json(payload: bytes) -> object:
    """Bounded JSON. PeerGarbled says what is wrong."""
    _check_size(payload)
    depth = deepest = 0
    for byte in payload:  # brackets in strings count too: that only makes the bound stricter
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    if deepest > DEPTH_MAX:
        raise PeerGarbled(f"payload nested deeper than {DEPTH_MAX}")
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise PeerGarbled(f"payload is no JSON: {problem}") from problem


def decode_cbor(payload: bytes) -> object:
    """Bounded CBOR (RFC 8949). PeerGarbled says what is wrong."""
    _check_size(payload)
    end, _ = _walk_cbor(payload, 0, 0, 0)
    if end != len(payload):
        raise PeerGarbled(f"{len(payload) - end} bytes after the CBOR item")
    import cbor2  # here: only sites with such devices pay for it

    try:
        return cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise PeerGarbled(f"payload is no CBOR: {problem}") from problem


def _walk_cbor(data: bytes, at: int, depth: int, items: int) -> tuple[int, int]:
    """Walk one item without making anything of it: its end, and the items so far. Refuses what has no end, is deep,
    has many items, or a tag that asks the library for more than a plain value."""
    if depth > DEPTH_MAX or items >= ITEMS_MAX:
        raise PeerGarbled(f"CBOR deeper than {DEPTH_MAX} or of more than {ITEMS_MAX} items")
    major, number, at = _cbor_head(data, at)
    items += 1
    if major in (2, 3) and number is not None:
        if number > len(data) - at:
            raise PeerGarbled("CBOR string runs over the end")
        return at + number, items
    if major == 6:
        if number not in _TAGS:
            raise PeerGarbled(f"CBOR tag {number} is not taken")
        return _walk_cbor(data, at, depth + 1, items)
    if major in (4, 5) and number is not None:
        for _ in range(min(number * (major - 3), ITEMS_MAX + 1)):  # a map has two items a member
            at, items = _walk_cbor(data, at, depth + 1, items)
        return at, items
    if major in (2, 3, 4, 5):  # of indefinite length
        while data[at:at + 1] != b"\xff":
            at, items = _walk_cbor(data, at, depth + 1, items)
        return at + 1, items
    return at, items


def _cbor_head(data: bytes, at: int) -> tuple[int, int | None, int]:
    if at >= len(data):
        raise PeerGarbled("CBOR ends too early")
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if low < 24:
        return major, low, at
    if low == 31 and major in (2, 3, 4, 5):
        return major, None, at
    if low > 27:
        raise PeerGarbled("CBOR head is not well-formed")
    size = 1 << (low - 24)
    if size > len(data) - at:
        raise PeerGarbled("CBOR ends too early")
    return major, int.from_bytes(data[at:at + size], "big"), at + size


def _check_size(payload: bytes) -> None:
    if len(payload) > PAYLOAD_MAX:
        raise PeerGarbled(f"payload of {len(payload)} bytes, more than {PAYLOAD_MAX}")


def decode_text(payload: bytes) -> str:
    """A short UTF-8 text without its blanks. PeerGarbled for what is none."""
    _check_size(payload)
    try:
        return payload.decode("utf-8").strip()
    except UnicodeDecodeError as problem:
        raise PeerGarbled("payload is no UTF-8 text") from problem


def match_text(pattern: re.Pattern[str], text: str) -> str | None:
    """The pattern's first group (the whole match where it has none) in the first TEXT_MAX characters, or None."""
    found = pattern.search(text[:TEXT_MAX])
    if found is None:
        return None
    return found.group(1) if pattern.groups else found.group(0)


def binary_reader(text: str) -> Callable[[bytes], int | float | bool]:
    """`u16be@3` as a function of bytes, which raises PeerGarbled where they end before; else ValueError."""
    form = BINARY.fullmatch(text)
    if form is None:
        raise ValueError(f"binary {text!r} is not like u16be@3, s8@0 or bit3@0")
    kind, order, place, bit = form["kind"], form["order"], int(form["at"]), form["bit"]
    if bit is not None:
        return lambda data: bool(_part(data, place, 1)[0] >> int(bit) & 1)
    if kind in ("u24", "s24"):
        big, signed = order != "le", kind == "s24"
        return lambda data: int.from_bytes(_part(data, place, 3), "big" if big else "little", signed=signed)
    layout = struct.Struct(("<" if order == "le" else ">") + _CODES[kind])

    def read(data: bytes) -> int | float | bool:
        number: int | float = layout.unpack(_part(data, place, layout.size))[0]
        return number

    return read


def _part(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise PeerGarbled(f"{len(data)} bytes, {at + size} needed")
    return data[at:at + size]
