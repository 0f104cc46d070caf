"""Zones and masks of one camera changed in the text of a vision file, and nothing else in it. Pure.

The file is a person's: comments, order and everything that is not this camera's zones and masks stay byte for byte.
What comes out was parsed and checked as a whole; a file with findings is never written.
"""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from device_drivers.vision.scenes import Corner, ZoneView
from device_drivers.vision.vision_file import VisionPlan, parse_vision
from device_model.errors import ConfigError, Finding

DIGITS = 4  # of a corner's share: a tenth of a pixel


class Drawing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody drew on a camera's picture."""

    zones: tuple[ZoneView, ...] = ()
    masks: tuple[tuple[Corner, ...], ...] = ()


def drawing_of(plan: VisionPlan, camera: str) -> Drawing | None:
    """What stands in the file; None for a camera that does not."""
    found = next((c for c in plan.cameras if c.id == camera), None)
    return Drawing(found.zones, found.masks) if found is not None else None


def with_drawing(text: str, camera: str, drawing: Drawing, name: str) -> str:
    """The file's text with that camera's zones and masks replaced. Raises ConfigError with every finding."""
    node = _camera_node(text, camera, name)
    edits: list[tuple[int, int, str]] = []
    for key, value in (("zones", _zones(drawing)), ("masks", [_corners(mask) for mask in drawing.masks])):
        written = yaml.safe_dump(value, default_flow_style=True, width=10_000_000, allow_unicode=True).strip()
        edits.append(_edit(text, node, key, written))
    for start, end, piece in sorted(edits, reverse=True):
        text = text[:start] + piece + text[end:]
    plan = parse_vision(text, name)
    if drawing_of(plan, camera) != _rounded(drawing):
        raise ConfigError([Finding(name, 0, 0, f"the zones of {camera} could not be put into the file's text",
                                   "write zones: and masks: as lists of their own, or edit the file by hand")])
    return text


def _rounded(drawing: Drawing) -> Drawing:
    return msgspec.convert({"zones": _zones(drawing), "masks": [_corners(m) for m in drawing.masks]}, Drawing)


def _corners(outline: tuple[Corner, ...]) -> list[list[float]]:
    return [[round(x, DIGITS), round(y, DIGITS)] for x, y in outline]


def _zones(drawing: Drawing) -> list[dict[str, Any]]:
    """Only what is not as it would be anyway."""
    plain = ZoneView("")
    out = []
    for zone in drawing.zones:
        told: dict[str, Any] = {"id": zone.id, "outline": _corners(zone.outline)}
        for key in ("thresholds", "watch", "scenes", "person_height"):
            value = getattr(zone, key)
            if value != getattr(plain, key):
                told[key] = list(value) if isinstance(value, tuple) else value
        out.append(told)
    return out


def _camera_node(text: str, camera: str, name: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([Finding(name, 0, 0, "no YAML", "mend the file by hand")]) from error
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value != "cameras" or not isinstance(value, yaml.SequenceNode):
            continue
        for item in value.value:
            if not isinstance(item, yaml.MappingNode):
                continue
            if any(k.value == "id" and v.value == camera for k, v in item.value):
                return item
    raise ConfigError([Finding(name, 0, 0, f"no camera {camera[:64]!r}", "name a camera of the file")])


def _edit(text: str, node: yaml.MappingNode, key: str, written: str) -> tuple[int, int, str]:
    """Where to put the new value: over the old one, else as a new entry at the end of the camera."""
    for name, value in node.value:
        if name.value == key:
            start = value.start_mark.index
            end = start + len(text[start : value.end_mark.index].rstrip())
            if value.flow_style is False:  # a block began on its own line: the flow form goes behind the key
                start = text.index(":", name.end_mark.index) + 1
                return start, end, f" {written}"
            return start, end, written
    last = node.value[-1][1]
    end = last.start_mark.index + len(text[last.start_mark.index : last.end_mark.index].rstrip())
    if node.flow_style:
        return end, end, f", {key}: {written}"
    line_end = text.find("\n", end)
    end = len(text) if line_end < 0 else line_end  # behind a comment of the last line
    return end, end, f"\n{' ' * node.start_mark.column}{key}: {written}"
