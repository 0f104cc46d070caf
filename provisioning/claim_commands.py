"""Plain functions behind `tocsin provision code|label|batch|renew` (I/O)."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from device_model.errors import ConfigError, Finding, LocalFault, PeerRefused, PeerSilent
from device_model.library import read_site
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from provisioning.authority import Authority
from provisioning.claim_box import ClaimBox, Identity, ShownCode
from provisioning.claim_desk import ClaimDesk, ClaimPlace
from provisioning.qr_label import Label, label_svg, labels_pdf

POLL_EVERY_S = 1.0
BATCH_MAX = 5000


def gateway_label(shown: ShownCode) -> Label:
    """The label of a gateway that waits to be claimed."""
    asset = f"asset · 资产号 {shown.asset}" if shown.asset else ""
    lines = ("Tocsin gateway · 网关", "scan to claim · 扫码认领", asset)
    return Label(shown.address, shown.code, tuple(line for line in lines if line))


def device_labels(site_file: Path) -> list[Label]:
    """One label for each device of a site: its asset code is scanned where it is placed, tested or replaced."""
    site = read_site(site_file)
    zones = {zone.id: zone.name for zone in site.zones}
    return [Label(asset_code(site.tenancy.path, device.id), device.id,
                  (f"{device.place.zh} {device.place.en}".strip(), zones[device.zone].zh, site.name.zh,
                   device.serial))
            for device in site.devices]


def asset_code(path: str, device: str) -> str:
    """What a device's QR code says."""
    return f"tocsin:{path}/{device}"


def write_labels(labels: list[Label], pdf: Path | None, svg: Path | None) -> list[Path]:
    """Write them; an SVG file holds one label, so several become NAME-1.svg, NAME-2.svg … LocalFault."""
    written = []
    try:
        if pdf is not None:
            pdf.write_bytes(labels_pdf(labels))
            written.append(pdf)
        for n, label in enumerate(labels if svg is not None else (), 1):
            assert svg is not None
            file = svg if len(labels) == 1 else svg.with_name(f"{svg.stem}-{n}{svg.suffix}")
            file.write_text(label_svg(label), encoding="utf-8")
            written.append(file)
    except OSError as error:
        raise LocalFault(f"labels cannot be written: {error}") from error
    return written


def wait_for_claim(
    box: ClaimBox, cloud: str, asset: str, within_s: float, shown: Callable[[ShownCode], None],
    say: Callable[[str], None],
) -> Identity | None:
    """Show a code, wait until it is claimed, make a new one when it is over; None: not within that time. Raises
    LocalFault. What the network or the cloud says is told and tried again: in a basement it comes and goes."""
    until_s, last = time.monotonic() + within_s, ""
    while True:
        code = box.code(cloud, asset)
        try:
            identity = box.collect(code)
            if identity is not None:
                return identity
            say("")
        except PeerRefused as refused:
            say(str(refused))
            code = box.new_code(cloud, asset)
        except PeerSilent as silent:
            say(str(silent))
        if code.code != last:  # after the cloud has heard of it, so that whoever is quick is not refused
            shown(code)
            last = code.code
        if time.monotonic() >= until_s:
            return None
        time.sleep(min(POLL_EVERY_S, max(0.0, until_s - time.monotonic())))


class BatchLine(msgspec.Struct, frozen=True):
    """One line of a batch: the gateway and what became of it, "" when it was claimed."""

    line: int
    gateway: str
    refused: str = ""


class BatchReport(msgspec.Struct, frozen=True):
    """A whole batch."""

    claimed: int
    lines: tuple[BatchLine, ...]

    def text(self) -> str:
        """For people."""
        refused = [f"line {one.line}: {one.gateway}: {one.refused}" for one in self.lines if one.refused]
        return "\n".join([*refused, f"{self.claimed} claimed, {len(refused)} refused"])


def claim_batch(
    file: Path, authority_folder: Path, state: Path, broker: Callable[[], tuple[str, int]], who: str,
    *, replace: bool = False,
) -> BatchReport:
    """Claim every gateway of a CSV with the columns code, path, gateway (and name_zh, name_en), at the cloud's
    machine.

    ConfigError names each line that cannot be right, before anything is claimed."""
    places = list(_batch_lines(file, replace))
    desk = ClaimDesk(Authority.open(authority_folder), state, broker)
    done = []
    for line, code, place in places:
        try:
            desk.claim(code, place, who)
            done.append(BatchLine(line, place.address.common_name))
        except PeerRefused as refused:
            done.append(BatchLine(line, place.address.common_name, str(refused)))
    return BatchReport(sum(not one.refused for one in done), tuple(done))


def _batch_lines(file: Path, replace: bool) -> Iterator[tuple[int, str, ClaimPlace]]:
    from provisioning.claim_code import read_code
    from provisioning.identity import check_address

    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"{file} cannot be read: {error}") from error
    findings, seen, good = [], set(), []
    if not rows or not {"code", "path", "gateway"} <= set(rows[0]):
        raise ConfigError([Finding(str(file), 1, 1, "no gateways, or a column is missing",
                                   "the first line is code,path,gateway,name_zh,name_en")])
    for number, row in enumerate(rows[:BATCH_MAX], 2):
        try:
            code = read_code(row["code"] or "")
            address = GatewayAddress(Tenancy.of((row["path"] or "").strip()), (row["gateway"] or "").strip())
            check_address(address)
            if code in seen or address.common_name in seen:
                raise ValueError("the code or the gateway stands twice")
            seen |= {code, address.common_name}
            zh, en = (row.get("name_zh") or "").strip(), (row.get("name_en") or "").strip()
            good.append((number, code, ClaimPlace(address, en or zh, zh or en, replace)))
        except (ValueError, PeerRefused) as error:
            findings.append(Finding(str(file), number, 1, str(error), "correct this line; nothing was claimed"))
    if findings:
        raise ConfigError(findings)
    yield from good
