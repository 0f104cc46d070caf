"""Shipped packs and rule files on disk (I/O): the only file of the engine that reads any."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from device_model.errors import ConfigError, Finding
from device_model.site import Site
from rules_engine.rule import RulePack, RuleSet, parse_pack

PACKS = Path(__file__).parent / "packs"


def pack_names() -> tuple[str, ...]:
    """The names of the shipped packs."""
    return tuple(sorted(path.stem for path in PACKS.glob("*.yaml") if not path.name.endswith(".test.yaml")))


def read_pack(path: Path) -> RulePack:
    """A rule file. Raises ConfigError, also where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        finding = Finding(str(path), 0, 0, f"cannot be read: {error}", "check name and permissions")
        raise ConfigError([finding]) from error
    return parse_pack(text, str(path))


def shipped_packs(names: Iterable[str]) -> RuleSet:
    """The shipped packs of these names, as one set. Raises ConfigError for a name that is not shipped."""
    return RuleSet(_shipped(names, "site.yaml"))


def _shipped(names: Iterable[str], file: str) -> list[RulePack]:
    unknown = [name for name in names if name not in pack_names()]
    if unknown:
        raise ConfigError([Finding(file, 0, 0, f"there is no shipped pack {name!r}",
                                   f"known: {', '.join(pack_names())}") for name in unknown])
    return [read_pack(PACKS / f"{name}.yaml") for name in names]


def rules_of_site(site: Site) -> RuleSet:
    """What a site runs: its packs, its own files (beside the site file), its own numbers. Raises ConfigError."""
    folder = Path(site.file).parent if site.file else Path()
    packs = _shipped(site.rules.packs, site.file or "site.yaml")
    packs.extend(read_pack(folder / name) for name in site.rules.files)
    return RuleSet(packs).with_parameters(site.rules.parameters, site.file or "site.yaml")
