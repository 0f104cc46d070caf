"""Pipe: pressure and flow of a water pipe with taps, hydrants, holes, a valve and a pump.

    feed p0 (+ pump) ──resistance──valve──┬── ordinary draw
                                          ├── hydrant, taps        each: q = k sqrt(p)
                                          └── hole                 k from its flow at rest pressure

The feed loses pressure with the square of its flow, p = p0 - p0 (Q / capacity)², and each outlet is an orifice, so
that p = p0 / (1 + R K²) stands in closed form. The pressure follows within half a second (the water's inertia).
"""

from __future__ import annotations

import math

from firmware_sim.world_plan import PipePlan

_LAG_S = 0.5


class Pipe:
    """One pipe. Sources add to `hole_l_per_s` and `draw_l_per_s` (flows at rest pressure) before each step."""

    def __init__(self, plan: PipePlan) -> None:
        self.plan = plan
        self.feed_kpa = plan.pressure_kpa
        self.demand_l_per_s = plan.demand_l_per_s
        self.hydrant_l_per_s = 0.0
        self.valve_share = 1.0
        self.pump_share = 0.0
        self.hole_l_per_s = 0.0
        self.draw_l_per_s = 0.0
        self.lost_l_per_s = 0.0  # through the hole in the last step
        self.flow_l_per_s = 0.0
        self.kpa = self._steady()
        self.step(0.0)

    def _steady(self) -> float:
        driving = max(0.0, self.feed_kpa) + self.pump_share * self.plan.pump_kpa
        outlets = self._outlets()
        if self.valve_share <= 0.0:
            return 0.0 if outlets > 0.0 else self.kpa  # shut: it keeps its pressure until somebody draws
        # Half shut, a valve bears a quarter of the flow at the same loss.
        resistance = self.plan.pressure_kpa / self.plan.capacity_l_per_s**2 / self.valve_share**2
        return driving / (1.0 + resistance * outlets * outlets)

    def _outlets(self) -> float:
        wanted = self.demand_l_per_s + self.hydrant_l_per_s + self.draw_l_per_s + self.hole_l_per_s
        return max(0.0, wanted) / math.sqrt(self.plan.pressure_kpa)

    def step(self, step_s: float) -> None:
        """Let water run."""
        self.kpa += (self._steady() - self.kpa) * -math.expm1(-step_s / _LAG_S)
        root = math.sqrt(max(0.0, self.kpa) / self.plan.pressure_kpa)
        open_ = 1.0 if self.valve_share > 0.0 else 0.0
        self.lost_l_per_s = self.hole_l_per_s * root
        self.flow_l_per_s = self._outlets() * math.sqrt(self.plan.pressure_kpa) * root * open_
        self.hole_l_per_s = self.draw_l_per_s = 0.0
