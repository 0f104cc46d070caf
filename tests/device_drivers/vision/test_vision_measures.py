"""The figures of `tocsin vision eval`, against counts made by hand and against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.vision import measure, parse_labels
from device_drivers.vision.measures import roc_auc, wilson
from device_model.errors import ConfigError

HEAD = "file,hot_work,flame,smoke,kind\n"


def rows(*lines: str):
    parsed, findings, _ = parse_labels(HEAD + "\n".join(lines) + "\n", "m.csv")
    assert not findings
    return parsed


def test_counts_by_hand() -> None:
    report = measure(
        rows("a,1,0,-1,weld", "b,1,0,-1,weld", "c,0,0,0,room", "d,0,0,0,rain", "e,0,1,-1,fire"),
        [(0.9, 0.1, 0.9), (0.2, 0.1, 0.0), (0.1, 0.1, 0.1), (0.6, 0.7, 0.1), (0.1, 0.8, 0.9)],
        (0.5, 0.5, 0.5),
        seconds=0.5,
        model="m",
        model_sha256="0",
    )
    hot = report.classes["hot_work"]
    assert (hot.n_pos, hot.n_neg, hot.true_alarms, hot.false_alarms) == (2, 3, 1, 1)
    assert (hot.precision, hot.recall, hot.f1) == (0.5, 0.5, 0.5)
    assert hot.roc_auc == pytest.approx(5 / 6, abs=1e-4)
    assert report.classes["smoke"].n_pos == 0 and report.classes["smoke"].roc_auc is None
    # The masked smoke label of `a` and `e` is neither an alarm nor a miss.
    assert report.classes["smoke"].false_alarms == 0
    assert report.any.recall == pytest.approx(2 / 3, abs=1e-4)
    assert report.any.false_alarm_rate == 0.5 and report.any.n_neg == 2
    assert report.by_kind["rain"].false_alarm_rate == 1.0 and report.by_kind["room"].false_alarm_rate == 0.0
    assert report.by_kind["weld"].recall == 0.5 and report.by_kind["weld"].alarms["smoke"] == 1
    assert report.ms_per_image == 100.0
    assert "hot_work" in report.text() and "rain" in report.text()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_auc_is_the_share_of_pairs_in_order(shown: list[int], absent: list[int]) -> None:
    pairs = sum((a > b) + 0.5 * (a == b) for a in shown for b in absent)
    got = roc_auc(shown, absent)
    assert got is not None
    area, (low, high) = got
    assert area == pytest.approx(pairs / (len(shown) * len(absent)))
    assert 0 <= low <= area + 1e-4 and area - 1e-4 <= high <= 1


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_holds_the_share(hits: int, of: int) -> None:
    hits = min(hits, of)
    interval = wilson(hits, of)
    assert interval is not None and interval[0] - 1e-4 <= hits / of <= interval[1] + 1e-4


def test_wilson_of_nothing_and_a_known_value() -> None:
    assert wilson(0, 0) is None
    assert wilson(28, 29) == pytest.approx((0.828, 0.994), abs=0.001)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.jpg,2,0,0,x", "hot_work is '2'"),
        ("a.jpg,yes,0,0,x", "hot_work is 'yes'"),
        ("a.jpg,maybe,0,0,x", "hot_work is 'maybe'"),
        (",1,0,0,x", "no file name"),
        ("a.jpg,1,0,0,x,y,z", "more fields than columns"),
        ("ok.jpg,0,0,0,x", "has other labels on line 2"),
    ],
)
def test_bad_rows_are_findings_with_their_line(line: str, said: str) -> None:
    parsed, findings, _ = parse_labels(HEAD + f"ok.jpg,1,0,0,x\n{line}\n", "m.csv")
    assert [row.file for row in parsed] == ["ok.jpg"]
    assert len(findings) == 1 and findings[0].line == 3 and said in findings[0].what and findings[0].remedy


@pytest.mark.parametrize("text", ["", "name,label\na,1\n", "file,kind\na,b\n", HEAD])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_labels(text, "m.csv")


def test_a_missing_column_is_masked_and_others_are_let_be() -> None:
    parsed, findings, _ = parse_labels("\ufefffile, flame,licence\nx.jpg,1,CC0\n", "m.csv")
    assert not findings and parsed[0].labels == (-1, 1, -1) and parsed[0].kind == "unnamed"
    assert parsed[0].positive and not parsed[0].negative


@given(st.text(max_size=200))
def test_any_text_gives_rows_findings_or_a_refusal(text: str) -> None:
    try:
        parsed, findings, _ = parse_labels(HEAD + text, "m.csv")
    except ConfigError as error:
        assert error.findings
    else:
        assert all(set(row.labels) <= {-1, 0, 1} and row.file for row in parsed)
        assert all(finding.line > 1 and finding.remedy for finding in findings)
