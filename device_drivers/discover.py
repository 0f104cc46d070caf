"""Discover (I/O): looks for devices on a line, reading only, one unit at a time; never broadcasts (law 8).

    units 1…247 ── does anything answer? ── FC 43/14 ── blocks of the known profiles ──► UnitFound
    serial: the same for each speed and parity, the likely ones first
    broker: listens, publishes nothing, and sorts what it hears by profile

`ask` carries one read. On a line that is being polled it is `LinePoller.ask`: behind every poll, at most 5 % of the
line's time. Alone, it is `alone(exchange)`; `paced` holds that to a share of the time too, where others use the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from device_drivers.driver import DeviceRead, LineDevice, LineUnreachable
from device_drivers.fingerprint import (
    Answer,
    Identity,
    Match,
    Question,
    identity_goes_on,
    identity_of,
    identity_request,
    matches,
    questions,
    request_of,
)
from device_drivers.payload_map import PayloadMap
from device_drivers.reply_check import reply_fault
from device_model.clock import Clock
from device_model.errors import PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineExchange, LineReply, LineRequest, MessageLink
from device_model.profile import DeviceProfile
from device_model.reading import Quality
from device_model.site import Device, Line, Text

Ask = Callable[[LineRequest, float], Awaitable[LineReply]]
UNIT_FIRST, UNIT_LAST = 1, 247
# A gateway's own words for "nobody there": path unavailable, target does not respond.
_NOBODY = (10, 11)
_IDENTITY_REPLIES = range(3)  # basic identification has three objects; a reply that holds none is not asked on
_PARITIES = ("none", "even", "odd")
_SPEEDS = (9600, 19200, 4800, 38400, 115200, 2400, 57600)
TOPICS_MAX = 2000  # of one broker; a community has hundreds of devices, beyond that the scan says it stopped counting


class UnitFound(msgspec.Struct, frozen=True):
    """A unit that answered. said: "value" or the exception code of its first answer."""

    unit: int
    answer_ms: float
    said: str
    identity: Identity
    matches: tuple[Match, ...]


class LineFound(msgspec.Struct, frozen=True):
    """Units under one setting of a line; baud 0 where there is none (TCP)."""

    baud: int
    parity: str
    units: tuple[UnitFound, ...]


class TopicFound(msgspec.Struct, frozen=True):
    """A device heard on a broker: its base topic, how it would stand in the site file, and what fits."""

    topic: str
    address: str
    messages: int
    matches: tuple[Match, ...]


def alone(exchange: LineExchange, hold_s: float = 0.05) -> Ask:
    """Ask on a line that nobody else uses; on a serial bus silence is waited out before the next question."""

    async def ask(request: LineRequest, timeout_s: float) -> LineReply:
        try:
            reply = await exchange.exchange(request, timeout_s=timeout_s)
        except (PeerSilent, PeerGarbled):
            await exchange.drain(hold_s)
            raise
        fault = reply_fault(request, reply)
        if fault:
            await exchange.drain(hold_s)
            raise PeerGarbled(fault)
        return reply

    return ask


def paced(ask: Ask, clock: Clock, share: float) -> Ask:
    """The same, at most `share` of the time: for a line that a running gateway also uses."""

    async def slowly(request: LineRequest, timeout_s: float) -> LineReply:
        began_us = clock.now().mono_us
        try:
            return await ask(request, timeout_s)
        finally:
            took_s = (clock.now().mono_us - began_us) / 1e6
            await clock.sleep(took_s * (1 / share - 1))

    return slowly


async def scan_units(ask: Ask, units: Iterable[int], profiles: Mapping[str, DeviceProfile], clock: Clock, *,
                     timeout_s: float, stop_after: int | None = None) -> tuple[UnitFound, ...]:
    """Every unit that answers, with what it may be. LineUnreachable when the line itself cannot be had."""
    found: list[UnitFound] = []
    for unit in units:
        if not UNIT_FIRST <= unit <= UNIT_LAST:
            raise ValueError(f"unit {unit}: scans ask 1 to 247 and never broadcast (law 8)")
        began_us = clock.now().mono_us
        said = await _answers(ask, unit, timeout_s)
        if said is None:
            continue
        answer_ms = round((clock.now().mono_us - began_us) / 1000, 1)
        found.append(await _look_at(ask, unit, profiles, timeout_s, said=said, answer_ms=answer_ms))
        if stop_after is not None and len(found) >= stop_after:
            break
    return tuple(found)


async def _answers(ask: Ask, unit: int, timeout_s: float) -> str | None:
    """Whether the unit is there: any answer of its own will do, a refusal too. Garbage is asked about once more."""
    for _ in range(2):
        try:
            await ask(LineRequest(unit, 3, 0, 1), timeout_s)
        except PeerRefused as refused:
            return None if refused.code in _NOBODY else f"exception {refused.code}"
        except LineUnreachable:
            raise
        except PeerSilent:
            return None
        except PeerGarbled:
            continue
        return "value"
    return None


async def _look_at(ask: Ask, unit: int, profiles: Mapping[str, DeviceProfile], timeout_s: float, *, said: str,
                   answer_ms: float) -> UnitFound:
    identity, first = Identity(), 0
    for _ in _IDENTITY_REPLIES:  # names that do not fit into one reply come in several
        reply = await _answer(ask, identity_request(unit, first), timeout_s)
        if not isinstance(reply, LineReply):
            break
        identity = identity.joined(identity_of(reply))
        first = identity_goes_on(reply.payload)
        if not first:
            break
    answers: dict[Question, Answer] = {}
    for question in questions(profiles.values()):
        got = await _answer(ask, request_of(unit, question), timeout_s)
        answers[question] = got.payload if isinstance(got, LineReply) else got
    return UnitFound(unit, answer_ms, said, identity, matches(profiles.values(), answers, identity))


async def _answer(ask: Ask, request: LineRequest, timeout_s: float) -> LineReply | int | None:
    try:
        return await ask(request, timeout_s)
    except PeerRefused as refused:
        return refused.code
    except LineUnreachable:
        raise
    except (PeerSilent, PeerGarbled):
        return None


async def scan_serial(open_line: Callable[[Line], LineExchange], line: Line, units: Sequence[int],
                      profiles: Mapping[str, DeviceProfile], clock: Clock, *, timeout_s: float,
                      speeds: Sequence[int] = _SPEEDS, parities: Sequence[str] = _PARITIES,
                      all_settings: bool = False) -> tuple[LineFound, ...]:
    """Speeds and parities in order of likelihood; ends at the first setting under which anything answers, for a bus
    has one speed, unless `all_settings`."""
    found: list[LineFound] = []
    for baud in speeds:
        for parity in parities:
            setting = msgspec.structs.replace(line, baud=baud, parity=parity, stop_bits=1)
            exchange = open_line(setting)
            # A slower wire needs longer for the same bytes; 40 characters are more than the probe and its answer.
            wire_s = 40 * 11 / baud
            try:
                units_found = await scan_units(alone(exchange), units, profiles, clock, timeout_s=timeout_s + wire_s)
            finally:
                await exchange.close()
            if units_found:
                found.append(LineFound(baud, parity, units_found))
                if not all_settings:
                    return tuple(found)
    return tuple(found)


async def scan_broker(link: MessageLink, profiles: Mapping[str, DeviceProfile], clock: Clock, *, listen_s: float
                      ) -> tuple[TopicFound, ...]:
    """What is published while we listen (retained messages come at once), by base topic. Publishes nothing."""
    heard: dict[str, list[tuple[bytes, bool]]] = {}

    async def listen() -> None:
        async for message in link.messages():
            if message.topic in heard or len(heard) < TOPICS_MAX:
                kept = heard.setdefault(message.topic, [])
                kept.append((message.payload, message.retained))
                del kept[:-3]  # the last few say what the first did

    listener = asyncio.ensure_future(listen())
    try:
        await clock.sleep(listen_s)
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    return tuple(_sort_topics(heard, [p for p in profiles.values() if p.mqtt is not None], clock))


def _sort_topics(heard: Mapping[str, Sequence[tuple[bytes, bool]]], profiles: Sequence[DeviceProfile], clock: Clock
                 ) -> list[TopicFound]:
    found: dict[str, TopicFound] = {}
    for topic in sorted(heard):
        for profile in profiles:
            address = _address(profile, topic)
            if not address or profile.mqtt is None:
                continue
            match = _match_topic(profile, address, topic, heard[topic], clock)
            if match is not None:
                known = found.get(topic) or TopicFound(topic, address, len(heard[topic]), ())
                fits = tuple(sorted((*known.matches, match), key=lambda one: (-one.score, one.profile)))
                found[topic] = msgspec.structs.replace(known, matches=fits[:5])
    return list(found.values())


def _address(profile: DeviceProfile, topic: str) -> str:
    """What stands in the topic where the profile's base topic has {address} or {device}; "" where it does not fit."""
    template = (profile.mqtt.base_topic if profile.mqtt else "").replace("{device}", "{address}")
    before, hole, after = template.partition("{address}")
    if not hole or not topic.startswith(before) or not topic.endswith(after):
        return ""
    middle = topic[len(before):len(topic) - len(after) if after else None]
    return middle.split("/")[0]


def _match_topic(profile: DeviceProfile, address: str, topic: str, messages: Sequence[tuple[bytes, bool]],
                 clock: Clock) -> Match | None:
    entry = LineDevice(Device(address, profile.id, "scan", "scan", Text("", ""), address=address), profile)
    now = clock.now()
    tried = PayloadMap((entry,), now)
    good: set[str] = set()
    for payload, _ in messages:
        for event in tried.take(topic, payload, False, now):
            if isinstance(event, DeviceRead):
                good |= {r.point for r in event.readings if r.quality is not Quality.BAD}
    count = sum(1 for point in profile.points if point.payload is not None and not point.writable)
    score = len(good) / count if count else 0.0
    if score < 0.5:
        return None
    why = Text(f"{len(good)} of {count} values of the profile are in its messages",
               f"消息中含有该配置 {count} 个值中的 {len(good)} 个")
    return Match(profile.id, round(score, 2), why)
