"""RemoteSite (I/O): takes signed site files, and numbers of rules, from the cloud: staged, checked, applied by diff,
rolled back by itself.

    MQTT …/down/site ─────► signature by the pinned key, gateway, version ─► site.yaml.staged ─ checked ─► reconfigure
    MQTT …/down/numbers ──► signature by the cloud's CA ─► numbers put into the own site file ─┘             │ taken
       site.yaml.before ◄─ roll-back: cloud gone for roll_back_after_s ◄─ probation ◄─────────── site.yaml ◄─┘

A site file is signed with a key that only a person has; by its own authority the cloud changes numbers and nothing
else, each within the bounds of the pack that this gateway has. What became of them, `told` hears.

What cannot be applied while the gateway runs (`site_diff.py`) is refused, as any changed site file is. The files lie
beside the site file; each is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from device_model.clock import Clock
from device_model.errors import ConfigError, LocalFault
from device_model.messages import GatewayAddress
from device_model.numbers import NumbersReport
from edge_agent.probation import Probation, RemoteState, Verdict
from edge_agent.site_tap import SiteTap
from provisioning.authority import write_private
from provisioning.site_numbers import open_numbers, with_numbers
from provisioning.site_signing import open_signed

log = structlog.get_logger("remote site")
LOOK_EVERY_S = 1.0

# Checks and applies a site file. ConfigError: it never can; LocalFault: not now.
Apply = Callable[[Path], Awaitable[str]]


class NumbersWay(msgspec.Struct, frozen=True):
    """How numbers come in. ca_file: whose signature counts. apply: as `Apply`, where nothing but numbers changes."""

    ca_file: Path
    apply: Apply
    roll_back_after_s: float
    told: Callable[[NumbersReport], None]


class RemoteSite:
    """One gateway's. `run` until cancelled."""

    def __init__(
        self, tap: SiteTap, config: Path, key_file: Path | None, address: GatewayAddress, clock: Clock, apply: Apply,
        *, roll_back_after_s: float, numbers: NumbersWay | None = None,
    ) -> None:
        """key_file: None where no key is pinned, and so no site file is taken."""
        self._numbers, self._offered, self._waits = numbers, 0, ""
        self._tap, self._config, self._key_file, self._address = tap, config, key_file, address
        self._clock, self._apply, self._limit_s = clock, apply, roll_back_after_s
        self._staged, self._before, self._state_file = (
            config.with_name(f"{config.name}.{end}") for end in ("staged", "before", "remote"))
        self.state = self._read_state()
        self.last = ""  # what became of the last file, for people

    def _read_state(self) -> RemoteState:
        try:
            return msgspec.json.decode(self._state_file.read_bytes(), type=RemoteState)
        except FileNotFoundError:
            return RemoteState()
        except (OSError, ValueError) as error:
            log.error("state of the remote site file cannot be read, versions begin anew", reason=str(error))
            return RemoteState()

    def _keep(self, state: RemoteState) -> None:
        self.state = state
        self._tell()
        write_private(self._state_file, msgspec.json.encode(state))

    async def run(self) -> None:
        """Take files as they come; watch the one that is on probation."""
        probation = self._begin() if self.state.on_probation else None
        self._tell()
        while True:
            if not self._tap.numbers.empty() and await self._take_numbers(self._tap.numbers.get_nowait()):
                probation = self._begin()
            if not self._tap.waiting.empty() and await self._take(self._tap.waiting.get_nowait()):
                probation = self._begin()
            if probation is not None:
                probation = await self._watch(probation)
            await self._clock.sleep(LOOK_EVERY_S)

    def _begin(self) -> Probation:
        of_numbers = self.state.of_numbers and self._numbers is not None
        limit_s = self._numbers.roll_back_after_s if of_numbers and self._numbers else self._limit_s
        return Probation(limit_s, self._clock.now().mono_us)

    async def _take(self, payload: bytes) -> bool:
        """Whether a new file runs now; every refusal is said."""
        try:
            if self._key_file is None:
                raise LocalFault("no key is pinned that signs site files")
            signed = open_signed(payload, self._address, self._key_file.read_bytes())
            why = self.state.why_not(signed.version)
            if why:
                raise LocalFault(why)
            write_private(self._staged, signed.text.encode())
            changed = await self._apply(self._staged)
            write_private(self._before, self._config.read_bytes())
            self._staged.replace(self._config)
            self._keep(self.state.applied(signed.version))
        except (ValueError, ConfigError, LocalFault, OSError) as error:
            self.last = f"refused: {error}"
            log.error("site file from the cloud refused, the old one runs on", reason=str(error))
            return False
        self.last = f"version {signed.version} on probation: {changed}"
        log.warning("site file from the cloud runs, on probation", version=signed.version, change=changed,
                    seconds=self._limit_s)
        return True

    async def _take_numbers(self, payload: bytes) -> bool:
        """Whether new numbers run now. What is not signed is not answered; every other refusal is told."""
        way = self._numbers
        if way is None:
            return False
        try:
            signed = open_numbers(payload, self._address, way.ca_file.read_bytes())
        except (ValueError, OSError) as error:
            log.error("numbers from the cloud refused", reason=str(error))
            return False
        if signed.version <= max(self.state.numbers, self.state.numbers_refused):
            return False  # the sender repeats until it has heard what became of them
        self._offered, self._waits = signed.version, ""
        if self.state.on_probation:
            self._waits = "a change before it is still on probation"
            self._tell()
            return False
        try:
            before = self._config.read_bytes()
            write_private(self._staged, with_numbers(before.decode(), signed.numbers).encode())
            await way.apply(self._staged)
            write_private(self._before, before)
            self._staged.replace(self._config)
        except (ValueError, ConfigError) as error:
            self._keep(self.state.numbers_refuse(signed.version, str(error)))
            log.error("numbers from the cloud refused, the old ones run on", reason=str(error))
            return False
        except (LocalFault, OSError) as error:
            if self._waits != str(error):
                log.warning("numbers from the cloud wait", reason=str(error))
            self._waits = str(error)[:300]
            self._tell()
            return False
        self._keep(self.state.numbers_applied(signed.version))
        log.warning("numbers from the cloud run, on probation", version=signed.version, numbers=signed.numbers,
                    seconds=way.roll_back_after_s)
        return True

    def _tell(self) -> None:
        """Which of the sent numbers run, and what keeps the newest from it."""
        if self._numbers is None:
            return
        state = self.state
        offered = max(self._offered, state.numbers, state.numbers_refused)
        final = offered == state.numbers_refused != 0
        why = state.numbers_why if final else self._waits if offered > state.numbers else ""
        self._numbers.told(NumbersReport(
            "", True, state.numbers, state.on_probation and state.of_numbers, offered, why, final))

    async def _watch(self, probation: Probation) -> Probation | None:
        verdict = probation.look(self._tap.connected, self._clock.now().mono_us)
        if verdict is Verdict.WAIT:
            return probation
        what = "numbers" if self.state.of_numbers else "version"
        version = self.state.numbers if self.state.of_numbers else self.state.version
        if verdict is Verdict.CONFIRM:
            self._keep(self.state.confirmed())
            self.last = f"{what} {version} confirmed"
            log.info("change from the cloud confirmed", what=what, version=version)
            return None
        gone = f"rolled back: the cloud was gone for {probation.limit_s:g} s after it"
        try:
            await self._apply(self._before)
            write_private(self._config, self._before.read_bytes())
            self._keep(self.state.rolled_back(gone))
        except (ConfigError, LocalFault, OSError) as error:
            # An alarm that stands on a new device, or a full disk: it is tried again, the site is guarded meanwhile.
            why = f"{what} {version} cannot be rolled back yet: {error}"
            if self.last != why:  # once, not each second
                log.error("change from the cloud cannot be rolled back yet", what=what, version=version,
                          reason=str(error))
            self.last = why
            return probation
        self.last = f"{what} {version} {gone}"
        log.error("change from the cloud rolled back, the cloud was gone after it", what=what, version=version,
                  seconds=probation.limit_s)
        return None
