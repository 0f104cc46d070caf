"""RemoteSite (I/O): takes signed site files from the cloud: staged, checked, applied by diff, rolled back by itself.

    MQTT …/down/site ─► signature, gateway, version ─► site.yaml.staged ─ checked ─► runtime.reconfigure
                                                                                       │ taken
       site.yaml.before ◄─ roll-back: cloud gone for roll_back_after_s ◄─ probation ◄──┴─► site.yaml

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
from edge_agent.probation import Probation, RemoteState, Verdict
from edge_agent.site_tap import SiteTap
from provisioning.authority import write_private
from provisioning.site_signing import open_signed

log = structlog.get_logger("remote site")
LOOK_EVERY_S = 1.0

Apply = Callable[[Path], Awaitable[str]]  # checks and applies a site file; ConfigError or LocalFault when it does not


class RemoteSite:
    """One gateway's. `run` until cancelled."""

    def __init__(
        self, tap: SiteTap, config: Path, key_file: Path, address: GatewayAddress, clock: Clock, apply: Apply, *,
        roll_back_after_s: float,
    ) -> None:
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
        write_private(self._state_file, msgspec.json.encode(state))

    async def run(self) -> None:
        """Take files as they come; watch the one that is on probation."""
        probation = self._begin() if self.state.on_probation else None
        while True:
            if not self._tap.waiting.empty() and await self._take(self._tap.waiting.get_nowait()):
                probation = self._begin()
            if probation is not None:
                probation = await self._watch(probation)
            await self._clock.sleep(LOOK_EVERY_S)

    def _begin(self) -> Probation:
        return Probation(self._limit_s, self._clock.now().mono_us)

    async def _take(self, payload: bytes) -> bool:
        """Whether a new file runs now; every refusal is said."""
        try:
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

    async def _watch(self, probation: Probation) -> Probation | None:
        verdict = probation.look(self._tap.connected, self._clock.now().mono_us)
        if verdict is Verdict.WAIT:
            return probation
        version = self.state.version
        if verdict is Verdict.CONFIRM:
            self._keep(self.state.confirmed())
            self.last = f"version {version} confirmed"
            log.info("site file from the cloud confirmed", version=version)
            return None
        try:
            await self._apply(self._before)
            write_private(self._config, self._before.read_bytes())
            self._keep(self.state.rolled_back())
        except (ConfigError, LocalFault, OSError) as error:
            # An alarm that stands on a new device, or a full disk: it is tried again, the site is guarded meanwhile.
            why = f"version {version} cannot be rolled back yet: {error}"
            if self.last != why:  # once, not each second
                log.error("site file cannot be rolled back yet", version=version, reason=str(error))
            self.last = why
            return probation
        self.last = f"version {version} rolled back: the cloud was gone for {self._limit_s:g} s after it"
        log.error("site file rolled back, the cloud was gone after it", version=version, seconds=self._limit_s)
        return None
