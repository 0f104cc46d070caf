"""Deeds: what the tester's page and the terminal may ask of a bench. DEEDS names them on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.reading import Reason
from firmware_sim.faults import Fault, FaultKind

if TYPE_CHECKING:
    from trial.sim_bench import SimBench


class Deed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One deed. `on` does it and returns what there is to say; raises ConfigError or LocalFault."""

    def on(self, bench: SimBench, language: str) -> Any:
        """Do it."""
        raise NotImplementedError


class SetPoint(Deed, frozen=True):
    """A point shows a value."""

    point: str
    value: bool | int | float | str

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        bench.controls.set(self.point, self.value)
        return None


class Press(Deed, frozen=True):
    """A button of a device."""

    device: str
    button: str

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        bench.controls.press(self.device, self.button)
        return None


class Act(Deed, frozen=True):
    """alarm, fault, battery or tamper of a device begins or ends."""

    device: str
    action: str
    begin: bool = True

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        bench.controls.act(self.device, self.action, self.begin)
        return None


class Turn(Deed, frozen=True):
    """A knob of the world."""

    knob: str
    value: float

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        bench.controls.turn(self.knob, self.value)
        return None


class Strike(Deed, frozen=True):
    """A fault begins now; for_s 0: until it is ended."""

    kind: FaultKind
    target: str
    for_s: float = 0.0
    chance: float = 1.0
    delay_s: float = 0.5
    amount: float = 0.0
    code: int = 4
    reason: Reason = Reason.DEVICE_FAULT

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        return bench.controls.strike(Fault(
            self.kind, self.target, bench.at_s(), self.for_s, self.chance, self.delay_s, self.amount, self.code,
            self.reason))


class EndFault(Deed, frozen=True):
    """A fault ends."""

    number: int

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        bench.controls.end(self.number, bench.at_s())
        return None


class Run(Deed, frozen=True):
    """A scenario is judged in virtual time, beside the live devices."""

    scenario: str
    seed: int | None = None
    without: tuple[str, ...] = ()

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        return bench.start_run(self.scenario, self.seed, self.without, language)


class CancelRun(Deed, frozen=True):
    """A run ends without a verdict."""

    number: int

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        if not bench.runs.cancel(self.number):
            raise ConfigError([Finding("run", 0, 0, f"run {self.number} is not running", "see the list of runs")])
        return None


class StartBatch(Deed, frozen=True):
    """Units as text lines are tested one after the other."""

    name: str
    lines: str

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        return bench.start_batch(self.name, self.lines, language)


class StopBatch(Deed, frozen=True):
    """The batch stops after what it has; it goes on when started again under its name."""

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        bench.stop_batch()
        return None


class Join(Deed, frozen=True):
    """What a gateway holds is shown beside the devices; an empty url: no longer."""

    url: str

    def on(self, bench: SimBench, language: str) -> Any:
        """See the class."""
        if self.url.strip():
            return bench.join(self.url)
        bench.part()
        return None


DEEDS: dict[str, type[Deed]] = {
    "set": SetPoint, "press": Press, "act": Act, "turn": Turn, "strike": Strike, "end": EndFault, "run": Run,
    "cancel": CancelRun, "batch": StartBatch, "stop-batch": StopBatch, "join": Join,
}
