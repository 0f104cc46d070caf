"""The gateway's own time series: kept once, summed up truly, asked in every way, bounded; a remote's place stays."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge.line_protocol import encode_sample
from cloud_bridge.series_feed import QUEUE_MAX, SeriesFeed
from device_model.errors import LocalFault, PeerSilent
from device_model.reading import Quality, Reason
from device_model.series import LEVEL_S, Level, Place, Refused, Sample, SeriesQuery
from device_model.site import SeriesSettings
from device_model.system_clock import SystemClock
from edge_agent.series import SqliteSeries

T0 = 1_790_000_400_000_000  # begins a minute, a quarter and an hour
EVER = SeriesQuery(0, 1 << 62)


def sample(at_s: float, value: object = 1.0, point: str = "a.t", zone: str = "z1", sequence: int = 1) -> Sample:
    bad = value is None
    return Sample("h/y/c/r", "gw-1", zone, point, "temperature", "Cel", T0 + round(at_s * 1e6), value,
                  Quality.BAD if bad else Quality.GOOD, Reason.SILENT if bad else Reason.NONE, T0, "telemetry", "e",
                  sequence)


@pytest.fixture
def kept(tmp_path):
    return SqliteSeries(SeriesSettings(path=str(tmp_path / "var" / "series.sqlite"), raw_days=36_500,
                                       minute_days=36_500, quarter_days=36_500, hour_days=36_500))


async def test_kept_once_and_asked_by_device_point_zone_and_time(kept):
    all_of_it = [sample(0, 20.5), sample(1, None), sample(2, True, "b.on", "z2"), sample(3, "words", "b.text", "z2"),
                 sample(4, 7, "ab.t")]
    await kept.write(all_of_it)
    await kept.write(all_of_it)
    assert list(await kept.read(EVER)) == all_of_it
    assert [s.value for s in await kept.read(SeriesQuery(0, 1 << 62, ("a",)))] == [20.5, None], "ab is another device"
    assert [s.value for s in await kept.read(SeriesQuery(0, 1 << 62, ("b.on", "a.t")))] == [20.5, None, True]
    assert [s.value for s in await kept.read(SeriesQuery(0, 1 << 62, (), ("z2",)))] == [True, "words"]
    assert [s.value for s in await kept.read(SeriesQuery(T0 + 1, T0 + 2_000_001))] == [None, True]
    assert len(await kept.read(SeriesQuery(0, 1 << 62, limit=2))) == 2
    await kept.close()


async def test_sums_are_those_of_the_samples_however_they_come(kept):
    random = Random(3)
    samples = [sample(random.uniform(0, 3 * 3600), random.choice([None, random.uniform(-5, 40)]), sequence=n)
               for n in range(3_000)]
    told = {one.time_us: one for one in reversed(samples)}  # the first of a moment stands
    shuffled = random.sample(samples, len(samples))
    told = {}
    for one in shuffled:
        told.setdefault(one.time_us, one)
    for start in range(0, len(shuffled), 250):
        await kept.write(shuffled[start:start + 250])
    for level, length in LEVEL_S.items():
        true = defaultdict(list)
        for one in told.values():
            true[one.time_us // (length * 1_000_000) * length * 1_000_000].append(one)
        found = {row.time_us: row for row in await kept.rollups(EVER, level)}
        assert found.keys() == true.keys()
        for at, row in found.items():
            values = [s.value for s in sorted(true[at], key=lambda s: s.time_us) if s.value is not None]
            assert (row.good, row.bad) == (len(values), len(true[at]) - len(values))
            if values:
                assert (row.least, row.most, row.last) == (min(values), max(values), values[-1])
                assert row.mean == pytest.approx(math.fsum(values) / len(values))
            else:
                assert row.least is row.most is row.mean is row.last is None
    await kept.close()


async def test_age_and_quota_let_the_oldest_go_and_say_what_a_remote_missed(tmp_path):
    kept = SqliteSeries(SeriesSettings(path=str(tmp_path / "s.sqlite"), raw_days=1, minute_days=36_500, quota_mib=1))
    await kept.write([sample(n) for n in range(100)])
    had = (await kept.after("influx", 60))[-1][0]
    await kept.had("influx", had, (), T0)
    assert await kept.trim(T0 + 86_400_000_000 + 80_000_000, ("influx",)) == 80
    assert [s.time_us for s in await kept.read(EVER)] == [sample(n).time_us for n in range(80, 100)]
    assert await kept.lost_to("influx") == 20, "80 went, 60 had been sent"
    assert sum(row.good for row in await kept.rollups(EVER, Level.MINUTE)) == 100, "the sums stay"
    await kept.write([sample(200 + n) for n in range(30_000)])
    assert await kept.trim(T0, ("influx",)) > 0, "beyond the quota"
    left = await kept.read(EVER)
    assert left[-1].time_us == sample(200 + 29_999).time_us, "the newest stay"
    await kept.close()


async def test_a_remotes_place_and_what_it_refused_outlive_a_restart(tmp_path):
    settings = SeriesSettings(path=str(tmp_path / "s.sqlite"))
    kept = SqliteSeries(settings)
    await kept.write([sample(n) for n in range(10)])
    rows = await kept.after("influx", 4)
    await kept.had("influx", rows[-1][0], (Refused(rows[0][1], "field type conflict"),), T0)
    await kept.close()
    again = SqliteSeries(settings)
    assert [s.time_us for _, s in await again.after("influx", 100)] == [sample(n).time_us for n in range(4, 10)]
    ((remote, at_us, refused),) = await again.refused()
    assert (remote, at_us, refused.why, refused.sample) == ("influx", T0, "field type conflict", sample(0))
    assert await again.place("influx") == Place("influx", 6, sample(4).time_us, 0, 1)
    assert await again.place("new") == Place("new", 10, sample(0).time_us, 0, 0)
    await again.had("influx", rows[-1][0] + 6, (), T0)
    assert await again.place("influx") == Place("influx", 0, 0, 0, 1)
    await again.close()


async def test_a_file_that_is_no_database_is_a_fault_with_its_name(tmp_path):
    (tmp_path / "s.sqlite").write_text("not a database, " * 100, encoding="utf-8")
    kept = SqliteSeries(SeriesSettings(path=str(tmp_path / "s.sqlite")))
    with pytest.raises(LocalFault, match=r"s\.sqlite: file is not a database"):
        await kept.write([sample(0)])
    await kept.close()
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "s.sqlite").execute("SELECT * FROM raw").fetchall()


class Silent:
    """A server that never answers."""

    async def write(self, samples):
        raise PeerSilent("nobody there")

    async def close(self):
        pass


async def test_a_full_queue_drops_the_newest_counts_and_says_so(tmp_path):
    said, kept = [], SqliteSeries(SeriesSettings(path=str(tmp_path / "s.sqlite")))
    feed = SeriesFeed(kept, {"influx": Silent()}, SystemClock(), group_s=1.0, jitter=lambda: 0.5,
                      say=lambda level, what, **more: said.append(what))
    feed.take([sample(n) for n in range(QUEUE_MAX - 1)])
    feed.take([sample(n) for n in range(QUEUE_MAX, QUEUE_MAX + 5)])
    feed.take([sample(1)])
    assert feed.dropped == 5 and said == ["time series do not keep up, samples dropped"]
    await feed.close()
    again = SqliteSeries(SeriesSettings(path=str(tmp_path / "s.sqlite")))
    assert len(await again.read(EVER)) == QUEUE_MAX, "what was taken is kept"
    await again.close()


def decoded(line: str) -> tuple[str, dict[str, str], dict[str, str], int]:
    """An independent reading of one line: split at what is not escaped and not within quotes."""
    parts, text, quoted, escaped = [], "", False, False
    for letter in line:
        if escaped:
            text, escaped = text + "\\" + letter, False
        elif letter == "\\":
            escaped = True
        elif letter == " " and not quoted:
            parts.append(text)
            text = ""
        else:
            quoted = quoted != (letter == '"')
            text += letter
    key, fields, stamp = (*parts, text)
    return key, dict(_pairs(key)[1:]), dict(_pairs(fields)), int(stamp)


def _pairs(text: str) -> list[tuple[str, str]]:
    found, name, value, side, quoted, escaped = [], "", "", 0, False, False
    for letter in text + ",":
        if escaped:
            plain, escaped = letter, False
        elif letter == "\\":
            escaped = True
            continue
        elif letter == '"':
            quoted, plain = not quoted, '"'
        elif letter == "," and not quoted:
            found.append((name, value))
            name, value, side = "", "", 0
            continue
        elif letter == "=" and not quoted and not side:
            side = 1
            continue
        else:
            plain = letter
        name, value = (name, value + plain) if side else (name + plain, value)
    return found


LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters='\\"')
WORDS = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: text == text.strip())


@settings(max_examples=200)
@given(WORDS, WORDS, st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.text(max_size=20).filter(
    lambda text: "\x00" not in text and "\n" not in text))
def test_lines_say_what_they_should(zone, device, value):
    if "." in device:
        return
    key, tags, fields, at = decoded(encode_sample(msgspec.structs.replace(
        sample(0, value, f"{device}.t"), zone=zone)))
    assert key.startswith("temperature,") and tags["zone"] == zone and tags["device"] == device and at == T0
    if isinstance(value, bool):
        assert fields["state"] == str(value).lower()
    elif isinstance(value, str):
        assert fields["text"] == f'"{value}"'
    else:
        assert float(fields["value"]) == value
    assert fields["quality"] == "2i"


@pytest.mark.parametrize("wrong", [
    sample(0, math.inf), sample(0, math.nan), sample(0, zone=""), sample(0, zone="a\nb"), sample(0, "x" * 70_000)])
def test_what_the_protocol_cannot_say_is_refused(wrong):
    with pytest.raises(ValueError, match=r"a\.t"):
        encode_sample(wrong)
