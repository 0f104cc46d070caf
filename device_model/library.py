"""Library (I/O): reads profile and site files from disk, and knows the profiles that ship.

A site may bring profiles of its own in `profiles/` beside the site file; one of these replaces a shipped profile
of the same id.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from device_model.errors import ConfigError, Finding, LocalFault
from device_model.inventory import Inventory
from device_model.profile import DeviceProfile
from device_model.profile_file import parse_profile
from device_model.site import Building, CloudLink, Line, Site
from device_model.site_file import parse_site
from device_model.yaml_source import TEXT_BYTES_MAX

PROFILES_FOLDER = Path(__file__).resolve().parent / "profiles"
# A community has a few dozen models; beyond this somebody pointed at the wrong folder.
PROFILES_MAX = 2000


def read_text(path: str | Path) -> str:
    """A configuration file as text. Raises LocalFault when this machine cannot read it, ConfigError when its
    content is not a text of bearable size."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(TEXT_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise LocalFault(f"{path}: there is no such file; check the name and the folder you are in") from error
    except IsADirectoryError as error:
        raise LocalFault(f"{path}: is a folder; name a file") from error
    except OSError as error:
        raise LocalFault(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if len(content) > TEXT_BYTES_MAX:
        raise ConfigError([Finding(str(path), 0, 0, f"the file is larger than {TEXT_BYTES_MAX} bytes", "split it")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Finding(str(path), line, 1, "not UTF-8 text", "save the file as UTF-8")]) from error


def read_profile(path: str | Path) -> DeviceProfile:
    """One profile file, checked. Raises ConfigError or LocalFault."""
    return parse_profile(read_text(path), str(path))


def read_profiles(folder: str | Path) -> dict[str, DeviceProfile]:
    """All `*.yaml` of a folder by profile id. Raises one ConfigError with the findings of all files, among them
    ids that stand twice; LocalFault when the folder cannot be read."""
    profiles: dict[str, DeviceProfile] = {}
    findings: list[Finding] = []
    try:
        paths = sorted(Path(folder).glob("*.yaml"))[:PROFILES_MAX]
    except OSError as error:
        raise LocalFault(f"{folder}: cannot be read ({error.strerror})") from error
    for path in paths:
        try:
            profile = read_profile(path)
        except ConfigError as error:
            findings.extend(error.findings)
            continue
        if profile.id in profiles:
            other = profiles[profile.id].file
            findings.append(Finding(str(path), 1, 1, f"profile {profile.id!r} also stands in {other}",
                                    "give each its own id"))
        profiles[profile.id] = profile
    if findings:
        raise ConfigError(findings)
    return profiles


@cache
def _shipped() -> dict[str, DeviceProfile]:
    return read_profiles(PROFILES_FOLDER)


def shipped_profiles() -> dict[str, DeviceProfile]:
    """The profiles that come with this product, by id. Read once a process."""
    return dict(_shipped())


def profiles_for(site_path: str | Path) -> dict[str, DeviceProfile]:
    """The shipped profiles, and those in `profiles/` beside the site file."""
    beside = Path(site_path).resolve().parent / "profiles"
    own = read_profiles(beside) if beside.is_dir() and beside != PROFILES_FOLDER else {}
    return shipped_profiles() | own


def read_site(path: str | Path, profiles: Mapping[str, DeviceProfile] | None = None) -> Site:
    """One site file, checked against `profiles` (by default those of `profiles_for`), its relative paths resolved
    against its folder. Raises ConfigError or LocalFault."""
    text = read_text(path)
    site = parse_site(text, str(path), profiles_for(path) if profiles is None else profiles)
    return resolve_paths(site, Path(path).resolve().parent)


def read_inventory(path: str | Path) -> Inventory:
    """A site file with its profiles, resolved into points. Raises ConfigError or LocalFault."""
    profiles = profiles_for(path)
    return Inventory(read_site(path, profiles), profiles)


def resolve_paths(site: Site, folder: Path) -> Site:
    """The same site with every relative file path made absolute. Serial ports are devices and stay."""

    def absolute(name: str) -> str:
        return str(folder / name) if name else ""

    def line(old: Line) -> Line:
        return msgspec.structs.replace(
            old, password_file=absolute(old.password_file), ca_file=absolute(old.ca_file),
            certificate_file=absolute(old.certificate_file), key_file=absolute(old.key_file))

    def building(old: Building) -> Building:
        return msgspec.structs.replace(old, floors=tuple(
            msgspec.structs.replace(floor, plan=msgspec.structs.replace(floor.plan, file=absolute(floor.plan.file)))
            if floor.plan else floor
            for floor in old.floors
        ))

    cloud: CloudLink | None = site.gateway.cloud
    if cloud is not None:
        cloud = msgspec.structs.replace(
            cloud, ca_file=absolute(cloud.ca_file), certificate_file=absolute(cloud.certificate_file),
            key_file=absolute(cloud.key_file),
        )
    page, remote = site.gateway.page, site.gateway.remote_configuration
    if page is not None:
        page = msgspec.structs.replace(page, pin_file=absolute(page.pin_file), key_file=absolute(page.key_file),
                                       certificate_file=absolute(page.certificate_file))
    if remote is not None:
        remote = msgspec.structs.replace(remote, key_file=absolute(remote.key_file))
    series = site.gateway.series
    if series is not None:
        series = msgspec.structs.replace(series, path=absolute(series.path), remotes=tuple(
            msgspec.structs.replace(each, secret_file=absolute(each.secret_file), ca_file=absolute(each.ca_file))
            for each in series.remotes))
    vision = site.gateway.vision
    if vision is not None:
        vision = msgspec.structs.replace(vision, config=absolute(vision.config),
                                         evidence=absolute(vision.evidence) if vision.evidence else "")
    return msgspec.structs.replace(
        site,
        gateway=msgspec.structs.replace(
            site.gateway, journal_path=absolute(site.gateway.journal_path), cloud=cloud, page=page,
            remote_configuration=remote, series=series, vision=vision),
        lines=tuple(map(line, site.lines)), buildings=tuple(map(building, site.buildings)),
        rules=msgspec.structs.replace(site.rules, files=tuple(map(absolute, site.rules.files))),
    )
