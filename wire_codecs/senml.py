"""SenML (RFC 8428): a decoded pack, JSON labels or CBOR labels, becomes resolved records. Pure.

    [{bn, bt, bu, bv, n, u, v}, {n, v}, …] ── base fields run on from record to record ──► SenmlRecord each

Names are joined, times and values added to their bases; a time below 2**28 s is relative to now (section 4.5.3).
"""

from __future__ import annotations

import re
from math import isfinite

import msgspec

from device_model.errors import PeerGarbled

RECORDS_MAX = 1000  # in 64 KiB of payload more do not fit with names
VERSION_MAX = 10
NAME_MAX = 200
_ABSOLUTE_FROM_S = 1 << 28
# Section 6, table 4: integer labels of the CBOR form.
_LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
           0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd"}
_KNOWN = frozenset(_LABELS.values())
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*", re.ASCII)
SenmlValue = bool | int | float | str | None


class SenmlRecord(msgspec.Struct, frozen=True):
    """One resolved record. own_name: `n` as written, without base. time_s: seconds since 1970 UTC, or relative to now
    where `relative`. value None: the record has only a sum."""

    name: str
    own_name: str
    unit: str
    time_s: float
    relative: bool
    value: SenmlValue
    total: float | None = None


def resolve_senml(document: object) -> tuple[SenmlRecord, ...]:
    """The records of a pack. PeerGarbled for what is no SenML; one wrong record refuses the pack, as the RFC asks."""
    if not isinstance(document, list) or not document:
        raise PeerGarbled("a SenML pack is a list of records")
    if len(document) > RECORDS_MAX:
        raise PeerGarbled(f"more than {RECORDS_MAX} records")
    base: dict[str, object] = {}
    records: list[SenmlRecord] = []
    for item in document:
        if not isinstance(item, dict):
            raise PeerGarbled("a SenML record is a map")
        fields = {_LABELS.get(key, key) if isinstance(key, int) else key: value for key, value in item.items()}
        # Section 4.4: a label that ends with "_" must be understood.
        unknown = next((key for key in fields if isinstance(key, str) and key.endswith("_")), None)
        if unknown is not None:
            raise PeerGarbled(f"field {unknown!r} must be understood and is not")
        base.update({key: value for key, value in fields.items() if key in ("bver", "bn", "bt", "bu", "bv", "bs")})
        version = base.get("bver", VERSION_MAX)
        if isinstance(version, bool) or not isinstance(version, int) or not 0 < version <= VERSION_MAX:
            raise PeerGarbled(f"SenML version {version!r} is not known")
        record = _record(fields, base)
        if record is not None:
            records.append(record)
    return tuple(records)


def _record(fields: dict[object, object], base: dict[str, object]) -> SenmlRecord | None:
    present = [key for key in ("v", "vs", "vb", "vd") if key in fields]
    # Section 4.2: with a base value, a record may leave out its value, which is then the base itself.
    only_base = not present and "s" not in fields
    if only_base and not ("n" in fields and "bv" in base):
        return None  # a record that only sets bases
    if len(present) > 1:
        raise PeerGarbled("a SenML record has one value")
    own, name = _text(fields.get("n", "")), _text(base.get("bn", ""))
    name += own
    if not _NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise PeerGarbled(f"{name[:40]!r} is no SenML name")
    time_s = _number(base.get("bt", 0)) + _number(fields.get("t", 0))
    value: SenmlValue = None
    if "v" in fields or only_base:
        value = _number(fields.get("v", 0)) + _number(base.get("bv", 0))
    elif "vs" in fields:
        value = _text(fields["vs"])
    elif "vb" in fields:
        flag = fields["vb"]
        if not isinstance(flag, bool):
            raise PeerGarbled("vb is true or false")
        value = flag
    elif "vd" in fields:
        value = _text(fields["vd"]) if isinstance(fields["vd"], str) else ""
    total = _number(fields["s"]) + _number(base.get("bs", 0)) if "s" in fields else None
    unit = _text(fields.get("u", base.get("bu", "")))
    return SenmlRecord(name, own, unit, time_s, time_s < _ABSOLUTE_FROM_S, value, total)


def _number(found: object) -> int | float:
    # A CBOR integer may have thousands of bits; beyond 64 it is no measurement.
    if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > 1e300 or not isfinite(found):
        raise PeerGarbled(f"{str(found)[:40]!r} is no number")
    return found


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise PeerGarbled(f"{str(found)[:40]!r} is no text")
    return found
