"""Fingerprint: which profile an unknown Modbus device may be, from what it says of itself and what it answers. Pure.

    FC 43/14 identity ──names maker or model?──────────────┐
    blocks of each profile ──answered? values that can be?─┴─► Match(profile, score 0…1, why)

A score is evidence, not proof: numbers that are plausible for one meter may be for another, and zeros fit everything,
so they count little. A person chooses the profile; the scan only puts the likely ones first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from device_drivers.register_plan import Block, plan_blocks
from device_drivers.register_values import DeviceValues
from device_model.clock import Now
from device_model.ports import LineReply, LineRequest
from device_model.profile import DeviceProfile, Table
from device_model.reading import Quality, Reason
from device_model.site import Text

READ_DEVICE_IDENTIFICATION, MEI = 43, 14
MATCH_LEAST = 0.5  # below it a match would only distract
MATCHES_SHOWN = 5
_MORE_FOLLOWS = 0xFF
_IDENTITY_NAMES = ("maker", "product", "revision")
# Words that stand in the names of half of all devices say nothing.
_COMMON_WORDS = frozenset({"modbus", "sensor", "module", "meter", "gateway", "technology", "generic", "device"})

Answer = bytes | int | None  # payload; exception code; silent
Question = tuple[Table, int, int]  # table, address, count


class Identity(msgspec.Struct, frozen=True):
    """What a device says of itself by FC 43/14; empty where it says nothing."""

    maker: str = ""
    product: str = ""
    revision: str = ""

    @property
    def known(self) -> bool:
        """Whether it said anything."""
        return bool(self.maker or self.product or self.revision)

    def joined(self, more: Identity) -> Identity:
        """With what a further reply told."""
        return Identity(more.maker or self.maker, more.product or self.product, more.revision or self.revision)


class Match(msgspec.Struct, frozen=True):
    """A profile that fits. score: 0 to 1; why: for people."""

    profile: str
    score: float
    why: Text


def identity_request(unit: int, first: int = 0) -> LineRequest:
    """Read device identification, basic category, from object `first` on. A read; nothing in the device changes."""
    return LineRequest(unit, READ_DEVICE_IDENTIFICATION, 0, 0, (MEI, 1, first))


def identity_goes_on(payload: bytes) -> int:
    """With which object the next request goes on, where one reply did not hold all; 0 when it did.

    Never an object that was told already: a device that says "more follows" for ever is not asked for ever.
    """
    if len(payload) < 6 or payload[0] != MEI or payload[3] != _MORE_FOLLOWS:
        return 0
    told = payload[6] if payload[5] and len(payload) > 6 else -1
    return payload[4] if told < payload[4] < len(_IDENTITY_NAMES) else 0


def parse_identity(payload: bytes) -> Identity:
    """The reply to `identity_request`. ValueError when it is not one, or is cut short."""
    if len(payload) < 6 or payload[0] != MEI:
        raise ValueError("not a device identification")
    count, at = payload[5], 6
    found: dict[str, str] = {}
    for _ in range(count):
        if at + 2 > len(payload) or at + 2 + payload[at + 1] > len(payload):
            raise ValueError("device identification is cut short")
        number, length = payload[at], payload[at + 1]
        text = payload[at + 2:at + 2 + length].decode("utf-8", "replace")
        if number < len(_IDENTITY_NAMES):
            found[_IDENTITY_NAMES[number]] = "".join(c for c in text if c.isprintable()).strip()
        at += 2 + length
    return Identity(**found)


def identity_of(reply: LineReply) -> Identity:
    """As `parse_identity`, but nothing where it is not one: a scan goes on."""
    try:
        return parse_identity(reply.payload)
    except ValueError:
        return Identity()


def questions(profiles: Iterable[DeviceProfile]) -> tuple[Question, ...]:
    """All blocks that must be read to compare with these profiles, each once."""
    found = {(block.table, block.address, block.count) for profile in profiles if profile.protocol == "modbus"
             for block in plan_blocks(profile)}
    return tuple(sorted(found))


def request_of(unit: int, question: Question) -> LineRequest:
    """The read that answers a question."""
    table, address, count = question
    return Block(table, address, count, 0, ()).request(unit)


def matches(profiles: Iterable[DeviceProfile], answers: Mapping[Question, Answer], identity: Identity
            ) -> tuple[Match, ...]:
    """The profiles that fit, best first, at most MATCHES_SHOWN."""
    found = [match for profile in profiles if profile.protocol == "modbus"
             and (match := _match(profile, answers, identity)) is not None]
    return tuple(sorted(found, key=lambda match: (-match.score, match.profile))[:MATCHES_SHOWN])


def _match(profile: DeviceProfile, answers: Mapping[Question, Answer], identity: Identity) -> Match | None:
    fit, telling, count = _plausible(profile, answers)
    model = _named(profile.model, identity.product)
    named = model or _named(profile.maker, f"{identity.maker} {identity.product}")
    # Each value that fits and is not zero halves the doubt.
    score = fit * (1 - 0.5 ** telling)
    if model and fit > 0.5:
        score = 0.5 + score / 2
    elif identity.product:  # it names a model, and not this one; of the same maker it may still be a sister
        score *= 0.8 if named else 0.6
    if score < MATCH_LEAST:
        return None
    en, zh = f"{telling} of {count} values fit and are not zero", f"{count} 个值中有 {telling} 个合理且非零"
    if named:
        en, zh = f"the device names itself {named}; {en}", f"设备自报为 {named}；{zh}"
    return Match(profile.id, round(score, 2), Text(en, zh))


def _plausible(profile: DeviceProfile, answers: Mapping[Question, Answer]) -> tuple[float, int, int]:
    """(share of the points that fit, how many of them tell anything, how many points)."""
    values, now = DeviceValues("scan", profile), Now(0, 0, "")
    good: dict[str, bool] = {}
    for block in plan_blocks(profile):
        answer = answers.get((block.table, block.address, block.count))
        if not isinstance(answer, bytes) or len(answer) != block.byte_count:
            good.update(dict.fromkeys(block.points, False))
            continue
        for reading in values.take(block, answer, now)[0]:
            fits = reading.quality is Quality.GOOD or reading.reason in (Reason.WARM_UP, Reason.UNDER_RANGE)
            good[reading.point.partition(".")[2]] = fits
        good.update({point: good.get(point, False) for point in block.points})
    zero = values.zero_points()
    # A zero that fits counts little for it, so that it cannot outvote a value that does not fit.
    weights = {point: 0.3 if fits and point in zero else 1.0 for point, fits in good.items()}
    total = sum(weights.values())
    fitting = sum(weights[point] for point, fits in good.items() if fits)
    telling = sum(1 for point, fits in good.items() if fits and point not in zero)
    return (fitting / total if total else 0.0), telling, len(good)


def _named(profile_says: str, device_says: str) -> str:
    """The first word of the profile's that the device says too."""
    said = _words(device_says)
    return next((word for word in _words(profile_says) if word in said), "")


def _words(text: str) -> list[str]:
    plain = "".join(c if c.isalnum() or c == "-" else " " for c in text.lower())
    return [word for word in plain.split() if len(word) > 2 and word not in _COMMON_WORDS]
