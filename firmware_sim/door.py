"""Door: what flows through an opening between two rooms, or a room and outdoors.

    room a            room b
    ▒▒▒▒▒▒▒ ──smoke──► ▒▒▒▒     while a's interface is below the soffit and its layer is the warmer one
    ─ ─ ─ ─│           │
           │ ◄─ air ───│        as much air comes back below; unlike temperatures also exchange by themselves

- buoyant outflow above the interface: m = 2/3 Cd W rho sqrt(2 g dT/T) d^(3/2), Cd 0.68 (SFPE Handbook, vent flows);
- exchange of unlike temperatures through the doorway: V = C/3 W H sqrt(g H dT/T), C 0.6 (Brown and Solvason 1962);
- a draught of 2 cm/s is always there (assumed).
"""

from __future__ import annotations

import math

from firmware_sim.room import AIR, RHO_T, Room, move, temperature_of
from firmware_sim.world_plan import DoorPlan

_G = 9.81
_CD = 0.68
_C_EXCHANGE = 0.6
_DRAUGHT_M_S = 0.02


class Door:
    """One opening. `open_share`: 0 shut, 1 wide open. `b` None: outdoors."""

    def __init__(self, plan: DoorPlan, a: Room, b: Room | None) -> None:
        self.plan = plan
        self.a, self.b = a, b
        self.open_share = 1.0 if plan.open else 0.0

    def step(self, step_s: float) -> None:
        """Let air pass for one step."""
        width = self.plan.width_m * self.open_share
        if width <= 0.0:
            return
        self._spill(self.a, self.b, width, step_s)
        if self.b is not None:
            self._spill(self.b, self.a, width, step_s)
        self._exchange(width, step_s)

    def _spill(self, giver: Room, taker: Room | None, width: float, step_s: float) -> None:
        depth = min(self.plan.height_m, giver.height) - giver.interface_m
        if depth <= 0.0:
            return
        hot = temperature_of(giver.upper)
        beyond = giver.outside.kelvin if taker is None else temperature_of(taker.lower)
        if hot <= beyond:
            return
        flow = (2 / 3) * _CD * width * RHO_T / hot * math.sqrt(2.0 * _G * (hot - beyond) / beyond) * depth**1.5
        mass = min(flow * step_s, 0.2 * giver.upper[AIR])
        share = mass / (giver.upper[AIR] + 1e-9)
        if taker is None:
            move(giver.upper, giver.outside.taken, share)
            giver.breathe(giver.lower, mass)
        else:
            move(giver.upper, taker.upper, share)
            move(taker.lower, giver.lower, min(0.2, mass / (taker.lower[AIR] + 1e-9)))

    def _exchange(self, width: float, step_s: float) -> None:
        a, b, height = self.a, self.b, self.plan.height_m
        warm = temperature_of(a.lower)
        beyond = a.outside.kelvin if b is None else temperature_of(b.lower)
        speed = _C_EXCHANGE / 3.0 * math.sqrt(_G * height * abs(warm - beyond) / min(warm, beyond)) + _DRAUGHT_M_S
        mass = speed * width * height * RHO_T / max(warm, beyond) * step_s
        if b is None:
            mass = min(mass, 0.2 * a.lower[AIR])
            move(a.lower, a.outside.taken, mass / (a.lower[AIR] + 1e-9))
            a.breathe(a.lower, mass)
            return
        mass = min(mass, 0.2 * a.lower[AIR], 0.2 * b.lower[AIR])
        out, back = mass / (a.lower[AIR] + 1e-9), mass / (b.lower[AIR] + 1e-9)
        for index in range(len(a.lower)):
            flow = a.lower[index] * out - b.lower[index] * back
            a.lower[index] -= flow
            b.lower[index] += flow
