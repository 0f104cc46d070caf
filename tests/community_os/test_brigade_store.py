"""Photos stripped and bounded, hand-overs signed by another, place books checked."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from community_os.brigade_service import BrigadeService
from community_os.photo_strip import strip_photo
from community_os.place_commands import check_places
from community_os.place_shelf import PlaceShelf, missing_drawings, places_file, read_places
from community_os.site_setup import SiteSetup
from community_os.store import IncidentStore, inline
from community_os.store_changes import SiteCommit
from device_model.clock import Now
from device_model.errors import ConfigError
from device_model.library import read_inventory, read_text
from device_model.messages import AlarmRecord
from device_model.place_file import parse_places
from tests.community_os.site_messages import PATH, only_incident, reading, up, worker
from tests.rules_engine.incident_house import T0, step

SITES = Path(__file__).parents[2] / "demo/sites"


class Still:
    def now(self) -> Now:
        return Now(T0, 0, "b")

    async def sleep(self, delay_s: float) -> None:
        raise AssertionError


def exif(order: str = "<") -> bytes:
    """Maker, time of taking, place: 30°17'13.2" N, 119°59'56.4" E."""
    made, taken = b"PhoneMaker\0", b"2026:11:23 08:15:30\0"
    def entries(*rows: tuple[int, int, int, bytes]) -> bytes:
        return struct.pack(f"{order}H", len(rows)) + b"".join(
            struct.pack(f"{order}HHI", tag, kind, many) + value for tag, kind, many, value in rows) + bytes(4)
    def at(offset: int) -> bytes:
        return struct.pack(f"{order}I", offset)
    def ratio(*parts: tuple[int, int]) -> bytes:
        return b"".join(struct.pack(f"{order}II", *part) for part in parts)
    head = (b"II*\0" if order == "<" else b"MM\0*") + at(8)
    first = entries((0x010F, 2, len(made), at(200)), (0x8769, 4, 1, at(60)), (0x8825, 4, 1, at(90)))
    inner = entries((0x9003, 2, len(taken), at(220)))
    place = entries((1, 2, 2, b"N\0\0\0"), (2, 5, 3, at(250)), (3, 2, 2, b"E\0\0\0"), (4, 5, 3, at(280)))
    out = bytearray(320)
    for offset, part in ((0, head), (8, first), (60, inner), (90, place), (200, made), (220, taken),
                         (250, ratio((30, 1), (17, 1), (132, 10))), (280, ratio((119, 1), (59, 1), (564, 10)))):
        out[offset:offset + len(part)] = part
    return bytes(out)


def jpeg(*segments: bytes, scan: bytes = b"\x01\x02\x03") -> bytes:
    quantiser = b"\xff\xdb\x00\x04\x00\x10"
    return (b"\xff\xd8" + b"\xff\xe0\x00\x07JFIF\0" + b"".join(segments) + quantiser + b"\xff\xda\x00\x02" + scan
            + b"\xff\xd9")


def app1(body: bytes) -> bytes:
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_photo_keeps_time_and_place_and_nothing_else_about_whoever_took_it(order: str) -> None:
    comment = b"\xff\xfe\x00\x08secret"
    photo = strip_photo(jpeg(app1(b"Exif\0\0" + exif(order)), comment) + b"appended")
    assert b"PhoneMaker" not in photo.body and b"secret" not in photo.body and b"appended" not in photo.body
    assert photo.body == jpeg()
    assert photo.taken_us == 1_795_421_730_000_000
    assert photo.latitude == pytest.approx(30.287) and photo.longitude == pytest.approx(119.999)


@pytest.mark.parametrize("bad", [b"", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xda\x00\x02abc",
                                 b"\xff\xd8\x00\x00\x00\x00",
                                 b"\xff\xd8\xff\xe1\xff\xff", b"<svg onload=alert(1)>"])
def test_what_is_no_picture_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        strip_photo(bad)


@settings(max_examples=150)
@given(st.binary(max_size=200), st.integers(0, 330), st.integers(0, 255))
def test_damaged_pictures_end_in_a_refusal_or_a_picture(tail: bytes, at: int, byte: int) -> None:
    body = bytearray(jpeg(app1(b"Exif\0\0" + exif()), app1(tail)))
    body[min(at, len(body) - 1)] = byte
    try:
        photo = strip_photo(bytes(body))
    except ValueError:
        return
    assert photo.body[:2] == b"\xff\xd8" and (photo.latitude is None or abs(photo.latitude) <= 90)


def service(store: IncidentStore) -> tuple[BrigadeService, str]:
    store.open()
    effects = worker().step(up(AlarmRecord(step(), (reading("multi-b1-0.smoke", 1.4, 0),)), at_s=0.2))
    store.apply([SiteCommit(PATH, 1, tuple(effects.changes))])
    return BrigadeService(store, inline, PlaceShelf(), Still()), only_incident(effects)


async def test_a_photo_is_kept_once_by_its_hash_within_its_tenancy() -> None:
    brigade, fire = service(IncidentStore("sqlite://"))
    first = await brigade.put_photo(fire, PATH, jpeg(app1(b"Exif\0\0" + exif())), "Li")
    again = await brigade.put_photo(fire, PATH, jpeg(app1(b"Exif\0\0" + exif())), "Li")
    assert first == again and await brigade.photo(first.sha256, "hangzhou") == jpeg()
    assert await brigade.photo(first.sha256, "shanghai") is None
    side = await brigade.side(fire, "")
    assert [photo.sha256 for photo in side.photos] == [first.sha256] and side.permits == () and side.evidence is None
    with pytest.raises(ValueError, match="no such incident"):
        await brigade.put_photo(fire, "shanghai", jpeg(), "Li")
    for number in range(39):
        await brigade.put_photo(fire, PATH, jpeg(scan=bytes([number])), "Li")
    with pytest.raises(ValueError, match="40 pictures"):
        await brigade.put_photo(fire, PATH, jpeg(scan=b"one more"), "Li")


async def test_a_shift_is_handed_over_once_and_taken_by_somebody_else() -> None:
    brigade, fire = service(IncidentStore("sqlite://"))
    handover = await brigade.hand_over("hangzhou", "Li", "quiet night", "request-1")
    assert [line.incident for line in handover.open] == [fire] and handover.open[0].place.en.startswith("Riverside")
    assert await brigade.hand_over("hangzhou", "Li", "quiet night", "request-1") == handover
    assert await brigade.handovers("hangzhou") == (handover,) and await brigade.handovers("shanghai") == ()
    assert "cannot take over" in await brigade.take_over(handover.id, "hangzhou", "Li", "")
    assert "no such" in await brigade.take_over(handover.id, "shanghai", "Wang", "")
    assert await brigade.take_over(handover.id, "", "Wang", "seen") == ""
    assert "already" in await brigade.take_over(handover.id, "", "Zhao", "")
    (taken,) = await brigade.handovers("")
    assert (taken.taken_by, taken.remark, taken.taken_us) == ("Wang", "seen", T0)


# --- place books ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["riverside", "lakeside"])
def test_the_example_place_books_fit_their_sites_and_every_device_is_drawn(site: str) -> None:
    file = SITES / f"{site}.yaml"
    inventory = read_inventory(file)
    book = read_places(file, inventory)
    assert missing_drawings(file, book) == []
    assert {one.device for one in book.devices} == set(inventory.devices)
    assert {one.zone for one in book.zones} == {zone.id for zone in inventory.site.zones}
    shelf = PlaceShelf()
    shelf.take(SiteSetup(inventory, None), str(file))
    path = inventory.site.tenancy.path
    drawing = shelf.drawing(path, book.plans[0].id)
    assert drawing.media_type == "image/svg+xml" and b"<script" not in drawing.body and b"http:" not in (
        drawing.body.replace(b"http://www.w3.org", b""))
    assert shelf.view(path).lacking == "" and shelf.drawing(path, "../../etc/passwd") is None


def test_every_error_of_a_places_file_is_named_with_its_line() -> None:
    inventory = read_inventory(SITES / "riverside.yaml")
    text = read_text(places_file(SITES / "riverside.yaml"))
    bad = (text.replace("floor: f3", "floor: f9").replace("device: co-301", "device: nobody")
           .replace("point: tank-b1.level", "point: temp-301-bed.temperature")
           .replace("x: 70, y: 262", "x: 7000, y: 1")
           .replace("riverside-b2-f4.svg", "../../keys/plan.svg").replace("zone: b3-105", "zone: b3-106"))
    with pytest.raises(ConfigError) as refused:
        parse_places(bad, "riverside.places.yaml", inventory)
    said = "\n".join(str(finding) for finding in refused.value.findings)
    for word in ("no floor 'f9'", "no device 'nobody'", "not water", "outside the plan", "no picture beside",
                 "no zone 'b3-106'"):
        assert word in said
    assert all(finding.line > 1 and finding.remedy for finding in refused.value.findings)


def test_a_broken_place_book_leaves_the_board_with_its_reason(tmp_path: Path) -> None:
    site = tmp_path / "riverside.yaml"
    site.write_text(read_text(SITES / "riverside.yaml"), encoding="utf-8")
    inventory = read_inventory(site)
    shelf = PlaceShelf()
    shelf.take(SiteSetup(inventory, None), str(site))
    assert "riverside.places.yaml" in shelf.view(inventory.site.tenancy.path).lacking
    places_file(site).write_text("site: [", encoding="utf-8")
    shelf.take(SiteSetup(inventory, None), str(site))
    view = shelf.view(inventory.site.tenancy.path)
    assert view.book is None and view.lacking and view.contacts


def test_a_place_book_is_read_again_when_it_changes_and_a_slip_leaves_the_earlier_one(tmp_path: Path) -> None:
    site = tmp_path / "riverside.yaml"
    site.write_text(read_text(SITES / "riverside.yaml"), encoding="utf-8")
    inventory = read_inventory(site)
    path, shelf = inventory.site.tenancy.path, PlaceShelf()
    shelf.take(SiteSetup(inventory, None), str(site))
    assert shelf.view(path).book is None
    good = read_text(places_file(SITES / "riverside.yaml"))
    places_file(site).write_text(good, encoding="utf-8")
    shelf.refresh(path)
    first = shelf.view(path)
    assert first.book is not None and first.lacking == ""
    shelf.refresh(path)
    assert shelf.view(path) is first  # nothing has changed: nothing is read
    places_file(site).write_text(good.replace("device: co-301", "device: nobody"), encoding="utf-8")
    shelf.refresh(path)
    assert shelf.view(path).book == first.book and "nobody" in shelf.view(path).lacking
    places_file(site).write_text(good.replace("id: ", "id:  "), encoding="utf-8")
    shelf.refresh(path)
    assert shelf.view(path).book is not None and shelf.view(path).lacking == ""
    shelf.refresh("nowhere/at/all/here")


def test_the_check_names_what_is_missing(tmp_path: Path) -> None:
    assert check_places([SITES / "riverside.yaml", SITES / "lakeside.yaml"]) == []
    site = tmp_path / "riverside.yaml"
    site.write_text(read_text(SITES / "riverside.yaml"), encoding="utf-8")
    assert "no place book" in check_places([site])[0].what
    places_file(site).write_text(read_text(places_file(SITES / "riverside.yaml")), encoding="utf-8")
    assert [finding.what.rpartition(": ")[2] for finding in check_places([site])] == ["there is no such drawing"] * 3
    assert check_places([tmp_path / "nothing.yaml"])


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_no_text_breaks_the_places_reader(text: str) -> None:
    inventory = INVENTORY
    try:
        parse_places(text, "x.places.yaml", inventory)
    except ConfigError as error:
        assert error.findings


INVENTORY = read_inventory(SITES / "lakeside.yaml")
