"""No page shows a missing or untranslated text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import dashboards
from dashboards.kit.texts import TEXTS
from device_model.alarm import AlarmState, Hazard, Severity
from device_model.impairment import ImpairmentKind
from device_model.messages import Lane
from device_model.quantities import _DISPLAY
from device_model.read_models import IncidentAction, IncidentState

HERE = Path(dashboards.__file__).parent
USED = set()
for source in [*HERE.glob("static/*.js"), *HERE.glob("templates/*.html")]:
    text = source.read_text(encoding="utf-8")
    USED |= set(re.findall(r"""(?<![A-Za-z.])(?:say|t|empty)\(["']([a-z_.]+)["']""", text))


def test_the_search_finds_keys() -> None:
    assert {"board.title", "link.stale.long", "incidents.none"} <= USED


@pytest.mark.parametrize("key", sorted(USED))
def test_every_used_text_exists(key: str) -> None:
    """A key that a page ends itself ("walks." ~ result) stands for those that begin with it."""
    assert key in TEXTS or (key.endswith(".") and any(known.startswith(key) for known in TEXTS))


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_both_languages_are_there(key: str) -> None:
    entry = TEXTS[key]
    assert entry.en.strip() and entry.zh.strip()
    assert set(re.findall(r"\{(\w+)\}", entry.en)) == set(re.findall(r"\{(\w+)\}", entry.zh))


@pytest.mark.parametrize(("prefix", "kinds"), [
    ("hazard", Hazard), ("severity", Severity), ("state", IncidentState), ("alarm", AlarmState),
    ("impairment", ImpairmentKind), ("lane", Lane), ("action", IncidentAction),
])
def test_every_kind_has_a_name(prefix: str, kinds) -> None:
    assert [kind for kind in kinds if f"{prefix}.{kind.value}" not in TEXTS] == []


def test_pages_write_units_as_the_product_does() -> None:
    script = (Path(__file__).resolve().parents[2] / "dashboards" / "static" / "units.js").read_text(encoding="utf-8")
    table = re.search(r"DISPLAY = (\{.*?\});", script, re.DOTALL)
    assert table is not None
    assert json.loads(re.sub(r",\s*\}", "}", table[1])) == _DISPLAY
