"""GatewayJoin (I/O): the simulator's page joined with a gateway's live view, through the gateway's own local page.

    GatewayJoin ──GET /api/view each second──► `tocsin gateway page` ─► the gateway's control socket
        └─► HeldSide (held_view.py) beside SimWorld ─► JoinView                 read-only: nothing is ever sent to it

What the gateway does not say is unknown: an answer older than a few seconds, one that says that the gateway itself is
silent, one that makes no sense. It is said as such and never shown as agreeing.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog

from dashboards.local_view import LocalView
from device_model.clock import SECOND_US
from device_model.errors import LocalFault
from device_model.system_clock import real_mono_us
from firmware_sim.serve import SimRuntime
from trial.agreement import Agreement, TruthMemory
from trial.held_view import NOT_KNOWN, HeldDevice, HeldSide, HeldSite

ASK_EVERY_S = 1.0
ASK_WITHIN_S = 4.0
NOTE_EVERY_S = 0.25
SILENT_AFTER_S = 5.0
ANSWER_BYTES_MAX = 16 * 2**20  # the gateway's own bound of a view
DEVICES_MAX = 2000  # that are compared; a fleet's others are shown without
DIFFERING_SHOWN = 20
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}", re.ASCII)
_log = structlog.get_logger("sim.gateway")


class JoinView(msgspec.Struct, frozen=True):
    """state: asking (no answer yet), live, silent (the gateway's page answers, the gateway does not), away (nothing
    answers there, or nothing that makes sense). age_s: of the last answer; held: only while it is live."""

    url: str
    state: str
    trouble: str
    age_s: float
    held: HeldSite | None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A page that sends us elsewhere is no gateway's."""

    def redirect_request(self, *_: object) -> None:
        """Not followed."""
        return


class GatewayJoin:
    """One gateway beside one running simulator. `run` until cancelled."""

    def __init__(self, url: str, runtime: SimRuntime, ca_file: Path | None = None) -> None:
        """url: of the gateway's local page; ca_file: who signs it, where that is not known here. Raises LocalFault
        for what is no such address or file."""
        self.url = page_address(url)
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise LocalFault(f"{ca_file}: no certificate can be read ({error}); name the CA's PEM file") from error
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirect(), urllib.request.HTTPSHandler(context=context))
        self._runtime = runtime
        self._memory: dict[str, TruthMemory] = {}
        self._side: HeldSide | None = None
        self._held: dict[str, HeldDevice] = {}  # compared once an answer, for all who look
        self._heard_us = 0
        self._state, self._trouble = "asking", ""

    async def run(self) -> None:
        """Ask each second, and remember what the devices show. Real time: the gateway's page is for browsers."""
        noting = asyncio.create_task(self._note())
        try:
            while True:
                await self._look()
                await asyncio.sleep(ASK_EVERY_S)
        finally:
            noting.cancel()
            await asyncio.gather(noting, return_exceptions=True)

    async def _look(self) -> None:
        try:
            view = await asyncio.to_thread(self._asked)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._state, self._trouble = "away", _words(error)
            return
        except Exception as error:  # noqa: BLE001
            # Task boundary: one answer that trips a fault of ours must not leave the page with an old one for ever.
            _log.exception("look_failed", url=self.url)
            self._state, self._trouble, self._side = "away", f"{type(error).__name__}: {error}", None
            return
        if not view.answers:
            self._state, self._trouble, self._side = "silent", "", None
            return
        self._side, self._heard_us = HeldSide(view), real_mono_us()
        self._state, self._trouble = "live", ""
        devices = self._runtime.world.devices
        for name in list(self._side.points)[:DEVICES_MAX]:
            if name in devices and name not in self._memory:
                self._memory[name] = TruthMemory(devices[name])
        at_s = self._runtime.at_s()
        self._held = {name: self._side.device(devices[name], memory, at_s) for name, memory in self._memory.items()}

    def _asked(self) -> LocalView:
        with self._opener.open(f"{self.url}/api/view", timeout=ASK_WITHIN_S) as answer:
            octets = answer.read(ANSWER_BYTES_MAX + 1)
        if len(octets) > ANSWER_BYTES_MAX:
            raise ValueError("the answer is too large")
        return msgspec.json.decode(octets, type=LocalView)

    async def _note(self) -> None:
        while True:
            at_s = self._runtime.at_s()
            for memory in self._memory.values():
                memory.note(at_s)
            await asyncio.sleep(NOTE_EVERY_S)

    def view(self, wanted: Collection[str]) -> JoinView:
        """How it stands, with these devices."""
        age_s = (real_mono_us() - self._heard_us) / SECOND_US if self._heard_us else -1.0
        side = self._side if self._state == "live" or 0 <= age_s < SILENT_AFTER_S else None
        if side is None:
            state = "away" if self._state == "live" else self._state
            return JoinView(self.url, state, self._trouble, float(int(age_s)), None)
        differing = [name for name, held in self._held.items() if held.agreement == Agreement.DIFFERS]
        devices = {name: self._held.get(name, NOT_KNOWN) for name in wanted}
        return JoinView(self.url, "live", "", float(int(age_s)),
                        side.site(devices, len(self._held), differing[:DIFFERING_SHOWN]))


def page_address(text: str) -> str:
    """`http://host:port` of what a person wrote. Raises LocalFault."""
    parts = urlsplit(text.strip() if "//" in text else f"http://{text.strip()}")
    try:
        right = parts.scheme in ("http", "https") \
            and _HOST.fullmatch(parts.hostname or "") is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right or parts.username or parts.query or parts.fragment or parts.path not in ("", "/"):
        raise LocalFault(f"{text!r} is no address of a gateway's local page: write http://192.168.1.30:8088")
    return f"{parts.scheme}://{parts.netloc}"


def _words(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}: is this `tocsin gateway page`?"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return f"the answer makes no sense: {error}" if isinstance(error, ValueError) else str(error)
