"""Every command that a document tells people to type is one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import tocsin
from bench.commands import BENCHES
from device_model.commands import list_profiles
from device_model.errors import LocalFault

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")])
# `tocsin sim run …` in code, at a line's beginning in a block, or after sudo: two words after the program's name.
_WORD = "[a-z][a-z-]*"
TYPED = re.compile(rf"(?:^|`|\$ |-u tocsin )tocsin ({_WORD})(?: ({_WORD}(?:\|{_WORD})*))?", re.MULTILINE)
GROUPS = typer.main.get_command(tocsin.app).commands  # type: ignore[attr-defined]  # click's group has it


def unknown(text: str) -> list[str]:
    """Commands in a text that nobody wrote."""
    wrong = []
    for first, second in TYPED.findall(text):
        if first not in GROUPS:
            wrong.append(first)
        elif first == "bench" and second and second not in (*BENCHES, "all", "list"):
            wrong.append(f"bench {second}")
        elif hasattr(GROUPS[first], "commands") and second:
            wrong += [f"{first} {one}" for one in second.split("|") if one not in GROUPS[first].commands]
    return wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_commands_that_exist(document: Path) -> None:
    assert unknown(document.read_text(encoding="utf-8")) == []


def test_the_check_sees_what_is_not_there() -> None:
    assert unknown("`tocsin profile lst`\ntocsin bench modbuss\n`tocsin fly`, `tocsin sim run|rum X`") == [
        "profile lst", "bench modbuss", "fly", "sim rum"]


def test_the_list_of_profiles() -> None:
    rows = {row.id: row for row in list_profiles().profiles}
    assert len(rows) >= 60 and rows["calectro-ug3"].device_class == "smoke"
    assert {row.device_class for row in list_profiles("co").profiles} == {"co"}
    assert "一氧化碳" in list_profiles("co", "zh_CN.UTF-8").text()
    with pytest.raises(LocalFault, match="no class 'smok'"):
        list_profiles("smok")


def test_bench_explains_itself() -> None:
    result = CliRunner().invoke(tocsin.app, ["bench", "--help"])
    assert result.exit_code == 0 and all(name in result.stdout for name in BENCHES)
