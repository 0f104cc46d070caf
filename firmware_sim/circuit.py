"""Circuit: voltage, current, power and leakage of one circuit of the mains.

    mains ── switch ── loads (constant current at rated voltage, so that power follows the voltage)
"""

from __future__ import annotations

from firmware_sim.world_plan import CircuitPlan


class Circuit:
    """One circuit. Sources add to `load_a` and `leak_ma` before each step. mains_v: what the grid gives."""

    def __init__(self, plan: CircuitPlan) -> None:
        self.plan = plan
        self.mains_v = plan.voltage_v
        self.base_a = plan.amps
        self.base_leak_ma = plan.leakage_ma
        self.fed = True
        self.load_a = self.leak_ma = 0.0
        self.voltage_v = self.current_a = self.residual_ma = self.energy_kwh = 0.0
        self.step(0.0)

    @property
    def power_w(self) -> float:
        """Active power."""
        return self.voltage_v * self.current_a

    def step(self, step_s: float) -> None:
        """Let current flow."""
        share = max(0.0, self.mains_v) / self.plan.voltage_v if self.fed else 0.0
        self.voltage_v = max(0.0, self.mains_v) if self.fed else 0.0
        self.current_a = max(0.0, self.base_a + self.load_a) * share
        self.residual_ma = max(0.0, self.base_leak_ma + self.leak_ma) * share
        self.energy_kwh += self.power_w * step_s / 3.6e6
        self.load_a = self.leak_ma = 0.0
