"""Profile wizard (pure): the questions of `tocsin profile new`, in zh and en; who asks and prints is passed in.

    option given? ── yes ─► checked, no question        every answer is checked at once by the profile's own reader;
                  └─ no ──► asked until it is right      what is refused is said with its remedy and asked again
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.profile import Certainty, DeviceClass, RegisterType, Table
from device_model.profile_draft import PROTOCOLS, ProfileDraft, objections
from device_model.quantities import QUANTITIES
from device_model.site import Text

QUESTIONS = {
    "protocol": Text("Which protocol does it speak?", "设备使用哪种协议？"),
    "id": Text("A short id for the profile (a-z, 0-9, -), maker and model", "配置文件代号（a-z、0-9、-）"),
    "maker": Text("Who makes it?", "生产厂家"),
    "model": Text("Which model is it?", "型号"),
    "en": Text("What is it called in English?", "英文名称"),
    "zh": Text("What is it called in Chinese?", "中文名称"),
    "device_class": Text("What kind of thing is it?", "设备类别"),
    "certainty": Text("How sure is the source? A the maker's manual, B a driver used on hardware, C unchecked",
                      "依据可靠程度：A 厂家说明书，B 实机用过的驱动，C 未核对"),
    "source": Text("Where do the registers or payloads stand? (manual and page, repository and file)",
                   "寄存器表或报文格式的出处（说明书及页码，或代码仓库及文件）"),
    "table": Text("In which table do most points stand?", "多数测点在哪类寄存器表？"),
    "base_topic": Text("Which topic does it publish to? {address} is the device", "上报主题（{address} 代表设备）"),
    "point": Text("Name of the next point (empty: done)", "下一个测点名（直接回车结束）"),
    "quantity": Text("What does it measure?", "测量什么？"),
    "unit": Text("In which unit?", "单位"),
    "address": Text("Register address, zero-based", "寄存器地址（从 0 起）"),
    "type": Text("Number form", "数据类型"),
    "scale": Text("Multiplied by", "比例系数"),
    "path": Text("Path in the payload (JMESPath)", "报文中的路径（JMESPath）"),
    "one_point": Text("A profile needs at least one point.", "至少需要一个测点。"),
}
_CHOICES: dict[str, Sequence[str]] = {
    "protocol": PROTOCOLS, "device_class": [kind.value for kind in DeviceClass],
    "certainty": [kind.value for kind in Certainty],
    "table": [table.value for table in Table if table is not Table.FILE],
    "type": [kind.value for kind in RegisterType],
}
_DEFAULTS = {"protocol": "modbus", "certainty": "C", "table": "holding", "type": "u16", "scale": "1"}


class Terminal(Protocol):
    """Who asks. EOFError: nobody is there to answer."""

    def ask(self, question: str, choices: Sequence[str], default: str) -> str:
        """One answer; "" where there is no default and nothing was typed."""
        ...

    def say(self, text: str) -> None:
        """A refusal or remark."""
        ...


class ProfileWizard:
    """One conversation."""

    def __init__(self, terminal: Terminal, language: str, given: Mapping[str, str], points: Sequence[str],
                 proposed: Mapping[str, str]) -> None:
        """given: answers from options, not asked again; points: "name: {quantity: …}" each, as in the file, and where
        any is given none is asked; proposed: defaults, from a scan."""
        self._terminal = terminal
        self._zh = language.startswith("zh")
        self._given, self._points = given, points
        self._proposed = {**_DEFAULTS, **proposed}

    def run(self) -> ProfileDraft:
        """The whole draft, free of objections. ConfigError: an option is wrong."""
        draft = ProfileDraft()
        names = ["protocol", "id", "maker", "model", "en", "zh", "device_class", "certainty", "source"]
        for name in names:
            self._answer(draft, name)
        self._answer(draft, "table" if draft.protocol == "modbus" else "base_topic")
        for text in self._points:
            name, _, entry = text.partition(":")
            self._enter(draft, name.strip(), entry.strip(), option=True)
        while not self._points and self._next_point(draft):
            pass
        return draft

    def _text(self, name: str) -> str:
        return QUESTIONS[name].zh if self._zh else QUESTIONS[name].en

    def _ask(self, name: str, choices: Sequence[str] = (), default: str | None = None) -> str:
        found = self._terminal.ask(self._text(name), choices or _CHOICES.get(name, ()),
                                   self._proposed.get(name, "") if default is None else default)
        return found.strip()

    def _answer(self, draft: ProfileDraft, name: str) -> None:
        option = name in self._given
        while True:
            value = self._given[name] if option else self._ask(name)
            choices = _CHOICES.get(name)
            wrong: tuple[str, ...] = ()
            if choices is not None and value not in choices:
                wrong = (f"{value!r} is none of {', '.join(choices)}",)
            elif not value and name != "base_topic":
                wrong = ("an answer is needed",)
            else:
                before = getattr(draft, name)
                setattr(draft, name, value)
                wrong = objections(draft)
                if wrong:
                    setattr(draft, name, before)
            if not wrong:
                return
            self._refuse(f"--{name.replace('_', '-')}", wrong, option=option)

    def _refuse(self, where: str, wrong: Sequence[str], *, option: bool) -> None:
        if option:
            raise ConfigError([Finding(where, 0, 0, what, "give another value") for what in wrong])
        for what in wrong:
            self._terminal.say(what)

    def _next_point(self, draft: ProfileDraft) -> bool:
        name = self._ask("point")
        if not name:
            if draft.points:
                return False
            self._terminal.say(self._text("one_point"))
            return True
        quantity = self._ask("quantity", sorted(QUANTITIES))
        known = QUANTITIES.get(quantity)
        entry: dict[str, Any] = {"quantity": quantity}
        units = [unit.code for unit in known.units] if known is not None else []
        if len(units) > 1:
            entry["unit"] = self._ask("unit", units, units[0])
        if draft.protocol == "modbus":
            entry["address"] = _number(self._ask("address"))
            if draft.table not in ("coil", "discrete_input") and not (known is not None and known.boolean):
                entry["type"] = self._ask("type")
                scale = _number(self._ask("scale"))
                entry |= {"scale": scale} if scale != 1 else {}
        else:
            entry["path"] = self._ask("path", default=name)
        self._enter(draft, name, _flow(entry), option=False)
        return True

    def _enter(self, draft: ProfileDraft, name: str, entry: str, *, option: bool) -> None:
        was = dict(draft.points)
        if name in was:
            wrong: tuple[str, ...] = (f"point {name!r} stands there already",)
        elif "\n" in name + entry:
            wrong = ("a point is one line",)
        else:
            draft.points[name] = entry
            wrong = objections(draft)
        if wrong:
            draft.points = was
            self._refuse(f"--point {name}", wrong, option=option)


def proposals(scan: bytes, unit: int | None) -> dict[str, str]:
    """Defaults from what `tocsin devices scan --json` wrote: maker and model as the device names itself.
    ValueError where it is no such file, or the unit is not in it."""
    found = msgspec.json.decode(scan)
    units = [one for one in _mappings(found) if "unit" in one and isinstance(one.get("identity"), dict)]
    chosen = [one for one in units if unit is None or one["unit"] == unit]
    if not chosen:
        raise ValueError("no unit of that scan" if units else "this is not what `tocsin devices scan --json` writes")
    identity = chosen[0]["identity"]
    maker, model = str(identity.get("maker") or ""), str(identity.get("product") or "")
    slug = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in f"{maker}-{model}".lower())
    proposed = {"protocol": "modbus", "maker": maker, "model": model, "id": slug.strip("-")[:40]}
    return {name: text for name, text in proposed.items() if text}


def _mappings(value: object) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(inner for part in value.values() for inner in _mappings(part))]
    return [inner for part in value for inner in _mappings(part)] if isinstance(value, list) else []


def _number(text: str) -> int | float | str:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text  # the reader says what is wrong with it


def _flow(entry: Mapping[str, Any]) -> str:
    """One YAML line; what is no plain word is quoted as in JSON."""
    def word(value: object) -> str:
        plain = not isinstance(value, str) or value.replace("_", "").isalpha()
        return str(value) if plain else msgspec.json.encode(value).decode()

    return "{" + ", ".join(f"{name}: {word(value)}" for name, value in entry.items()) + "}"
