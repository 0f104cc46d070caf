"""SenML against the examples that RFC 8428 prints."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.errors import PeerGarbled
from wire_codecs.senml import SenmlRecord, resolve_senml

URN = "urn:dev:ow:10e2073a01080063"


def test_section_5_1_1_a_single_point() -> None:
    assert resolve_senml([{"n": URN, "u": "Cel", "v": 23.1}]) == (SenmlRecord(URN, URN, "Cel", 0, True, 23.1),)


def test_section_5_1_2_several_points() -> None:
    found = resolve_senml([
        {"bn": URN + ":", "n": "voltage", "u": "V", "v": 120.1}, {"n": "current", "u": "A", "v": 1.2}])
    assert [(r.name, r.unit, r.value) for r in found] == [
        (URN + ":voltage", "V", 120.1), (URN + ":current", "A", 1.2)]


def test_section_5_1_3_base_time_and_relative_times() -> None:
    found = resolve_senml([
        {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e+09, "bu": "A", "bver": 5,
         "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "t": -5, "v": 1.2}, {"n": "current", "t": -4, "v": 1.3}, {"n": "current", "v": 1.7}])
    assert [(r.unit, r.value) for r in found] == [("V", 120.1), ("A", 1.2), ("A", 1.3), ("A", 1.7)]
    assert [r.time_s for r in found] == pytest.approx(
        [1276020076.001, 1276020071.001, 1276020072.001, 1276020076.001])
    assert not any(r.relative for r in found)


def test_cbor_labels_and_kinds() -> None:
    found = resolve_senml([{-2: "dev:", 0: "open", 4: True}, {0: "label", 3: "x"}, {0: "energy", 5: 10.0}])
    assert [(r.name, r.value, r.total) for r in found] == [
        ("dev:open", True, None), ("dev:label", "x", None), ("dev:energy", None, 10.0)]


@pytest.mark.parametrize("pack", [
    {}, [], [1], [{"n": "a", "v": "1"}], [{"n": "a", "v": True}], [{"n": "a", "v": 1, "vb": True}], [{"v": 1}],
    [{"n": "-a", "v": 1}], [{"bver": 11, "n": "a", "v": 1}], [{"n": "a", "v": 1, "new_": 1}], [{"n": "a", "vb": 0}],
    [{"n": "a", "v": 10 ** 400}]])
def test_what_is_no_pack_is_said(pack: object) -> None:
    with pytest.raises(PeerGarbled):
        resolve_senml(pack)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["n", "v", "bn", "bt", "t", "vb", "u", "s"]) | st.integers(-6, 8), inner))


@given(JSON)
def test_any_document_is_taken_or_refused(document: object) -> None:
    with contextlib.suppress(PeerGarbled):
        assert isinstance(resolve_senml(document), tuple)
