"""What an administrator wrote in /etc/tocsin is taken into the folder that the gateway may write (I/O).

    /etc/tocsin (read only)                          /var/lib/tocsin (StateDirectory)
      site.yaml            ── changed since it was taken? checked ─► site.yaml, versions/   what runs
      key.pem, pins.json … ── changed since it was taken? ─────────► the same name
                                                       taken.json    SHA-256 of each file as it was taken

A file is taken once for each content that a person gives it. What the gateway makes of it afterwards (a renewed
certificate, a device placed by phone) stays, until the person writes another one. A site file with findings is not
taken: the live one runs on. Nothing is ever written in the folder of the administrator.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from pathlib import Path

import msgspec

from device_model.errors import ConfigError, LocalFault
from edge_agent.compose import read_configuration
from provisioning.authority import write_private
from provisioning.site_versions import SiteVersions, findings_text

SITE = "site.yaml"
TAKEN = "taken.json"
FILES_MAX, FILE_MAX = 5000, 64 * 1024 * 1024  # keys, drawings, profiles, photos; no journal
NOT_TAKEN = ("var", "site-example.yaml")
# What enrolling and running make: an upgrade leaves no second copy of it where nobody renews it.
MADE_BY_THE_GATEWAY = ("key.pem", "certificate.pem", "ca.pem", "identity.json", "claim.json", "request.pem",
                       "pins.json", "versions", "walk", "site.yaml.staged", "site.yaml.before", "site.yaml.remote")


class Settled(msgspec.Struct, frozen=True):
    """What was done. taken: names below the folder; findings: why something was not."""

    taken: tuple[str, ...]
    findings: tuple[str, ...]
    live: bool

    def text(self) -> str:
        """For the log of the service."""
        lines = [f"taken: {name}" for name in self.taken] + [f"not taken: {why}" for why in self.findings]
        if not self.live:
            lines.append("there is no site file yet: claim the gateway (tocsin provision), or write one")
        return "\n".join(lines) or "nothing new"


def settle(first: Path, state: Path) -> Settled:
    """Take what is new in `first` into `state`. LocalFault: the folder of the gateway cannot be written."""
    taken, findings = [], []
    book = _read_book(state / TAKEN)
    try:
        for file in _files(first):
            name = str(file.relative_to(first))
            try:
                content = _read(file)
            except OSError as error:
                findings.append(f"{file}: {error.strerror or error}")
                continue
            digest = hashlib.sha256(content).hexdigest()
            known, there = book.get(name), state / name
            if known == digest or name == SITE:
                continue
            # Without a word in the book, what is there already is the gateway's own: it wins once.
            if known is not None or not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_private(there, content)
                taken.append(name)
            book[name] = digest
        _site(first, state, book, taken, findings)
        write_private(state / TAKEN, msgspec.json.encode(book, order="sorted"))
    except OSError as error:
        raise LocalFault(f"{state} cannot be written: {error}") from error
    return Settled(tuple(taken), tuple(findings), (state / SITE).exists())


def _site(first: Path, state: Path, book: dict[str, str], taken: list[str], findings: list[str]) -> None:
    """The site file last, for it names the others."""
    file, live = first / SITE, state / SITE
    if not file.is_file():
        return
    try:
        content = _read(file)
        text = _moved(content.decode(), first, state)
    except (OSError, UnicodeDecodeError) as error:
        findings.append(f"{file}: {error}")
        return
    digest = hashlib.sha256(content).hexdigest()
    if book.get(SITE) == digest:
        return
    if SITE not in book and live.exists():
        book[SITE] = digest
        findings.append(f"{file}: the gateway has a site file of its own; change this one to put it in its place")
        return
    try:
        SiteVersions(live, read_configuration).save(text, "administrator", f"from {file}")
    except (ConfigError, LocalFault) as error:
        said = findings_text(error) if isinstance(error, ConfigError) else str(error)
        findings.append(f"{file}: {said}")
        return
    book[SITE] = digest
    taken.append(SITE)


def _moved(text: str, first: Path, state: Path) -> str:
    """The site file with absolute names of files that were taken made relative: they are renewed where they are."""
    names = sorted((str(file.relative_to(first)) for file in _files(first)), key=len, reverse=True)
    for name in names:
        if (state / name).exists():
            text = text.replace(f"{first}/{name}", name)
    return text


def left_over(first: Path, state: Path) -> tuple[Path, ...]:
    """Files of the gateway's own making that still stand in `first` and were taken: an upgrade removes them."""
    book = _read_book(state / TAKEN)
    return tuple(file for file in _files(first) if (name := str(file.relative_to(first))) in book
                 and name.split("/", maxsplit=1)[0] in MADE_BY_THE_GATEWAY and (state / name).is_file())


def _files(first: Path) -> list[Path]:
    found = []
    for file in sorted(first.rglob("*")):
        parts = file.relative_to(first).parts
        if parts[0] in NOT_TAKEN or any(part.startswith(".") for part in parts) or not file.is_file():
            continue
        found.append(file)
        if len(found) > FILES_MAX:
            raise LocalFault(f"{first} holds more than {FILES_MAX} files; keep only the gateway's there")
    return found


def _read(file: Path) -> bytes:
    if file.stat().st_size > FILE_MAX:
        raise OSError(0, f"larger than {FILE_MAX // 2**20} MiB")
    return file.read_bytes()


def _read_book(file: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise LocalFault(f"{file} cannot be read: {error}") from error


def become_owner(folder: Path) -> None:
    """As root, go on as the user to whom the gateway's folder belongs: what is written there stays readable to the
    services. Does nothing for anybody else, or where the folder is root's own or not there yet."""
    if os.geteuid() != 0 or not folder.is_dir():
        return
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    try:
        name = pwd.getpwuid(owner.st_uid).pw_name
        os.initgroups(name, owner.st_gid)
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    except (KeyError, OSError) as error:
        raise LocalFault(f"{folder} belongs to user {owner.st_uid}: run as that user ({error})") from error
