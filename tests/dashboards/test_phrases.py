"""Details in Chinese: every word that the engine may say is known, longest first."""

from __future__ import annotations

from dashboards.kit.phrases import phrases
from device_model.quantities import QUANTITIES
from device_model.reading import Reason


def test_longest_words_come_first() -> None:
    lengths = [len(word) for word in phrases()]
    assert lengths == sorted(lengths, reverse=True)


def test_every_quantity_has_its_word() -> None:
    known = phrases()
    assert [q.en for q in QUANTITIES.values() if q.en not in known] == []
    assert known["temperature"] == "温度"


def test_the_common_reasons_have_words() -> None:
    known = phrases()
    said = (Reason.SILENT, Reason.GARBLED, Reason.OVER_RANGE, Reason.LINE_DOWN, Reason.DEVICE_FAULT)
    assert [reason for reason in said if reason not in known] == []
