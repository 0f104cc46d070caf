"""RoomView: what a sensor at a place in a room meets: layer by height, ceiling jet by distance from the fire.

    ceiling ▔▔▔▔▔●▔▔▔▔▔▔▔▔    a detector under the ceiling meets the hotter of layer and jet (Alpert 1972):
              ╱ jet            dT = 16.9 Q^(2/3) / H^(5/3)   r/H <= 0.18, beyond 5.38 (Q/r)^(2/3) / H
            fire               u  = 0.96 (Q/H)^(1/3)         r/H <= 0.15, beyond 0.195 Q^(1/3) H^(1/2) / r^(5/6)

The interface is a tenth of the height thick, so that a sensor in it moves smoothly.
"""

from __future__ import annotations

from firmware_sim.room import (
    AIR,
    CO,
    CO2,
    CONVECTIVE_SHARE,
    DUST,
    FOG_M2_PER_KG,
    FUEL,
    HAZARD,
    LACK,
    OXYGEN_MASS_SHARE,
    RHO_T,
    SMOKE,
    VAPOUR,
    Room,
    saturation_kg_m3,
    temperature_of,
    volume_of,
)

# Extinction 1/m (base e) as dB/m: 10 log10(e).
DB_PER_EXTINCTION = 4.3429
_CEILING_SHARE = 0.9  # above this share of the height a sensor is in the ceiling jet
_DRAUGHT_M_S = 0.1


class RoomView:
    """One place in a room. height_m over the floor; distance_m from the axis of whatever burns."""

    def __init__(self, room: Room, height_m: float, distance_m: float) -> None:
        self.room = room
        self._height = height_m
        self._distance = max(distance_m, 0.1)
        self._in_jet = height_m >= _CEILING_SHARE * room.height

    def _share(self) -> float:
        """How much of what the sensor meets is upper layer."""
        return min(1.0, max(0.0, (self._height - self.room.interface_m) / (0.1 * self.room.height) + 0.5))

    def _blend(self, upper: float, lower: float) -> float:
        share = self._share()
        return upper * share + lower * (1.0 - share)

    def celsius(self) -> float:
        """Air temperature at the sensor."""
        room = self.room
        air = self._blend(temperature_of(room.upper), temperature_of(room.lower)) - 273.15
        if not self._in_jet or room.kw <= 0.0:
            return air
        below = temperature_of(room.lower) - 273.15
        height = max(room.height - room.base_m, 0.5)
        ratio = self._distance / height
        if ratio <= 0.18:
            rise = 16.9 * float(room.kw ** (2 / 3) / height ** (5 / 3))
        else:
            rise = 5.38 * float((room.kw / self._distance) ** (2 / 3)) / height
        return max(air, below + min(rise, 900.0))

    def speed_m_s(self) -> float:
        """How fast air passes the sensor; a draught where nothing burns."""
        room = self.room
        if not self._in_jet or room.kw <= 0.0:
            return _DRAUGHT_M_S
        height = max(room.height - room.base_m, 0.5)
        if self._distance / height <= 0.15:
            speed = 0.96 * float((room.kw / height) ** (1 / 3))
        else:
            speed = 0.195 * float(room.kw ** (1 / 3) * height**0.5 / self._distance ** (5 / 6))
        return max(_DRAUGHT_M_S, speed)

    def smoke_db_m(self) -> float:
        """Obscuration by smoke and by fog."""
        room = self.room
        seen = self._blend(_extinction(room.upper), _extinction(room.lower))
        if self._in_jet and room.kw > 0.0 and room.smoke_m2_s > 0.0:
            convective = CONVECTIVE_SHARE * room.kw
            height = max(room.height - room.base_m, 0.5)
            plume = 0.071 * convective ** (1 / 3) * height ** (5 / 3) + 0.0018 * convective
            # A jet takes in as much again on its way along the ceiling at r = H.
            flow = plume / 1.2 * (1.0 + self._distance / height)
            seen = max(seen, room.smoke_m2_s / flow)
        return DB_PER_EXTINCTION * seen

    def humidity(self) -> float:
        """Relative humidity, at most 100 %."""
        room = self.room
        return min(100.0, self._blend(_humidity(room.upper), _humidity(room.lower)))

    def _parts(self, index: int, factor: float) -> float:
        room = self.room
        upper, lower = room.upper, room.lower
        return factor * self._blend(upper[index] / (upper[AIR] + upper[FUEL] + 1e-9),
                                    lower[index] / (lower[AIR] + lower[FUEL] + 1e-9))

    def co_ppm(self) -> float:
        """Carbon monoxide."""
        return self._parts(CO, 29.0 / 28.0 * 1e6)

    def co2_ppm(self) -> float:
        """Carbon dioxide."""
        return self._parts(CO2, 29.0 / 44.0 * 1e6)

    def gas_lel(self) -> float:
        """Fuel gas as % of its lower explosion limit; mixtures after Le Chatelier."""
        return self._parts(HAZARD, 100.0)

    def gas_percent(self) -> float:
        """Fuel gas as % of volume."""
        return self._parts(FUEL, 100.0)

    def oxygen_percent(self) -> float:
        """Oxygen as % of volume, 20.9 in fresh air."""
        room = self.room
        lack = self._parts(LACK, 100.0)
        fresh = 1.0 - self._blend(*(layer[FUEL] / (layer[AIR] + layer[FUEL] + 1e-9)
                                    for layer in (room.upper, room.lower)))
        return max(0.0, (20.9 - lack * 20.9 / (100.0 * OXYGEN_MASS_SHARE)) * fresh)

    def dust_ug_m3(self) -> float:
        """Particles; smoke counts as dust of 8.7 m²/g."""
        room = self.room
        return self._blend(*((layer[DUST] + layer[SMOKE] / 8700.0) / (volume_of(layer) + 1e-9) * 1e9
                             for layer in (room.upper, room.lower)))


def _extinction(layer: list[float]) -> float:
    volume = volume_of(layer) + 1e-9
    kelvin = temperature_of(layer)
    fog = max(0.0, layer[VAPOUR] / volume - saturation_kg_m3(kelvin))
    return layer[SMOKE] / volume + FOG_M2_PER_KG * fog


def _humidity(layer: list[float]) -> float:
    kelvin = temperature_of(layer)
    # vapour per m³ of this layer: air density is 353 / T
    density = layer[VAPOUR] / (layer[AIR] + layer[FUEL] + 1e-9) * RHO_T / kelvin
    return 100.0 * density / saturation_kg_m3(kelvin)
