"""Tank and river reach: mass balances of water.

    inflow × valve ─►┌────────┐─ overflow edge ─► spills
                     │ level  │
                     └────────┘─► outflow            d(level)/dt = (in - out - spilled) / area
"""

from __future__ import annotations

import math

from firmware_sim.world_plan import RiverPlan, TankPlan


class Tank:
    """An open tank. All litres are accounted for: in_l = out_l + spilled_l + what is there more than at first."""

    def __init__(self, plan: TankPlan) -> None:
        self.plan = plan
        self.edge_m = plan.overflow_m or plan.height_m
        self.litres = plan.level_m * plan.area_m2 * 1000.0
        self.inflow_l_per_s = plan.inflow_l_per_s
        self.outflow_l_per_s = plan.outflow_l_per_s
        self.valve_share = 1.0
        self.demand_l_per_s = 0.0
        self.filling = self.leaving = self.spilling = 0.0  # L/s in the last step
        self.in_l = self.out_l = self.spilled_l = 0.0

    @property
    def level_m(self) -> float:
        """Height of the water."""
        return self.litres / (self.plan.area_m2 * 1000.0)

    def step(self, step_s: float) -> float:
        """Let water run; returns litres that spilled."""
        floats = self.plan.float_m > 0.0 and self.level_m >= self.plan.float_m
        wanted = 0.0 if floats else max(0.0, self.inflow_l_per_s) * self.valve_share * step_s
        leaving = min(self.litres + wanted, (max(0.0, self.outflow_l_per_s) + self.demand_l_per_s) * step_s)
        self.litres += wanted - leaving
        spilled = max(0.0, self.litres - self.edge_m * self.plan.area_m2 * 1000.0)
        self.litres -= spilled
        self.in_l += wanted
        self.out_l += leaving
        self.spilled_l += spilled
        self.filling, self.leaving, self.spilling = wanted / step_s, leaving / step_s, spilled / step_s
        return spilled


class River:
    """A well mixed reach: V dc/dt = load + Q (background - c)."""

    def __init__(self, plan: RiverPlan) -> None:
        self.plan = plan
        self.mg_per_l = plan.background_mg_per_l
        self.flow_m3_per_s = plan.flow_m3_per_s
        self.level_m = plan.level_m
        self.load_g_s = 0.0

    def step(self, step_s: float) -> None:
        """Let it flow; g/m³ are mg/L."""
        flow = max(self.flow_m3_per_s, 1e-6)
        goal = self.plan.background_mg_per_l + self.load_g_s / flow
        self.mg_per_l += (goal - self.mg_per_l) * -math.expm1(-flow * step_s / self.plan.volume_m3)
        self.load_g_s = 0.0
