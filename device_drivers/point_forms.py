"""Point forms: one point's compiled way from a payload to a verdict, and a payload parsed at most once. Pure.

    Document ── find ──► what stands there, ABSENT, BROKEN ── PointForm.judge ──► value, quality, reason
"""

from __future__ import annotations

import re
from datetime import datetime
from math import isfinite

from device_drivers.payload_forms import (
    TEXT_MAX,
    Path,
    binary_reader,
    decode_cbor,
    decode_json,
    decode_text,
    finder,
    match_text,
    parse_path,
)
from device_drivers.templates import Told
from device_model.clock import Now
from device_model.errors import PeerGarbled
from device_model.profile import PayloadSource, ProfilePoint
from device_model.quantities import QUANTITIES, to_canonical
from device_model.reading import Quality, Reason, Value

_CLOCK_AHEAD_US = 60_000_000  # a device clock further ahead than this is wrong
# A live message whose stamp is older than this comes from a clock that is wrong (no battery, no network time): it
# counts from its receipt, or the rules would take what burns now for the past (law 1). Well below the least
# `lateness_s` that a site file may give.
_CLOCK_BEHIND_US = 2_000_000
Verdict = tuple[Value | None, Quality, Reason]
GARBLED: Verdict = (None, Quality.BAD, Reason.GARBLED)


class PointForm:
    """One point's compiled way from a document to a verdict."""

    def __init__(self, name: str, spec: ProfilePoint, source: PayloadSource) -> None:
        self.name = name
        self.spec = spec
        self.source = source
        self.path = _simple(source.path)  # () where it is an expression
        self.find = finder(source.path)
        self.find_time = finder(source.time_path) if source.time_path else None
        self.pattern = re.compile(source.pattern) if source.pattern else None
        self.binary = binary_reader(source.binary) if source.binary else None
        self.quantity = QUANTITIES[spec.quantity]
        self.true_values = frozenset(source.true_values)
        self.false_values = frozenset(source.false_values)

    def judge(self, found: object) -> Verdict:
        """The verdict on what the path found (not None)."""
        if self.quantity.boolean:
            text = _as_text(found)
            if self.true_values or self.false_values:
                if text in self.true_values:
                    return True, Quality.GOOD, Reason.NONE
                return (False, Quality.GOOD, Reason.NONE) if text in self.false_values else GARBLED
            return (found, Quality.GOOD, Reason.NONE) if isinstance(found, bool) else GARBLED
        if self.quantity.text:
            return (found[:TEXT_MAX], Quality.GOOD, Reason.NONE) if isinstance(found, str) else GARBLED
        number = _as_number(found)
        if number is None:
            return GARBLED
        return self._number(number)

    def _number(self, raw: int | float) -> Verdict:
        spec, source = self.spec, self.source
        if not isfinite(raw) or raw in spec.error_values:
            return None, Quality.BAD, Reason.ERROR_VALUE
        if raw in spec.over_range_values:
            return None, Quality.BAD, Reason.OVER_RANGE
        value: int | float = raw * source.scale + source.offset if source.scale != 1 or source.offset else raw
        if (spec.maximum is not None and value > spec.maximum) or (spec.minimum is not None and value < spec.minimum):
            return None, Quality.BAD, Reason.OUT_OF_LIMITS
        if spec.range_maximum is not None and value >= spec.range_maximum:
            return None, Quality.BAD, Reason.OVER_RANGE
        under = spec.range_minimum is not None and value < spec.range_minimum
        canonical = float(to_canonical(spec.quantity, spec.unit, value))
        if not isfinite(canonical):
            return None, Quality.BAD, Reason.ERROR_VALUE
        return (canonical, Quality.UNCERTAIN, Reason.UNDER_RANGE) if under else (canonical, Quality.GOOD, Reason.NONE)


def _simple(text: str) -> Path:
    try:
        return parse_path(text)
    except ValueError:
        return ()


ABSENT = object()
BROKEN = object()


class Document:
    """One payload, parsed at most once; or what a template made of it."""

    def __init__(self, payload: bytes, form: str = "json") -> None:
        self._octets: bytes | None = payload
        self._decode = decode_cbor if form == "cbor" else decode_json
        self._parsed: object = ABSENT
        self._at_us: int | None = None
        self._told = False

    @staticmethod
    def ready(told: Told) -> Document:
        """From a template."""
        document = Document(b"")
        document._octets, document._parsed, document._at_us = told.octets, told.document, told.at_us
        document._told = True
        return document

    def find(self, form: PointForm) -> object:
        """What the point's path finds; ABSENT where nothing stands there, BROKEN where it does not parse."""
        try:
            if form.binary is not None:
                return ABSENT if self._octets is None else form.binary(self._octets)
            if form.pattern is not None or not form.source.path:
                found: object = self._text(form)
            else:
                found = form.find(self._content())
        except PeerGarbled:
            return BROKEN
        return ABSENT if found is None else found

    def _text(self, form: PointForm) -> object:
        whole: object = self._parsed if self._told else decode_text(self._octets or b"")
        if form.pattern is None:
            return BROKEN if whole == "" or isinstance(whole, dict | list) else whole
        return match_text(form.pattern, whole) if isinstance(whole, str) else BROKEN

    def _content(self) -> object:
        if self._parsed is ABSENT:
            try:
                self._parsed = self._decode(self._octets or b"")
            except PeerGarbled:
                self._parsed = BROKEN
        if self._parsed is BROKEN:
            raise PeerGarbled("the payload does not parse")
        return self._parsed

    def time(self, form: PointForm, now: Now) -> int:
        """The device's own time of the value, µs since 1970; the time of receipt where it has none or nonsense."""
        at = self._at_us
        if form.find_time is not None:
            try:
                at = _stamp_us(form.find_time(self._content()), form.source.time_unit)
            except PeerGarbled:
                at = None
        return at if at is not None and -_CLOCK_BEHIND_US <= at - now.wall_us <= _CLOCK_AHEAD_US else now.wall_us


def _stamp_us(stamp: object, unit: str) -> int | None:
    if isinstance(stamp, datetime):  # CBOR tags 0 and 1
        return round(stamp.timestamp() * 1e6) if stamp.tzinfo is not None else None
    if isinstance(stamp, str) and not stamp.isdigit():
        try:
            moment = datetime.fromisoformat(stamp)
        except ValueError:
            return None
        return round(moment.timestamp() * 1e6) if moment.tzinfo is not None else None
    number = _as_number(stamp)
    if number is None or not isfinite(number) or abs(number) > 1e16:
        return None
    return round(number * (1_000_000 if unit == "s" else 1000))


def _as_text(found: object) -> str | None:
    """How a JSON scalar is written, to compare with true_values: true, 1, "ON"."""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, float) and isfinite(found) and found.is_integer():
        return str(int(found))
    return str(found) if isinstance(found, int | float | str) else None


def _as_number(found: object) -> int | float | None:
    if isinstance(found, bool):
        return None
    if isinstance(found, int | float):
        return found
    if isinstance(found, str) and 0 < len(found) <= 40 and re.fullmatch(
            r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", found, re.ASCII):
        return float(found)
    return None


