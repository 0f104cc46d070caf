"""LevelProbes: LLS level probes on one bus, as a serial device server carries it. Pure.

    31 address 06 crc ─► the probe of that address ─► 3E address 06 temperature level raw crc
    (another address, another command, a wrong check sum: silence, as on the wire)

The probes' registers are those of an LLS profile: input 0 temperature, 1 level, 2 the maker's own measure.
"""

from __future__ import annotations

from collections.abc import Mapping

from device_model.profile import Table
from firmware_sim.device import VirtualDevice
from firmware_sim.image import NoSuchAddress
from wire_codecs.lls import REQUEST, LevelReading, parse_request, reading_frame

_REQUEST_BYTES = 4
_RAW_OF_FULL = 20_000  # Hz, about what the makers' manuals show for a full tank


class LevelProbes:
    """LineSession of a bus of probes, by address (1 to 247)."""

    def __init__(self, line_id: str, probes: Mapping[int, VirtualDevice]) -> None:
        self.id = line_id
        self._probes = dict(probes)
        self._held = b""

    @property
    def wants_link(self) -> bool:
        """A serial server is up whatever its probes do."""
        return True

    def opened(self, at_us: int, wall_us: int) -> list[bytes]:
        """The bus is silent until asked."""
        self._held = b""
        return []

    def take(self, octets: bytes, at_us: int, wall_us: int) -> list[bytes]:
        """Answer every request in what came; what is none is passed over byte by byte."""
        answers = []
        held = self._held + octets
        while len(held) >= _REQUEST_BYTES:
            try:
                asked = parse_request(held[:_REQUEST_BYTES])
            except ValueError:
                nothing = held.find(REQUEST, 1)
                held = held[nothing:] if nothing > 0 else b""
                continue
            held = held[_REQUEST_BYTES:]
            answer = self._answer(asked)
            if answer:
                answers.append(answer)
        self._held = held
        return answers

    def _answer(self, address: int) -> bytes:
        probe = self._probes.get(address)
        if probe is None or not probe.answers:
            return b""
        try:
            words = probe.image.read(Table.INPUT, 0, 2)
        except NoSuchAddress:
            return b""
        temperature = words[0] - 0x10000 if words[0] >= 0x8000 else words[0]
        level = words[1]
        return reading_frame(LevelReading(address, max(-128, min(127, temperature)), level,
                                          min(0xFFFF, level * _RAW_OF_FULL // 4095)))

    def due(self, at_us: int, wall_us: int) -> list[bytes]:
        """Nothing by itself."""
        return []

    def closed(self, at_us: int) -> None:
        """What was half asked is forgotten."""
        self._held = b""
