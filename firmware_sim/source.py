"""Source: something that begins in the world and gives heat, smoke, gas, water, people, noise or current.

| kind | at | what it takes |
| --- | --- | --- |
| fire | room | growth, peak_kw, fuel, fuel_mj (0: for ever), base_m |
| smoulder | room | turns_to_flame_s, then growth, peak_kw, fuel, fuel_mj |
| cooking | room | kw (2), g_per_min of smoke (0.05) |
| steam | room | g_per_s of water vapour |
| co | room | g_per_min |
| gas | room | gas, kg_per_s or l_per_min; valve |
| battery | room | energy_wh, heater_w (200: overcharging, a hot neighbour) until it runs away; valve: its charger |
| people | room | people, there from start to end |
| dust | room | g_per_s |
| noise | room | noise_db (level that it alone gives in the room) |
| water | room | l_per_s; valve |
| heat | room | kw |
| burst | pipe | l_per_s at rest pressure; into: room that it floods |
| demand | pipe, tank | l_per_s |
| pollution | river | g_per_s |
| load | circuit | amps, leakage_ma |

Gas flows at 20 °C and 1 atm: 24.06 L/mol. Lower explosion limits: ISO/IEC 80079-20-1 (methane 4.4, propane 1.7, LPG
as butane-propane 1.5, hydrogen 4.0 vol %). Methane and hydrogen rise, propane and LPG sink.
"""

from __future__ import annotations

import msgspec

from firmware_sim.battery_cell import BatteryPack, BatteryStage
from firmware_sim.circuit import Circuit
from firmware_sim.fire_growth import FLAMING_M2_PER_KG, FUELS, SMOULDERING_M2_PER_KG, FireGrowth, smoulder_g_min
from firmware_sim.pipe import Pipe
from firmware_sim.room import CO, CP, DUST, FUEL, HAZARD, HEAT, VAPOUR, Room
from firmware_sim.tank import River, Tank
from firmware_sim.world_plan import Gas, SourceKind, SourcePlan

Place = Room | Tank | Pipe | River | Circuit


class GasTraits(msgspec.Struct, frozen=True):
    """g_mol: molar mass. lel: lower explosion limit as a share of volume. light: rises."""

    g_mol: float
    lel: float
    light: bool


GASES: dict[Gas, GasTraits] = {
    Gas.METHANE: GasTraits(16.04, 0.044, True), Gas.PROPANE: GasTraits(44.1, 0.017, False),
    Gas.LPG: GasTraits(51.1, 0.015, False), Gas.HYDROGEN: GasTraits(2.016, 0.040, True),
}
_L_PER_MOL = 24.06
_AIR_G_MOL = 28.96
_AIR_KG_PER_M3 = _AIR_G_MOL / _L_PER_MOL
_CO2_KG_PER_KJ = 0.07 / 1000.0  # of cooking on gas


class Source:
    """One source in motion. on: None follows the plan's times, else what an event or a slider says."""

    def __init__(self, plan: SourcePlan, place: Place, into: Room | None) -> None:
        self.plan = plan
        self.place = place
        self.into = into
        self.on: bool | None = None
        self.burning = False
        self.valve_share = 1.0
        self.kw = 0.0
        self.amount = _amount(plan)
        self._fire = FireGrowth(plan.growth, plan.peak_kw, plan.fuel_mj)
        self._age_s = 0.0
        celsius = place.setpoint - 273.15 if isinstance(place, Room) else 20.0
        self.pack = BatteryPack(plan.energy_wh, celsius) if plan.kind is SourceKind.BATTERY else None

    def active(self, at_s: float) -> bool:
        """Whether it gives something in the step that ends at that time."""
        if self.on is not None:
            return self.on
        begun = at_s > self.plan.start_s
        return begun and (self.plan.for_s <= 0.0 or at_s <= self.plan.start_s + self.plan.for_s)

    def step(self, at_s: float, step_s: float) -> None:
        """Give what it gives in the step that ends at at_s."""
        self.burning = self.active(at_s)
        self.kw = 0.0
        if not self.burning and self.pack is None:
            return
        if self.pack is not None or self.burning:
            self._age_s += step_s
        if isinstance(self.place, Room):
            self._in_room(self.place, step_s)
        elif isinstance(self.place, Pipe):
            if self.plan.kind is SourceKind.BURST:
                self.place.hole_l_per_s += self.amount
            else:
                self.place.draw_l_per_s += self.amount
        elif isinstance(self.place, Tank):
            self.place.demand_l_per_s += self.amount
        elif isinstance(self.place, River):
            self.place.load_g_s += self.amount
        else:
            self.place.load_a += self.amount
            self.place.leak_ma += self.plan.leakage_ma

    def _in_room(self, room: Room, step_s: float) -> None:
        kind, amount = self.plan.kind, self.amount
        if kind is SourceKind.FIRE:
            self._flame(room, step_s)
            self.burning = not self._fire.burnt_out
        elif kind is SourceKind.SMOULDER:
            self._smoulder(room, step_s)
        elif kind is SourceKind.BATTERY:
            self._battery(room, step_s)
            self.burning = self._goes_on()
        elif kind is SourceKind.COOKING:
            self.kw = self.plan.kw or 2.0
            smoke = amount / 60_000.0 * FLAMING_M2_PER_KG
            room.burn(self.kw, self.plan.base_m, smoke, 0.0, self.kw * _CO2_KG_PER_KJ, step_s)
        elif kind is SourceKind.HEAT:
            self.kw = amount
            room.burn(amount, self.plan.base_m, 0.0, 0.0, 0.0, step_s)
        elif kind is SourceKind.STEAM:
            room.upper[VAPOUR] += amount / 1000.0 * step_s
            room.upper[HEAT] += amount / 1000.0 * step_s * CP * 80.0  # it arrives near 100 °C
        elif kind is SourceKind.CO:
            room.upper[CO] += amount / 60_000.0 * step_s
        elif kind is SourceKind.GAS:
            self._leak(room, amount * self.valve_share * step_s, GASES[self.plan.gas])
        elif kind is SourceKind.DUST:
            room.lower[DUST] += amount / 1000.0 * step_s
        elif kind is SourceKind.WATER:
            room.water_l += amount * self.valve_share * step_s

    def _flame(self, room: Room, step_s: float) -> None:
        fuel = FUELS[self.plan.fuel]
        self.kw = self._fire.step(step_s, room.oxygen_factor(self.plan.base_m))
        mass = self.kw / fuel.heat_kj_kg
        room.burn(self.kw, self.plan.base_m, mass * fuel.soot * FLAMING_M2_PER_KG, mass * fuel.co, mass * fuel.co2,
                  step_s)

    def _smoulder(self, room: Room, step_s: float) -> None:
        flames_at = self.plan.turns_to_flame_s
        if flames_at > 0.0 and self._age_s > flames_at:
            self._flame(room, step_s)
            return
        # Mean of both ends, so that long and short steps give off the same.
        mass = (smoulder_g_min(self._age_s - step_s) + smoulder_g_min(self._age_s)) / 2.0 / 60_000.0
        self.kw = mass * 6000.0
        room.burn(self.kw, self.plan.base_m, mass * 0.12 * SMOULDERING_M2_PER_KG, mass * 0.11, mass * 0.5, step_s)

    def _battery(self, room: Room, step_s: float) -> None:
        assert self.pack is not None  # built in __init__ for this kind
        heated = self.burning and self.pack.stage in (BatteryStage.COOL, BatteryStage.HEATING, BatteryStage.VENTING)
        heater_w = self.amount * self.valve_share if heated else 0.0
        out = self.pack.step(heater_w, step_s, room.oxygen_factor(self.plan.base_m))
        self.kw = out.kw
        if out.kw or out.gas_m3_s:
            room.burn(out.kw, self.plan.base_m, out.smoke_m2_s, out.co_kg_s, out.kw / 25_000.0 * 1.5, step_s)
            hydrogen = 0.3 * out.gas_m3_s * _AIR_KG_PER_M3 * step_s
            room.upper[FUEL] += hydrogen
            room.upper[HAZARD] += hydrogen / GASES[Gas.HYDROGEN].lel

    def _goes_on(self) -> bool:
        """A pack that vents goes on whatever heats it, until it has burnt out."""
        stage = self.pack.stage if self.pack is not None else BatteryStage.COOL
        if stage in (BatteryStage.COOL, BatteryStage.HEATING):
            return self.burning
        return stage is not BatteryStage.BURNT_OUT

    def _leak(self, room: Room, kg: float, gas: GasTraits) -> None:
        layer = room.upper if gas.light else room.lower
        as_air = kg * _AIR_G_MOL / gas.g_mol
        layer[FUEL] += as_air
        layer[HAZARD] += as_air / gas.lel
        layer[HEAT] += as_air * CP * (room.structure - 293.15)


def _amount(plan: SourcePlan) -> float:
    """The number that a slider moves, in the unit of the kind."""
    kind = plan.kind
    if kind is SourceKind.GAS:
        return plan.kg_per_s or plan.l_per_min / 60.0 / _L_PER_MOL * GASES[plan.gas].g_mol / 1000.0
    if kind is SourceKind.COOKING:
        return plan.g_per_min or 0.05
    return {
        SourceKind.FIRE: plan.peak_kw, SourceKind.SMOULDER: plan.peak_kw, SourceKind.STEAM: plan.g_per_s,
        SourceKind.CO: plan.g_per_min, SourceKind.BATTERY: plan.heater_w or 200.0,
        SourceKind.PEOPLE: float(plan.people), SourceKind.DUST: plan.g_per_s, SourceKind.NOISE: plan.noise_db,
        SourceKind.WATER: plan.l_per_s, SourceKind.BURST: plan.l_per_s, SourceKind.DEMAND: plan.l_per_s,
        SourceKind.POLLUTION: plan.g_per_s, SourceKind.LOAD: plan.amps, SourceKind.HEAT: plan.kw,
    }[kind]
