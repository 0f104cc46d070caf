"""Commands (I/O): what `tocsin profile check|list|new` and `tocsin site check` do.

Findings come back and nothing is printed, except by the wizard, which asks on the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from device_model.errors import ConfigError, Finding, LocalFault
from device_model.library import read_inventory, read_profile, shipped_profiles
from device_model.profile import DeviceClass
from device_model.profile_draft import draft_text, transcript_text
from device_model.profile_wizard import ProfileWizard, Terminal, proposals


class ProfileRow(msgspec.Struct, frozen=True):
    """One shipped profile, as a list shows it."""

    id: str
    device_class: str
    certainty: str
    protocol: str
    maker: str
    model: str
    en: str
    zh: str
    points: int
    source: str


class ProfileList(msgspec.Struct, frozen=True):
    """What ships, by id."""

    profiles: tuple[ProfileRow, ...]
    language: str = "en"

    def text(self) -> str:
        """A line each."""
        lines = [f"{row.id:<26} {row.device_class:<14} {row.certainty}  {row.protocol:<9} "
                 f"{row.zh if self.language.startswith('zh') else row.en}: {row.maker} {row.model}"
                 for row in self.profiles]
        return "\n".join(lines)


def list_profiles(device_class: str = "", language: str = "en") -> ProfileList:
    """The profiles that ship, of one class or all. LocalFault: no such class."""
    if device_class and device_class not in set(DeviceClass):
        raise LocalFault(f"no class {device_class!r}; there are: {', '.join(sorted(DeviceClass))}")
    return ProfileList(tuple(
        ProfileRow(p.id, p.device_class.value, p.certainty.value, p.protocol, p.maker, p.model, p.en, p.zh,
                   len(p.points), p.source)
        for p in sorted(shipped_profiles().values(), key=lambda p: p.id)
        if not device_class or p.device_class == device_class), language)


def check_profiles(paths: Sequence[str | Path]) -> list[Finding]:
    """Every finding of every profile file, in order of file, line and column; empty when all are good."""
    return _check(paths, read_profile)


def new_profile(
    folder: Path, given: Mapping[str, str], points: Sequence[str], *, language: str, from_scan: Path | None = None,
    unit: int | None = None, terminal: Terminal | None = None,
) -> tuple[Path, Path]:
    """Ask for what is not given, write `<id>.yaml` and the skeleton `<id>.txt` into the folder, check the profile.

    Raises ConfigError for a wrong option; LocalFault where a file is there already (nothing is overwritten), cannot
    be read or written, or nobody is there to answer.
    """
    proposed: dict[str, str] = {}
    if from_scan is not None:
        try:
            proposed = proposals(from_scan.read_bytes(), unit)
        except (OSError, ValueError) as problem:
            raise LocalFault(f"{from_scan}: {problem}; make it with `tocsin devices scan … --json`") from problem
    if given.get("id"):
        _refuse_taken(folder, given["id"])  # before the questions, not after
    try:
        draft = ProfileWizard(terminal or _RichTerminal(), language, given, points, proposed).run()
    except EOFError as problem:
        raise LocalFault("nobody answers; give every answer as an option (see --help)") from problem
    _refuse_taken(folder, draft.id)
    profile_path, transcript_path = folder / f"{draft.id}.yaml", folder / f"{draft.id}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(profile_path, draft_text(draft))
        _write_new(transcript_path, transcript_text(read_profile(profile_path)))
    except OSError as problem:
        raise LocalFault(f"{folder}: {problem.strerror or problem}; give another --out") from problem
    return profile_path, transcript_path


def _refuse_taken(folder: Path, name: str) -> None:
    for path in (folder / f"{name}.yaml", folder / f"{name}.txt"):
        if path.exists():
            raise LocalFault(f"{path} is there already and stays as it is; give another --id or --out")


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:  # also when somebody made it just now
        file.write(text)


class _RichTerminal:
    """Questions on the terminal."""

    def ask(self, question: str, choices: Sequence[str], default: str) -> str:
        from rich.prompt import Prompt  # only the wizard needs it

        shown = f"{question} [{' '.join(choices)}]" if len(choices) > 12 else question
        few = list(choices) if 0 < len(choices) <= 12 else None
        return str(Prompt.ask(shown.replace("[", r"\["), choices=few, default=default, show_default=bool(default)))

    def say(self, text: str) -> None:
        from rich import print as say
        from rich.markup import escape

        say(f"[red]{escape(text)}[/red]")


def check_sites(paths: Sequence[str | Path]) -> list[Finding]:
    """Every finding of every site file, the profiles that it uses included; empty when all are good."""
    return _check(paths, read_inventory)


def _check(paths: Sequence[str | Path], read: Callable[[str | Path], object]) -> list[Finding]:
    findings: list[Finding] = []
    for path in paths:
        try:
            read(path)
        except ConfigError as error:
            findings.extend(error.findings)
        except LocalFault as error:
            what, _, remedy = str(error).removeprefix(f"{path}: ").partition("; ")
            findings.append(Finding(str(path), 0, 0, what, remedy or "mend it and run the check again"))
    return sorted(findings)
