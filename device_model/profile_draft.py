"""Profile draft (pure): a profile while somebody writes it: checked after every answer, then written with comments.

    answers ──► ProfileDraft ──► objections (of parse_profile, with what is not answered yet filled in)
                     ├──► draft_text        the YAML file
                     └──► transcript_text   the skeleton of its golden transcript: requests known, replies not
"""

from __future__ import annotations

import msgspec

from device_model.errors import ConfigError
from device_model.profile import READ_FUNCTION, REGISTER_COUNT, DeviceProfile, RegisterType
from device_model.profile_file import parse_profile

PROTOCOLS = ("modbus", "mqtt")
HEAD = ("id", "maker", "model", "en", "zh", "device_class", "certainty", "source")
_PLACEHOLDERS = {
    "id": "draft", "maker": "maker", "model": "model", "en": "device", "zh": "设备", "device_class": "climate",
    "certainty": "C", "source": "to be named",
}


class ProfileDraft(msgspec.Struct):
    """What is answered so far; "" is not answered. points: name → what stands behind it in the file, one mapping."""

    protocol: str = "modbus"
    id: str = ""
    maker: str = ""
    model: str = ""
    en: str = ""
    zh: str = ""
    device_class: str = ""
    certainty: str = ""
    source: str = ""
    table: str = "holding"
    base_topic: str = ""
    points: dict[str, str] = {}


def objections(draft: ProfileDraft) -> tuple[str, ...]:
    """What is wrong with the answers so far; what is not answered yet is not held against it."""
    whole = msgspec.structs.replace(draft, points=dict(draft.points))
    for name in HEAD:
        if not getattr(whole, name):
            setattr(whole, name, _PLACEHOLDERS[name])
    if not whole.points:
        where = "address: 0" if whole.protocol == "modbus" else "path: x"
        boolean = whole.table in ("coil", "discrete_input") and whole.protocol == "modbus"
        whole.points = {"x": f"{{quantity: {'contact' if boolean else 'count'}, {where}}}"}
    try:
        parse_profile(draft_text(whole), "draft")
    except ConfigError as error:
        return tuple(f"{finding.what}: {finding.remedy}" for finding in error.findings)
    return ()


def draft_text(draft: ProfileDraft) -> str:
    """The profile file, with a sentence beside what people ask about."""
    def quoted(text: str) -> str:
        return msgspec.json.encode(text).decode()

    lines = [
        f"# {' '.join(draft.maker.split())} {' '.join(draft.model.split())}: one line on what it is and its traps.",
        f"profile: {draft.id}", "version: 1", f"maker: {quoted(draft.maker)}", f"model: {quoted(draft.model)}",
        f"en: {quoted(draft.en)}", f"zh: {quoted(draft.zh)}", f"class: {draft.device_class}",
        "# A: the maker's manual; B: a driver used on hardware; C: unchecked, refused for interlocks and fire rules.",
        f"certainty: {draft.certainty}", f"source: {quoted(draft.source)}",
    ]
    if draft.protocol == "modbus":
        lines += ["modbus: {}  # reply_timeout_s, block limits and functions where the manual differs",
                  "poll_interval_s: 5", "stale_after_s: 30  # older than this a value is unknown, never the last one",
                  f"table: {draft.table}  # addresses are zero-based, as sent on the wire"]
    else:
        lines += ["mqtt:", f"  base_topic: {quoted(draft.base_topic or '{address}')}",
                  "  expire_after_s: 7200  # a device that is quiet for longer is lost", "stale_after_s: 7200"]
    lines += ["# error_values, minimum, maximum and deadband keep a fault from becoming a number: copy the manual's.",
              "points:", *(f"  {name}: {entry}" for name, entry in draft.points.items())]
    return "\n".join(lines) + "\n"


def transcript_text(profile: DeviceProfile) -> str:
    """The skeleton of its golden transcript. All of it is comment: only real bytes make it a witness."""
    lines = [f"# profile: {profile.id}", f"# source: {profile.source}",
             "# Fill in what the manual prints, or what you read on the device, and take the # away. Work the",
             "# meaning out by hand, not with this program. One look for normal values, one for each error value.",
             "# -- normal"]
    number = 0
    for point in profile.points:
        register, payload = point.register, point.payload
        if register is not None:
            number += 1
            count = 1 if register.type is RegisterType.BIT else REGISTER_COUNT[register.type]
            function = READ_FUNCTION[register.table]
            size = (count + 7) // 8 if function in (1, 2) else 2 * count
            asked = number.to_bytes(2, "big") + bytes((0, 0, 0, 6, 1, function)) \
                + (register.address & 0xFFFF).to_bytes(2, "big") + count.to_bytes(2, "big")
            head = asked[:2] + bytes((0, 0, 0, 3 + size, 1, function, size))
            lines += [f"# >> {asked.hex(' ')}", f"# << {head.hex(' ')}{' ..' * size}"]
        elif payload is not None:
            lines.append(f"# << TOPIC {{…{payload.path}…}}")
        lines.append(f"# = {point.id} VALUE UNIT")
    return "\n".join(lines) + "\n"
