"""Every parser against its saved corpus and a bounded number of fresh mutations; `make soak` runs many more."""

from __future__ import annotations

import contextlib
from random import Random

import pytest

from tests.fuzz.grow import CORPUS, saved
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, Target

EXECUTIONS, SOAK_EXECUTIONS = 60, 5_000
NAMES = [target.name for target in TARGETS]


def execute(target: Target, octets: bytes) -> None:
    """Returns, or the declared error; any other exception fails the test with its input."""
    try:
        with contextlib.suppress(*target.raises):
            target.run(octets)
    except Exception as error:
        raise AssertionError(f"{target.name}: {type(error).__name__}: {error}; input {octets!r}") from error


@pytest.mark.timeout(60)
@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_saved_corpus_and_fresh_mutations(target: Target) -> None:
    pool = [*target.seeds(), *saved(target)]
    assert pool
    for octets in pool:
        execute(target, octets)
    random = Random(f"{target.name} 1")
    for _ in range(EXECUTIONS):
        execute(target, mutated(random, pool))


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_many_mutations(target: Target) -> None:
    pool = [*target.seeds(), *saved(target)]
    random = Random(f"{target.name} soak")
    for _ in range(SOAK_EXECUTIONS):
        execute(target, mutated(random, pool))


def test_seeds_are_good_and_the_corpus_belongs_to_targets() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {folder.name for folder in CORPUS.iterdir() if folder.is_dir()} <= set(NAMES)
    for target in TARGETS:
        if target.name in ("profile", "site", "rules", "rule_tests", "cloud", "gbt26875_unit"):
            for octets in target.seeds():
                target.run(octets)  # a seed that is refused would fuzz the refusal only
