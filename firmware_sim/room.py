"""Room: two layers of air under constant pressure, with what floats in them.

    ceiling ┌────────────────────────────┐
            │ upper layer: T, smoke, CO… │◄── plume carries heat, smoke and lower air up
     z ─ ─ ─│─ ─ ─ ─ ─ ─ ─ ─┼─ ─ ─ ─ ─ ─ │      z: height of the interface
            │ lower layer    ╲ │ ╱       │
    floor   └─────────────────▲──────────┘      doors: door.py; fire: fire_growth.py

Two-zone model in the manner of CFAST (NIST TN 1889v1), cut down to what detectors can tell apart:
- entrainment m = 0.071 Qc^(1/3) z^(5/3) + 0.0018 Qc kg/s (Heskestad and Zukoski; SFPE Handbook ch. 13),
  Qc = 0.7 Q in kW;
- ceiling jet: Alpert 1972 (temperature and velocity at distance r under a ceiling of height H);
- constant pressure, ideal gas of air: rho = 353 / T; what expands is pushed out through leaks, what shrinks draws
  outdoor air in;
- the ceiling layer is never thinner than a tenth of the height: that is the thickness of a ceiling jet;
- walls: 12 W/m²K of convection onto a structure of 50 kJ/K per m², held by heating or cooling, 0.5 W/m²K to outdoors;
- layers without a temperature difference mix with a time constant of 5 min, warm ones keep apart (assumed);
- oxygen: 13.1 MJ are released per kg of oxygen (Thornton, Huggett); a fire starves between 15 and 10 % by mass;
- light gas is released into the upper layer, heavy gas into the lower one. Not simulated: explosion, sprinklers,
  deposition of smoke, radiation between rooms.

Checked against the UL FSRI compartment burners (100, 250 and 500 kW, open door): the rise of the upper layer at
120 s is within 30 % of the measured one (tests/firmware_sim/test_world_measured.py). Coarse where its
assumptions end: a big fire in a corner is measured half as hot again (its plume takes in less air), and a small
closed room heats to the floor too soon.
"""

from __future__ import annotations

import math

from firmware_sim.world_plan import OutdoorPlan, RoomPlan

# What a layer holds, by index. AIR kg; HEAT kJ above 20 °C; SMOKE m² of extinction area; CO, VAPOUR, DUST, LACK
# (oxygen that was used up), CO2 kg; FUEL kg of air of the same volume; HAZARD: FUEL / lower explosion limit.
AIR, HEAT, SMOKE, CO, FUEL, HAZARD, VAPOUR, DUST, LACK, CO2 = range(10)
SPECIES = 10
CP = 1.005  # kJ/kg/K
T_REF = 293.15
RHO_T = 353.0  # kg K / m³
OXYGEN_MASS_SHARE = 0.232
KJ_PER_KG_OXYGEN = 13_100.0
FOG_M2_PER_KG = 300.0  # extinction of droplets of 5 µm radius: 3 / (2 r rho)
CONVECTIVE_SHARE = 0.7
_LAYER_MIN_SHARE = 0.1
_MIX_S = 300.0
_WALL_KW_PER_M2_K = 0.012
_OUTER_KW_PER_M2_K = 0.0005
_STRUCTURE_KJ_PER_M2_K = 50.0
_CO2_OUTDOOR = 420e-6 * 44.0 / 29.0
# A seated person (ISO 8996, EN 16798): 100 W, 18 L/h of CO2, 50 g/h of water.
_PERSON_KW = 0.1
_PERSON_CO2_KG_S = 9.15e-6
_PERSON_VAPOUR_KG_S = 1.39e-5
_EMPTY = (0.0,) * SPECIES


def saturation_kg_m3(kelvin: float) -> float:
    """Water vapour that air can hold (Magnus)."""
    celsius = min(max(kelvin - 273.15, -60.0), 100.0)
    return 611.2 * math.exp(17.62 * celsius / (243.12 + celsius)) / (461.5 * kelvin)


class Outside:
    """Outdoor air, without end. `taken`: all that rooms gave off to it minus what they took, per species."""

    def __init__(self, plan: OutdoorPlan) -> None:
        self.taken = [0.0] * SPECIES
        self.knobs: dict[str, float] = {
            "temperature": plan.temperature, "humidity": plan.humidity, "dust": plan.dust_ug_m3,
            "noise": plan.noise_db, "wind": plan.wind_m_per_s, "rain": plan.rain_mm, "light": plan.light_lx,
        }
        self.per_kg = list(_EMPTY)
        self.renew()

    @property
    def kelvin(self) -> float:
        """Outdoor temperature."""
        return self.knobs["temperature"] + 273.15

    def renew(self) -> None:
        """The weather has changed."""
        self.per_kg = self.air(self.knobs["temperature"], self.knobs["humidity"])

    def air(self, celsius: float, humidity: float) -> list[float]:
        """One kg of clean air of a temperature and relative humidity, by species."""
        kelvin = celsius + 273.15
        out = [0.0] * SPECIES
        out[AIR], out[HEAT], out[CO2] = 1.0, CP * (kelvin - T_REF), _CO2_OUTDOOR
        out[VAPOUR] = humidity / 100.0 * saturation_kg_m3(kelvin) * kelvin / RHO_T
        out[DUST] = self.knobs["dust"] * 1e-9 * kelvin / RHO_T
        return out


def temperature_of(layer: list[float]) -> float:
    """Kelvin."""
    return T_REF + layer[HEAT] / (CP * (layer[AIR] + layer[FUEL] + 1e-9))


def volume_of(layer: list[float]) -> float:
    """m³ at constant pressure."""
    return (layer[AIR] + layer[FUEL]) * max(temperature_of(layer), 150.0) / RHO_T


def move(giver: list[float], taker: list[float], share: float) -> None:
    """A share of a layer (with all that floats in it) goes elsewhere."""
    for index, amount in enumerate(giver):
        part = amount * share
        giver[index] = amount - part
        taker[index] += part


class Room:
    """One room in motion. Sources add to `burning_kw`, `upper` and `lower`; then `step`."""

    def __init__(self, plan: RoomPlan, outside: Outside) -> None:
        self.plan = plan
        self.outside = outside
        self.height = plan.height_m
        self.volume = plan.area_m2 * plan.height_m
        celsius = plan.temperature if plan.temperature is not None else 21.0
        self.setpoint = celsius + 273.15
        self.structure = self.setpoint  # K, walls and what stands between them
        air = outside.air(celsius, plan.humidity)
        mass = self.volume * RHO_T / self.setpoint
        self.upper = [one * mass * _LAYER_MIN_SHARE for one in air]
        self.lower = [one * mass * (1.0 - _LAYER_MIN_SHARE) for one in air]
        self.kw = 0.0  # heat release in this step, shown to sensors
        self.base_m = 0.0
        self.smoke_m2_s = 0.0
        self.fan_share = 0.0
        self.climate_on = True
        self.to_walls_kj = 0.0
        self.water_l = 0.0
        self.drained_l = 0.0
        self.burning_kw = 0.0
        self.flaming = False
        self.base_people = float(plan.people)
        self.people = 0.0
        self.entered = self.left = 0.0
        self.motion = 1.0  # how much the people in it move: 0 asleep or fallen, 1 awake
        self.moving = False
        self.base_noise_db = self.noise_db = plan.noise_db
        self.light_lx = plan.light_lx
        side = 2.0 * math.sqrt(plan.area_m2 * math.pi) if plan.area_m2 > 0 else 1.0
        self._perimeter = side
        self._surface = 2.0 * plan.area_m2 + side * plan.height_m

    @property
    def interface_m(self) -> float:
        """Height of the lower layer's top."""
        return max(0.0, self.height - volume_of(self.upper) / self.plan.area_m2)

    def oxygen_factor(self, base_m: float) -> float:
        """How freely a fire can burn: 1 in fresh air, 0 below 10 % of oxygen by mass."""
        layer = self.lower if self.interface_m > base_m else self.upper
        share = OXYGEN_MASS_SHARE - layer[LACK] / (layer[AIR] + layer[FUEL] + 1e-9)
        return min(1.0, max(0.0, (share - 0.10) / 0.05))

    def burn(
        self, kw: float, base_m: float, smoke_m2_s: float, co_kg_s: float, co2_kg_s: float, step_s: float
    ) -> None:
        """A fire (or anything warm) gives heat and products for one step; they go where its plume goes."""
        self.burning_kw += kw
        self.base_m = base_m
        self.smoke_m2_s += smoke_m2_s
        upper = self.upper
        upper[SMOKE] += smoke_m2_s * step_s
        upper[CO] += co_kg_s * step_s
        upper[CO2] += co2_kg_s * step_s
        upper[LACK] += kw / KJ_PER_KG_OXYGEN * step_s if co2_kg_s > 0.0 else 0.0

    def step(self, step_s: float) -> None:
        """Let time pass, after all sources of this step have given."""
        kw, upper, lower = self.burning_kw, self.upper, self.lower
        self.kw, self.burning_kw = kw, 0.0
        rise = self.interface_m - self.base_m
        convective = CONVECTIVE_SHARE * kw
        if kw > 0.0:
            upper[HEAT] += convective * step_s
            self.to_walls_kj += (kw - convective) * step_s
            if rise > 0.0:
                plume = 0.071 * convective ** (1 / 3) * rise ** (5 / 3) + 0.0018 * convective
                move(lower, upper, -math.expm1(-plume * step_s / (lower[AIR] + 1e-6)))
        if self.people > 0.0:
            lower[HEAT] += self.people * _PERSON_KW * step_s
            lower[CO2] += self.people * _PERSON_CO2_KG_S * step_s
            lower[LACK] += self.people * _PERSON_CO2_KG_S * 0.86 * step_s  # respiratory quotient 0.85
            lower[VAPOUR] += self.people * _PERSON_VAPOUR_KG_S * step_s
        hot, cold = temperature_of(upper), temperature_of(lower)
        self._mix(hot - cold, step_s)
        self._walls(hot, cold, step_s)
        self._ventilate(step_s)
        self.settle()
        if self.water_l > 0.0 and self.plan.drain_l_per_s > 0.0:
            gone = min(self.water_l, self.plan.drain_l_per_s * step_s)
            self.water_l -= gone
            self.drained_l += gone

    def begin(self) -> None:
        """A new step: sources give anew."""
        self.smoke_m2_s = 0.0
        self.base_m = 0.0

    def _mix(self, difference: float, step_s: float) -> None:
        rate = 1.0 / (_MIX_S * (1.0 + (max(difference, 0.0) / 2.0) ** 2))
        if difference < -0.5:
            rate = 1.0 / 20.0  # cold above warm turns over
        share = -math.expm1(-rate * step_s)
        upper, lower = self.upper, self.lower
        # Equal masses change places: of the thinner layer a share, of the thicker one as much air.
        down = share if upper[AIR] <= lower[AIR] else share * lower[AIR] / upper[AIR]
        up = down * upper[AIR] / (lower[AIR] + 1e-9)
        for index in range(SPECIES):
            flow = upper[index] * down - lower[index] * min(up, 1.0)
            upper[index] -= flow
            lower[index] += flow

    def _walls(self, hot: float, cold: float, step_s: float) -> None:
        area = self.plan.area_m2
        depth = self.height - self.interface_m
        structure = self.structure
        gained = 0.0
        for layer, kelvin, surface in ((self.upper, hot, area + self._perimeter * depth),
                                       (self.lower, cold, area + self._perimeter * (self.height - depth))):
            capacity = CP * (layer[AIR] + layer[FUEL] + 1e-9)
            share = -math.expm1(-_WALL_KW_PER_M2_K * surface * step_s / capacity)
            heat = (kelvin - structure) * capacity * share
            layer[HEAT] -= heat
            gained += heat
        self.to_walls_kj += gained
        capacity = _STRUCTURE_KJ_PER_M2_K * self._surface
        gained += _OUTER_KW_PER_M2_K * self._surface * (self.outside.kelvin - structure) * step_s
        if self.climate_on:
            most = self.plan.climate_kw * step_s
            gained += min(most, max(-most, (self.setpoint - structure) * capacity - gained))
        self.structure = structure + gained / capacity

    def _ventilate(self, step_s: float) -> None:
        share = -math.expm1(-self.plan.air_changes_per_h * step_s / 3600.0)
        if share > 0.0:
            for layer in (self.upper, self.lower):
                # By volume: as much room as leaves is taken by outdoor air.
                mass = volume_of(layer) * share * RHO_T / self.outside.kelvin
                move(layer, self.outside.taken, share)
                self.breathe(layer, mass)
        if self.fan_share > 0.0:
            drawn = self.fan_share * self.plan.fan_m3_per_h / 3600.0 * step_s
            move(self.upper, self.outside.taken, -math.expm1(-drawn / (volume_of(self.upper) + 1e-9)))

    def breathe(self, layer: list[float], mass: float) -> None:
        """Outdoor air comes into a layer, kg."""
        taken = self.outside.taken
        for index, one in enumerate(self.outside.per_kg):
            if one:
                layer[index] += one * mass
                taken[index] -= one * mass

    def settle(self) -> None:
        """Bring both layers to the room's volume at constant pressure."""
        upper, lower, taken = self.upper, self.lower, self.outside.taken
        above, least = volume_of(upper), _LAYER_MIN_SHARE * self.volume
        if above < least:
            below = volume_of(lower)
            move(lower, upper, min(0.5, (least - above) / (below + 1e-9)))
        elif above > 0.95 * self.volume:
            move(upper, taken, 1.0 - 0.95 * self.volume / above)
        wanted = self.volume - volume_of(upper)
        below = volume_of(lower)
        if below > wanted:
            move(lower, taken, 1.0 - wanted / below)
        else:
            self.breathe(lower, (wanted - below) * RHO_T / self.outside.kelvin)
