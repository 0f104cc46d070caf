"""ProfileShelf (I/O): the profiles that a tester may open, and the folder that edited ones are kept in.

    shipped profiles ─► text ─► editor ─► save: <folder>/<id>.yaml     only there, whole or not at all, and what is
    folder's *.yaml  ─►                                                there already only when a person says so
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

import msgspec

from device_model.errors import ConfigError, Finding, LocalFault
from device_model.library import PROFILES_FOLDER, read_text, shipped_profiles
from device_model.profile import DeviceProfile
from device_model.profile_draft import ProfileDraft, draft_text
from device_model.profile_file import parse_profile
from trial.profile_look import TEXT_MAX, read_draft

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
OWN_MAX = 500  # files of the folder that are listed; beyond it somebody pointed at the wrong one
NEW = {
    "modbus": ProfileDraft("modbus", "maker-model", "Maker", "Model", "temperature sensor", "温度变送器", "climate",
                           "C", "the manual and its page", "holding", "", {
                               "temperature": "{quantity: temperature, unit: Cel, address: 0, type: s16, scale: 0.1, "
                                              "minimum: -40, maximum: 80}"}),
    "mqtt": ProfileDraft("mqtt", "maker-model", "Maker", "Model", "smoke detector", "感烟探测器", "smoke", "C",
                         "the manual and its page", "", "{address}", {
                             "smoke": '{quantity: smoke_alarm, path: smoke}',
                             "battery": '{quantity: battery, path: battery}'}),
}


class Taken(LocalFault):
    """A file or a shipped id would be replaced, and nobody has said that it may be."""


class ShelfRow(msgspec.Struct, frozen=True):
    """One profile of the list. own: it stands in the folder; broken: it is opened to be mended."""

    id: str
    en: str
    zh: str
    device_class: str
    protocol: str
    own: bool
    broken: bool = False


class ProfileShelf:
    """folder None: edited profiles can be taken home as files only."""

    def __init__(self, folder: Path | None) -> None:
        """Raises LocalFault for a folder that cannot be had."""
        self.folder = folder
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LocalFault(f"{folder}: cannot be made ({error.strerror}); name another --profiles") from error

    def known(self) -> dict[str, DeviceProfile]:
        """All that can be simulated: the shipped ones, and those of the folder, which come before them."""
        found = shipped_profiles()
        for path in self._files():
            with contextlib.suppress(ConfigError, LocalFault):
                profile = parse_profile(read_text(path), str(path))
                found[profile.id] = profile
        return found

    def rows(self) -> list[ShelfRow]:
        """The folder's own first, then what ships."""
        own = []
        for path in self._files():
            try:
                profile = parse_profile(read_text(path), str(path))
            except (ConfigError, LocalFault):
                own.append(ShelfRow(path.stem, "", "", "", "", True, True))
                continue
            own.append(_row(profile, path.stem, own=True))
        shipped = sorted(shipped_profiles().values(), key=lambda profile: profile.id)
        return own + [_row(profile, profile.id, own=False) for profile in shipped]

    def text_of(self, name: str, *, own: bool) -> str:
        """The text of one of `rows`. Raises ConfigError, LocalFault."""
        if own:
            path = next((path for path in self._files() if path.stem == name), None)
        else:
            found = shipped_profiles().get(name)
            path = Path(found.file) if found is not None else None
        if path is None:
            raise ConfigError([Finding("profiles", 0, 0, f"no profile {name!r}", "choose one of the list")])
        return read_text(path)

    def new_text(self, protocol: str) -> str:
        """What `tocsin profile new` would begin with. Raises ConfigError for a protocol it does not draft."""
        if protocol not in NEW:
            raise ConfigError([Finding("profiles", 0, 0, f"no draft for {protocol!r}", f"one of: {', '.join(NEW)}")])
        return draft_text(NEW[protocol])

    def save(self, text: str, *, replace: bool) -> str:
        """Keep a text that is right as `<id>.yaml` of the folder; the file's name. replace: a person has said that
        what stands there, or ships under this id, may give way. Raises ConfigError, LocalFault."""
        if self.folder is None:
            raise LocalFault("the simulator was started without --profiles: take the file home with Download")
        profile = read_draft(text)
        if not _FILE_NAME.fullmatch(profile.id):
            raise LocalFault(f"{profile.id!r} names no file: write it with a-z, 0-9 and -")
        path = self.folder / f"{profile.id}.yaml"
        if self.folder.resolve() == PROFILES_FOLDER:
            raise LocalFault("that folder holds the profiles that ship; start with another --profiles")
        if not replace and (os.path.lexists(path) or profile.id in shipped_profiles()):
            what = "stands there already" if os.path.lexists(path) else "is the id of a profile that ships"
            raise Taken(f"{profile.id} {what}: give it another id, or say that it may be replaced")
        self._write(path, text)
        return path.name

    def _write(self, path: Path, text: str) -> None:
        """Whole or not at all; a link is replaced and never followed."""
        if len(text.encode()) > TEXT_MAX:
            raise LocalFault(f"{path.name}: larger than {TEXT_MAX} bytes")
        name = ""
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except OSError as error:
            if name:
                Path(name).unlink(missing_ok=True)
            raise LocalFault(f"{path}: cannot be written ({error.strerror}); look at the folder's permissions") \
                from error

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.yaml"))[:OWN_MAX] if self.folder is not None else []


def _row(profile: DeviceProfile, name: str, *, own: bool) -> ShelfRow:
    return ShelfRow(name, profile.en, profile.zh, profile.device_class.value, profile.protocol, own)
