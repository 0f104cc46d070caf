"""The map of the district: its settings, its base map, who sees which site, and in which datum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from community_os.map_service import MapService, read_base_map
from community_os.map_settings import BASE_BYTES_MAX, MapSettings, parse_base_map
from community_os.place_shelf import PlaceShelf
from community_os.settings import parse_cloud
from community_os.site_setup import SiteSetup
from dashboards.district_map import SITES_MAX
from device_model.datum import convert
from device_model.errors import ConfigError
from device_model.library import read_inventory
from device_model.site import Datum

ROOT = Path(__file__).resolve().parents[2]
SITES = ROOT / "demo" / "sites"
EXAMPLE = ROOT / "examples" / "cloud" / "district.geojson"
RIVERSIDE = "hangzhou/yuhang/cangqian/riverside"


def service(settings: MapSettings) -> MapService:
    shelf, sites = PlaceShelf(), {}
    for name in ("riverside", "lakeside"):
        inventory = read_inventory(SITES / f"{name}.yaml")
        shelf.take(SiteSetup(inventory, None), str(SITES / f"{name}.yaml"))
        sites[inventory.site.tenancy.path] = inventory
    return MapService(settings, sites, shelf)


async def test_places_are_converted_to_the_datum_of_what_lies_below() -> None:
    plain = await service(MapSettings()).view("")
    assert plain.datum == "WGS-84" and plain.tiles is None and plain.base == ()
    moved = await service(MapSettings(
        tiles="https://maps.example.org/{z}/{x}/{y}.png", tiles_datum=Datum.GCJ_02, attribution="©")).view("")
    here = next(site for site in moved.sites if site.path == RIVERSIDE)
    assert here.at == (30.2870, 119.9990), "the site file's own datum"
    there = next(site for site in plain.sites if site.path == RIVERSIDE)
    assert there.at == pytest.approx(convert(30.2870, 119.9990, Datum.GCJ_02, Datum.WGS_84), abs=1e-6)
    assert there.origin is not None and there.access is not None and there.zones["b1-301"] == "b1"


async def test_nobody_sees_a_site_beyond_the_own_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = service(MapSettings())
    assert [site.path for site in (await whole.view(RIVERSIDE)).sites] == [RIVERSIDE]
    assert len((await whole.view("hangzhou/yuhang")).sites) == 2
    assert (await whole.view("hangzhou/yu")).sites == () == (await whole.view("beijing")).sites
    monkeypatch.setattr("community_os.map_service.SITES_MAX", 1)
    view = await whole.view("")
    assert len(view.sites) == 1 and view.left_out == 1 and SITES_MAX > 1


async def test_a_base_map_that_does_not_fit_never_takes_the_map_away(tmp_path: Path) -> None:
    broken = tmp_path / "district.geojson"
    broken.write_text("{")
    assert len((await service(MapSettings(base=str(broken))).view("")).sites) == 2
    with pytest.raises(ConfigError, match=r"district\.geojson: not JSON"):
        read_base_map(MapSettings(base=str(broken)))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_base_map(MapSettings(base=str(tmp_path / "nowhere")))


def test_the_example_and_the_demo_are_read() -> None:
    for file in (EXAMPLE, SITES / "district.geojson"):
        features = read_base_map(MapSettings(base=str(file), base_datum=Datum.GCJ_02))
        assert {one.kind for one in features} == {"road", "water", "green", "border", "place"}
        assert all(one.name.en and one.name.zh for one in features)
    example = (ROOT / "examples" / "cloud" / "cloud.yaml").read_text(encoding="utf-8")
    offered = example.replace("# map: {", "map: {")
    assert parse_cloud(offered, "cloud.yaml").map.tiles_from == "https://maps.example.org"


def feature(**changes: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"kind": "road"},
            "geometry": {"type": "LineString", "coordinates": [[120.0, 30.0], [120.1, 30.1]]}, **changes}


def geometry(form: str, coordinates: Any) -> dict[str, Any]:
    return {"geometry": {"type": form, "coordinates": coordinates}}


@pytest.mark.parametrize(("body", "said"), [
    (b"[]", "no FeatureCollection"),
    (b"\xff", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b" " * (BASE_BYTES_MAX + 1), "larger than 4 MiB"),
    ([feature()] * 5001, "5001 features"),
    ([7], "feature 1: has no geometry"),
    ([feature(properties={"kind": "dragon"})], "kind 'dragon'"),
    ([feature(**geometry("Circle", []))], "'Circle' is not drawn"),
    ([feature(**geometry("LineString", [[120, 30]]))], "too few positions"),
    ([feature(**geometry("LineString", [[30, 120], [30, 121]]))], "in this order"),
    ([feature(**geometry("LineString", [["a", 3], [1, 2]]))], "is no position"),
    ([feature(**geometry("LineString", [[True, 3], [1, 2]]))], "is no position"),
    ([feature(**geometry("Polygon", {"a": 1}))], "coordinates are no list"),
    ([feature(**geometry("MultiPoint", [[120.0, 30.0]] * 100_001))], "more than 100000 positions"),
])
def test_what_does_not_fit_is_said(body: Any, said: str) -> None:
    raw = body if isinstance(body, bytes) else msgspec.json.encode({"type": "FeatureCollection", "features": body})
    with pytest.raises(ConfigError, match=said) as caught:
        parse_base_map(raw, "d.geojson", Datum.WGS_84, Datum.WGS_84)
    assert all(one.file == "d.geojson" and one.what and one.remedy for one in caught.value.findings)


_JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6),
                     lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
                         st.sampled_from(["type", "geometry", "properties", "coordinates", "kind", "x"]), inner,
                         max_size=4), max_leaves=12)


@given(st.lists(_JSON, max_size=3), st.binary(max_size=60))
def test_nothing_but_a_config_error_comes_of_any_file(features: list[Any], raw: bytes) -> None:
    for body in (raw, msgspec.json.encode({"type": "FeatureCollection", "features": features})):
        try:
            parse_base_map(body, "d", Datum.GCJ_02, Datum.WGS_84)
        except ConfigError as error:
            assert error.findings


@pytest.mark.parametrize(("written", "said"), [
    ("tiles: 'http://maps.example.org/{z}/{x}/{y}.png', attribution: x", "no https address"),
    ("tiles: 'https://maps.example.org/{z}.png', attribution: x", "where zoom, column and row go"),
    ("tiles: 'https://maps.example.org/{z}/{x}/{y}.png'", "whose map it is"),
    ("tiles: 'https://a; script-src *;/{z}/{x}/{y}', attribution: x", "no https address"),
    ("zoom_max: 40", "is no zoom"),
    ("base_datum: BD-09", "bd-09"),
])
def test_settings_that_do_not_fit_are_said_with_their_line(written: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"(?i)cloud\.yaml:1:.*" + said):
        parse_cloud(f"map: {{{written}}}\n", "cloud.yaml")
