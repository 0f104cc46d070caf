"""Battery pack in thermal runaway: heated or overcharged, it vents, runs away cell by cell, then flames.

    heater ─► cell temperature ─► 130 °C vents: off-gas ─► runaway (Arrhenius) ─► neighbours ─► flame

One lumped decomposition reaction per cell, rate A exp(-E / R T), E 135 kJ/mol, A 1.6e13 1/s: self-heating is slow at
120 °C (0.6 K/min) and violent at 200 °C, as accelerating-rate calorimetry of 18650 cells shows (Feng et al. 2018,
Energy Storage Materials 10, give 90 to 130 °C onset and 180 to 240 °C runaway). The heat of the reaction warms a
cell by 600 K. The next cell runs away 12 s later (assumed). Off-gas: 0.6 L per Wh, 30 % H2, 25 % CO by volume
(Baird et al. 2020, J. Power Sources 446). Flames follow 38 s after
the first runaway (the UL FSRI cell-level record: runaway at 1701 s, flaming at 1739 s) and release ten times the
stored energy over the pack's burning.
"""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

_GAS_CONSTANT = 8.314
_ENERGY_J_MOL = 135_000.0
_RATE_PER_S = 1.6e13
_REACTION_K = 600.0
_VENT_K = 403.15
_CELL_WH = 10.0
_CELL_KJ_PER_K = 0.045  # 45 g of 1 kJ/kg/K
_LOSS_KW_PER_K = 5e-5
_NEXT_CELL_S = 12.0
_FLAME_AFTER_S = 38.0
_BURN_FACTOR = 10.0
_CELL_BURN_S = 60.0
_OFF_GAS_M3_PER_WH = 0.6e-3
_CELL_VENT_S = 30.0


class BatteryStage(StrEnum):
    """Where the pack stands."""

    COOL = "cool"
    HEATING = "heating"
    VENTING = "venting"
    RUNAWAY = "runaway"
    FLAMING = "flaming"
    BURNT_OUT = "burnt_out"


class BatteryOutput(msgspec.Struct, frozen=True):
    """What the pack gives in one step, per second: kW of flame, m³ of off-gas, kg of CO, m² of smoke."""

    kw: float
    gas_m3_s: float
    co_kg_s: float
    smoke_m2_s: float


class BatteryPack:
    """A pack of energy_wh. `step` advances the first cell's chemistry and the spreading to the others."""

    def __init__(self, energy_wh: float, celsius: float) -> None:
        self.cells = max(1, round(energy_wh / _CELL_WH))
        self._ambient = self.kelvin = celsius + 273.15
        self.converted = 0.0  # share of the first cell's reaction that is done
        self.stage = BatteryStage.COOL
        self._vent_s = 0.0
        self._since_s = 0.0

    def step(self, heater_w: float, step_s: float, oxygen_factor: float) -> BatteryOutput:
        """Let time pass; heater_w warms the first cell."""
        self._warm(heater_w, step_s)
        if self.stage is BatteryStage.COOL and self.kelvin > self._ambient + 5.0:
            self.stage = BatteryStage.HEATING
        if self.kelvin > _VENT_K and self.stage in (BatteryStage.COOL, BatteryStage.HEATING):
            self.stage = BatteryStage.VENTING
        if self.converted >= 0.5 and self.stage is BatteryStage.VENTING:
            self.stage = BatteryStage.RUNAWAY
        if self.stage is BatteryStage.VENTING:
            self._vent_s += step_s
        if self.stage in (BatteryStage.RUNAWAY, BatteryStage.FLAMING):
            self._since_s += step_s
        if self.stage is BatteryStage.RUNAWAY and self._since_s >= _FLAME_AFTER_S and oxygen_factor > 0.1:
            self.stage = BatteryStage.FLAMING
        if self._since_s > self.cells * _NEXT_CELL_S + _FLAME_AFTER_S + _CELL_BURN_S:
            self.stage = BatteryStage.BURNT_OUT
        return self._output(oxygen_factor)

    def _warm(self, heater_w: float, step_s: float) -> None:
        # Ten equal parts of a step keep the fast reaction within a few degrees of finer steps.
        part = step_s / 10.0
        for _ in range(10):
            rate = _RATE_PER_S * math.exp(-_ENERGY_J_MOL / (_GAS_CONSTANT * self.kelvin))
            done = (1.0 - self.converted) * -math.expm1(-rate * part)
            self.converted += done
            heat = heater_w / 1000.0 * part - _LOSS_KW_PER_K * (self.kelvin - self._ambient) * part
            self.kelvin = max(self._ambient, self.kelvin + done * _REACTION_K + heat / _CELL_KJ_PER_K)

    def _active(self, lasting_s: float, delay_s: float = 0.0) -> float:
        """How many cells are at it now, when each lasts so long and begins _NEXT_CELL_S after the one before."""
        begun = min(self.cells, 1.0 + (self._since_s - delay_s) / _NEXT_CELL_S)
        ended = min(self.cells, max(0.0, 1.0 + (self._since_s - delay_s - lasting_s) / _NEXT_CELL_S))
        return max(0.0, begun - ended)

    def _output(self, oxygen_factor: float) -> BatteryOutput:
        if self.stage in (BatteryStage.COOL, BatteryStage.HEATING, BatteryStage.BURNT_OUT):
            return BatteryOutput(0.0, 0.0, 0.0, 0.0)
        per_cell = _CELL_WH * _OFF_GAS_M3_PER_WH / _CELL_VENT_S
        if self.stage is BatteryStage.VENTING:
            # A weeping vent: a twentieth of what runaway drives out.
            gas = 0.05 * per_cell
            return BatteryOutput(0.0, gas, 0.25 * gas * 1.16, gas * 400.0)
        gas = self._active(_CELL_VENT_S) * per_cell
        if self.stage is BatteryStage.RUNAWAY:
            return BatteryOutput(0.2 * self._active(_CELL_VENT_S), gas, 0.25 * gas * 1.16, gas * 400.0)
        kw = self._active(_CELL_BURN_S, _FLAME_AFTER_S) * _CELL_WH * 3.6 * _BURN_FACTOR / _CELL_BURN_S * oxygen_factor
        # Flames burn the off-gas; what is left of CO and smoke is that of burning plastic.
        burnt = kw / 25_000.0
        return BatteryOutput(kw, 0.0, 0.03 * burnt, 0.1 * burnt * 8700.0)
