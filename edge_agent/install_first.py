"""A bare gateway's own page (I/O): from power to the first site file without a terminal.

    page served ─► first PIN ─► cloud's address ─► code, QR ─► the owner claims ─► first site file ─► gateway starts
         └────────────────────── one server, one address, one session ──────────────────────┴─► the installer's page

What is done already is seen from the folder, as in the wizard (provision_wizard.py): both may take turns. Before the
site file exists the page listens on the gateway alone, unless somebody named an address for phones: then behind TLS
of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from dashboards.first_pages import create_first_app
from dashboards.first_view import FirstView
from dashboards.install_view import ShownClaim
from dashboards.local_page import create_local_app
from dashboards.pins import PinDoor, people_of, set_pin
from device_model.errors import ConfigError, Finding, LocalFault, PeerRefused, PeerSilent
from device_model.library import read_text
from device_model.site_checks import LOOPBACK
from device_model.yaml_source import convert, parse_yaml
from edge_agent.compose import configure_log
from edge_agent.install_words import network_checks
from edge_agent.installer import GatewayInstaller
from edge_agent.page import LocalDoor
from edge_agent.provision_wizard import STATE, first_site_text, installed, start_child
from provisioning.claim_box import ClaimBox
from provisioning.claim_commands import gateway_label
from provisioning.page_certificate import CERTIFICATE, KEY, make_page_certificate, own_address, own_names
from provisioning.qr_label import label_svg, qr_svg
from provisioning.site_versions import SiteVersions

LOOK_EVERY_S, RUNNING_WITHIN_S = 1.0, 60.0
GIVEN, OF_THE_BOX = "first-day.yaml", Path("/etc/tocsin")
log = structlog.get_logger("tocsin.first")
_App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Given(msgspec.Struct, frozen=True):
    """What whoever made the box up may have written into first-day.yaml. host: where the page listens, 0.0.0.0 for
    phones; cloud: filled in on the page."""

    cloud: str = ""
    host: str = "127.0.0.1"
    port: int = 8443
    asset: str = ""


def read_given(config: Path) -> Given:
    """first-day.yaml beside the site file, or in /etc/tocsin for a packaged gateway; the defaults without one."""
    for folder in (config.parent, *([OF_THE_BOX] if config.parent == STATE else [])):
        file = folder / GIVEN
        if file.is_file():
            findings: list[Finding] = []
            given = convert(parse_yaml(read_text(file), str(file)), (), Given, findings)
            if given is None or findings:
                raise ConfigError(findings)
            return given
    return Given()


class FirstDay:
    """`dashboards.first_view.First` for a folder. start: how a gateway that does not run is started."""

    def __init__(self, config: Path, given: Given, port: int, start: Callable[[Path], None] | None = None) -> None:
        self._config, self._given, self._port = config, given, port
        self._start = start or _start
        self.box = ClaimBox(config.parent)
        self._pins = config.parent / "pins.json"
        self._lock = threading.Lock()
        self._trouble, self._why = "", ""
        shown = self.box.shown()
        self._cloud = shown.cloud if shown is not None else ""
        self._offered, self._started_s = "", 0.0

    def view(self, *, inside: bool) -> FirstView:
        """The present."""
        identity, shown = self.box.identity(), self.box.shown() if self._cloud else None
        checks = network_checks(Path("/sys/class/net"), self._config.parent, None, "", time.time())
        network = tuple(one for one in checks if one.id != "cloud")  # which cloud is the next question
        if identity is not None:
            claim, step = ShownClaim(identity.gateway, identity.cloud), "claimed"
        elif not people_of(self._pins):
            claim, step = ShownClaim(cloud=self._given.cloud), "pin"
        elif shown is None or not inside or shown.code != self._offered:
            # A code that the cloud has not heard of yet would be refused to an owner who is quick.
            claim, step = ShownClaim(cloud=self._cloud or self._given.cloud), "code" if self._cloud else "cloud"
        else:
            qr = qr_svg(shown.address).decode()
            claim, step = ShownClaim("", shown.cloud, shown.code, shown.left_s(), qr), "code"
        return FirstView(step, claim, network, self._trouble, self._why)  # type: ignore[arg-type]  # of the four above

    def begin(self, name: str, pin: str) -> None:
        """As `First.begin`."""
        with self._lock:
            if people_of(self._pins):
                raise LocalFault("somebody has a PIN here already: sign in")
            if not pin:
                raise LocalFault("choose a PIN")
            set_pin(self._pins, name, pin)
        log.info("first PIN made", who=name.strip())

    def to_cloud(self, address: str) -> None:
        """As `First.to_cloud`."""
        cloud = address.strip().rstrip("/")
        with self._lock:
            self.box.code(cloud, self._given.asset)
            self._cloud, self._trouble = cloud, ""

    def new_code(self) -> None:
        """As `First.new_code`."""
        with self._lock:
            if not self._cloud:
                raise LocalFault("say the cloud's address first")
            self.box.new_code(self._cloud, self._given.asset)

    def label(self) -> str:
        """As `First.label`."""
        shown = self.box.shown()
        if shown is None:
            raise LocalFault("there is no code now")
        return label_svg(gateway_label(shown))

    def step(self) -> bool:
        """Go on as far as it goes now; True when the gateway runs. Told in the view, and tried again: LocalFault,
        ConfigError, PeerSilent, PeerRefused never leave it."""
        try:
            done = self._go_on()
        except PeerSilent as silent:
            return self._say("silent", silent)
        except PeerRefused as refused:
            if self.box.identity() is None:
                with contextlib.suppress(LocalFault):
                    self.new_code()
            return self._say("refused", refused)
        except (LocalFault, ConfigError) as fault:
            return self._say("fault", fault)
        self._trouble = self._why = ""
        return done

    def _say(self, trouble: str, why: Exception) -> bool:
        if str(why) != self._why:
            log.warning("the first day does not go on", trouble=trouble, reason=str(why))
        self._trouble, self._why = trouble, str(why)
        return False

    def _go_on(self) -> bool:
        if self.box.identity() is None:
            # Under the lock: a code that is being replaced must not be offered in between.
            with self._lock:
                if not self._cloud:
                    return False
                code = self.box.code(self._cloud, self._given.asset)
                claimed = self.box.collect(code)
                self._offered = code.code
            if not claimed:
                return False
        if not self._config.exists():
            who = next(iter(people_of(self._pins)), "installer")
            page = {} if self._given.host in LOOPBACK else {
                "host": self._given.host, "certificate_file": CERTIFICATE, "key_file": KEY}
            SiteVersions(self._config).save(first_site_text(self.box, self._port, page), who, "first site file")
        installer = GatewayInstaller(self._config)
        if installer.view().running:
            installer.hand_in()
            return True
        if time.monotonic() - self._started_s > RUNNING_WITHIN_S or not self._started_s:
            again, self._started_s = bool(self._started_s), time.monotonic()
            self._start(self._config)
            if again:
                raise LocalFault(f"the gateway does not come up; see {self._config.parent / 'gateway.log'}")
        return False


def _start(config: Path) -> None:
    if not installed(config):  # a packaged one is started by its path unit
        start_child(config)


def serve_first(config: Path, *, port: int | None = None, host: str = "", cloud: str = "") -> None:
    """Serve until SIGTERM: the first day, and the installer's page as soon as there is a gateway. What is given here
    goes before first-day.yaml. Raises ConfigError, LocalFault."""
    configure_log()
    given = read_given(config)
    given = msgspec.structs.replace(given, cloud=cloud or given.cloud, host=host or given.host,
                                    port=given.port if port is None else port)
    try:
        config.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalFault(f"{config.parent} cannot be made: {error.strerror}") from error
    asyncio.run(_serve(config.resolve(), given))


def page_certificate(folder: Path, host: str) -> str:
    """The certificate of the page that phones see: made once, kept; its SHA-256 as phones show it."""
    file = folder / CERTIFICATE
    if file.exists() and (folder / KEY).exists():
        mark = x509.load_pem_x509_certificate(file.read_bytes()).fingerprint(hashes.SHA256())
        return mark.hex(":").upper()
    address = own_address() if host in ("0.0.0.0", "::", "") else host  # noqa: S104  compared, not listened on
    return make_page_certificate(folder, own_names(address or "127.0.0.1"), datetime.now(UTC))


class _Switch:
    """One server, of which the application changes while it serves."""

    def __init__(self) -> None:
        self.app: _App | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


async def _serve(config: Path, given: Given) -> None:
    tls = given.host not in LOOPBACK
    if tls:
        log.info("phones ask once about this page's certificate", sha256=page_certificate(config.parent, given.host))
    pins, switch = PinDoor(config.parent / "pins.json", time.monotonic), _Switch()
    settings = uvicorn.Config(
        switch, host=given.host, port=given.port, log_level="warning", access_log=False, lifespan="off",
        limit_concurrency=100, server_header=False, timeout_graceful_shutdown=2,
        ssl_certfile=str(config.parent / CERTIFICATE) if tls else None,
        ssl_keyfile=str(config.parent / KEY) if tls else None)
    server = uvicorn.Server(settings)
    # Bound by us, so that the port is known before the first answer: the site file names it.
    socket = settings.bind_socket()
    bound = int(socket.getsockname()[1])
    first = FirstDay(config, given, bound)
    switch.app = create_first_app(first, pins, own_names("127.0.0.1"))
    log.info("first day", url=f"{'https' if tls else 'http'}://{own_address() if tls else given.host}:{bound}/")
    going = asyncio.ensure_future(_go_on(config, first, switch, pins))
    try:
        await server.serve(sockets=[socket])
    finally:
        going.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await going


async def _go_on(config: Path, first: FirstDay, switch: _Switch, pins: PinDoor) -> None:
    while not await asyncio.to_thread(first.step):  # noqa: ASYNC110  what changes is a folder, and the cloud
        await asyncio.sleep(LOOK_EVERY_S)
    door = await asyncio.to_thread(LocalDoor, config)
    switch.app = create_local_app(door, pins, GatewayInstaller(config))
    log.info("the gateway runs: its own page is served")
    await door.listen()
