"""Actuator: a valve, fan, pump or switch that a device's output moves, in its own time, or not at all.

    device.point (written by a gateway) ──► target ──travel_s──► position 0..1 ──► physics, limit switches
                                                jammed: it stays
"""

from __future__ import annotations

from firmware_sim.world_plan import ActuatorPlan, PowerLoss


class Actuator:
    """One actuator. position: 1 fully open (on), 0 fully closed (off).

    first: what its point says at the beginning, None for nothing.
    """

    def __init__(self, plan: ActuatorPlan, first: bool | None = None) -> None:
        self.plan = plan
        says = True if first is None else first == plan.opens_when
        self.position = 1.0 if (plan.open if plan.open is not None else says) else 0.0
        self.jammed = False
        self._target = self.position
        self._commanded = first

    def command(self, value: bool | None) -> None:
        """What the commanding point says now; None: its device has no power.

        Only a change counts: hands may move the actuator between two commands.
        """
        if value == self._commanded:
            return
        self._commanded = value
        if value is not None:
            self._target = 1.0 if value == self.plan.opens_when else 0.0
        elif self.plan.on_power_loss is not PowerLoss.STAYS:
            self._target = 1.0 if self.plan.on_power_loss is PowerLoss.OPENS else 0.0

    def by_hand(self, share: float) -> None:
        """A person moves it, to any share between closed (0) and open (1)."""
        self._target = min(1.0, max(0.0, share))

    def step(self, step_s: float) -> None:
        """Let it travel."""
        if self.jammed:
            return
        most = 1.0 if self.plan.travel_s <= 0.0 else step_s / self.plan.travel_s
        self.position += min(most, max(-most, self._target - self.position))

    @property
    def opened(self) -> bool:
        """The limit switch at the open end."""
        return self.position >= 0.999

    @property
    def closed(self) -> bool:
        """The limit switch at the closed end."""
        return self.position <= 0.001
