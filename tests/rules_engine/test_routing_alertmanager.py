"""Our routing beside Debian's Alertmanager 0.25, on random configurations and streams: the same receivers, groups,
states and orders. Where ours differs on purpose, the difference is counted by its kind (docs/routing.md)."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from rules_engine.routing import Router
from tests.rules_engine.alertmanager_peer import Case, Peer, Told, random_case, told_by_us

pytestmark = [pytest.mark.real,
              pytest.mark.skipif(not shutil.which("prometheus-alertmanager"), reason="no Alertmanager here")]
# A stalled machine can move an event over a timer; what still differs when played again is a difference.
ATTEMPTS = 3


class AsAlertmanager(Router):
    """Ours without the one thing that we do otherwise (docs/routing.md, "ended unsaid")."""

    unsaid = 0

    def _ended_unsaid(self, key: str, name: str) -> None:
        sent = self._state.sent.get(key)
        self.unsaid += sent is not None and name in sent.firing


def by_group(told: list[tuple[int, Told]]) -> dict[tuple[str, str], list[tuple[str, tuple[tuple[str, str], ...]]]]:
    """What each receiver heard of each group, in order."""
    groups = defaultdict(list)
    for _, one in told:
        groups[one.receiver, one.group].append((one.state, one.alarms))
    return dict(groups)


def differing(cases: list[Case], folder: Path) -> tuple[list[str], int, int]:
    """(texts of cases that differ, notifications compared, cases in which ours differs on purpose)."""
    compared = on_purpose = 0
    for attempt in range(ATTEMPTS):
        place = folder / str(attempt)
        place.mkdir()
        peer = Peer(cases, place)
        peer.run()
        wrong = []
        for case in cases:
            times = (peer.times, peer.silence_times[case.name], peer.end_us)
            alike, router = told_by_us(case, *times, AsAlertmanager)
            theirs = by_group(peer.told(case))
            if by_group(alike) != theirs:
                wrong.append(case)
                continue
            compared += sum(map(len, theirs.values()))
            ours, _ = told_by_us(case, *times, Router)
            assert isinstance(router, AsAlertmanager)
            if router.unsaid:
                on_purpose += by_group(ours) != theirs
            else:
                assert by_group(ours) == theirs
        texts = [_text(case, peer) for case in wrong]
        cases = wrong
        if not cases:
            break
    return texts, compared, on_purpose


def _text(case: Case, peer: Peer) -> str:
    ours, _ = told_by_us(case, peer.times, peer.silence_times[case.name], peer.end_us, AsAlertmanager)
    return f"{case}\nours   {by_group(ours)}\ntheirs {by_group(peer.told(case))}"


@pytest.mark.xdist_group("alertmanager")
def test_eighty_random_configurations_tell_what_alertmanager_tells(tmp_path: Path) -> None:
    wrong, compared, _ = differing([random_case(seed) for seed in range(80)], tmp_path)
    assert not wrong, "\n\n".join(wrong[:3])
    assert compared > 400


@pytest.mark.soak
@pytest.mark.parametrize("batch", range(10))
def test_a_thousand_random_configurations(batch: int, tmp_path: Path) -> None:
    first = 1_000 + batch * 100
    wrong, compared, _ = differing([random_case(seed) for seed in range(first, first + 100)], tmp_path)
    assert not wrong, "\n\n".join(wrong[:3])
    assert compared > 500
