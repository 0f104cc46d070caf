"""The installer's work at the gateway (I/O): network, scan, placing, site file, tests, report; for phone and
terminal.

    page, wizard ─► Installer ─┬─ scan through the running gateway (line_reads.py), or alone where none has the line
                               ├─ site_draft ─► SiteVersions.save (checked whole) ─► reload ─► handed to the cloud
                               ├─ WalkTest ─► WalkBook
                               └─ acceptance report

Works without internet: what the cloud would hear is handed in at the next change, and the tests need nobody but the
gateway. Not asynchronous: callers put it into a thread.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from dashboards.install_view import (
    Accepted,
    FoundDevice,
    InstallDevice,
    InstallLine,
    InstallOutput,
    InstallVersion,
    InstallView,
    InstallZone,
    NetworkCheck,
    SaveAnswer,
    SaveAsk,
    ScanAsk,
    ShownClaim,
    WalkStep,
)
from device_drivers.commands import scan_devices
from device_model.errors import ConfigError, LocalFault, PeerRefused, PeerSilent
from device_model.inventory import Inventory
from device_model.library import profiles_for
from device_model.profile import FIRE_CLASSES, DeviceClass
from device_model.site import Line, LineKind, Plan, Text
from edge_agent.commands import reads_through_gateway, reload_gateway
from edge_agent.compose import read_configuration
from edge_agent.gateway_state import GatewayState
from edge_agent.install_words import device_kind, found_of, less_guard, network_checks, save_content
from edge_agent.local_control import Request, ask, socket_paths
from edge_agent.outputs import AUDIBLE
from edge_agent.walk_test import WalkTest
from provisioning.acceptance import AcceptanceParts, acceptance_pdf, content_hash, not_shown
from provisioning.claim_box import ClaimBox
from provisioning.device_exchange import import_devices
from provisioning.device_table import as_csv, rows_of
from provisioning.qr_label import qr_svg
from provisioning.site_draft import as_text, content_of, difference, replaced
from provisioning.site_versions import SiteVersions
from provisioning.walk_book import WalkBook

ASK_WITHIN_S = 4.0
DRAWINGS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
SCAN_KINDS = {LineKind.MODBUS_TCP: "tcp", LineKind.MODBUS_RTU: "rtu", LineKind.MQTT: "mqtt"}
log = structlog.get_logger("installer")


class GatewayInstaller:
    """`dashboards.install_view.Installer` for the site file of this machine."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self.box, self.book = ClaimBox(config.parent), WalkBook(config.parent)
        self._versions = SiteVersions(config, read_configuration)
        self._changing = threading.Lock()
        self._read: tuple[int, Inventory] | None = None
        self._walk: WalkTest | None = None

    # -- looking -------------------------------------------------------------------------------------------------

    def inventory(self) -> Inventory:
        """The site file of now; read again when it changed. ConfigError, LocalFault."""
        try:
            stamp = self._config.stat().st_mtime_ns
        except OSError as error:
            raise LocalFault(f"{self._config}: there is no site file yet: tocsin provision") from error
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, read_configuration(self._config)[0])
        return self._read[1]

    def _paths(self) -> tuple[Path, ...]:
        return tuple(socket_paths(self.inventory().site.gateway.journal_path))

    def _state(self) -> GatewayState | None:
        try:
            return ask(self._paths(), Request("state"), ASK_WITHIN_S).state
        except LocalFault:
            return None

    def network(self) -> tuple[NetworkCheck, ...]:
        """Interfaces, the cloud's address, the clock, the disk."""
        cloud = self.inventory().site.gateway.cloud
        reached, why = None, ""
        if cloud is not None:
            try:
                socket.create_connection((cloud.host, cloud.port), 3.0).close()
                reached = True
            except OSError as error:
                reached, why = False, error.strerror or str(error)
        return network_checks(Path("/sys/class/net"), self._config.parent, reached, why, time.time())

    def view(self) -> InstallView:
        """The present."""
        inventory, state, newest = self.inventory(), self._state(), self.book.newest()
        site = inventory.site
        live = {one.point: one for one in state.live} if state is not None else {}
        link = "none" if site.gateway.cloud is None else "down"
        if state is not None and link == "down":
            report = ask(self._paths(), Request("report"), ASK_WITHIN_S).report
            link = "up" if report is not None and any(one.up for one in report.links) else "down"
        tested = {step.device: step.result for step in newest.values()}
        plans = {(b.id, f.id): f.plan for b in site.buildings for f in b.floors}
        return InstallView(
            site.name, site.tenancy.path, state is not None, time.time_ns() // 1000, self._claim(),
            tuple(InstallLine(one.id, SCAN_KINDS[one.kind], _target(one)) for one in site.lines
                  if one.kind in SCAN_KINDS),
            tuple(_zone(z.id, z.name, f"{z.building}/{z.floor}", plans.get((z.building, z.floor)))
                  for z in site.zones),
            tuple(self._device(inventory, d.id, live, tested.get(d.id, "")) for d in site.devices),
            tuple(InstallOutput(one.output, next(o.purpose.value for o in site.outputs if o.id == one.output), one.on,
                                one.proof, next(o.purpose not in AUDIBLE for o in site.outputs if o.id == one.output),
                                tested.get(one.output, ""))
                  for one in (state.outputs if state is not None else ()) if any(
                      o.id == one.output for o in site.outputs)),
            tuple(InstallVersion(v.number, v.at_us, v.who, v.why) for v in self._versions.history()[-30:]),
            tuple(newest.values()), tuple(sorted(profiles_for(self._config))), link,
            next(iter(reversed(self.book.accepted())), None))

    def _claim(self) -> ShownClaim:
        identity = self.box.identity()
        if identity is not None:
            return ShownClaim(identity.gateway, identity.cloud)
        shown = self.box.shown()
        if shown is None:
            return ShownClaim()
        return ShownClaim("", shown.cloud, shown.code, shown.left_s(), qr_svg(shown.address).decode())

    @staticmethod
    def _device(inventory: Inventory, name: str, live: Mapping[str, object], walk: str) -> InstallDevice:
        device = inventory.devices[name]
        profile = inventory.profiles[device.profile]
        return device_kind(device, profile, inventory.of_device(name), live, walk,
                           real=profile.device_class is DeviceClass.CALL_POINT,
                           testable=profile.device_class in FIRE_CLASSES or any(
                               point.spec.quantity in ("leak", "contact") for point in inventory.of_device(name)))

    # -- scan and save -------------------------------------------------------------------------------------------

    def scan(self, asked: ScanAsk) -> tuple[FoundDevice, ...]:
        """Look for devices: through the running gateway on a line that it has, else alone. LawRefusal, LocalFault."""
        report = scan_devices(asked.kind, asked.target.strip(), config=self._config, units=asked.units,
                              through=reads_through_gateway, listen_s=5.0)
        return found_of(report, asked, self.inventory())

    def save(self, asked: SaveAsk, who: str, *, may_remove: bool = True) -> SaveAnswer:
        """Change, check, write, reload, hand in."""
        with self._changing:
            before = content_of(self._versions.text(), str(self._config))
            try:
                after = save_content(before, asked)
            except (KeyError, LookupError, ValueError) as error:
                return SaveAnswer(False, "", (str(error),))
            if not may_remove and (lost := less_guard(before, after)):
                return SaveAnswer(False, "", lost)
            why = asked.why or "placed by the installer"
            return self._write(as_text(before), as_text(after), who, why, asked.dry)

    def _write(self, before: str, after: str, who: str, why: str, dry: bool) -> SaveAnswer:
        diff = difference(before, after)
        try:
            self._versions.check(after)
        except ConfigError as error:
            return SaveAnswer(False, diff, tuple(f"{f.what}; {f.remedy}" for f in error.findings))
        if dry or not diff:
            return SaveAnswer(False, diff)
        version = self._versions.save(after, who, why)
        try:
            told = reload_gateway(self._config)
        except (ConfigError, LocalFault) as refusal:
            told = str(refusal)
            if self._state() is not None:  # it runs and refuses: the file must say what runs
                self._versions.undo(who)
                return SaveAnswer(False, diff, (told,))
        self.hand_in()
        log.info("site file changed", version=version.number, who=who, why=why)
        return SaveAnswer(True, diff, (), told)

    def hand_in(self) -> bool:
        """Give the cloud the site file; without internet it is given at the next change."""
        if self.box.identity() is None:
            return False
        try:
            self.box.hand_in(self._versions.text())
        except (PeerSilent, PeerRefused, LocalFault) as fault:
            log.warning("the cloud did not take the site file", reason=str(fault))
            return False
        return True

    def undo(self, who: str) -> SaveAnswer:
        """One version back."""
        with self._changing:
            kept = self._versions.history()
            if len(kept) < 2:
                return SaveAnswer(False, "", ("there is no version before this one",))
            text = (self._config.parent / "versions" / f"{kept[-2].number:05}.yaml").read_text(encoding="utf-8")
            return self._write(self._versions.text(), text, who, f"undo of {kept[-1].number}", False)

    def replace(self, device: str, who: str, *, serial: str = "", unit: int = 0, address: str = "") -> SaveAnswer:
        """Another device of the same model in the place of a broken one; its id and history stay."""
        with self._changing:
            before = content_of(self._versions.text())
            try:
                after = replaced(before, device, unit=unit, address=address, serial=serial)
            except LookupError:
                return SaveAnswer(False, "", (f"there is no device {device}",))
            return self._write(as_text(before), as_text(after), who, f"{device} replaced {serial}".strip(), False)

    def difference(self, version: int) -> str:
        """What a version changed."""
        return self._versions.changed(version)

    # -- tests ---------------------------------------------------------------------------------------------------

    def _tests(self) -> WalkTest:
        if self._walk is None:
            self._walk = WalkTest(self.book, self._paths())
        return self._walk

    def walk(self, device: str, step: str, who: str, seconds: float, role: str = "") -> WalkStep:
        """As `WalkTest.walk`."""
        return self._tests().walk(self.inventory(), device, step, who, seconds, role)

    def interlock(self, output: str, step: str, who: str, role: str = "") -> WalkStep:
        """As `WalkTest.interlock`."""
        return self._tests().interlock(self.inventory(), output, step, who, role)

    def keep_photo(self, device: str, jpeg: bytes, who: str) -> str:
        """As `WalkBook.keep_photo`."""
        log.info("photo kept", device=device, who=who)
        return self.book.keep_photo(device, jpeg)

    def photo(self, name: str) -> bytes:
        """As `WalkBook.photo`."""
        return self.book.photo(name)

    def plan(self, floor: str) -> tuple[bytes, str]:
        """The drawing of "building/floor"."""
        for building in self.inventory().site.buildings:
            for storey in building.floors:
                if f"{building.id}/{storey.id}" == floor and storey.plan is not None:
                    file = self._config.parent / storey.plan.file
                    kind = DRAWINGS.get(file.suffix.lower())
                    if kind is not None and file.is_file():
                        return file.read_bytes(), kind
        raise LocalFault("there is no drawing of this floor")

    # -- papers --------------------------------------------------------------------------------------------------

    def report(self, language: str) -> bytes:
        """The acceptance report."""
        return acceptance_pdf(self._parts(), language)

    def _parts(self) -> AcceptanceParts:
        state, versions = self._state(), self._versions.history()
        return AcceptanceParts(
            self.inventory(), self.book.steps(), state.impairments if state is not None else (), self._config.parent,
            time.time_ns() // 1000, versions[-1].number if versions else 0, self.box.identity() is not None,
            self.book.photo, self.book.accepted())

    def accept(self, who: str, note: str) -> Accepted:
        """The property takes the work over. LocalFault: something is not shown to work, and nothing is said of it."""
        parts = self._parts()
        left = not_shown(parts)
        if left and not note:
            names = ", ".join(left[:20])
            raise LocalFault(f"not shown to work: {names}; say in the note why it is accepted so / "
                             f"尚未证明有效：{names}；请在备注中说明验收理由")
        return self.book.accept(Accepted(who, parts.at_us, content_hash(parts), note))

    def table(self) -> str:
        """The devices as CSV."""
        return as_csv(rows_of(self.inventory().site))

    def take_table(self, text: str, who: str, dry: bool, *, may_remove: bool = True
                   ) -> tuple[SaveAnswer, tuple[str, ...]]:
        """Import devices from CSV."""
        with self._changing:
            beside = self._config.with_name(".import.csv")
            try:
                beside.write_text(text, encoding="utf-8")
                report = import_devices(self._config, beside, who, dry_run=True)
            finally:
                beside.unlink(missing_ok=True)
            if report.errors or dry:
                return SaveAnswer(False, report.diff), tuple(map(str, report.errors))
            from provisioning.device_table import Known, csv_rows, read_rows
            from provisioning.site_draft import with_device

            site = self.inventory().site
            heading, rows = csv_rows(text)
            devices, _ = read_rows(heading, rows, Known(
                frozenset(profiles_for(self._config)), frozenset(one.id for one in site.lines),
                frozenset(one.id for one in site.zones)))
            before = content_of(self._versions.text())
            after = before
            for device in devices:
                after = with_device(after, device)
            if not may_remove and (lost := less_guard(before, after)):
                return SaveAnswer(False, ""), lost
            return self._write(as_text(before), as_text(after), who, f"{len(devices)} devices imported", False), ()


def _target(line: Line) -> str:
    return line.port_path or f"{line.host}:{line.port}"


def _zone(name: str, text: Text, floor: str, plan: Plan | None) -> InstallZone:
    if plan is None:
        return InstallZone(name, text, floor)
    return InstallZone(name, text, floor, f"/api/install/plan?floor={floor}", plan.width, plan.height)


