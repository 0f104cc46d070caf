"""MQTT commands of devices without a template: the value on the point's topic with `/set`. Pure."""

from __future__ import annotations

from device_drivers.driver import LineDevice
from device_drivers.payload_map import topic_of
from device_drivers.templates import Publish
from device_model.errors import LocalFault
from device_model.profile import ProfilePoint
from device_model.quantities import QUANTITIES

_COMMAND_SUFFIX = "set"  # what most devices take; the templates say what theirs do


def plain_command(entry: LineDevice, spec: ProfilePoint, value: bool | float) -> Publish:
    """The message that sets a point. LocalFault where the point stands in no payload, or in bytes."""
    source = spec.payload
    if source is None or source.binary or source.pattern:
        raise LocalFault(f"{entry.device.id}.{spec.id} has no form that a command could take")
    if QUANTITIES[spec.quantity].boolean:
        words = source.true_values if value else source.false_values
        text = words[0] if words else ("true" if value else "false")
    else:
        unit = QUANTITIES[spec.quantity].unit(spec.unit)
        own = (float(value) - unit.offset) / unit.factor if unit is not None else float(value)
        text = f"{(own - source.offset) / source.scale:g}"
    if source.path and source.path.isidentifier():
        quoted = text if not QUANTITIES[spec.quantity].boolean or text in ("true", "false") else f'"{text}"'
        text = f'{{"{source.path}":{quoted}}}'
    return Publish(f"{topic_of(entry, source.topic)}/{_COMMAND_SUFFIX}", text.encode())
