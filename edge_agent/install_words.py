"""What the installer's page says (pure but for looking at this machine's network and disk)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dashboards.install_view import (
    FoundDevice,
    FoundMatch,
    InstallDevice,
    NetworkCheck,
    PlacedLine,
    SaveAsk,
    ScanAsk,
)
from device_drivers.commands import ScanReport
from device_model.inventory import Inventory, Point
from device_model.profile import DeviceProfile
from device_model.site import Device, Text
from provisioning.site_draft import Content, NewDevice, token, with_device, with_line, with_zone, without_device

YEAR_2025_S = 1_735_689_600
# Units of UCUM as people write them; any other stands as it is.
UNITS = {"Cel": "°C", "[degF]": "°F", "%[LEL]": "%LEL", "[ppm]": "ppm", "[ppb]": "ppb", "1": ""}
DISK_LEAST = 512 * 2**20


def network_checks(interfaces: Path, folder: Path, reached: bool | None, why: str, now_s: float
                   ) -> tuple[NetworkCheck, ...]:
    """The checks as the page shows them. reached: the broker's port, None without a cloud."""
    up = []
    for name in sorted(one.name for one in interfaces.iterdir()) if interfaces.exists() else ():
        try:
            state = (interfaces / name / "operstate").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if name != "lo" and state in ("up", "unknown"):
            up.append(name)
    checks = [NetworkCheck("interface", "ok" if up else "bad", Text(
        f"network: {', '.join(up) or 'no interface is up'}", f"网络接口：{'、'.join(up) or '均未连接'}"),
        Text("", "") if up else Text("plug in the cable or set up the modem", "请插好网线或配置移动网络"))]
    if reached is None:
        checks.append(NetworkCheck("cloud", "doubt", Text("no cloud in the site file: alarms stay on site",
                                                          "站点文件未配置云端：报警仅在现场提示"),
                                   Text("claim the gateway", "请先认领网关")))
    else:
        checks.append(NetworkCheck("cloud", "ok" if reached else "doubt", Text(
            "the cloud's broker answers" if reached else f"the cloud's broker does not answer: {why}",
            "云端可达" if reached else f"云端暂不可达：{why}"), Text("", "") if reached else Text(
            "go on: everything here works without it; alarms are kept and sent later",
            "可继续安装：本页功能无需联网，报警会保存并补传")))
    good = now_s > YEAR_2025_S
    checks.append(NetworkCheck("clock", "ok" if good else "doubt", Text(
        "the clock has a date" if good else "the clock was never set", "时钟正常" if good else "时钟尚未校准"),
        Text("", "") if good else Text("the cloud's time is used when it is reached", "连上云端后自动校准")))
    free = shutil.disk_usage(folder).free
    checks.append(NetworkCheck("disk", "ok" if free > DISK_LEAST else "bad", Text(
        f"{free / 2**30:.1f} GiB free", f"剩余空间 {free / 2**30:.1f} GiB"),
        Text("", "") if free > DISK_LEAST else Text("free at least 0.5 GiB", "请至少腾出 0.5 GiB")))
    return tuple(checks)


def device_kind(
    device: Device, profile: DeviceProfile, points: Iterable[Point], live: Mapping[str, Any], walk: str, *,
    real: bool, testable: bool,
) -> InstallDevice:
    """One device with its newest value: the first of its points that is heard, in the profile's order."""
    value, quality, heard_us, shown = "", "never", 0, Text("", "")
    for point in points:
        one = live.get(point.name)
        if one is None or one.at is None:
            continue
        if one.quality == "good" or not value:
            unit = UNITS.get(point.unit, point.unit)
            said = value_words(one.value, f" {unit}" if unit else "")
            shown = Text(f"{point.spec.en}: {said.en}", f"{point.spec.zh}：{said.zh}")
            value, quality, heard_us = f"{shown.zh} / {shown.en}", one.quality, one.at.wall_us
        if one.quality == "good":
            break
    return InstallDevice(device.id, device.profile, profile.device_class.value, device.line, device.zone,
                         device.place, device.serial, device.plan_x, device.plan_y, value, quality,
                         heard_us, walk, real, testable, shown)


def value_words(value: object, unit: str = "") -> Text:
    """A value as people say it. unit: with its space."""
    if value is None:
        return Text("—", "—")
    if isinstance(value, bool):
        return Text("yes", "是") if value else Text("no", "否")
    text = f"{round(value, 3) if isinstance(value, float) else value}{unit}"
    return Text(text, text)


def found_of(report: ScanReport, asked: ScanAsk, inventory: Inventory) -> tuple[FoundDevice, ...]:
    """What a scan found, with the id under which each is known or would be added."""
    site = inventory.site
    line = next((one.id for one in site.lines if asked.target.strip() in (
        one.port_path, f"{one.host}:{one.port}", one.host)), "")
    taken = [device.id for device in site.devices]
    line_id = line or token(f"{asked.kind}-{len(site.lines)}", [one.id for one in site.lines])
    found: list[FoundDevice] = []
    for setting in report.lines:
        for unit in setting.units:
            matches = tuple(FoundMatch(m.profile, m.score, m.why) for m in unit.matches)
            known = next((d.id for d in site.devices if d.line == line and d.unit == unit.unit), "")
            name = token(f"{matches[0].profile if matches else 'unit'}-{unit.unit}", taken)
            taken.append(name)
            says = " ".join(p for p in (unit.identity.maker, unit.identity.product, unit.identity.revision) if p)
            found.append(FoundDevice(line_id, asked.kind, asked.target.strip(), unit.unit, "", says, matches, known,
                                     name, setting.baud, setting.parity))
    for topic in report.topics:
        matches = tuple(FoundMatch(m.profile, m.score, m.why) for m in topic.matches)
        known = next((d.id for d in site.devices if d.line == line and d.address == topic.address), "")
        name = token(topic.address, taken)
        taken.append(name)
        found.append(FoundDevice(line_id, asked.kind, asked.target.strip(), 0, topic.address, topic.topic, matches,
                                 known, name))
    return tuple(found)


def save_content(content: Content, asked: SaveAsk) -> Content:
    """The site file's content with one change of the installer."""
    for zone in asked.zones:
        content = with_zone(content, zone.id, zone.name_zh, zone.name_en, building=zone.building, floor=zone.floor,
                            kind=zone.kind)
    for line in asked.lines:
        if not any(one.get("id") == line.id for one in content.get("lines", [])):
            content = with_line(content, line_entry(line))
    for name in asked.remove:
        content = without_device(content, name)
    for one in asked.devices:
        content = with_device(content, NewDevice(
            one.id, one.profile, one.line, one.zone, one.unit, one.address, one.place_zh, one.place_en, one.serial,
            one.plan_x, one.plan_y))
    return content


def less_guard(before: Content, after: Content) -> tuple[str, ...]:
    """What a change takes from the site's guard: devices that go, or that are read by another profile. A contractor
    may not do that; it would disable alarms without anybody's name."""
    now = {one.get("id"): one for one in after.get("devices", [])}
    lost = []
    for one in before.get("devices", []):
        name, kept = one.get("id"), now.get(one.get("id"))
        if kept is None:
            lost.append(f"{name} would be taken out: only the property may do that / 仅物业可移除设备 {name}")
        elif kept.get("profile") != one.get("profile"):
            lost.append(f"{name} would be read by another profile: only the property may do that / "
                        f"仅物业可更改 {name} 的配置")
    return tuple(lost)


def line_entry(line: PlacedLine) -> Content:
    """A line as the site file writes it. ValueError where the target is none."""
    if line.kind == "rtu":
        entry: Content = {"id": line.id, "kind": "modbus_rtu", "port_path": line.target}
        if line.baud:
            entry |= {"baud": line.baud, "parity": line.parity or "none"}
        return entry
    host, _, port = line.target.rpartition(":") if ":" in line.target else (line.target, "", "")
    if not host or (port and not port.isdigit()):
        raise ValueError(f"{line.target!r} is no host:port")
    kind = "modbus_tcp" if line.kind == "tcp" else "mqtt"
    return {"id": line.id, "kind": kind, "host": host, **({"port": int(port)} if port else {})}
