"""The wizard behind `tocsin provision` (I/O): from an empty folder to the first readings, resumed where it stopped.

    claim ─► first site file ─► gateway and page run ─► network check ─► scan lines ─► place ─► write, reload ─►
    readings

What is done already is seen from the folder itself (identity.json, site.yaml, lines, devices), so that an
interrupted run goes on where it was. Answers come from a person, or from a file; without either the defaults hold.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from dashboards.install_view import FoundDevice, Placed, PlacedLine, PlacedZone, SaveAsk, ScanAsk
from dashboards.pins import set_pin
from device_model.errors import LawRefusal, LocalFault, PeerRefused, PeerSilent
from device_model.library import read_text
from device_model.yaml_source import convert, parse_yaml
from edge_agent.installer import GatewayInstaller
from provisioning.claim_box import ClaimBox, ShownCode
from provisioning.claim_commands import wait_for_claim
from provisioning.page_certificate import CERTIFICATE, KEY, make_page_certificate, own_address, own_names
from provisioning.site_draft import as_text, content_of, first_site
from provisioning.site_versions import SiteVersions

RUNNING_WITHIN_S, READING_WITHIN_S, LOOK_EVERY_S = 60.0, 60.0, 0.25
STATE, UNITS = Path("/var/lib/tocsin"), Path("/etc/systemd/system")
STEPS = ("claim", "site", "run", "network", "scan", "place", "readings")


class LineAnswer(msgspec.Struct, frozen=True):
    """A line to scan."""

    kind: Literal["tcp", "rtu", "mqtt"]
    target: str
    units: str = "1-32"


class DeviceAnswer(msgspec.Struct, frozen=True):
    """How a device that is found is named and placed; by unit, or by address on a broker."""

    unit: int = 0
    address: str = ""
    id: str = ""
    profile: str = ""
    zone: str = ""
    place_zh: str = ""
    place_en: str = ""
    serial: str = ""


class ZoneAnswer(msgspec.Struct, frozen=True):
    """A zone to make."""

    id: str
    name_zh: str
    name_en: str = ""


class Answers(msgspec.Struct, frozen=True):
    """A file of answers. pin: of `who` for the gateway's page. page_host: the address at which phones open it, "" for
    the gateway alone. wait_s: for the claim."""

    cloud: str = ""
    asset: str = ""
    who: str = ""
    pin: str = ""
    page_port: int = 8443
    page_host: str = ""
    wait_s: float = 3600.0
    zones: tuple[ZoneAnswer, ...] = ()
    lines: tuple[LineAnswer, ...] = ()
    devices: tuple[DeviceAnswer, ...] = ()


class Talk(Protocol):
    """How the wizard talks: a terminal, or a file of answers and JSON lines."""

    def ask(self, question: str, default: str = "") -> str:
        """An answer; the default where nobody can be asked."""
        ...

    def say(self, step: str, text: str, **more: object) -> None:
        """Tell."""
        ...

    def code(self, shown: ShownCode) -> None:
        """Show a claim code."""
        ...


class WizardReport(msgspec.Struct, frozen=True):
    """What a run of the wizard came to. took_s: real seconds, the claim by its owner included."""

    gateway: str
    site_file: str
    devices: tuple[str, ...]
    readings: tuple[str, ...]
    started: tuple[int, ...]
    took_s: float


def read_answers(file: Path) -> Answers:
    """A file of answers. ConfigError with every finding."""
    from device_model.errors import ConfigError, Finding

    findings: list[Finding] = []
    answers = convert(parse_yaml(read_text(file), str(file)), (), Answers, findings)
    if answers is None or findings:
        raise ConfigError(findings)
    return answers


def run_wizard(folder: Path, answers: Answers, talk: Talk, *, start: bool = True) -> WizardReport:
    """Do everything that is not done yet. LocalFault says what is missing, in words and with a remedy."""
    began_s = time.monotonic()
    config, box = folder / "site.yaml", ClaimBox(folder)
    _claim(box, answers, talk)
    if not config.exists():
        _first_site(box, config, answers, talk)
    installer = GatewayInstaller(config)
    installer.hand_in()  # so that the cloud knows the site before it hears of it
    started = _run(config, talk) if start else ()
    for check in installer.network():
        text = f"{check.state}: {check.what.en} · {check.what.zh} {check.remedy.en} {check.remedy.zh}"
        talk.say("network", text.rstrip(), id=check.id, state=check.state)
    placed = _scan_and_place(installer, answers, talk)
    heard = _first_readings(installer, talk) if start else ()
    identity = box.identity()
    return WizardReport(identity.gateway if identity else "", str(config), placed, heard, started,
                        round(time.monotonic() - began_s, 1))


def _claim(box: ClaimBox, answers: Answers, talk: Talk) -> None:
    known = box.identity()
    if known is not None:
        talk.say("claim", f"claimed already: {known.gateway}", gateway=known.gateway)
        return
    cloud = (answers.cloud or talk.ask("Address of the community OS / 云端地址 (https://…)")).rstrip("/")
    if not cloud:
        raise LocalFault("the cloud's address is not given: --cloud, or `cloud:` in the answers")
    known = wait_for_claim(box, cloud, answers.asset, answers.wait_s, talk.code,
                           lambda text: talk.say("claim", text) if text else None)
    if known is None:
        raise LocalFault("nobody has claimed this gateway yet: run `tocsin provision` again, it goes on here")
    talk.say("claim", f"claimed: {known.gateway}", gateway=known.gateway)


def _first_site(box: ClaimBox, config: Path, answers: Answers, talk: Talk) -> None:
    text = first_site_text(box, answers.page_port, lambda: _page_for_phones(config.parent, answers, talk))
    who = answers.who or talk.ask("Your name, for the records / 您的姓名", "installer")
    SiteVersions(config).save(text, who, "first site file")
    pin = answers.pin or talk.ask("A PIN of 6 or more for the gateway's page / 网关页面密码（至少 6 位）")
    if pin:
        set_pin(config.parent / "pins.json", who, pin)
    talk.say("site", f"written: {config}")


def first_site_text(box: ClaimBox, page_port: int, page: Mapping[str, str] | Callable[[], Mapping[str, str]]) -> str:
    """The site file of a gateway that was just claimed: its predecessor's from the cloud where it replaces a broken
    one, so that devices and names come back; else one that knows nothing yet. page: `page:` of a new one. Raises
    LocalFault."""
    identity = box.identity()
    if identity is None:
        raise LocalFault("not claimed")
    text = ""
    if identity.known_site:
        try:
            text = box.fetch_site()
        except (PeerSilent, PeerRefused) as fault:
            raise LocalFault(f"the site file of the gateway before cannot be had now: {fault}; run again") from fault
    if text:
        named = content_of(text).get("gateway", {}).get("page", {})
        # The certificate of the page stayed on the box before, with its key.
        if named.get("certificate_file") == CERTIFICATE and not (box.folder / CERTIFICATE).exists():
            make_page_certificate(box.folder, own_names(own_address() or "127.0.0.1"), datetime.now(UTC))
        return text
    address = identity.address
    return as_text(first_site(
        address.tenancy.path, address.gateway, name_zh=identity.site_name_zh, name_en=identity.site_name_en,
        host=identity.host, port=identity.port, page_port=page_port, page=page() if callable(page) else page))


def _page_for_phones(folder: Path, answers: Answers, talk: Talk) -> dict[str, str]:
    """`page:` of a gateway whose page phones on its network may open; {} where nobody says so."""
    host = answers.page_host
    if not host and (found := own_address()):
        said = talk.ask(f"Open the gateway's page to phones on this network, https://{found}:{answers.page_port}/ ? "
                        "y, or Enter for the gateway alone / 允许本网络的手机打开网关页面？y 允许，回车仅限本机")
        host = found if said.strip().lower() in ("y", "yes", "是") else ""
    if not host:
        return {}
    mark = make_page_certificate(folder, own_names(host), datetime.now(UTC))
    address = f"https://{host}:{answers.page_port}/"
    talk.say("page", f"phones open {address} and ask once about its certificate, which must show this SHA-256 / "
             f"手机打开该地址时会提示一次证书，其 SHA-256 应为 {mark}", address=address, fingerprint=mark)
    # Every address of the box: the one that it has today may be another after the next lease.
    return {"host": "0.0.0.0", "certificate_file": CERTIFICATE, "key_file": KEY}  # noqa: S104  TLS and PIN stand before it


def _run(config: Path, talk: Talk) -> tuple[int, ...]:
    """Start gateway and page where they do not run; under systemd they do."""
    installer = GatewayInstaller(config)
    started: list[int] = []
    if not installer.view().running and installed(config):
        talk.say("run", "the gateway's service starts by itself now")
    elif not installer.view().running:
        started.append(start_child(config))
        started.append(_child([sys.executable, "-m", "tocsin", "gateway", "page", "--config", str(config)],
                              config.parent / "page.log"))
        talk.say("run", "gateway and page started; at each boot: systemctl enable --now tocsin-gateway tocsin-page")
    until_s = time.monotonic() + RUNNING_WITHIN_S
    while not installer.view().running:
        if time.monotonic() > until_s:
            raise LocalFault(f"the gateway does not come up; see {config.parent / 'gateway.log'}")
        time.sleep(LOOK_EVERY_S)
    talk.say("run", "the gateway runs")
    return tuple(started)


def installed(config: Path, units: Path = UNITS) -> bool:
    """Whether this is the site file of the package's own service, which its path unit starts."""
    return config.parent == STATE and (units / "tocsin-gateway.path").exists()


def start_child(config: Path) -> int:
    """Start the gateway of a site file beside this program; its process id."""
    return _child([sys.executable, "-m", "edge_agent", str(config)], config.parent / "gateway.log")


def _child(command: list[str], log: Path) -> int:
    with log.open("ab") as out:
        # Of its own session: it outlives the terminal from which the wizard ran.
        return subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                start_new_session=True).pid


def _scan_and_place(installer: GatewayInstaller, answers: Answers, talk: Talk) -> tuple[str, ...]:
    placed: list[Placed] = []
    lines: dict[str, PlacedLine] = {}
    zones = tuple(PlacedZone(zone.id, zone.name_zh, zone.name_en) for zone in answers.zones)
    for wanted in answers.lines or tuple(_lines_asked(talk)):
        talk.say("scan", f"scanning {wanted.kind} {wanted.target}, units {wanted.units}; it only reads")
        try:
            found = installer.scan(ScanAsk(wanted.kind, wanted.target, wanted.units))
        except (LawRefusal, LocalFault) as refusal:
            talk.say("scan", f"not scanned: {refusal}", target=wanted.target)
            continue
        if not found:
            talk.say("scan", f"nothing answers on {wanted.target}", target=wanted.target)
        for one in found:
            device = _placed(one, installer, answers, talk)
            if device is not None:
                placed.append(device)
                lines[one.line] = PlacedLine(one.line, one.kind, one.target, one.baud, one.parity)  # type: ignore[arg-type]  # found_of copies it
    if not placed and not zones:
        return ()
    answer = installer.save(SaveAsk(tuple(placed), zones, tuple(lines.values()), why="scanned"),
                            answers.who or "installer")
    if answer.findings:
        raise LocalFault("the site file was not changed:\n" + "\n".join(answer.findings))
    talk.say("place", f"{len(placed)} devices written and applied: {answer.reloaded}", diff=answer.diff)
    return tuple(device.id for device in placed)


def _lines_asked(talk: Talk) -> list[LineAnswer]:
    lines: list[LineAnswer] = []
    while True:
        text = talk.ask("A line to scan / 线路 (tcp 192.168.1.20:502 | rtu /dev/ttyUSB0 | mqtt host; empty ends)")
        kind, _, target = text.strip().partition(" ")
        if kind not in ("tcp", "rtu", "mqtt") or not target:
            return lines
        lines.append(LineAnswer(kind, target.strip(), talk.ask("Units / 从站地址", "1-32")))  # type: ignore[arg-type]  # just checked


def _placed(one: FoundDevice, installer: GatewayInstaller, answers: Answers, talk: Talk) -> Placed | None:
    """The device as the answers, or the person, name it; None: known already, or left out."""
    what = f"unit {one.unit}" if one.unit else one.address
    if one.known:
        talk.say("scan", f"{what}: known as {one.known}")
        return None
    given = next((a for a in answers.devices if (a.unit and a.unit == one.unit) or (
        a.address and a.address == one.address)), DeviceAnswer())
    best = one.matches[0] if one.matches else None
    fits = f"{best.profile} {best.score:.0%}" if best else "no profile fits"
    talk.say("scan", f"{what}: {one.says} {fits}", unit=one.unit, address=one.address,
             profiles=[match.profile for match in one.matches])
    profile = given.profile or talk.ask("  profile / 配置 (empty: leave out)", best.profile if best else "")
    if not profile:
        return None
    zones = [zone.id for zone in installer.inventory().site.zones]
    name = given.id or talk.ask("  name / 编号", one.suggested)
    zone = given.zone or talk.ask(f"  zone / 区域 ({', '.join(zones[:10])})", zones[0])
    place = given.place_zh or given.place_en or talk.ask("  place / 位置", "")
    return Placed(name, profile, one.line, zone, one.unit, one.address, given.place_zh or place,
                  given.place_en or place, given.serial or "")


def _first_readings(installer: GatewayInstaller, talk: Talk) -> tuple[str, ...]:
    """Wait for a good value of each device, and say which did not come."""
    until_s, told = time.monotonic() + READING_WITHIN_S, set[str]()
    while True:
        devices = installer.view().devices
        for device in devices:
            if device.quality == "good" and device.id not in told:
                told.add(device.id)
                talk.say("readings", f"{device.id}: {device.value}", device=device.id)
        if len(told) == len(devices) or time.monotonic() > until_s:
            for device in devices:
                if device.id not in told:
                    talk.say("readings", f"{device.id}: no reading yet; tocsin devices test {device.id}")
            return tuple(sorted(told))
        time.sleep(LOOK_EVERY_S)


def answers_with(answers: Answers, given: Mapping[str, Any]) -> Answers:
    """The answers with what the command line says."""
    return msgspec.structs.replace(answers, **{key: value for key, value in given.items() if value})


