"""A site file as an installer changes it: plain content in, plain content out. Pure; nothing is checked here but
form.

    first_site ─► with_line ─► with_device … ─► as_text ─► checked whole by whoever keeps it (site_versions.py)
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from device_model.yaml_source import parse_yaml

Content = dict[str, Any]
_NOT_TOKEN = re.compile(r"[^a-z0-9-]+")


class NewDevice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device as a person names and places it. Coordinates are pixels of its floor's plan."""

    id: str
    profile: str
    line: str
    zone: str
    unit: int = 0
    address: str = ""
    place_zh: str = ""
    place_en: str = ""
    serial: str = ""
    plan_x: float | None = None
    plan_y: float | None = None
    tags: tuple[str, ...] = ()


def first_site(
    path: str, gateway: str, *, name_zh: str, name_en: str, keys: str = "", host: str = "", port: int = 0,
    pin_file: str = "pins.json", page_port: int = 8443, page: Mapping[str, str] | None = None,
) -> Content:
    """The file of a gateway that knows nothing yet: one building, one floor, one zone, itself as a device.

    keys: folder of its keys; with host and port it is connected to its cloud. page: where phones open its page, with
    certificate and key; else it is on the gateway alone."""
    own: Content = {"id": gateway, "journal_path": "var/journal.sqlite",
                    "page": {"port": page_port, "pin_file": pin_file, **(page or {})}}
    if host:
        own["cloud"] = {"host": host, "port": port, "ca_file": f"{keys}ca.pem", "key_file": f"{keys}key.pem",
                        "certificate_file": f"{keys}certificate.pem"}
        own["remote_numbers"] = {"roll_back_after_s": 300}  # approved numbers of rules need no visit (ADR 9)
    return {
        "site": {"path": path, "name": {"en": name_en or name_zh or path, "zh": name_zh or name_en or path}},
        "gateway": own,
        "lines": [{"id": "self", "kind": "gateway"}],
        "buildings": [{"id": "b1", "name": {"en": "Building 1", "zh": "1 号楼"}, "floors": [
            {"id": "f1", "name": {"en": "floor 1", "zh": "一层"}, "zones": [
                {"id": "b1-f1", "name": {"en": "floor 1", "zh": "一层"}, "kind": "room"}]}]}],
        "devices": [{"id": gateway, "profile": "tocsin-gateway", "line": "self", "zone": "b1-f1",
                     "place": {"en": "gateway", "zh": "网关"}}],
    }


def content_of(text: str, file: str = "site.yaml") -> Content:
    """A site file as plain content. ConfigError where it is no YAML mapping."""
    content = parse_yaml(text, file).content
    return content if isinstance(content, dict) else {}


def as_text(content: Content) -> str:
    """The file."""
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=116)


def with_line(content: Content, line: Content) -> Content:
    """The line put, or put in the place of the one of its id."""
    return _put(content, "lines", line)


def with_zone(content: Content, zone: str, name_zh: str, name_en: str, *, building: str = "b1", floor: str = "f1",
              kind: str = "room") -> Content:
    """A zone on a floor; building and floor are made where they are not there."""
    changed = copy.deepcopy(content)
    buildings = changed.setdefault("buildings", [])
    house = _named(buildings, building, lambda: {"id": building, "name": building, "floors": []})
    storey = _named(house.setdefault("floors", []), floor, lambda: {"id": floor, "name": floor, "zones": []})
    zones = storey.setdefault("zones", [])
    found = _named(zones, zone, lambda: {"id": zone})
    found.update({"name": {"en": name_en or name_zh, "zh": name_zh or name_en}, "kind": kind})
    return changed


def with_device(content: Content, device: NewDevice) -> Content:
    """The device put, or put in the place of the one of its id; what else stood there (outputs' names) stays."""
    entry: Content = {"id": device.id, "profile": device.profile, "line": device.line, "zone": device.zone}
    if device.unit:
        entry["unit"] = device.unit
    for key in ("address", "serial", "plan_x", "plan_y"):
        if getattr(device, key) not in ("", None):
            entry[key] = getattr(device, key)
    if device.place_zh or device.place_en:
        entry["place"] = {"en": device.place_en or device.place_zh, "zh": device.place_zh or device.place_en}
    if device.tags:
        entry["tags"] = list(device.tags)
    return _put(content, "devices", entry)


def without_device(content: Content, device: str) -> Content:
    """The device taken out."""
    changed = copy.deepcopy(content)
    changed["devices"] = [one for one in changed.get("devices", []) if one.get("id") != device]
    return changed


def replaced(content: Content, device: str, *, unit: int = 0, address: str = "", serial: str = "") -> Content:
    """A broken device replaced by another of the same profile: its id and so its points, plots and incidents stay.
    LookupError where there is none of that id."""
    changed = copy.deepcopy(content)
    for one in changed.get("devices", []):
        if one.get("id") == device:
            one.update({key: value for key, value in (("unit", unit), ("address", address), ("serial", serial))
                        if value})
            return changed
    raise LookupError(device)


def difference(before: str, after: str) -> str:
    """What changed, as a unified diff; "" where nothing did."""
    return "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "before", "after", n=2))


def token(text: str, taken: Sequence[str] = ()) -> str:
    """An id from a name: [a-z0-9-], at most 40 characters, not one that is taken."""
    made = _NOT_TOKEN.sub("-", text.lower()).strip("-")[:34] or "device"
    number, candidate = 2, made
    while candidate in taken:
        candidate, number = f"{made}-{number}", number + 1
    return candidate


def _put(content: Content, kind: str, entry: Content) -> Content:
    changed = copy.deepcopy(content)
    entries = changed.setdefault(kind, [])
    for n, one in enumerate(entries):
        if one.get("id") == entry["id"]:
            entries[n] = entry
            return changed
    entries.append(entry)
    return changed


def _named(entries: list[Content], name: str, make: Any) -> Content:
    for one in entries:
        if one.get("id") == name:
            return one
    entries.append(make())
    return entries[-1]
